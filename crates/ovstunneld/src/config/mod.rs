//! The configuration file, `/etc/ovstunnel/ovstunneld.toml`.
//!
//! What it does: has the file read ([`ovstunnel_server::config`], where `[api]`, `[tls]` and `[log]` are), gives every key but
//! those of `[tls]` a default, and says what else there is to configure; reads the key of `[tunnel] ipsec`. What it must not do: look at
//! the host beyond that (whether a path exists or an address is ours is found out by whoever uses it), or accept two spellings of the same thing.

pub(crate) mod check;
mod ipsec;
mod reload;
mod values;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ovstunnel_api::Ipv6Policy;
use ovstunnel_ovs::Writes;
use ovstunnel_plan::{BridgeMtu, RemoteIp};
use ovstunnel_server::config::values::path;
use ovstunnel_server::config::{self, Api, ConfigError, Log, Tls};
use ovstunnel_types::{CreateTunnelExit, Encap, Tos, TunnelKind, TunnelOptions};
use serde::{Deserialize, Deserializer, Serialize};

pub use ipsec::{IpsecMode, PskFile};
pub use reload::{Difference, NEEDS_RESTART};
pub use values::XapiMode;

/// Where the configuration is looked for when `--config` does not say otherwise. Only this file may be missing.
pub const DEFAULT_PATH: &str = "/etc/ovstunnel/ovstunneld.toml";

/// The log file where the configuration names none.
pub const DEFAULT_LOG: &str = "/var/log/ovstunnel.log";

/// The whole file. Every section may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where requests come in.
    #[serde(deserialize_with = "api")]
    pub api: Api,
    /// Certificates of the HTTPS listener; required unless `api.listen` is `"off"`.
    pub tls: Option<Tls>,
    /// How Open vSwitch is reached.
    pub ovs: Ovs,
    /// What a network's bridge is like.
    pub network: Network,
    /// How this host reaches the others.
    pub tunnel: Tunnel,
    /// XenServer's and XCP-ng's own management.
    pub xapi: Xapi,
    /// CloudStack's KVM agent.
    pub kvm: Kvm,
    /// The log file.
    #[serde(deserialize_with = "log")]
    pub log: Log,
    /// Looking for drift and mending it.
    pub reconcile: Reconcile,
}

/// `[ovs]`: how Open vSwitch is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ovs {
    /// Folder of `db.sock` and of the bridges' management sockets.
    #[serde(deserialize_with = "path")]
    pub rundir: PathBuf,
    /// Folder of `ovs-vsctl`, `ovs-ofctl` and `ovsdb-client`.
    #[serde(deserialize_with = "path")]
    pub bin_dir: PathBuf,
    /// How long one command may take before its outcome counts as unknown, for example `"30s"` or `"1m 30s"`; more than
    /// 0, at most one hour.
    #[serde(deserialize_with = "values::timeout", serialize_with = "humantime_serde::serialize")]
    pub timeout: Duration,
    /// `datapath_type` of bridges that the daemon creates: `""` leaves it to Open vSwitch, `"system"` is the kernel,
    /// `"netdev"` is userspace.
    #[serde(deserialize_with = "values::datapath_type")]
    pub datapath_type: String,
    /// How changes are written: `"commands"` runs `ovs-vsctl` and `ovs-ofctl`, `"native"` sends the same changes to the database and
    /// to the bridges' management sockets itself, which is faster. The log and dry runs show the commands in either case.
    pub writes: Writes,
}

