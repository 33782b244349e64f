//! What the model of health finds, as findings: of the host, and of each managed bridge, whose flows are read for it. Must not
//! judge anything of its own.

use std::collections::BTreeSet;

use ovstunnel_api::{Finding, Level};
use ovstunnel_plan::{
    DesiredBridge, Facts, FlowsSeen, ObservedBridge, REQUIREMENTS, Reason, SeenBy, Severity, Trace, Witness,
    bridge_health,
};

use super::Now;
use super::finding::{About, fail, ok, warn};

/// What is said elsewhere: of fresher knowledge, what a look would change now; and of the host, what its bridges have from it.
const ELSEWHERE: [&str; 3] = ["drift", "flows_unknown", "underlay"];

/// What the switch says of a bridge when it is asked now.
pub(super) struct Read {
    pub bridge: ObservedBridge,
    /// All flows of its first table, or why they cannot be read.
    pub dump: Result<String, String>,
    /// Which frames go astray; none where there was no time to follow all.
    pub traces: Option<Vec<Trace>>,
}

/// What is wrong, and of each requirement that holds everywhere that it does.
pub(super) fn check_health(now: &Now<'_>, bridges: &[Read]) -> Vec<Finding> {
    let mut reasons = now.survey.reasons.clone();
    let (mut unread, mut asked) = (Vec::new(), bridges.is_empty());
    for Read { bridge, dump, traces } in bridges {
        let told = now.witnesses.get(bridge.uuid);
        asked |= told.is_some();
        let mut witness = told.map(|told| told.witness).unwrap_or_default();
        if let Some(traces) = traces {
            witness.traces.clone_from(traces);
        }
        match dump {
            Ok(dump) => witness.foreign = dump.lines().map(str::to_owned).collect(),
            Err(error) => {
                unread.push(super::unread_finding("shadowing_flow", &format!("the flows cannot be read: {error}")))
            }
        }
        reasons.extend(root_causes(of_bridge(now, bridge, dump, &witness)));
    }
    reasons.retain(|reason| !ELSEWHERE.contains(&reason.what));
    let wrong: BTreeSet<&str> = reasons.iter().map(|reason| reason.what).collect();
    let unsure = |what: &str| unread.iter().any(|finding: &Finding| finding.check == what);
    let well = REQUIREMENTS.iter().filter(|requirement| {
        let seen = asked || requirement.seen != SeenBy::Switch;
        seen && !wrong.contains(requirement.what) && !ELSEWHERE.contains(&requirement.what) && !unsure(requirement.what)
    });
    let well: Vec<Finding> = well.map(|requirement| ok(requirement.what, requirement.well)).collect();
    reasons.iter().map(reason_finding).chain(unread).chain(well).collect()
}

/// The same without what follows from it: a frame that goes astray is told where nothing else of the bridge says why.
fn root_causes(mut reasons: Vec<Reason>) -> Vec<Reason> {
    let told = |reason: &Reason| reason.what != "trace" && !ELSEWHERE.contains(&reason.what);
    if reasons.iter().any(told) {
        reasons.retain(|reason| reason.what != "trace");
    }
    reasons
}

fn of_bridge(now: &Now<'_>, bridge: &ObservedBridge, dump: &Result<String, String>, witness: &Witness) -> Vec<Reason> {
    let Some(desired) = DesiredBridge::from_record(bridge) else { return vec![] };
    let flows = dump.as_ref().map_or(FlowsSeen::Unknown, |dump| FlowsSeen::parse_dump(dump));
    bridge_health(&Facts {
        desired: &desired,
        observed: bridge,
        flows: &flows,
        witness,
        settings: now.settings,
        linux_bridges: &now.survey.linux_bridges,
        host: &now.survey.host,
    })
}

fn reason_finding(reason: &Reason) -> Finding {
    let level = match reason.severity {
        Severity::Degraded => Level::Warn,
        Severity::Failed => Level::Fail,
    };
    let make = if level == Level::Fail { fail } else { warn };
    make(reason.what, reason.evidence.clone(), reason.remedy.clone()).about(&reason.subject)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn each_word_is_in_the_guide_once_and_no_other_is() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operators-guide/doctor.md");
        let guide = std::fs::read_to_string(file).unwrap();
        let (_, table) = guide.split_once("\n## What a frame depends on\n").unwrap();
        let words = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(word, _)| word));
        let mut words: Vec<&str> = words.filter(|word| *word != "what").collect();
        let mut known: Vec<&str> = REQUIREMENTS.iter().map(|requirement| requirement.what).collect();
        words.sort_unstable();
        known.sort_unstable();
        // What stands behind the table has no line that begins so.
        words.retain(|word| known.contains(word) || !word.contains('.'));
        assert_eq!(words, known);
    }
}
