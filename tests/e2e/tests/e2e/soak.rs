//! Many lives of bridges, tunnels and VIFs, one after the other on eight bridges at once: the daemon's memory, files, threads
//! and children are afterwards what they were, nothing is left in the switch, and the log has no error.
//!
//! `OVSTUNNEL_CYCLES` sets how many (default 100; `scripts/soak` runs 10,000).

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_api::{Code, Id, Ipv6Policy, Outcome, PostTunnel, PutBridge, PutTunnel};
use ovstunnel_client::Client;
use ovstunnel_e2e::{Cloud, Node, NodeConfig, make_devices};
use ovstunnel_lab::wait_until;

/// Bridges that live at the same time.
const WORKERS: usize = 8;

/// Cycles before the first measurement: allocator, pools and caches have found their size then.
const WARM_UP: usize = 48;

/// How much more memory the daemon may have at the end, in kB: the allocator's breath, not what cycles leave behind.
const MARGIN: u64 = 4096;

const PATIENCE: Duration = Duration::from_secs(60);

/// What a process has.
#[derive(Clone, Copy, Debug)]
struct Figures {
    rss_kb: u64,
    files: usize,
    threads: u64,
    children: usize,
}

fn figures(pid: u32) -> Result<Figures> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let number = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).context("a line of status")?;
        line.split_whitespace().next().context("a number")?.parse::<u64>().context("a number")
    };
    let mut children = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        // A thread may end meanwhile; then it has none.
        children += fs::read_to_string(task.path().join("children")).unwrap_or_default().split_whitespace().count();
    }
    let files = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    Ok(Figures { rss_kb: number("VmRSS:")?, files, threads: number("Threads:")?, children })
}

/// One life: a bridge, three tunnels, a VIF that is plugged and unplugged; then all of it goes again.
fn live(cloud: &Cloud, node: &Node, client: &Client, worker: usize, cycle: usize) -> Result<()> {
    let (bridge, vif) = (format!("soak{worker}"), format!("vif{worker}.0"));
    let peer = |n: usize| (Id::Number((n % 250) as u64 + 10), format!("198.51.100.{}", n % 250 + 1));
    let tunnel = |n| PutTunnel { to: peer(n).0, remote_ip: peer(n).1, from: None };
    let body = PutBridge {
        key: i64::try_from(1 + worker)?,
        network_uuid: None,
        host_id: Some(Id::Number(1)),
        ipv6: Some(Ipv6Policy::Drop),
        uplink: None,
        neighbours: None,
        kind: None,
        tunnels: Some(vec![tunnel(cycle), tunnel(cycle + 1)]),
    };
    let (to, remote_ip) = peer(cycle + 2);
    let more = PostTunnel { from: Id::Number(1), to, remote_ip, key: None, network_uuid: None };
    let made = {
        let (client, bridge) = (client.clone(), bridge.clone());
        cloud.manager().run(async move {
            let put = client.put_bridge(&bridge, &body).await?;
            let post = client.post_tunnel(&bridge, &more).await?;
            Ok::<_, anyhow::Error>((put.outcome, post.outcome, post.tunnel.port))
        })?
    };
    ensure!((made.0, made.1) == (Outcome::Created, Outcome::Created), "{made:?}");
    node.host().vsctl(["add-port", &bridge, &vif])?;
    let removed = {
        let (client, bridge) = (client.clone(), bridge.clone());
        cloud.manager().run(async move { client.delete_tunnel(&bridge, &made.2).await })?
    };
    ensure!(removed.outcome == Outcome::Removed, "{removed:?}");
    node.host().vsctl(["del-port", &bridge, &vif])?;
    remove(cloud, client, &bridge)
}

/// Removes a bridge whose VIF has just been unplugged: the daemon hears of that in a moment.
fn remove(cloud: &Cloud, client: &Client, bridge: &str) -> Result<()> {
    wait_until("the bridge to be removed", PATIENCE, || {
        let (client, bridge) = (client.clone(), bridge.to_owned());
        match cloud.manager().run(async move { client.delete_bridge(&bridge).await }) {
            Ok(answer) if answer.outcome == Outcome::Removed => Ok(Ok(())),
            Ok(answer) => Ok(Err(anyhow!("{answer:?}"))),
            Err(error) if error.problem().is_some_and(|problem| problem.code == Code::Conflict) => Err(error),
            Err(error) => Ok(Err(error.into())),
        }
    })?
}

fn live_all(cloud: &Cloud, node: &Node, cycles: usize) -> Result<()> {
    thread::scope(|scope| {
        let lives = |worker| {
            let client = node.local_client()?;
            (worker..cycles).step_by(WORKERS).try_for_each(|cycle| live(cloud, node, &client, worker, cycle))
        };
        let workers: Vec<_> = (0..WORKERS).map(|worker| scope.spawn(move || lives(worker))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?)
    })
}

/// Has the daemon look at everything, then waits until it is at rest; `limit` says of what it may have no more.
fn at_rest(cloud: &Cloud, node: &Node, limit: Option<Figures>) -> Result<Figures> {
    let client = node.local_client()?;
    let report = cloud.manager().run(async move { client.reconcile().await })?;
    ensure!(report.found.is_empty() && report.failed.is_empty(), "{report:?}");
    let pid = node.pid().context("the daemon has ended")?;
    wait_until("the daemon to be at rest", PATIENCE, || {
        let now = figures(pid)?;
        let limit = limit.unwrap_or(now);
        let calm = now.children == 0 && now.files <= limit.files && now.threads <= limit.threads;
        ensure!(calm && now.rss_kb <= limit.rss_kb + MARGIN, "{now:?}, at first {limit:?}");
        Ok(now)
    })
}

#[test]
#[ignore = "takes long: scripts/test --long"]
fn many_lives_leave_nothing_behind() -> Result<()> {
    let cycles = std::env::var("OVSTUNNEL_CYCLES").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    let cloud = Cloud::with_config("soak", 1, NodeConfig { log_level: "info".into(), ..NodeConfig::default() })?;
    let node = cloud.node(1)?;
    make_devices(node.host(), &(0..WORKERS).map(|worker| format!("vif{worker}.0")).collect::<Vec<_>>())?;
    live_all(&cloud, node, WARM_UP)?;
    let before = at_rest(&cloud, node, None)?;
    let started = Instant::now();
    live_all(&cloud, node, cycles)?;
    let took = started.elapsed();
    let after = at_rest(&cloud, node, Some(before))?;
    println!("{cycles} lives in {took:?}; the daemon before {before:?}, after {after:?}");
    assert_eq!(node.host().vsctl(["list-br"])?, "br-phy", "no bridge is left");
    let rows = node.host().vsctl(["--bare", "--columns=name", "find", "Interface", "type=gre"])?;
    ensure!(rows.is_empty(), "tunnels are left: {rows}");
    ensure!(node.errors().is_empty(), "{}", node.errors().join("\n"));
    Ok(())
}
