//! Errors for people (what, why, what to do) and for programs (problem JSON), on standard error.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use ovstunnel_api::{Code, Problem};
use serde::Serialize;

use super::show::printable;
use crate::client::ClientError;
use crate::pki::PkiError;

const RED: Style = AnsiColor::Red.on_default().bold();
const CYAN: Style = AnsiColor::Cyan.on_default().bold();

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The zone's manager was asked, not a daemon.
    #[error(transparent)]
    Manager(ClientError),
    /// The same where the zone's state was asked for, as monitoring does: it is not known.
    #[error(transparent)]
    StateUnknown(ClientError),
    /// A host has joined its zone, and this was not done.
    #[error("{name} has joined and has its certificate, but {what}")]
    Joined { name: String, what: String },
    /// A host's certificate is renewed, and this was not done.
    #[error("the certificate is renewed, but {what}")]
    Renewed { what: String },
    /// Whether a host has joined is not known, and its key waits in a file.
    #[error("{source}")]
    Unanswered { source: ClientError, key: PathBuf },
    /// A bridge is not destroyed while this is on it.
    #[error("{}", problem.title)]
    Occupied { bridge: String, problem: Box<Problem> },
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("{0}")]
    Usage(String),
    #[error("{0} is not there, or not managed by ovstunnel; nothing was changed")]
    NotThere(String),
    #[error("{0}")]
    Document(String),
    #[error("the editor failed; nothing was changed")]
    Editor(#[source] io::Error),
    #[error("not confirmed; nothing was changed")]
    Declined,
    #[error("cannot start")]
    Runtime(#[source] io::Error),
    #[error("cannot write the answer as JSON")]
    Json(#[source] serde_json::Error),
    #[error("cannot write the answer as YAML")]
    Yaml(#[source] Box<dyn Error + Send + Sync>),
    #[error("cannot {action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

/// A problem of this side, in the shape of the daemon's; without a status, since there was no answer.
#[derive(Serialize)]
struct LocalProblem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    detail: String,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Failure {
    /// Why a bridge was not destroyed. Where a port on it is in the way, there is something else that can be done.
    pub(super) fn of_destroy(bridge: &str, error: ClientError) -> Self {
        match error {
            ClientError::Problem(problem) if problem.in_the_way.as_ref().is_some_and(|port| port != bridge) => {
                Failure::Occupied { bridge: bridge.to_owned(), problem }
            }
            other => Failure::Client(other),
        }
    }

    /// 1 where an answer came or no daemon was asked, 2 where there is none; 3 where a state that was asked for is not known.
    pub(super) fn exit_status(&self) -> u8 {
        match self {
            Failure::StateUnknown(_) => 3,
            Failure::Client(e) | Failure::Manager(e) | Failure::Unanswered { source: e, .. } if !e.was_answered() => 2,
            Failure::Usage(_) => 2,
            _ => 1,
        }
    }

    pub(super) fn print(&self, json: bool) {
        if json {
            eprintln!("{}", self.as_json());
        } else {
            anstream::eprint!("{}", self.as_text());
        }
    }

    /// What was answered, where it was an error.
    fn problem(&self) -> Option<&Problem> {
        match self {
            Failure::Client(e) | Failure::Manager(e) | Failure::StateUnknown(e) => e.problem(),
            Failure::Occupied { problem, .. } => Some(problem),
            _ => None,
        }
    }

    fn as_json(&self) -> String {
        let json = match self.problem() {
            Some(problem) => serde_json::to_string_pretty(problem),
            None => serde_json::to_string_pretty(&self.as_problem()),
        };
        json.unwrap_or_else(|e| e.to_string())
    }

    fn as_problem(&self) -> LocalProblem<'_> {
        let code = match self {
            Failure::Client(e)
            | Failure::Manager(e)
            | Failure::StateUnknown(e)
            | Failure::Unanswered { source: e, .. } => e.code(),
            Failure::Occupied { problem, .. } => problem.code.as_str(),
            Failure::Pki(e) => e.code(),
            Failure::Joined { .. } => "joined_only",
            Failure::Renewed { .. } => "renewed_only",
            Failure::Usage(_) => "usage",
            Failure::NotThere(_) => "not_found",
            Failure::Document(_) => "bad_document",
            Failure::Editor(_) => "editor_failed",
            Failure::Declined => "declined",
            Failure::File { .. } => "file_failed",
            Failure::Runtime(_) | Failure::Json(_) | Failure::Yaml(_) | Failure::Output(_) => "client_failed",
        };
        let detail = match self.causes() {
            causes if causes.is_empty() => self.to_string(),
            causes => format!("{self}: {}", causes.join(": ")),
        };
        LocalProblem {
            kind: format!("urn:ovstunnel:problem:{code}"),
            title: self.to_string(),
            detail,
            code,
            hint: self.hint(),
        }
    }

    fn as_text(&self) -> String {
        let mut text = format!("{RED}Error:{RED:#} {}", printable(&self.to_string()));
        if let Some(problem) = self.problem() {
            text.push_str(&problem_text(problem));
        }
        text.push('\n');
        for cause in self.causes() {
            let _ = writeln!(text, "Cause: {}", printable(&cause));
        }
        if let Some(hint) = self.hint() {
            let _ = writeln!(text, "{CYAN}Hint:{CYAN:#} {}", printable(&hint));
        }
        text
    }

    /// None of a problem: its detail is told with it.
    fn causes(&self) -> Vec<String> {
        if self.problem().is_some() {
            return Vec::new();
        }
        std::iter::successors(self.source(), |&e| e.source()).map(ToString::to_string).collect()
    }

    fn hint(&self) -> Option<String> {
        match self {
            Failure::Client(e) => e.hint(),
            Failure::Manager(e) | Failure::StateUnknown(e) => hint_of_manager(e),
            Failure::Occupied { bridge, .. } => {
                Some(format!("to leave a plain bridge behind, with what is on it: `ovstunnelctl release {bridge}`"))
            }
            Failure::Unanswered { key, .. } => Some(format!(
                "whether it has joined is not known; its key waits in {}: the same command with the same token asks again, and uses up \
                 nothing more",
                key.display()
            )),
            Failure::Pki(e) => e.hint().map(str::to_owned),
            Failure::Document(_) => Some(
                "`ovstunnelctl export` writes what `apply` reads; `apply --help` and `zone apply --help` have examples"
                    .to_owned(),
            ),
            Failure::NotThere(what) if what.starts_with("host ") => {
                Some("`ovstunnelctl zone hosts` shows what is there; with --if-exists this is a success".to_owned())
            }
            Failure::NotThere(what) if what.ends_with(" epoch") => {
                Some("`ovstunnelctl epoch show` shows what is recorded; with --if-exists this is a success".to_owned())
            }
            Failure::NotThere(what) if what.starts_with("network ") || what.starts_with("NIC ") => Some(
                "`ovstunnelctl zone networks` and `zone nics` show what is there; with --if-exists this is a success"
                    .to_owned(),
            ),
            Failure::NotThere(what) if what.starts_with("physical network ") => Some(
                "`ovstunnelctl zone physical-network list` shows what is there; with --if-exists this is a success"
                    .to_owned(),
            ),
            Failure::NotThere(_) => Some(
                "`ovstunnelctl bridge list` and `tunnel list` show what is there; with --if-exists this is a success"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// What helps where it was the manager that was asked.
fn hint_of_manager(error: &ClientError) -> Option<String> {
    let text = match error {
        ClientError::Problem(problem) => match problem.code {
            Code::NotFound => "`ovstunnelctl zone hosts` and `zone networks` show what is there",
            Code::Conflict | Code::InvalidRequest | Code::TooLarge => return None,
            Code::Internal => "a fault of the manager: /var/log/ovstunnel-manager.log has more under the request's id",
            Code::MethodNotAllowed | Code::UnsupportedMediaType => {
                "the manager may be of another version: `ovstunnelctl --json zone status` shows it"
            }
            Code::Unknown => {
                "the manager is newer than this command: `ovstunnelctl --json zone status` shows its version"
            }
            _ => return error.hint(),
        },
        _ => return error.hint(),
    };
    Some(text.to_owned())
}

/// What follows the title: the detail, and each thing that the daemon names, on a line of its own; what the detail says of field,
/// rule and value is not said again.
fn problem_text(problem: &Problem) -> String {
    let mut text = format!(" (HTTP {})\n  {}", problem.status, printable(&problem.detail));
    let said = |value: &String| problem.detail.contains(value.as_str());
    let named = [
        ("field", problem.field.as_ref().filter(|field| !said(field))),
        ("rule", problem.rule.as_ref().filter(|rule| !said(rule))),
        ("value", problem.value.as_ref().filter(|value| !said(value))),
        ("in the way", problem.in_the_way.as_ref()),
        ("request id", problem.request_id.as_ref()),
    ];
    for (what, value) in named.into_iter().filter_map(|(what, value)| Some((what, value?))) {
        let _ = write!(text, "\n  {what}: {}", printable(value));
    }
    for refused in &problem.refused {
        let line = format!("{} to host {} at {}: {}", refused.port, refused.to, refused.remote_ip, refused.error);
        let _ = write!(text, "\n  refused: {}", printable(&line));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use ovstunnel_api::RefusedTunnel;

    fn text(problem: Problem) -> String {
        let failure = Failure::Client(ClientError::Problem(Box::new(problem)));
        anstream::adapter::strip_str(&failure.as_text()).to_string()
    }

    #[test]
    fn a_bad_field_is_named_with_rule_and_value() {
        let mut problem = Problem::new(Code::InvalidRequest, "the key is out of range");
        problem.field = Some("key".to_owned());
        problem.rule = Some("1 to 2147483647".to_owned());
        problem.value = Some("0".to_owned());
        insta::assert_snapshot!(text(problem), @r"
        Error: Invalid request (HTTP 400)
          the key is out of range
          rule: 1 to 2147483647
          value: 0
        ");
        let mut problem = Problem::new(Code::InvalidRequest, "key must be more than 0; got `0`");
        problem.field = Some("key".to_owned());
        problem.rule = Some("must be more than 0".to_owned());
        problem.value = Some("0".to_owned());
        insta::assert_snapshot!(text(problem), @r"
        Error: Invalid request (HTTP 400)
          key must be more than 0; got `0`
        ");
    }

    #[test]
    fn refused_tunnels_are_listed_and_nothing_can_move_the_cursor() {
        let mut problem = Problem::new(Code::SwitchRefused, "1 of 2 tunnels was refused");
        problem.refused = vec![RefusedTunnel {
            port: "t1001-1-2".to_owned(),
            to: "2".to_owned(),
            remote_ip: "192.0.2.12".to_owned(),
            error: "could not add\u{1b}[2J".to_owned(),
        }];
        insta::assert_snapshot!(text(problem), @r"
        Error: Refused by Open vSwitch (HTTP 422)
          1 of 2 tunnels was refused
          refused: t1001-1-2 to host 2 at 192.0.2.12: could not add\u{1b}[2J
        Hint: what was refused was taken away again; Open vSwitch's own log may say more
        ");
    }

    #[test]
    fn errors_of_this_side_have_the_shape_of_a_problem() {
        let failure = Failure::Pki(PkiError::Exists("pki/ca.crt".into()));
        let json: serde_json::Value = serde_json::from_str(&failure.as_json()).unwrap();
        assert_eq!(json["code"], "already_exists");
        assert_eq!(json["type"], "urn:ovstunnel:problem:already_exists");
        assert!(json["hint"].as_str().unwrap().contains("never overwritten"));
        assert_eq!(failure.exit_status(), 1);
    }
}
