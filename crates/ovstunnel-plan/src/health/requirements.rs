//! What a frame depends on, as a list: the words of all reasons. Must not judge.

/// By what it is seen whether a requirement holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenBy {
    /// The switch's database.
    Database,
    /// The flow tables.
    Flows,
    /// What the switch tells beside both: `ofproto/trace`, `fdb/show`, the ports' configuration over OpenFlow.
    Switch,
    /// The kernel's devices and routes.
    Kernel,
}

/// Who puts it right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// The daemon.
    ByUs,
    /// The daemon on what is its own; what is others' is only told.
    OnOurs,
    /// Somebody else: it is only told, for it is not ours, or may be meant.
    Told,
}

/// One thing that must hold for frames to pass exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The word of the reasons that say that it does not hold.
    pub what: &'static str,
    /// How it is seen.
    pub seen: SeenBy,
    /// Who puts it right.
    pub repaired: Repaired,
    /// What can be said where it holds everywhere.
    pub well: &'static str,
}

const fn needs(what: &'static str, seen: SeenBy, repaired: Repaired, well: &'static str) -> Requirement {
    Requirement { what, seen, repaired, well }
}

/// All requirements.
pub const REQUIREMENTS: [Requirement; 33] = {
    use Repaired::{ByUs, OnOurs, Told};
    use SeenBy::{Database, Flows, Kernel, Switch};
    [
        needs("fail_open", Switch, Told, "no bridge has lost its flows to a controller that does not answer"),
        needs("controller", Database, Told, "no managed bridge has an OpenFlow controller"),
        needs("fail_mode", Database, Told, "every network's bridge forwards also where it has lost its flows"),
        needs("uplink", Kernel, Told, "no port that is not declared leads out of a network"),
        needs("protected", Database, OnOurs, "every tunnel on a managed bridge is protected"),
        needs("stp", Database, ByUs, "STP and RSTP are off on every managed bridge"),
        needs("mcast_snooping", Database, ByUs, "multicast snooping is off on every managed bridge"),
        needs("mirror", Database, Told, "no mirror sends copies into a network"),
        needs("flow_limit", Database, Told, "no limit keeps flows of ours out"),
        needs("flow_restore_wait", Database, Told, "ovs-vswitchd is not told to wait for flows"),
        needs("datapath", Database, Told, "every managed bridge has the datapath that its tunnels need"),
        needs("drift", Database, ByUs, "nothing of ours differs from its record"),
        needs("flows_unknown", Flows, ByUs, "our flows were read on every managed bridge"),
        needs("shadowing_flow", Flows, Told, "no flow of others cuts off, doubles or leads astray what ours forward"),
        needs("tunnel_error", Database, Told, "no tunnel is in error"),
        needs("vlan", Database, OnOurs, "no port of a managed bridge is in a VLAN"),
        needs("port_config", Switch, OnOurs, "no port is shut over OpenFlow"),
        needs("port_error", Database, Told, "Open vSwitch has taken every bridge's own device"),
        needs("vif_protected", Database, Told, "no VIF is protected"),
        needs("vif_down", Database, Told, "every VIF's device is up"),
        needs("vif_without_device", Database, Told, "every VIF has its device"),
        needs("vif_in_linux_bridge", Kernel, Told, "no VIF is a port of a Linux bridge, too"),
        needs("vif_mtu", Database, Told, "no VIF has a smaller MTU than the others of its network"),
        needs("unplaced_vif", Database, Told, "every VIF of a VPC is in a tier"),
        needs("fragments", Switch, Told, "IP fragments pass"),
        needs("static_address", Switch, Told, "no address was set by hand"),
        needs("address_table_full", Switch, Told, "every table of addresses has room"),
        needs("loop", Switch, Told, "no address moves from port to port all the time"),
        needs("trace", Switch, Told, "frames that were followed go where they must"),
        needs("underlay", Kernel, Told, "what is below the tunnels carries them"),
        needs("tunnel_address", Kernel, Told, "a way leads to each other host"),
        needs("underlay_bridge", Database, Told, "the bridge below the tunnels carries them"),
        needs("underlay_device", Database, Told, "the devices below the tunnels are up"),
    ]
};
