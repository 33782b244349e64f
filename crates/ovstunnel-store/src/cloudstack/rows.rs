//! What CloudStack's tables hold, as far as it concerns tunnels. Values are as they stand there, wrong ones too.
//!
//! What it must not do: SQL; decide what is right.

/// Every table that is read.
pub const TABLES: [&str; 13] = [
    "data_center",
    "configuration",
    "host",
    "networks",
    "physical_network",
    "physical_network_isolation_methods",
    "physical_network_traffic_types",
    "op_dc_vnet_alloc",
    "ovs_tunnel_interface",
    "ovs_tunnel_network",
    "nics",
    "router_network_ref",
    "vm_instance",
];

/// All that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Tables that the database does not have.
    pub missing: Vec<&'static str>,
    /// Its zones, removed ones left out.
    pub zones: Vec<Zone>,
    /// `sdn.ovs.controller`.
    pub controller: Setting,
    /// `sdn.ovs.controller.default.label`.
    pub default_label: Setting,
    /// Hypervisor hosts, removed ones too.
    pub hosts: Vec<Host>,
    /// Networks, removed ones too.
    pub networks: Vec<Network>,
    /// Physical networks, removed ones left out.
    pub physical_networks: Vec<PhysicalNetwork>,
    /// Keys that are given out.
    pub taken: Vec<TakenKey>,
    /// Where hosts' tunnels end, the lock row too.
    pub endpoints: Vec<Endpoint>,
    /// Tunnels, each direction for itself, the lock row too.
    pub tunnels: Vec<Tunnel>,
    /// Which hosts have VMs of which networks.
    pub members: Vec<Member>,
}

/// A row of `configuration`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Setting {
    /// There is no such row.
    #[default]
    Absent,
    /// There is one without a value: the default holds.
    Default,
    /// Its value.
    Value(String),
}

/// A row of `data_center`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
}

/// A row of `host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its id: the number that stands on bridges and in tunnels.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its zone.
    pub zone: Option<u64>,
    /// Its hypervisor, `XenServer` or `KVM`.
    pub hypervisor: Option<String>,
    /// Whether it was removed.
    pub is_removed: bool,
}

/// A row of `networks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: Option<String>,
    /// Its zone.
    pub zone: Option<u64>,
    /// The physical network that it lies on.
    pub physical_network: Option<u64>,
    /// How its frames are kept apart: `Vswitch` for ours.
    pub domain_type: Option<String>,
    /// `vs://<key>` or `vs://<vpc>.<key>` while it is implemented.
    pub uri: Option<String>,
    /// Whether it was removed.
    pub is_removed: bool,
}

/// A row of `physical_network`, with those of its isolation methods and of its guest traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhysicalNetwork {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: Option<String>,
    /// Its zone.
    pub zone: Option<u64>,
    /// Its ranges of keys.
    pub vnet: Option<String>,
    /// Its isolation methods.
    pub methods: Vec<String>,
    /// Label of the guest traffic on XenServer and XCP-ng.
    pub label_xen: Option<String>,
    /// The same on KVM.
    pub label_kvm: Option<String>,
}

/// A row of `op_dc_vnet_alloc` that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenKey {
    /// The key, as it stands there.
    pub vnet: Option<String>,
    /// The physical network.
    pub physical_network: Option<u64>,
    /// The zone.
    pub zone: Option<u64>,
}

/// A row of `ovs_tunnel_interface`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub id: u64,
    /// The address.
    pub ip: Option<String>,
    /// The host.
    pub host: Option<u64>,
    /// The label that the host was asked by.
    pub label: Option<String>,
}

/// A row of `ovs_tunnel_network`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Its id.
    pub id: u64,
    /// The host that has the port.
    pub from: u64,
    /// The host that it leads to.
    pub to: u64,
    /// The network.
    pub network: u64,
    /// The key.
    pub key: u64,
    /// The port's name; `[]` until a host has answered.
    pub port: Option<String>,
    /// The state, in the words of either family.
    pub state: Option<String>,
}

/// A host on which a VM of a network runs, comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// The network.
    pub network: u64,
    /// The host.
    pub host: u64,
}
