//! `rebuild` after the loss of the database: hosts are daemons on simulated switches, the manager is the program.

use std::path::Path;

use crate::common::program::{Program, configure, output};
use crate::common::{Host, folder, host, put, until};
use nix::sys::signal::Signal;
use ovstunnel_api::{KindStep, PostKind, TunnelKind};
use ovstunnel_manager_api::{HostState, NetworkState, PutNetwork, PutNetworkKind, PutNic};

use TunnelKind::{Geneve, Gre, Vxlan};

/// The certificate of the program and its physical network, in a manager that acts.
fn configuration(dir: &Path) {
    configure(dir, "[[physical_networks]]\nname = \"p1\"\nisolation = \"GRE\"\nvnet = \"1001-1010\"\n");
    let file = dir.join("manager.toml");
    let text = std::fs::read_to_string(&file).unwrap().replacen("sdn.ovs", "sdn.ovs.controller = true\nsdn.ovs", 1);
    std::fs::write(file, text).unwrap();
}

fn list(dir: &Path, hosts: &[(&str, &str)], more: &str) {
    let host = |(name, api): &(&str, &str)| format!("[[hosts]]\nname = \"{name}\"\napi = \"{api}\"\n");
    std::fs::write(dir.join("hosts.toml"), hosts.iter().map(host).collect::<String>() + more).unwrap();
}

