//! The functions as CloudStack's KVM agent has them called, by the program `ovstunnel-kvm` in place of its `ovstunnel.py`.
//!
//! What it does: takes exactly the options of that program, and takes up the bridges that the agent has made itself. What it must not do: take
//! or delete a bridge that is not called as a network's is, or know how the program ends.

use ovstunnel_plan::{
    BridgeName, Change, CreateTunnel, DesiredBridge, GreKey, HostFacts, HostId, Mark, SetupBridge, ids,
    waits_for_takeover, was_released,
};
use ovstunnel_types::text::excerpt;

use super::arguments::{NetworkKey, PLAIN};
use super::{Arguments, Call, Failure, Reason, bridge, claim, foreign_tunnel, masters, tunnel};
use crate::state::Shared;

/// The functions that there are.
pub const FUNCTIONS: [&str; 7] = [
    "setup_ovs_bridge",
    "destroy_ovs_bridge",
    "create_tunnel",
    "destroy_tunnel",
    "setup_ovs_bridge_for_distributed_routing",
    "configure_ovs_bridge_for_network_topology",
    "configure_ovs_bridge_for_routing_policies",
];

/// The largest key whose bridge can be: its name is that of a device, of at most 15 characters.
const LARGEST_KEY: u32 = 999_999;

type Answer = Result<String, Failure>;

/// Runs a function; nothing where there is none of that name.
pub(super) async fn run_function(call: Call<'_>, function: &str, arguments: Arguments<'_>) -> Option<Answer> {
    Some(match function {
        "setup_ovs_bridge" => setup_bridge(call, arguments).await,
        "destroy_ovs_bridge" => destroy_bridge(call, arguments).await,
        "create_tunnel" => create_tunnel(call, arguments).await,
        "destroy_tunnel" => destroy_tunnel(call, arguments).await,
        "setup_ovs_bridge_for_distributed_routing" => of_vpc(arguments, &["bridge", "key", "cs_host_id"]),
        "configure_ovs_bridge_for_network_topology" | "configure_ovs_bridge_for_routing_policies" => {
            of_vpc(arguments, &["bridge", "config"])
        }
        _ => return None,
    })
}

/// The name of such a VPC's bridge is too long for a device, so nothing that is done for it would be of use to a VM.
fn of_vpc(arguments: Arguments<'_>, options: &[&str]) -> Answer {
    arguments.allow_only(options)?;
    Err(no_vpc())
}

fn no_vpc() -> Failure {
    Failure::new(Reason::NotSupported, "distributed-routing VPCs do not work on KVM; plain VPCs do")
}

/// A network's bridge, and the key that its name says.
struct Network {
    bridge: BridgeName,
    key: GreKey,
}

impl Network {
    fn from_arguments(arguments: Arguments<'_>) -> Result<Self, Failure> {
        let refused = |rule: String, text: &str| {
            Err(Failure::new(Reason::InvalidArgument, format!("bridge {rule}; got `{}`", excerpt(text))))
        };
        let Some(text) = arguments.text("bridge") else {
            return Err(Failure::new(Reason::InvalidArgument, "bridge is required"));
        };
        match NetworkKey::parse(text) {
            Some(NetworkKey::Vpc(_)) => Err(no_vpc()),
            Some(NetworkKey::Plain(key)) if text == format!("{PLAIN}{key}") => match text.parse() {
                Ok(bridge) => Ok(Network { bridge, key }),
                Err(_) => refused(format!("is a device's name, so on KVM GRE keys end at {LARGEST_KEY}"), text),
            },
            _ => refused(format!("must be {PLAIN}<GRE key>"), text),
        }
    }

    /// Its set-up by the agent.
    fn set_up_by(&self, host: Option<HostId>) -> SetupBridge {
        SetupBridge {
            bridge: self.bridge.clone(),
            key: self.key,
            network_uuid: None,
            host_id: host,
            ipv6: None,
            uplink: None,
            neighbours: None,
            tunnel_kind: None,
            tunnels: None,
            host: HostFacts::default(),
            agent: true,
        }
    }

    /// That the bridge may become ours, where it is not: nothing on it is at work for the Python program, and nothing contradicts its name.
    async fn expect_takable(&self, call: Call<'_>) -> Result<(), Failure> {
        let bridge = &self.bridge;
        let foreign =
            call.observed_bridge(bridge).filter(|observed| DesiredBridge::bridge_mark(observed) == Mark::Foreign);
        let Some(observed) = foreign else { return Ok(()) };
        let in_the_way = |what: String| Err(Failure::new(Reason::InTheWay, format!("bridge {bridge} {what}")));
        let takeover = format!("`ovstunnelctl takeover {bridge}` takes it over");
        if let Some(text) = observed.other_config.get(ids::GRE_KEY)
            && NetworkKey::parse(text) != Some(NetworkKey::Plain(self.key))
        {
            return in_the_way(format!("has other_config:gre_key={}, which contradicts its name", excerpt(text)));
        }
        if let Some(port) = foreign_tunnel(&observed) {
            return in_the_way(format!("has tunnel {port}, which is not ovstunnel's; {takeover}"));
        }
        let was_the_plugins = waits_for_takeover(&observed) || was_released(&observed);
        if was_the_plugins && call.has_plugin_flows(&observed).await? {
            return in_the_way(format!("has flows of the Python program; {takeover}"));
        }
        Ok(())
    }

