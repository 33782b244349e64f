//! What steps change, as it is told afterwards: each thing with what it was and what it is.
//!
//! What it does: looks up, before the steps are carried out, what they will replace. What it must not do: say whether they were
//! carried out, or show the chunks of a VPC's record, a secret, or who has called last.

use ovstunnel_types::shown_option;

use crate::{BridgeEdit, DesiredTunnel, ObservedBridge, ObservedPort, PlanItem, PortEdit, Step, View, ids};

/// One thing that a step changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The bridge that it is on.
    pub bridge: String,
    /// Which of its properties: `bridge` and `tunnel` stand for the whole, others are named as Open vSwitch names them.
    pub what: String,
    /// The bridge or port.
    pub subject: String,
    /// What it was; nothing where it was not there.
    pub before: Option<String>,
    /// What it is to be; nothing where it is to be gone.
    pub after: Option<String>,
}

impl Changed {
    /// What a part of a plan changes of what is there now.
    pub fn changes_by(item: PlanItem<'_>, view: &dyn View) -> Vec<Changed> {
        match item {
            PlanItem::Database(step) => Changed::by_step(step, view),
            PlanItem::Flows(bridge, change) => vec![Changed {
                bridge: bridge.to_owned(),
                what: "flows".to_owned(),
                subject: bridge.to_owned(),
                before: None,
                after: Some(change.to_string()),
            }],
        }
    }

    fn by_step(step: &Step, view: &dyn View) -> Vec<Changed> {
        let name = step.bridge();
        let one = |what: &str, subject: &str, before, after| Changed {
            bridge: name.to_owned(),
            what: what.to_owned(),
            subject: subject.to_owned(),
            before,
            after,
        };
        match step {
            Step::CreateBridge(spec) => {
                let id = |id: &str| spec.external_ids.get(id).map(String::as_str);
                vec![one("bridge", name, None, Some(is_for(id(ids::KEY), id(ids::VPC))))]
            }
            Step::DeleteBridge { .. } => view.bridge(name).map_or_else(Vec::new, |there| {
                let tunnels = there.ports.values().filter(|port| port.is_tunnel_of_ours());
                let tunnels = tunnels.map(|port| one("tunnel", &port.name, Some(port_leads(port)), None));
                [one("bridge", name, Some(bridge_is_for(&there)), None)].into_iter().chain(tunnels).collect()
            }),
            Step::AddTunnel { tunnel, .. } => {
                vec![one("tunnel", tunnel.port_name().as_str(), None, Some(tunnel_leads(tunnel)))]
            }
            Step::RemoveTunnel { port, .. } => {
                vec![one("tunnel", port, view.port(name, port).as_ref().map(port_leads), None)]
            }
            Step::EditBridge { edits, .. } => {
                let there = view.bare_bridge(name).unwrap_or_default();
                let edits = edits.iter().filter(|edit| !is_untold(edit)).map(|edit| of_bridge(edit, &there));
                edits.map(|(what, before, after)| one(&what, name, before, after)).collect()
            }
            Step::EditTunnel { port, edits, .. } => {
                let there = view.port(name, port.as_str()).unwrap_or_default();
                let edits = edits.iter().filter_map(|edit| of_port(edit, &there));
                edits.map(|(what, before, after)| one(&what, port.as_str(), before, after)).collect()
            }
            Step::TryAgain { .. } | Step::RecordEpoch(_) | Step::EditSwitch(_) => Vec::new(),
        }
    }
}

fn is_for(key: Option<&str>, vpc: Option<&str>) -> String {
    match (key, vpc) {
        (_, Some(vpc)) => format!("VPC {vpc}"),
        (Some(key), None) => format!("key {key}"),
        (None, None) => "there".to_owned(),
    }
}

fn bridge_is_for(bridge: &ObservedBridge) -> String {
    let id = |id: &str| bridge.external_ids.get(id).map(String::as_str);
    is_for(id(ids::KEY), id(ids::VPC))
}

fn tunnel_leads(tunnel: &DesiredTunnel) -> String {
    format!("host {} at {}, key {}", tunnel.to, tunnel.remote_ip, tunnel.key)
}

fn port_leads(port: &ObservedPort) -> String {
    DesiredTunnel::from_record(port).map_or_else(|| "there".to_owned(), |tunnel| tunnel_leads(&tunnel))
}

/// A VPC's record is long, and told by its number; the plugin's last word changes nothing of a network.
fn is_untold(edit: &BridgeEdit) -> bool {
    matches!(edit, BridgeEdit::SetId(key, _) | BridgeEdit::DropId(key) if ids::is_chunk(key) || key == ids::CLAIM)
}

