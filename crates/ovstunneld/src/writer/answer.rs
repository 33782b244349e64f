//! What a caller gets back from the writer. Must not know HTTP: `routes` puts it on the wire.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ovstunnel_ovs::{Command, CommitError};
use ovstunnel_plan::{
    BridgeEdit, BridgeName, Change, Changed, DesiredTunnel, EffectiveSettings, Fenced, FlowsSeen, ObservedBridge,
    ObservedPort, Outcome, Plan, PlanItem, PortEdit, PortName, Rejected, Step, UpdateVpc, VpcUpdate, ids,
};

use crate::writer::lock::Busy;

/// A change that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What it did.
    pub outcome: Outcome,
    /// What it changed, each thing with what it was before.
    pub changes: Vec<Changed>,
    /// The bridge it worked on.
    pub bridge: BridgeName,
    /// What of it was in the switch right afterwards.
    pub seen: Seen,
    /// By which it is to be judged, as the switch can honour them: what follows from news since then is on its way.
    pub settings: Arc<EffectiveSettings>,
}

/// What could be seen after a change, before any other was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It was about something that is to be gone, or somebody else took it away again at once.
    Nothing,
    /// The bridge that was set up or told something, with our flows on it.
    Bridge(Box<(Arc<ObservedBridge>, FlowsSeen)>),
    /// The tunnel that was created.
    Tunnel(Box<ObservedPort>),
}

/// What a change would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What it would answer.
    pub outcome: Outcome,
    /// The steps in words.
    pub changes: Vec<String>,
    /// The commands.
    pub commands: Vec<Command>,
}

/// A tunnel that Open vSwitch refused and that was taken away again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The bridge it was for.
    pub bridge: BridgeName,
    /// The tunnel.
    pub tunnel: DesiredTunnel,
    /// Open vSwitch's message.
    pub message: String,
}

/// Why a change was not carried out, or not as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// It cannot be; nothing was changed.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// It is asked for under an epoch that is not the newest, or of another zone; nothing was changed.
    #[error("{0}; nothing was changed")]
    Fenced(#[from] Fenced),
    /// The switch cannot be reached; nothing was changed.
    #[error("Open vSwitch cannot be reached: {0}; nothing was changed")]
    Unavailable(String),
    /// The command did not do its work; nothing was changed.
    #[error("the change did not take effect: {0}; nothing was changed")]
    Undone(String),
    /// What became of an earlier change is not known yet; nothing was changed.
    #[error("{0}; nothing was changed")]
    Unsettled(String),
    /// It waited for its turn for too long, and is not carried out any more.
    #[error("this has waited for its turn for {}, and is not carried out any more; nothing was changed", humantime_serde::re::humantime::format_duration(*.0))]
    Late(Duration),
    /// Open vSwitch refused the change as a whole; nothing was changed.
    #[error("Open vSwitch refused the change: {0}; nothing was changed")]
    Refused(String),
    /// Open vSwitch refused some tunnels; those are gone again, the rest of the change stays.
    #[error("Open vSwitch refused {} of the tunnels; they were taken away again, the rest of the change stays", .0.len())]
    TunnelsRefused(Vec<Refusal>),
    /// It is not known whether the change, or all of it, took effect.
    #[error("{0}")]
    Unknown(String),
    /// Somebody else writes.
    #[error("{0}; nothing was changed")]
    Busy(#[from] Busy),
    /// The daemon ends.
    #[error("the daemon is ending; nothing was changed")]
    Ended,
}

impl From<CommitError> for WriteError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Unavailable(reason) => WriteError::Unavailable(reason),
            CommitError::Refused(words) => WriteError::Refused(words),
            CommitError::Undone(reason) => WriteError::Undone(reason),
            partly @ CommitError::Partly(_) => WriteError::Unknown(partly.to_string()),
            CommitError::Unknown(reason) => WriteError::Unknown(reason),
        }
    }
}

/// The plan of a batch, by what its items are about: each answer looks at its own and not at all of them.
#[derive(Debug, Default)]
pub(super) struct Parts<'a>(HashMap<&'a str, OnBridge<'a>>);

#[derive(Debug, Default)]
struct OnBridge<'a> {
    all: Vec<PlanItem<'a>>,
    ports: HashMap<String, Vec<PlanItem<'a>>>,
    changes: Vec<&'a Changed>,
    changes_of: HashMap<&'a str, Vec<&'a Changed>>,
}

