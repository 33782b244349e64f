//! Judges a report: what is wrong in it, in words, and the sums. Must not look at anything but the report.

use ovstunnel_api::{FlowsState, TunnelState};

use crate::report::{FrameCount, NetworkReport, PingCount, Report, Restart, Totals};

/// Fills in the report's verdict and sums.
pub fn judge(report: &mut Report) {
    let rounds = &report.rounds;
    let frames = || rounds.iter().flat_map(|round| round.frames.iter().map(move |frame| (round, frame)));
    let pings = || rounds.iter().flat_map(|round| round.pings.iter().map(move |ping| (round, ping)));
    let mut wrong = Vec::new();
    wrong.extend(frames().filter(|(_, frame)| !frame.ok).map(|(round, f)| format!("{}: {}", round.what, frame(f))));
    wrong.extend(pings().filter(|(_, ping)| !ping.is_right()).map(|(round, p)| format!("{}: {}", round.what, ping(p))));
    wrong.extend(report.restart.iter().flat_map(restart));
    wrong.extend(report.networks.iter().flat_map(network));
    if frames().next().is_none() {
        wrong.push("no frame was sent".to_owned());
    }
    report.totals = totals(frames().map(|(_, frame)| frame), pings().map(|(_, ping)| ping));
    report.ok = wrong.is_empty();
    report.wrong = wrong;
}

pub fn totals<'a>(frames: impl Iterator<Item = &'a FrameCount>, pings: impl Iterator<Item = &'a PingCount>) -> Totals {
    let mut totals = Totals::default();
    for frame in frames {
        totals.frames += 1;
        for (vm, copies) in &frame.copies {
            let (copies, expected) = (u64::from(*copies), u64::from(frame.expected_at(vm)));
            totals.copies += copies;
            totals.copies_expected += expected;
            totals.copies_too_many += copies.saturating_sub(expected);
            totals.copies_missing += expected.saturating_sub(copies);
        }
    }
    for ping in pings {
        totals.pings += ping.sent;
        totals.pings_lost += ping.sent - ping.received;
    }
    totals
}

/// What is wrong with the count of one frame.
fn frame(frame: &FrameCount) -> String {
    let wrong = frame.copies.iter().map(|(vm, copies)| (vm, *copies, frame.expected_at(vm)));
    let mut wrong: Vec<String> = wrong
        .filter(|(_, copies, expected)| copies != expected)
        .map(|(vm, copies, expected)| format!("{vm} got {copies}, not {expected}"))
        .collect();
    if frame.lost_by_sniffers > 0 {
        wrong.push(format!("counts are lower bounds, {} frames came too fast to be counted", frame.lost_by_sniffers));
    }
    format!("{} from {}: {}", frame.kind.label(), frame.from, wrong.join(", "))
}

fn ping(ping: &PingCount) -> String {
    let PingCount { from, to, sent, received, duplicates, .. } = ping;
    format!("ping from {from} to {to}: {received} of {sent} answered, {duplicates} twice")
}

fn restart(restart: &Restart) -> Vec<String> {
    let Restart { host, flows_before, flows_when_sent, flows_after, .. } = restart;
    let mut wrong = Vec::new();
    if flows_when_sent != &[0, 0] {
        wrong.push(format!("{host} was to have no flows of ours for a while, and had {flows_when_sent:?}"));
    }
    if flows_before != flows_after || *flows_after == 0 {
        wrong.push(format!("{host} had {flows_before} flows before its switch was killed and has {flows_after} after"));
    }
    wrong
}

/// Tunnels that are not up, and flows that are not those that must be there.
fn network(network: &NetworkReport) -> Vec<String> {
    let mut wrong = Vec::new();
    let tunnels = network.bridges.len().saturating_sub(1);
    for at in &network.bridges {
        let place = format!("{} on {}", at.bridge.name, at.host);
        let up = at.bridge.tunnels.iter().filter(|tunnel| tunnel.state == TunnelState::Up).count();
        if up != tunnels || at.bridge.tunnels.len() != tunnels {
            wrong.push(format!("{place} has {} tunnels, {up} up, not {tunnels}", at.bridge.tunnels.len()));
        }
        if at.bridge.flows.state != FlowsState::InSync {
            wrong.push(format!("{place}: the daemon says of its flows {:?}", at.bridge.flows));
        }
        if at.flows.len() != at.bridge.flows.expected as usize {
            wrong.push(format!("{place} has {} flows of ours, not {}", at.flows.len(), at.bridge.flows.expected));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{FrameKind, Round, RoundName};

    fn report(copies: u32) -> Report {
        let frame = FrameCount {
            network: "red".into(),
            kind: FrameKind::Broadcast,
            from: "red1".into(),
            to: None,
            copies: [("red2".to_owned(), copies), ("blue1".to_owned(), 0)].into(),
            expected_once_at: vec!["red2".into()],
            lost_by_sniffers: 0,
            ok: copies == 1,
        };
        let round = Round { name: RoundName::NewMesh, what: "new".into(), pings: Vec::new(), frames: vec![frame] };
        let mut report = Report { rounds: vec![round], ..Report::default() };
        judge(&mut report);
        report
    }

    #[test]
    fn one_copy_is_right() {
        let report = report(1);
        assert!(report.ok, "{:?}", report.wrong);
        assert_eq!((report.totals.copies, report.totals.copies_expected), (1, 1));
    }

    #[test]
    fn a_copy_too_many_is_wrong_and_so_is_one_that_is_missing() {
        assert_eq!(report(3).wrong, ["new: broadcast (ARP) from red1: red2 got 3, not 1"]);
        assert_eq!(report(3).totals.copies_too_many, 2);
        assert_eq!(report(0).totals.copies_missing, 1);
    }

    #[test]
    fn nothing_sent_is_wrong() {
        let mut report = Report::default();
        judge(&mut report);
        assert!(!report.ok);
    }
}
