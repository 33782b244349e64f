//! The real manager over fifty hollow hosts: it has the whole picture, loses it, has it again, and never writes.

use std::net::TcpListener;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use ovstunnel_client::FaultsWanted;
use ovstunnel_e2e::{Browser, Views};
use ovstunnel_hollow::{Hollow, Manager, Plan, Size};

/// So many hosts are connected to at the same time, as the manager's configuration has it.
const CONCURRENCY: usize = 128;

fn zone(is_old: impl Fn(usize) -> bool) -> Result<(Hollow, Manager)> {
    let hollow = Hollow::new(Plan::new(Size::small(), 1)?, is_old)?;
    let mut manager = Manager::new(&hollow)?;
    manager.register(&hollow)?;
    manager.wait_until_whole(&hollow)?;
    Ok((hollow, manager))
}

#[test]
fn the_whole_zone_is_seen_again_after_each_loss() -> Result<()> {
    let (hollow, mut manager) = zone(|_| false)?;
    ensure!(hollow.counts().watching == 50, "{:?}", hollow.counts());

    // One tunnel less is one network less, named.
    let network = hollow.lack_a_tunnel(0, true)?;
    manager.wait("the fault", |overview| {
        ensure!((overview.networks.whole, overview.tunnels.proven) == (59, 2999), "{overview:?}");
        Ok(())
    })?;
    let name = format!("key-{}", Plan::key(network));
    let proof = manager.ask(async |client| client.proof(&name).await)?;
    ensure!(
        proof.reason.as_deref().is_some_and(|reason| reason.starts_with("tunnel_missing on h0001 to ")),
        "{proof:?}"
    );
    hollow.lack_a_tunnel(0, false)?;
    manager.wait_until_whole(&hollow)?;

    // All connections end at once; each is there again, and the old ones are not.
    let before = hollow.counts().all_connections;
    hollow.cut_all();
    manager.wait("a host that is silent", |overview| {
        ensure!(overview.hosts.silent > 0 || hollow.counts().all_connections >= before + 50, "{overview:?}");
        Ok(())
    })?;
    manager.wait_until_whole(&hollow)?;

    // A killed manager knows all of it again, from its database and the hosts alone.
    manager.kill();
    manager.start()?;
    manager.wait_until_whole(&hollow)?;
    let counts = hollow.counts();
    ensure!(counts.most_handshakes <= CONCURRENCY && counts.all_connections >= 100, "{counts:?}");
    ensure!(counts.writes == 0, "{counts:?}");
    Ok(())
}

/// Where the page shows the network with the most hosts.
fn largest_network(hollow: &Hollow) -> Result<String> {
    let size = |network: &usize| hollow.plan().members(*network).len();
    let largest = (0..hollow.plan().size.networks).max_by_key(size).context("a network")?;
    Ok(format!("/networks/key-{}", Plan::key(largest)))
}

fn host_name(host: usize) -> String {
    format!("h{:04}", Plan::number(host))
}

/// Whatever is wrong and however many hosts there are, nothing that a browser loads is large, and no list is whole.
#[test]
fn each_view_of_a_large_zone_is_small() -> Result<()> {
    let hollow = Hollow::new(Plan::new(Size::large_mesh(), 1)?, |_| false)?;
    let mut manager = Manager::new(&hollow)?;
    manager.register(&hollow)?;
    manager.wait_until_whole(&hollow)?;
    for host in 0..100 {
        hollow.lack_a_tunnel(host, true)?;
    }
    manager.wait("the faults", |overview| {
        ensure!(overview.networks.whole < overview.networks.all && overview.faults > 0, "{overview:?}");
        Ok(())
    })?;
    let network = largest_network(&hollow)?;
    let mesh = format!("/v1{network}/mesh");
    let view = |word: &str| format!("{network}?view={word}");
    let views = [
        "/",
        "/networks",
        "/networks?state=broken",
        "/hosts",
        "/hosts/h0001",
        "/hosts/h0001?view=tunnels",
        "/faults",
        "/path",
    ];
    let lists = ["/keys", "/events", "/holds", "/v1/zone/matrix?by=rack", "/v1/zone/matrix.png?by=rack"];
    let of_network = [
        view("matrix"),
        view("graph"),
        view("table"),
        view("proof"),
        view("events"),
        format!("{mesh}.svg"),
        format!("{mesh}.png?side=300"),
    ];
    for path in views.into_iter().chain(lists).chain(of_network.iter().map(String::as_str)) {
        let bytes = manager.view(path)?.body.len();
        ensure!((200..100_000).contains(&bytes), "{path}: {bytes} bytes");
    }
    for path in [
        mesh.clone(),
        format!("{mesh}.csv"),
        format!("{mesh}.png"),
        "/v1/zone/matrix".into(),
        "/v1/zone/matrix.png".into(),
    ] {
        let bytes = manager.view(&path)?.body.len();
        ensure!((10..400_000).contains(&bytes), "{path}: {bytes} bytes");
    }
    Ok(())
}

