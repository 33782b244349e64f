//! A whole life of a network on three real hosts, through the plugin alone: set up, tunnels both ways, VMs plugged, every kind
//! of frame exactly once, a migration, destroyed in any order, everything gone.

use anyhow::Result;
use ovstunnel_e2e::{Cloud, LIFE_HOSTS, NodeConfig, Pool, life};

#[test]
fn a_network_lives_on_three_hosts_by_the_plugin_alone() -> Result<()> {
    let pool = Pool::new(LIFE_HOSTS, 1, "lo")?;
    let config = NodeConfig { pool: Some(pool.path().to_owned()), ..NodeConfig::default() };
    let cloud = Cloud::with_config("pluglife", LIFE_HOSTS, config)?;
    life(&cloud, &pool, [1, 2, 3], false)?;
    // The same hosts again: nothing of the first life is in the way.
    life(&cloud, &pool, [3, 1, 2], true)
}
