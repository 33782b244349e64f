//! `backup` and `restore`: hosts are daemons on simulated switches, the manager is the program.

use std::path::Path;

use crate::common::program::{Program, configure, output};
use crate::common::{Host, folder, host, put, until};
use nix::sys::signal::Signal;
use ovstunnel_manager_api::{NetworkState, PutNetwork, PutNic};

/// Status, standard output and standard error.
fn said(dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = output(dir, arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

async fn prepare(program: &Program, host: &str, hosts: u32) {
    let nic = PutNic { host: host.into(), vm: None, mac: None, ip: None, bridge: None, wait: None, how: None };
    program.manager.prepare_nic("web", &format!("nic-{host}"), &nic, false).await.unwrap();
    until_whole(program, hosts).await;
}

async fn until_whole(program: &Program, hosts: u32) {
    until("the network to be whole", async || {
        let network = program.manager.network("web").await.ok()?;
        (network.state == NetworkState::Whole && network.hosts == hosts).then_some(())
    })
    .await;
}

/// A manager that acts, with a network that has a NIC on h1 and one on h2, once there is nothing that it would ask for.
async fn acting(dir: &Path, hosts: &[Host]) -> Program {
    configure(
        dir,
        "[[physical_networks]]\nname = \"p1\"\nisolation = \"GRE\"\nvnet = \"1001-1010\"\n[membership]\nlinger = \"1s\"\n",
    );
    let file = dir.join("manager.toml");
    let text = std::fs::read_to_string(&file).unwrap().replacen("sdn.ovs", "sdn.ovs.controller = true\nsdn.ovs", 1);
    std::fs::write(file, text).unwrap();
    let program = Program::start(dir).await;
    for (n, host) in (1..).zip(hosts) {
        program.manager.put_host(&format!("h{n}"), &put(&host.url, Some(n)), false).await.unwrap();
    }
    let physical_network = "p1".into();
    let network = PutNetwork { physical_network, number: None, key: None, adopt: false, ipv6: None, mtu: None };
    program.manager.put_network("web", &network, false).await.unwrap();
    prepare(&program, "h1", 1).await;
    prepare(&program, "h2", 2).await;
    until("the first pass to be over", async || {
        let url = format!("sqlite://{}/db/manager.db", dir.display());
        let mut file = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.ok()?;
        let on = sqlx::query("SELECT value FROM ovstunnel_setting WHERE name = 'controller'");
        on.fetch_optional(&mut file).await.ok().flatten().map(drop)
    })
    .await;
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_manager_asks_before_it_removes_what_came_since() {
    let folder = folder();
    let dir = folder.path();
    let hosts = [host(dir, 1).await, host(dir, 2).await, host(dir, 3).await];
    let program = acting(dir, &hosts).await;
    let copy = dir.join("copy.db").display().to_string();

    let (code, out, error) = said(dir, &["backup", &copy]);
    assert_eq!((code, out), (Some(0), format!("written: {copy}\n")), "{error}");
    let (code, _, error) = said(dir, &["backup", &copy]);
    assert!(code == Some(1) && error.contains("is already in use; choose another one"), "{error}");
    // The same leader goes on, so hosts know no newer epoch than the copy.
    prepare(&program, "h3", 3).await;
    let (code, _, error) = said(dir, &["restore", &copy]);
    assert!(code == Some(1) && error.contains("the database is in use by process"), "{error}");
    program.signal(Signal::SIGKILL);
    drop(program);

    let (code, out, error) = said(dir, &["restore", &copy]);
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains(&format!("restored: {copy}\nthe database before is {}/db/manager.db.before-", dir.display())));
    let program = Program::start(dir).await;
    let held = until("a hold", async || program.manager.holds().await.ok()?.holds.into_iter().next()).await;
    assert!(held.removals.iter().any(|removal| removal.from == "h3" || removal.to == "h3"), "{held:?}");
    let bridges = hosts[2].client.bridges().await.unwrap().bridges;
    assert_eq!(bridges.len(), 1, "host 3 keeps what it has: {bridges:?}");
}
