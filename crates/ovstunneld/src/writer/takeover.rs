//! Takes bridges over from CloudStack's Python plugin.
//!
//! What it does: bridge by bridge, judges what is there, marks and protects it in one transaction, changes the plugin's flows
//! for ours in one bundle, and looks again until nothing is left to do. What it must not do: decide what is the plugin's
//! (`ovstunnel-plan` does), or change a bridge of which any part has to stay.

use std::sync::Arc;

use ovstunnel_ovs::{Command, Db};
use ovstunnel_plan::{
    BridgeName, BridgePlan, ChangeSet, Changed, DesiredBridge, Epoch, Finding, HostFacts, Ipv6Policy, ObservedBridge,
    Plan, PluginTable, Settings, SpanningTree, Step, TransitionFlows, View, carries_tunnels, finish_takeover, ids,
    survey_bridges, takeover_begun, undeclared_uplinks, was_released,
};
use tracing::Instrument;

use super::batch::Desired;
use super::planned::KNOWN_AFTERWARDS;
use super::{Task, WriteError};

/// Looks at one bridge: the change, that it took effect, and one for what somebody changed in between.
const ROUNDS: usize = 3;

/// What became of one bridge, or would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeoverState {
    /// It is ours now, or has lost what was left of the plugin's flows.
    TakenOver,
    /// There was nothing to do.
    Unchanged,
    /// It stays as it is.
    Left,
    /// Something went wrong.
    Failed,
}

/// One bridge in a take-over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenOver {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub state: TakeoverState,
    /// What it is to be, where it is or could be ours.
    pub desired: Option<DesiredBridge>,
    /// Its VM interfaces.
    pub vifs: Vec<String>,
    /// Flows of the plugin's that were found.
    pub plugin_flows: usize,
    /// Flows of others.
    pub other_flows: usize,
    /// The spanning tree in which it was found.
    pub spanning_tree: Option<SpanningTree>,
    /// Addresses of VMs that were announced to the other hosts.
    pub announced: usize,
    /// What was done, in words, or would be.
    pub done: Vec<String>,
    /// What of that was changed, each thing with what it was and what it is, or would be.
    pub changes: Vec<Changed>,
    /// What was left as it is, and why.
    pub left: Vec<String>,
}

/// What a take-over would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlannedTakeover {
    /// The bridges.
    pub bridges: Vec<TakenOver>,
    /// The commands, bridge after bridge.
    pub commands: Vec<Command>,
}

/// One bridge, judged and planned.
struct Judged {
    taken: TakenOver,
    plan: Plan,
    desired: Desired,
    /// The bridge, if it is ours or is to be.
    bridge: Option<ObservedBridge>,
    /// Whether temporary flows may not be laid over it, for they would stand before others' that decide otherwise.
    no_temporary_flows: bool,
}

impl Task {
    /// Takes bridges over: these, or all that are found.
    pub(super) async fn take_over(
        &mut self,
        wanted: &[BridgeName],
        host: &HostFacts,
        epoch: Option<Epoch>,
    ) -> Result<Vec<TakenOver>, WriteError> {
        let _turn = self.executor.ready_turn().await?;
        self.executor.admit_write(epoch).await?;
        let mut bridges = Vec::new();
        for name in self.takeover_candidates(wanted) {
            bridges.push(self.take_over_bridge(&name, host).await);
        }
        bridges.extend(self.released_bridges(wanted));
        Ok(bridges)
    }

    /// What a take-over would do.
    pub(super) async fn plan_take_over(
        &self,
        wanted: &[BridgeName],
        host: &HostFacts,
    ) -> Result<PlannedTakeover, WriteError> {
        if let Some(reason) = self.executor.switch.watch_health().borrow().first_trouble() {
            return Err(WriteError::Unavailable(reason.to_owned()));
        }
        let mut planned = PlannedTakeover::default();
        for name in self.takeover_candidates(wanted) {
            let Judged { mut taken, plan, bridge, no_temporary_flows, .. } = self.judge_bridge(&name, host).await;
            let over = bridge.filter(|_| !no_temporary_flows && plan.database_steps().any(Step::forgets_addresses));
            let mut printed = match over {
                Some(bridge) => self.executor.switch.print_under_transition(&bridge, &plan).await,
                None => self.executor.switch.print_plan(&plan).await,
            };
            if !plan.is_empty() {
                printed
                    .afterwards
                    .push(format!("bridge {name}: which of its VMs are announced, by `ovs-ofctl bundle`"));
            }
            taken.done = plan.items().map(|item| item.to_string()).collect();
            // Between the two it is looked whether the flows have gone.
            if plan.bridges().iter().any(takes_plugin_flows)
                && let Ok(bridge) = name.parse()
            {
                let finish = finish_takeover(&bridge);
                taken.done.extend(finish.items().map(|item| item.to_string()));
                printed.extend(self.executor.switch.print_plan(&finish).await);
            }
            taken.changes = self.executor.changes_of(&plan).concat();
            taken.done.extend(printed.afterwards.into_iter().map(|words| format!("{KNOWN_AFTERWARDS}{words}")));
            planned.commands.extend(printed.commands);
            planned.bridges.push(taken);
        }
        planned.bridges.extend(self.released_bridges(wanted));
        Ok(planned)
    }

