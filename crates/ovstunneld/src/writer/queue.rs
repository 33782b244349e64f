//! What waits for the writer: requests in their order.
//!
//! What it does: takes requests up as they arrive, and gives them out again. What it must not do: carry one out, or decide which
//! can be carried out together (`batch` does).

use std::collections::VecDeque;

use ovstunnel_plan::{BridgeName, Change, Epoch, HostFacts, Outcome, Probe};
use tokio::sync::{mpsc, oneshot};
use tracing::Span;

use super::{Done, Planned, PlannedTakeover, Probing, Report, TakenOver, Ticket, Vif, WriteError};

/// Requests that may wait; further ones wait in their handlers.
pub(super) const QUEUE: usize = 1024;

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, WriteError>>;

/// What a caller wants of a request: that it is carried out, or to know what it would do. Each has an answer of its own type, so
/// that none can be taken for the other.
#[derive(Debug)]
pub(crate) enum Wanted<T, P = Planned> {
    /// It is carried out, unless nobody waits for it any more by then.
    Execution(Ticket, Reply<T>),
    /// A dry run: nothing is changed.
    Plan(Reply<P>),
}

/// What a caller wants of the writer.
#[derive(Debug)]
pub(crate) enum Message {
    Change {
        change: Change,
        /// Under which the log speaks of it.
        id: String,
        span: Span,
        wanted: Wanted<Done>,
    },
    Reconcile {
        span: Span,
        wanted: Wanted<Report>,
    },
    TakeOver {
        bridges: Vec<BridgeName>,
        host: HostFacts,
        span: Span,
        wanted: Wanted<Vec<TakenOver>, PlannedTakeover>,
    },
    /// An epoch is to be recorded, or none any more.
    Epoch {
        epoch: Option<Epoch>,
        span: Span,
        wanted: Wanted<Outcome>,
    },
    /// A probe of tunnels.
    Probe {
        asked: Probing,
        span: Span,
        ticket: Ticket,
        reply: Reply<Probe>,
    },
    /// A VIF came or went: look.
    Vif {
        vif: Vif,
        span: Span,
        wanted: Wanted<Outcome>,
    },
}

/// A change that is carried out.
#[derive(Debug)]
pub(crate) struct Job {
    pub change: Change,
    pub id: String,
    pub span: Span,
    pub ticket: Ticket,
    pub reply: Reply<Done>,
}

/// An event of a VIF that is followed.
#[derive(Debug)]
pub(crate) struct VifEvent {
    pub vif: Vif,
    /// The epoch under which it is told.
    pub epoch: Option<Epoch>,
    pub span: Span,
    pub reply: Reply<Outcome>,
}

/// The requests that wait, in order.
#[derive(Debug)]
pub(super) struct Queue {
    messages: mpsc::Receiver<Message>,
    /// What has arrived and is not begun.
    inbox: VecDeque<Message>,
}

impl Queue {
    pub fn new(messages: mpsc::Receiver<Message>) -> Self {
        Queue { messages, inbox: VecDeque::new() }
    }

    /// Waits until something is there, with all that has arrived behind it; false where nobody can send any more.
    pub async fn wait_arrived(&mut self) -> bool {
        if self.inbox.is_empty() {
            match self.messages.recv().await {
                Some(message) => self.inbox.push_back(message),
                None => return false,
            }
        }
        while self.inbox.len() < QUEUE
            && let Ok(message) = self.messages.try_recv()
        {
            self.inbox.push_back(message);
        }
        true
    }

    /// The first one.
    pub fn pop(&mut self) -> Option<Message> {
        self.inbox.pop_front()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.inbox.is_empty()
    }

    /// All of them; whoever takes them puts back what they leave, in order.
    pub fn take_all(&mut self) -> VecDeque<Message> {
        std::mem::take(&mut self.inbox)
    }

    /// Puts one back behind the others.
    pub fn put_back(&mut self, message: Message) {
        self.inbox.push_back(message);
    }

    /// All events of VIFs that are to be followed and for which somebody still waits.
    pub fn take_vif_events(&mut self) -> Vec<VifEvent> {
        let mut news = Vec::new();
        for message in self.take_all() {
            match message {
                Message::Vif { vif, span, wanted: Wanted::Execution(ticket, reply) } => {
                    let epoch = ticket.epoch();
                    news.extend(ticket.try_begin().then_some(VifEvent { vif, epoch, span, reply }));
                }
                other => self.put_back(other),
            }
        }
        news
    }
}
