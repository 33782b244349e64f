//! Talks to a running `ovs-vswitchd` on its control socket, as `ovs-appctl` does, but with many commands on one connection:
//! hundreds of them take some milliseconds instead of a process each.

use std::{
    fmt,
    io::Write,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Deserializer, StreamDeserializer, Value, de::IoRead, json};

use crate::wait::unhurried;

/// How long the switch may take for one command.
const DEADLINE: Duration = Duration::from_secs(10);

/// A connection to one daemon's control socket.
pub(crate) struct Unixctl {
    path: PathBuf,
    requests: UnixStream,
    answers: StreamDeserializer<'static, IoRead<UnixStream>, Value>,
}

impl Unixctl {
    /// Connects to the control socket at `path`.
    pub(crate) fn connect(path: &Path) -> Result<Self> {
        let requests = UnixStream::connect(path).with_context(|| format!("{}", path.display()))?;
        requests.set_read_timeout(Some(unhurried(DEADLINE)))?;
        let answers = Deserializer::from_reader(requests.try_clone()?).into_iter();
        Ok(Self { path: path.to_owned(), requests, answers })
    }

    /// Sends one command and returns what the daemon answers, or its error as an error.
    pub(crate) fn call(&mut self, command: &str, arguments: &[String]) -> Result<String> {
        let request = json!({"id": 0, "method": command, "params": arguments});
        self.requests.write_all(request.to_string().as_bytes()).with_context(|| format!("{self:?}"))?;
        let answer = self.answers.next().ok_or_else(|| anyhow!("{self:?} closed the connection"))?;
        let answer = answer.with_context(|| format!("{self:?}: answer to {command}"))?;
        match (&answer["result"], &answer["error"]) {
            (Value::String(result), Value::Null) => Ok(result.clone()),
            (_, error) => bail!("{command}: {}", error.as_str().unwrap_or("no result").trim()),
        }
    }
}

impl fmt::Debug for Unixctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "control socket {}", self.path.display())
    }
}
