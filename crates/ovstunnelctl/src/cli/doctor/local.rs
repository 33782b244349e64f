//! What can be found where the daemon does not answer: socket, rights, process, configuration, Open vSwitch, log.
//! Must not run programs, and reads no key.

use std::error::Error;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use ovstunnel_api::{Finding, Level};

use super::Files;
use crate::client::ClientError;

/// Where Open vSwitch's database listens unless `[ovs] rundir` says otherwise.
const DATABASE: &str = "/var/run/openvswitch/db.sock";

/// So much of the log's end is looked at, in bytes.
const LOG_END: u64 = 64 * 1024;

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    socket: PathBuf,
    /// A socket is there.
    socket_there: bool,
    /// Who asks.
    uid: u32,
    /// Process of a daemon.
    pid: Option<u32>,
    config: PathBuf,
    config_there: bool,
    database_there: bool,
    log: PathBuf,
    /// The last line in the log that tells of an error or of a failed start.
    last_error: Option<String>,
}

impl Facts {
    pub(super) fn from_host(socket: &Path, files: Files<'_>) -> Self {
        Facts {
            socket: socket.to_owned(),
            socket_there: fs::metadata(socket).is_ok_and(|about| about.file_type().is_socket()),
            // The owner of a process's own folder is who it acts for.
            uid: fs::metadata("/proc/self").map_or(0, |about| about.uid()),
            pid: daemon_pid(),
            config: files.config.to_owned(),
            config_there: files.config.exists(),
            database_there: Path::new(DATABASE).exists(),
            log: files.log.to_owned(),
            last_error: log_end(files.log).ok().and_then(|text| last_error(&text)),
        }
    }
}

/// The process id of this host's daemon: not a look of `--once`, and not one of a container or of another namespace.
fn daemon_pid() -> Option<u32> {
    let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let ours = network("self");
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let mut processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    processes.find(|pid| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = command.split(|byte| *byte == 0);
        let is_daemon = words.next().is_some_and(|program| program.ends_with(b"ovstunneld"));
        is_daemon && !words.any(|word| word == b"--once") && network(&pid.to_string()) == ours
    })
}

fn log_end(log: &Path) -> io::Result<String> {
    let mut file = fs::File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_END)))?;
    let mut bytes = Vec::new();
    file.take(LOG_END).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn last_error(text: &str) -> Option<String> {
    let tells =
        |line: &&str| line.contains(" ERROR ") || line.contains("\"level\":\"ERROR\"") || line.contains("cannot run");
    text.lines().rev().find(tells).map(str::to_owned)
}

pub(super) fn new_finding(check: &str, level: Level, reason: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { check: check.to_owned(), level, subject: None, reason: reason.into(), remedy: Some(remedy.into()) }
}

/// The daemon's silence by itself.
pub(super) fn not_answering(error: &ClientError) -> Finding {
    let causes = std::iter::successors(error.source(), |&cause| cause.source()).map(ToString::to_string);
    let reason = std::iter::once(error.to_string()).chain(causes).collect::<Vec<_>>().join(": ");
    new_finding("daemon", Level::Fail, reason, error.hint().unwrap_or_else(|| "see the daemon's log".to_owned()))
}

pub(super) fn check_facts(facts: &Facts, error: &ClientError) -> Vec<Finding> {
    let mut findings = vec![daemon_finding(facts, error)];
    if facts.uid != 0 {
        // Little of what follows can be seen by others than root.
        return findings;
    }
    let fail = |check, reason: String, remedy: &str| new_finding(check, Level::Fail, reason, remedy);
    if !facts.config_there {
        let reason = format!(
            "there is no configuration file {}: without `[tls]` the daemon does not start",
            facts.config.display()
        );
        findings.push(fail(
            "configuration",
            reason,
            "write it (operator's guide), and try it with `ovstunneld --check`",
        ));
    }
    if !facts.database_there {
        let reason =
            format!("the database of Open vSwitch is not at {DATABASE}: it does not run, or `[ovs] rundir` is another");
        findings.push(fail("ready", reason, "start Open vSwitch: `ovs-vsctl show` must answer"));
    }
    if let Some(line) = &facts.last_error {
        let reason = format!("the last error in {}: {line}", facts.log.display());
        findings.push(new_finding(
            "log",
            Level::Warn,
            reason,
            "mend what it names; `ovstunneld --check` tries the configuration",
        ));
    }
    findings
}

