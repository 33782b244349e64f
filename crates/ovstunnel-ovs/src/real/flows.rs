//! Flows of bridges: changed, and read.
//!
//! What it does: changes them by bundles, of `ovs-ofctl` or natively, each after its meters; reads ours and all others'. What it must not do:
//! take a bundle that was cut short for one that did nothing.

use std::time::Duration;

use ovstunnel_plan::{FlowChange, FlowsSeen};

use super::{Needs, RealSwitch};
use crate::commands::FlowCommands;
use crate::native::Native;
use crate::{Command, CommitError, FlowNews, FlowsRead, ofctl};

/// What native changes are counted as.
const BUNDLE: &str = "bundle";
const METER: &str = "meter";
const FLOWS: &str = "flows";

/// How long is waited for a flow monitor: whoever asks for it has others to listen to.
const MONITOR_WITHIN: Duration = Duration::from_secs(2);

impl RealSwitch {
    /// Changes them; gives what was read behind the change, where it was.
    pub(crate) async fn change_flows(
        &self,
        bridge: &str,
        change: &FlowChange,
    ) -> Result<Option<FlowsRead>, CommitError> {
        self.check_health()?;
        if let Some(native) = &self.native {
            return self.change_flows_natively(native, bridge, change).await.map(Some);
        }
        let FlowCommands { meters, bundle, freed } = self.tools.flow_commands(bridge, change, self.meter_rate());
        for (meter, add) in meters {
            self.set_meter(bridge, meter, &add).await?;
        }
        self.run_ofctl(&bundle).await?;
        for command in freed {
            // One that is left over limits nothing, and is set anew before it is used again.
            let _ = self.run_command(&command, Needs::Vswitchd).await;
        }
        Ok(None)
    }

    async fn change_flows_natively(
        &self,
        native: &Native,
        bridge: &str,
        change: &FlowChange,
    ) -> Result<FlowsRead, CommitError> {
        let FlowCommands { meters, bundle, freed } = self.tools.flow_commands(bridge, change, self.meter_rate());
        let pps = self.meter_rate();
        for (meter, add) in meters {
            let made = native.bridges.set_meter(bridge, meter, pps);
            let made = self.run_bounded(METER, Needs::Vswitchd, made, || vec![add]).await;
            self.note_meters(bridge, &made);
            made?;
        }
        let changed = native.bridges.change_flows(bridge, change);
        let read = self.run_bounded(BUNDLE, Needs::Vswitchd, changed, || vec![bundle]).await?;
        for (meter, command) in change.meters_freed().into_iter().zip(freed) {
            // One that is left over limits nothing, and is set anew before it is used again.
            let removed = native.bridges.delete_meter(bridge, meter);
            let _ = self.run_bounded(METER, Needs::Vswitchd, removed, || vec![command]).await;
        }
        Ok(read)
    }

    /// Changes flows of a bridge by a bundle's lines.
    pub(crate) async fn run_bundle(&self, bridge: &str, lines: String) -> Result<(), CommitError> {
        self.run_ofctl(&self.tools.bundle_command(bridge, lines)).await.map(drop)
    }

    /// Makes a meter, or sets the one that is there. A switch that has no meters is remembered as such.
    async fn set_meter(&self, bridge: &str, meter: u32, add: &Command) -> Result<(), CommitError> {
        let result = match self.run_ofctl(add).await {
            Err(CommitError::Refused(words)) if words.contains("METER_EXISTS") => {
                let change = ofctl::set_meter("mod-meter", &self.tools, bridge, (meter, self.meter_rate()));
                self.run_ofctl(&self.tools.ofctl_command(change, None)).await
            }
            result => result,
        };
        self.note_meters(bridge, &result);
        result.map(drop)
    }

    /// Remembers a switch that refuses meters.
    fn note_meters<T>(&self, bridge: &str, result: &Result<T, CommitError>) {
        // Only OpenFlow's own word: a bridge that others delete at this moment says nothing about meters.
        if let Err(CommitError::Refused(words)) = result
            && let Some(words) = words.lines().find(|line| line.contains("OFPT_ERROR"))
        {
            // Said by the first of the bridges that are written side by side.
            let first = self.observer.set_health(|health| {
                health.no_meters.get_or_insert_with(|| words.to_owned());
            });
            if first {
                tracing::warn!(
                    bridge,
                    error = words,
                    "the switch refuses meters: VIFs have no limit of broadcast frames"
                );
            }
        }
    }

    /// Our flows of a bridge, with what says later whether they still hold.
    pub(crate) async fn read_flows(&self, bridge: &str) -> Result<FlowsRead, CommitError> {
        self.check_health()?;
        let dump = self.tools.ofctl_command(ofctl::dump_args(&self.tools, bridge), None);
        if let Some(native) = &self.native {
            return self.run_bounded(FLOWS, Needs::Vswitchd, native.bridges.read_flows(bridge), || vec![dump]).await;
        }
        let finished = self.run_ofctl(&dump).await?;
        Ok(FlowsRead { flows: FlowsSeen::parse_dump(&finished.stdout), seqno: None })
    }

    /// What flow monitors tell; nothing where changes are written by commands, which have none.
    pub fn flow_news(&self) -> Option<&FlowNews> {
        self.native.as_ref().map(|native| native.bridges.flow_news())
    }

    /// Has a flow monitor watch a bridge's flows from now on.
    ///
    /// # Errors
    /// When this Open vSwitch, or this bridge, has none.
    pub async fn monitor_flows(&self, bridge: &str) -> Result<(), CommitError> {
        let Some(native) = &self.native else { return Ok(()) };
        let within = self.tools.timeout.min(MONITOR_WITHIN);
        let monitored = tokio::time::timeout(within, native.bridges.monitor_flows(bridge)).await;
        monitored.unwrap_or_else(|_| Err(CommitError::Unavailable(format!("bridge {bridge} does not answer"))))
    }

    /// A number that stays the same as long as a flow monitor watches a bridge and nobody else changes a flow of ours there; nothing where
    /// none does.
    pub fn flow_seqno(&self, bridge: &str) -> Option<u64> {
        self.native.as_ref()?.bridges.monitor_seqno(bridge)
    }

    /// Bridges that flow monitors watch.
    pub fn flows_monitored(&self) -> usize {
        self.native.as_ref().map_or(0, |native| native.bridges.monitored_count())
    }

    pub(crate) async fn printed_flows(&self, bridge: &str) -> Result<String, CommitError> {
        let printed = tokio::select! {
            biased;
            printed = self.print_tables(bridge) => printed,
            reason = self.wait_gone(Needs::Vswitchd) => Err(std::io::Error::other(reason)),
        };
        printed.map_err(|error| CommitError::Unavailable(error.to_string()))
    }

    pub(crate) async fn dump_all_flows(&self, bridge: &str, which: Option<&str>) -> Result<String, CommitError> {
        self.check_health()?;
        let finished =
            self.run_ofctl(&self.tools.ofctl_command(ofctl::dump_all(&self.tools, bridge, which), None)).await?;
        Ok(finished.stdout)
    }
}
