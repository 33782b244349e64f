//! The plugin against its contract, on a real switch: the calls of old and new servers, xapi's own bridges, bridges that are
//! not ours, and xapi's side when all goes well.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Code, TunnelState};
use ovstunnel_e2e::{Answered, Body, Caller, Cloud, NodeConfig, Picture, Plugin, Pool, Snapshot, network_uuid};
use ovstunnel_lab::{VmSpec, wait_until};

/// A pool of one host, and that host with its daemon.
fn one(tag: &str) -> Result<(Pool, Cloud, Plugin)> {
    let pool = Pool::new(1, 2, "lo")?;
    let cloud = Cloud::with_config(tag, 1, NodeConfig { pool: Some(pool.path().to_owned()), ..NodeConfig::default() })?;
    let plugin = Plugin::on(cloud.node(1)?)?;
    Ok((pool, cloud, plugin))
}

fn setup<'a>(bridge: &'a str, network: &'a str) -> [(&'a str, &'a str); 4] {
    [("bridge", bridge), ("key", "OVSTunnel1001"), ("xs_nw_uuid", network), ("cs_host_id", "1")]
}

fn tunnel<'a>(remote_ip: &'a str, to: &'a str) -> [(&'a str, &'a str); 5] {
    [("bridge", "xapi1"), ("remote_ip", remote_ip), ("key", "1001"), ("from", "1"), ("to", to)]
}

/// The calls of one kind of server, in order.
fn calls(folder: &Path) -> Result<Vec<(PathBuf, String, String)>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "xml"));
    files.sort();
    let read = |file: PathBuf| {
        let value = std::fs::read_to_string(file.with_extension("value"))?.trim_end().to_owned();
        Ok((file.clone(), std::fs::read_to_string(file)?, value))
    };
    files.into_iter().map(read).collect()
}

#[test]
fn every_kind_of_server_gets_the_answers_it_takes_as_success() -> Result<()> {
    let requests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin/requests");
    let mut servers = 0;
    for folder in std::fs::read_dir(&requests)? {
        let folder = folder?.path();
        servers += 1;
        let (pool, cloud, plugin) = one(&format!("srv{servers}"))?;
        let host = cloud.node(1)?.host();
        let (before, calls) = (Picture::of(host)?, calls(&folder)?);
        ensure!(calls.len() > 10, "{}: only {} calls", folder.display(), calls.len());
        let mut seen_up = 0;
        for (file, text, value) in calls {
            let answered = plugin.raw(&text)?;
            ensure!(answered == Answered::Value(value.clone()), "{}: {answered:?}", file.display());
            if let Some(port) = value.strip_prefix("SUCCESS:t") {
                let port = format!("t{port}");
                let bridge = cloud.call(1, |client| async move { client.bridge("xapi1").await })??;
                let tunnel = bridge.tunnels.iter().find(|tunnel| tunnel.port == port).context("the tunnel")?;
                ensure!(tunnel.state == TunnelState::Up && port.len() <= 15, "{tunnel:?}");
                ensure!(host.vsctl(["get", "Port", &port, "protected"])?.trim() == "true");
                ensure!(pool.hosts(1)?.len() == 1, "{:?}", pool.other_config(1)?);
                seen_up += 1;
            }
        }
        ensure!(seen_up > 0);
        Picture::of(host)?.expect(&before)?;
        let config = pool.other_config(1)?;
        let left: Vec<_> = config.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(left, ["is-ovs-tun-network=True", "ovs-host-setup="], "{}", folder.display());
    }
    ensure!(servers >= 2, "only {servers} kinds of server");
    Ok(())
}

#[test]
fn a_xapi_bridge_is_adopted_and_left() -> Result<()> {
    let (pool, cloud, plugin) = one("xapibr")?;
    let (node, network) = (cloud.node(1)?, network_uuid(1));
    let host = node.host();
    host.add_bridge("xapi1")?;
    pool.write(1, "ovs-host-setup", "33,12")?;
    let before = Picture::of(host)?;
    plugin.expect("setup_ovs_bridge", &setup("xapi1", &network), "SUCCESS:xapi1")?;
    plugin.expect("create_tunnel", &tunnel("192.0.2.2", "2"), "SUCCESS:t1001-1-2")?;
    assert_eq!(pool.hosts(1)?, ["1", "12", "33"]);
    let vm = host.plug_vm("xapi1", "vif3.0", VmSpec::numbered(1))?;

    let destroy = [("bridge", "xapi1"), ("cs_host_id", "1")];
    let told = plugin.call("destroy_ovs_bridge", &destroy)?;
    ensure!(told.starts_with("FAILURE:IN_THE_WAY ") && told.contains("vif3.0"), "{told}");
    assert_eq!(pool.hosts(1)?, ["1", "12", "33"], "it is still set up");
    vm.unplug()?;
    plugin.expect("destroy_ovs_bridge", &destroy, "SUCCESS:xapi1")?;
    Picture::of(host)?.expect(&before)?;
    assert_eq!(pool.hosts(1)?, ["12", "33"]);

    // Late and repeated, also by a daemon that remembers nothing.
    plugin.expect("destroy_ovs_bridge", &destroy, "SUCCESS:xapi1")?;
    node.stop()?;
    node.start()?;
    cloud.wait_until_ready(1)?;
    plugin.expect("destroy_ovs_bridge", &destroy, "SUCCESS:xapi1")?;
    plugin.expect("destroy_tunnel", &[("bridge", "xapi1"), ("in_port", "t1001-1-2")], "SUCCESS")?;
    Picture::of(host)?.expect(&before)
}

