//! The routes of the API, version 1.
//!
//! What it does: takes a request apart, hands it to the writer or reads the mirror, and puts the answer on the wire. What
//! it must not do: run commands, or change anything itself.

mod bridges;
mod diagnosis;
mod fixups;
mod host;
mod list;
mod log;
mod openapi;
mod plugin;
mod refusals;
mod takeover;
mod to_wire;
mod validate;
mod vifs;
mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ovstunnel_api::{Health, Outcome, PlanAnswer, PlannedCommand};
use ovstunnel_ovs::Switch;
use ovstunnel_plan::{BridgeName, EffectiveSettings, FlowsSeen, ObservedBridge, ObservedPort, View};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::logging::Logging;
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;

use crate::doctor::Doctor;
use crate::health::{Kept, Surveyor};
use crate::interfaces::Interfaces;
use crate::metrics::{self, Metrics};
use crate::plugin::Turns;
use crate::timing;
use crate::watch::Hub;
use crate::witness::Witnesses;
use crate::writer::{Planned, WriteError, Writer};
use crate::xapi::Xapi;

/// What all handlers share.
#[derive(Clone, Debug)]
pub struct State {
    /// The switch, for reading its mirror.
    pub switch: Switch,
    /// The one that changes it.
    pub writer: Writer,
    /// What the switch itself says of its bridges.
    pub witnesses: Witnesses,
    /// Devices of this host.
    pub interfaces: Arc<Interfaces>,
    /// Whose turn it is among calls of the plugin.
    pub turns: Arc<Turns>,
    /// xapi, where it is used.
    pub xapi: Option<Arc<Xapi>>,
    /// What is counted.
    pub metrics: Metrics,
    /// The log; none in tests of the routes alone.
    pub logging: Option<Arc<Logging>>,
    /// What finds out what is wrong.
    pub doctor: Arc<Doctor>,
    /// What is seen below the tunnels.
    pub surveyor: Surveyor,
    /// The health of the host as it was last told.
    pub host_health: Kept<Option<Health>>,
    /// Those who watch.
    pub watch: Hub,
}

/// All routes, described in `/openapi.json`.
pub fn router(state: State) -> Router {
    let counted = axum::middleware::from_fn_with_state(state.metrics.clone(), metrics::measure);
    openapi::router().with_state(state).route_layer(axum::middleware::from_fn(timing::measure)).route_layer(counted)
}

/// `?dry_run=true` answers with the plan and changes nothing.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChangeQuery {
    /// Answer with the plan (the changes in words, the exact commands) and change nothing.
    dry_run: bool,
}

impl State {
    /// A managed bridge as it is now.
    fn bridge(&self, name: &str) -> Option<ovstunnel_api::Bridge> {
        let observed = self.switch.observer().read(|db| db.view().bridge(name))?;
        self.to_wire(&observed)
    }

    /// VIFs of a bridge whose devices the kernel does not have any more. Open vSwitch keeps their rows, and on a datapath in user
    /// space also their numbers (docs/ovs-facts.md), so this is asked where it matters: before a bridge goes.
    pub(crate) async fn dead_vifs(&self, bridge: &BridgeName) -> BTreeSet<String> {
        let settings = self.writer.settings();
        let vifs: Vec<String> = self.switch.observer().read(|db| {
            let observed = db.view().bridge(bridge.as_str());
            let of_system = |port: &&ObservedPort| port.interface().is_some_and(|interface| interface.kind.is_empty());
            let names = |observed: ObservedBridge| {
                observed.vifs(&settings.vif_prefixes).filter(of_system).map(|port| port.name.clone()).collect()
            };
            observed.map(names).unwrap_or_default()
        });
        if vifs.is_empty() {
            return BTreeSet::new();
        }
        // What the kernel does not tell keeps nobody's VIF from being in the way.
        let Ok(Some(devices)) = self.interfaces.links().await else { return BTreeSet::new() };
        let dead: BTreeSet<String> = vifs.into_iter().filter(|vif| !devices.names.contains(vif)).collect();
        if !dead.is_empty() {
            tracing::warn!(%bridge, ?dead, "these VIFs have no device any more: their rows do not keep the bridge from going");
        }
        dead
    }

