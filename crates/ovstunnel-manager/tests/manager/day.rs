//! Hours of a zone: VMs start, stop and move, daemons are killed, hosts fail and come back, the manager starts anew. No network is ever missing
//! something, one-sided, or has something left over once its time is over, and no fault is told but that of a host which is down.
//!
//! `OVSTUNNEL_DAY_HOSTS` and `OVSTUNNEL_DAY_HOURS` make it as large and as long as one likes: 2,000 hosts and 24 hours are `scripts/soak`'s.

mod life;

use std::env;
use std::time::Instant;

use life::Life;

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn hours_of_a_zone_leave_no_network_with_a_wrong_tunnel() {
    let (hosts, hours) = (number("OVSTUNNEL_DAY_HOSTS", 100), number("OVSTUNNEL_DAY_HOURS", 2));
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let story = runtime.block_on(async {
        let mut life = Life::begin(hosts, number("OVSTUNNEL_SEED", 1)).await;
        eprintln!("set up after {:?}", started.elapsed());
        life.live(hours * 3600).await;
        life.end().await
    });
    println!("{hosts} hosts, {hours} hours in {} s: {story}", started.elapsed().as_secs());
}
