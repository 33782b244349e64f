//! Why A does not reach B: what is planted on either side is the first step that fails and one fault, and both are gone with it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_client::FaultsWanted;
use ovstunnel_e2e::{Cloud, Network, NodeConfig, Zone};
use ovstunnel_lab::wait_until;
use ovstunnel_manager_api::{Isolation, Path, PathStep, PutNetwork, PutNic, PutPhysicalNetwork, StepResult};

const NETWORK: &str = "acme";

const PATIENCE: Duration = Duration::from_secs(60);

fn nic(host: &str, vm: &str, mac: &str) -> PutNic {
    let (host, vm, mac) = (host.to_owned(), Some(vm.to_owned()), Some(mac.to_owned()));
    PutNic { host, vm, mac, ip: None, bridge: None, wait: None, how: None }
}

fn why(cloud: &Cloud, zone: &Zone, from: &'static str, to: &'static str) -> Result<Path> {
    zone.ask(cloud, move |client| async move { client.path(from, to, None).await })
}

/// Waits until the way is good; asked again as a person does.
fn wait_for_way(cloud: &Cloud, zone: &Zone, from: &'static str, to: &'static str) -> Result<Path> {
    wait_until(format!("the way from {from} to {to}"), PATIENCE, || {
        let path = why(cloud, zone, from, to)?;
        ensure!(path.reachable == Some(true), "{path:#?}");
        Ok(path)
    })
}

/// Waits until the first step that fails is this one.
fn wait_for_step(cloud: &Cloud, zone: &Zone, wanted: (&str, &str, &str)) -> Result<PathStep> {
    let (host, check, evidence) = wanted;
    wait_until(format!("{check} of {host} to fail"), PATIENCE, || {
        let path = why(cloud, zone, "web", "db")?;
        let first = path.first_failure.with_context(|| format!("nothing fails: {path:#?}"))?;
        let step = path.steps[usize::try_from(first)?].clone();
        let is_it = step.host.as_deref() == Some(host) && step.check == check && step.evidence.contains(evidence);
        ensure!(is_it && step.remedy.is_some() && path.reachable == Some(false), "{path:#?}");
        Ok(step)
    })
}

fn wait_for_faults(cloud: &Cloud, zone: &Zone, wanted: &[&str]) -> Result<()> {
    wait_until(format!("the faults {wanted:?}"), PATIENCE, || {
        let list = zone.ask(cloud, |client| async move { client.faults(&FaultsWanted::default()).await })?;
        let ids: Vec<&str> = list.faults.iter().map(|fault| fault.id.as_str()).collect();
        ensure!(ids == wanted, "{list:#?}");
        Ok(())
    })
}

/// Where no VM of the network runs no frame can come out, which is nobody's fault.
fn where_no_vm_is_nothing_fails(cloud: &Cloud, zone: &Zone) -> Result<()> {
    zone.ask(cloud, |client| async move {
        let mut spare = nic("h3", "spare", "");
        spare.mac = None;
        client.prepare_nic(NETWORK, "spare", &spare, false).await
    })?;
    cloud.lab().vms()[2].unplug()?;
    wait_until("no VIF to be seen on h3", PATIENCE, || {
        let path = why(cloud, zone, "h1", "h3")?;
        let of = |check: &str| path.steps.iter().find(|step| step.check == check && step.host.as_deref() == Some("h3"));
        let results = ["vif", "frame_in"].map(|check| of(check).map(|step| step.result));
        ensure!(results == [Some(StepResult::Unknown), Some(StepResult::Skipped)], "{path:#?}");
        ensure!(path.reachable.is_none() && path.first_failure.is_none(), "{path:#?}");
        Ok(())
    })
}

