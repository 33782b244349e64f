//! A zone as it was before a mistake, and the mistake. Must not judge what came of it.

use std::fmt;
use std::sync::Arc;

use ovstunnel_api::{Bridge, ClaimSays};
use ovstunnel_manager::inventory::Move;
use ovstunnel_manager::reconciler::Said;
use ovstunnel_mesh::membership::Witness;
use ovstunnel_store::{KeyRow, KeyState, NicRow, Store};
use ovstunnel_types::{GreKey, HostNumber};

use crate::sim::{BY, FIRST_KEY, Setup, SimHost, World, register};

/// Who looks after the networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// A cloud tells of NICs.
    Told,
    /// CloudStack calls the plugin.
    Plugin,
    /// Somebody made them by hand, and nobody tells.
    ByHand,
}

/// How large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A network of six hosts.
    Small,
    /// Three networks, each on ten of twelve hosts.
    Medium,
    /// A network of 24 hosts.
    Large,
}

impl Size {
    fn hosts(self) -> u64 {
        match self {
            Size::Small => 6,
            Size::Medium => 12,
            Size::Large => 24,
        }
    }

    /// The hosts of each network.
    fn networks(self) -> Vec<Vec<u64>> {
        match self {
            Size::Small => vec![(1..=6).collect()],
            Size::Medium => vec![(1..=10).collect(), (2..=11).collect(), (3..=12).collect()],
            Size::Large => vec![(1..=24).collect()],
        }
    }
}

/// Which hosts it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    One,
    Four,
    Half,
    All,
    /// All of them, one after another, a minute apart.
    Each,
}

impl Among {
    fn of(self, world: &World) -> Vec<Arc<SimHost>> {
        let all = world.hosts.len();
        let many = match self {
            Among::One => 1,
            Among::Four => 4,
            Among::Half => all / 2,
            Among::All | Among::Each => all,
        };
        world.hosts.iter().skip(2).cycle().take(many).cloned().collect()
    }
}

/// What is done by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The rows of the NICs on these hosts are gone, and the manager starts anew.
    NicsLost(Among),
    /// A careless UPDATE has put all NICs on host 1.
    NicsOnOneHost,
    /// The manager starts with a database in which there are only hosts.
    EmptyDatabase,
    /// It starts with one of before the VMs moved to where they are.
    OldBackup,
    /// It starts with one in which the network is removed, and its key waits for hosts to be seen without it.
    BackupWithoutNetwork,
    OnlyVifs,
    OnlyBridges,
    OnlyApi,
    /// Only `bridges` and `vifs` are asked.
    WithoutApi,
    NoLingerAndNicsLost,
    /// While the controller is off somebody releases NICs of VMs that go on; then it is on again.
    OffAndOn,
    /// Hosts say that they have no bridge.
    Empty(Among),
    NoTunnels(Among),
    OtherHostIds(Among),
    /// An update of the daemon knows the VIFs no more.
    GoBlind(Among),
    NicsLostAndGoBlind(Among),
    /// Hosts do not answer for a quarter of an hour.
    Silent(Among),
    /// CloudStack has every bridge destroyed; hosts keep those with VIFs.
    PluginDestroysAll,
    /// The label names nothing.
    NoLabel(Among),
    /// The label names another device.
    WrongLabel(Among),
    /// All hosts have the address of host 1.
    OneAddress,
    /// A network that others have made is adopted, and of its VMs one is told.
    AdoptedWithOneNic,
    /// Hosts are removed that have VMs.
    HostsRemoved(Among),
    /// NICs are lost, and somebody tells some of them again.
    HalfCorrected,
    /// NICs are lost, the hold is refused, and the manager starts anew.
    RefusedAndRestarted,
}

/// A mistake in a zone.
#[derive(Clone, Copy, Debug)]
pub struct Mistake {
    pub plant: Plant,
    pub run: Run,
    pub size: Size,
    /// Whether the daemons know no VIF.
    pub is_blind: bool,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mistake { plant, run, size, is_blind } = self;
        let sight = if *is_blind { "whose VIFs nobody sees" } else { "whose VIFs are seen" };
        write!(f, "{plant:?} in a {size:?} zone of {run:?} {sight}")
    }
}

fn key(key: u32) -> GreKey {
    GreKey::try_from(i64::from(key)).unwrap()
}

fn number(host: u64) -> HostNumber {
    host.try_into().unwrap()
}

