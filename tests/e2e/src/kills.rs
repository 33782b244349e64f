//! What dies of a zone: the manager, daemons, switches. Must not know what they were doing.

use std::time::Duration;

use anyhow::Result;

use crate::{Cloud, Dice, Zone};

/// Kills the manager, or a daemon, ovs-vswitchd or ovsdb-server of a host, and starts it again a moment later. Gives what.
///
/// # Errors
/// When it does not start again.
pub fn kill_something(cloud: &Cloud, zone: &Zone, dice: &mut Dice) -> Result<String> {
    let node = cloud.node(1 + usize::try_from(dice.below(cloud.nodes().len() as u64))?)?;
    let (host, moment) = (node.host(), Duration::from_millis(100));
    let what = match dice.below(5) {
        0 | 1 => {
            zone.kill();
            dice.pause(moment);
            zone.start(cloud)?;
            "the manager".to_owned()
        }
        2 => {
            node.kill();
            dice.pause(moment);
            node.start()?;
            format!("the daemon of {}", host.name())
        }
        3 => {
            host.kill_vswitchd();
            dice.pause(moment);
            host.start_vswitchd()?;
            format!("ovs-vswitchd of {}", host.name())
        }
        _ => {
            host.kill_ovsdb();
            dice.pause(moment);
            host.start_ovsdb()?;
            format!("ovsdb-server of {}", host.name())
        }
    };
    Ok(what)
}
