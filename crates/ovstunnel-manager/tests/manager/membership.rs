//! What comes to an end though nobody says so: networks without NICs, migrations, and ports of VMs that have crashed.

use std::time::Duration;

use crate::sim::{FIRST_KEY, Setup, World};
use ovstunnel_manager::inventory::Move;
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
