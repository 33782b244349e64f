//! A tunnel that must be there, and the marks of its port that record it.
//!
//! What it does: says what its port and interface must have, and reads it back from a port. What it must not do: compare the two; a plan does.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;

use crate::{
    BfdInterval, Encap, GreKey, HostId, NO_VLAN, ObservedPort, PortName, RemoteIp, Settings, TunnelEndpoint,
    TunnelOptions, ids,
};

/// A tunnel that must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredTunnel {
    /// The name of its port: made of the ids when it was created, and kept when this host gets another id.
    pub name: PortName,
    /// Id of this host.
    pub from: HostId,
    /// Id of the host at the other end.
    pub to: HostId,
    /// Its kind and UDP port: those of its bridge.
    pub encap: Encap,
    /// Key of its network.
    pub key: GreKey,
    /// Address of the other end.
    pub remote_ip: RemoteIp,
    /// Address of this end, where the configuration says which: it is the same for all tunnels of the host to
    /// addresses of its family.
    pub local_ip: Option<RemoteIp>,
    /// What its packets have, where the configuration says so: it is the same for all tunnels of the host, and is not recorded.
    pub options: TunnelOptions,
    /// How often BFD sends, where it is to run.
    pub bfd: Option<BfdInterval>,
    /// It is the second of its pair of hosts while the kind changes: it receives, and nothing is flooded into it.
    pub second: bool,
}

impl DesiredTunnel {
    /// A tunnel that is not there yet.
    pub fn new(from: HostId, to: HostId, key: GreKey, remote_ip: RemoteIp, encap: Encap) -> Self {
        let name = PortName::tunnel_port(key, &from, &to);
        let options = TunnelOptions::default();
        DesiredTunnel { name, from, to, encap, key, remote_ip, local_ip: None, options, bfd: None, second: false }
    }

    /// The same with what the configuration says of all tunnels.
    pub fn with_settings(&self, settings: &Settings) -> Cow<'_, Self> {
        let local_ip = settings.local_ip.filter(|local| local.get().is_ipv4() == self.remote_ip.get().is_ipv4());
        if (local_ip, &settings.tunnel_options) == (self.local_ip, &self.options) {
            return Cow::Borrowed(self);
        }
        Cow::Owned(DesiredTunnel { local_ip, options: settings.tunnel_options.clone(), ..self.clone() })
    }

    /// The name of its port.
    pub fn port_name(&self) -> PortName {
        self.name.clone()
    }

    /// Where it leads: what makes it one tunnel to Open vSwitch.
    pub fn endpoint(&self) -> TunnelEndpoint {
        TunnelEndpoint { kind: self.encap.kind(), remote_ip: self.remote_ip.get(), key: self.key.get() }
    }

    /// The marks of its port.
    pub fn external_ids(&self) -> Vec<(&'static str, String)> {
        let mut marks = Vec::new();
        self.each_mark(|key, value| marks.push((key, value.to_string())));
        marks
    }

    /// The same one by one, where nobody needs them as texts: a bridge may have thousands of tunnels.
    pub(crate) fn each_mark(&self, mut mark: impl FnMut(&'static str, &dyn Display)) {
        mark(ids::FROM, &self.from);
        mark(ids::TO, &self.to);
        mark(ids::KEY, &self.key);
        mark(ids::REMOTE_IP, &self.remote_ip);
        if self.encap != Encap::GRE {
            mark(ids::ENCAP, &self.encap);
        }
        if self.second {
            mark(ids::SECOND, &"true");
        }
        self.local_ip.iter().for_each(|ip| mark(ids::LOCAL_IP, ip));
        self.bfd.iter().for_each(|interval| mark(ids::BFD, interval));
    }

    /// The options of its interface.
    pub fn interface_options(&self) -> Vec<(&'static str, String)> {
        let mut options = Vec::new();
        self.each_option(|key, value| options.push((key, value.to_string())));
        options
    }

    /// The same one by one.
    pub(crate) fn each_option(&self, mut option: impl FnMut(&'static str, &dyn Display)) {
        self.encap.each_option(&self.key, &self.remote_ip, self.local_ip.as_ref(), &mut option);
        self.options.interface_options().for_each(|(key, value)| option(key, &value));
        let ipsec = self.options.ipsec.interface_options(self.remote_ip);
        ipsec.into_iter().for_each(|(key, value)| option(key, &value));
    }

    /// The tunnel that a port's marks record; nothing where the port is not ours or its marks cannot be read.
    ///
    /// What of the marks cannot be read is told from the port's name, which nobody can change, and from its options.
    pub fn from_record(port: &ObservedPort) -> Option<Self> {
        if !port.is_tunnel_of_ours() {
            return None;
        }
        let parts: Vec<&str> = port.name.strip_prefix('t').map(|rest| rest.split('-').collect()).unwrap_or_default();
        let named = |n: usize| if parts.len() == 3 { parts.get(n).copied() } else { None };
        let options = port.interface().and_then(|interface| interface.options.get("remote_ip"));
        Some(DesiredTunnel {
            name: port.name.parse().ok()?,
            from: first_readable([port.external_ids.get(ids::FROM).map(String::as_str), named(1)])?,
            to: first_readable([port.external_ids.get(ids::TO).map(String::as_str), named(2)])?,
            encap: recorded_encap(&port.external_ids).unwrap_or_default(),
            key: first_readable([port.external_ids.get(ids::KEY).map(String::as_str), named(0)])?,
            remote_ip: first_readable([port.external_ids.get(ids::REMOTE_IP), options].map(|t| t.map(String::as_str)))?,
            local_ip: port.external_ids.get(ids::LOCAL_IP).and_then(|text| text.parse().ok()),
            options: TunnelOptions::default(),
            bfd: port.external_ids.get(ids::BFD).and_then(|text| text.parse().ok()),
            second: port.is_marked_second(),
        })
    }
}

/// What a mark says of the kind of tunnels; nothing where there is none, or none that can be read.
pub(crate) fn recorded_encap(external_ids: &BTreeMap<String, String>) -> Option<Encap> {
    external_ids.get(ids::ENCAP).and_then(|text| text.parse().ok())
}

/// The first text that is a value.
fn first_readable<T: std::str::FromStr, const N: usize>(texts: [Option<&str>; N]) -> Option<T> {
    texts.into_iter().flatten().find_map(|text| text.parse().ok())
}

impl ObservedPort {
    /// Whether a port is marked as a tunnel of ours: any of our marks will do, for one may have been lost.
    pub fn is_tunnel_of_ours(&self) -> bool {
        [ids::KEY, ids::FROM, ids::TO, ids::REMOTE_IP].iter().any(|id| self.external_ids.contains_key(*id))
    }

    /// Whether it is a second one, if it is a tunnel of ours. Where the mark has been lost, the VLAN that no frame is in says it.
    pub(crate) fn is_marked_second(&self) -> bool {
        self.external_ids.contains_key(ids::SECOND) || self.vlan.tag == Some(NO_VLAN)
    }
}
