//! Three managers of a zone on one MariaDB: the leader is killed, frozen and let go on, the database dies and comes back. At any time at most one
//! leads, NICs are prepared by the one that does, the hosts know its epoch, and two VMs' frames never come twice.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Code, Epoch, Ipv6Policy};
use ovstunnel_client::ClientError;
use ovstunnel_e2e::{Cloud, Network, NodeConfig, PASSWORD, Preparing, Replicas, problem};
use ovstunnel_lab::{Kind, Stream, unhurried, wait_until};
use ovstunnel_manager_api::{
    HostState, Isolation, Mode, NicAnswer, NicOutcome, PutHost, PutNetwork, PutNic, PutPhysicalNetwork,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const HOSTS: usize = 3;

const KEY: i64 = 1001;

pub(crate) struct Stage {
    pub(crate) cloud: Cloud,
    pub(crate) managers: Replicas,
}

impl Stage {
    /// Three hosts and the network `web`, recorded at the leader.
    pub(crate) fn new(tag: &str, make: impl FnOnce(&Cloud) -> Result<Replicas>) -> Result<Stage> {
        let config = NodeConfig { reconcile_interval: "2s".into(), ..NodeConfig::default() };
        let cloud = Cloud::with_config(tag, HOSTS, config)?;
        let managers = make(&cloud)?;
        let (leader, _) = managers.wait_for_leader(&cloud, None)?;
        for number in 1..=HOSTS {
            let api = cloud.node(number)?.url();
            let body = PutHost { api, number: None, rack: None, label: None, mode: Mode::Manage };
            let put = move |client: ovstunnel_client::Manager| async move {
                client.put_host(&format!("h{number}"), &body, false).await
            };
            managers.ask(&cloud, leader, put)?;
        }
        managers.ask(&cloud, leader, |client| async move {
            let vnet = format!("{KEY}-2000");
            let physical =
                PutPhysicalNetwork { isolation: Isolation::Gre, vnet, label: None, label_xen: None, label_kvm: None };
            client.put_physical_network("p1", &physical, false).await?;
            client.put_network("web", &web(), false).await
        })?;
        Ok(Stage { cloud, managers })
    }

    fn prepare_at(&self, manager: usize, host: usize) -> Result<NicAnswer, ClientError> {
        let nic = PutNic {
            host: format!("h{host}"),
            vm: None,
            mac: None,
            ip: None,
            bridge: None,
            wait: Some("30s".into()),
            how: None,
        };
        self.managers.ask(&self.cloud, manager, move |client| async move {
            client.prepare_nic("web", &format!("n{host}"), &nic, false).await
        })
    }

    /// A VM on each of the first two hosts, which floods every 20 ms.
    pub(crate) fn streams(&self) -> Result<Vec<Stream>> {
        let network = network();
        let every = unhurried(Duration::from_millis(20));
        let stream = |host: u16| {
            let vm = self.cloud.plug(&network, host.into(), host)?;
            self.cloud.lab().stream(&vm, &Kind::FLOODED, every)
        };
        [1, 2].into_iter().map(stream).collect()
    }

    /// Prepares a NIC on a host at the manager that leads, and waits until the mesh is whole there.
    pub(crate) fn prepare(&self, manager: usize, host: usize) -> Result<()> {
        let answer = self.prepare_at(manager, host)?;
        ensure!(answer.outcome == NicOutcome::Ready, "{answer:?}");
        Ok(())
    }

    /// Waits until a manager sees the network whole among so many hosts, with as many NICs.
    pub(crate) fn wait_for_picture(&self, manager: usize, hosts: usize) -> Result<()> {
        wait_until(format!("m{manager} to see {hosts} hosts and NICs"), PATIENCE, || {
            let seen = self.managers.ask(&self.cloud, manager, |client| async move {
                let proof = client.proof("web").await?;
                let nics = client.nics("web").await?.nics.len();
                Ok((proof.whole, proof.hosts.len(), nics, client.hosts().await?.hosts))
            })?;
            let (whole, members, nics, all) = seen;
            let ok = all.iter().filter(|host| host.state == HostState::Ok).count();
            ensure!(whole && (members, nics, ok) == (hosts, hosts, HOSTS), "{whole} {members} {nics} {ok}");
            Ok(())
        })
    }

    /// That each host knows this epoch and none newer, and refuses what is written under the one before.
    pub(crate) fn expect_epoch(&self, number: u64) -> Result<()> {
        for host in 1..=HOSTS {
            let zone = wait_until(format!("h{host} to know epoch {number}"), PATIENCE, || {
                let state = self.cloud.call(host, |client| async move { client.epoch().await })??;
                ensure!(state.epoch == Some(number), "{state:?}");
                state.zone.context("no zone")
            })?;
            // There is none before the first.
            if number == 1 {
                continue;
            }
            let older: Epoch = format!("{zone}:{}", number - 1).parse()?;
            let bridge = format!("ovt{KEY}");
            let write = move |client: ovstunnel_client::Client| async move {
                client.under_epoch(older).delete_bridge(&bridge).await
            };
            problem(self.cloud.call(host, write)?, Code::StaleEpoch)?;
        }
        Ok(())
    }

    fn others(&self, leader: usize) -> impl Iterator<Item = usize> {
        (1..=self.managers.count()).filter(move |number| *number != leader)
    }

    /// A manager that does not lead says who does, and changes nothing.
    fn expect_refused(&self, leader: usize) -> Result<()> {
        for number in self.others(leader) {
            let put = self
                .managers
                .ask(&self.cloud, number, |client| async move { client.put_network("other", &web(), false).await });
            let Err(ClientError::Problem(told)) = put else { anyhow::bail!("m{number}: {put:?}") };
            ensure!(told.code == Code::NotLeader && told.status == 421, "{told:?}");
            ensure!(told.leader == Some(self.managers.address(&self.cloud, leader)), "{told:?}");
        }
        Ok(())
    }

    /// The database dies: nobody leads, pages are there, and what would have to be recorded is refused. Then it comes back.
    fn database_dies(&mut self, leader: usize) -> Result<()> {
        self.managers.kill_database(1)?;
        wait_until("nobody to lead", PATIENCE, || {
            for number in 1..=3 {
                let zone = self.managers.overview(&self.cloud, number)?;
                ensure!(!zone.leads && zone.networks.whole == 1, "m{number}: {zone:?}");
            }
            Ok::<_, anyhow::Error>(())
        })?;
        let refused = problem(self.prepare_at(leader, 1), Code::Unavailable)?;
        ensure!(refused.status == 503 && !refused.detail.contains(PASSWORD), "{refused:?}");
        self.managers.start_database(1)?;
        let (last, newest) = self.managers.wait_for_leader(&self.cloud, None)?;
        self.prepare(last, 1)?;
        self.expect_epoch(newest)?;
        (1..=3).try_for_each(|number| self.wait_for_picture(number, 3))?;
        Ok(())
    }
}

/// The network as it is on the hosts.
pub(crate) fn network() -> Network {
    Network { bridge: format!("ovt{KEY}"), key: KEY, ipv6: Ipv6Policy::Allow }
}

fn web() -> PutNetwork {
    let ipv6 = Some(Ipv6Policy::Allow);
    PutNetwork { physical_network: "p1".into(), number: None, key: None, adopt: false, ipv6, mtu: None }
}

#[test]
fn one_of_three_managers_leads_whatever_dies() -> Result<()> {
    let mut stage = Stage::new("replicas", |cloud| Replicas::new(cloud, 3))?;
    let (first, epoch) = stage.managers.wait_for_leader(&stage.cloud, None)?;
    stage.prepare(first, 1)?;
    stage.prepare(first, 2)?;
    (1..=3).try_for_each(|number| stage.wait_for_picture(number, 2))?;
    stage.expect_refused(first)?;
    stage.expect_epoch(epoch)?;
    let streams = stage.streams()?;

    // The leader is killed: another one goes on where it was.
    stage.managers.kill(first)?;
    let (second, later) = stage.managers.wait_for_leader(&stage.cloud, Some(first))?;
    ensure!(later > epoch, "{later} after {epoch}");
    stage.prepare(second, 3)?;
    stage.expect_epoch(later)?;
    stage.managers.start(&stage.cloud, first)?;
    stage.wait_for_picture(first, 3)?;
    stage.expect_refused(second)?;

    // The leader stands still, and goes on when another one leads.
    stage.managers.freeze(second)?;
    let (third, latest) = stage.managers.wait_for_leader(&stage.cloud, Some(second))?;
    ensure!(latest > later, "{latest} after {later}");
    stage.managers.thaw(second)?;
    let told = stage.managers.overview(&stage.cloud, second)?;
    ensure!(!told.leads, "{told:?}");
    stage.managers.wait_for_leader(&stage.cloud, None)?;
    stage.expect_epoch(latest)?;
    stage.expect_refused(third)?;

    stage.database_dies(third)?;

    for stream in streams {
        stream.stop()?.expect_no_duplicates()?;
    }
    for number in 1..=3 {
        let log = stage.managers.log(number);
        ensure!(log.contains("leads the zone") && !log.contains(PASSWORD), "m{number}: {log}");
    }
    stage.managers.stop()
}

/// Waits until so many NICs more than before were prepared.
fn more_prepared(caller: &Preparing, before: usize) -> Result<usize> {
    wait_until("more NICs to be prepared", PATIENCE, || {
        let now = caller.prepared().len();
        ensure!(now >= before + 5, "{:?}", caller.answers().last());
        Ok(now)
    })
}

#[test]
fn what_a_follower_answered_outlives_the_leader() -> Result<()> {
    let mut stage = Stage::new("sending", |cloud| Replicas::new(cloud, 3))?;
    let (first, _) = stage.managers.wait_for_leader(&stage.cloud, None)?;
    let follower = stage.others(first).next().context("a follower")?;
    let caller = stage.managers.begin_preparing(&stage.cloud, follower, "web", "h1")?;
    more_prepared(&caller, 0)?;
    ensure!(stage.managers.log(first).contains("via "), "they did not go to the leader by the follower");

    // In the middle of a call, most likely: they come one after the other.
    stage.managers.kill(first)?;
    let (second, _) = stage.managers.wait_for_leader(&stage.cloud, Some(first))?;
    let before = caller.prepared().len();
    more_prepared(&caller, before)?;
    let answers = caller.finish();
    let there = stage.managers.ask(&stage.cloud, second, |client| async move { client.nics("web").await })?;
    for (id, code) in &answers {
        match code {
            200..300 => ensure!(there.nics.iter().any(|nic| nic.id == *id), "{id} was answered, and is lost"),
            // Not done, or not known whether it was done.
            421 | 503 => {}
            _ => anyhow::bail!("{id}: {code} in {answers:?}"),
        }
    }
    stage.managers.stop()
}

/// A Galera cluster, and each manager at a node of its own: nodes die with the leader, and without it.
#[test]
#[ignore = "three nodes take a gigabyte and some minutes: scripts/test --long"]
fn a_leader_dies_with_its_node_of_galera() -> Result<()> {
    let mut stage = Stage::new("galera", |cloud| Replicas::on_cluster(cloud, 3))?;
    let (first, epoch) = stage.managers.wait_for_leader(&stage.cloud, None)?;
    stage.prepare(first, 1)?;
    stage.prepare(first, 2)?;
    stage.expect_epoch(epoch)?;
    // What one node took is read at the others.
    (1..=3).try_for_each(|number| stage.wait_for_picture(number, 2))?;
    let streams = stage.streams()?;

    stage.managers.kill(first)?;
    stage.managers.kill_database(first)?;
    let (second, later) = stage.managers.wait_for_leader(&stage.cloud, Some(first))?;
    ensure!(later > epoch, "{later} after {epoch}");
    stage.prepare(second, 3)?;
    stage.expect_epoch(later)?;

    // It comes back, with all that was recorded meanwhile.
    stage.managers.start_database(first)?;
    stage.managers.start(&stage.cloud, first)?;
    stage.wait_for_picture(first, 3)?;
    stage.expect_refused(second)?;

    // The leader's node dies alone: another manager leads, and the one without a database answers from memory.
    stage.managers.kill_database(second)?;
    let (third, latest) = stage.managers.wait_for_leader(&stage.cloud, Some(second))?;
    ensure!(latest > later, "{latest} after {later}");
    let refused = problem(stage.prepare_at(second, 1), Code::NotLeader)
        .or_else(|_| problem(stage.prepare_at(second, 1), Code::Unavailable))?;
    ensure!(!refused.detail.contains(PASSWORD), "{refused:?}");
    stage.prepare(third, 1)?;
    stage.expect_epoch(latest)?;
    stage.managers.start_database(second)?;
    (1..=3).try_for_each(|number| stage.wait_for_picture(number, 3))?;
    for stream in streams {
        stream.stop()?.expect_no_duplicates()?;
    }
    stage.managers.stop()
}