    /// Ends the take-overs that were begun by someone who died. The turn to write is the caller's.
    pub(super) async fn finish_take_overs(&mut self) -> Vec<TakenOver> {
        let begun: Vec<String> = self.executor.switch.observer().read(|db| {
            let view = db.view();
            let bridges = db.bridge_names().into_iter().filter_map(|name| view.bare_bridge(&name));
            bridges.filter(takeover_begun).map(|bridge| bridge.name).collect()
        });
        let mut bridges = Vec::new();
        for name in begun {
            // They are ours already: what may become so is not asked again.
            bridges.push(self.take_over_bridge(&name, &HostFacts::default()).await);
        }
        bridges
    }

    async fn take_over_bridge(&mut self, name: &str, host: &HostFacts) -> TakenOver {
        let span = tracing::error_span!("takeover", bridge = name);
        let taken = self.take_over_in_rounds(name, host).instrument(span.clone()).await;
        let TakenOver { done, left, .. } = &taken;
        let _in_span = span.enter();
        match taken.state {
            TakeoverState::Unchanged => tracing::debug!("nothing to take over"),
            TakeoverState::TakenOver => tracing::info!(?done, ?left, "taken over"),
            TakeoverState::Left => tracing::warn!(?left, "left as it is"),
            TakeoverState::Failed => tracing::error!(?done, ?left, "the take-over failed"),
        }
        taken
    }

    async fn take_over_in_rounds(&mut self, name: &str, host: &HostFacts) -> TakenOver {
        let mut first: Option<TakenOver> = None;
        for _ in 0..ROUNDS {
            let Judged { taken, plan, desired, bridge, no_temporary_flows } = self.judge_bridge(name, host).await;
            let told = first.get_or_insert(taken.clone());
            if plan.is_empty() {
                // What the first look found, and what has become of it.
                if taken.state == TakeoverState::Failed {
                    told.state = taken.state;
                    told.left.clone_from(&taken.left);
                }
                if let Some(bridge) = bridge {
                    self.announce_vms(told, &bridge, no_temporary_flows).await;
                }
                return told.clone();
            }
            let over = bridge.as_ref().filter(|_| !no_temporary_flows);
            // The temporary flows must not be laid for nothing.
            let laid = match self.executor.can_begin(over.is_some()).await {
                Ok(()) => self.lay_transition(&plan, over).await,
                Err(error) => {
                    told.state = TakeoverState::Failed;
                    told.left.push(format!("{error}; nothing was changed"));
                    return told.clone();
                }
            };
            // Where that was known only afterwards, the next round plans the rest anew.
            let changes = self.executor.changes_of(&plan);
            let executed = self.executor.write_plan(&plan).await;
            self.executor.remember_desired(desired, &executed);
            // What is not known changes no flow: these end by themselves then.
            if let Some(laid) = laid
                && self.executor.expect_settled().is_ok()
                && let Err(error) = self.executor.switch.lift_transition(name, &laid).await
            {
                tracing::warn!(%error, "temporary flows stay until they end by themselves");
            }
            let failure = executed.failed.as_ref().or_else(|| executed.flows_failed.get(name));
            if let Some(error) = failure {
                told.state = TakeoverState::Failed;
                told.left.push(error.to_string());
                return told.clone();
            }
            let refused = executed
                .refused
                .iter()
                .map(|r| format!("tunnel {}: Open vSwitch refused: {}", r.tunnel.port_name(), r.message));
            told.left.extend(refused);
            told.done.extend(plan.items().map(|item| item.to_string()));
            told.changes.extend(changes.concat());
        }
        let mut told = first.unwrap_or_else(|| nothing_of(name, TakeoverState::Failed, vec![]));
        told.state = TakeoverState::Failed;
        told.left.push("somebody else changes it at the same time; ask again".to_owned());
        told
    }

