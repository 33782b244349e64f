//! Whether tunnels that are to be encrypted are: the guard, who makes the keys, keys with each other host, and what IPsec passes by.
//!
//! What it must not do: show a key, or look for itself: what is looked at is given.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ovstunnel_api::Finding;
use ovstunnel_plan::{DesiredBridge, Encap, InTheWay, ObservedBridge};
use ovstunnel_types::Ipsec;

use super::finding::{About, fail, ok, or_ok, warn};
use crate::host::Root;

/// What `ovs-monitor-ipsec` writes into Open vSwitch's folder.
const PID_FILE: &str = "ovs-monitor-ipsec.pid";

/// Where strongSwan reads certificates of CAs, and nowhere else: the section that `ovs-monitor-ipsec` writes for `ca_cert` has no `auto=add`, without which it is ignored.
const CAS: &str = "/etc/ipsec.d/cacerts";

/// Hosts that have a finding of their own.
const TOLD: usize = 10;

/// What was looked at, where tunnels are to be encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// What somebody else has set in the switch's own row that keeps it from being what it should be.
    pub in_the_way: Vec<InTheWay>,
    /// `ovs-monitor-ipsec` runs.
    pub monitor: bool,
    /// The file with the CA's certificate, where the IKE daemon does not read that certificate.
    pub unread_ca: Option<String>,
    /// The other hosts.
    pub remotes: Vec<IpAddr>,
    /// Between which addresses the kernel has keys; or why that is not known.
    pub keys: Result<BTreeSet<(IpAddr, IpAddr)>, String>,
    /// Bridges that IPsec passes by, each with why.
    pub passed_by: Vec<(String, String)>,
}

/// The command line of `ovs-monitor-ipsec`, if it runs.
pub(super) fn monitor(root: &Root, rundir: &std::path::Path) -> Option<String> {
    let pid = std::fs::read_to_string(rundir.join(PID_FILE)).ok()?;
    let pid = pid.trim();
    let is_number = !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
    let words = root.read_whole(&format!("/proc/{}/cmdline", is_number.then_some(pid)?))?;
    words.contains("ovs-monitor-ipsec").then_some(words)
}

/// The file with the CA's certificate, where that `ovs-monitor-ipsec` has a strongSwan that does not read it.
pub(super) fn unread_ca(root: &Root, monitor: &str, ipsec: &Ipsec) -> Option<String> {
    let Ipsec::Certificates(files) = ipsec else { return None };
    let ca = root.read_whole(&files.ca_cert).filter(|_| monitor.contains("strongswan"))?;
    let read =
        root.folder_names(CAS).iter().any(|name| root.read_whole(&format!("{CAS}/{name}")).as_ref() == Some(&ca));
    (!read).then(|| files.ca_cert.clone())
}

/// The bridges whose tunnels go where IPsec does not look.
pub(super) fn passed_by(bridges: &[ObservedBridge]) -> Vec<(String, String)> {
    let why = |bridge: &ObservedBridge| {
        let encap = DesiredBridge::from_record(bridge)?.encap;
        let why = match encap == Encap::of_kind(encap.kind()) {
            _ if bridge.datapath_type == "netdev" => {
                "it is on the userspace datapath, which sends past the kernel".to_owned()
            }
            false => format!(
                "its tunnels go to UDP port {}, which is not the usual one of {}",
                encap.udp_port()?,
                encap.kind()
            ),
            true => return None,
        };
        Some((bridge.name.clone(), why))
    };
    bridges.iter().filter_map(why).collect()
}

pub(super) fn check_ipsec(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = facts.in_the_way.iter().map(in_the_way).collect();
    if !facts.monitor {
        let reason = "tunnels are to be encrypted, and ovs-monitor-ipsec, which has keys made for them, does not run: nothing passes, or in clear where the host has no rule against that";
        let remedy = "`systemctl enable --now openvswitch-ipsec`, of the package openvswitch-ipsec";
        findings.push(fail("ipsec", reason, remedy));
    }
    findings.extend(facts.unread_ca.iter().map(|file| {
        let reason = format!("the CA's certificate {file} is not in {CAS}, and strongSwan reads none from elsewhere: it takes no other host's certificate, and nothing passes");
        warn("ipsec", reason, format!("`cp {file} {CAS}/ && ipsec rereadcacerts`, on each host")).about(file)
    }));
    findings.extend(facts.passed_by.iter().map(|(bridge, why)| {
        let reason = format!("tunnels of bridge {bridge} are not encrypted: {why}");
        let remedy = "make the bridge anew, without `[tunnel] dst_port` and on the kernel datapath, or have `[tunnel] ipsec = \"off\"`";
        fail("ipsec", reason, remedy).about(bridge)
    }));
    match &facts.keys {
        Err(why) => findings.push(warn(
            "ipsec",
            format!("with which hosts there are keys is not known: {why}"),
            "install iproute2; where the kernel does not permit it, `systemctl edit ovstunneld` with `CapabilityBoundingSet=CAP_NET_ADMIN` under `[Service]`",
        )),
        Ok(keys) if facts.monitor => findings.extend(without_keys(&facts.remotes, keys)),
        Ok(_) => {}
    }
    or_ok(findings, || ok("ipsec", format!("tunnels are encrypted; there are keys with {} hosts", facts.remotes.len())))
}

