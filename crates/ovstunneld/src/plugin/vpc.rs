//! The bridge of a distributed-routing VPC. Must not be mistaken for a plain network's.

use super::{Arguments, Call, Failure, Reason};

type Answer = Result<String, Failure>;

/// `setup_ovs_bridge_for_distributed_routing`
pub(super) async fn setup(_call: Call<'_>, _arguments: Arguments<'_>) -> Answer {
    not_supported()
}

/// `configure_ovs_bridge_for_network_topology`
pub(super) async fn topology(_call: Call<'_>, _arguments: Arguments<'_>) -> Answer {
    not_supported()
}

/// `configure_ovs_bridge_for_routing_policies`
pub(super) async fn policies(_call: Call<'_>, _arguments: Arguments<'_>) -> Answer {
    not_supported()
}

fn not_supported() -> Answer {
    Err(Failure::new(Reason::NotSupported, "distributed routing is not supported"))
}
