//! What the writer goes by and others change while it runs: beside the configuration, what is known of the underlay.
//!
//! What it must not do: keep the writer from ending.

use std::sync::Arc;

use ovstunnel_plan::{BridgeMtu, Settings, Underlay};
use tokio::sync::watch;

use super::Tuning;

/// Tells the writer of the underlay.
#[derive(Clone, Debug)]
pub struct Tuned(Arc<watch::Sender<Tuning>>);

impl Tuned {
    pub(super) fn new(tuning: Arc<watch::Sender<Tuning>>) -> Self {
        Tuned(tuning)
    }

    /// From now on the underlay is this one; where nothing differs nothing happens.
    pub fn set_underlay(&self, underlay: Underlay) {
        self.0.send_if_modified(|tuning| {
            if tuning.settings.underlay.as_deref() == Some(&underlay) {
                return false;
            }
            if !differ_in_mtus_only(&underlay, tuning.settings.underlay.as_deref()) {
                tracing::info!(ends = ?underlay.ends.iter().map(|end| (&end.device, end.address)).collect::<Vec<_>>(),
                    "the underlay or the Ethernet address of a bridge has changed");
            }
            let underlay = Some(Arc::new(underlay));
            tuning.settings = Arc::new(Settings { underlay, ..(*tuning.settings).clone() });
            true
        });
    }

    /// Waits until the writer has ended.
    pub async fn wait_ended(&self) {
        self.0.closed().await;
    }
}

impl Tuning {
    /// Whether nothing but the underlay is another one.
    pub(super) fn differs_in_underlay_only(&self, before: &Tuning) -> bool {
        let settings = Settings { underlay: before.settings.underlay.clone(), ..(*self.settings).clone() };
        self.interval == before.interval && settings == *before.settings && self.settings != before.settings
    }

    /// Whether bridges can be other ones because of the underlay: the MTU of ways counts only where their own devices are to fit it.
    pub(super) fn concerns_bridges(&self, before: &Tuning) -> bool {
        let underlay = |tuning: &'_ Tuning| tuning.settings.underlay.clone();
        let (now, before) = (underlay(self), underlay(before));
        let same = now.is_some_and(|now| differ_in_mtus_only(&now, before.as_deref()));
        self.settings.bridge_mtu == BridgeMtu::Fit || !same
    }
}

fn differ_in_mtus_only(now: &Underlay, before: Option<&Underlay>) -> bool {
    before.is_some_and(|before| Underlay { mtus: before.mtus.clone(), ..now.clone() } == *before)
}
