//! Questions on the control socket of `ovs-vswitchd`, as `ovs-appctl` asks them, and one on the database's. Must not ask for
//! any change.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::mirror::control_socket;

/// How long is waited where the socket takes no more connections.
const FULL: Duration = Duration::from_millis(5);

/// A connection that is kept, and made anew where it was closed.
#[derive(Debug)]
pub(crate) struct Control {
    rundir: PathBuf,
    deadline: Duration,
    socket: Option<UnixStream>,
}

impl Control {
    /// One to the `ovs-vswitchd` whose sockets are in this folder, made with the first question.
    pub(crate) fn new(rundir: &Path, deadline: Duration) -> Self {
        Control { rundir: rundir.to_owned(), deadline, socket: None }
    }

    /// What is answered. An answer that is an error of the switch's own has [`io::ErrorKind::Other`].
    pub(crate) async fn send_command(&mut self, method: &str, parameters: &[&str]) -> io::Result<String> {
        let deadline = self.deadline;
        let asked = self.ask_patiently(method, parameters);
        let answer = timeout(deadline, asked).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        answer.map_err(|error| io::Error::other(format!("{method}: {error}")))
    }

    /// A new connection. Where so many wait that the socket takes no more, it waits, too.
    async fn connect_socket(&self) -> io::Result<UnixStream> {
        loop {
            match control_socket(&self.rundir).await {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(FULL).await,
                connected => return connected,
            }
        }
    }

    /// While a question is not answered the connection is nowhere: one whose answer was not waited for is not asked again.
    async fn ask_patiently(&mut self, method: &str, parameters: &[&str]) -> io::Result<Result<String, String>> {
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.connect_socket().await?,
        };
        let request = serde_json::json!({"id": 0, "method": method, "params": parameters});
        socket.write_all(request.to_string().as_bytes()).await?;
        let mut read = Vec::new();
        loop {
            if socket.read_buf(&mut read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // An answer that is not whole yet is no JSON yet. It can be long: one that does not end like one is not tried.
            if !read.trim_ascii_end().ends_with(b"}") {
                continue;
            }
            let Ok(answer) = serde_json::from_slice::<Value>(&read) else { continue };
            self.socket = Some(socket);
            return Ok(match (&answer["result"], &answer["error"]) {
                (Value::String(result), Value::Null) => Ok(result.clone()),
                (_, error) => Err(error.as_str().map_or_else(|| error.to_string(), |text| text.trim().to_owned())),
            });
        }
    }
}

/// What the addresses that a bridge has learnt are printed as.
pub(crate) async fn learnt_addresses(rundir: &Path, bridge: &str, deadline: Duration) -> io::Result<String> {
    Control::new(rundir, deadline).send_command("fdb/show", &[bridge]).await
}

/// What a bridge's spanning tree is printed as. Not every supported Open vSwitch can say it.
pub(crate) async fn spanning_tree(rundir: &Path, bridge: &str, deadline: Duration) -> io::Result<String> {
    Control::new(rundir, deadline).send_command("stp/show", &[bridge]).await
}

/// That the database answers.
pub(crate) async fn database_answers(rundir: &Path, deadline: Duration) -> io::Result<()> {
    let echoed = async {
        let mut socket = UnixStream::connect(rundir.join("db.sock")).await?;
        socket.write_all(br#"{"id":0,"method":"echo","params":[]}"#).await?;
        match socket.read(&mut [0; 64]).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    };
    timeout(deadline, echoed).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
