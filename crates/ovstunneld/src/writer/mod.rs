//! The single writer: one task through which every change of the switch goes.
//!
//! What it does: queues requests, carries out those that do not touch each other in one transaction, gives each caller an
//! answer of its own, and repairs what drifts. What it must not do: know HTTP.

mod announcer;
mod answer;
mod asked_for;
mod batch;
pub(crate) mod changed_bridges;
mod execute;
mod executed;
mod executor;
mod fence;
mod flow_change;
mod flow_table;
mod handle;
pub(crate) mod lock;
mod outcome;
mod planned;
mod probe;
mod progress;
mod queue;
mod read_flows;
mod refused_bridge;
mod repair;
mod repairs;
mod retry;
mod runs;
mod suspects;
mod takeover;
mod ticket;
mod tuned;
mod unplaced;
mod vif;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ovstunnel_plan::Settings;
use tokio::sync::watch;
use tracing::Instrument;

use executor::Executor;

pub use answer::{Done, Planned, Refusal, Seen, WriteError};
pub(crate) use asked_for::AskedFor;
pub(crate) use fence::recorded_epoch;
pub use flow_table::FlowTable;
pub(crate) use flow_table::Still;
pub use handle::Writer;
pub use outcome::Unsettled;
pub(crate) use probe::{ProbeAct, Probing};
pub use progress::Progress;
pub(crate) use queue::Message;
use queue::{Job, QUEUE, Queue, VifEvent, Wanted};
pub use repair::Report;
pub use runs::{Run, Runs};
pub(crate) use suspects::{Repairing, Suspects, Suspicion, Watched, needed_settings, ports_of_ours};
use ticket::Ticket;

pub use takeover::{PlannedTakeover, TakenOver, TakeoverState};
pub use ticket::BEYOND;
pub use tuned::Tuned;
pub use vif::Vif;

/// What can be changed while the writer runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tuning {
    pub settings: Arc<Settings>,
    pub interval: Duration,
}

/// The writer's task: takes requests from the queue, sees what has to be looked at again, and has the executor do it.
struct Task {
    executor: Executor,
    queue: Queue,
    runs: Runs,
    /// When Open vSwitch is asked to try tunnels in error again.
    tunnel_retry: retry::Retry,
    /// Tells other hosts where VMs of bridges are that were taken over.
    announcer: announcer::Announcer,
    /// Probes that are armed here.
    armed: probe::Armed,
    /// Bridges of which the switch itself says that something was changed there.
    suspects: Suspects,
    repairing: Repairing,
    /// A request was the last thing that was done.
    after_request: bool,
}

impl Task {
    async fn run(mut self, mut tuning: watch::Receiver<Tuning>) {
        let observer = self.executor.switch.observer().clone();
        let (mut revision, mut health) = (observer.watch_revision(), observer.watch_health());
        let mut before = tuning.borrow_and_update().clone();
        let mut tick = interval_of(before.interval);
        loop {
            self.executor.progress.set_idle();
            // Requests go first; between two of them there is room for one thing that the switch or the clock calls for.
            let (after_request, now) = (std::mem::take(&mut self.after_request), std::future::ready(()));
            tokio::select! {
                biased;
                there = self.queue.wait_arrived(), if !after_request => match there {
                    true => self.take_next().await,
                    false => return,
                },
                Ok(()) = health.changed() => self.health_changed().await,
                Ok(()) = tuning.changed() => {
                    let now = tuning.borrow_and_update().clone();
                    self.executor.settings = Arc::clone(&now.settings);
                    match now.differs_in_underlay_only(&before) {
                        true if now.concerns_bridges(&before) => self.follow_underlay().await,
                        true => {}
                        // Its first tick is at once: every bridge is looked at.
                        false => tick = interval_of(now.interval),
                    }
                    before = now;
                }
                () = self.executor.settling.wait_due() => self.ask_again().await,
                () = self.tunnel_retry.wait_due() => self.try_again().await,
                () = self.executor.resync.wait_due() => drop(self.reconcile_all("something failed").await),
                _ = tick.tick() => drop(self.reconcile_all("the interval has passed").await),
                Ok(()) = revision.changed() => {
                    revision.borrow_and_update();
                    self.switch_changed().await;
                }
                () = self.suspects.wait_noted() => self.look_at_suspects().await,
                () = now, if after_request => {}
            }
        }
    }

