//! What leads out of a network beside its tunnels: refused when a bridge becomes ours, but for one that is declared, by which
//! each frame passes exactly once. And a host that gets another id, which loses no frame by it.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Code, Ipv6Policy, Outcome, PutBridge};
use ovstunnel_e2e::{Cloud, Network, Node, Plugin, Snapshot, plugin_sets_up, problem};
use ovstunnel_lab::{Host, Kind, Vm, VmSpec, wait_until};

/// A bridge of somebody else's.
fn bridge(host: &Host, name: &str) -> Result<()> {
    host.add_bridge(name)
}

/// Carries out `ovs-vsctl` with the words of `line`.
fn vsctl(host: &Host, line: &str) -> Result<()> {
    host.vsctl(line.split_whitespace()).map(drop)
}

/// One end of a veth.
fn veth(host: &Host, name: &str) -> Result<()> {
    host.run("ip", ["link", "add", name, "type", "veth", "peer", "name", &format!("p{name}")]).map(drop)
}

/// What the kernel says of devices that it cannot have here, told by files: a bus, or a type of device.
enum Told {
    Bus(&'static str),
    Type(&'static str),
}

/// Starts the daemon of host `number` anew, with these devices told.
fn tell(cloud: &Cloud, number: usize, devices: &[(&str, Told)]) -> Result<()> {
    let node: &Node = cloud.node(number)?;
    for (name, told) in devices {
        let folder = node.false_root().join("sys/class/net").join(name);
        fs::create_dir_all(&folder)?;
        match told {
            Told::Bus(bus) => {
                fs::create_dir(folder.join("device"))?;
                symlink(format!("../../../../bus/{bus}"), folder.join("device/subsystem"))?;
            }
            Told::Type(kind) => fs::write(folder.join("uevent"), format!("DEVTYPE={kind}\nINTERFACE={name}\n"))?,
        }
    }
    node.stop()?;
    node.start()?;
    cloud.wait_until_ready(number)
}

fn body(key: i64) -> PutBridge {
    serde_json::from_value(serde_json::json!({"key": key, "host_id": 1})).expect("a body")
}

fn put(cloud: &Cloud, name: &str, body: PutBridge) -> Result<Result<Outcome, ovstunnel_client::ClientError>> {
    let name = name.to_owned();
    let answer = cloud.call(1, move |client| async move { client.put_bridge(&name, &body).await })?;
    Ok(answer.map(|answer| answer.outcome))
}

/// That a bridge does not become ours, for this port or bridge is in the way, in words with `part`.
fn refused(cloud: &Cloud, name: &str, key: i64, in_the_way: &str, part: &str) -> Result<()> {
    let problem = problem(put(cloud, name, body(key))?, Code::Conflict).with_context(|| name.to_owned())?;
    ensure!(problem.in_the_way.as_deref() == Some(in_the_way), "{name}: {problem:?}");
    ensure!(problem.detail.contains(part), "{name}: {problem:?}");
    Ok(())
}

#[test]
fn a_bridge_with_another_way_out_does_not_become_ours() -> Result<()> {
    let cloud = Cloud::new("waysout", 1)?;
    let host = cloud.node(1)?.host().clone();
    // Before any tunnel is known, and by a patch port from one bridge to the next.
    for name in ["outer", "patched", "bonded", "foreign", "macvlan", "nic", "vlan", "xen", "named", "twonics"] {
        bridge(&host, name)?;
    }
    for device in ["d1", "d2", "eth9", "eth8", "eth9.5", "vif8.0", "vif9.0"] {
        veth(&host, device)?;
    }
    host.run("ip", ["link", "add", "mac1", "link", "d2", "type", "macvlan"])?;
    vsctl(
        &host,
        "add-port outer o1 -- set Interface o1 type=patch options:peer=o2 -- add-port br-phy o2 -- set Interface o2 type=patch \
         options:peer=o1 -- add-port patched q1 -- set Interface q1 type=patch options:peer=q2 -- add-bond bonded bond0 d1 d2 \
         -- add-port foreign vx -- set Interface vx type=vxlan options:remote_ip=192.0.2.7 -- add-port macvlan mac1 -- add-port \
         nic eth9 -- add-port vlan eth9.5 -- add-port xen vif8.0 -- add-port named vif9.0 -- add-port twonics eth8",
    )?;
    tell(
        &cloud,
        1,
        &[
            ("eth9", Told::Bus("pci")),
            ("eth8", Told::Bus("virtio")),
            ("eth9.5", Told::Type("vlan")),
            ("vif8.0", Told::Bus("xen-backend")),
            ("vif9.0", Told::Bus("pci")),
        ],
    )?;
    // The folder that stands for `/` has no macvlan; the kernel has a real one, so it is told as sysfs tells it.
    let mac1 = cloud.node(1)?.false_root().join("sys/class/net/mac1");
    fs::create_dir_all(&mac1)?;
    symlink("../d2", mac1.join("lower_d2"))?;

    let before = Snapshot::of(&host)?;
    // A tunnel that is somebody else's says by which device they leave.
    refused(&cloud, "br-phy", 9, "br-phy", "carries the tunnels (those to 192.0.2.7 come from 192.0.2.1")?;
    refused(&cloud, "patched", 9, "q1", "a patch port to another bridge")?;
    refused(&cloud, "bonded", 9, "bond0", "a bond")?;
    refused(&cloud, "foreign", 9, "vx", "a vxlan tunnel that is not ovstunnel's")?;
    refused(&cloud, "macvlan", 9, "mac1", "a device on top of d2")?;
    refused(&cloud, "nic", 9, "eth9", "a physical device (pci)")?;
    refused(&cloud, "vlan", 9, "eth9.5", "a VLAN device")?;
    before.expect_same(&Snapshot::of(&host)?)?;

    // VIFs have hardware behind them on Xen, and elsewhere some are named as VIFs.
    for (name, key) in [("xen", 11), ("named", 12)] {
        assert_eq!(put(&cloud, name, body(key))??, Outcome::Updated, "{name}");
    }
    // So does one of ours; of hosts in one network one is named.
    let tunnel = cloud.call(1, |client| async move {
        let tunnel = serde_json::json!({"from": 1, "to": 2, "remote_ip": "192.0.2.2"});
        client.post_tunnel("xen", &serde_json::from_value(tunnel).expect("a body")).await
    })?;
    tunnel?;
    refused(&cloud, "br-phy", 9, "br-phy", "those to 192.0.2.")?;
    refused(&cloud, "outer", 9, "outer", "and br-phy is on it")?;

    // What is ours already goes on: a NIC that is plugged later keeps no update back.
    vsctl(&host, "del-port nic eth9 -- add-port xen eth9")?;
    let mut changed = body(11);
    changed.ipv6 = Some(Ipv6Policy::Allow);
    assert_eq!(put(&cloud, "xen", changed)??, Outcome::Updated);

    // One way out may be declared, the other keeps the bridge from becoming ours.
    veth(&host, "eth7")?;
    vsctl(&host, "add-port twonics eth7")?;
    tell(&cloud, 1, &[("eth7", Told::Bus("pci"))])?;
    let with = |uplink: &str| PutBridge { uplink: Some(Some(uplink.to_owned())), ..body(13) };
    let second = problem(put(&cloud, "twonics", with("eth8"))?, Code::Conflict)?;
    ensure!(second.in_the_way.as_deref() == Some("eth7") && second.detail.contains("eth8"), "{second:?}");
    vsctl(&host, "del-port twonics eth7")?;
    assert_eq!(put(&cloud, "twonics", with("eth8"))??, Outcome::Updated);
    assert_eq!(put(&cloud, "twonics", body(13))??, Outcome::Unchanged, "not named, it stays");
    let recorded = || host.vsctl(["--if-exists", "get", "Bridge", "twonics", "external_ids:ovstunnel-uplink"]);
    assert_eq!(recorded()?.trim(), "eth8");
    assert_eq!(put(&cloud, "twonics", PutBridge { uplink: Some(None), ..body(13) })??, Outcome::Updated);
    assert_eq!(recorded()?.trim(), "");
    assert_eq!(put(&cloud, "twonics", with("eth8"))??, Outcome::Updated);
    let gone = cloud.call(1, |client| async move { client.delete_bridge("twonics").await })??;
    assert_eq!((gone.outcome, recorded()?.trim()), (Outcome::Removed, ""), "given back, without our marks");
    ensure!(host.vsctl(["list-ports", "twonics"])?.trim() == "eth8");

    // The same at a take-over: the bridge is left, with the reason.
    plugin_sets_up(&cloud, &Network::numbered(5, Ipv6Policy::Drop), 1, &[1], false)?;
    vsctl(&host, "add-port xapi5 eth7")?;
    let taken = cloud.call(1, |client| async move { client.takeover(&[]).await })??;
    let left = &taken.bridges.iter().find(|bridge| bridge.bridge == "xapi5").context("xapi5")?.left;
    ensure!(left.iter().any(|why| why.contains("port eth7 is a physical device (pci)")), "{left:?}");
    vsctl(&host, "del-port xapi5 eth7")?;
    let taken = cloud.call(1, |client| async move { client.takeover(&[]).await })??;
    ensure!(taken.outcome == Outcome::Updated, "{taken:?}");
    Ok(())
}

/// Each kind of flooded frame from each station comes to each other one exactly once, and so does known unicast.
fn exactly_once(cloud: &Cloud, when: &str) -> Result<()> {
    let (lab, vms) = (cloud.lab(), cloud.lab().vms());
    for delivery in lab.deliver_all(&lab.every_flooded_kind())? {
        delivery.expect_once().context(when.to_owned())?;
    }
    for (from, to) in vms.iter().flat_map(|from| vms.iter().map(move |to| (from, to))) {
        if from.name() != to.name() {
            lab.deliver(from, to.as_target())?.expect_once().context(when.to_owned())?;
        }
    }
    Ok(())
}

#[test]
fn by_a_declared_uplink_each_frame_passes_once() -> Result<()> {
    let cloud = Cloud::new("uplink", 3)?;
    let network = Network::numbered(1, Ipv6Policy::Allow);
    let host = cloud.node(1)?.host().clone();
    bridge(&host, &network.bridge)?;
    let station = VmSpec::numbered(9).network(&network.bridge);
    let _station: Vm = host.plug_vm(&network.bridge, "eth9", station)?;
    tell(&cloud, 1, &[("eth9", Told::Bus("pci"))])?;
    let members = [1, 2, 3];
    let body = cloud.membership(&network, 1, &members)?;
    let without = problem(put(&cloud, &network.bridge, body.clone())?, Code::Conflict)?;
    ensure!(without.in_the_way.as_deref() == Some("eth9") && without.detail.contains("uplink"), "{without:?}");
    put(&cloud, &network.bridge, PutBridge { uplink: Some(Some("eth9".to_owned())), ..body.clone() })??;
    let mut vms = Vec::new();
    for number in [2, 3] {
        cloud.join(&network, number, &members)?;
        vms.push(cloud.plug(&network, number, u16::try_from(number)?)?);
    }
    let seen = cloud.call(1, |client| async move { client.bridge("xapi1").await })??;
    assert_eq!((seen.uplink.as_deref(), seen.vifs.len()), (Some("eth9"), 0));
    exactly_once(&cloud, "no VIF on the host with the uplink")?;

    let vm = host.plug_vm(&network.bridge, "vif1.0", VmSpec::numbered(1).network(&network.bridge))?;
    let rule = || {
        let flows = host.ofctl(["dump-flows", &network.bridge])?;
        ensure!(flows.contains("priority=1200"), "{flows}");
        Ok::<_, anyhow::Error>(())
    };
    wait_until("the rule of vif1.0", Duration::from_secs(20), rule)?;
    exactly_once(&cloud, "a VIF beside the uplink")?;
    // The daemon that comes next knows it from the record, and a set without it keeps it.
    cloud.node(1)?.kill();
    cloud.node(1)?.start()?;
    cloud.wait_until_ready(1)?;
    assert_eq!(put(&cloud, &network.bridge, body)??, Outcome::Unchanged);
    vm.unplug()?;
    let lone = || {
        let flows = host.ofctl(["dump-flows", &network.bridge])?;
        ensure!(!flows.contains("priority=1200") && flows.contains("priority=1100"), "{flows}");
        Ok::<_, anyhow::Error>(())
    };
    wait_until("the rule of vif1.0 to go", Duration::from_secs(20), lone)?;
    vm.destroy()?;
    exactly_once(&cloud, "the VIF has gone again")?;
    cloud.lab().expect_no_duplicates()
}

#[test]
fn a_host_with_another_id_keeps_its_tunnels_and_loses_no_frame() -> Result<()> {
    let cloud = Cloud::new("newid", 2)?;
    let network = Network::numbered(1, Ipv6Policy::Allow);
    let key = network.key.to_string();
    let create = |number: usize, from: &str, to: &str, other: usize| -> Result<String> {
        let remote = cloud.node(other)?.host().ip().to_string();
        let arguments = [("bridge", "xapi1"), ("remote_ip", &remote), ("key", &key), ("from", from), ("to", to)];
        Plugin::on(cloud.node(number)?)?.call("create_tunnel", &arguments)
    };
    let set_up = |number: usize, id: &str| {
        let uuid = "00000000-0000-4000-8000-000000001001";
        let arguments = [("bridge", "xapi1"), ("key", &*key), ("xs_nw_uuid", uuid), ("cs_host_id", id)];
        Plugin::on(cloud.node(number)?)?.expect("setup_ovs_bridge", &arguments, "SUCCESS:xapi1")
    };
    for (number, id) in [(1, "1"), (2, "2")] {
        set_up(number, id)?;
        let client = move |client: ovstunnel_client::Client| async move {
            let body = serde_json::json!({"key": 1001, "ipv6": "allow"});
            client.put_bridge("xapi1", &serde_json::from_value(body).expect("a body")).await
        };
        cloud.call(number, client)??;
    }
    assert_eq!(create(1, "1", "2", 2)?, "SUCCESS:t1001-1-2");
    assert_eq!(create(2, "2", "1", 1)?, "SUCCESS:t1001-2-1");
    let vms = [1, 2].map(|n| cloud.plug(&network, n, n as u16)).into_iter().collect::<Result<Vec<_>>>()?;
    cloud.lab().announce_all()?;

    let kinds = [Kind::Broadcast, vms[1].as_target()];
    let out = cloud.lab().stream(&vms[0], &kinds, Duration::from_millis(5))?;
    let back = cloud.lab().stream(&vms[1], &[Kind::Broadcast, vms[0].as_target()], Duration::from_millis(5))?;
    let marks = || {
        let host = cloud.node(1)?.host();
        let from = host.vsctl(["get", "Port", "t1001-1-2", "external_ids:ovstunnel-from"])?;
        let id = host.vsctl(["get", "Bridge", "xapi1", "external_ids:ovstunnel-host-id"])?;
        Ok::<_, anyhow::Error>((from.trim().replace('"', ""), id.trim().replace('"', "")))
    };
    // By a tunnel, then by a set-up; each time with the names as they were.
    assert_eq!(create(1, "7", "2", 2)?, "SUCCESS:t1001-1-2");
    assert_eq!(marks()?, ("7".to_owned(), "7".to_owned()));
    set_up(1, "8")?;
    assert_eq!(marks()?, ("8".to_owned(), "8".to_owned()));
    assert_eq!(create(1, "8", "2", 2)?, "SUCCESS:t1001-1-2");
    // To itself by its new id, or as one that a tunnel leads to: refused, and nothing is rewritten.
    for (from, to, part) in
        [("8", "8", "INVALID_ARGUMENT"), ("2", "3", "IN_THE_WAY port t1001-1-2 of bridge xapi1 leads to host 2")]
    {
        let value = create(1, from, to, 2)?;
        ensure!(value.contains(part), "{value}");
    }
    // Over the API another id in `from` is a mistake.
    let post = cloud.call(1, |client| async move {
        let tunnel = serde_json::json!({"from": 1, "to": 3, "remote_ip": "192.0.2.3"});
        client.post_tunnel("xapi1", &serde_json::from_value(tunnel).expect("a body")).await
    })?;
    ensure!(problem(post, Code::Conflict)?.detail.contains("is 8"));
    assert_eq!(marks()?, ("8".to_owned(), "8".to_owned()));
    cloud.node(1)?.kill();
    cloud.node(1)?.start()?;
    cloud.wait_until_ready(1)?;
    assert_eq!(create(1, "8", "2", 2)?, "SUCCESS:t1001-1-2");
    out.end();
    back.end();
    out.stop()?.expect_once()?;
    back.stop()?.expect_once()?;
    let remove = [("bridge", "xapi1"), ("in_port", "t1001-1-2")];
    Plugin::on(cloud.node(1)?)?.expect("destroy_tunnel", &remove, "SUCCESS")?;
    ensure!(!cloud.node(1)?.host().vsctl(["list-ports", "xapi1"])?.contains("t1001"));
    Ok(())
}