    /// Lays temporary flows over a bridge that is about to forget what it has learnt. Without them the change is the same,
    /// and frames can be lost or doubled in the moment of it.
    async fn lay_transition(&self, plan: &Plan, bridge: Option<&ObservedBridge>) -> Option<TransitionFlows> {
        let bridge = bridge.filter(|_| plan.database_steps().any(Step::forgets_addresses))?;
        let laid = self.executor.switch.lay_transition(bridge).await;
        if let Err(error) = &laid {
            tracing::warn!(%error, "no temporary flows: frames can be lost in the moment of the take-over");
        }
        laid.ok()
    }

    /// Tells the other hosts where the VMs of a bridge are; where it was in no spanning tree, goes on to do so for a while.
    async fn announce_vms(&mut self, told: &mut TakenOver, bridge: &ObservedBridge, announce_only: bool) {
        match self.executor.switch.announce_vms(bridge, announce_only).await {
            Ok(addresses) => {
                told.announced = addresses;
                if addresses > 0 && !bridge.external_ids.contains_key(ids::STP_ROOT_PORT) {
                    self.announcer.begin_announcing(&self.executor.switch, &bridge.name);
                }
            }
            Err(error) => told.left.push(format!("its VMs are not announced to the other hosts; ask again: {error}")),
        }
    }

    /// The bridges that a take-over is about, by name.
    fn takeover_candidates(&self, wanted: &[BridgeName]) -> Vec<String> {
        if !wanted.is_empty() {
            let mut names: Vec<String> = wanted.iter().map(ToString::to_string).collect();
            names.sort();
            names.dedup();
            return names;
        }
        self.executor.switch.observer().read(|db| {
            let bridges = all_bridges(db);
            let findings = survey_bridges(&bridges, &self.executor.settings);
            let about = |bridge: &ObservedBridge| match findings.get(&bridge.name) {
                Some(Finding::Plugins(_) | Finding::Left(_)) => true,
                Some(Finding::Ours) => DesiredBridge::from_record(bridge).is_some_and(|ours| ours.adopted),
                Some(Finding::Foreign) | None => false,
            };
            let asked = |bridge: &&ObservedBridge| about(bridge) && !was_released(bridge);
            bridges.iter().filter(asked).map(|bridge| bridge.name.clone()).collect()
        })
    }

    /// The bridges that a take-over of all that are found leaves, for somebody has given them back.
    fn released_bridges(&self, wanted: &[BridgeName]) -> Vec<TakenOver> {
        if !wanted.is_empty() {
            return vec![];
        }
        let bridges = self.executor.switch.observer().read(all_bridges);
        let why = |name: &str| format!("it was released; `ovstunnelctl takeover {name}` takes it over again");
        let left = |name: &str| nothing_of(name, TakeoverState::Left, vec![why(name)]);
        bridges.iter().filter(|bridge| was_released(bridge)).map(|bridge| left(&bridge.name)).collect()
    }

    /// Judges one bridge as it is now, and plans for it.
    async fn judge_bridge(&self, name: &str, host: &HostFacts) -> Judged {
        let nothing = |state, left| Judged {
            taken: nothing_of(name, state, left),
            plan: Plan::default(),
            desired: Desired::new(),
            bridge: None,
            no_temporary_flows: true,
        };
        let seen = self.executor.switch.observer().read(|db| {
            let bridges = all_bridges(db);
            let mut finding = survey_bridges(&bridges, &self.executor.settings).remove(name);
            if let Some(Finding::Plugins(_)) = finding
                && let Some(bridge) = bridges.iter().find(|bridge| bridge.name == name)
                && let Some(reasons) = leads_out(&db.view(), bridge, &self.executor.settings, host)
            {
                finding = Some(Finding::Left(reasons));
            }
            bridges.into_iter().find(|bridge| bridge.name == name).zip(finding)
        });
        let Some((bridge, finding)) = seen else {
            return nothing(TakeoverState::Left, vec![format!("there is no bridge {name}")]);
        };
        let desired = match finding {
            Finding::Foreign => {
                let why = "nothing on it is the Python plugin's".to_owned();
                return nothing(TakeoverState::Left, vec![why]);
            }
            Finding::Left(reasons) => return nothing(TakeoverState::Left, reasons),
            Finding::Plugins(desired) => Some(*desired),
            Finding::Ours => None,
        };
        match self.executor.switch.plugin_flows(&bridge, &self.executor.settings).await {
            Ok(table) => {
                let tree = self.executor.switch.spanning_tree(&bridge).await;
                self.plan_bridge_take_over(&bridge, desired, &table, tree)
            }
            Err(error) => nothing(TakeoverState::Failed, vec![format!("its flows could not be read: {error}")]),
        }
    }

