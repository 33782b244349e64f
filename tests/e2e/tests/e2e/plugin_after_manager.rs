//! Two masters, one after the other: once a zone's manager that acted is gone for good or switched off, a network's whole life under the plugin alone
//! is, call by call, what it was on the same hosts before there ever was a manager.

use std::time::Duration;

use anyhow::{Result, ensure};
use ovstunnel_e2e::{Cloud, LIFE_HOSTS, NodeConfig, Picture, Plugin, Pool, Step, Zone, watched_life};
use ovstunnel_lab::wait_until;
use ovstunnel_manager_api::{Isolation, NicOutcome, PutNetwork, PutNic, PutPhysicalNetwork};

const PATIENCE: Duration = Duration::from_secs(60);

fn pictures(cloud: &Cloud) -> Result<Vec<Picture>> {
    cloud.nodes().iter().map(|node| Picture::of(node.host())).collect()
}

/// Has the manager make the network's mesh on xapi's bridges and take it away again, with the plugin's word left to it in between.
fn manage(cloud: &Cloud, zone: &Zone) -> Result<()> {
    cloud.nodes().iter().try_for_each(|node| node.host().add_bridge("xapi1"))?;
    let before = pictures(cloud)?;
    zone.ask(cloud, |client| async move {
        let vnet = "1001".to_owned();
        let physical =
            PutPhysicalNetwork { isolation: Isolation::Gre, vnet, label: None, label_xen: None, label_kvm: None };
        client.put_physical_network("p1", &physical, false).await?;
        let (number, key, mtu) = (None, Some(1001), None);
        let web = PutNetwork { physical_network: "p1".into(), number, key, adopt: false, ipv6: None, mtu };
        client.put_network("web", &web, false).await
    })?;
    for number in 1..=LIFE_HOSTS {
        let (host, bridge, wait) = (format!("h{number}"), Some("xapi1".into()), Some("30s".into()));
        let nic = PutNic { host, vm: None, mac: None, ip: None, bridge, wait, how: None };
        let prepared = zone.ask(cloud, move |client| async move {
            client.prepare_nic("web", &format!("n{number}"), &nic, false).await
        })?;
        ensure!(prepared.outcome == NicOutcome::Ready, "{prepared:?}");
    }
    zone.wait_until_whole(cloud, "web")?;
    let port = cloud.node(1)?.host().vsctl(["list-ports", "xapi1"])?.lines().next().unwrap_or_default().to_owned();
    let plugin = Plugin::on(cloud.node(1)?)?;
    plugin.expect("destroy_tunnel", &[("bridge", "xapi1"), ("in_port", &port)], "SUCCESS")?;
    let ports = cloud.node(1)?.host().vsctl(["list-ports", "xapi1"])?;
    ensure!(ports.lines().any(|there| there == port), "the manager acts, and the plugin has removed {port} by itself");
    for number in 1..=LIFE_HOSTS {
        zone.ask(
            cloud,
            move |client| async move { client.release_nic("web", &format!("n{number}"), None, false).await },
        )?;
    }
    wait_until("the mesh to be gone", PATIENCE, || {
        pictures(cloud)?.iter().zip(&before).try_for_each(|(now, before)| now.expect(before))
    })?;
    cloud.nodes().iter().try_for_each(|node| node.host().vsctl(["del-br", "xapi1"]).map(drop))
}

/// That a manager has acted on each host, and that it is 5 minutes ago: a daemon knows of none that has not connected since its start.
fn forget_manager(cloud: &Cloud) -> Result<()> {
    for (index, node) in cloud.nodes().iter().enumerate() {
        let epoch = node.host().vsctl(["get", "Open_vSwitch", ".", "external_ids:ovstunnel-epoch"])?;
        ensure!(epoch.contains(':'), "the manager took no epoch: {epoch}");
        node.kill();
        node.start()?;
        cloud.wait_until_ready(index + 1)?;
    }
    Ok(())
}

fn expect_same(when: &str, steps: &[Step], wanted: &[Step]) -> Result<()> {
    let names = |steps: &[Step]| steps.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    ensure!(names(steps) == names(wanted), "{when}: other calls");
    for (number, ((name, picture), (_, before))) in steps.iter().zip(wanted).enumerate() {
        picture.expect(before).map_err(|error| anyhow::anyhow!("{when}, after call {number}, {name}: {error}"))?;
    }
    Ok(())
}

#[test]
fn without_a_manager_or_with_it_off_the_plugin_works_alone() -> Result<()> {
    let pool = Pool::new(LIFE_HOSTS, 1, "br-phy")?;
    let config =
        NodeConfig { pool: Some(pool.path().to_owned()), reconcile_interval: "2s".into(), ..NodeConfig::default() };
    let cloud = Cloud::with_config("twomasters", LIFE_HOSTS, config)?;
    let never = watched_life(&cloud, &pool, [1, 2, 3], false)?;
    ensure!(never.len() > 30, "only {} calls", never.len());

    let zone = Zone::acting(&cloud)?;
    zone.add_all(&cloud)?;
    manage(&cloud, &zone)?;
    // Killed for good.
    zone.kill();
    forget_manager(&cloud)?;
    expect_same("the manager was killed", &watched_life(&cloud, &pool, [1, 2, 3], false)?, &never)?;

    // It acts again, and is then switched off: it looks on.
    zone.start(&cloud)?;
    zone.wait_for_all(&cloud)?;
    zone.stop()?;
    zone.set_controller(false)?;
    zone.start(&cloud)?;
    forget_manager(&cloud)?;
    zone.wait_for_all(&cloud)?;
    expect_same("its controller is off", &watched_life(&cloud, &pool, [1, 2, 3], false)?, &never)
}
