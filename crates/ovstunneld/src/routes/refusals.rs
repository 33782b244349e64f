//! The error answers that speak of the switch. Must not decide when they are given.

use ovstunnel_api::{Code, EpochState, Problem, RefusedTunnel};
use ovstunnel_plan::{Epoch, Fenced};
use ovstunnel_server::problem::ApiError;

/// 422: Open vSwitch refused it, or these tunnels of it.
pub(super) fn refused_problem(detail: impl Into<String>, tunnels: Vec<RefusedTunnel>) -> ApiError {
    Problem { refused: tunnels, ..Problem::new(Code::SwitchRefused, detail) }.into()
}

/// 409: nothing may be written under this epoch.
pub(super) fn fenced_problem(fenced: &Fenced) -> ApiError {
    fenced_with(fenced, "nothing was changed")
}

/// The same, where something may have been changed before.
pub(super) fn fenced_with(fenced: &Fenced, outcome: &str) -> ApiError {
    let (code, recorded) = match *fenced {
        Fenced::Stale { recorded, .. } => (Code::StaleEpoch, recorded),
        Fenced::OtherZone { recorded, .. } => (Code::OtherZone, recorded),
    };
    let detail = format!("{fenced}; {outcome}");
    Problem { recorded: Some(epoch_to_wire(Some(recorded))), ..Problem::new(code, detail) }.into()
}

/// An epoch on the wire.
pub(super) fn epoch_to_wire(epoch: Option<Epoch>) -> EpochState {
    EpochState { zone: epoch.map(|epoch| epoch.zone().to_string()), epoch: epoch.map(Epoch::number) }
}

/// 503: the switch cannot be reached; nothing was changed.
pub(super) fn unavailable_problem(detail: impl Into<String>) -> ApiError {
    ApiError::new(Code::SwitchUnavailable, detail)
}

/// 504: a deadline passed, and it is not known whether the change took effect.
pub(super) fn outcome_unknown(detail: impl Into<String>) -> ApiError {
    ApiError::new(Code::OutcomeUnknown, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_answers_with_its_status() {
        let all = [
            (refused_problem("x", vec![]), 422, "switch_refused"),
            (unavailable_problem("x"), 503, "switch_unavailable"),
            (outcome_unknown("x"), 504, "outcome_unknown"),
        ];
        for (error, status, code) in all {
            let problem = error.problem();
            assert_eq!((problem.status, problem.code.as_str()), (status, code));
        }
    }
}