impl<'a> Parts<'a> {
    pub fn from_plan(plan: &'a Plan, changes: &'a [Changed]) -> Self {
        let mut parts = Parts::default();
        for changed in changes {
            let bridge = parts.0.entry(&changed.bridge).or_default();
            bridge.changes.push(changed);
            bridge.changes_of.entry(&changed.subject).or_default().push(changed);
        }
        for item in plan.items() {
            let bridge = parts.0.entry(item.bridge()).or_default();
            bridge.all.push(item);
            let port = match item {
                PlanItem::Database(Step::AddTunnel { tunnel, .. }) => tunnel.port_name().to_string(),
                PlanItem::Database(Step::EditTunnel { port, .. }) => port.to_string(),
                PlanItem::Database(Step::RemoveTunnel { port, .. }) => port.clone(),
                _ => continue,
            };
            bridge.ports.entry(port).or_default().push(item);
        }
        parts
    }

    /// What a change that was carried out changed: all on its bridge, or of its tunnel.
    pub fn changes_of(&self, change: &Change, port: Option<&PortName>) -> Vec<Changed> {
        let bridge = self.0.get(change.bridge().as_str());
        let changes = match port {
            None => bridge.map(|bridge| &bridge.changes),
            Some(port) => bridge.and_then(|bridge| bridge.changes_of.get(port.as_str())),
        };
        changes.into_iter().flatten().map(|&changed| changed.clone()).collect()
    }

    /// What of the plan a change asked for: all on its bridge, or what is about its tunnel.
    pub fn items_about(&self, change: &Change, port: Option<&PortName>) -> &[PlanItem<'a>] {
        let bridge = self.0.get(change.bridge().as_str());
        let steps = match port {
            None => bridge.map(|bridge| &bridge.all),
            Some(port) => bridge.and_then(|bridge| bridge.ports.get(port.as_str())),
        };
        steps.map(Vec::as_slice).unwrap_or_default()
    }
}

/// What a change does, told from what of the plan is about it.
pub(super) fn change_outcome(change: &Change, items: &[PlanItem<'_>]) -> Outcome {
    match change {
        Change::Claimed(change, _) => change_outcome(change, items),
        Change::SetupBridge(_) | Change::SetupVpc(_) => {
            let creates = |item: &PlanItem<'_>| matches!(item, PlanItem::Database(Step::CreateBridge(_)));
            match (items.iter().any(creates), items.is_empty()) {
                (true, _) => Outcome::Created,
                (false, false) => Outcome::Updated,
                (false, true) => Outcome::Unchanged,
            }
        }
        // What else was put in order on its bridge is not what was asked for.
        Change::UpdateVpc(update) => match items.iter().any(|item| records_update(item, update)) {
            true => Outcome::Updated,
            false => Outcome::Unchanged,
        },
        Change::DestroyBridge(..) | Change::DeleteBridge(..) | Change::ReleaseBridge(_) => {
            if items.is_empty() {
                Outcome::Unchanged
            } else {
                Outcome::Removed
            }
        }
        // What else was put in order on its bridge is not what was asked for.
        Change::SetBfd(_) => match items.iter().any(is_about_bfd) {
            true => Outcome::Updated,
            false => Outcome::Unchanged,
        },
        Change::ChangeKind(_) => match items.is_empty() {
            false => Outcome::Updated,
            true => Outcome::Unchanged,
        },
        Change::CreateTunnel(_) | Change::DestroyTunnel { .. } => {
            items.iter().fold(Outcome::Unchanged, |so_far, item| match (item, so_far) {
                (PlanItem::Database(Step::AddTunnel { .. }), Outcome::Removed)
                | (PlanItem::Database(Step::EditTunnel { .. }), _) => Outcome::Updated,
                (PlanItem::Database(Step::AddTunnel { .. }), _) => Outcome::Created,
                (PlanItem::Database(Step::RemoveTunnel { .. }), _) => Outcome::Removed,
                _ => so_far,
            })
        }
    }
}

/// Whether it changes where BFD runs, or how.
fn is_about_bfd(item: &PlanItem<'_>) -> bool {
    let is_it = |edit: &PortEdit| match edit {
        PortEdit::SetBfd(..) | PortEdit::DropBfd(_) => true,
        PortEdit::SetId(key, _) | PortEdit::DropId(key) => key == ids::BFD,
        _ => false,
    };
    matches!(item, PlanItem::Database(Step::EditTunnel { edits, .. }) if edits.iter().any(is_it))
}

/// Whether it records that an update was applied.
fn records_update(item: &PlanItem<'_>, update: &UpdateVpc) -> bool {
    let number = match update.update {
        VpcUpdate::Topology(_) => ids::TOPOLOGY_SEQUENCE,
        VpcUpdate::Policies(_) => ids::POLICY_SEQUENCE,
    };
    let value = update.sequence.to_string();
    let is_it = |edit: &BridgeEdit| matches!(edit, BridgeEdit::SetConfig(key, text) if key == number && *text == value);
    matches!(item, PlanItem::Database(Step::EditBridge { edits, .. }) if edits.iter().any(is_it))
}
