//! A small cloud in the lab: hosts on which `ovstunneld` runs, and the place of the management server that calls them.
//!
//! What it does: makes certificates, starts, kills and restarts the daemons, and calls them over HTTPS as a management
//! server would; the end-to-end tests and the demo read as prose on top of it. What it must not do: know how the daemon
//! works inside; it uses the programs as they are built.

mod agent;
mod away;
mod binaries;
mod browser;
mod checker;
mod cloud;
mod databases;
mod faults;
mod helper;
mod hypervisor;
mod kills;
mod life;
mod load;
mod manager;
mod node;
mod old;
mod picture;
mod place;
mod plugin;
mod pool;
mod python_plugin;
mod raw;
mod replicas;
mod requests;
mod rule_watch;
mod rules;
mod simulated;
mod snapshot;
mod toolbox;
mod udev;
mod vifs;
mod vpc;
mod zone;

pub use agent::{Agent, Ran};
pub use away::Away;
pub use binaries::{helper, program};
pub use browser::{Browser, Views};
pub use checker::{Fault, Reading, read as read_switches};
pub use cloud::{Cloud, Network, key_of};
pub use databases::{Databases, PASSWORD};
pub use faults::{Harm, OF_BRIDGE, OF_HOST, SwitchFault};
pub use helper::Helper;
pub use hypervisor::{Guest, Hypervisor};
pub use kills::kill_something;
pub use life::{HOSTS as LIFE_HOSTS, Step, life, watched_life};
pub use load::{Dice, Load, Running, number};
pub use manager::Manager;
pub use node::{Node, NodeConfig};
pub use old::{Old, expect_state};
pub use picture::Picture;
pub use place::{Place, no_frame_twice};
pub use plugin::{Answered, Plugin, request};
pub use pool::{Pool, network_uuid};
pub use python_plugin::{DEAD_PORT, flow, flows_of_others, plugin_plugs, plugin_sets_up};
pub use raw::{Answer, Body, Caller};
pub use replicas::{Preparing, Replicas};
pub use requests::{problem, tunnel_to, tunnels_to};
pub use rule_watch::{RuleCame, RuleWatch};
pub use rules::{
    exact_rules, expect_tunnels, our_flows, packets_below, tunnel_kinds, underlay_flows, wait_for_exact_rules,
    wait_for_underlay_flows,
};
pub use simulated::Simulated;
pub use snapshot::{Snapshot, database_file};
pub use toolbox::{Mode, Toolbox};
pub use udev::{Plugged, Udev};
pub use vifs::{ask, expect_no_strays, make_devices, plug_all, remove_devices, unplug_all};
pub use vpc::{VPC_BRIDGE, VpcCloud, address, gateway, open_policies, policies, tier_uuid, topology, whole_topology};
pub use zone::Zone;
