//! The functions of the xapi plugin, as management servers call them on XenServer and XCP-ng, and those that CloudStack's KVM agent calls.
//!
//! What it does: reads the arguments into values that are valid, has the writer carry out what they mean, and answers in the
//! exact words of the plugin's contract. What it must not do: change the switch by any other way than the routes do, or say
//! `SUCCESS` of what cannot be seen in the switch.

mod adopt;
mod arguments;
mod bridge;
pub(crate) mod claim;
mod config;
mod failure;
pub(crate) mod fuzzing;
mod host;
mod kvm;
mod masters;
mod tunnel;
mod vpc;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

use ovstunnel_plan::{
    BridgeName, Change, Changed, DesiredBridge, Mark, ObservedBridge, View, waits_for_takeover, was_released,
};

use crate::state::State;
use crate::writer::Done;

pub use kvm::FUNCTIONS as AGENT_FUNCTIONS;

use arguments::Arguments;
use failure::{Failure, Reason};
use ovstunnel_server::middleware::RequestId;

/// The functions that there are.
pub const FUNCTIONS: [&str; 9] = [
    "setup_ovs_bridge",
    "destroy_ovs_bridge",
    "create_tunnel",
    "destroy_tunnel",
    "setup_ovs_bridge_for_distributed_routing",
    "configure_ovs_bridge_for_network_topology",
    "configure_ovs_bridge_for_routing_policies",
    "is_xcp",
    "getLabel",
];

/// One call of a function.
#[derive(Clone, Copy, Debug)]
struct Call<'a> {
    state: &'a State,
    id: &'a RequestId,
    /// What it has changed so far.
    changes: &'a Mutex<Vec<Changed>>,
}

/// Calls a function; nothing where there is none of that name. It returns what the management server gets, and what was changed, also by
/// a function that failed after that.
pub async fn call_function(
    state: &State,
    id: &RequestId,
    function: &str,
    arguments: &BTreeMap<String, String>,
) -> Option<(String, Vec<Changed>)> {
    let arguments = Arguments::new(arguments);
    let run = async |call: Call<'_>| {
        Some(match function {
            "setup_ovs_bridge" => bridge::setup_bridge(call, arguments).await,
            "destroy_ovs_bridge" => bridge::destroy_bridge(call, arguments).await,
            "create_tunnel" => tunnel::create_tunnel(call, arguments).await,
            "destroy_tunnel" => tunnel::destroy_tunnel(call, arguments).await,
            "setup_ovs_bridge_for_distributed_routing" => vpc::setup_vpc_bridge(call, arguments).await,
            "configure_ovs_bridge_for_network_topology" => vpc::configure_topology(call, arguments).await,
            "configure_ovs_bridge_for_routing_policies" => vpc::configure_policies(call, arguments).await,
            "is_xcp" => host::is_xcp(call).await,
            "getLabel" => host::host_label(call).await,
            _ => return None,
        })
    };
    carried_out(state, id, run).await
}

/// The same for a function as CloudStack's KVM agent calls it.
pub async fn call_of_agent(
    state: &State,
    id: &RequestId,
    function: &str,
    arguments: &BTreeMap<String, String>,
) -> Option<(String, Vec<Changed>)> {
    carried_out(state, id, async |call: Call<'_>| kvm::run_function(call, function, Arguments::new(arguments)).await)
        .await
}

/// What a function returned, and what was changed, also by one that failed after that; nothing where there is no such function.
async fn carried_out(
    state: &State,
    id: &RequestId,
    run: impl AsyncFnOnce(Call<'_>) -> Option<Result<String, Failure>>,
) -> Option<(String, Vec<Changed>)> {
    let changes = Mutex::default();
    let result = run(Call { state, id, changes: &changes }).await?;
    Some((answer_text(result), changes.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

/// What a function returned, as it is answered.
fn answer_text(result: Result<String, Failure>) -> String {
    match result {
        Ok(value) => {
            tracing::info!(value, "the plugin answers");
            value
        }
        Err(failure) => {
            tracing::warn!(value = %failure, "the plugin answers");
            failure.to_string()
        }
    }
}

impl Call<'_> {
    /// Has the writer carry a change out.
    async fn make_change(&self, change: Change) -> Result<Done, Failure> {
        let change = self.state.with_host(change).await;
        let change =
            change.map_err(|error| Failure::new(Reason::Unavailable, ovstunnel_types::text::error_chain(&error)))?;
        let done = self.state.writer.submit_change(change, self.id.to_string()).await;
        if let Ok(done) = &done {
            self.changes.lock().unwrap_or_else(PoisonError::into_inner).extend(done.changes.iter().cloned());
        }
        done.map_err(|error| Failure::of_write(error, &self.state.switch.watch_health().borrow()))
    }

    /// A bridge as it is now, ours or not.
    fn observed_bridge(&self, bridge: &BridgeName) -> Option<Arc<ObservedBridge>> {
        self.state.switch.observer().read(|db| db.view().bridge(bridge.as_str()))
    }

    /// That a bridge that is not ours is not at work for the Python plugin, nor has tunnels of anybody else's: those are not
    /// protected, and a frame that came by one of ours could leave by one of them; and the plugin's flows come before ours.
    async fn expect_not_at_work(&self, bridge: &BridgeName) -> Result<(), Failure> {
        let Some(observed) =
            self.observed_bridge(bridge).filter(|observed| DesiredBridge::bridge_mark(observed) == Mark::Foreign)
        else {
            return Ok(());
        };
        let in_the_way = |what: &str| {
            let words = format!(
                "bridge {bridge} {what}; `ovstunnelctl takeover {bridge}` takes such bridges over, but for those of VPCs, whose \
                 tunnels have to be removed first"
            );
            Err(Failure::new(Reason::InTheWay, words))
        };
        if let Some(port) = foreign_tunnel(&observed) {
            return in_the_way(&format!("has tunnel {port}, which is not ovstunnel's"));
        }
        if waits_for_takeover(&observed) {
            return in_the_way("is the Python plugin's, as its other_config:gre_key says");
        }
        if was_released(&observed) && self.has_plugin_flows(&observed).await? {
            return in_the_way("was released, and has flows of the Python plugin's again");
        }
        Ok(())
    }

    async fn has_plugin_flows(&self, bridge: &ObservedBridge) -> Result<bool, Failure> {
        let table = self.state.switch.plugin_flows(bridge, &self.state.writer.settings()).await;
        let health = || self.state.switch.watch_health().borrow().clone();
        Ok(!table.map_err(|error| Failure::of_write(error.into(), &health()))?.flows.is_empty())
    }
}

/// The first tunnel of a bridge that is of our kind and not ours.
fn foreign_tunnel(bridge: &ObservedBridge) -> Option<&str> {
    let mut ports = bridge.ports.values();
    ports.find(|port| port.is_tunnel_of_our_kind() && !port.is_tunnel_of_ours()).map(|port| port.name.as_str())
}
