//! Questions on the control socket of `ovs-vswitchd`, as `ovs-appctl` asks them. Must not ask for any change.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

async fn ask(rundir: &Path, method: &str, parameter: &str, deadline: Duration) -> io::Result<String> {
    let asked = ask_patiently(rundir, method, parameter);
    timeout(deadline, asked).await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
}

async fn ask_patiently(rundir: &Path, method: &str, parameter: &str) -> io::Result<String> {
    let mut socket = control_socket(rundir).await?;
    let request = serde_json::json!({"id": 0, "method": method, "params": [parameter]});
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
        return match (&answer["result"], &answer["error"]) {
            (Value::String(result), Value::Null) => Ok(result.clone()),
            (_, error) => Err(io::Error::other(format!("{method}: {error}"))),
        };
    }
}
