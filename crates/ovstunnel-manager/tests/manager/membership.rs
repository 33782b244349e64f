//! What comes to an end though nobody says so: networks without NICs, migrations, and ports of VMs that have crashed.

use std::time::Duration;

use crate::sim::{FIRST_KEY, Setup, World};
use ovstunnel_manager::inventory::Move;
use ovstunnel_manager::zone::{CloudHost, CloudNetwork, CloudNic, CloudPicture, Wrong};
use ovstunnel_manager_api::{CloudStackHost, CloudStackNetwork};
use ovstunnel_mesh::membership::Witness;

async fn key(world: &World) -> Option<u32> {
    world.store.network("web").await.unwrap().unwrap().key.map(|key| key.get())
}

async fn keys_kept(world: &World) -> usize {
    world.store.keys().await.unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn a_network_without_nics_gives_its_key_back_after_a_while() {
    let world = World::new(3, Setup { gc: Duration::from_secs(300), ..Setup::default() }).await;
    world.network("web", None, false).await;
    world.network("named", Some(5000), false).await;
    world.start("web", "n1", 1).await;
    world.start("web", "n2", 2).await;
    world.pass(600).await;
    world.stop("web", "n1", FIRST_KEY, 1).await;
    world.stop("web", "n2", FIRST_KEY, 2).await;
    world.pass(280).await;
    assert_eq!(key(&world).await, Some(FIRST_KEY), "not yet");
    world.pass(40).await;
    assert_eq!((key(&world).await, keys_kept(&world).await), (None, 1), "only the key that somebody named is kept");
    let next = world.start("web", "n3", 3).await;
    world.stop("web", "n3", next, 3).await;
    // A host that cannot be asked may have it.
    world.host(1).silent(&world.now.zone, &world.now.writers);
    world.pass(340).await;
    assert_eq!((key(&world).await, keys_kept(&world).await), (None, 2), "it is in quarantine");
    world.host(1).connect(&world.now.zone, &world.now.writers);
    world.pass(20).await;
    assert_eq!(keys_kept(&world).await, 1);
}

/// A VM on host 1 whose migration to host 2 was begun, with another one on host 3.
async fn moving(witnesses: Vec<Witness>) -> World {
    let world = World::new(3, Setup { migration: Duration::from_secs(600), witnesses, ..Setup::default() }).await;
    world.network("web", None, false).await;
    world.start("web", "n1", 1).await;
    world.start("web", "n3", 3).await;
    world.prepare("web", "n1", 2, Move::Migrate).await;
    world.pass(60).await;
    world
}

/// On which hosts the NIC is.
async fn places(world: &World) -> (u64, Option<u64>) {
    let network = world.store.network("web").await.unwrap().unwrap().number;
    let nic = world.store.nics(network).await.unwrap().into_iter().find(|nic| nic.id == "n1").unwrap();
    (nic.host.get(), nic.moving_to.map(|to| to.get()))
}

#[tokio::test(start_paused = true)]
async fn a_migration_without_a_reported_end_is_settled_by_the_vifs() {
    let all = vec![Witness::Api, Witness::Bridges, Witness::Vifs];
    // It has arrived.
    let world = moving(all.clone()).await;
    world.host(2).plug(FIRST_KEY);
    world.pass(700).await;
    assert_eq!(places(&world).await, (1, Some(2)), "both hosts have VIFs: nobody can tell");
    world.host(1).unplug(FIRST_KEY);
    world.pass(60).await;
    assert_eq!(places(&world).await, (2, None));
    assert_eq!(world.host(1).bridge_of(FIRST_KEY), None);
    // It has stayed.
    let world = moving(all).await;
    world.pass(480).await;
    assert_eq!(places(&world).await, (1, Some(2)), "not yet");
    world.host(2).silent(&world.now.zone, &world.now.writers);
    world.pass(120).await;
    assert_eq!(places(&world).await, (1, Some(2)), "a host that is silent cannot tell");
    world.host(2).connect(&world.now.zone, &world.now.writers);
    world.pass(60).await;
    assert_eq!((places(&world).await, world.host(2).bridge_of(FIRST_KEY)), ((1, None), None));
    // Nobody asks the VIFs.
    let world = moving(vec![Witness::Api, Witness::Bridges]).await;
    world.pass(700).await;
    assert_eq!(places(&world).await, (1, Some(2)));
}

#[tokio::test(start_paused = true)]
async fn a_port_without_its_device_neither_keeps_nor_removes_a_host() {
    let only_vifs = Setup { witnesses: vec![Witness::Bridges, Witness::Vifs], ..Setup::default() };
    let world = World::new(6, only_vifs).await;
    world.plugin_network(FIRST_KEY, 1..=6);
    world.pass(60).await;
    // The VM on host 1 has crashed; the one on host 2 has, too, and CloudStack has told its end.
    for host in [1, 2] {
        world.host(host).state().bridges.values_mut().for_each(|bridge| bridge.vifs = vec![false]);
        world.host(host).tell();
    }
    world.host(2).plugin_sets_up(FIRST_KEY, ovstunnel_api::ClaimSays::Out);
    world.pass(120).await;
    let view = world.now.zone.network_difference(key_of(FIRST_KEY.into()), Duration::from_secs(600)).unwrap();
    assert_eq!(view.size, 5, "host 2 has left the mesh, host 1 has not: {view:?}");
    assert_eq!(world.wrong(FIRST_KEY), Vec::<String>::new(), "what is on its bridge still keeps all there");
}

fn key_of(key: i64) -> ovstunnel_types::GreKey {
    key.try_into().unwrap()
}

/// What CloudStack tells: a network with the first key, and VMs on these hosts, of which the last one may move.
fn cloud_tells(world: &World, hosts: &[u64], is_moving: bool) {
    let host = |n: u64| CloudHost {
        id: format!("id-{n}"),
        address: None,
        shown: CloudStackHost { name: format!("h{n}"), zone: None, pod: None, cluster: None, state: None },
    };
    let (name, id) = ("web-tier".to_owned(), "n1".to_owned());
    let shown = CloudStackNetwork { id, name, account: None, project: None, domain: None, zone: None, nics: 0 };
    let nic = |n: &u64| CloudNic { network: "n1".into(), host: Some(format!("id-{n}")), is_moving };
    let picture = CloudPicture {
        hosts: (1..=9).map(host).collect(),
        networks: vec![CloudNetwork { key: Some(key_of(FIRST_KEY.into())), shown }],
        nics: hosts.iter().map(nic).collect(),
    };
    world.now.zone.take_cloud(picture, world.now.zone.now());
}

/// Lets time go by while CloudStack tells this again and again.
async fn pass_told(world: &World, hosts: &[u64], is_moving: bool, seconds: u64) {
    for _ in 0..seconds / 10 {
        cloud_tells(world, hosts, is_moving);
        world.pass(10).await;
    }
}

/// The hosts of which it is not agreed whether they have VMs, with who says what.
fn not_agreed(world: &World) -> Vec<String> {
    let network = world.now.zone.network(key_of(FIRST_KEY.into())).unwrap();
    let words = |one: &ovstunnel_manager_api::Disagreement| {
        one.says.iter().map(|word| format!("{}={}", word.witness, word.says)).collect::<Vec<_>>().join(" ")
    };
    network.disagreements.iter().map(|one| format!("{}: {}", one.host, words(one))).collect()
}

#[tokio::test(start_paused = true)]
async fn cloudstack_brings_hosts_in_and_lets_them_go_beside_the_vifs() {
    let heard = Setup { witnesses: vec![Witness::Vifs, Witness::CloudStack], ..Setup::default() };
    let world = World::new(5, heard).await;
    world.plugin_network(FIRST_KEY, 1..=4);
    pass_told(&world, &[1, 2, 3, 4], false, 60).await;
    assert_eq!(world.with(FIRST_KEY), [1, 2, 3, 4].into());
    // A VM is about to be on host 5, where nothing is yet: which bridge it is to have there, the plugin says, or who records the network.
    pass_told(&world, &[1, 2, 3, 4, 5], true, 20).await;
    assert_eq!(world.host(5).bridge_of(FIRST_KEY), None);
    world.network("web", Some(FIRST_KEY), true).await;
    pass_told(&world, &[1, 2, 3, 4, 5], true, 20).await;
    assert!(world.host(5).bridge_of(FIRST_KEY).is_some(), "{:?}", world.with(FIRST_KEY));
    // The VM on host 4 has gone. While another one moves, CloudStack cannot tell.
    world.host(5).plug(FIRST_KEY);
    world.host(4).unplug(FIRST_KEY);
    pass_told(&world, &[1, 2, 3, 5], true, 20).await;
    let size = || world.now.zone.network_difference(key_of(FIRST_KEY.into()), Duration::from_secs(600)).unwrap().size;
    assert_eq!(size(), 5, "nobody but the VIFs has let go, and the host lingers");
    pass_told(&world, &[1, 2, 3, 5], false, 60).await;
    assert_eq!(size(), 4);
    assert_eq!(not_agreed(&world), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_disagreement_is_shown_after_a_minute_and_removes_nothing() {
    let heard = Setup { witnesses: vec![Witness::Vifs, Witness::CloudStack], ..Setup::default() };
    let world = World::new(3, heard).await;
    world.plugin_network(FIRST_KEY, 1..=3);
    pass_told(&world, &[1, 2, 3], false, 60).await;
    pass_told(&world, &[1, 2], false, 50).await;
    assert_eq!(not_agreed(&world), Vec::<String>::new(), "a minute is normal");
    pass_told(&world, &[1, 2], false, 30).await;
    assert_eq!(not_agreed(&world), ["h3: vifs=in cloudstack=out"]);
    assert_eq!(world.with(FIRST_KEY), [1, 2, 3].into());
    assert_eq!(world.wrong(FIRST_KEY), Vec::<String>::new());
    pass_told(&world, &[1, 2, 3], false, 20).await;
    assert_eq!(not_agreed(&world), Vec::<String>::new());
    // What it said long ago is no word against anybody.
    pass_told(&world, &[1, 2], false, 80).await;
    assert_eq!(not_agreed(&world).len(), 1);
    world.pass(200).await;
    assert_eq!(not_agreed(&world), Vec::<String>::new());
}

/// A host that has left while it was silent has what it had, by its last words; what is told of it is its silence.
#[tokio::test(start_paused = true)]
async fn what_a_silent_host_had_when_it_left_is_no_fault() {
    let world = World::new(3, Setup::default()).await;
    world.network("web", None, false).await;
    for host in 1..=3 {
        world.start("web", &format!("n{host}"), host).await;
    }
    world.pass(60).await;
    // Its last VM stops, and before it has left it cannot be asked any more.
    world.stop("web", "n3", FIRST_KEY, 3).await;
    world.pass(5).await;
    world.host(3).silent(&world.now.zone, &world.now.writers);
    let zone = &world.now.zone;
    for _ in 0..120 {
        world.pass(1).await;
        zone.look_for_faults(zone.now());
    }
    let told = zone.faults(&Wrong { limit: 10, ..Wrong::default() }).faults;
    assert_eq!(told.iter().map(|fault| fault.id.as_str()).collect::<Vec<_>>(), ["host_silent:h3"], "{told:#?}");
}
