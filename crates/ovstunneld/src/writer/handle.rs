//! How callers reach the writer: a handle that sends and waits. Must not decide anything.

use std::sync::Arc;
use std::time::Duration;

use ovstunnel_ovs::Switch;
use ovstunnel_plan::{BridgeName, Change, DesiredCache, Epoch, HostFacts, Outcome, Probe, Settings};
use tokio::sync::{mpsc, watch};
use tracing::Span;

use super::{
    AskedFor, BEYOND, Done, Executor, FlowTable, Message, Planned, PlannedTakeover, Probing, Progress, QUEUE, Queue,
    Repairing, Report, Runs, Suspects, TakenOver, Task, Tuned, Tuning, Unsettled, Vif, Wanted, WriteError, announcer,
    retry, unplaced,
};
use crate::metrics::Metrics;
use crate::writer::lock::WriterLock;

/// How callers reach the writer.
#[derive(Clone, Debug)]
pub struct Writer {
    pub(super) queue: mpsc::Sender<Message>,
    pub(super) flows: FlowTable,
    pub(super) reconciled: watch::Receiver<Option<u64>>,
    pub(super) runs: Runs,
    pub(super) progress: Progress,
    pub(super) unsettled: Unsettled,
    /// Within which each request is answered.
    pub(super) deadline: Duration,
    pub(super) suspects: Suspects,
    pub(super) repairing: Repairing,
    pub(super) tuning: Arc<watch::Sender<Tuning>>,
    /// The epoch under which its caller writes.
    pub(super) epoch: Option<Epoch>,
    pub(super) asked_for: AskedFor,
}

