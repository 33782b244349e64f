//! The UDP ports at which tunnels take packets: devices of the kernel with the same port, and a saved firewall that lets none in.
//!
//! What it must not do: run a program. Of a firewall it knows the file that is loaded at boot, as Red Hat's service has it, and with it
//! XenServer and XCP-ng.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_api::Finding;

use super::finding::{About, warn};
use crate::host::Root;

/// What `iptables-restore` is given at boot.
const SAVED_RULES: &str = "/etc/sysconfig/iptables";

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// UDP ports to which tunnels send, and at which the other ends' packets come in.
    pub ports: BTreeSet<u16>,
    /// VXLAN and Geneve devices of the kernel that are not Open vSwitch's, each with its UDP port.
    pub devices: BTreeMap<String, u16>,
    /// The saved rules, where the kernel takes tunnels' packets: a userspace datapath has them before any rule.
    pub rules: Option<String>,
}

pub(super) fn read_rules(root: &Root) -> Option<String> {
    root.read_beginning(SAVED_RULES)
}

pub(super) fn check_udp_ports(facts: &Facts) -> Vec<Finding> {
    let shared = facts.devices.iter().filter(|(_, port)| facts.ports.contains(port)).map(|(device, port)| {
        let reason = format!("{device}, a tunnel of the kernel's own, has UDP port {port}, as tunnels of Open vSwitch have: one of the two gets no packets");
        let remedy = format!("`[tunnel] dst_port` with another port, the same on all hosts of a network, for new bridges; or another port for {device}");
        warn("udp_port", reason, remedy).about(device)
    });
    let closed = facts.ports.iter().filter(|port| facts.rules.as_deref().is_some_and(|rules| refuses(rules, **port)));
    let closed = closed.map(|port| {
        let reason = format!("{SAVED_RULES} refuses packets, and none of its rules accepts UDP port {port}, at which tunnels' packets come in");
        let remedy = format!("`iptables -I INPUT -p udp --dport {port} -s NETWORK -j ACCEPT`, with the network of the hosts, and the same in {SAVED_RULES}");
        warn("firewall", reason, remedy).about(port)
    });
    shared.chain(closed).collect()
}

/// Whether these rules, as `iptables-save` prints them, keep packets to this UDP port out: something refuses whatever comes, and
/// nothing accepts what goes there. A rule that accepts from some addresses only is taken for one that was meant.
fn refuses(rules: &str, port: u16) -> bool {
    let lines = || rules.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let closed = |words: &Vec<&str>| match words.as_slice() {
        [":INPUT", policy, ..] => *policy != "ACCEPT",
        ["-A", chain, rest @ ..] => {
            matches!(rest, ["-j", "DROP"] | ["-j", "REJECT", ..])
                && !chain.contains("FORWARD")
                && !chain.contains("OUTPUT")
        }
        _ => false,
    };
    lines().any(|words| closed(&words)) && !lines().any(|words| accepts(&words, port))
}

/// Whether this rule accepts packets to this UDP port, from wherever.
fn accepts(words: &[&str], port: u16) -> bool {
    let after = |names: &[&str]| {
        let at = words.iter().position(|word| names.contains(word))?;
        words.get(at + 1).copied()
    };
    let takes = |ports: &str| {
        ports.split(',').any(|range| {
            let (first, last) = range.split_once(':').unwrap_or((range, range));
            let bound = |text: &str| text.parse::<u16>().ok();
            bound(first).zip(bound(last)).is_some_and(|(first, last)| (first..=last).contains(&port))
        })
    };
    words.first() == Some(&"-A")
        && after(&["-j"]) == Some("ACCEPT")
        && after(&["-p"]) == Some("udp")
        && after(&["--dport", "--dports", "--destination-port", "--destination-ports"]).is_some_and(takes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As XCP-ng has it.
    const XCP_NG: &str = "*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:RH-Firewall-1-INPUT - [0:0]
-A INPUT -p gre -j ACCEPT
-A INPUT -j RH-Firewall-1-INPUT
-A FORWARD -j RH-Firewall-1-INPUT
-A RH-Firewall-1-INPUT -i lo -j ACCEPT
-A RH-Firewall-1-INPUT -p icmp --icmp-type any -j ACCEPT
-A RH-Firewall-1-INPUT -p udp -m udp --dport 67 --in-interface xenapi -j ACCEPT
-A RH-Firewall-1-INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A RH-Firewall-1-INPUT -m conntrack --ctstate NEW -m udp -p udp --dport 694 -j ACCEPT
-A RH-Firewall-1-INPUT -j REJECT --reject-with icmp-host-prohibited
COMMIT
";

    fn with(rule: &str) -> String {
        XCP_NG.replace("-A INPUT -p gre", &format!("{rule}\n-A INPUT -p gre"))
    }

    #[test]
    fn a_port_that_no_rule_accepts_is_closed() {
        assert!(refuses(XCP_NG, 4789) && !refuses(XCP_NG, 694));
        for rule in [
            "-A INPUT -p udp -m udp --dport 4789 -j ACCEPT",
            "-A INPUT -s 10.0.0.0/8 -p udp --dport 4700:4800 -j ACCEPT",
            "-A INPUT -p udp -m multiport --dports 53,4789 -j ACCEPT",
        ] {
            assert!(!refuses(&with(rule), 4789), "{rule}");
        }
        for rule in [
            "-A INPUT -p tcp -m tcp --dport 4789 -j ACCEPT",
            "-A INPUT -p udp -m udp --sport 4789 -j ACCEPT",
            "-A INPUT -p udp -m udp --dport 4789 -j DROP",
            "# -A INPUT -p udp --dport 4789 -j ACCEPT",
        ] {
            assert!(refuses(&with(rule), 4789), "{rule}");
        }
        let open = "*filter\n:INPUT ACCEPT [0:0]\n-A FORWARD -j REJECT\n-A INPUT -p tcp --dport 23 -j DROP\nCOMMIT\n";
        assert!(
            !refuses(open, 4789) && refuses(&open.replace("INPUT ACCEPT", "INPUT DROP"), 4789) && !refuses("", 4789)
        );
    }

    #[test]
    fn a_device_with_the_port_of_our_tunnels_is_named() {
        let devices = [("vxlan5".to_owned(), 4789), ("flannel.1".to_owned(), 8472)].into();
        let facts = Facts { ports: [4789].into(), devices, rules: Some(XCP_NG.to_owned()) };
        let found = check_udp_ports(&facts);
        let told: Vec<_> = found.iter().map(|one| (one.check.as_str(), one.subject.as_deref())).collect();
        assert_eq!(told, [("udp_port", Some("vxlan5")), ("firewall", Some("4789"))]);
        assert_eq!(check_udp_ports(&Facts { ports: BTreeSet::new(), ..facts }), []);
    }
}
