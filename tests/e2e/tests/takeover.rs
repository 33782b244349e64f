//! Take-over from the Python plugin on running networks, and release.

use std::time::Duration;

use anyhow::Result;
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Cloud, Network, flow, flows_of_others, plugin_plugs, plugin_sets_up};
use ovstunnel_lab::{Kind, Pinger, Stream, Vm};

const HOSTS: [usize; 3] = [1, 2, 3];

struct Old {
    cloud: Cloud,
    network: Network,
    vms: Vec<Vm>,
}

fn old(tag: &str, stp: &[usize]) -> Result<Old> {
    let cloud = Cloud::new(tag, 3)?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    let mut vms = vec![];
    for number in HOSTS {
        plugin_sets_up(&cloud, &network, number, &HOSTS, stp.contains(&number))?;
    }
    for number in HOSTS {
        for n in [0u16, 1] {
            vms.push(plugin_plugs(&cloud, &network, number, number as u16 * 10 + n)?);
        }
    }
    Ok(Old { cloud, network, vms })
}

#[test]
fn explore() -> Result<()> {
    let stp: Vec<usize> = std::env::var("STP").unwrap_or_default().split(',').filter_map(|t| t.parse().ok()).collect();
    let order: Vec<usize> =
        std::env::var("ORDER").unwrap_or("1,2,3".into()).split(',').filter_map(|t| t.parse().ok()).collect();
    let old = old("tk", &stp)?;
    let Old { cloud, network, vms } = &old;
    if !stp.is_empty() {
        std::thread::sleep(Duration::from_secs(50));
    }
    for h in HOSTS {
        println!("{h} {:?}", flows_of_others(cloud.node(h)?.host(), &network.bridge)?);
        println!("{}", cloud.node(h)?.host().appctl(["stp/show"]).unwrap_or_default());
    }
    for h in HOSTS {
        let host = cloud.node(h)?.host();
        println!("{}", host.vsctl(["--columns=name,ofport,error,options,type", "list", "Interface"])?);
        println!("{}", host.appctl(["ofproto/list-tunnels"]).unwrap_or_default());
        println!("{}", host.appctl(["dpif/show"]).unwrap_or_default());
    }
    cloud.lab().announce_all()?;
    for a in vms {
        for b in vms {
            if a.name() != b.name() {
                a.ping(b.ip(), 2)?;
            }
        }
    }
    let mut pingers: Vec<(String, Pinger)> = vec![];
    for (a, b) in [(0, 2), (2, 4), (4, 0), (0, 1), (3, 5), (5, 1)] {
        pingers.push((format!("{a}-{b}"), vms[a].start_ping(vms[b].ip(), Duration::from_millis(2))?));
    }
    let streams: Vec<Stream> = [0, 2, 4]
        .iter()
        .map(|n| cloud.lab().stream(&vms[*n], &[Kind::Broadcast], Duration::from_millis(5)))
        .collect::<Result<_>>()?;
    std::thread::sleep(Duration::from_millis(300));
    for host in &order {
        for (n, p) in &pingers {
            println!("before {host} {n}: {}", p.report());
        }
        cloud.call(*host, |client| async move { client.takeover(&[]).await })??;
        std::thread::sleep(Duration::from_millis(500));
        for (n, p) in &pingers {
            println!("after {host} {n}: {}", p.report());
        }
    }
    for (n, p) in pingers {
        println!("{n}: {}", p.stop()?);
    }
    for s in streams {
        println!("{}", s.stop()?);
    }
    for d in cloud.lab().deliver_all(&cloud.lab().every_flooded_kind())? {
        if let Err(e) = d.expect_once() {
            println!("{e}");
        }
    }
    for h in HOSTS {
        println!("{h} {:?}", flows_of_others(cloud.node(h)?.host(), &network.bridge)?);
    }
    flow(cloud.node(1)?.host(), "xapi1", "priority=3,actions=NORMAL")?;
    Ok(())
}