/// All NICs of a database.
async fn nics(store: &Store) -> Vec<NicRow> {
    let mut all = Vec::new();
    for network in store.networks().await.unwrap() {
        all.extend(store.nics(network.number).await.unwrap());
    }
    all
}

async fn lose_nics(store: &Store, on: &[Arc<SimHost>]) {
    for nic in nics(store).await {
        if on.iter().any(|host| host.host_number() == nic.host) {
            store.delete_nic(nic.network, &nic.id).await.unwrap();
        }
    }
}

/// An empty database in which the same hosts are registered.
async fn other_database(world: &World) -> Store {
    let store = Store::in_memory("dc1");
    register(&store, &world.hosts).await;
    store.set_setting("controller", Some("on")).await.unwrap();
    store
}

fn lie(host: &SimHost, lie: impl Fn(&mut Vec<Bridge>) + Send + Sync + 'static) {
    host.state().lie = Some(Arc::new(lie));
    host.tell();
}

fn go_blind(host: &SimHost) {
    host.state().is_blind = true;
    host.tell();
}

/// Does it to hosts, at once or one after another.
async fn to_each(world: &World, among: Among, deed: impl Fn(&SimHost)) {
    for host in among.of(world) {
        deed(&host);
        if among == Among::Each {
            world.pass(60).await;
        }
    }
}

impl Mistake {
    /// The zone before it: whole, and all VMs run.
    pub async fn world(&self, setup: Setup) -> World {
        let world = World::new(self.size.hosts(), setup).await;
        world.hosts.iter().for_each(|host| host.state().is_blind = self.is_blind);
        for (n, hosts) in self.size.networks().into_iter().enumerate() {
            let of = FIRST_KEY + u32::try_from(n).unwrap();
            match self.run {
                Run::Told => {
                    world.network(&format!("net{n}"), None, false).await;
                    for host in hosts {
                        world.start(&format!("net{n}"), &format!("n{n}-{host}"), host).await;
                    }
                }
                Run::Plugin => world.plugin_network(of, hosts),
                Run::ByHand => {
                    world.plugin_network(of, hosts);
                    world.hosts.iter().for_each(|host| host.forget_claims());
                }
            }
        }
        world.pass(90).await;
        for n in 0..self.size.networks().len() {
            assert_eq!(world.wrong(FIRST_KEY + u32::try_from(n).unwrap()), Vec::<String>::new(), "{self}");
        }
        world
    }

    /// Makes the mistake.
    pub async fn plant(&self, world: &mut World) {
        let configured = |witnesses: &[Witness]| Setup { witnesses: witnesses.to_vec(), ..world.setup.clone() };
        let (store, setup) = (world.store.clone(), world.setup.clone());
        match self.plant {
            Plant::OnlyVifs => world.restart(store, configured(&[Witness::Vifs])).await,
            Plant::OnlyBridges => world.restart(store, configured(&[Witness::Bridges])).await,
            Plant::OnlyApi => world.restart(store, configured(&[Witness::Api])).await,
            Plant::WithoutApi => world.restart(store, configured(&[Witness::Bridges, Witness::Vifs])).await,
            Plant::NoLingerAndNicsLost => {
                lose_nics(&store, &world.hosts).await;
                world.restart(store, Setup { linger: std::time::Duration::ZERO, ..setup }).await;
            }
            Plant::Empty(among) => to_each(world, among, |host| lie(host, Vec::clear)).await,
            Plant::NoTunnels(among) => {
                let none = |bridges: &mut Vec<Bridge>| bridges.iter_mut().for_each(|bridge| bridge.tunnels.clear());
                to_each(world, among, |host| lie(host, none)).await;
            }
            Plant::OtherHostIds(among) => {
                let other = |bridges: &mut Vec<Bridge>| bridges.iter_mut().for_each(|b| b.host_id = Some("77".into()));
                to_each(world, among, |host| lie(host, other)).await;
            }
            Plant::GoBlind(among) => to_each(world, among, go_blind).await,
            Plant::NoLabel(among) => to_each(world, among, |host| host.address_is(None)).await,
            Plant::WrongLabel(among) => {
                to_each(world, among, |host| host.address_is(Some(format!("172.16.0.{}", host.number)))).await;
            }
            Plant::OneAddress => world.hosts.iter().for_each(|host| host.address_is(Some("10.0.0.1".into()))),
            Plant::PluginDestroysAll => {
                let keys: Vec<u32> = (0..3).map(|n| FIRST_KEY + n).collect();
                for host in &world.hosts {
                    for key in keys.iter().filter(|key| host.bridge_of(**key).is_some()) {
                        host.plugin_sets_up(*key, ClaimSays::Out);
                    }
                }
            }
            Plant::HostsRemoved(among) => {
                for host in among.of(world) {
                    store.delete_host(&format!("h{}", host.number)).await.unwrap();
                    world.now.zone.unregister_host(host.host_number());
                }
            }
            _ => self.plant_in_the_database(world).await,
        }
    }

