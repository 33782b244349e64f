//! The steps of a way: what each one's words are, and whether it fails. Must not ask anybody but by [`Asked`].

use ovstunnel_api::{FollowedFrame, FrameOut};
use ovstunnel_manager_api::{FaultCommand, PathStep, StepResult};
use ovstunnel_mesh::proof::{Finding, What};
use ovstunnel_types::{GreKey, HostNumber};

use super::asked::{Asked, Frame};
use super::packets::acl_step;
use super::step::{host_command, new_step, with_remedy};
use crate::zone::{Sessions, Side, Zone};

fn manager_command(run: String) -> FaultCommand {
    FaultCommand { host: None, run }
}

/// What the host and its bridge are like.
pub(super) fn of_side(side: &Side, network: (GreKey, &Zone)) -> Vec<PathStep> {
    let age = side.age.map(|age| format!(", its last word is {age:.1} s old")).unwrap_or_default();
    let host = match &side.silence {
        None if side.is_connected => new_step(Some(side), "host", StepResult::Ok, format!("it is connected{age}")),
        None => new_step(Some(side), "host", StepResult::Unknown, "it was not heard of yet".to_owned()),
        Some(why) => {
            // VMs go on; what is there is not known.
            let unknown = new_step(Some(side), "host", StepResult::Unknown, format!("{}{age}", why.evidence));
            let see = vec![
                manager_command(format!("ovstunnelctl zone host show {}", side.host)),
                host_command(side, "systemctl status ovstunneld"),
            ];
            with_remedy(unknown, &why.remedy, see)
        }
    };
    let mut steps = vec![host];
    // That it is silent is said already.
    let of_bridge = side.of_bridge.iter().filter(|f| !matches!(f.what, What::HostSilent | What::HostUnseen));
    steps.extend(of_bridge.map(|finding| finding_step(side, "bridge", finding, network)));
    if steps.len() == 1 {
        steps.push(match &side.bridge {
            Some(bridge) => new_step(Some(side), "bridge", StepResult::Ok, format!("bridge {bridge} is as it must be")),
            None => new_step(Some(side), "bridge", StepResult::Unknown, "no bridge of it is known".to_owned()),
        });
    }
    steps
}

/// A finding as a step that fails. Flows that were not read since the last change decide nothing: a frame is followed through them.
fn finding_step(side: &Side, check: &str, finding: &Finding, (key, zone): (GreKey, &Zone)) -> PathStep {
    let (remedy, commands) = zone.finding_help(key, finding);
    let is_unread = finding.what == What::FlowsNotInSync && side.has_unread_flows;
    let result = if is_unread { StepResult::Unknown } else { StepResult::Fail };
    let failed = new_step(Some(side), check, result, format!("{}: {}", finding.what.as_str(), finding.evidence));
    with_remedy(failed, &remedy, commands)
}

/// The tunnel from one host to the other.
pub(super) fn tunnel_steps(from: &Side, to: &Side, network: (GreKey, &Zone)) -> Vec<PathStep> {
    if !from.of_tunnel.is_empty() {
        return from.of_tunnel.iter().map(|finding| finding_step(from, "tunnel", finding, network)).collect();
    }
    let (result, evidence) = match &from.tunnel {
        Some((port, ip)) => (StepResult::Ok, format!("{port} to {} ({ip}) is there once, up and protected", to.host)),
        None => (StepResult::Skipped, format!("no tunnel to {} can be there without a bridge", to.host)),
    };
    vec![new_step(Some(from), "tunnel", result, evidence)]
}

/// What the two hosts tell of each other by BFD; nothing where it does not run at both, or has not come up yet.
pub(super) fn bfd_steps(sides: [(HostNumber, &Side); 2], network: (GreKey, &Zone)) -> Vec<PathStep> {
    let [(from, near), (to, far)] = sides;
    match network.1.bfd_sessions(from, to) {
        None => Vec::new(),
        Some(Sessions::Up(one, other)) => {
            vec![new_step(None, "bfd", StepResult::Ok, format!("both hosts hear each other on {one} and {other}"))]
        }
        Some(Sessions::Down(findings)) => {
            let of = |finding: &Finding| if finding.host == from { near } else { far };
            findings.iter().map(|finding| finding_step(of(finding), "bfd", finding, network)).collect()
        }
    }
}

/// That by the counters of both ends this one sends and nothing arrives at the other one; nothing where they do not say so.
pub(super) fn counter_steps(
    (from, near): (HostNumber, &Side),
    (to, _): (HostNumber, &Side),
    network: (GreKey, &Zone),
) -> Option<PathStep> {
    let finding = network.1.lost_by_counters(network.0, from, to)?;
    Some(finding_step(near, "counters", &finding, network))
}