    /// A bridge of ours on the wire; nothing where it is not.
    pub(crate) fn to_wire(&self, observed: &ObservedBridge) -> Option<ovstunnel_api::Bridge> {
        // With vswitchd its flows are gone: what was read of them before says nothing.
        let seen = match self.switch.health().borrow().vswitchd {
            Ok(()) => self.writer.flows().get(observed.uuid),
            Err(_) => FlowsSeen::Unknown,
        };
        self.to_wire_with(observed, &seen, &self.switch.effective(&self.writer.settings()))
    }

    /// The same, where it was just read what its flows are, by these settings.
    fn to_wire_with(
        &self,
        observed: &ObservedBridge,
        seen: &FlowsSeen,
        settings: &EffectiveSettings,
    ) -> Option<ovstunnel_api::Bridge> {
        let told = self.witnesses.get(observed.uuid);
        let as_of = told.as_ref().map(|told| told.as_of).or_else(|| self.writer.looks().last().map(|look| look.at));
        let (witness, survey) = (told.map(|told| told.witness).unwrap_or_default(), self.surveyor.latest());
        let known = to_wire::Known { witness: &witness, survey: &survey, as_of };
        to_wire::bridge(observed, seen, settings, &known)
    }

    /// What this daemon can do beyond version 1 of the API as it began.
    pub(crate) fn capabilities(&self) -> Vec<String> {
        let words = [Some("watch"), Some("claims"), self.xapi.as_ref().map(|_| "xapi")];
        words.into_iter().flatten().map(str::to_owned).collect()
    }

    /// That the mirror is the database's state and not a memory of it.
    fn expect_live(&self) -> Result<(), ApiError> {
        match &self.switch.health().borrow().database {
            Ok(()) => Ok(()),
            Err(reason) => Err(refusals::unavailable(format!("Open vSwitch cannot be reached: {reason}"))),
        }
    }
}

fn planned(plan: Planned) -> Response {
    let commands = plan.commands.into_iter().map(|command| PlannedCommand { argv: command.argv, stdin: command.stdin });
    let outcome = plan.outcome;
    let answer = PlanAnswer { dry_run: true, outcome, changes: plan.changes, commands: commands.collect() };
    dry_run(outcome, axum::Json(answer).into_response())
}

/// For the audit: nothing was changed.
fn dry_run(outcome: Outcome, response: Response) -> Response {
    Effect::of(&format!("dry run: {}", outcome.as_str()), response)
}

/// The status of a success: 201 where something came into being.
fn status(outcome: Outcome) -> StatusCode {
    match outcome {
        Outcome::Created => StatusCode::CREATED,
        Outcome::Updated | Outcome::Unchanged | Outcome::Removed => StatusCode::OK,
    }
}

/// An error of the writer on the wire, with the bridge as it is now where part of the request took effect.
fn problem(state: &State, bridge: &str, error: WriteError) -> ApiError {
    use ovstunnel_plan::Rejected;
    let detail = error.to_string();
    let mut problem = match error {
        WriteError::Rejected(Rejected::Invalid { field, rule, value }) => {
            let value = Some(value).filter(|value| !value.is_empty());
            return ApiError::invalid(field, rule, value.as_deref());
        }
        WriteError::Rejected(Rejected::NotFound(what)) => return ApiError::not_found(what),
        WriteError::Rejected(Rejected::Conflict { in_the_way, detail }) => {
            return ApiError::conflict(in_the_way, detail);
        }
        WriteError::Unavailable(_)
        | WriteError::Undone(_)
        | WriteError::Unsettled(_)
        | WriteError::Late(_)
        | WriteError::Busy(_)
        | WriteError::Ended => return refusals::unavailable(detail),
        WriteError::Refused(_) => return refusals::refused(detail, vec![]),
        WriteError::TunnelsRefused(refused) => {
            let words = refused.iter().map(|refusal| format!("{}: {}", refusal.tunnel.port(), refusal.words));
            let detail = format!("{detail}: {}", words.collect::<Vec<_>>().join("; "));
            refusals::refused(detail, refused.iter().map(to_wire::refusal).collect())
        }
        WriteError::Unknown(_) => refusals::outcome_unknown(detail),
    };
    problem.problem_mut().bridge = state.bridge(bridge).map(Box::new);
    problem
}
