//! Bridges on the wire: what is asked for, and what is there.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Changed, Claim, FlowsState, Health, Id, Ipv6Policy, KindStep, Outcome, Tunnel, TunnelKind};

/// Body of `PUT /v1/bridges/{bridge}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!(crate::example::put_bridge()))]
pub struct PutBridge {
    /// GRE key of the network, 1 to 2147483647; to 16777215 where its tunnels are VXLAN or Geneve.
    #[serde(deserialize_with = "crate::whole::required")]
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    pub key: i64,
    /// The network's UUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ovstunnel_types::NetworkUuid>)]
    pub network_uuid: Option<String>,
    /// Id of this host in the management server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<Id>,
    /// What to do with IPv6; for a new bridge the configured default when absent, else it stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Policy>,
    /// The port that may lead out of the network beside the tunnels, a NIC for example: on one host's bridge only, else it is
    /// a loop. When absent it stays as it is; null ends it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::null::or_absent")]
    #[schema(value_type = Option<crate::schema::PortName>)]
    pub uplink: Option<Option<String>>,
    /// The kind of its tunnels; for a new bridge the configured one when absent, else it stays as it is. Another kind than a bridge
    /// has is refused while it has tunnels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<TunnelKind>,
    /// The complete set of tunnels: missing ones are made, others removed. When absent, the tunnels stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnels: Option<Vec<PutTunnel>>,
    /// The complete set of addresses for which the switch answers requests of this host's VIFs (ARP, neighbour discovery), at most 1000. The same set told again:
    /// what was withdrawn of it is answered for again; of another set, what is in both stays withdrawn. When absent, they stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 1000)]
    pub neighbours: Option<Vec<PutNeighbour>>,
}

/// An address for which the switch answers, in the body of `PUT /v1/bridges/{bridge}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!(crate::example::put_neighbour()))]
pub struct PutNeighbour {
    /// A VM's address: IPv4, or a global or unique local one of IPv6, which is answered for where the bridge lets IPv6 pass and its datapath
    /// is `netdev`: the kernel's cannot make such an answer.
    #[schema(
        pattern = "^(([1-9]|[1-9][0-9]|1[013-9][0-9]|12[0-689]|2[01][0-9]|22[0-3])([.](25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])){3}|([23][0-9A-Fa-f]{3}|[Ff][CcDd][0-9A-Fa-f]{2})((:[0-9A-Fa-f]{1,4}){7}|(:[0-9A-Fa-f]{1,4}){0,5}::([0-9A-Fa-f]{1,4})?|(:[0-9A-Fa-f]{1,4}){0,3}::([0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4}){0,2})?|(:[0-9A-Fa-f]{1,4})?::([0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4}){0,4})?))$"
    )]
    pub ip: String,
    /// Ethernet address of the VM's card that has it.
    #[schema(pattern = "^(?!00(:00){5}$)[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$")]
    pub mac: String,
}

/// An address for which the switch answers, as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::neighbour()))]
pub struct Neighbour {
    /// The address.
    pub ip: String,
    /// Ethernet address of the card that has it, as it was told.
    pub mac: String,
    /// Whether it is answered for.
    pub state: NeighbourState,
}

/// Whether the switch answers for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "answered")]
pub enum NeighbourState {
    /// A request of a VIF here is answered.
    Answered,
    /// Somebody else has been seen with the address: requests are flooded until the addresses are told anew.
    Withdrawn,
    /// The configuration has no address answered for (`[network] answer_neighbours`), or it is of IPv6, and the bridge drops that or has the kernel datapath.
    Off,
}

impl NeighbourState {
    /// As it is on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            NeighbourState::Answered => "answered",
            NeighbourState::Withdrawn => "withdrawn",
            NeighbourState::Off => "off",
        }
    }
}