    async fn plant_in_the_database(&self, world: &mut World) {
        if matches!(self.plant, Plant::OldBackup | Plant::BackupWithoutNetwork) {
            // The manager has been started anew since, as it is in the time that makes a database an old one.
            world.again().await;
            world.pass(60).await;
        }
        let store = world.store.clone();
        match self.plant {
            Plant::NicsLost(among) => {
                lose_nics(&store, &among.of(world)).await;
                world.again().await;
            }
            Plant::NicsOnOneHost => {
                for nic in nics(&store).await {
                    store.put_nic(&NicRow { host: number(1), ..nic }).await.unwrap();
                }
                world.again().await;
            }
            Plant::EmptyDatabase => {
                let other = other_database(world).await;
                world.restart(other, world.setup.clone()).await;
            }
            Plant::OldBackup => self.old_backup(world).await,
            Plant::BackupWithoutNetwork => {
                let other = other_database(world).await;
                let hosts = world.hosts.iter().map(|host| host.host_number()).collect();
                let (state, network) = (KeyState::Quarantined, Some(1u64.try_into().unwrap()));
                other.put_key(&KeyRow { key: key(FIRST_KEY), state, network, since: 0, hosts }).await.unwrap();
                world.restart(other, world.setup.clone()).await;
            }
            Plant::OffAndOn => {
                lose_nics(&store, &world.hosts).await;
                store.set_setting("controller", None).await.unwrap();
                world.again().await;
            }
            Plant::NicsLostAndGoBlind(among) => {
                lose_nics(&store, &world.hosts).await;
                world.again().await;
                world.pass(120).await;
                to_each(world, among, go_blind).await;
            }
            _ => self.plant_in_steps(world).await,
        }
    }

    async fn plant_in_steps(&self, world: &mut World) {
        let store = world.store.clone();
        match self.plant {
            Plant::HalfCorrected => {
                lose_nics(&store, &world.hosts).await;
                world.again().await;
                world.pass(120).await;
                for host in 1..=4 {
                    world.prepare("net0", &format!("n0-{host}"), host, Move::Migrate).await;
                }
            }
            Plant::RefusedAndRestarted => {
                lose_nics(&store, &world.hosts).await;
                world.again().await;
                world.pass(120).await;
                for held in world.holds() {
                    world.now.reconciler.decide_hold(held.id, Said::Refused, BY.actor).unwrap();
                }
                world.pass(60).await;
                world.again().await;
            }
            Plant::Silent(among) => {
                let hosts = among.of(world);
                hosts.iter().for_each(|host| host.silent(&world.now.zone, &world.now.writers));
                world.pass(900).await;
                hosts.iter().for_each(|host| host.connect(&world.now.zone, &world.now.writers));
            }
            Plant::AdoptedWithOneNic => {
                world.network("adopted", Some(FIRST_KEY), true).await;
                world.prepare("adopted", "n1", 1, Move::Migrate).await;
            }
            _ => unreachable!("{self} is planted elsewhere"),
        }
    }

    /// The database as it was when each VM was on the next host.
    async fn old_backup(&self, world: &mut World) {
        let other = other_database(world).await;
        for network in world.store.networks().await.unwrap() {
            let new = ovstunnel_store::NewNetwork {
                number: Some(network.number),
                name: network.name,
                physical_network: network.physical_network,
                key: network.key,
                ipv6: None,
                mtu: None,
                created: 0,
            };
            other.put_network(&new).await.unwrap();
        }
        for nic in nics(&world.store).await.into_iter().step_by(3) {
            let before = nic.host.get() % self.size.hosts() + 1;
            other.put_nic(&NicRow { host: number(before), ..nic }).await.unwrap();
        }
        world.restart(other, world.setup.clone()).await;
    }
}