    /// Plans for one bridge that is the plugin's (then `plugins` is what it is to be) or ours.
    fn plan_bridge_take_over(
        &self,
        bridge: &ObservedBridge,
        mut plugins: Option<DesiredBridge>,
        table: &PluginTable,
        spanning_tree: Option<SpanningTree>,
    ) -> Judged {
        // What passed before passes after, whatever is configured for new networks.
        let ipv6 = if table.drops_ipv6() { Ipv6Policy::Drop } else { Ipv6Policy::Allow };
        plugins.iter_mut().for_each(|desired| desired.ipv6 = ipv6);
        let mut taken = nothing_of(&bridge.name, TakeoverState::Unchanged, vec![]);
        taken.desired = plugins.clone().or_else(|| DesiredBridge::from_record(bridge));
        taken.vifs = bridge.vifs(&self.executor.settings.vif_prefixes).map(|port| port.name.clone()).collect();
        (taken.plugin_flows, taken.other_flows) = (table.flows.len(), table.others + table.doubtful.len());
        let root_port = spanning_tree.as_ref().and_then(|tree| tree.root_port.clone());
        taken.spanning_tree = spanning_tree;
        let (ours, no_temporary_flows) = (Some(bridge.clone()), table.others_decide);
        let judged = |taken, plan, desired| Judged { taken, plan, desired, bridge: ours, no_temporary_flows };
        if let Some(port) = table.breaks_split_horizon(bridge, &self.executor.settings) {
            let why = "a flow with priority 1100 sends to port";
            let past = "which is a tunnel: past `protected`, which acts on NORMAL only; delete that flow first";
            taken.state = TakeoverState::Left;
            taken.left.push(format!("{why} {port}, {past}"));
            return judged(taken, Plan::default(), Desired::new());
        }
        let stays = |flow: &ovstunnel_plan::PluginFlow| {
            let matched = flow.to_string().replace("cookie=0x0/-1,table=0,", "");
            format!("flow {matched}: has the plugin's form, and not the ports that go with it")
        };
        taken.left.extend(table.doubtful.iter().map(stays));
        let Ok(name) = bridge.name.parse::<BridgeName>() else { return judged(taken, Plan::default(), Desired::new()) };
        let (plan, desired) = self.executor.switch.observer().read(|db| {
            let (view, mut change_set) = (db.view(), ChangeSet::with_cache(&self.executor.cache));
            change_set.take_over(&view, &name, plugins, table.flows.clone());
            if let Some(port) = root_port {
                change_set.keep_root_port(&view, &name, port);
            }
            (self.executor.plan_change_set(&change_set), change_set.into_desired())
        });
        if !plan.is_empty() {
            taken.state = TakeoverState::TakenOver;
        }
        judged(taken, plan, desired)
    }
}

/// Why a bridge must not become ours although all on it is the plugin's or a VM's; nothing where it may.
fn leads_out(view: &dyn View, bridge: &ObservedBridge, settings: &Settings, host: &HostFacts) -> Option<Vec<String>> {
    let carries = carries_tunnels(view, &bridge.name, host).map(|why| format!("it carries the tunnels ({why})"));
    let uplink = DesiredBridge::from_record(bridge).and_then(|ours| ours.uplink);
    let ways = undeclared_uplinks(bridge, uplink.as_ref(), settings, host).into_iter();
    let ways = ways.map(|(port, way)| format!("port {port} is {way}: beside tunnels it can close a loop; take it off"));
    let reasons: Vec<String> = carries.into_iter().chain(ways).collect();
    (!reasons.is_empty()).then_some(reasons)
}

/// Whether it takes flows of the plugin's from a bridge: then its take-over ends in a transaction of its own.
fn takes_plugin_flows(plan: &BridgePlan) -> bool {
    plan.flows_after.as_ref().is_some_and(|change| !change.plugins.is_empty())
}

fn all_bridges(db: &Db) -> Vec<ObservedBridge> {
    let view = db.view();
    db.bridge_names().into_iter().filter_map(|name| view.bridge(&name)).map(Arc::unwrap_or_clone).collect()
}

fn nothing_of(name: &str, state: TakeoverState, left: Vec<String>) -> TakenOver {
    TakenOver {
        name: name.to_owned(),
        state,
        desired: None,
        vifs: vec![],
        plugin_flows: 0,
        other_flows: 0,
        spanning_tree: None,
        announced: 0,
        done: vec![],
        changes: vec![],
        left,
    }
}
