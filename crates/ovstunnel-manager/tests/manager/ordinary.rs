//! Ordinary work, however much of it comes at once: nobody is ever asked, and what is there at the end is what the VMs need.

use crate::sim::{BY, FIRST_KEY, Setup, World};
use ovstunnel_api::ClaimSays;
use ovstunnel_manager::inventory::Move;

/// One network on all hosts, with a VM on each; half a zone, so that what happens to it is more than any brake lets pass.
const HOSTS: u64 = 24;

async fn told() -> World {
    let world = World::new(HOSTS, Setup::default()).await;
    world.network("web", None, false).await;
    for host in 1..=HOSTS {
        world.start("web", &format!("n{host}"), host).await;
    }
    world.pass(60).await;
    good(&world, "the start");
    world
}

/// That nobody was asked, nothing lost, and all is as it must be.
fn good(world: &World, what: &str) {
    assert_eq!(*world.held.lock().unwrap(), Vec::<String>::new(), "{what}");
    assert_eq!(world.truth().losses, Vec::<String>::new(), "{what}");
    assert_eq!(world.wrong(FIRST_KEY), Vec::<String>::new(), "{what}");
}

async fn stop(world: &World, host: u64) {
    world.stop("web", &format!("n{host}"), FIRST_KEY, host).await;
}

#[tokio::test(start_paused = true)]
async fn a_big_network_is_dissolved_at_once_and_comes_again() {
    let world = told().await;
    for host in 1..=HOSTS {
        stop(&world, host).await;
    }
    world.pass(90).await;
    good(&world, "all VMs have stopped");
    for host in (1..=HOSTS).rev() {
        world.start("web", &format!("n{host}"), host).await;
    }
    world.pass(60).await;
    good(&world, "all run again");
    // Removed by name before the lingering is over.
    for host in 1..=HOSTS {
        stop(&world, host).await;
    }
    world.now.inventory.delete_network("web", BY).await.unwrap();
    world.pass(90).await;
    good(&world, "the network is removed");
}

#[tokio::test(start_paused = true)]
async fn hosts_are_drained_and_removed() {
    let world = told().await;
    // Half of the VMs move to the other half's hosts; two moves are given up and come later.
    for host in 1..=HOSTS / 2 {
        let (id, to) = (format!("n{host}"), host + HOSTS / 2);
        world.start("web", &id, to).await;
        let well = host > 2;
        world.now.inventory.end_migration("web", &id, well, BY).await.unwrap();
        world.end(FIRST_KEY, if well { host } else { to });
    }
    world.pass(90).await;
    good(&world, "most have moved");
    for host in 1..=2 {
        world.start("web", &format!("n{host}"), 20).await;
        world.now.inventory.end_migration("web", &format!("n{host}"), true, BY).await.unwrap();
        world.end(FIRST_KEY, host);
    }
    // Hosts that go are not seen again, the last of them at once.
    for host in 1..=HOSTS / 2 {
        assert!(world.store.delete_host(&format!("h{host}")).await.unwrap());
        world.host(host).silent(&world.now.zone, &world.now.writers);
        world.now.zone.unregister_host(world.host(host).host_number());
        world.host(host).state().bridges.clear();
    }
    world.pass(90).await;
    good(&world, "the hosts are gone");
}

#[tokio::test(start_paused = true)]
async fn a_third_of_the_hosts_lose_power_and_come_back() {
    let world = told().await;
    for host in 1..=HOSTS / 3 {
        world.host(host).silent(&world.now.zone, &world.now.writers);
        world.end(FIRST_KEY, host);
    }
    world.pass(60).await;
    for host in 1..=HOSTS / 3 {
        world.start_by("web", &format!("n{host}"), HOSTS - host, Move::Replace).await;
    }
    world.pass(120).await;
    for host in 1..=HOSTS / 3 {
        world.host(host).connect(&world.now.zone, &world.now.writers);
    }
    world.pass(90).await;
    good(&world, "they are back");
}

#[tokio::test(start_paused = true)]
async fn daemons_and_the_manager_are_updated_one_after_another() {
    let mut world = told().await;
    for host in 1..=HOSTS {
        world.host(host).silent(&world.now.zone, &world.now.writers);
        world.pass(5).await;
        world.host(host).connect(&world.now.zone, &world.now.writers);
    }
    world.again().await;
    world.pass(90).await;
    good(&world, "all are updated");
}

#[tokio::test(start_paused = true)]
async fn cloudstack_stops_all_vms() {
    let world = World::new(HOSTS, Setup::default()).await;
    world.plugin_network(FIRST_KEY, 1..=HOSTS);
    world.pass(60).await;
    good(&world, "the start");
    for host in 1..=HOSTS {
        world.end(FIRST_KEY, host);
        match host % 2 {
            // Where no manager is at hand the daemon removes it by itself.
            0 => world.host(host).plugin_destroys(FIRST_KEY),
            _ => world.host(host).plugin_sets_up(FIRST_KEY, ClaimSays::Out),
        }
    }
    world.pass(90).await;
    good(&world, "all have stopped");
}

#[tokio::test(start_paused = true)]
async fn three_hosts_get_other_addresses() {
    let world = told().await;
    for host in 1..=3 {
        world.host(host).address_is(Some(format!("10.9.0.{host}")));
    }
    world.pass(60).await;
    assert_eq!(*world.held.lock().unwrap(), Vec::<String>::new());
    let leads = |host: u64| world.host(host).state().bridges.values().next().unwrap().tunnels.clone();
    for host in 4..=HOSTS {
        assert_eq!([1, 2, 3].map(|to| leads(host)[&to].clone()), ["10.9.0.1", "10.9.0.2", "10.9.0.3"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_restarted_manager_waits_for_released_hosts_to_leave() {
    let mut world = told().await;
    for host in 1..=HOSTS {
        stop(&world, host).await;
    }
    world.pass(10).await;
    world.again().await;
    world.pass(90).await;
    good(&world, "all VMs have stopped");
}
