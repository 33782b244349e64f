//! Devices of managed bridges by which VMs reach the host itself: those with an IP address.
//!
//! What it must not do: take an address away, or alarm of a device without one. An address may be meant, as that of a gateway.

use std::net::IpAddr;

use ovstunnel_api::Finding;

use super::finding::{About, ok, or_ok, some_names, warn};

/// A device on a managed bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OnBridge {
    pub bridge: String,
    pub device: String,
    pub addresses: Vec<IpAddr>,
    /// The bridge is one of Open vSwitch's userspace datapath.
    pub userspace: bool,
}

/// Of those with an address. A VIF of the kernel's datapath does no harm: Open vSwitch takes its frames before the host.
pub(super) fn check_addresses(devices: &[OnBridge]) -> Vec<Finding> {
    let own = |device: &OnBridge| device.device == device.bridge;
    let reached = devices.iter().filter(|device| !device.addresses.is_empty() && (own(device) || device.userspace));
    let finding = |device: &OnBridge| {
        let OnBridge { bridge, device: name, addresses, .. } = device;
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let heard = match own(device) {
            true => "is the bridge's own device",
            false => {
                "is a VIF of a userspace datapath, where the host itself hears each of its frames, past all flows,"
            }
        };
        let remedy = format!(
            "if it is not meant: `ip address flush dev {name}`, and for IPv6 `sysctl -w net.ipv6.conf.{name}.disable_ipv6=1`; if it is, drop what VMs must not reach: `iptables -A INPUT -i {name} -j DROP`, and with ip6tables"
        );
        warn(
            "device_address",
            format!("{name} {heard} and has {}: VMs reach the host by it", some_names(&addresses, 4)),
            remedy,
        )
        .about(bridge)
    };
    or_ok(reached.map(finding).collect(), || {
        ok("device_address", "no VM reaches the host by an address of a bridge or VIF")
    })
}

#[cfg(test)]
mod tests {
    use ovstunnel_api::Level;

    use super::*;

    #[test]
    fn a_device_with_an_address_is_named_and_no_other() {
        let device = |name: &str, address: &[IpAddr], userspace| OnBridge {
            bridge: "xapi1".into(),
            device: name.into(),
            addresses: address.to_vec(),
            userspace,
        };
        let ip: [IpAddr; 1] = [IpAddr::from([10, 0, 0, 1])];
        assert_eq!(check_addresses(&[device("xapi1", &[], true), device("vif1.0", &[], true)])[0].level, Level::Ok);
        assert_eq!(check_addresses(&[device("vif1.0", &ip, false)])[0].level, Level::Ok, "the kernel's datapath");
        let found =
            check_addresses(&[device("xapi1", &ip, false), device("vif1.0", &ip, true), device("vif2.0", &[], true)]);
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|f| f.level == Level::Warn && f.subject.as_deref() == Some("xapi1")), "{found:?}");
        assert!(found[1].reason.starts_with("vif1.0 ") && found[1].reason.contains("10.0.0.1"), "{found:?}");
        assert!(found[1].remedy.as_ref().is_some_and(|r| r.contains("net.ipv6.conf.vif1.0.disable_ipv6=1")));
    }
}