#[test]
fn a_fault_planted_on_either_side_is_the_first_failing_step() -> Result<()> {
    let config = NodeConfig { reconcile_interval: "2s".into(), ..NodeConfig::default() };
    let cloud = Cloud::with_config("zonewhy", 3, config)?;
    let network = Network::numbered(1, Ipv6Policy::Allow);
    cloud.mesh(&network, &[1, 2, 3])?;
    (1..=3).try_for_each(|n| cloud.plug(&network, n.into(), n).map(drop))?;
    let zone = Zone::new(&cloud)?;
    zone.add_all(&cloud)?;
    let macs: Vec<String> = cloud.lab().vms().iter().map(|vm| vm.mac().to_string()).collect();
    zone.ask(&cloud, |client| async move {
        let physical = PutPhysicalNetwork {
            isolation: Isolation::Gre,
            vnet: "1001-1010".into(),
            label: None,
            label_xen: None,
            label_kvm: None,
        };
        client.put_physical_network("p1", &physical, false).await?;
        let body = PutNetwork {
            physical_network: "p1".into(),
            number: None,
            key: Some(1001),
            adopt: true,
            ipv6: None,
            mtu: None,
        };
        client.put_network(NETWORK, &body, false).await?;
        for (host, vm, mac) in [("h1", "web", &macs[0]), ("h2", "db", &macs[1])] {
            let nic = nic(host, vm, mac);
            client.prepare_nic(NETWORK, vm, &nic, false).await?;
        }
        Ok(())
    })?;
    zone.wait_until_whole(&cloud, NETWORK)?;
    cloud.lab().deliver_all(&cloud.lab().every_flooded_kind())?.iter().try_for_each(|d| d.expect_once())?;
    let path = wait_for_way(&cloud, &zone, "web", "db")?;
    let checks: Vec<&str> = path.steps.iter().map(|step| step.check.as_str()).collect();
    let wanted = [
        "host",
        "bridge",
        "vif",
        "tunnel",
        "host",
        "bridge",
        "tunnel",
        "mtu",
        "ipv6",
        "vif",
        "frame_out",
        "frame_in",
        "frame_out",
        "frame_in",
    ];
    ensure!(checks == wanted, "{path:#?}");
    // By hosts alone: any VIF, and an address that nobody has.
    wait_for_way(&cloud, &zone, "h1", "h3")?;
    wait_for_faults(&cloud, &zone, &[])?;
    where_no_vm_is_nothing_fails(&cloud, &zone)?;

    for (number, host, other) in [(1, "h1", "h2"), (2, "h2", "h1")] {
        let at = if number == 1 { "t1001-1-2" } else { "t1001-2-1" };
        cloud.call(number, move |client| async move { client.delete_tunnel("xapi1", at).await })??;
        let step = wait_for_step(&cloud, &zone, (host, "tunnel", "tunnel_missing"))?;
        ensure!(step.commands.iter().any(|command| command.run == "ovstunnelctl zone plan acme"), "{step:?}");
        wait_for_faults(&cloud, &zone, &[&format!("one_sided:acme:{host}:{other}")])?;
        cloud.join(&network, number, &[1, 2, 3])?;
        wait_for_way(&cloud, &zone, "web", "db")?;

        // A flow of somebody else that drops what is sent to this host's VM.
        let drop = format!("cookie=0x77,priority=2000,dl_dst={},actions=drop", cloud.lab().vms()[number - 1].mac());
        let node = cloud.node(number)?.host().clone();
        node.ofctl(["add-flow", &network.bridge, &drop])?;
        let failing = wait_until("the flow to be named", PATIENCE, || {
            let path = why(&cloud, &zone, "web", "db")?;
            let fails = |step: &&PathStep| step.result == StepResult::Fail && step.host.as_deref() == Some(host);
            let failing: Vec<PathStep> = path.steps.iter().filter(fails).cloned().collect();
            ensure!(failing.iter().any(|step| step.check == "frame_in"), "{path:#?}");
            Ok(failing)
        })?;
        ensure!(
            failing.iter().any(|step| step.commands.iter().any(|c| c.run.contains("ofproto/trace"))),
            "{failing:#?}"
        );
        node.ofctl(["del-flows", &network.bridge, "cookie=0x77/-1"])?;
        wait_for_way(&cloud, &zone, "web", "db")?;
    }
    // A host that does not answer says nothing of its VMs: it is not known.
    cloud.node(2)?.kill();
    wait_for_faults(&cloud, &zone, &["host_silent:h2"])?;
    let path = why(&cloud, &zone, "web", "db")?;
    ensure!(path.reachable.is_none() && path.steps.iter().any(|step| step.remedy.is_some()), "{path:#?}");
    cloud.node(2)?.start()?;
    wait_for_way(&cloud, &zone, "web", "db")?;
    wait_for_faults(&cloud, &zone, &[])?;
    zone.expect_untouched(&cloud)?;
    zone.stop()
}
