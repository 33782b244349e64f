//! Keeps the mirror and the health true: follows the database, and notices when `ovs-vswitchd` ends and starts.
//!
//! What it does: two endless tasks that connect, follow, and connect again. What it must not do: send anything but
//! `get_schema`, `monitor_cond` and answers to `echo`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::codec::FramedRead;

use super::db::Db;
use super::frame::JsonFrames;
use super::tables::{Schema, Update, monitored};
use crate::Observer;

/// How long to wait before the next look for a switch that is not there.
const RETRY: Duration = Duration::from_millis(100);

/// What the database told us once the connection was there.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<&'a str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<serde_json::Value>,
}

/// Follows the database at `socket` for ever.
pub(crate) async fn follow_database(observer: Observer, socket: PathBuf) {
    loop {
        let error = match follow_once(&observer, &socket).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        let reason = format!("its database at {} cannot be followed: {error}", socket.display());
        let was_connected = observer.health().borrow().database.is_ok();
        if was_connected {
            tracing::warn!(%reason, "lost the database of Open vSwitch");
        }
        observer.set_health(|health| health.database = Err(reason));
        tokio::time::sleep(RETRY).await;
    }
}

async fn follow_once(observer: &Observer, socket: &Path) -> io::Result<std::convert::Infallible> {
    let (read, mut write) = UnixStream::connect(socket).await?.into_split();
    let mut frames = FramedRead::new(read, JsonFrames::default());
    // Which columns there are depends on the version: the database itself is asked.
    let request = serde_json::json!({"id": 0, "method": "get_schema", "params": ["Open_vSwitch"]});
    write.write_all(request.to_string().as_bytes()).await?;
    let schema = schema(frames.next().await.ok_or_else(closed)??)?;
    let request =
        serde_json::json!({"id": 1, "method": "monitor_cond", "params": ["Open_vSwitch", null, monitored(&schema)]});
    write.write_all(request.to_string().as_bytes()).await?;
    while let Some(frame) = frames.next().await {
        if let Some(answer) = take(observer, &frame?)? {
            write.write_all(answer.as_bytes()).await?;
        }
    }
    Err(closed())
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the database closed the connection")
}

/// The schema in the database's answer. It is the first thing that a database says: it asks for no echo before that.
fn schema(frame: Bytes) -> io::Result<Schema> {
    #[derive(Deserialize)]
    struct Answer {
        result: Option<Schema>,
        error: Option<serde_json::Value>,
    }
    let Answer { result, error } = serde_json::from_slice(&frame)?;
    result.ok_or_else(|| io::Error::other(format!("it does not tell its schema: {}", error.unwrap_or_default())))
}

/// Takes one message in; gives the answer where one is due.
pub(crate) fn take(observer: &Observer, frame: &Bytes) -> io::Result<Option<String>> {
    let message: Message = serde_json::from_slice(frame)?;
    if let Some(error) = message.error.filter(|error| !error.is_null()) {
        return Err(io::Error::other(format!("it answers {error}")));
    }
    match (message.method, message.params, message.result) {
        (Some("echo"), params, _) => {
            let (id, params) = (message.id.map_or("null", RawValue::get), params.map_or("[]", RawValue::get));
            return Ok(Some(format!("{{\"id\":{id},\"result\":{params},\"error\":null}}")));
        }
        (Some("update2"), Some(params), _) => {
            let (_, update): (serde::de::IgnoredAny, Update) = serde_json::from_str(params.get())?;
            observer.write(|db| db.apply(update));
        }
        (None, _, Some(content)) => begin(observer, serde_json::from_str(content.get())?),
        _ => {}
    }
    Ok(None)
}

/// Takes in the whole content, in place of what was known before.
fn begin(observer: &Observer, content: Update) {
    let version = observer.write(|db| {
        let before = std::mem::take(db);
        db.apply(content);
        db.touched.extend(before.bridges.into_values().map(|row| row.name));
        db.version.clone()
    });
    tracing::info!(bridges = observer.read(|db: &Db| db.bridges.len()), "following the database of Open vSwitch");
    observer.set_health(|health| {
        health.database = Ok(());
        health.version = version.or(health.version.take());
    });
}

/// Follows `ovs-vswitchd` for ever: while a connection to its control socket stands, it runs.
///
/// Its end shows nowhere in the database, and its flows are gone with it (docs/ovs-facts.md).
pub(crate) async fn follow_vswitchd(observer: Observer, rundir: PathBuf) {
    loop {
        let reason = match control_socket(&rundir).await {
            Ok(connection) => {
                observer.set_health(|health| {
                    health.vswitchd = Ok(());
                    health.generation += 1;
                    health.no_meters = None;
                });
                tracing::info!(generation = observer.health().borrow().generation, "ovs-vswitchd runs");
                until_closed(connection).await;
                tracing::warn!("ovs-vswitchd has ended");
                "ovs-vswitchd has ended".to_owned()
            }
            Err(error) => format!("ovs-vswitchd does not run ({error})"),
        };
        observer.set_health(|health| health.vswitchd = Err(reason));
        tokio::time::sleep(RETRY).await;
    }
}

/// A new connection to the control socket.
pub(crate) async fn control_socket(rundir: &Path) -> io::Result<UnixStream> {
    let pidfile = rundir.join("ovs-vswitchd.pid");
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", pidfile.display()));
    let pid = tokio::fs::read_to_string(&pidfile).await.map_err(named)?;
    let socket = rundir.join(format!("ovs-vswitchd.{}.ctl", pid.trim()));
    UnixStream::connect(&socket).await.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", socket.display())))
}

async fn until_closed(mut connection: UnixStream) {
    let mut scratch = [0; 64];
    while matches!(connection.read(&mut scratch).await, Ok(n) if n > 0) {}
}
