//! Why a function of the plugin failed, in the words of its contract. Must not be anything but one line.

use std::fmt;

use ovstunnel_ovs::Health;
use ovstunnel_plan::Rejected;
use ovstunnel_types::text::sanitize;

use crate::writer::WriteError;

/// Longest explanation, in characters: it goes into the management server's log and, often, into its database.
const LONGEST: usize = 400;

/// The first word of a failure. Those of the old plugin are used where they fit; the others are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// There is no such bridge.
    NoBridge,
    /// `ovsdb-server` cannot be reached.
    DbNotRun,
    /// `ovs-vswitchd` does not run.
    SwitchNotRun,
    /// `ovs-vsctl` cannot be started.
    NoVsctl,
    /// `ovs-ofctl` cannot be started.
    NoOfctl,
    /// What was written is gone again.
    VerifyPortFailed,
    /// Open vSwitch refused the tunnel.
    VerifyInterfaceFailed,
    /// An argument is missing or breaks a rule.
    InvalidArgument,
    /// What a VPC's bridge is told is not as it must be.
    ImproperJson,
    /// A bridge or port is in the way.
    InTheWay,
    /// The call is of a manager that may not write here any more.
    Fenced,
    /// Open vSwitch refused the change as a whole.
    Refused,
    /// The daemon, or xapi, cannot do it now.
    Unavailable,
    /// It is not known whether it took effect.
    OutcomeUnknown,
    /// The daemon cannot do this at all.
    NotSupported,
}

impl Reason {
    fn word(self) -> &'static str {
        match self {
            Reason::NoBridge => "NO_BRIDGE",
            Reason::DbNotRun => "DB_NOT_RUN",
            Reason::SwitchNotRun => "SWITCH_NOT_RUN",
            Reason::NoVsctl => "NO_VSCTL",
            Reason::NoOfctl => "NO_OFCTL",
            Reason::VerifyPortFailed => "VERIFY_PORT_FAILED",
            Reason::VerifyInterfaceFailed => "VERIFY_INTERFACE_FAILED",
            Reason::InvalidArgument => "INVALID_ARGUMENT",
            // As the old plugin spells it.
            Reason::ImproperJson => "IMPROPER_JSON_CONFG_FILE",
            Reason::InTheWay => "IN_THE_WAY",
            Reason::Fenced => "FENCED",
            Reason::Refused => "REFUSED",
            Reason::Unavailable => "UNAVAILABLE",
            Reason::OutcomeUnknown => "OUTCOME_UNKNOWN",
            Reason::NotSupported => "NOT_SUPPORTED",
        }
    }
}

/// A failure: `FAILURE:NO_BRIDGE there is no bridge xapi12`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    reason: Reason,
    message: String,
}

impl Failure {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Failure { reason, message: message.into() }
    }

    /// Whether something on the switch keeps the call from being carried out, and nothing was changed.
    pub fn is_in_the_way(&self) -> bool {
        self.reason == Reason::InTheWay
    }

    /// Why the writer did not carry a change out. `health` is the switch's after it.
    pub fn of_write(error: WriteError, health: &Health) -> Self {
        let words = error.to_string();
        match error {
            WriteError::Rejected(Rejected::Invalid { field, rule, value }) => {
                Failure::new(Reason::InvalidArgument, format!("{field} {rule}; got `{value}`"))
            }
            WriteError::Rejected(Rejected::NotFound(what)) => Failure::new(Reason::NoBridge, what),
            WriteError::Rejected(Rejected::Conflict { detail, .. }) => Failure::new(Reason::InTheWay, detail),
            WriteError::Fenced(_) => Failure::new(Reason::Fenced, words),
            WriteError::Unavailable(reason) => Failure::new(unavailable_reason(&reason, health), words),
            WriteError::Undone(_)
            | WriteError::Unsettled(_)
            | WriteError::Late(_)
            | WriteError::Busy(_)
            | WriteError::Ended => Failure::new(Reason::Unavailable, words),
            WriteError::Refused(_) => Failure::new(Reason::Refused, words),
            WriteError::TunnelsRefused(refused) => {
                let all: Vec<_> =
                    refused.iter().map(|one| format!("{}: {}", one.tunnel.port_name(), one.message)).collect();
                Failure::new(Reason::VerifyInterfaceFailed, all.join("; "))
            }
            WriteError::Unknown(_) => Failure::new(Reason::OutcomeUnknown, words),
        }
    }
}

/// What cannot be reached. A tool that cannot be started is told by its name alone: the switch itself is well then.
fn unavailable_reason(reason: &str, health: &Health) -> Reason {
    match (&health.database, &health.vswitchd) {
        (Err(_), _) => Reason::DbNotRun,
        (Ok(()), Err(_)) => Reason::SwitchNotRun,
        _ if reason.contains("ovs-vsctl") => Reason::NoVsctl,
        _ if reason.contains("ovs-ofctl") => Reason::NoOfctl,
        _ => Reason::Unavailable,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FAILURE:{}", self.reason.word())?;
        match self.message.is_empty() {
            true => Ok(()),
            false => write!(f, " {}", sanitize(&self.message, LONGEST)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(database: Result<(), String>, vswitchd: Result<(), String>) -> Health {
        Health {
            database,
            vswitchd,
            generation: 1,
            version: None,
            database_silent: None,
            vswitchd_silent: None,
            no_meters: None,
        }
    }

    #[test]
    fn a_failure_is_one_line_and_not_long() {
        let failure = Failure::new(Reason::Refused, format!("a\nb\u{1b}[0m {}", "ü".repeat(1000)));
        let text = failure.to_string();
        assert!(text.starts_with("FAILURE:REFUSED a\\nb\\u{1b}[0m ü") && text.ends_with("ü…"), "{text}");
        assert!(text.chars().count() < LONGEST + 50 && !text.contains(char::is_control), "{text}");
        assert_eq!(Failure::new(Reason::NoBridge, "").to_string(), "FAILURE:NO_BRIDGE");
    }

    #[test]
    fn what_cannot_be_reached_is_told_in_the_words_of_the_contract() {
        let down = || Err("not there".to_owned());
        let told =
            |health: Health, reason: &str| Failure::of_write(WriteError::Unavailable(reason.into()), &health).reason;
        assert_eq!(told(health(down(), Ok(())), "x"), Reason::DbNotRun);
        assert_eq!(told(health(Ok(()), down()), "x"), Reason::SwitchNotRun);
        assert_eq!(told(health(Ok(()), Ok(())), "cannot run /usr/bin/ovs-vsctl: gone"), Reason::NoVsctl);
        assert_eq!(told(health(Ok(()), Ok(())), "cannot run /usr/bin/ovs-ofctl: gone"), Reason::NoOfctl);
        assert_eq!(told(health(Ok(()), Ok(())), "x"), Reason::Unavailable);
    }
}