fn daemon_finding(facts: &Facts, error: &ClientError) -> Finding {
    let socket = facts.socket.display();
    let start = "`systemctl start ovstunneld`; why it ended is in `journalctl -u ovstunneld` and its log";
    match error {
        ClientError::Problem(_) | ClientError::Unexpected { .. } => new_finding(
            "version",
            Level::Fail,
            format!("what answers at {socket} knows no `doctor`: {error}"),
            "is the daemon of an older version? `systemctl restart ovstunneld` after an upgrade",
        ),
        ClientError::Unreachable { kind: Some(io::ErrorKind::PermissionDenied), .. } => new_finding(
            "daemon",
            Level::Fail,
            format!("the socket {socket} is for root, and this runs as uid {}", facts.uid),
            "run this as root",
        ),
        ClientError::Unreachable { .. } => {
            let (reason, remedy) = match (facts.pid, facts.socket_there) {
                (Some(pid), false) => (
                    format!("ovstunneld runs (process {pid}), but its socket is not at {socket}"),
                    "give --socket what `[api] socket` says; where it is there, `systemctl restart ovstunneld`",
                ),
                (Some(pid), true) => (
                    format!("ovstunneld runs (process {pid}), but does not take connections at {socket}"),
                    "it may be starting or ending: ask again; then `systemctl restart ovstunneld`",
                ),
                (None, true) => (format!("no ovstunneld runs; its socket {socket} is left over"), start),
                (None, false) => (format!("no ovstunneld runs: there is no socket {socket}"), start),
            };
            new_finding("daemon", Level::Fail, reason, remedy)
        }
        ClientError::NoAnswer { .. } => new_finding(
            "daemon",
            Level::Fail,
            format!("{error}: it is stuck, or waits for Open vSwitch"),
            "see whether `ovs-vsctl show` answers; `systemctl restart ovstunneld` loses nothing",
        ),
        _ => not_answering(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::Peer;

    fn facts() -> Facts {
        Facts {
            socket: "/run/o.sock".into(),
            socket_there: false,
            uid: 0,
            pid: None,
            config: "/etc/o.toml".into(),
            config_there: true,
            database_there: true,
            log: "/var/log/o.log".into(),
            last_error: None,
        }
    }

    fn silence() -> ClientError {
        ClientError::NoAnswer { peer: Peer::daemon_at("/run/o.sock"), timeout: Duration::from_secs(40) }
    }

    #[test]
    fn what_is_there_without_the_daemon_is_told() {
        let checks = |facts: &Facts| check_facts(facts, &silence()).into_iter().map(|f| f.check).collect::<Vec<_>>();
        assert_eq!(checks(&facts()), ["daemon"]);
        let nothing =
            Facts { config_there: false, database_there: false, last_error: Some("ERROR x".into()), ..facts() };
        assert_eq!(checks(&nothing), ["daemon", "configuration", "ready", "log"]);
        assert_eq!(checks(&Facts { uid: 1000, ..nothing }), ["daemon"]);
    }

    #[test]
    fn the_last_error_is_found_in_either_format() {
        let text = "2026 INFO a\n2026 ERROR first\n{\"level\":\"ERROR\",\"m\":1}\n2026 INFO b\n";
        assert_eq!(last_error(text).as_deref(), Some("{\"level\":\"ERROR\",\"m\":1}"));
        assert_eq!(last_error("INFO all is well\n"), None);
        assert_eq!(
            last_error("INFO cannot run error=port in use").as_deref(),
            Some("INFO cannot run error=port in use")
        );
    }
}