type Told = (String, Option<String>, Option<String>);

fn of_bridge(edit: &BridgeEdit, there: &ObservedBridge) -> Told {
    let told = |what: &str, before: Option<String>, after: Option<String>| (what.to_owned(), before, after);
    let switched =
        |what: &str, before: bool, after: bool| told(what, Some(before.to_string()), Some(after.to_string()));
    let id = |key: &String| (format!("external_ids:{key}"), there.external_ids.get(key).cloned());
    let config = |key: &String| (format!("other_config:{key}"), there.other_config.get(key).cloned());
    match edit {
        BridgeEdit::SetId(key, value) => {
            let (what, before) = id(key);
            (what, before, Some(value.clone()))
        }
        BridgeEdit::DropId(key) => {
            let (what, before) = id(key);
            (what, before, None)
        }
        BridgeEdit::SetConfig(key, value) => {
            let (what, before) = config(key);
            (what, before, Some(value.clone()))
        }
        BridgeEdit::DropConfig(key) => {
            let (what, before) = config(key);
            (what, before, None)
        }
        BridgeEdit::StpOff => switched("stp_enable", there.stp_enable, false),
        BridgeEdit::RstpOff => switched("rstp_enable", there.rstp_enable, false),
        BridgeEdit::McastSnooping(on) => switched("mcast_snooping_enable", there.mcast_snooping, *on),
        BridgeEdit::Protect(on) => switched("protected", there.own_port().is_some_and(|port| port.protected), *on),
        BridgeEdit::OpenFlow14(on) => {
            let before = (!there.protocols.is_empty()).then(|| there.protocols.join(","));
            told("protocols", before, Some(if *on { "with OpenFlow14" } else { "without OpenFlow14" }.to_owned()))
        }
        BridgeEdit::NoVlan => told("vlan", there.own_port().map(vlan_text), None),
        BridgeEdit::MtuRequest(mtu) => {
            let before = there.own_port().and_then(|port| port.interface()?.mtu_request);
            told("mtu_request", before.map(|mtu| mtu.to_string()), mtu.map(|mtu| mtu.to_string()))
        }
        BridgeEdit::FailMode(mode) => {
            told("fail_mode", there.fail_mode.clone(), mode.map(|mode| mode.as_str().to_owned()))
        }
    }
}

/// What is detached for a moment is no change.
fn of_port(edit: &PortEdit, there: &ObservedPort) -> Option<Told> {
    let shown = |key: &String, value: &String| shown_option(key, value).to_owned();
    let option = |key: &String| Some(shown(key, there.interface()?.options.get(key)?));
    let bfd = |key: &String| there.interface().and_then(|interface| interface.bfd.get(key).cloned());
    let id = |key: &String| there.external_ids.get(key).cloned();
    Some(match edit {
        PortEdit::SetId(key, value) => (format!("external_ids:{key}"), id(key), Some(value.clone())),
        PortEdit::DropId(key) => (format!("external_ids:{key}"), id(key), None),
        PortEdit::Protect => ("protected".to_owned(), Some(there.protected.to_string()), Some("true".to_owned())),
        PortEdit::NoVlan => ("vlan".to_owned(), Some(vlan_text(there)), None),
        PortEdit::ReceiveOnly => {
            ("vlan".to_owned(), Some(vlan_text(there)), Some(format!("tag {}", crate::second::NO_VLAN)))
        }
        PortEdit::Detach => return None,
        PortEdit::MakeTunnel(kind) => {
            let (before, after) = (there.interface()?.kind.clone(), kind.interface_type());
            (before != after).then(|| ("type".to_owned(), Some(before), Some(after.to_owned())))?
        }
        PortEdit::SetOption(key, value) => (format!("options:{key}"), option(key), Some(shown(key, value))),
        PortEdit::DropOption(key) => (format!("options:{key}"), option(key), None),
        PortEdit::SetBfd(key, value) => (format!("bfd:{key}"), bfd(key), Some(value.clone())),
        PortEdit::DropBfd(key) => (format!("bfd:{key}"), bfd(key), None),
    })
}

fn vlan_text(port: &ObservedPort) -> String {
    let tag = port.vlan.tag.map(|tag| format!("tag {tag}"));
    let trunks = (!port.vlan.trunks.is_empty()).then(|| format!("trunks {:?}", port.vlan.trunks));
    let mode = port.vlan.mode.as_ref().map(|mode| format!("vlan_mode {mode}"));
    tag.into_iter().chain(trunks).chain(mode).collect::<Vec<_>>().join(", ")
}
