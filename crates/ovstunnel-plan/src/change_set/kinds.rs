//! The change of a bridge's tunnel kind, step by step. What it must not do: skip one.

use super::ChangeSet;
use super::rules::{check_family, check_range, not_managed};
use crate::change::conflict;
use crate::{
    ChangeKind, DesiredBridge, DesiredTunnel, Encap, KindStep, ObservedBridge, PortName, Rejected, Second, Settings,
    TunnelHealth, TunnelKind, View,
};

impl ChangeSet<'_> {
    /// Has a bridge be where a step of the change leads.
    pub(super) fn change_kind(
        &mut self,
        view: &dyn View,
        settings: &Settings,
        change: &ChangeKind,
    ) -> Result<(), Rejected> {
        let touched = self.touched_bridge(view, &change.bridge);
        let (observed, desired) = (touched.observed.clone(), touched.desired.clone());
        let (mut next, observed) = match (desired, observed) {
            (Some(desired), Some(observed)) => (desired, observed),
            (None, Some(observed)) => return Err(not_managed(&change.bridge, &observed)),
            (_, None) => {
                return Err(Rejected::NotFound(format!("there is no bridge {}; set it up first", change.bridge)));
            }
        };
        if let Some(vpc) = next.kind.vpc() {
            let detail =
                format!("bridge {} is that of VPC {}; only a network's can change its kind", next.name, vpc.id);
            return Err(conflict(next.name.as_str(), detail));
        }
        let second = next.second.as_ref().map(|second| second.encap.kind());
        match (change.step, next.encap.kind() == change.to, second) {
            (KindStep::Prepare, true, None)
            | (KindStep::Switch | KindStep::Finish, true, None)
            | (KindStep::Switch, true, Some(_))
            | (KindStep::Abort, false, None) => return Ok(()),
            (KindStep::Prepare, false, None) => prepare(&mut next, change.to, settings, &observed)?,
            (_, false, Some(second)) if second != change.to => return Err(other_change(&next, second, change.to)),
            (KindStep::Prepare, false, Some(_)) => return Ok(()),
            (KindStep::Prepare, true, Some(_)) | (KindStep::Switch, false, Some(_)) => turn(&mut next, &observed)?,
            (KindStep::Finish, true, Some(_)) => {
                expect_heard(&next, change)?;
                next.second = None;
            }
            (KindStep::Abort, false, Some(_)) => {
                expect_silent(&next, change)?;
                next.second = None;
            }
            (KindStep::Switch | KindStep::Finish, false, _) | (KindStep::Abort, true, _) => {
                return Err(not_yet(&next, change));
            }
        }
        self.claim_all(view, &next, Some(&observed))?;
        self.touched_bridge(view, &change.bridge).desired = Some(next);
        Ok(())
    }
}

fn prepare(
    next: &mut DesiredBridge,
    to: TunnelKind,
    settings: &Settings,
    observed: &ObservedBridge,
) -> Result<(), Rejected> {
    let encap = if settings.encap.kind() == to { settings.encap } else { Encap::of_kind(to) };
    for key in next.kind.keys() {
        check_range("key", key, encap)?;
    }
    for tunnel in next.tunnels.values() {
        check_family("remote_ip", tunnel.remote_ip, encap, &observed.datapath_type)?;
    }
    next.second = Some(Second { encap, tunnels: Default::default() });
    next.pair();
    Ok(())
}

/// Turns the two kinds around, where all tunnels of the second are there.
fn turn(next: &mut DesiredBridge, observed: &ObservedBridge) -> Result<(), Rejected> {
    let up = |port: &PortName| {
        let interface = observed.ports.get(port.as_str()).and_then(|port| port.interface());
        interface.is_some_and(|interface| matches!(interface.health(), TunnelHealth::Up(_)))
    };
    let seconds = next.second.iter().flat_map(|second| &second.tunnels);
    if let Some((port, tunnel)) = seconds.into_iter().find(|(port, _)| !up(port)) {
        let detail = format!(
            "tunnel {port} of bridge {} to host {} is not up, so nothing can be sent by it",
            next.name, tunnel.to
        );
        return Err(conflict(port.as_str(), detail));
    }
    next.swap();
    Ok(())
}

/// That a frame has come from each host by the kind that stays. A host that has not switched still sends by the other.
fn expect_heard(next: &DesiredBridge, change: &ChangeKind) -> Result<(), Rejected> {
    let silent = next.tunnels.iter().filter(|(port, _)| !change.force && !change.heard.contains(port.as_str()));
    tell(next, silent.collect(), |hosts| {
        format!(
            "nothing has come by {} from {hosts}, which may still send by another kind; switch there, wait until a VM has \
             sent something, or say `force`",
            change.to
        )
    })
}

/// That no frame has come by the kind that goes.
fn expect_silent(next: &DesiredBridge, change: &ChangeKind) -> Result<(), Rejected> {
    let seconds = next.second.iter().flat_map(|second| &second.tunnels);
    let heard = seconds.filter(|(port, _)| !change.force && change.heard.contains(port.as_str()));
    tell(next, heard.collect(), |hosts| {
        format!(
            "frames have come by {} from {hosts}, which may have switched to it; go back there by `prepare`, or say `force`",
            change.to
        )
    })
}

fn tell(
    next: &DesiredBridge,
    mut tunnels: Vec<(&PortName, &DesiredTunnel)>,
    words: impl Fn(&str) -> String,
) -> Result<(), Rejected> {
    // Numbers as numbers.
    tunnels.sort_by_key(|(_, tunnel)| (tunnel.to.to_string().len(), tunnel.to.to_string()));
    let Some((port, _)) = tunnels.first() else { return Ok(()) };
    let some: Vec<String> = tunnels.iter().take(5).map(|(_, tunnel)| format!("host {}", tunnel.to)).collect();
    let more = tunnels.len().saturating_sub(some.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let words = words(&format!("{}{more}", some.join(", ")));
    Err(conflict(port.as_str(), format!("bridge {}: {words}", next.name)))
}

fn other_change(next: &DesiredBridge, second: TunnelKind, to: TunnelKind) -> Rejected {
    let (name, kind) = (&next.name, next.encap.kind());
    let detail = format!(
        "bridge {name} of kind {kind} has tunnels of kind {second} beside, so its kind cannot change to {to}; finish or abort that first"
    );
    conflict(name.as_str(), detail)
}

fn not_yet(next: &DesiredBridge, change: &ChangeKind) -> Rejected {
    let (name, kind, to) = (&next.name, next.encap.kind(), change.to);
    let detail = match (change.step, next.second.is_some()) {
        (KindStep::Abort, true) => {
            format!("bridge {name} sends by {to} already; go back by `prepare` first, on each host of the network")
        }
        (KindStep::Abort, false) => format!("bridge {name} is of kind {to}, and the change is finished"),
        (KindStep::Finish, true) => format!("bridge {name} still sends by {kind}; `switch` first"),
        _ => format!("bridge {name} is of kind {kind} alone; `prepare` first, on each host of the network"),
    };
    conflict(name.as_str(), detail)
}