fn in_the_way(one: &InTheWay) -> Finding {
    let InTheWay { key, there, wanted } = one;
    let reason = format!(
        "other_config:{key} of table Open_vSwitch is {there:?}, which somebody else has set; with `[tunnel] ipsec` it has to be {wanted:?}"
    );
    let remedy =
        format!("if nobody needs it: `ovs-vsctl remove Open_vSwitch . other_config {key}`; it is set again at once");
    fail("ipsec", reason, remedy).about(key)
}

/// Hosts with which there are no keys in both directions.
fn without_keys(remotes: &[IpAddr], keys: &BTreeSet<(IpAddr, IpAddr)>) -> Vec<Finding> {
    let (to, from) = (|ip| keys.iter().any(|(_, to)| *to == ip), |ip| keys.iter().any(|(from, _)| *from == ip));
    let lacking = remotes.iter().filter(|ip| !(to(**ip) && from(**ip)));
    let told = lacking.take(TOLD).map(|ip| {
        let reason = format!("there are no keys for IPsec with {ip}: nothing passes");
        let remedy = format!(
            "on both hosts: `ipsec status` (libreswan: `ipsec trafficstatus`), `ovs-appctl -t ovs-monitor-ipsec tunnels/show`; that UDP port 500 and protocol 50 pass \
             between them; that {ip} has the same `[tunnel] ipsec`"
        );
        warn("ipsec", reason, remedy).about(ip)
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ovstunnel_api::Level;
    use ovstunnel_types::IpsecFiles;

    use super::*;

    fn good() -> Facts {
        let [a, b] = [1, 2].map(|n| IpAddr::from([192, 0, 2, n]));
        let keys = Ok([(a, b), (b, a)].into());
        Facts { in_the_way: vec![], monitor: true, unread_ca: None, remotes: vec![b], keys, passed_by: vec![] }
    }

    #[test]
    fn what_keeps_tunnels_from_being_encrypted_is_told() {
        let told = |facts: Facts| {
            let found = check_ipsec(&facts);
            assert_eq!(found.len(), 1, "{found:?}");
            (found[0].level, format!("{} {}", found[0].reason, found[0].subject.clone().unwrap_or_default()))
        };
        assert_eq!(told(good()).0, Level::Ok);
        let (level, words) = told(Facts { monitor: false, ..good() });
        assert!(level == Level::Fail && words.contains("does not run"), "{words}");
        let one_way = Ok([(IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]))].into());
        let (level, words) = told(Facts { keys: one_way, ..good() });
        assert!(
            level == Level::Warn && words.ends_with("no keys for IPsec with 192.0.2.2: nothing passes 192.0.2.2"),
            "{words}"
        );
        let (level, words) = told(Facts { passed_by: vec![("xapi1".into(), "why".into())], ..good() });
        assert!(level == Level::Fail && words.contains("xapi1 are not encrypted: why"), "{words}");
        let (level, words) = told(Facts { unread_ca: Some("/etc/keys/ca.crt".into()), ..good() });
        assert!(level == Level::Warn && words.contains("/etc/keys/ca.crt is not in /etc/ipsec.d/cacerts"), "{words}");
        let (_, words) = told(Facts { keys: Err("no ip".into()), ..good() });
        assert!(words.contains("is not known: no ip"), "{words}");
        let other = InTheWay { key: "ipsec_skb_mark", there: "0/1".into(), wanted: "1/1".into() };
        let (level, words) = told(Facts { in_the_way: vec![other], ..good() });
        assert!(level == Level::Fail && words.contains("is \"0/1\", which somebody else has set"), "{words}");
    }
    #[test]
    fn strongswan_reads_cas_in_one_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::at_folder(folder.path());
        let write = |file: &str, text: &str| {
            let file = folder.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        write("etc/keys/ca.crt", "ours");
        write("etc/ipsec.d/cacerts/other.crt", "another");
        let file = |name: &str| format!("/etc/keys/{name}");
        let files = IpsecFiles { certificate: file("1.crt"), private_key: file("1.key"), ca_cert: file("ca.crt") };
        let ipsec = Ipsec::Certificates(Arc::new(files));
        let monitor = "/usr/bin/python3 ovs-monitor-ipsec --ike-daemon=strongswan";
        assert_eq!(unread_ca(&root, monitor, &ipsec), Some(file("ca.crt")));
        assert_eq!(
            unread_ca(&root, "ovs-monitor-ipsec --ike-daemon=libreswan", &ipsec),
            None,
            "it is told by the path"
        );
        assert_eq!(unread_ca(&root, monitor, &Ipsec::Off), None);
        // A copy will do.
        write("etc/ipsec.d/cacerts/tunnels.crt", "ours");
        assert_eq!(unread_ca(&root, monitor, &ipsec), None);
    }
}