/// `[network]`: what a network's bridge is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// What a new network does with IPv6 where the request does not say: `"drop"` or `"allow"`.
    pub ipv6: Ipv6Policy,
    /// Whether networks that drop IPv6 also drop what can have IPv6 behind it where Open vSwitch does not look: MPLS, the VLAN
    /// tag 0x9100 and LLC. No Linux guest takes IPv6 from there; guests lose MPLS, IS-IS and other LLC between each other.
    pub ipv6_drop_opaque: bool,
    /// Whether the switch answers requests of this host's VMs, by ARP and by neighbour discovery, for addresses that it was told (`neighbours` of
    /// `PUT /v1/bridges/{bridge}`), so that they are not flooded. An address for which somebody else is seen is flooded for again.
    pub answer_neighbours: bool,
    /// How the port names of VMs' interfaces begin; at least one, each of 1 to 14 characters.
    #[serde(deserialize_with = "values::prefixes")]
    pub vif_prefixes: Vec<String>,
    /// Broadcast and multicast frames a second that each VIF may send, up to 1000000: one guest's flood is multiplied by the
    /// number of tunnels. A burst of one second's worth passes. 0 means any number. Needs a switch with meters.
    #[serde(deserialize_with = "values::pps")]
    pub vif_broadcast_pps: u32,
    /// The MTU of bridges' own devices, which libvirt gives to each interface that it plugs: `"keep"` leaves it alone, `"fit"` makes it what guests'
    /// MTU may be (`max_guest_mtu`). No guest is told by it, and a larger frame then reaches no VM of the same host either: guests' MTU has to be
    /// right before.
    pub bridge_mtu: BridgeMtu,
}

/// `[tunnel]`: how this host reaches the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tunnel {
    /// Address of this host, IPv4 or IPv6, that all tunnels to addresses of its family send from and take frames at: that by which the other
    /// hosts know it. Where it has several on the way to them, a tunnel else takes what the kernel's route says. None: as the route says.
    #[serde(deserialize_with = "values::some_ip", serialize_with = "values::show_ip")]
    pub local_ip: Option<RemoteIp>,
    /// Of which kind the tunnels of new bridges are: `gre`, `vxlan` or `geneve`, in quotes. All hosts of a network must have the same. Bridges
    /// that are there keep the kind that they have.
    pub kind: TunnelKind,
    /// UDP port to which VXLAN or Geneve tunnels of new bridges send, and at which they take packets, 1 to 65535; the same on all
    /// hosts. None: the kind's own, 4789 or 6081. Not with GRE, which has no ports.
    #[serde(deserialize_with = "values::udp_port")]
    pub dst_port: Option<u16>,
    /// Whether packets of tunnels have a checksum, which costs both ends time, and with GRE 4 bytes of the MTU. One that comes in is looked at
    /// in any case.
    pub csum: bool,
    /// The TOS of tunnels' packets, by which networks tell urgent ones from others: `"inherit"`, that of the packet inside, or a number, four
    /// times the DSCP: 184 is EF. None: 0. Bits of ECN are always those of the packet inside.
    #[serde(deserialize_with = "values::tos", serialize_with = "values::show_tos")]
    pub tos: Option<Tos>,
    /// Whether packets of tunnels may not be fragmented on their way. With `false` guests whose MTU is too large are heard, slowly: each of their
    /// large packets is two, and many networks drop the second.
    pub df: bool,
    /// Whether all tunnels of this host are encrypted by IPsec, which `ovs-monitor-ipsec` of Open vSwitch and an IKE daemon do: `"off"`, `"psk"`
    /// or `"certificates"`, the same on all hosts of a network. Written is what they read, with a guard; what they and the host need besides is in
    /// [encryption.md](encryption.md). Takes 37 bytes of the MTU. Not with a `dst_port` but the usual, nor on a userspace datapath.
    pub ipsec: IpsecMode,
    /// For `"psk"`: file that root alone can read, whose first line is the key, the same on all hosts: 20 to 255 characters of A-Z, a-z, 0-9, `+`,
    /// `/`, `=`, `-`, `_` and `.`. Read again on SIGHUP. Needs `[ovs] writes = "native"`.
    pub ipsec_psk_file: Option<PskFile>,
    /// For `"certificates"`: this host's certificate, in the name of the tunnel address by which the others know it.
    #[serde(deserialize_with = "ipsec::some_path")]
    pub ipsec_certificate: Option<PathBuf>,
    /// For `"certificates"`: its private key, which root alone can read.
    #[serde(deserialize_with = "ipsec::some_path")]
    pub ipsec_private_key: Option<PathBuf>,
    /// For `"certificates"`: certificate of the CA that has signed those of all hosts. strongSwan reads such in `/etc/ipsec.d/cacerts` alone.
    #[serde(deserialize_with = "ipsec::some_path")]
    pub ipsec_ca_cert: Option<PathBuf>,
    /// How long nothing may have come from a host until the tunnels to it are removed, from `"10s"` to `"365d"`; `"24h"` is recommended where
    /// it is used. Only where BFD with that host has been up and is down now, at least half of the hosts with which it has been up answer, and
    /// no zone's manager has recorded an epoch; else `ovstunnelctl doctor` tells of the host and nothing is removed. For where whoever has the
    /// tunnels made asks for them again, such as CloudStack's KVM agent. `"off"`: nothing is removed, and nothing told.
    #[serde(deserialize_with = "values::forget_after", serialize_with = "values::show_forget_after")]
    pub forget_after: Option<Duration>,
}