/// After a restart of the host xapi makes its bridge anew, and its network still says that this host is set up: the server goes
/// on to the tunnels.
#[test]
fn a_tunnel_for_a_bridge_that_xapi_made_anew_takes_it_up() -> Result<()> {
    let (pool, cloud, plugin) = one("anew")?;
    let host = cloud.node(1)?.host();
    let told = plugin.call("create_tunnel", &tunnel("192.0.2.2", "2"))?;
    ensure!(told.starts_with("FAILURE:NO_BRIDGE "), "{told}");
    pool.write(1, "ovs-host-setup", "1")?;
    host.add_bridge("xapi1")?;
    plugin.expect("create_tunnel", &tunnel("192.0.2.2", "2"), "SUCCESS:t1001-1-2")?;
    let bridge = cloud.call(1, |client| async move { client.bridge("xapi1").await })??;
    ensure!(bridge.adopted && bridge.key == Some(1001) && bridge.tunnels[0].state == TunnelState::Up, "{bridge:?}");
    ensure!(host.vsctl(["get", "Port", "xapi1", "protected"])?.trim() == "true");
    // An old server does not say which host it is, and none says which network: both are found.
    plugin.expect("destroy_ovs_bridge", &[("bridge", "xapi1")], "SUCCESS:xapi1")?;
    assert_eq!(pool.hosts(1)?, Vec::<String>::new());
    Ok(())
}

#[test]
fn tunnels_of_another_plugin_are_not_mixed_with_ours() -> Result<()> {
    let (pool, cloud, plugin) = one("python")?;
    let host = cloud.node(1)?.host();
    host.add_bridge("xapi1")?;
    let line = "set Bridge xapi1 other_config:gre_key=1001 -- add-port xapi1 t1001-1-9 -- set Interface t1001-1-9 type=gre \
                options:key=1001 options:remote_ip=192.0.2.9";
    host.vsctl(line.split_whitespace())?;
    let before = Snapshot::of(host)?;
    let network = network_uuid(1);
    let destroy_tunnel = [("bridge", "xapi1"), ("in_port", "t1001-1-9")];
    for (function, arguments) in [
        ("setup_ovs_bridge", &setup("xapi1", &network)[..]),
        ("create_tunnel", &tunnel("192.0.2.2", "2")),
        ("destroy_ovs_bridge", &[("bridge", "xapi1"), ("cs_host_id", "1")]),
        ("destroy_tunnel", &destroy_tunnel),
    ] {
        let told = plugin.call(function, arguments)?;
        ensure!(told.starts_with("FAILURE:IN_THE_WAY ") && told.contains("xapi1"), "{function}: {told}");
    }
    before.expect_same(&Snapshot::of(host)?)?;
    ensure!(pool.other_config(1)?.is_empty(), "{:?}", pool.other_config(1)?);
    Ok(())
}

#[test]
fn refusals_use_the_contracts_words() -> Result<()> {
    let (_pool, cloud, plugin) = one("refuse")?;
    let (node, network) = (cloud.node(1)?, network_uuid(1));
    let host = node.host();
    plugin.expect("setup_ovs_bridge", &setup("xapi1", &network), "SUCCESS:xapi1")?;
    plugin.expect("create_tunnel", &tunnel("192.0.2.2", "2"), "SUCCESS:t1001-1-2")?;
    let before = Snapshot::of(host)?;
    let own = host.ip().to_string();
    for (arguments, word) in [
        (tunnel(&own, "3"), "INVALID_ARGUMENT remote_ip "),
        (tunnel("127.0.0.1", "3"), "INVALID_ARGUMENT remote_ip "),
        (tunnel("192.0.2.3", "1"), "INVALID_ARGUMENT to "),
    ] {
        let told = plugin.call("create_tunnel", &arguments)?;
        ensure!(told.starts_with(&format!("FAILURE:{word}")), "{arguments:?}: {told}");
    }
    let told = plugin.call(
        "setup_ovs_bridge",
        &[("bridge", "xapi1"), ("key", "7"), ("xs_nw_uuid", &network), ("cs_host_id", "1")],
    )?;
    ensure!(told.starts_with("FAILURE:IN_THE_WAY ") && told.contains("1001"), "{told}");
    before.expect_same(&Snapshot::of(host)?)?;

    host.kill_vswitchd();
    let down = |word: &str| {
        wait_until(word, std::time::Duration::from_secs(20), || {
            let told = plugin.call("create_tunnel", &tunnel("192.0.2.3", "3"))?;
            ensure!(told.starts_with(&format!("FAILURE:{word} ")), "{told}");
            Ok::<(), anyhow::Error>(())
        })
    };
    down("SWITCH_NOT_RUN")?;
    host.kill_ovsdb();
    down("DB_NOT_RUN")?;
    host.start_ovsdb()?;
    host.start_vswitchd()?;
    cloud.wait_until_ready(1)?;
    plugin.expect("create_tunnel", &tunnel("192.0.2.3", "3"), "SUCCESS:t1001-1-3")
}

/// The management network's device is told by the network's name, over HTTPS, too.
#[test]
fn a_network_of_xapi_is_found_by_its_name_label() -> Result<()> {
    let (_pool, cloud, _plugin) = one("label")?;
    let caller = Caller::new(&cloud, 1)?;
    let ask = |label: &str| caller.ask(&cloud, "GET", &format!("/v1/interfaces/{label}"), Body::None);
    let found: serde_json::Value = serde_json::from_str(&ask("Pool-wide%20network")?.body)?;
    let told = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (told("label"), told("device"), told("ip")),
        ("Pool-wide network".into(), "lo".into(), "127.0.0.1".into())
    );
    for none in ["no%20such%20network", "no%20address", "twice", "%27%3B%20id%20%23", "a%0Ab", "--help"] {
        ask(none)?.problem(Code::NotFound).with_context(|| none.to_owned())?;
    }
    Ok(())
}
