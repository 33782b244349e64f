//! `completion`, and what a shell asks while a line is typed: names of bridges, ports and hosts as they are now.
//!
//! What it must not do: say why there are none. A shell that completes a line has no place for errors.

use std::ffi::OsString;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use clap::{Command, FromArgMatches, ValueEnum};
use clap_complete::CompleteEnv;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use ovstunnel_api::Bridge;

use super::Failure;
use super::connection::{self, Connection};
use crate::client::Client;

/// The variable by which a shell says that it wants a line completed.
const VARIABLE: &str = "OVSTUNNELCTL_COMPLETE";

const PROGRAM: &str = "ovstunnelctl";

/// Who presses TAB does not wait for long.
const PATIENCE: Duration = Duration::from_millis(1500);

/// A shell whose lines can be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// The script that makes a shell ask this program.
pub(super) fn completion_script(shell: Shell) -> Result<String, Failure> {
    let shell: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let mut script = Vec::new();
    let written = shell.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script);
    let text = written.and_then(|()| String::from_utf8(script).map_err(io::Error::other));
    text.map_err(Failure::Output)
}

/// All that the program understands, once it was said: what completes a line is named in it, and has to read the line by it.
static GRAMMAR: OnceLock<fn() -> Command> = OnceLock::new();

/// Answers a shell and ends, where it is one that asks.
pub(super) fn answer_shell(grammar: fn() -> Command) {
    // It is said once.
    let _ = GRAMMAR.set(grammar);
    CompleteEnv::with_factory(grammar).var(VARIABLE).complete();
}

/// Names of the managed bridges.
pub(super) fn bridge_candidates() -> Vec<CompletionCandidate> {
    ask_bridges().iter().map(|bridge| CompletionCandidate::new(&bridge.name)).collect()
}

/// Names of the tunnels' ports: of the bridge that is on the line, where one is.
pub(super) fn port_candidates() -> Vec<CompletionCandidate> {
    let (all, line) = (ask_bridges(), line_words());
    let named = |bridge: &&Bridge| line.iter().any(|word| word.to_str() == Some(&bridge.name));
    let meant: Vec<&Bridge> = match all.iter().any(|bridge| named(&bridge)) {
        true => all.iter().filter(named).collect(),
        false => all.iter().collect(),
    };
    meant.iter().flat_map(|bridge| &bridge.tunnels).map(|tunnel| CompletionCandidate::new(&tunnel.port)).collect()
}

/// The words that are on the line so far.
fn line_words() -> Vec<OsString> {
    std::env::args_os().skip_while(|word| word != "--").skip(1).collect()
}

/// The bridges of the daemon that the line means.
fn ask_bridges() -> Vec<Bridge> {
    let half = GRAMMAR.get().and_then(|grammar| grammar().ignore_errors(true).try_get_matches_from(line_words()).ok());
    let said = half.and_then(|matches| Connection::from_arg_matches(&matches).ok()).unwrap_or_default();
    let endpoint = connection::resolve_endpoint(connection::Asked::Daemon, &said, |name| std::env::var_os(name))
        .unwrap_or_default();
    let Ok(client) = Client::new(&endpoint, PATIENCE) else { return vec![] };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return vec![] };
    runtime.block_on(client.bridges()).map(|list| list.bridges).unwrap_or_default()
}