/// `[xapi]`: XenServer's and XCP-ng's own management.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Xapi {
    /// Whether xapi is asked and told about networks: `true`, `false`, or `"auto"` (if `xe` is there when the daemon starts).
    pub enabled: XapiMode,
    /// Program `xe`.
    #[serde(deserialize_with = "path")]
    pub xe: PathBuf,
    /// How long one run of `xe` may take, for example `"10s"`; more than 0, at most one hour.
    #[serde(deserialize_with = "values::timeout", serialize_with = "humantime_serde::serialize")]
    pub timeout: Duration,
    /// File that says which host this is (`INSTALLATION_UUID`).
    #[serde(deserialize_with = "path")]
    pub inventory: PathBuf,
}

/// `[kvm]`: CloudStack's KVM agent. Its program `ovstunnel-kvm` reads this file itself, at each call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kvm {
    /// How `create_tunnel` ends: `"zero"` is 0 where the tunnel is up and 1 where it is not, `"inverted"` is the other way round. Agents of
    /// all versions seen take 0 for a failure here; then CloudStack asks for the tunnel again at each start of a VM, which costs some calls
    /// and heals. With `"inverted"` it believes the answer, and never asks again.
    pub create_tunnel_exit: CreateTunnelExit,
}

/// `[reconcile]`: looking for drift and mending it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reconcile {
    /// Time between two looks, from `"1s"` to `"1d"`.
    #[serde(deserialize_with = "values::interval", serialize_with = "humantime_serde::serialize")]
    pub interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            api: default_api(),
            tls: None,
            ovs: Ovs::default(),
            network: Network::default(),
            tunnel: Tunnel::default(),
            xapi: Xapi::default(),
            kvm: Kvm::default(),
            log: Log::at_file(DEFAULT_LOG),
            reconcile: Reconcile::default(),
        }
    }
}

impl Default for Tunnel {
    fn default() -> Self {
        let TunnelOptions { csum, tos, df, ipsec: _ } = TunnelOptions::default();
        Tunnel {
            local_ip: None,
            kind: TunnelKind::default(),
            dst_port: None,
            csum,
            tos,
            df,
            ipsec: IpsecMode::Off,
            ipsec_psk_file: None,
            ipsec_certificate: None,
            ipsec_private_key: None,
            ipsec_ca_cert: None,
            forget_after: None,
        }
    }
}

impl Tunnel {
    /// How tunnels of new bridges are made.
    pub fn encap(&self) -> Encap {
        let to_port = |port| Encap::to_port(self.kind, port);
        self.dst_port.and_then(to_port).unwrap_or(Encap::of_kind(self.kind))
    }

    /// What the packets of all tunnels have.
    pub fn options(&self) -> TunnelOptions {
        TunnelOptions { csum: self.csum, tos: self.tos, df: self.df, ipsec: self.encryption() }
    }
}