/// Body of `POST /v1/bridges/{bridge}/kind`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!(crate::example::post_kind()))]
pub struct PostKind {
    /// The kind that the bridge is to have in the end.
    pub to: TunnelKind,
    /// Where the change is to be.
    pub step: KindStep,
    /// `finish` although nothing has come by the new kind from some host, or `abort` although something has: frames may be lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

/// The other kind of a bridge, while its kind changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::second_kind()))]
pub struct SecondKind {
    /// The kind by which frames are received and not sent.
    pub kind: TunnelKind,
    /// The UDP port at which they are received; absent where the kind has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dst_port: Option<u16>,
    /// Its tunnels, by port name: one beside each of the bridge's `tunnels`.
    pub tunnels: Vec<Tunnel>,
}

/// One tunnel in the body of `PUT /v1/bridges/{bridge}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!(crate::example::put_tunnel()))]
pub struct PutTunnel {
    /// Id of the host at the other end.
    pub to: Id,
    /// Address of the other end, IPv4 or IPv6.
    #[schema(value_type = ovstunnel_types::RemoteIp)]
    pub remote_ip: String,
    /// Id of this host; the bridge's `host_id` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Id>,
}

/// A VM's interface on the bridge: a port whose name starts with one of the configured prefixes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::vif()))]
pub struct Vif {
    /// Name of the port.
    pub name: String,
    /// OpenFlow port number; absent while the device is not there.
    pub ofport: Option<u32>,
    /// Ethernet address of the VM's card, where the hypervisor has noted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// Our flows on a bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::flows()))]
pub struct Flows {
    /// Comparison of the two numbers' sets.
    pub state: FlowsState,
    /// How many must be there.
    pub expected: u32,
    /// How many of ours are there, as far as known.
    pub installed: Option<u32>,
}

/// A tier of a VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::tier()))]
pub struct Tier {
    /// GRE key of its tunnels.
    pub key: u32,
    /// UUID of its network.
    pub network_uuid: String,
    /// Its addresses.
    pub cidr: String,
    /// Ethernet address of its gateway: to it a VM sends what goes to another tier. Absent where the daemon is too old to say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_mac: Option<String>,
    /// Id of its ACL; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<String>,
}

/// A distributed-routing VPC, as far as its bridge has been told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::vpc()))]
pub struct Vpc {
    /// Its id.
    pub id: String,
    /// Number of the last applied topology; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology_sequence: Option<u64>,
    /// Number of the last applied routing policies; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies_sequence: Option<u64>,
    /// Its tiers.
    pub tiers: Vec<Tier>,
    /// VIFs whose Ethernet address is in no tier: nothing is forwarded for them.
    pub unplaced_vifs: Vec<String>,
}

/// A managed bridge as it is in the switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::bridge()))]
pub struct Bridge {
    /// Name of the bridge.
    pub name: String,
    /// GRE key of its network; absent on the bridge of a VPC, which has a key for each tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<u32>,
    /// The distributed-routing VPC of which it has all tiers; absent on a network's bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<Vpc>,
    /// UUID of its network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_uuid: Option<String>,
    /// Id of this host in the management server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<String>,
    /// What the network does with IPv6.
    pub ipv6: Ipv6Policy,
    /// The kind of all its tunnels, of those to come too.
    #[serde(default)]
    pub kind: TunnelKind,
    /// The UDP port to which its tunnels send and at which they take packets, the same on all hosts of the network; absent where the kind has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dst_port: Option<u16>,
    /// True when the bridge was there before us: a removal then takes our marks, tunnels and flows away and leaves it.
    pub adopted: bool,
    /// Its tunnels, by port name.
    pub tunnels: Vec<Tunnel>,
    /// While its kind changes, the kind by which frames are received too; absent else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<SecondKind>,
    /// VM interfaces on it.
    pub vifs: Vec<Vif>,
    /// The port that may lead out of the network beside the tunnels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplink: Option<String>,
    /// Addresses for which the switch answers, in their order; absent where it was told of none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub neighbours: Vec<Neighbour>,
    /// Ports that are neither the bridge's own, nor our tunnels, nor VIFs.
    pub other_ports: Vec<String>,
    /// State of our flows.
    pub flows: Flows,
    /// Whether it carries its network's frames, and why not.
    // v0.1.0 does not say it: nothing is known to be wrong.
    #[serde(default = "unsaid_health")]
    #[schema(required = true)]
    pub health: Health,
    /// Largest MTU of a guest whose frames cross all tunnels of the bridge in one piece, bytes: the least MTU of the devices by which
    /// they leave, less what its kind
    /// of tunnels takes, 42 bytes for GRE, 50 for VXLAN and Geneve. Absent where it has no tunnel, or no way to another host is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_guest_mtu: Option<u32>,
    /// `mtu_request` of the bridge's own interface, bytes: the MTU that its device is to have, whoever asked for it. Absent where nobody has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu_request: Option<u32>,
    /// The plugin's last call for it; absent where none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

/// Answer of `PUT /v1/bridges/{bridge}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::bridge_answer()))]
pub struct BridgeAnswer {
    /// What was done.
    pub outcome: Outcome,
    /// What was changed, each thing with what it was and what it is.
    #[serde(default)]
    pub changes: Vec<Changed>,
    /// The bridge as read back.
    pub bridge: Bridge,
}

fn unsaid_health() -> Health {
    Health { state: crate::HealthState::Ok, as_of: None, reasons: Vec::new() }
}

/// Answer of `GET /v1/bridges`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::bridge_list()))]
pub struct BridgeList {
    /// The managed bridges that were asked for, by name.
    pub bridges: Vec<Bridge>,
    /// Where there are more than `limit`: the `cursor` to ask for those with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Answer of `GET /v1/bridges` with `fields`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::bridge_selection()))]
pub struct BridgeSelection {
    /// Of each managed bridge that was asked for, by name, those of these fields that it has.
    #[schema(value_type = Vec<Object>)]
    pub bridges: Vec<serde_json::Map<String, serde_json::Value>>,
    /// Where there are more than `limit`: the `cursor` to ask for those with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// As v0.1.0 answers `GET /v1/bridges`.
    const OF_V0_1_0: &str = r#"{"bridges":[{"name":"xapi1","key":1001,"host_id":"1","ipv6":"drop","adopted":false,"tunnels":[
        {"port":"t1001-1-2","from":"1","to":"2","remote_ip":"192.0.2.2","key":1001,"ofport":1,"state":"up"}],
        "vifs":[],"other_ports":[],"flows":{"state":"in_sync","expected":2,"installed":2}}]}"#;

    #[test]
    fn what_the_first_release_says_is_understood() {
        let list: BridgeList = serde_json::from_str(OF_V0_1_0).unwrap();
        let bridge = &list.bridges[0];
        assert_eq!(
            (bridge.health.state, bridge.kind, bridge.tunnels[0].protected),
            (crate::HealthState::Ok, TunnelKind::Gre, true)
        );
        let ready = r#"{"ready":true,"ovs_version":"3.1.0","version":"0.1.0","last_reconcile":
            {"at":"2026-11-29T08:36:28Z","why":"the interval has passed","found":0,"failed":0,"words":[]}}"#;
        assert!(serde_json::from_str::<crate::Ready>(ready).unwrap().health.is_none());
    }
}
