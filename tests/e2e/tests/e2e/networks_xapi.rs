//! Without a management server: a network is made in xapi by the API and its bridge set up, on each host of a pool at the same time; and
//! the plugin finds everything as if it had done it itself.

use std::thread;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Id, Outcome, PutBridge, PutTunnel, PutXapiNetwork, XapiNetworkAnswer};
use ovstunnel_e2e::{Cloud, NodeConfig, Plugin, Pool};

const KEY: u32 = 4001;

/// Has host `n` make the network.
fn make(cloud: &Cloud, n: usize) -> Result<XapiNetworkAnswer> {
    let body = PutXapiNetwork { host_id: Some(Id::Number(n as u64)) };
    Ok(cloud.call(n, |client| async move { client.put_network(KEY, &body).await })??)
}

#[test]
fn hosts_of_a_pool_make_a_network_and_its_mesh_by_the_api_alone() -> Result<()> {
    let pool = Pool::new(2, 1, "lo")?;
    let config = NodeConfig { pool: Some(pool.path().to_owned()), ..NodeConfig::default() };
    let cloud = Cloud::with_config("netxapi", 2, config)?;
    let made: Result<Vec<XapiNetworkAnswer>> = thread::scope(|scope| {
        let hosts = [1, 2].map(|n| {
            scope.spawn({
                let cloud = &cloud;
                move || make(cloud, n)
            })
        });
        hosts.into_iter().map(|host| host.join().expect("a host's requests end")).collect()
    });
    let made = made?;
    let one = &made[0];
    ensure!(one.network_uuid == made[1].network_uuid && one.bridge == made[1].bridge, "{made:?}");
    ensure!(made.iter().filter(|answer| answer.outcome == Outcome::Created).count() == 1, "{made:?}");
    let config = pool.other_config_of(&one.network_uuid)?;
    let value = |key: &str| config.get(key).map(String::as_str);
    ensure!(value("assume_network_is_shared") == Some("true") && value("is-ovs-tun-network") == Some("True"));
    ensure!(matches!(value("ovs-host-setup"), Some("1,2" | "2,1")) && config.len() == 3, "{config:?}");

    for (own, peer) in [(1, 2), (2, 1)] {
        let tunnel = PutTunnel { to: Id::Number(peer), remote_ip: format!("192.0.2.{peer}"), from: None };
        let body = PutBridge {
            key: KEY.into(),
            network_uuid: Some(one.network_uuid.clone()),
            host_id: Some(Id::Number(own)),
            ipv6: None,
            uplink: None,
            neighbours: None,
            kind: None,
            tunnels: Some(vec![tunnel]),
        };
        let bridge = one.bridge.clone();
        let answer = cloud.call(own as usize, |client| async move { client.put_bridge(&bridge, &body).await })??;
        ensure!(answer.bridge.key == Some(KEY) && answer.bridge.tunnels.len() == 1, "{answer:?}");
    }
    let plugin = Plugin::on(cloud.node(1)?)?;
    let setup = [
        ("bridge", one.bridge.as_str()),
        ("key", "OVSTunnel4001"),
        ("xs_nw_uuid", &one.network_uuid),
        ("cs_host_id", "1"),
    ];
    plugin.expect("setup_ovs_bridge", &setup, &format!("SUCCESS:{}", one.bridge))?;
    ensure!(pool.other_config_of(&one.network_uuid)? == config, "it was as the plugin wants it");
    let destroy = [("bridge", one.bridge.as_str()), ("cs_host_id", "1")];
    plugin.expect("destroy_ovs_bridge", &destroy, &format!("SUCCESS:{}", one.bridge))?;
    let left = pool.other_config_of(&one.network_uuid)?;
    ensure!(left.get("ovs-host-setup").map(String::as_str) == Some("2"), "{left:?}");
    ensure!(make(&cloud, 2)?.outcome == Outcome::Unchanged);
    Ok(())
}

/// A host that let go of its lock between our addition and our look at what stands there has refused us, and left nothing to be seen of it.
#[test]
fn a_lock_that_was_let_go_meanwhile_is_asked_for_again() -> Result<()> {
    let pool = Pool::new(1, 1, "lo")?;
    let config = NodeConfig { pool: Some(pool.path().to_owned()), ..NodeConfig::default() };
    let cloud = Cloud::with_config("netlock", 1, config)?;
    pool.set_mode(1, "refuses 2")?;
    let made = make(&cloud, 1)?;
    ensure!(made.outcome == Outcome::Created, "{made:?}");
    ensure!(!pool.other_config_of(&made.network_uuid)?.keys().any(|key| key.contains("lock")), "a lock is left");

    // What is always refused is no lock: it is told, and not asked for for ever.
    pool.set_mode(1, "refuses 1000")?;
    let body = PutXapiNetwork { host_id: Some(Id::Number(1)) };
    let refused = cloud.call(1, |client| async move { client.put_network(KEY + 1, &body).await })?;
    let words = format!("{:#}", anyhow::Error::new(refused.err().context("it was made all the same")?));
    ensure!(words.contains("Open vSwitch is unavailable") && words.contains("already there"), "{words}");
    Ok(())
}