#[test]
fn old_daemons_are_polled_and_said_to_be() -> Result<()> {
    let (hollow, mut manager) = zone(|host| host % 2 == 0)?;
    let hosts = manager.ask(async |client| client.hosts().await)?.hosts;
    let watched: Vec<&str> = hosts.iter().filter(|host| host.watched).map(|host| host.name.as_str()).collect();
    ensure!(watched.len() == 25 && watched.first() == Some(&"h0002"), "{watched:?}");
    // A change is seen there, too.
    let network = hollow.lack_a_tunnel(0, true)?;
    manager.wait("the fault", |overview| {
        ensure!(overview.networks.whole == 59, "{overview:?}");
        Ok(())
    })?;
    let first = hosts.iter().find(|host| host.name == "h0001").context("the first host")?;
    ensure!(!first.watched && network < 60, "{first:?}");
    ensure!(hollow.counts().writes == 0, "{:?}", hollow.counts());
    Ok(())
}

/// With two thousand hosts each view fits in each shape, and a fault comes to the page and goes by itself.
#[test]
#[ignore = "takes a browser and long: scripts/browser --hollow"]
fn the_page_of_two_thousand_hosts_in_a_browser() -> Result<()> {
    let hollow = Hollow::new(Plan::new(Size::reference(), 1)?, |_| false)?;
    let at = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let mut manager = Manager::listening(&hollow, &at)?;
    manager.register(&hollow)?;
    manager.wait_until_whole(&hollow)?;
    for host in 100..200 {
        hollow.lack_a_tunnel(host, true)?;
    }
    let network = largest_network(&hollow)?;
    let of_network = |word: &str| format!("{network}?view={word}");
    let mut views: Vec<(&str, String)> = [
        ("overview", "/"),
        ("networks", "/networks"),
        ("broken", "/networks?state=broken"),
        ("hosts", "/hosts"),
        ("host", "/hosts/h0001"),
        ("tunnels", "/hosts/h0001?view=tunnels"),
        ("faults", "/faults"),
        ("path", "/path?from=h0001&to=h0002"),
        ("keys", "/keys"),
        ("events", "/events"),
        ("holds", "/holds"),
    ]
    .map(|(name, path)| (name, path.to_owned()))
    .into();
    views.extend(["matrix", "graph", "table", "proof", "events"].map(|word| (word, of_network(word))));
    let link = manager.ask(async |client| client.link(None).await)?;
    let (url, log) = (format!("https://{at}"), hollow.dir().join("browser.log"));
    manager.wait("the faults", |overview| {
        ensure!(overview.faults >= 90, "{overview:?}");
        Ok(())
    })?;
    // Of a host without a fault, so that what comes is the new one.
    let is_well = |host: &usize| {
        let wanted = FaultsWanted { host: Some(host_name(*host)), ..FaultsWanted::default() };
        manager.ask(async |client| client.faults(&wanted).await).is_ok_and(|found| found.total == 0)
    };
    let host = (0..100).find(is_well).context("a host without a fault")?;
    let place = format!("/faults?host={}", host_name(host));
    let fault = Some((place.as_str(), "has no tunnel to host"));
    let views: Vec<(&str, &str)> = views.iter().map(|(name, path)| (*name, path.as_str())).collect();
    let views = Views { url: &url, link: &link.path, views: &views, fault, pictures: None };
    let mut browser = Browser::start(Command::new("node"), &views, &log)?;
    browser.wait_for("watching")?;
    hollow.lack_a_tunnel(host, true)?;
    browser.wait_for("found")?;
    hollow.lack_a_tunnel(host, false)?;
    browser.wait_for("gone")?;
    browser.finish()
}