    /// Takes the first message, and those of the others that can be carried out with it.
    async fn take_next(&mut self) {
        self.after_request = true;
        let Some(message) = self.queue.pop() else { return };
        match message {
            Message::Change { change, id, span, wanted: Wanted::Execution(ticket, reply) } if ticket.try_begin() => {
                let batch = self.batch_with(Job { change, id, span, ticket, reply });
                self.executor.carry_out(batch).await;
                // Whoever was answered runs next on this thread, and no other can take it over: it goes before what follows.
                tokio::task::yield_now().await;
                // However many requests wait, a VIF that was plugged meanwhile gets its rules now.
                self.switch_changed().await;
            }
            Message::Reconcile { span, wanted: Wanted::Execution(ticket, reply) } if ticket.try_begin() => {
                let began = Instant::now();
                let report = self.reconcile_under(ticket.epoch()).instrument(span).await;
                ticket.report_work(began);
                drop(reply.send(report));
            }
            Message::TakeOver { bridges, host, span, wanted: Wanted::Execution(ticket, reply) }
                if ticket.try_begin() =>
            {
                let began = Instant::now();
                let taken = self.take_over(&bridges, &host, ticket.epoch()).instrument(span).await;
                ticket.report_work(began);
                drop(reply.send(taken));
                self.switch_changed().await;
            }
            Message::Vif { vif, span, wanted: Wanted::Execution(ticket, reply) } => {
                let epoch = ticket.epoch();
                let first = ticket.try_begin().then_some(VifEvent { vif, epoch, span, reply });
                self.follow_vif_events(first).await;
            }
            Message::Epoch { epoch, span, wanted: Wanted::Execution(ticket, reply) } if ticket.try_begin() => {
                let began = Instant::now();
                let recorded = self.executor.set_epoch(epoch, ticket.epoch()).instrument(span).await;
                ticket.report_work(began);
                drop(reply.send(recorded));
            }
            Message::Probe { asked, span, ticket, reply } if ticket.try_begin() => {
                let began = Instant::now();
                let probed = self.run_probe(&asked, ticket.epoch()).instrument(span).await;
                ticket.report_work(began);
                drop(reply.send(probed));
            }
            // Its caller has been told that it is not carried out.
            Message::Change { wanted: Wanted::Execution(..), .. }
            | Message::Reconcile { wanted: Wanted::Execution(..), .. }
            | Message::TakeOver { wanted: Wanted::Execution(..), .. }
            | Message::Epoch { wanted: Wanted::Execution(..), .. }
            | Message::Probe { .. } => {}
            Message::Change { change, wanted: Wanted::Plan(reply), .. } => {
                drop(reply.send(self.executor.plan_change(&change).await))
            }
            Message::Reconcile { wanted: Wanted::Plan(reply), .. } => drop(reply.send(self.plan_repairs().await)),
            Message::TakeOver { bridges, host, wanted: Wanted::Plan(reply), .. } => {
                drop(reply.send(self.plan_take_over(&bridges, &host).await));
            }
            Message::Epoch { epoch, wanted: Wanted::Plan(reply), .. } => {
                drop(reply.send(self.executor.plan_epoch(epoch)))
            }
            Message::Vif { vif, wanted: Wanted::Plan(reply), .. } => drop(reply.send(self.plan_vif(&vif).await)),
        }
    }

    async fn health_changed(&mut self) {
        if self.executor.switch.watch_health().borrow().is_hanging() {
            // What was cut short may have been done, and what became due is left out: a whole look is due once it answers.
            self.executor.reconciled.send_if_modified(|reconciled| reconciled.take().is_some());
        }
        self.settle_outcome().await;
        if matches!(self.known(), Known::Nothing | Known::LookFailed) {
            drop(self.reconcile_all("Open vSwitch has come up").await);
        }
        // What changed while it could not be reached.
        self.repair_touched().await;
    }

    /// Follows what has changed. Of a switch that has just come up nothing is known, and to follow single changes would be
    /// to write what may be there already: all of it is looked at first. Where that has failed it is tried again in its
    /// own time, and meanwhile what changes is followed.
    async fn switch_changed(&mut self) {
        self.settle_outcome().await;
        if self.known() == Known::Nothing {
            drop(self.reconcile_all("Open vSwitch has come up").await);
        }
        self.repair_touched().await;
    }

    /// Asks once: between two questions the switch may come up.
    fn known(&self) -> Known {
        let health = self.executor.switch.watch_health().borrow().clone();
        self.executor.flows.enter_generation(health.generation);
        if health.first_trouble().is_some() {
            Known::Away
        } else if *self.executor.reconciled.borrow() == Some(health.generation) {
            Known::All
        } else if self.executor.resync.is_waiting() {
            Known::LookFailed
        } else {
            Known::Nothing
        }
    }
}

/// What is known of the switch as it runs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// It cannot be worked with.
    Away,
    /// It has come up, and was not looked at.
    Nothing,
    /// It has come up, and a look has failed, which is tried again in its own time.
    LookFailed,
    /// All of it was looked at since it came up.
    All,
}

fn interval_of(interval: Duration) -> tokio::time::Interval {
    let mut tick = tokio::time::interval(interval);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tick
}