impl Writer {
    /// Starts the writer's task. It ends, with all it was given done, when the last handle is gone.
    pub fn start(
        switch: Switch,
        settings: Settings,
        interval: Duration,
        metrics: Metrics,
        lock: WriterLock,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, messages) = mpsc::channel(QUEUE);
        let (reconciled, reconciled_at) = watch::channel(None);
        let flows = FlowTable::default();
        let (runs, progress, unsettled) = (Runs::default(), Progress::default(), Unsettled::default());
        let (suspects, repairing) = (Suspects::default(), Repairing::default());
        let tuning = Tuning { settings: Arc::new(settings), interval };
        let deadline = switch.timeout() + BEYOND;
        let executor = Executor {
            switch,
            settings: Arc::clone(&tuning.settings),
            flows: flows.clone(),
            cache: DesiredCache::default(),
            reconciled,
            resync: retry::Retry::default(),
            unsettled: unsettled.clone(),
            settling: retry::Retry::default(),
            unplaced: unplaced::Unplaced::default(),
            batches: 0,
            metrics,
            progress: progress.clone(),
            lock,
        };
        let task = Task {
            executor,
            queue: Queue::new(messages),
            runs: runs.clone(),
            tunnel_retry: retry::Retry::default(),
            announcer: announcer::Announcer::default(),
            armed: super::probe::Armed::default(),
            suspects: suspects.clone(),
            repairing: repairing.clone(),
            after_request: false,
        };
        let (tuning, tuned) = watch::channel(tuning);
        let running = tokio::spawn(task.run(tuned));
        let tuning = Arc::new(tuning);
        let reconciled = reconciled_at;
        let epoch = None;
        let writer = Writer {
            queue,
            flows,
            reconciled,
            runs,
            progress,
            unsettled,
            deadline,
            suspects,
            repairing,
            tuning,
            epoch,
            asked_for: AskedFor::default(),
        };
        (writer, running)
    }

    /// Has a change carried out. If the caller goes away meanwhile, it is carried out all the same.
    ///
    /// # Errors
    /// Why it was not, or what is known of its outcome.
    pub async fn submit_change(&self, change: Change, id: String) -> Result<Done, WriteError> {
        let span = Span::current();
        // Before it waits for its turn: a removal that is behind it must know.
        self.asked_for.note_request(&change);
        self.ask_writer(|ticket, reply| Message::Change { change, id, span, wanted: Wanted::Execution(ticket, reply) })
            .await
    }

    /// Says what a change would do, and does nothing.
    ///
    /// # Errors
    /// Why it would be rejected.
    pub async fn plan_change(&self, change: Change) -> Result<Planned, WriteError> {
        let (id, span) = (String::new(), Span::current());
        self.ask_writer(|_, reply| Message::Change { change, id, span, wanted: Wanted::Plan(reply) }).await
    }

    /// Looks at every managed bridge and repairs it.
    ///
    /// # Errors
    /// When the writer has ended.
    pub async fn reconcile(&self) -> Result<Report, WriteError> {
        let span = Span::current();
        self.ask_writer(|ticket, reply| Message::Reconcile { span, wanted: Wanted::Execution(ticket, reply) }).await
    }

    /// Says what a repair would do, and does nothing.
    ///
    /// # Errors
    /// When the switch cannot be reached or read.
    pub async fn plan_reconcile(&self) -> Result<Planned, WriteError> {
        let span = Span::current();
        self.ask_writer(|_, reply| Message::Reconcile { span, wanted: Wanted::Plan(reply) }).await
    }

    /// Takes bridges over from the Python plugin: these, or all that are found.
    ///
    /// # Errors
    /// When the switch cannot be reached; what went wrong with single bridges is told of each.
    pub async fn take_over(&self, bridges: Vec<BridgeName>, host: HostFacts) -> Result<Vec<TakenOver>, WriteError> {
        let span = Span::current();
        self.ask_writer(|ticket, reply| Message::TakeOver {
            bridges,
            host,
            span,
            wanted: Wanted::Execution(ticket, reply),
        })
        .await
    }

    /// Says what a take-over would do, and does nothing.
    ///
    /// # Errors
    /// When the switch cannot be reached.
    pub async fn plan_take_over(
        &self,
        bridges: Vec<BridgeName>,
        host: HostFacts,
    ) -> Result<PlannedTakeover, WriteError> {
        let span = Span::current();
        self.ask_writer(|_, reply| Message::TakeOver { bridges, host, span, wanted: Wanted::Plan(reply) }).await
    }

    /// Records an epoch, or has none recorded any more.
    ///
    /// # Errors
    /// Where a newer one or that of another zone is recorded; when the switch cannot be reached.
    pub async fn record_epoch(&self, epoch: Option<Epoch>) -> Result<Outcome, WriteError> {
        let span = Span::current();
        self.ask_writer(|ticket, reply| Message::Epoch { epoch, span, wanted: Wanted::Execution(ticket, reply) }).await
    }

    /// The epoch under which its caller writes, if any; it is recorded now, where it was not. For a change of something else than the
    /// switch, which the writer does not make.
    ///
    /// # Errors
    /// Where a newer one or that of another zone is recorded; when the switch cannot be reached.
    pub async fn admit_epoch(&self) -> Result<Option<Epoch>, WriteError> {
        if let Some(epoch) = self.epoch {
            self.record_epoch(Some(epoch)).await?;
        }
        Ok(self.epoch)
    }

    /// Says what recording an epoch, or clearing it, would do, and does nothing.
    ///
    /// # Errors
    /// As recording it has.
    pub async fn plan_epoch(&self, epoch: Option<Epoch>) -> Result<Planned, WriteError> {
        let span = Span::current();
        self.ask_writer(|_, reply| Message::Epoch { epoch, span, wanted: Wanted::Plan(reply) }).await
    }

    /// Arms a probe of tunnels, or sends its frames; gives the tunnels that it is of.
    ///
    /// # Errors
    /// Why it was not, or what is known of its outcome.
    pub(crate) async fn probe_tunnels(&self, asked: Probing) -> Result<Probe, WriteError> {
        let span = Span::current();
        self.ask_writer(|ticket, reply| Message::Probe { asked, span, ticket, reply }).await
    }

    /// Looks at the bridge of a VIF of which there are news.
    ///
    /// # Errors
    /// When the switch cannot be reached, or its flows could not be put in order.
    pub async fn handle_vif(&self, vif: Vif) -> Result<Outcome, WriteError> {
        let span = Span::current();
        self.ask_writer(|ticket, reply| Message::Vif { vif, span, wanted: Wanted::Execution(ticket, reply) }).await
    }

    /// Says what news of a VIF would have done, and does nothing.
    ///
    /// # Errors
    /// When the switch cannot be reached or read.
    pub async fn plan_vif(&self, vif: Vif) -> Result<Planned, WriteError> {
        let span = Span::current();
        self.ask_writer(|_, reply| Message::Vif { vif, span, wanted: Wanted::Plan(reply) }).await
    }

    pub(super) async fn send_message(&self, message: Message) -> Result<(), WriteError> {
        self.queue.send(message).await.map_err(|_| WriteError::Ended)
    }

    /// What the configuration says about networks.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.tuning.borrow().settings)
    }

    /// Other settings, and another time between two looks, from now on: every bridge is looked at, and follows them. Where
    /// nothing differs nothing happens.
    pub fn set_tuning(&self, settings: Settings, interval: Duration) {
        self.tuning.send_if_modified(|tuning| {
            // What is known of the underlay is no part of the configuration.
            let settings = Settings { underlay: tuning.settings.underlay.clone(), ..settings.clone() };
            let new = Tuning { settings: Arc::new(settings), interval };
            std::mem::replace(tuning, new.clone()) != new
        });
    }

    /// For whoever follows the underlay. Does not keep the writer from ending.
    pub fn tuned(&self) -> Tuned {
        Tuned::new(Arc::clone(&self.tuning))
    }

    /// What it goes by, now and from now on.
    pub(crate) fn watch_tuning(&self) -> watch::Receiver<Tuning> {
        self.tuning.subscribe()
    }

    /// Whether the writer gets on.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Why nothing is written at present, where what became of a change is not known.
    pub fn unsettled_reason(&self) -> Option<String> {
        self.unsettled.reason()
    }

    /// What is known of our flows.
    pub fn flow_table(&self) -> &FlowTable {
        &self.flows
    }

    /// What was found when everything was last looked at.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// The start of `ovs-vswitchd` under which everything was last reconciled, if any.
    pub fn reconciled_start(&self) -> Option<u64> {
        *self.reconciled.borrow()
    }

    /// Waits until everything was reconciled once, or the writer has ended. Does not keep the writer from ending.
    pub fn until_reconciled(&self) -> impl Future<Output = ()> + use<> {
        let mut reconciled = self.reconciled.clone();
        async move { drop(reconciled.wait_for(Option::is_some).await) }
    }
}
