//! What hosts refuse: it stands in the table `ovs_tunnel_network`, and is there once they refuse it no more.

use crate::sim::{FIRST_KEY, Setup, World};
use ovstunnel_store::RowState;

/// The rows of the network, as `from to state`, those without a port marked.
async fn rows(world: &World) -> Vec<String> {
    let network = world.store.network("web").await.unwrap().unwrap().number;
    let rows = world.store.tunnel_rows(network).await.unwrap();
    let line = |row: &ovstunnel_store::TunnelRow| {
        let state = if row.state == RowState::Success { "SUCCESS" } else { "FAILED" };
        let port = row.port_name.as_ref().map_or(" without a port", |_| "");
        format!("{} {} {state}{port}", row.from, row.to)
    };
    rows.iter().map(line).collect()
}

#[tokio::test(start_paused = true)]
async fn a_refused_tunnel_is_listed_failed_until_made_or_unwanted() {
    let world = World::new(3, Setup { rows: true, ..Setup::default() }).await;
    world.network("web", None, false).await;
    world.host(1).state().refuses = [2, 3].into();
    for host in 1..=3 {
        world.start("web", &format!("n{host}"), host).await;
    }
    world.pass(10).await;
    let good = ["2 1 SUCCESS", "2 3 SUCCESS", "3 1 SUCCESS", "3 2 SUCCESS"];
    let failed = ["1 2 FAILED without a port", "1 3 FAILED without a port"];
    assert_eq!(rows(&world).await, [&failed[..], &good[..]].concat());
    world.host(1).state().refuses = [3].into();
    world.pass(150).await;
    assert_eq!(rows(&world).await[..2], ["1 2 SUCCESS", failed[1]]);
    world.stop("web", "n3", FIRST_KEY, 3).await;
    world.pass(60).await;
    assert_eq!(rows(&world).await, ["1 2 SUCCESS", "2 1 SUCCESS"]);
    world.start("web", "n3", 3).await;
    world.pass(150).await;
    assert_eq!(rows(&world).await[1], failed[1]);
    world.host(1).state().refuses.clear();
    world.pass(150).await;
    assert_eq!(rows(&world).await, [&["1 2 SUCCESS", "1 3 SUCCESS"][..], &good[..]].concat());
}
