//! xapi, XenServer's and XCP-ng's own management, by its command `xe`.
//!
//! What it does: one typed function for each question and each change, one run of `xe` each. What it must not do: decide what
//! a network should say, try again, or take an error's words for more than words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use ovstunnel_plan::{BridgeName, NetworkUuid};
use uuid::Uuid;

use crate::commands::Command;
use crate::real::{CommandHook, RunResult};
use crate::runner::{Bounds, RunError, run_program};
use crate::xe_change::{Verb, XeChange, XeObject};

/// Longest name-label that is asked for, in bytes.
const LABEL_MAX: usize = 4096;

/// Longest answer, in bytes: a network's `other-config`, or the networks of a host's devices.
const ANSWER_MAX: usize = 1 << 20;

/// Characters of its words that are kept.
const WORDS_MAX: usize = 300;

/// Why xapi has no good answer.
#[derive(Debug, thiserror::Error)]
pub enum XeError {
    /// `xe` could not be run to its end; a change may have been made.
    #[error(transparent)]
    Run(#[from] RunError),
    /// xapi refused; nothing was changed.
    #[error("xe {command}: {message}")]
    Refused {
        /// The command.
        command: &'static str,
        /// Its message.
        message: String,
    },
    /// The answer is not what was asked for.
    #[error("xe {command} answers {text:?}")]
    Unreadable {
        /// The command.
        command: &'static str,
        /// The answer.
        text: String,
    },
}

/// How xapi is asked.
#[derive(Clone, Debug)]
pub struct Xe {
    program: PathBuf,
    timeout: Duration,
    hook: CommandHook,
}

impl XeError {
    /// Whether a change may have been made, for `xe` did not come to its end or said nonsense.
    pub fn leaves_doubt(&self) -> bool {
        match self {
            XeError::Run(RunError::Start { .. }) | XeError::Refused { .. } => false,
            XeError::Run(RunError::CutShort { .. }) | XeError::Unreadable { .. } => true,
        }
    }
}

impl Xe {
    /// By the program `xe` at this path, each run with this deadline.
    pub fn new(program: PathBuf, timeout: Duration, hook: CommandHook) -> Self {
        Xe { program, timeout, hook }
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Deadline of one run.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The `other-config` of a network or of the pool.
    ///
    /// # Errors
    /// [`XeError`]; this holds for all functions below.
    pub async fn other_config(&self, of: XeObject) -> Result<BTreeMap<String, String>, XeError> {
        let printed =
            self.run_xe(of.parameter_command(Verb::Get), &[of.uuid(), "param-name=other-config".into()]).await?;
        Ok(parse_map(&printed))
    }

    /// Makes a change; what `xe` prints.
    pub async fn make_change(&self, change: &XeChange) -> Result<String, XeError> {
        let (command, args) = change.command_line();
        self.run_xe(command, &args).await
    }

    /// Makes a network; its UUID.
    pub async fn create_network(&self, label: &str, description: &str) -> Result<NetworkUuid, XeError> {
        let change = XeChange::CreateNetwork { label: label.to_owned(), description: description.to_owned() };
        let text = self.make_change(&change).await?;
        text.trim().parse().map_err(|_| XeError::Unreadable { command: "network-create", text: shorten_output(&text) })
    }

    /// A change as the command that makes it.
    pub fn change_command(&self, change: &XeChange) -> Command {
        let (command, args) = change.command_line();
        let program = self.program.display().to_string();
        Command { argv: [program, command.to_owned()].into_iter().chain(args).collect(), stdin: None }
    }

    /// The pool that this host is in.
    pub async fn pool_uuid(&self) -> Result<Uuid, XeError> {
        let pools: Vec<Uuid> = self.list_values("pool-list", &["params=uuid".into()]).await?;
        match pools.as_slice() {
            [pool] => Ok(*pool),
            _ => Err(XeError::Unreadable { command: "pool-list", text: format!("{} pools", pools.len()) }),
        }
    }

    /// One parameter of a network, such as `bridge` or `name-label`.
    pub async fn network_param(&self, network: NetworkUuid, name: &str) -> Result<String, XeError> {
        self.run_xe("network-param-get", &[format!("uuid={network}"), format!("param-name={name}")]).await
    }

    /// The networks with this bridge.
    pub async fn networks_of_bridge(&self, bridge: &BridgeName) -> Result<Vec<NetworkUuid>, XeError> {
        self.list_values("network-list", &[format!("bridge={bridge}"), "params=uuid".into()]).await
    }

    /// The networks with this name-label. None where no label can be like that.
    pub async fn networks_of_label(&self, label: &str) -> Result<Vec<NetworkUuid>, XeError> {
        if label.is_empty() || label.len() > LABEL_MAX || label.contains(char::is_control) {
            return Ok(Vec::new());
        }
        self.list_values("network-list", &[format!("name-label={label}"), "params=uuid".into()]).await
    }

    /// The networks of a host's PIFs, in xapi's order.
    pub async fn pif_networks(&self, host: Uuid) -> Result<Vec<NetworkUuid>, XeError> {
        self.list_values("pif-list", &[format!("host-uuid={host}"), "params=network-uuid".into()]).await
    }

    /// `software-version:platform_name` of a host.
    pub async fn platform_name(&self, host: Uuid) -> Result<String, XeError> {
        let args = [format!("uuid={host}"), "param-name=software-version".into(), "param-key=platform_name".into()];
        self.run_xe("host-param-get", &args).await
    }

    async fn list_values<T: FromStr>(&self, command: &'static str, args: &[String]) -> Result<Vec<T>, XeError> {
        let args: Vec<String> = args.iter().cloned().chain(["--minimal".into()]).collect();
        let text = self.run_xe(command, &args).await?;
        let uuids = text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::parse);
        uuids.collect::<Result<_, _>>().map_err(|_| XeError::Unreadable { command, text: shorten_output(&text) })
    }

