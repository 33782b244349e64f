//! What sysfs says of devices: hardware, VLANs, bonds, and what is below them. Must not judge (`ovstunnel-plan` does).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ovstunnel_plan::DeviceFacts;

use super::Root;

/// Devices that are looked at below others: more are stacked on no host.
const DEPTH: usize = 64;

/// What sysfs says of these devices, and of those below them.
pub(crate) fn device_facts(root: &Root, names: BTreeSet<String>) -> BTreeMap<String, DeviceFacts> {
    let (mut found, mut wanted) = (BTreeMap::new(), names.into_iter().collect::<Vec<_>>());
    let most = wanted.len() + DEPTH;
    while let Some(name) = wanted.pop().filter(|_| found.len() < most) {
        if found.contains_key(&name) || name.contains('/') || name.starts_with('.') {
            continue;
        }
        let facts = read_device(root, &name);
        wanted.extend(facts.lowers.iter().cloned());
        found.insert(name, facts);
    }
    found
}

fn read_device(root: &Root, name: &str) -> DeviceFacts {
    let folder = format!("/sys/class/net/{name}");
    let entries = root.folder_names(&folder);
    let has = |name: &str| entries.iter().any(|entry| entry == name);
    let bus = || {
        let link = std::fs::read_link(root.host_path(Path::new(&format!("{folder}/device/subsystem"))));
        let name = link.ok().and_then(|link| Some(link.file_name()?.to_string_lossy().into_owned()));
        name.unwrap_or_else(|| "an unknown bus".to_owned())
    };
    DeviceFacts {
        bus: has("device").then(bus),
        vlan: root
            .read_beginning(&format!("{folder}/uevent"))
            .is_some_and(|text| text.lines().any(|line| line == "DEVTYPE=vlan")),
        bond: has("bonding"),
        lowers: entries.iter().filter_map(|entry| entry.strip_prefix("lower_")).map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn sysfs_tells_hardware_vlans_bonds_and_what_is_below() {
        let dir = tempfile::tempdir().unwrap();
        let net = dir.path().join("sys/class/net");
        for device in ["eth0/device", "vif1.0/device", "bond0/bonding", "eth0.5", "veth9", "odd/device"] {
            fs::create_dir_all(net.join(device)).unwrap();
        }
        symlink("../../../../bus/pci", net.join("eth0/device/subsystem")).unwrap();
        symlink("../../../../bus/xen-backend", net.join("vif1.0/device/subsystem")).unwrap();
        symlink("../bond0", net.join("eth0.5/lower_bond0")).unwrap();
        symlink("../eth0", net.join("bond0/lower_eth0")).unwrap();
        fs::write(net.join("eth0.5/uevent"), "DEVTYPE=vlan\nINTERFACE=eth0.5\n").unwrap();
        let names = ["eth0.5", "vif1.0", "veth9", "odd", "gone", "../etc", "."].map(str::to_owned);
        let found = device_facts(&Root::at_folder(dir.path()), names.into());
        let of = |name: &str| found[name].clone();
        let bus = |bus: &str| DeviceFacts { bus: Some(bus.to_owned()), ..DeviceFacts::default() };
        let below = |lower: &str| DeviceFacts { lowers: vec![lower.to_owned()], ..DeviceFacts::default() };
        assert_eq!(of("eth0.5"), DeviceFacts { vlan: true, ..below("bond0") });
        assert_eq!(of("bond0"), DeviceFacts { bond: true, ..below("eth0") });
        assert_eq!((of("eth0"), of("vif1.0"), of("odd")), (bus("pci"), bus("xen-backend"), bus("an unknown bus")));
        assert_eq!((of("veth9"), of("gone")), Default::default());
        assert_eq!(found.len(), 7);
    }
}
