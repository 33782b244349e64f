//! Tunnels that are not GRE: what must hold of them as of GRE ones, and that a bridge keeps its kind, whatever the configuration says.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use nix::sys::signal::Signal;
use ovstunnel_api::{Code, HealthState, PutBridge, TunnelKind};
use ovstunnel_e2e::{NodeConfig, Picture, Place, problem};
use ovstunnel_lab::{Datapath, Probe, wait_until};

const SOON: Duration = Duration::from_secs(60);

/// Keys of 24 bits end below this.
const TOO_LARGE: i64 = 1 << 24;

#[test]
fn vxlan_carries_each_frame_once_and_heals() -> Result<()> {
    a_kind_holds(TunnelKind::Vxlan, "kind = \"vxlan\"", 4789)
}

/// To another port than its own.
#[test]
fn geneve_carries_each_frame_once_and_heals() -> Result<()> {
    a_kind_holds(TunnelKind::Geneve, "kind = \"geneve\"\ndst_port = 6082", 6082)
}

fn a_kind_holds(kind: TunnelKind, tunnel: &str, port: u16) -> Result<()> {
    let place = Place::new(kind.interface_type(), NodeConfig { tunnel: tunnel.to_owned(), ..NodeConfig::default() })?;
    expect_kind(&place, kind, port)?;
    expect_known_addresses_once(&place)?;
    expect_well(&place, kind)?;
    for harm in [
        "del-port t1001-1-2",
        "set Interface t1001-1-3 type=gre",
        "remove Bridge xapi1 external_ids ovstunnel-encap",
        "remove Port t1001-1-2 external_ids ovstunnel-encap",
        "set Interface t1001-1-2 options:dst_port=4444",
    ] {
        place.host()?.vsctl(harm.split(' '))?;
        place.wait_until_healed()?;
    }
    names_a_device_with_its_port(&place, port)?;
    refuses_large_keys(&place)?;
    keeps_its_kind(&place, kind, tunnel)?;
    expect_kind(&place, kind, port)?;
    place.cloud.lab().expect_no_duplicates()
}

/// That every host has two tunnels, all of this kind, and their packets go to this port.
fn expect_kind(place: &Place, kind: TunnelKind, port: u16) -> Result<()> {
    for node in place.cloud.nodes() {
        let types = node.host().vsctl(["--bare", "--columns=type", "find", "Interface", "options:remote_ip!=\"\""])?;
        let types: Vec<&str> = types.split_whitespace().collect();
        ensure!(types == [kind.interface_type(); 2], "{}: {types:?}", node.host().name());
        if node.host().switch().datapath() == Datapath::Userspace {
            let listening = node.host().appctl(["tnl/ports/show"])?;
            ensure!(listening.contains(&port.to_string()), "{}: not port {port}: {listening}", node.host().name());
        }
    }
    Ok(())
}

/// From each VM to each other, at an address that the switches have learnt.
fn expect_known_addresses_once(place: &Place) -> Result<()> {
    place.cloud.lab().announce_all()?;
    let pairs = place.vms.iter().flat_map(|from| place.vms.iter().map(move |to| (from, to)));
    let probes: Vec<Probe> =
        pairs.filter(|(a, b)| a.name() != b.name()).map(|(from, to)| Probe::new(from, to.as_target())).collect();
    place.cloud.lab().deliver_all(&probes)?.iter().try_for_each(|delivery| delivery.expect_once())
}

/// That the daemon tells of the kind, of the room that it leaves, and of a bridge in good health: a frame that is followed goes into its
/// tunnels.
fn expect_well(place: &Place, kind: TunnelKind) -> Result<()> {
    let below = place.cloud.call(1, |client| async move { client.interface("br-phy").await })??;
    ensure!(below.max_guest_mtu == 1450, "{below:?}");
    wait_until("a bridge in good health", SOON, || {
        let bridge = place.cloud.call(1, |client| async move { client.bridge("xapi1").await })??;
        ensure!(bridge.kind == kind && bridge.max_guest_mtu == Some(1450), "{bridge:?}");
        ensure!(bridge.health.state == HealthState::Ok && bridge.health.as_of.is_some(), "{:?}", bridge.health);
        Ok(())
    })
}

fn refuses_large_keys(place: &Place) -> Result<()> {
    let before = Picture::of(place.host()?)?;
    for (bridge, key) in [("xapi1", TOO_LARGE), ("xapi2", TOO_LARGE)] {
        let body = PutBridge { key, tunnels: Some(vec![]), ..place.cloud.membership(&place.network, 1, &[1])? };
        let put = place.cloud.call(1, move |client| async move { client.put_bridge(bridge, &body).await })?;
        let refused = problem(put, Code::InvalidRequest)?;
        let words = format!("{refused:?}");
        ensure!(words.contains("must be from 1 to 16777215") && words.contains("16777216"), "{words}");
        ensure!(refused.field.as_deref() == Some("key"), "{words}");
    }
    Picture::of(place.host()?)?.expect(&before)
}

