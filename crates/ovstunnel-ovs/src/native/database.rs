//! The connection to the database on which transactions are written.
//!
//! What it does: sends one, waits for its answer, and sorts that. What it must not do: send anything again: what was sent and is not
//! answered may have taken effect (docs/adr/0021-unknown-outcomes.md).

use std::io;
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;
use tokio_util::codec::FramedRead;

use super::rows::Params;
use super::transact::Operations;
use crate::CommitError;
use crate::mirror::JsonFrames;

/// The connection, made where there is none.
#[derive(Debug)]
pub(crate) struct Database {
    socket: PathBuf,
    kept: Mutex<Option<Connection>>,
}

#[derive(Debug)]
struct Connection {
    frames: FramedRead<OwnedReadHalf, JsonFrames>,
    write: OwnedWriteHalf,
    asked: u64,
}

/// What is asked of the database.
#[derive(Serialize)]
struct Request<'a, T: Serialize> {
    id: u64,
    method: &'a str,
    params: Params<'a, T>,
}

/// A message of the database.
#[derive(Deserialize)]
struct Message {
    id: Value,
    method: Option<String>,
    params: Option<Value>,
    result: Option<Box<RawValue>>,
    error: Option<Value>,
}

/// What one operation came to; of one that was not tried, nothing.
#[derive(Deserialize)]
struct Came {
    error: Option<String>,
    details: Option<String>,
    rows: Option<Vec<Value>>,
}

impl Database {
    pub(super) fn new(socket: PathBuf) -> Self {
        Database { socket, kept: Mutex::default() }
    }

    /// Has a transaction carried out; gives the `next_cfg` by which `ovs-vswitchd` says that it has taken it up. It ends without an
    /// answer where the caller does not wait any longer; the connection ends with it.
    pub(crate) async fn transact(&self, operations: &Operations) -> Result<i64, CommitError> {
        let mut kept = self.kept.lock().await;
        // Whoever does not wait for the answer leaves no connection behind on which it would be taken for another's.
        let mut connection = match kept.take().filter(|kept| super::is_idle(&kept.frames)) {
            Some(connection) => connection,
            None => Connection::open(&self.socket).await.map_err(|error| {
                CommitError::Unavailable(format!("its database at {}: {error}", self.socket.display()))
            })?,
        };
        let answer = connection.transact(operations.as_slice()).await;
        let answer =
            answer.map_err(|error| CommitError::Unknown(format!("the connection to the database: {error}")))?;
        *kept = Some(connection);
        read_answer(answer, operations)
    }
}

/// The rows that these operations `select`, of one moment, on a connection of its own: reading does not wait for what is written.
pub(crate) async fn select_rows(socket: &Path, operations: &[Value]) -> Result<Vec<Value>, CommitError> {
    let failed = |error: io::Error| CommitError::Unavailable(format!("its database at {}: {error}", socket.display()));
    let mut connection = Connection::open(socket).await.map_err(failed)?;
    let answer = connection.transact(operations).await.map_err(failed)?;
    let refused = |words: &Value| CommitError::Refused(format!("the database answers {words}"));
    if let Some(error) = answer.error.filter(|error| !error.is_null()) {
        return Err(refused(&error));
    }
    let result = answer.result.as_deref().map_or("null", RawValue::get);
    let mut result: Value = serde_json::from_str(result).unwrap_or_default();
    let mut all = Vec::new();
    for n in 0..operations.len() {
        match result.get_mut(n).and_then(|one| one.get_mut("rows")).map(Value::take) {
            Some(Value::Array(rows)) => all.extend(rows),
            _ => return Err(refused(&result)),
        }
    }
    Ok(all)
}

impl Connection {
    async fn open(socket: &Path) -> io::Result<Self> {
        let (read, write) = UnixStream::connect(socket).await?.into_split();
        Ok(Connection { frames: FramedRead::new(read, JsonFrames::default()), write, asked: 0 })
    }

    async fn transact(&mut self, operations: &[impl Serialize]) -> io::Result<Message> {
        self.asked += 1;
        let request = Request { id: self.asked, method: "transact", params: Params(operations) };
        let request = serde_json::to_vec(&request)?;
        self.write.write_all(&request).await?;
        loop {
            let frame = self.frames.next().await.ok_or(io::ErrorKind::UnexpectedEof)??;
            let message: Message = serde_json::from_slice(&frame)?;
            match message.method.as_deref() {
                Some("echo") => {
                    let answer = json!({"id": message.id, "result": message.params, "error": null});
                    self.write.write_all(answer.to_string().as_bytes()).await?;
                }
                None if message.id == self.asked => return Ok(message),
                _ => {}
            }
        }
    }
}

/// What the database says of a transaction, in its own words where it refuses.
fn read_answer(answer: Message, operations: &Operations) -> Result<i64, CommitError> {
    if let Some(error) = answer.error.filter(|error| !error.is_null()) {
        return Err(CommitError::Refused(format!("the database answers {error}")));
    }
    let results = answer.result.as_deref().map_or("[]", RawValue::get);
    let unreadable = |error| CommitError::Unknown(format!("the database's answer cannot be read: {error}"));
    let results: Vec<Option<Came>> = serde_json::from_str(results).map_err(unreadable)?;
    for (position, came) in results.iter().enumerate() {
        let Some(Came { error: Some(error), details, .. }) = came else { continue };
        let words = details.as_ref().map_or_else(|| error.clone(), |details| format!("{error}: {details}"));
        return Err(CommitError::Refused(match operations.guard_failure(position) {
            Some(what) => format!("{what} ({words})"),
            None => words,
        }));
    }
    let selected = results.last().and_then(|came| came.as_ref()?.rows.as_ref()?.first());
    let next = selected.and_then(|row| row["next_cfg"].as_i64());
    next.ok_or_else(|| CommitError::Unknown("the database does not tell its configuration's number".to_owned()))
}

#[cfg(test)]
mod tests {
    use ovstunnel_plan::Step;

    use super::*;
    use crate::{Db, native};

    #[test]
    fn a_refusal_quotes_the_database_and_names_what_has_changed() {
        let operations = native::transaction_operations(&[Step::TryAgain { attempt: 1 }], &Db::default()).unwrap();
        let read = |result: Value| {
            let answer = json!({"id": 1, "result": result, "error": null});
            read_answer(serde_json::from_str(&answer.to_string()).unwrap(), &operations)
        };
        let refused = |words: &str| Err(CommitError::Refused(words.to_owned()));
        let constraint = json!([{}, {"count": 1}, {"count": 1}, {}, {"rows": [{"next_cfg": 7}]},
            {"error": "constraint violation", "details": "Transaction causes multiple rows in \"Port\" table to have identical values"}]);
        let words = "constraint violation: Transaction causes multiple rows in \"Port\" table to have identical values";
        assert_eq!(read(constraint), refused(words));
        let guard = json!([{"error": "timed out", "details": "\"where\" clause"}, null]);
        let words = "table Open_vSwitch has no row: run `ovs-vsctl init` (timed out: \"where\" clause)";
        assert_eq!(read(guard), refused(words));
        assert_eq!(read(json!([{}, {"count": 1}, {"count": 1}, {}, {"rows": [{"next_cfg": 7}]}])), Ok(7));
    }
}