/// Whether frames of full size pass in one piece.
pub(super) fn mtu_step(near: &Side, far: &Side, guests: Option<u32>) -> PathStep {
    let (Some(one), Some(other)) = (near.max_guest_mtu, far.max_guest_mtu) else {
        let evidence = "not both daemons say what their tunnels carry".to_owned();
        return new_step(None, "mtu", StepResult::Unknown, evidence);
    };
    let (least, at) = if one <= other { (one, near) } else { (other, far) };
    match guests {
        Some(mtu) if mtu > least => {
            let evidence =
                format!("guests have {mtu} bytes, and the tunnels of {} carry {least} in one piece", at.host);
            let failed = new_step(None, "mtu", StepResult::Fail, evidence);
            with_remedy(
                failed,
                "give the guests a smaller MTU, or the network below a larger one",
                vec![host_command(at, "ovstunnelctl doctor")],
            )
        }
        _ if one != other => {
            let evidence = format!(
                "{} carries guests' frames of {one} bytes, {} of {other}: larger ones than {least} do not arrive in one piece",
                near.host, far.host
            );
            with_remedy(
                new_step(None, "mtu", StepResult::Ok, evidence),
                "make the MTU of both hosts' underlay the same",
                Vec::new(),
            )
        }
        _ => new_step(None, "mtu", StepResult::Ok, format!("guests' frames of {least} bytes pass in one piece")),
    }
}

/// What is done with IPv6 at either end.
pub(super) fn ipv6_step(near: &Side, far: &Side) -> PathStep {
    match (near.ipv6, far.ipv6) {
        (Some(one), Some(other)) if one == other => {
            new_step(None, "ipv6", StepResult::Ok, format!("{} at both ends", one.as_str()))
        }
        (Some(one), Some(other)) => {
            let evidence = format!("{} on {}, {} on {}", one.as_str(), near.host, other.as_str(), far.host);
            let failed = new_step(None, "ipv6", StepResult::Fail, evidence);
            with_remedy(failed, "give the network one policy: `ovstunnelctl zone network add`, with --ipv6", Vec::new())
        }
        _ => new_step(None, "ipv6", StepResult::Unknown, "not both bridges are known".to_owned()),
    }
}

/// What became of frames that this host has sent.
pub(super) fn sent_step(host: &str, came: Option<Result<String, Finding>>) -> PathStep {
    let of = |result, evidence| PathStep { host: Some(host.to_owned()), ..new_step(None, "send", result, evidence) };
    match came {
        Some(Ok(evidence)) => of(StepResult::Ok, evidence),
        Some(Err(finding)) => {
            let remedy = "see what lies between the two hosts: route, MTU, firewalls for tunnel packets (GRE: IP protocol 47; VXLAN, Geneve: UDP), the same kind of tunnels on both, and both switches' flows";
            let evidence = format!("{}: {}", finding.what.as_str(), finding.evidence);
            let see = FaultCommand { host: Some(host.to_owned()), run: "ovstunnelctl doctor --probe-peers".to_owned() };
            with_remedy(of(StepResult::Fail, evidence), remedy, vec![see])
        }
        None => of(StepResult::Unknown, "no frame could be sent, or it is not known what became of it".to_owned()),
    }
}

/// Both ends of a way, in the direction in which a frame goes.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub near: (&'a Side, &'a Asked),
    pub far: (&'a Side, &'a Asked),
    pub is_one_host: bool,
    pub zone: &'a Zone,
}

impl Way<'_> {
    /// The way back.
    pub fn reversed(self) -> Self {
        Way { near: self.far, far: self.near, ..self }
    }

    /// A frame through the flow tables of both switches.
    pub async fn frame_steps(self, frame: &Frame) -> Vec<PathStep> {
        let ((near, here), (far, there)) = (self.near, self.far);
        let port = |side: &Side| side.tunnel.as_ref().map(|(port, _)| port.clone());
        let target = there.entry_vif().map(str::to_owned);
        let mut steps = Vec::new();
        let out = match (here.entry_vif(), self.is_one_host) {
            (None, _) => new_step(
                Some(near),
                "frame_out",
                StepResult::Skipped,
                "by which VIF it would come in is not known".to_owned(),
            ),
            (Some(vif), _) => {
                let wanted = if self.is_one_host { target.clone() } else { port(near) };
                let (acl, out) = trace_step((near, here), vif, frame, wanted.as_deref(), "frame_out", self.zone).await;
                steps.extend(acl);
                out
            }
        };
        steps.push(out);
        if self.is_one_host {
            return steps;
        }
        let come = match far.arrival.clone() {
            None => new_step(
                Some(far),
                "frame_in",
                StepResult::Skipped,
                "there is no tunnel by which it would come in".to_owned(),
            ),
            Some(_) if there.has_no_vif() => {
                let evidence = "there is no VIF with a device by which it would come out".to_owned();
                new_step(Some(far), "frame_in", StepResult::Skipped, evidence)
            }
            Some(port) => {
                let frame = frame.routed();
                trace_step((far, there), &port, &frame, target.as_deref(), "frame_in", self.zone).await.1
            }
        };
        steps.push(come);
        steps
    }
}