/// Status, standard output and standard error of `rebuild` with these arguments more.
fn rebuild(dir: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let file = dir.join("hosts.toml").display().to_string();
    let output = output(dir, &[&["rebuild", "--hosts", &file], more].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

async fn until_whole(program: &Program, network: &str) {
    until("the network to be whole on both hosts", async || {
        let network = program.manager.network(network).await.ok()?;
        (network.state == NetworkState::Whole && network.hosts == 2).then_some(())
    })
    .await;
}

/// A zone with a network on hosts 7 and 9, whose manager has ended; gives the epoch that it wrote under, too.
async fn lost(dir: &Path, hosts: &[(&str, &Host, u64)]) -> (String, u64) {
    lost_with(dir, hosts, None).await
}

/// The same where a kind of the network's tunnels was recorded.
async fn lost_with(dir: &Path, hosts: &[(&str, &Host, u64)], kind: Option<TunnelKind>) -> (String, u64) {
    configuration(dir);
    let program = Program::start(dir).await;
    let m = &program.manager;
    for (name, host, number) in hosts {
        m.put_host(name, &put(&host.url, Some(*number)), false).await.unwrap();
    }
    let network = PutNetwork {
        physical_network: "p1".into(),
        number: Some(204),
        key: Some(1003),
        adopt: false,
        ipv6: None,
        mtu: None,
    };
    m.put_network("web", &network, false).await.unwrap();
    if let Some(kind) = kind {
        m.put_network_kind("web", &PutNetworkKind { kind }, false).await.unwrap();
    }
    for (name, ..) in hosts {
        let nic = PutNic { host: (*name).into(), vm: None, mac: None, ip: None, bridge: None, wait: None, how: None };
        m.prepare_nic("web", &format!("nic-{name}"), &nic, false).await.unwrap();
    }
    until_whole(&program, "web").await;
    let epoch = hosts[0].1.client.epoch().await.unwrap();
    program.signal(Signal::SIGKILL);
    drop(program);
    std::fs::remove_dir_all(dir.join("db")).unwrap();
    (epoch.zone.unwrap(), epoch.epoch.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_is_made_anew_and_the_next_manager_goes_on() {
    let folder = folder();
    let dir = folder.path();
    let (h1, h2) = (host(dir, 1).await, host(dir, 2).await);
    let (zone, epoch) = lost(dir, &[("h1", &h1, 7), ("h2", &h2, 9)]).await;
    list(dir, &[("h1", &h1.url), ("h2", &h2.url)], "[[networks]]\nkey = 1003\nname = \"web\"\nnumber = 204\n");

    let (code, page, error) = rebuild(dir, &[]);
    assert_eq!(code, Some(0), "{error}");
    for part in [zone.as_str(), "h1    7", "h2    9", "web      204     1003", "Nothing was recorded: --apply does it."]
    {
        assert!(page.contains(part), "no {part} in {page}");
    }
    assert!(!dir.join("db").exists(), "without --apply nothing is made");
    let (code, page, error) = rebuild(dir, &["--apply"]);
    assert_eq!((code, page.contains("Recorded. NICs are not known any more")), (Some(0), true), "{page}{error}");

    let program = Program::start(dir).await;
    until_whole(&program, "web").await;
    let network = program.manager.network("web").await.unwrap();
    assert_eq!((network.key, network.record.unwrap().number), (Some(1003), 204));
    assert_eq!(program.manager.overview().await.unwrap().uuid, zone);
    let hosts = until("both hosts to be led", async || {
        let hosts = program.manager.hosts().await.ok()?.hosts;
        hosts.iter().all(|host| host.state == HostState::Ok).then_some(hosts)
    })
    .await;
    assert_eq!(hosts.iter().map(|host| (host.name.as_str(), host.number)).collect::<Vec<_>>(), [("h1", 7), ("h2", 9)]);
    assert!(h1.client.epoch().await.unwrap().epoch.unwrap() > epoch, "it leads above what the hosts knew");

    let (code, _, error) = rebuild(dir, &["--apply"]);
    assert_eq!((code, error.contains("a manager runs on this machine")), (Some(1), true), "{error}");
    drop(program);
    let (code, _, error) = rebuild(dir, &["--apply"]);
    assert_eq!(
        (code, error.contains("has 2 hosts already; rebuild fills an empty one only")),
        (Some(1), true),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_for_sure_is_not_recorded() {
    let folder = folder();
    let dir = folder.path();
    let (h1, h2) = (host(dir, 1).await, host(dir, 2).await);
    lost(dir, &[("h1", &h1, 7), ("h2", &h2, 9)]).await;
    let nobody = "https://127.0.0.1:9";
    list(dir, &[("h1", &h1.url), ("h2", &h2.url), ("h3", nobody)], "");
    let refused = |arguments: &[&str], parts: &[&str]| {
        let (code, _, error) = rebuild(dir, arguments);
        assert_eq!(code, Some(1), "{error}");
        parts.iter().for_each(|part| assert!(error.contains(part), "no {part} in {error}"));
        assert!(!dir.join("db").exists(), "nothing is recorded");
    };
    refused(
        &["--apply"],
        &[
            "host h3 does not answer: ",
            "nothing was recorded. Where they are gone for good, leave them out: --without h3",
        ],
    );
    refused(&["--without", "h4"], &["--without h4: there is no such host in the list"]);
    let (code, page, _) = rebuild(dir, &["--without", "h3"]);
    assert!(code == Some(0) && page.contains("net-1003") && page.contains("host h3 is left out: "), "{page}");

    list(dir, &[("h1", &h1.url), ("h1", &h2.url)], "");
    refused(&[], &["hosts.toml: hosts[1].name: is that of another one above; got \"h1\""]);
    list(dir, &[("h1", "http://h1")], "");
    refused(&[], &["hosts[0].api: expected https://HOST:PORT", "got \"http://h1\""]);
    list(dir, &[("h1", &h1.url)], "colour = \"red\"\n");
    refused(&[], &["unknown field `colour`"]);
    list(dir, &[("h1", &h1.url), ("h2", &h2.url)], "number = 7\n");
    refused(&["--apply"], &["hosts h1 and h2 have the same number 7; nothing was recorded"]);
    list(dir, &[("h1", &h1.url)], "[[networks]]\nkey = 1003\nname = \"web\"\nphysical_network = \"p2\"\n");
    refused(&["--apply"], &["network web: its key 1003 is not in the ranges of the physical network p2"]);
    // A host that belongs to another zone now.
    h2.client.clear_epoch().await.unwrap();
    let other = ovstunnel_types::Epoch::new(uuid::Uuid::from_u128(7), 3).unwrap();
    h2.client.record_epoch(other).await.unwrap();
    list(dir, &[("h1", &h1.url), ("h2", &h2.url)], "");
    refused(
        &["--apply"],
        &["hosts are of several zones: 00000000-0000-0000-0000-000000000007 (host h2), ", "(host h1)"],
    );
}

/// Has a host's bridge take a step.
async fn step(host: &Host, to: TunnelKind, step: KindStep) {
    host.client.post_kind("ovt1003", &PostKind { to, step, force: true }).await.unwrap();
}

/// Starts a manager, and waits until all of both bridges have this kind alone.
async fn until_kind(dir: &Path, hosts: &[&Host], wanted: TunnelKind) {
    let program = Program::start(dir).await;
    until("the kind on both hosts", async || {
        let kind = program.manager.network("web").await.ok()?.kind?;
        (kind.to == wanted && kind.next.is_none() && kind.waits_for.is_empty() && kind.hosts.len() == 2).then_some(())
    })
    .await;
    for host in hosts {
        let bridge = host.client.bridge("ovt1003").await.unwrap();
        assert_eq!((bridge.kind, bridge.second, bridge.tunnels.len()), (wanted, None, 1));
    }
    until_whole(&program, "web").await;
}

const WEB: &str = "[[networks]]\nkey = 1003\nname = \"web\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_network_comes_back_with_the_kind_that_its_bridges_have() {
    let folder = folder();
    let dir = folder.path();
    let (h1, h2) = (host(dir, 1).await, host(dir, 2).await);
    lost_with(dir, &[("h1", &h1, 7), ("h2", &h2, 9)], Some(Vxlan)).await;
    list(dir, &[("h1", &h1.url), ("h2", &h2.url)], WEB);
    let (code, page, error) = rebuild(dir, &["--apply"]);
    assert!(code == Some(0) && page.contains("  p1                vxlan  2\n"), "{page}{error}");
    assert!(!page.contains("is to have"), "{page}");
    until_kind(dir, &[&h1, &h2], Vxlan).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_kind_goes_on_and_is_told() {
    let folder = folder();
    let dir = folder.path();
    let (h1, h2) = (host(dir, 1).await, host(dir, 2).await);
    lost(dir, &[("h1", &h1, 7), ("h2", &h2, 9)]).await;
    list(dir, &[("h1", &h1.url), ("h2", &h2.url)], WEB);
    // One has switched, the other is still prepared; then one has finished.
    for host in [&h1, &h2] {
        step(host, Vxlan, KindStep::Prepare).await;
    }
    step(&h1, Vxlan, KindStep::Switch).await;
    let (_, page, _) = rebuild(dir, &[]);
    let told = "host h1 sends by vxlan and receives by gre too; host h2 sends by gre and receives by vxlan too; a manager that may act leads them there";
    assert!(
        page.contains(told) && page.contains("For another kind: kind in the list's [[networks]] with key 1003"),
        "{page}"
    );
    step(&h2, Vxlan, KindStep::Switch).await;
    let (_, page, _) = rebuild(dir, &[]);
    assert!(page.contains("network web is to have tunnels of kind vxlan, which not all"), "{page}");
    step(&h1, Vxlan, KindStep::Finish).await;
    list(dir, &[("h1", &h1.url), ("h2", &h2.url)], &format!("{WEB}kind = \"gre\"\n"));
    let (_, page, _) = rebuild(dir, &[]);
    assert!(
        page.contains("network web is to have tunnels of kind gre, which not all"),
        "the list's word counts: {page}"
    );
    list(dir, &[("h1", &h1.url), ("h2", &h2.url)], WEB);
    let (code, page, error) = rebuild(dir, &["--apply"]);
    let told = "is to have tunnels of kind vxlan, which not all of its bridges have alone: host h1 has vxlan; host h2 sends by vxlan and receives by gre too";
    assert!(code == Some(0) && page.contains(told), "{page}{error}");
    until_kind(dir, &[&h1, &h2], Vxlan).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_that_do_not_hear_each_other_are_refused() {
    let folder = folder();
    let dir = folder.path();
    let (h1, h2) = (host(dir, 1).await, host(dir, 2).await);
    lost(dir, &[("h1", &h1, 7), ("h2", &h2, 9)]).await;
    for asked in [KindStep::Prepare, KindStep::Switch, KindStep::Finish] {
        step(&h2, Vxlan, asked).await;
    }
    let hosts = [("h1", h1.url.as_str()), ("h2", h2.url.as_str())];
    let refused = |more: &str, part: &str| {
        list(dir, &hosts, more);
        let (code, _, error) = rebuild(dir, &["--apply"]);
        assert!(code == Some(1) && error.contains(part), "no {part} in {error}");
        assert!(!dir.join("db").exists(), "nothing is recorded");
    };
    let told = "network web: its bridges have different kinds of tunnels, and do not all hear each other: host h1 has gre, host h2 has vxlan; say which it is to have: kind in";
    refused(WEB, told);
    refused(&format!("{WEB}kind = \"mpls\"\n"), "unknown variant `mpls`, expected one of `gre`, `vxlan`, `geneve`");
    let large = "[[networks]]\nkey = 16777216\nname = \"web\"\nkind = \"geneve\"\n";
    refused(
        large,
        "networks[0].key: must be from 1 to 16777215 where its tunnels are of kind geneve; got \"16777216\"",
    );
    // Three kinds: by the list's word alone.
    step(&h1, Geneve, KindStep::Prepare).await;
    refused(WEB, "host h1 sends by gre and receives by geneve too, host h2 has vxlan");
    step(&h1, Geneve, KindStep::Abort).await;
    list(dir, &hosts, &format!("{WEB}kind = \"gre\"\n"));
    let (code, page, error) = rebuild(dir, &["--apply"]);
    assert_eq!(code, Some(0), "{page}{error}");
    until_kind(dir, &[&h1, &h2], Gre).await;
}
