//! `ovstunneld --once`: looks at everything once, repairs what differs, and ends.
//!
//! What it does: for the time without a daemon, when a VIF comes or goes, the same as the daemon does at its start, by the
//! same code. What it must not do: listen, write beside a daemon, or wait for ever.

use std::time::Duration;

use ovstunnel_ovs::{StartError, Switch};
use ovstunnel_types::text::error_chain;

use super::{service, underlay};
use crate::config::Config;
use crate::host::Interfaces;
use crate::metrics::Metrics;
use crate::writer::lock::{Busy, Place, Turn, WriterLock};
use crate::writer::{WriteError, Writer};

/// No look at intervals.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// Why something is left undone.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    /// Open vSwitch is too old.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The daemon writes for too long.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// Open vSwitch cannot be reached.
    #[error("Open vSwitch cannot be reached: {0}")]
    Unavailable(String),
    /// The writer ended.
    #[error(transparent)]
    Writer(#[from] WriteError),
    /// Some repairs failed.
    #[error("could not be repaired: {0}")]
    Failed(String),
}

/// Looks and repairs. Where another waits to do that already, there is nothing to do: what this one would have seen, that
/// one will see.
///
/// # Errors
/// Says what is left undone.
pub async fn reconcile_once(config: &Config) -> Result<(), OnceError> {
    let Some(place) = Place::take_place(&config.api.socket) else {
        tracing::debug!("another --once waits for its turn already");
        return Ok(());
    };
    // A daemon lets go after each batch; one batch can take two commands' deadlines and more.
    let turn = WriterLock::for_config(config, 4 * config.ovs.timeout).take_turn().await?;
    turn.advance_epoch();
    // From here on a new event is none that we are sure to see.
    drop(place);
    let done = reconcile_in_turn(config, &turn).await;
    drop(turn);
    done
}

async fn reconcile_in_turn(config: &Config, turn: &Turn) -> Result<(), OnceError> {
    let metrics = Metrics::default();
    let switch = service::real_switch(config, &metrics).await?;
    turn.lock_file().into_iter().for_each(|file| switch.keep_open(file));
    let (writer, running) =
        Writer::start(switch.clone(), service::plan_settings(config), NEVER, metrics, WriterLock::no_lock());
    let report = match until_there(&switch, config.ovs.timeout).await {
        Ok(()) => {
            match underlay::read_underlay(&Interfaces::of_kernel(), switch.observer()).await {
                Ok(underlay) => underlay.into_iter().for_each(|underlay| writer.tuned().set_underlay(underlay)),
                // Then the flows that guard it stay as they are.
                Err(error) => tracing::warn!(error = error_chain(&error), "the underlay is not known"),
            }
            writer.clone().with_patience().reconcile().await.map_err(OnceError::from)
        }
        Err(reason) => Err(OnceError::Unavailable(reason)),
    };
    // It finishes what it is at, then ends.
    drop(writer);
    let _ = running.await;
    let report = report?;
    tracing::info!(bridges = report.bridges, tunnels = report.tunnels, "reconcile run done");
    match report.failed.is_empty() {
        true => Ok(()),
        false => Err(OnceError::Failed(report.failed.join("; "))),
    }
}

/// Waits until the switch can be worked with; says why it cannot.
async fn until_there(switch: &Switch, deadline: Duration) -> Result<(), String> {
    let mut health = switch.watch_health();
    let there = health.wait_for(|health| health.first_trouble().is_none());
    if matches!(tokio::time::timeout(deadline, there).await, Ok(Ok(_))) {
        return Ok(());
    }
    let reason = switch.watch_health().borrow().first_trouble().map(str::to_owned);
    Err(reason.unwrap_or_else(|| "it has just come up".to_owned()))
}