    /// Whether the bridge is there and not recorded as the agent's.
    fn is_to_be_taken_up(&self, call: Call<'_>) -> bool {
        let observed = call.observed_bridge(&self.bridge);
        observed.is_some_and(|observed| DesiredBridge::from_record(&observed).is_none_or(|ours| !ours.agent))
    }

    /// Takes the bridge up where that was not done: the agent goes on where its set-up has failed. From then on, for as long as the guard
    /// lives, nobody sets it up or takes it away.
    async fn take_up(&self, call: Call<'_>, host: &HostId) -> Result<Shared, Failure> {
        let shared = call.state.turns.wait_shared(&self.bridge).await;
        if !self.is_to_be_taken_up(call) {
            return Ok(shared);
        }
        drop(shared);
        let alone = call.state.turns.wait_alone(&self.bridge).await;
        if self.is_to_be_taken_up(call) {
            self.expect_takable(call).await?;
            tracing::info!(bridge = %self.bridge, "the agent made the bridge, and it was not set up; adopting it");
            call.make_change(Change::SetupBridge(self.set_up_by(Some(host.clone())))).await?;
        }
        Ok(alone.downgrade())
    }
}

/// `setup_ovs_bridge`: its `key` is the bridge's name.
async fn setup_bridge(call: Call<'_>, arguments: Arguments<'_>) -> Answer {
    arguments.allow_only(&["bridge", "key", "cs_host_id"])?;
    let network = Network::from_arguments(arguments)?;
    if arguments.network_key("key")? != NetworkKey::Plain(network.key) {
        let key = excerpt(arguments.text("key").unwrap_or_default());
        let words = format!("key must be that of bridge {}; got `{key}`", network.bridge);
        return Err(Failure::new(Reason::InvalidArgument, words));
    }
    let host: HostId = arguments.required_value("cs_host_id")?;
    let _alone = call.state.turns.wait_alone(&network.bridge).await;
    network.expect_takable(call).await?;
    bridge::set_up(call, network.set_up_by(Some(host))).await?;
    Ok(format!("SUCCESS:{}", network.bridge))
}

/// `destroy_ovs_bridge`: the bridge goes with all its tunnels, whoever made it; a success also where it is gone.
async fn destroy_bridge(call: Call<'_>, arguments: Arguments<'_>) -> Answer {
    arguments.allow_only(&["bridge"])?;
    let Network { bridge, .. } = Network::from_arguments(arguments)?;
    let _alone = call.state.turns.wait_alone(&bridge).await;
    let record = call.observed_bridge(&bridge).and_then(|observed| DesiredBridge::from_record(&observed));
    if let Some(epoch) = masters::left_to(call, record.as_ref()) {
        claim::record_left(call, &bridge).await?;
        tracing::info!(%bridge, %epoch, "the plugin's removal is left to the zone's manager");
    } else {
        let dead = call.state.dead_vifs(&bridge).await;
        bridge::remove_bridge(call, Change::DeleteBridge(bridge.clone(), dead)).await?;
    }
    Ok(format!("SUCCESS:{bridge}"))
}

/// `create_tunnel`: again is a success, with the same name.
async fn create_tunnel(call: Call<'_>, arguments: Arguments<'_>) -> Answer {
    arguments.allow_only(&["bridge", "remote_ip", "key", "src_host", "dst_host"])?;
    let network = Network::from_arguments(arguments)?;
    let key: GreKey = arguments.required_value("key")?;
    if key != network.key {
        let words = format!("key must be that of bridge {}; got `{key}`", network.bridge);
        return Err(Failure::new(Reason::InvalidArgument, words));
    }
    let create = CreateTunnel {
        bridge: network.bridge.clone(),
        from: arguments.required_value("src_host")?,
        to: arguments.required_value("dst_host")?,
        remote_ip: arguments.required_value("remote_ip")?,
        key: Some(key),
        network_uuid: None,
        renumbers: true,
    };
    tunnel::expect_another_host(call, create.remote_ip).await?;
    let _shared = network.take_up(call, &create.from).await?;
    tunnel::make_tunnel(call, create).await
}

/// `destroy_tunnel`: a success also where there is none.
async fn destroy_tunnel(call: Call<'_>, arguments: Arguments<'_>) -> Answer {
    arguments.allow_only(&["bridge", "iface_name"])?;
    let Network { bridge, .. } = Network::from_arguments(arguments)?;
    tunnel::remove_tunnel(call, bridge, arguments.required_value("iface_name")?).await
}