/// Has a frame followed through one switch. It must come out by `wanted`; where that is not known, by something. Before that what the ACLs
/// decide of it, where it is a packet that passes between tiers there.
async fn trace_step(
    (side, asked): (&Side, &Asked),
    by: &str,
    frame: &Frame,
    wanted: Option<&str>,
    check: &str,
    zone: &Zone,
) -> (Option<PathStep>, PathStep) {
    let followed = asked.trace_frame(by, frame).await;
    let acl = followed.as_ref().ok().zip(frame.packet.as_ref());
    let acl = acl.and_then(|(followed, packet)| acl_step(side, followed, packet, zone));
    let (result, evidence, flow) = match followed {
        Ok(followed) => judge_trace(&followed, by, wanted),
        Err(why) => (StepResult::Unknown, why, None),
    };
    let answer = new_step(Some(side), check, result, evidence);
    match (result, flow, &side.bridge) {
        (StepResult::Fail, Some(flow), Some(bridge)) => {
            let show = host_command(side, &format!("ovs-appctl ofproto/trace {bridge} '{flow}'"));
            let failed = with_remedy(
                answer,
                "see which flow decides so, and `ovstunnelctl doctor` on the host",
                vec![show, host_command(side, "ovstunnelctl doctor")],
            );
            (acl, failed)
        }
        _ => (acl, answer),
    }
}

fn judge_trace(followed: &FollowedFrame, by: &str, wanted: Option<&str>) -> (StepResult, String, Option<String>) {
    let Some(outs) = &followed.outs else {
        return (StepResult::Unknown, format!("what Open vSwitch says is not understood: {}", followed.evidence), None);
    };
    let names: Vec<&str> = outs.iter().map(|out| out.port.as_str()).collect();
    let how = if followed.flooded { ", to all ports since its destination was not learnt" } else { "" };
    let words = match names.is_empty() {
        true => format!("a frame that comes in by {by} comes out nowhere: {}", followed.evidence),
        false => format!("a frame that comes in by {by} comes out by {}{how}", names.join(", ")),
    };
    let is_once = |out: &FrameOut| wanted.is_none_or(|wanted| out.port == wanted) && out.times == 1;
    let result = match (outs.iter().any(is_once), followed.unresolved.is_empty()) {
        (true, _) => StepResult::Ok,
        // What goes there is not in the trace.
        (false, false) => StepResult::Unknown,
        (false, true) => StepResult::Fail,
    };
    let missing = wanted.filter(|_| result != StepResult::Ok).map(|wanted| format!(", not once by {wanted}"));
    let unresolved = (!followed.unresolved.is_empty())
        .then(|| format!("; the Ethernet address of {} is not known at this moment", followed.unresolved.join(", ")));
    let evidence = [Some(words), missing, unresolved].into_iter().flatten().collect();
    (result, evidence, Some(followed.frame.clone()))
}

#[cfg(test)]
mod tests {
    use ovstunnel_api::{Bridge, Flows, FlowsState};

    use super::*;
    use crate::zone::Meeting;
    use crate::zone::tests::{Bench, bridge, number};

    #[test]
    fn flows_not_read_since_the_last_change_fail_no_step() {
        for (state, result) in [
            (FlowsState::InSync, StepResult::Ok),
            (FlowsState::Unknown, StepResult::Unknown),
            (FlowsState::Drifted, StepResult::Fail),
        ] {
            let mut bench = Bench::new();
            let there = bridge(2, &[1, 3]);
            bench.says(2, &[Bridge { flows: Flows { state, ..there.flows }, ..there }]);
            bench.zone.prove_changed();
            let key = bench.key();
            let [one, two] = [1, 2].map(number);
            let side = bench.zone.path_side(Meeting { from: key, to: key }, two, one);
            let steps = of_side(&side, (key, &bench.zone));
            let results: Vec<_> = steps.iter().map(|step| (step.check.as_str(), step.result)).collect();
            assert_eq!(results, [("host", StepResult::Ok), ("bridge", result)], "{steps:#?}");
        }
    }
}
