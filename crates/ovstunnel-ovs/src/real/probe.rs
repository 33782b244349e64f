//! Probes of tunnels: their flows, and their frames. Must not decide when either may be.

use ovstunnel_plan::Probe;

use super::RealSwitch;
use crate::{CommitError, ofctl};

impl RealSwitch {
    /// Lays the flows that count a probe's frames for so many seconds.
    pub(crate) async fn arm_probe(&self, bridge: &str, probe: &Probe, seconds: u32) -> Result<(), CommitError> {
        self.check_health()?;
        self.run_bundle(bridge, probe.arming_lines(seconds)).await
    }

    /// Sends so many frames of so many bytes into each tunnel of a probe.
    pub(crate) async fn send_probe(
        &self,
        bridge: &str,
        probe: &Probe,
        (size, count): (u32, usize),
    ) -> Result<(), CommitError> {
        self.check_health()?;
        let args = ofctl::bundle_with_packets(&self.tools, bridge);
        self.run_ofctl(&self.tools.ofctl_command(args, Some(probe.sending_lines(size, count)))).await.map(drop)
    }
}
