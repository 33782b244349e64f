//! Questions on the control socket of `ovs-vswitchd`, as `ovs-appctl` asks them, and one on the database's. Must not ask for
//! any change.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::mirror::control_socket;

/// What the addresses that a bridge has learnt are printed as.
pub(crate) async fn learnt_addresses(rundir: &Path, bridge: &str, deadline: Duration) -> io::Result<String> {
    ask(rundir, "fdb/show", bridge, deadline).await
}

/// What a bridge's spanning tree is printed as. Not every supported Open vSwitch can say it.
pub(crate) async fn spanning_tree(rundir: &Path, bridge: &str, deadline: Duration) -> io::Result<String> {
    ask(rundir, "stp/show", bridge, deadline).await
}

/// What the flow tables of a bridge are printed as, hidden flows included: without cookies.
pub(crate) async fn flow_tables(rundir: &Path, bridge: &str, deadline: Duration) -> io::Result<String> {
    ask(rundir, "bridge/dump-flows", bridge, deadline).await
}

/// That the database answers.
pub(crate) async fn database_answers(rundir: &Path, deadline: Duration) -> io::Result<()> {
    let echoed = async {
        let mut socket = UnixStream::connect(rundir.join("db.sock")).await?;
        exchange(&mut socket, "echo", serde_json::json!([])).await
    };
    within(deadline, echoed).await.map(drop)
}

async fn within<T>(deadline: Duration, asked: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(deadline, asked).await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
}

async fn ask(rundir: &Path, method: &str, parameter: &str, deadline: Duration) -> io::Result<String> {
    let asked = async {
        let mut socket = control_socket(rundir).await?;
        match exchange(&mut socket, method, serde_json::json!([parameter])).await? {
            Value::String(result) => Ok(result),
            other => Err(io::Error::other(format!("{method}: {other}"))),
        }
    };
    within(deadline, asked).await
}

/// Asks one question; gives the result.
async fn exchange(socket: &mut UnixStream, method: &str, params: Value) -> io::Result<Value> {
    let request = serde_json::json!({"id": 0, "method": method, "params": params});
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
        let Ok(mut answer) = serde_json::from_slice::<Value>(&read) else { continue };
        return match &answer["error"] {
            Value::Null => Ok(answer["result"].take()),
            error => Err(io::Error::other(format!("{method}: {error}"))),
        };
    }
}