fn default_api() -> Api {
    Api {
        listen: Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8443))),
        socket: "/run/ovstunnel/ovstunneld.sock".into(),
    }
}

fn api<'de, D: Deserializer<'de>>(section: D) -> Result<Api, D::Error> {
    default_api().with_section(section)
}

fn log<'de, D: Deserializer<'de>>(section: D) -> Result<Log, D::Error> {
    Log::at_file(DEFAULT_LOG).with_section(section)
}

impl Default for Ovs {
    fn default() -> Self {
        Ovs {
            rundir: "/var/run/openvswitch".into(),
            bin_dir: "/usr/bin".into(),
            timeout: Duration::from_secs(30),
            datapath_type: String::new(),
            writes: Writes::Commands,
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Network {
            ipv6: Ipv6Policy::Drop,
            ipv6_drop_opaque: false,
            answer_neighbours: false,
            vif_prefixes: ["vif", "tap", "vnet"].map(str::to_owned).to_vec(),
            vif_broadcast_pps: 0,
            bridge_mtu: BridgeMtu::Keep,
        }
    }
}

impl Default for Xapi {
    fn default() -> Self {
        Xapi {
            enabled: XapiMode::Auto,
            xe: "/opt/xensource/bin/xe".into(),
            timeout: Duration::from_secs(10),
            inventory: "/etc/xensource-inventory".into(),
        }
    }
}

impl Default for Reconcile {
    fn default() -> Self {
        Reconcile { interval: Duration::from_secs(60) }
    }
}

impl Config {
    /// Reads `file`, or where that is `None` [`DEFAULT_PATH`], which alone may be missing: then the defaults apply.
    ///
    /// # Errors
    /// When the file cannot be read, is refused, or lacks `[tls]` while HTTPS is on.
    pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
        let path = file.unwrap_or(Path::new(DEFAULT_PATH));
        let mut config = Config::parse(&config::read_config(path, file.is_none())?, path)?;
        config.read_encryption().map_err(|what| ConfigError::Refused { file: path.to_owned(), what })?;
        Ok(config)
    }

    /// That no key contradicts another.
    fn check_consistency(&self) -> Result<(), String> {
        let Tunnel { kind, dst_port, .. } = &self.tunnel;
        match dst_port {
            Some(port) if Encap::to_port(*kind, *port).is_none() => Err(format!(
                "tunnel.dst_port must not be given where tunnel.kind is \"{kind}\", which has no ports; got {port}"
            )),
            _ => Ok(()),
        }
    }

    /// Where HTTPS is served, and its files; none where it is off.
    pub fn https_listener(&self) -> Option<(SocketAddr, &Tls)> {
        self.api.listen.zip(self.tls.as_ref())
    }

    /// Checks the text of a configuration file; `file` only names it in errors.
    ///
    /// # Errors
    /// As [`Config::load`], without reading.
    pub fn parse(text: &str, file: &Path) -> Result<Config, ConfigError> {
        let config: Config = config::parse_config(text, file)?;
        config.api.must_have(config.tls.as_ref(), file)?;
        let roles = config.tls.as_ref().map_or(Ok(()), Tls::without_roles_of_a_manager);
        let judged = roles
            .and_then(|()| config.check_consistency())
            .and_then(|()| config.check_encryption())
            .and_then(|()| config.must_be_asked_again());
        judged.map_err(|what| ConfigError::Refused { file: file.to_owned(), what })?;
        Ok(config)
    }

    /// With `"inverted"` CloudStack has each tunnel as established and never asks for one again.
    fn must_be_asked_again(&self) -> Result<(), String> {
        match (self.tunnel.forget_after, self.kvm.create_tunnel_exit) {
            (Some(_), CreateTunnelExit::Inverted) => Err(
                "tunnel.forget_after: must be \"off\" where `[kvm] create_tunnel_exit` is \"inverted\": CloudStack would never ask for the \
                 tunnels again".to_owned(),
            ),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
