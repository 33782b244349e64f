//! `[network] bridge_mtu`: bridges' own devices have the MTU that guests' frames may have, as long as the configuration says so, in both ways of
//! writing. That taps of libvirt's take it is in `tests/libvirt.rs`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use ovstunnel_api::{PutBridge, TunnelKind};
use ovstunnel_e2e::{Network, NodeConfig, Picture, Place};
use ovstunnel_lab::{Host, wait_until};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn own_devices_fit_guests_by_commands() -> Result<()> {
    own_devices_fit_guests("mtucmd", "commands")
}

#[test]
fn own_devices_fit_guests_natively() -> Result<()> {
    own_devices_fit_guests("mtunat", "native")
}

fn own_devices_fit_guests(tag: &str, writes: &'static str) -> Result<()> {
    let place = Place::new(tag, NodeConfig { writes: Some(writes), ..NodeConfig::default() })?;
    let (host, before) = (place.host()?, Picture::of(place.host()?)?);
    expect(&place, None, 1500)?;
    configure(&place, "[network]\n", "[network]\nbridge_mtu = \"fit\"\n")?;
    wait_for(&place, Some(1458), 1458)?;
    // Only where it is configured.
    let other = place.cloud.call(2, |client| async move { client.bridge("xapi1").await })??;
    ensure!(other.mtu_request.is_none(), "{other:?}");
    place.expect_frames_once()?;

    // What somebody changes is put back.
    for harm in ["set Interface xapi1 mtu_request=1500", "clear Interface xapi1 mtu_request"] {
        host.vsctl(harm.split(' '))?;
        wait_for(&place, Some(1458), 1458).with_context(|| harm.to_owned())?;
    }
    // It follows what is below the tunnels, and what is beside it in their packets.
    host.vsctl(["set", "Interface", "br-phy", "mtu_request=1400"])?;
    wait_for(&place, Some(1358), 1358)?;
    host.vsctl(["set", "Interface", "br-phy", "mtu_request=1500"])?;
    host.vsctl(["clear", "Interface", "br-phy", "mtu_request"])?;
    wait_for(&place, Some(1458), 1458)?;
    configure(&place, "[network]\n", "[tunnel]\ncsum = true\n[network]\n")?;
    wait_for(&place, Some(1454), 1454)?;
    configure(&place, "[tunnel]\ncsum = true\n[network]\n", "[network]\n")?;
    wait_for(&place, Some(1458), 1458)?;

    new_bridges_have_it_at_once(&place)?;
    // Also after a start, at which nothing differs.
    let node = place.node()?;
    node.stop()?;
    node.start()?;
    place.cloud.wait_until_ready(1)?;
    expect(&place, Some(1458), 1458)?;
    let mended = place.reconcile()?;
    ensure!(mended.done.is_empty(), "{mended:?}");

    configure(&place, "bridge_mtu = \"fit\"", "bridge_mtu = \"keep\"")?;
    wait_for(&place, None, 1500)?;
    wait_until("the picture of before", SOON, || Picture::of(host)?.expect(&before))?;
    place.expect_frames_once()?;
    place.cloud.lab().expect_no_duplicates()
}

/// A dry run shows it, and the transaction that makes a bridge has it; a bridge of another kind has less. Both are gone afterwards.
fn new_bridges_have_it_at_once(place: &Place) -> Result<()> {
    for (n, kind, mtu) in [(2, TunnelKind::Gre, 1458), (3, TunnelKind::Vxlan, 1450)] {
        let network = Network::numbered(n, place.network.ipv6);
        let (name, body) = (network.bridge.clone(), place.cloud.membership(&network, 1, &[1, 2, 3])?);
        let body = PutBridge { kind: Some(kind), ..body };
        let (bridge, put) = (name.clone(), body.clone());
        let plan = place.cloud.call(1, |client| async move { client.dry_run().put_bridge(&bridge, &put).await })??;
        let printed = format!("{:?}", plan.commands);
        ensure!(printed.contains(&format!("mtu_request={mtu}")), "{printed}");
        let bridge = name.clone();
        let made = place.cloud.call(1, |client| async move { client.put_bridge(&bridge, &body).await })??;
        ensure!(made.bridge.mtu_request == Some(mtu), "{made:?}");
        ensure!(device_mtu(place.host()?, &name)? == mtu, "{name}");
        place.cloud.call(1, |client| async move { client.delete_bridge(&name).await })??;
    }
    Ok(())
}

/// Writes something else into the first host's configuration, and has the daemon take it up.
fn configure(place: &Place, from: &str, to: &str) -> Result<()> {
    let file = place.node()?.config_file();
    let text = std::fs::read_to_string(&file)?;
    ensure!(text.contains(from), "{text}");
    std::fs::write(&file, text.replace(from, to))?;
    place.node()?.signal(Signal::SIGHUP)
}

fn wait_for(place: &Place, asked: Option<u32>, has: u32) -> Result<()> {
    wait_until(format!("the MTU {has}"), SOON, || expect(place, asked, has))
}

/// That the first host's bridge is told to have this `mtu_request`, and its device has this MTU.
fn expect(place: &Place, asked: Option<u32>, has: u32) -> Result<()> {
    let bridge = place.cloud.call(1, |client| async move { client.bridge("xapi1").await })??;
    let mtu = device_mtu(place.host()?, "xapi1")?;
    ensure!((bridge.mtu_request, mtu) == (asked, has), "{:?}, and the device has {mtu}", bridge.mtu_request);
    Ok(())
}

fn device_mtu(host: &Host, device: &str) -> Result<u32> {
    Ok(host.run("cat", [format!("/sys/class/net/{device}/mtu")])?.trim().parse()?)
}
