//! The commands that a real switch would have run for what a simulated one did, for tests that compare them with a plan.
//! Must not record unless it was asked to: a simulated zone runs for years.

use ovstunnel_plan::{FlowChange, ObservedBridge, Step, TransitionFlows};

use super::SimulatedSwitch;
use crate::commands::{Command, FlowCommands, flood_ports};
use crate::{CommitError, Tools};

/// What was asked for.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    commands: Option<Vec<Command>>,
    pps: u32,
}

impl SimulatedSwitch {
    /// Records commands from now on.
    pub fn record_commands(&self) {
        self.lock_state().recorded.commands = Some(Vec::new());
    }

    /// The commands since then or since this was last asked.
    pub fn take_commands(&self) -> Vec<Command> {
        self.lock_state().recorded.commands.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn limit_vifs(&self, pps: u32) {
        self.lock_state().recorded.pps = pps;
    }

    pub(crate) fn meter_rate(&self) -> u32 {
        self.lock_state().recorded.pps
    }

    fn record(&self, commands: impl FnOnce(&Tools) -> Vec<Command>) {
        if let Some(recorded) = &mut self.lock_state().recorded.commands {
            recorded.extend(commands(&Tools::default()));
        }
    }

    pub(super) fn record_transaction(&self, steps: &[Step]) {
        self.record(|tools| tools.transaction_commands(steps));
    }

    pub(super) fn record_flows(&self, bridge: &str, change: &FlowChange) {
        let pps = self.meter_rate();
        self.record(|tools| {
            let FlowCommands { meters, bundle, freed } = tools.flow_commands(bridge, change, pps);
            meters.into_iter().map(|(_, command)| command).chain([bundle]).chain(freed).collect()
        });
    }

    pub(crate) fn lay_transition(&self, bridge: &ObservedBridge) -> TransitionFlows {
        let transition = TransitionFlows::over_bridge(bridge, &[]);
        self.record(|tools| vec![tools.lay_transition(&bridge.name, &transition)]);
        transition
    }

    pub(crate) fn lift_transition(&self, bridge: &str, transition: &TransitionFlows) -> Result<(), CommitError> {
        self.check_health()?;
        self.record(|tools| vec![tools.lift_transition(bridge, transition)]);
        Ok(())
    }

    pub(crate) fn flood_again(&self, bridge: &ObservedBridge) -> Result<(), CommitError> {
        self.check_health()?;
        self.record(|tools| {
            let ports = flood_ports(bridge).flat_map(|port| tools.flood_to(&bridge.name, &port.to_string()));
            ports.collect()
        });
        Ok(())
    }
}
