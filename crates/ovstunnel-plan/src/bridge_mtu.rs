//! The MTU of a bridge's own device, where it is to be what guests' frames may have: `mtu_request` of its interface.
//!
//! libvirt gives each new tap the MTU of the device that is named like the bridge (docs/adr/0064-mtu-of-a-bridges-own-device.md). What it must
//! not do: touch the MTU of a VIF, or one that somebody else has asked for and we have not replaced.

use ovstunnel_types::TunnelKind;
use serde::{Deserialize, Serialize};

use crate::{BridgeEdit, DesiredBridge, ObservedBridge, ObservedInterface, Settings, ids};

/// What `mtu_request` can be: less or more is refused with all that is in the same transaction (ovs-vswitchd.conf.db(5)).
const LEAST: u32 = 68;
const MOST: u32 = 65_535;

/// What a device has where nothing says otherwise.
const ETHERNET: u32 = 1500;

/// Beside the marks of what an adopted bridge had, also on a bridge of our own making: the `mtu_request` that was there before ours.
pub(crate) const WAS: &str = "ovstunnel-was-mtu-request";

/// What is done about the MTU of bridges' own devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BridgeMtu {
    /// Nothing.
    #[default]
    Keep,
    /// It is the largest MTU of guests whose frames cross all tunnels of the bridge in one piece.
    Fit,
}

/// The MTU that a bridge's own device is to have; nothing where that is not ours to say, or no way to another host is known.
///
/// A bridge without a tunnel whose way is known has the MTU that would fit to all hosts to which any tunnel of this host leads: its first guest may be
/// plugged before its first tunnel is there. While the kind of its tunnels changes, frames have room in both.
pub(crate) fn wanted_mtu(desired: &DesiredBridge, settings: &Settings) -> Option<u32> {
    if settings.bridge_mtu == BridgeMtu::Keep {
        return None;
    }
    let ways = &settings.underlay.as_deref()?.mtus;
    let kinds: Vec<TunnelKind> = std::iter::once(desired.encap)
        .chain(desired.second.as_ref().map(|second| second.encap))
        .map(|e| e.kind())
        .collect();
    let room = |to, mtu: u32| {
        let overhead = |kind: &TunnelKind| settings.tunnel_options.overhead(*kind, to);
        mtu.saturating_sub(kinds.iter().map(overhead).max().unwrap_or_default())
    };
    let own = desired.tunnels.values().map(|tunnel| tunnel.remote_ip.get());
    let least = own.filter_map(|to| Some(room(to, *ways.get(&to)?))).min();
    let least = least.or_else(|| ways.iter().map(|(to, mtu)| room(*to, *mtu)).min());
    least.map(|mtu| mtu.min(MOST)).filter(|mtu| *mtu >= LEAST)
}

/// What makes the MTU that is asked for the one that is wanted, and keeps the one that was.
pub(crate) fn mtu_edits(desired: &DesiredBridge, observed: &ObservedBridge, settings: &Settings) -> Vec<BridgeEdit> {
    if settings.bridge_mtu == BridgeMtu::Keep {
        return taken_back(observed);
    }
    let mark = observed.external_ids.get(ids::MTU);
    let Some(own) = own_interface(observed) else { return Vec::new() };
    // As long as no way is known it stays as it was written.
    let written = || mark.and_then(|text| text.parse().ok());
    let Some(mtu) = wanted_mtu(desired, settings).or_else(written) else { return Vec::new() };
    let before = own.mtu_request.filter(|_| mark.is_none());
    let kept = before.map(|before| BridgeEdit::SetId(WAS.to_owned(), before.to_string()));
    kept.into_iter().chain(asked_for(observed, own, mtu)).collect()
}

fn asked_for(observed: &ObservedBridge, own: &ObservedInterface, mtu: u32) -> impl Iterator<Item = BridgeEdit> + use<> {
    let text = mtu.to_string();
    let is_marked = observed.external_ids.get(ids::MTU) == Some(&text);
    let mark = (!is_marked).then(|| BridgeEdit::SetId(ids::MTU.to_owned(), text));
    mark.into_iter().chain((own.mtu_request != Some(mtu)).then_some(BridgeEdit::MtuRequest(Some(mtu))))
}

/// What takes our MTU away again.
///
/// Once nothing is asked for, Open vSwitch holds the device to what was asked for last, until a device with a smaller or larger MTU is plugged
/// (docs/ovs-facts.md). So what it would choose by itself is asked for first; the next look finds that there, and asks for nothing.
fn taken_back(observed: &ObservedBridge) -> Vec<BridgeEdit> {
    let marks = [ids::MTU, WAS].into_iter().filter(|key| observed.external_ids.contains_key(*key));
    let marks = marks.map(|key| BridgeEdit::DropId(key.to_owned()));
    let Some(own) =
        own_interface(observed).filter(|own| own.mtu_request.is_some() && own.mtu_request == ours(observed))
    else {
        return marks.collect();
    };
    let chosen = chosen_by_switch(observed);
    if before(observed).is_none() && own.mtu_request != Some(chosen) {
        return asked_for(observed, own, chosen).collect();
    }
    marks.chain(given_back(observed)).collect()
}

/// The least MTU of the bridge's other devices, as Open vSwitch chooses it where nobody asks for one.
fn chosen_by_switch(observed: &ObservedBridge) -> u32 {
    let others = observed.ports.values().filter(|port| port.name != observed.name).flat_map(|port| &port.interfaces);
    let mtus = others.filter(|interface| interface.kind.is_empty()).filter_map(|interface| interface.mtu);
    mtus.min().filter(|mtu| (LEAST..=MOST).contains(mtu)).unwrap_or(ETHERNET)
}

fn ours(observed: &ObservedBridge) -> Option<u32> {
    observed.external_ids.get(ids::MTU)?.parse().ok()
}

fn before(observed: &ObservedBridge) -> Option<u32> {
    observed.external_ids.get(WAS)?.parse().ok()
}

/// What gives a bridge the `mtu_request` that it had before ours; nothing where what is there is not ours.
pub(crate) fn given_back(observed: &ObservedBridge) -> Option<BridgeEdit> {
    let (ours, before) = (ours(observed)?, before(observed));
    let is_ours = own_interface(observed)?.mtu_request == Some(ours);
    (is_ours && before != Some(ours)).then_some(BridgeEdit::MtuRequest(before))
}

fn own_interface(observed: &ObservedBridge) -> Option<&ObservedInterface> {
    observed.own_port()?.interface()
}