    /// Runs `xe` once; what it prints, without the end of the line.
    async fn run_xe(&self, command: &'static str, args: &[String]) -> Result<String, XeError> {
        let args: Vec<&str> = std::iter::once(command).chain(args.iter().map(String::as_str)).collect();
        let started = Instant::now();
        let result = run_program(&self.program, &args, &[], "", Bounds::with_deadline(self.timeout)).await;
        self.hook.report_command("xe", RunResult::from_result(&result), started.elapsed());
        let finished = result?;
        tracing::debug!(command, status = finished.status.code(), took = ?finished.took, "ran xe");
        match finished.status.success() {
            true if finished.stdout.len() > ANSWER_MAX => {
                Err(XeError::Unreadable { command, text: shorten_output(&finished.stdout) })
            }
            true => Ok(finished.stdout.trim_end_matches('\n').to_owned()),
            false => Err(XeError::Refused { command, message: shorten_output(&finished.stderr) }),
        }
    }
}

/// The beginning of what `xe` says, on one line.
fn shorten_output(said: &str) -> String {
    let words = said.split_whitespace().flat_map(|word| [" ", word]).skip(1);
    words.flat_map(str::chars).filter(|c| !c.is_control()).take(WORDS_MAX).collect()
}

/// What `xe` prints of a map: `key: value; key: value`. Text between two `; ` without a `: ` belongs to the value before it.
pub(crate) fn parse_map(printed: &str) -> BTreeMap<String, String> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for part in printed.trim().split("; ").filter(|part| !part.is_empty()) {
        match (part.split_once(": "), part.strip_suffix(':'), pairs.last_mut()) {
            (Some((key, value)), _, _) => pairs.push((key.to_owned(), value.to_owned())),
            (None, Some(key), _) => pairs.push((key.to_owned(), String::new())),
            (None, None, Some((_, value))) => *value = format!("{value}; {part}"),
            (None, None, None) => {}
        }
    }
    pairs.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: &str = "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90";

    fn xe(dir: &Path, script: &str) -> Xe {
        std::fs::write(dir.join("script"), format!("#!/bin/sh\n{script}\n")).unwrap();
        // A program that this process has open for writing is busy in each child that another test forks meanwhile.
        let copied = std::process::Command::new("install").args(["-m755", "script", "xe"]).current_dir(dir).status();
        assert!(copied.unwrap().success());
        Xe::new(dir.join("xe"), Duration::from_secs(20), CommandHook::new(|_, _, _| ()))
    }

    #[test]
    fn a_map_is_read_as_it_is_printed() {
        let map = |text: &str| parse_map(text).into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>();
        assert_eq!(map(""), Vec::<String>::new());
        assert_eq!(
            map("ovs-host-setup: 1,2; is-ovs-tun-network: True\n"),
            ["is-ovs-tun-network=True", "ovs-host-setup=1,2"]
        );
        assert_eq!(map("a: ; b: x: y"), ["a=", "b=x: y"]);
        assert_eq!(map("a: x; y; b: z"), ["a=x; y", "b=z"]);
        assert_eq!(map("a:; b: z"), ["a=", "b=z"]);
        assert_eq!(map("nonsense"), Vec::<String>::new());
    }

    #[tokio::test]
    async fn arguments_are_arguments_and_nothing_more() {
        let dir = tempfile::tempdir().unwrap();
        let xe = xe(dir.path(), "for a in \"$@\"; do echo \"[$a]\"; done >&2; exit 1");
        let label = "x'; touch /nonexistent/x #\"$(id) --help";
        let told = xe.networks_of_label(label).await.unwrap_err().to_string();
        assert_eq!(told, format!("xe network-list: [network-list] [name-label={label}] [params=uuid] [--minimal]"));
        for none in ["", "a\0b", "a\nb", &"x".repeat(5000)] {
            assert!(xe.networks_of_label(none).await.unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn lists_and_nonsense_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let network: NetworkUuid = NETWORK.parse().unwrap();
        let bridge: BridgeName = "xapi1".parse().unwrap();
        let printing = |text: &str| xe(dir.path(), &format!("echo '{text}'"));
        assert_eq!(printing("").networks_of_bridge(&bridge).await.unwrap(), []);
        assert_eq!(printing(&format!("{NETWORK},{NETWORK}")).networks_of_bridge(&bridge).await.unwrap(), [network; 2]);
        let error = printing("what?").networks_of_bridge(&bridge).await.unwrap_err();
        assert!(matches!(error, XeError::Unreadable { .. }), "{error}");
        assert_eq!(printing("a b ").network_param(network, "name-label").await.unwrap(), "a b ");
    }
}
