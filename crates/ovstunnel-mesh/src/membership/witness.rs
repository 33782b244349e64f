//! Who says that a host has VMs of a network, and what exactly is said. Must not decide what follows.

use std::time::Duration;

use crate::Moment;

/// How long a plugin's `create_tunnel` says that both its ends have VMs of the network: the set-up of their bridges is before it or
/// under way.
pub const TUNNEL_CALL_LASTS: Duration = Duration::from_secs(60);

/// Who can say that a host has VMs of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Witness {
    /// NICs that were prepared and released.
    Api,
    /// The plugin's last call for the network's bridge.
    Bridges,
    /// VIFs plugged on the network's bridge.
    Vifs,
    /// What CloudStack's API tells of its VMs.
    CloudStack,
}

impl Witness {
    /// The word for it in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Witness::Api => "api",
            Witness::Bridges => "bridges",
            Witness::Vifs => "vifs",
            Witness::CloudStack => "cloudstack",
        }
    }
}

impl Says {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Says::In => "in",
            Says::Out => "out",
            Says::Unknown => "unknown",
        }
    }
}

/// What a witness says of a host and a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Says {
    /// There are VMs.
    In,
    /// There are none.
    Out,
    /// It cannot tell.
    Unknown,
}

/// What a witness says, since when, and how old that knowledge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Testimony {
    /// Who.
    pub witness: Witness,
    /// What.
    pub says: Says,
    /// Since when it says so.
    pub since: Moment,
    /// When it was last known to say so: for what a host tells, its last sign of life.
    pub as_of: Moment,
}

/// The NICs of the network on the host, as prepared and released. `had_any` is whether the network ever had a NIC anywhere: for one
/// that never had, somebody else looks after NICs, and this witness cannot tell. It is the caller's own record, so it is never old.
pub fn by_api(nics_here: usize, had_any: bool, since: Moment, now: Moment) -> Testimony {
    let says = match (nics_here, had_any) {
        (0, false) => Says::Unknown,
        (0, true) => Says::Out,
        _ => Says::In,
    };
    Testimony { witness: Witness::Api, says, since, as_of: now }
}

/// A call of the plugin for a network's bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `setup_ovs_bridge`.
    SetUp,
    /// `destroy_ovs_bridge`.
    Destroy,
    /// `create_tunnel`, of which the host is either end.
    CreateTunnel,
}

/// The plugin's last call, and when it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastCall {
    /// Which.
    pub call: Call,
    /// When.
    pub at: Moment,
}

/// What is seen of a network's bridge on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BridgeSeen {
    /// It is there, with so many VIFs.
    There {
        /// Its VIFs.
        vifs: usize,
        /// How many of them have a device: of a VM that has crashed a port may be left without one.
        live: usize,
    },
    /// It is not there, and no call of the plugin has taken it away: an empty switch, for example.
    Gone,
}

/// What the plugin's calls say. A bridge that nobody set up by the plugin says nothing.
pub fn by_bridges(last: Option<LastCall>, bridge: BridgeSeen, as_of: Moment) -> Testimony {
    let gone = bridge == BridgeSeen::Gone;
    let says = match last {
        Some(LastCall { call: Call::Destroy, .. }) => Says::Out,
        // The call may come before the bridge.
        Some(LastCall { call: Call::CreateTunnel, at }) if as_of.since(at) < TUNNEL_CALL_LASTS => Says::In,
        Some(LastCall { call: Call::SetUp, .. }) if !gone => Says::In,
        _ => Says::Unknown,
    };
    let since = last.map_or(as_of, |last| last.at);
    Testimony { witness: Witness::Bridges, says, since, as_of }
}

/// What the VIFs on the network's bridge say, since `since`; nothing where no VIF of them has its device. Where the bridge is gone they say nothing, but after the plugin's own
/// destroy: then there are none.
pub fn by_vifs(bridge: BridgeSeen, last: Option<LastCall>, since: Moment, as_of: Moment) -> Testimony {
    let destroyed = last.is_some_and(|last| last.call == Call::Destroy);
    let says = match bridge {
        BridgeSeen::There { vifs: 0, .. } => Says::Out,
        // A port whose device is gone is no VM, and yet one may be about to come back to it.
        BridgeSeen::There { live: 0, .. } => Says::Unknown,
        BridgeSeen::There { .. } => Says::In,
        BridgeSeen::Gone if destroyed => Says::Out,
        BridgeSeen::Gone => Says::Unknown,
    };
    Testimony { witness: Witness::Vifs, says, since, as_of }
}

/// What CloudStack's API told when it was read at `as_of`: `vms` of the network are on the host. Where it has the network and none is there, there is
/// none, but while a VM of the network starts, stops or moves: the API has the host that it is on only afterwards.
pub fn by_cloudstack(vms: usize, is_moving: bool, since: Moment, as_of: Moment) -> Testimony {
    let says = match (vms, is_moving) {
        (0, true) => Says::Unknown,
        (0, false) => Says::Out,
        _ => Says::In,
    };
    Testimony { witness: Witness::CloudStack, says, since, as_of }
}
