//! What ovstunnel wants of a switch, what is there, and the difference between the two.
//!
//! What it does: observed and desired state; typed flows; a request's effect on the
//! desired state; the plan, a pure function of desired and observed. What it must not do: I/O of any kind, clocks,
//! randomness, or a dependency on an asynchronous runtime.

mod adopt;
mod announcement;
mod bfd;
mod bridge_mtu;
mod bridge_plan;
mod change;
mod change_set;
mod changed;
mod cookie;
mod desired;
mod desired_cache;
mod desired_tunnel;
mod effective;
mod flow;
mod flows;
mod frames;
mod health;
mod ipsec;
mod kind;
mod neighbours;
mod observed;
mod plan;
mod probe;
mod python_plugin;
mod second;
mod spanning_tree;
mod stages;
mod step;
mod transition;
mod tunnel_edits;
mod underlay;
mod uplink;
mod visible;
mod vpc;
mod witness;

pub use announcement::Announcement;
pub use bfd::BfdInterval;
pub use bridge_mtu::BridgeMtu;
pub use bridge_plan::{BridgePlan, Phase, Plan, PlanItem};
pub use change::{
    Change, ChangeKind, CreateTunnel, Footprint, Rejected, SetBfd, SetupBridge, SetupVpc, TunnelSpec, UpdateVpc,
    VpcUpdate,
};
pub use change_set::{ChangeSet, finish_takeover, takeover_begun};
pub use changed::Changed;
pub use cookie::{Cookie, Purpose};
pub use desired::{DesiredBridge, Mark, NO_HOST, Settings, ids};
pub use desired_cache::DesiredCache;
pub use desired_tunnel::DesiredTunnel;
pub use effective::{Capabilities, EffectiveSettings};
pub use flow::{
    Action, Advertised, ArpMatch, DiscoveryMatch, DiscoveryOption, Flow, FlowParseError, Ipv4Match, Ipv6Match, Learn,
    MacMatch, Match, Moved, PortMask,
};
pub use flows::{FlowChange, FlowsSeen, bridge_flows, wanted_flows};
pub use frames::{Followed, Frame, Frames, Out};
pub use health::{
    Below, BelowBridge, Facts, REQUIREMENTS, Reason, Repaired, Requirement, SeenBy, Severity, Way, bridge_health,
    host_health,
};
pub use ipsec::{InTheWay, ipsec_in_the_way};
pub use kind::BridgeKind;
pub use neighbours::{Neighbours, is_of_an_answer};
pub use observed::{
    FlowLimit, ObservedBridge, ObservedInterface, ObservedMirror, ObservedPort, TunnelHealth, View, Vlan,
};
pub use ovstunnel_types::{
    BridgeName, Cidr, Encap, Epoch, Fenced, GreKey, HostId, Invalid, Ipsec, IpsecFiles, Ipv6Policy, KindStep, Mac,
    NetworkUuid, Outcome, PortName, Psk, RemoteIp, Standing, TunnelEndpoint, TunnelKind, TunnelOptions, shown_option,
    tunnel_udp_port,
};
pub use plan::plan_bridge;
pub use probe::{Arrived, PROBE_FRAMES, PROBE_LASTS, PROBE_SIZES, Probe, is_of_a_probe};
pub use python_plugin::{
    Finding, PluginFlow, PluginGroup, PluginTable, has_vpc_pipeline, survey_bridges, waits_for_takeover, was_released,
};
pub use second::{NO_VLAN, Second};
pub use spanning_tree::SpanningTree;
pub use stages::split_stages;
pub use step::{BridgeEdit, BridgeSpec, FailMode, PortEdit, Step, SwitchEdit};
pub use transition::{Learnt, TransitionFlows};
pub use underlay::{TunnelEnd, Underlay};
pub use uplink::{DeviceFacts, HostFacts, UplinkName, WayOut, carries_tunnels, undeclared_uplinks, way_out};
pub use visible::steps_visible;
pub use vpc::{
    AclId, AclItem, Applied, Decision, Direction, FLOWS_MAX, Nic, Policies, PortRange, Tier, TooLarge, Topology,
    Verdict, Vpc, VpcId, acl_priority, fits_record, range_masks, unplaced_vifs, vif_mac,
};
pub use witness::{AddressTable, PortConfig, Trace, Witness};
