//! Faults that others may do to a switch: what plants each, and what is told of it.
//!
//! What it does: the table that the tests of the daemon's health and of the manager's proof go through. What it must not do: plant one.

use ovstunnel_api::Severity;

/// What a fault does to VMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// The VM of host 1 reaches no other host.
    PingFails,
    /// A frame comes more than once to somebody.
    Twice,
    /// Nothing that a ping shows at once.
    Later,
}

/// A fault on host 1, whose VM is on `vif1.0` of bridge `xapi1`.
#[derive(Clone, Copy, Debug)]
pub struct SwitchFault {
    /// What plants it; `MAC2` stands for the MAC of another host's VM.
    pub commands: &'static [&'static str],
    /// The requirement of forwarding that is not met.
    pub what: &'static str,
    /// Of what.
    pub subject: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it does to VMs.
    pub harm: Harm,
}

impl SwitchFault {
    /// One that is told, and cuts off at most what somebody may have meant to cut off.
    pub const fn told(
        what: &'static str,
        subject: &'static str,
        harm: Harm,
        commands: &'static [&'static str],
    ) -> SwitchFault {
        SwitchFault { commands, what, subject, severity: Severity::Degraded, harm }
    }

    /// One by which the network fails.
    pub const fn fails(
        what: &'static str,
        subject: &'static str,
        harm: Harm,
        commands: &'static [&'static str],
    ) -> SwitchFault {
        SwitchFault { commands, what, subject, severity: Severity::Failed, harm }
    }
}

/// Told of the bridge.
pub const OF_BRIDGE: [SwitchFault; 16] = [
    SwitchFault::told("fail_mode", "xapi1", Harm::Later, &["ovs-vsctl set-fail-mode xapi1 secure"]),
    SwitchFault::told("controller", "xapi1", Harm::Later, &["ovs-vsctl set-controller xapi1 tcp:127.0.0.1:6699"]),
    SwitchFault::fails(
        "mirror",
        "xapi1",
        Harm::Twice,
        &["ovs-vsctl -- --id=@m create Mirror name=m0 select_all=true output_vlan=5 -- add Bridge xapi1 mirrors @m"],
    ),
    SwitchFault::fails(
        "flow_limit",
        "xapi1",
        Harm::Later,
        &["ovs-vsctl -- --id=@t create Flow_Table flow_limit=2 -- set Bridge xapi1 flow_tables:0=@t"],
    ),
    SwitchFault::told("vlan", "vif1.0", Harm::PingFails, &["ovs-vsctl set Port vif1.0 tag=7"]),
    SwitchFault::told("vlan", "vif1.0", Harm::PingFails, &["ovs-vsctl set Port vif1.0 trunks=7"]),
    SwitchFault::told("vif_protected", "vif1.0", Harm::PingFails, &["ovs-vsctl set Port vif1.0 protected=true"]),
    SwitchFault::told("vif_down", "vif1.0", Harm::PingFails, &["ip link set dev vif1.0 down"]),
    SwitchFault::fails(
        "vif_in_linux_bridge",
        "vif1.0",
        Harm::Later,
        &["ip link add lb0 type bridge", "ip link set dev lb0 up", "ip link set dev vif1.0 master lb0"],
    ),
    SwitchFault::told("vif_mtu", "vif1.0", Harm::Later, &["ovs-vsctl set Interface vif1.0 mtu_request=600"]),
    SwitchFault::fails("datapath", "xapi1", Harm::PingFails, &["ovs-vsctl set Bridge xapi1 datapath_type=system"]),
    // What only the switch itself tells.
    SwitchFault::fails("fragments", "xapi1", Harm::Later, &["ovs-ofctl set-frags xapi1 drop"]),
    SwitchFault::told(
        "port_config",
        "vif1.0",
        Harm::PingFails,
        &["ovs-ofctl -O OpenFlow10 mod-port xapi1 vif1.0 no-receive"],
    ),
    SwitchFault::told(
        "port_config",
        "vif1.0",
        Harm::Later,
        &["ovs-ofctl -O OpenFlow10 mod-port xapi1 vif1.0 no-flood"],
    ),
    SwitchFault::fails("static_address", "xapi1", Harm::PingFails, &["ovs-appctl fdb/add xapi1 vif1.0 0 MAC2"]),
    SwitchFault::fails(
        "shadowing_flow",
        "xapi1",
        Harm::PingFails,
        &["ovs-ofctl add-flow xapi1 cookie=0x77,priority=2000,tun_id=1001,actions=drop"],
    ),
];

/// Told of the host, once, and the host is not ready.
pub const OF_HOST: [SwitchFault; 3] = [
    SwitchFault::fails("underlay_bridge", "br-phy", Harm::PingFails, &["ovs-vsctl set-fail-mode br-phy secure"]),
    SwitchFault::fails("underlay_device", "br-phy", Harm::PingFails, &["ip link set dev eth0 down"]),
    SwitchFault::fails(
        "flow_restore_wait",
        "Open_vSwitch",
        Harm::Later,
        &["ovs-vsctl set Open_vSwitch . other_config:flow-restore-wait=true"],
    ),
];
