//! The page in a real browser: `scripts/browser` installs what it takes and runs this with `--ignored`.
//!
//! The zone has what there is to see: networks that are whole, one that is one-sided, hosts that are silent or only looked at, a network of
//! more hosts than a graph shows, a hold, and one network without a key. `tests/browser/run.js` then looks at each view.

use std::process::Command;
use std::time::Duration;

use crate::common::web::issue;
use crate::common::{Bench, Host, acting_after, acting_with, host, physical, put, until};
use ovstunnel_manager_api::{HostState, Isolation, Mode, PutHost, PutNetwork, PutNic};
use ovstunnel_store::Store;

const CONFIG: &str = "[membership]\nlinger = \"0s\"\n[tls]\ncertificate = \"/c\"\nkey = \"/k\"\nclient_ca = \"/a\"\n\
    [[tls.clients]]\nname = \"eve\"\nrole = \"viewer\"\n[[tls.clients]]\nname = \"olga\"\nrole = \"operator\"\n\
    [[tls.clients]]\nname = \"ada\"\nrole = \"admin\"\n";

/// Hosts of the zone; the last but one is only looked at, and the last falls silent.
const HOSTS: u8 = 24;

async fn prepare(bench: &Bench, network: &str, on: impl IntoIterator<Item = u8>) {
    for n in on {
        let nic = PutNic {
            host: format!("h{n}"),
            vm: Some(format!("vm{n}")),
            mac: None,
            ip: None,
            bridge: None,
            wait: Some("30s".into()),
            how: None,
        };
        bench.manager.prepare_nic(network, &format!("n{n}"), &nic, false).await.unwrap();
    }
}

async fn register(bench: &Bench, hosts: &[Host], mode: impl Fn(u64) -> Mode) {
    for (n, host) in (1u64..).zip(hosts) {
        let rack = Some(format!("r{}", n % 3));
        let body = PutHost { rack, mode: mode(n), ..put(&host.url, Some(n)) };
        bench.manager.put_host(&format!("h{n}"), &body, false).await.unwrap();
    }
}

async fn zone() -> (Bench, Vec<Host>) {
    let store = Store::in_memory("dc1");
    let bench = acting_with(CONFIG, store.clone()).await;
    let mut hosts = Vec::new();
    for n in 1..=HOSTS {
        hosts.push(host(bench.dir.path(), n).await);
    }
    register(&bench, &hosts, |_| Mode::Manage).await;
    let m = &bench.manager;
    let all = u32::from(HOSTS);
    until("all hosts", async || (m.overview().await.unwrap().hosts.ok == all).then_some(())).await;
    m.put_physical_network("p1", &physical(Isolation::Gre, "1001-1010"), false).await.unwrap();
    for network in ["acme-web", "db-7", "wide", "two"] {
        let body =
            PutNetwork { physical_network: "p1".into(), number: None, key: None, adopt: false, ipv6: None, mtu: None };
        m.put_network(network, &body, false).await.unwrap();
    }
    prepare(&bench, "acme-web", 1..=8).await;
    prepare(&bench, "db-7", [2, 5, 23]).await;
    prepare(&bench, "wide", 1..=HOSTS).await;
    prepare(&bench, "two", [3, 4]).await;
    // What is removed behind its back where it may not write stays away.
    register(&bench, &hosts, |n| if n == 23 { Mode::Observe } else { Mode::Manage }).await;
    let of_db =
        hosts[22].client.bridges().await.unwrap().bridges.into_iter().find(|bridge| bridge.tunnels.len() == 2).unwrap();
    hosts[22].client.delete_tunnel(&of_db.name, &of_db.tunnels[0].port).await.unwrap();
    until("one side", async || m.proof("db-7").await.unwrap().reason).await;
    // Another leader finds that a NIC has gone of which nobody has told it: it asks.
    let two = store.network("two").await.unwrap().unwrap().number;
    store.delete_nic(two, "n4").await.unwrap();
    store.set_setting("controller", None).await.unwrap();
    let bench = acting_after(bench, CONFIG, store).await;
    let m = &bench.manager;
    until("a hold", async || m.holds().await.unwrap().holds.into_iter().next()).await;
    hosts.pop().unwrap().serving.shutdown(Duration::ZERO).await;
    let last = format!("h{HOSTS}");
    until("silence", async || (m.host(&last).await.unwrap().state == HostState::Silent).then_some(())).await;
    (bench, hosts)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a browser: scripts/browser"]
async fn the_page_in_a_browser() {
    let (bench, _hosts) = zone().await;
    let dir = bench.dir.path().to_owned();
    ["eve", "olga", "ada"].iter().for_each(|name| drop(issue(&dir, name)));
    let link = bench.manager.link(None).await.unwrap();
    let mut node = Command::new("node");
    node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/browser/run.js"));
    node.env("PAGE_URL", &bench.url).env("PAGE_PKI", dir.join("pki")).env("PAGE_LINK", &link.path);
    let ended = tokio::task::spawn_blocking(move || node.status()).await.unwrap();
    assert!(ended.expect("node").success(), "the words above say what was found");
}