/// What `[tunnel]` says of packets is what tunnels have, at the start and after a reload, and frames come as before.
#[test]
fn options_of_tunnels_follow_the_configuration() -> Result<()> {
    let all = "csum = true\ntos = \"inherit\"\ndf = false";
    let place = Place::new("options", NodeConfig { tunnel: all.to_owned(), ..NodeConfig::default() })?;
    let first = "csum=\"true\", df_default=\"false\", key=\"1001\"";
    wait_until("the options", SOON, || expect_options(&place, first, "tos=inherit", 1454))?;
    expect_known_addresses_once(&place)?;
    place.expect_frames_once()?;
    for node in place.cloud.nodes() {
        let text = std::fs::read_to_string(node.config_file())?;
        std::fs::write(node.config_file(), text.replace(all, "tos = 184"))?;
        node.signal(Signal::SIGHUP)?;
    }
    wait_until("the other options", SOON, || expect_options(&place, "key=\"1001\"", "tos=\"184\"", 1458))?;
    place.expect_frames_once()?;
    // What somebody changes is put back.
    place.host()?.vsctl(["set", "Interface", "t1001-1-2", "options:tos=0", "options:csum=true"])?;
    wait_until("the options to be put back", SOON, || expect_options(&place, "key=\"1001\"", "tos=\"184\"", 1458))?;
    place.cloud.lab().expect_no_duplicates()
}

/// That each tunnel's options begin and end so, and the bridge says what that leaves guests.
fn expect_options(place: &Place, first: &str, last: &str, guests: u32) -> Result<()> {
    for (number, node) in (1..).zip(place.cloud.nodes()) {
        let all = node.host().vsctl(["--bare", "--columns=name", "find", "Interface", "options:remote_ip!=\"\""])?;
        for tunnel in all.split_whitespace() {
            let options = node.host().vsctl(["get", "Interface", tunnel, "options"])?;
            let options = options.trim().trim_matches(['{', '}']);
            ensure!(options.starts_with(first) && options.ends_with(last), "{tunnel}: {options}");
        }
        let bridge = place.cloud.call(number, |client| async move { client.bridge("xapi1").await })??;
        ensure!(bridge.max_guest_mtu == Some(guests), "{:?}", bridge.max_guest_mtu);
    }
    Ok(())
}

/// A VXLAN device of the kernel with the tunnels' UDP port is named for as long as it is there, one with another port is not.
fn names_a_device_with_its_port(place: &Place, port: u16) -> Result<()> {
    let host = place.host()?;
    let named = || -> Result<Vec<Option<String>>> {
        let found = place.cloud.call(1, |client| async move { client.doctor(false).await })??;
        Ok(found.findings.into_iter().filter(|found| found.check == "udp_port").map(|found| found.subject).collect())
    };
    for (device, port) in [("vxlan8", port + 100), ("vxlan9", port)] {
        let words = format!("link add {device} type vxlan id 9 dstport {port}");
        host.run("ip", words.split(' '))?;
    }
    let found = named()?;
    ensure!(found == [Some("vxlan9".to_owned())], "{found:?}");
    for device in ["vxlan8", "vxlan9"] {
        host.run("ip", ["link", "delete", device])?;
    }
    let found = named()?;
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}

/// Another `[tunnel] kind` changes no tunnel of a bridge that is there, neither on reload nor on restart, and new tunnels of it have its kind.
fn keeps_its_kind(place: &Place, kind: TunnelKind, tunnel: &str) -> Result<()> {
    let (node, before) = (place.node()?, Picture::of(place.host()?)?);
    let text = std::fs::read_to_string(node.config_file())?;
    std::fs::write(node.config_file(), text.replace(tunnel, "kind = \"gre\""))?;
    node.signal(Signal::SIGHUP)?;
    wait_until("doctor to tell of two kinds", SOON, || {
        let found = place.cloud.call(1, |client| async move { client.doctor(false).await })??;
        let told = found.findings.iter().find(|finding| finding.check == "tunnel_kind");
        let told = told.ok_or_else(|| anyhow!("no finding of it: {found:?}"))?;
        ensure!(told.reason.contains("new bridges get gre") && told.reason.contains("xapi1"), "{told:?}");
        Ok(())
    })?;
    node.stop()?;
    node.start()?;
    place.cloud.wait_until_ready(1)?;
    place.reconcile()?;
    Picture::of(place.host()?)?.expect(&before)?;

    let gre = PutBridge { kind: Some(TunnelKind::Gre), ..place.cloud.membership(&place.network, 1, &[1, 2, 3])? };
    let put = place.cloud.call(1, move |client| async move { client.put_bridge("xapi1", &gre).await })?;
    let words = format!("{:?}", problem(put, Code::Conflict)?);
    ensure!(words.contains(&format!("2 tunnels of kind {kind}")) && words.contains("kind gre"), "{words}");

    place.cloud.call(1, |client| async move { client.delete_tunnel("xapi1", "t1001-1-2").await })??;
    place.cloud.join(&place.network, 1, &[1, 2, 3])?;
    place.wait_until_healed()?;
    let names: BTreeSet<String> = node.errors().into_iter().collect();
    ensure!(names.is_empty(), "{names:?}");
    Ok(())
}
