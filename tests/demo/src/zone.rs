//! `--zone`: a manager is pointed at hosts that run already, and names each of four faults that are planted on them; then it is let make
//! meshes itself.
//!
//! It is a user of the programs as they are built. Standard output has what the operator's command says. It must not mend what it has
//! not broken.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_client::FaultsWanted;
use ovstunnel_e2e::{Browser, Cloud, Network, NodeConfig, Views, Zone, program};
use ovstunnel_lab::{Interrupt, wait_until};
use ovstunnel_manager_api::LinkRole;

use crate::{acting, door};

const HOSTS: usize = 4;

const NETWORK: &str = "key-1001";

/// How long the operator's command may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// A fault: what is done, and what the manager must say of it.
struct Fault {
    words: &'static str,
    finding: (&'static str, &'static str, Option<&'static str>),
    /// Two hosts of which one does not reach the other by it.
    between: (&'static str, &'static str),
    plant: fn(&Cloud, &Network, &Zone) -> Result<()>,
    mend: fn(&Cloud, &Network, &Zone) -> Result<()>,
}

const FAULTS: [Fault; 4] = [
    Fault {
        words: "a tunnel of h2 is taken away while its daemon does not run",
        finding: ("tunnel_missing", "h2", Some("h4")),
        between: ("h2", "h4"),
        plant: |cloud, network, _| {
            let node = cloud.node(2)?;
            node.kill();
            node.host().vsctl(["del-port", &network.bridge, "t1001-2-4"])?;
            node.start()
        },
        mend: |cloud, network, _| cloud.join(network, 2, &[1, 2, 3, 4]).map(drop),
    },
    Fault {
        words: "somebody adds a flow on h1 that drops what comes by the tunnels",
        finding: ("unhealthy", "h1", None),
        between: ("h2", "h1"),
        plant: |cloud, network, _| {
            let flow = "cookie=0x77,priority=2000,tun_id=1001,actions=drop";
            cloud.node(1)?.host().ofctl(["add-flow", &network.bridge, flow]).map(drop)
        },
        mend: |cloud, network, _| {
            cloud.node(1)?.host().ofctl(["del-flows", &network.bridge, "cookie=0x77/-1"]).map(drop)
        },
    },
    Fault {
        words: "the address at which the tunnels of h3 end is another one",
        finding: ("wrong_address", "h1", Some("h3")),
        between: ("h1", "h3"),
        plant: |cloud, _, zone| {
            let device =
                "ip link add lab0 type veth peer name lab1; ip addr add 198.51.100.3/24 dev lab0; ip link set lab0 up";
            cloud.node(3)?.host().run("sh", ["-ec", device])?;
            zone.add_host(cloud, 3, Some("lab0"))
        },
        mend: |cloud, _, zone| zone.add_host(cloud, 3, None),
    },
    Fault {
        words: "h4 does not reach anybody any more",
        finding: ("host_silent", "h4", None),
        between: ("h1", "h4"),
        plant: |cloud, _, _| cloud.node(4)?.host().isolate(),
        mend: |cloud, _, _| cloud.node(4)?.host().rejoin(),
    },
];

/// Plays the story; an error where a fault is not named.
pub fn play(keep: bool, mut pictures: Option<&Path>, interrupt: &Interrupt) -> Result<()> {
    eprintln!("four hosts, a daemon on each, and a network over all of them");
    let cloud =
        Cloud::with_config("demo", HOSTS, NodeConfig { reconcile_interval: "2s".into(), ..NodeConfig::default() })?;
    let cloud = Arc::new(cloud);
    let network = Network::numbered(1, Ipv6Policy::Allow);
    cloud.mesh(&network, &[1, 2, 3, 4])?;
    (1..=4).try_for_each(|n| cloud.plug(&network, n.into(), n).map(drop))?;
    eprintln!("a manager that is told of them");
    let zone = Zone::new(&cloud)?;
    zone.add_all(&cloud)?;
    zone.wait_until_whole(&cloud, NETWORK)?;
    show(&zone, "zone status")?;
    show(&zone, &format!("zone proof {NETWORK}"))?;
    for fault in &FAULTS {
        say(&format!("\n=== {}", fault.words))?;
        let planted = Instant::now();
        (fault.plant)(&cloud, &network, &zone)?;
        zone.wait_for_finding(&cloud, NETWORK, fault.finding)?;
        say(&format!("named {:.1} s after it was begun", planted.elapsed().as_secs_f64()))?;
        show(&zone, "zone networks")?;
        wait_until("the fault to be told", DEADLINE, || {
            let list = zone.ask(&cloud, |client| async move { client.faults(&FaultsWanted::default()).await })?;
            ensure!(list.total > 0, "{list:?}");
            Ok(())
        })?;
        show(&zone, "zone faults")?;
        show(&zone, &format!("zone why {} {}", fault.between.0, fault.between.1))?;
        pictures.take().map_or(Ok(()), |folder| make_pictures(&cloud, &zone, folder))?;
        (fault.mend)(&cloud, &network, &zone)?;
        zone.wait_until_whole(&cloud, NETWORK)?;
        say(&format!("mended: {NETWORK} is whole again"))?;
    }
    say("\n=== what has happened, the newest first")?;
    show(&zone, "zone events -n 12")?;
    zone.stop()?;
    say("\nevery fault was named, and the manager has changed nothing on any host")?;
    acting::play(&cloud, &zone)?;
    if keep {
        interrupt.give_way(false);
        look_around(&cloud, &network, &zone)?;
        Interrupt::wait_for_ever();
    }
    Ok(())
}

/// The page in a browser, as it is now: the zone, and the network of which something is wrong.
fn make_pictures(cloud: &Cloud, zone: &Zone, folder: &Path) -> Result<()> {
    let folder = std::path::absolute(folder).context("the folder of the pictures")?;
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let link = zone.ask(cloud, |client| async move { client.link(None).await })?;
    let url = zone.url(cloud);
    let network = format!("/networks/{NETWORK}?view=matrix");
    let views = [("overview", "/"), ("matrix", network.as_str())];
    let views = Views { url: &url, link: &link.path, views: &views, fault: None, pictures: Some(&folder) };
    Browser::start(cloud.lab().fabric().command("node"), &views, &zone.dir().join("browser.log"))?.finish()?;
    say(&format!("\npictures of the page are in {}", folder.display()))
}

/// Has the manager run again, and says where its page is and what can be tried.
fn look_around(cloud: &Arc<Cloud>, network: &Network, zone: &Zone) -> Result<()> {
    zone.start(cloud)?;
    zone.wait_for_all(cloud)?;
    zone.wait_until_whole(cloud, NETWORK)?;
    let link = zone.ask(cloud, |client| async move { client.link(Some(LinkRole::Admin)).await })?;
    let (door, host) = (door::open(Arc::clone(cloud))?, cloud.node(1)?.host());
    let ctl = format!("{} --socket {}", program("ovstunnelctl")?.display(), zone.dir().join("manager.sock").display());
    let switch = format!("OVS_RUNDIR={} ovs-ofctl", host.rundir().display());
    say(&format!(
        "
=== everything is kept until Ctrl-C

The manager's page, on this machine: https://{door}/
A link that lets one browser in, once, within {} min:
  https://{door}{}
Its certificate is of the demo's own CA: the browser warns.

To look around, as root in another terminal:

  # the zone in words, and the matrix of its network
  {ctl} zone status
  {ctl} zone mesh {NETWORK}

  # another link; its address is the manager's in its namespace: https://{door} is the way there from here
  {ctl} zone open --role admin

  # a fault to be named on the page, and its end
  {switch} add-flow {bridge} cookie=0x77,priority=2000,tun_id=1001,actions=drop
  {switch} del-flows {bridge} cookie=0x77/-1",
        link.ends_in / 60,
        link.path,
        bridge = network.bridge,
    ))
}

/// Not `println!`: that panics where the reader has gone.
pub(crate) fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("standard output")
}

/// What the operator's command says, whatever its status.
pub(crate) fn show(zone: &Zone, arguments: &str) -> Result<()> {
    show_by(&zone.dir().join("manager.sock"), "", arguments)
}

/// The same of the manager at this socket, behind these words.
pub(crate) fn show_by(socket: &Path, who: &str, arguments: &str) -> Result<()> {
    let mut command = Command::new(program("ovstunnelctl")?);
    command.arg("--socket").arg(socket).args(arguments.split_whitespace());
    let output = ovstunnel_lab::output(command, DEADLINE).context("ovstunnelctl")?;
    let said = [output.stdout, output.stderr].concat();
    say(&format!("\n{who}$ ovstunnelctl {arguments}\n{}", String::from_utf8_lossy(&said).trim_end()))
}
