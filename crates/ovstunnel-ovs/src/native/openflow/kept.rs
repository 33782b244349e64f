//! A connection that is kept, and the task that owns it.
//!
//! What it does: carries out what is asked of it, one thing after the other, and meanwhile takes what the switch tells unasked. What it
//! must not do: go on where an answer was not waited for: what was sent may have taken effect or may yet.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use tokio::sync::{Notify, mpsc, oneshot};

use super::connection::{Answers, Connection};
use super::monitor;
use super::wire::kind;

/// Things that wait for their turn on one connection. Whoever comes then waits, too.
const WAITING: usize = 8;

/// What was told and not yet taken when something is asked: more of it waits until that was answered.
const AT_ONCE: usize = 64;

/// What is asked.
#[derive(Debug)]
pub(super) enum Ask {
    /// One message, of a kind.
    Message(u8, Vec<u8>),
    /// Changes of flows, as one; with the body of a question that is asked behind them.
    Bundle(Vec<Vec<u8>>, Vec<u8>),
    /// That changes of flows are told from now on.
    Monitor,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The connection had ended already: it was not sent.
    NotSent(Ask),
    /// It broke meanwhile.
    Broke(io::Error),
}

/// What flow monitors have told and nobody has taken yet.
#[derive(Clone, Debug, Default)]
pub struct FlowNews(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    noted: Mutex<BTreeMap<String, FlowsTold>>,
    wake: Notify,
    /// Moments in the life of all monitors; no number comes twice.
    seqnos: AtomicU64,
}

/// What was told of a bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowsTold {
    /// Flows of ours may be others.
    pub ours: bool,
    /// Flows of others are others.
    pub others: bool,
    /// Nothing is told any more, or for now, for this reason.
    pub ended: Option<String>,
}

impl FlowNews {
    /// Waits until something was told.
    pub async fn wait_noted(&self) {
        self.0.wake.notified().await;
    }

    /// What was told since it was last taken, by bridge.
    pub fn take_news(&self) -> BTreeMap<String, FlowsTold> {
        std::mem::take(&mut self.0.noted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note_change(&self, bridge: &str, change: impl FnOnce(&mut FlowsTold)) {
        change(self.0.noted.lock().unwrap_or_else(PoisonError::into_inner).entry(bridge.to_owned()).or_default());
        self.0.wake.notify_one();
    }

    fn next_seqno(&self) -> u64 {
        self.0.seqnos.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A connection that is kept. It ends when all clones of this are gone.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    asks: mpsc::Sender<(Ask, Reply)>,
    /// The seqno of the monitor; 0 while nothing is told.
    seqno: Arc<AtomicU64>,
}

type Reply = oneshot::Sender<Result<Answers, Unanswered>>;

impl Kept {
    /// Keeps a connection to a bridge.
    pub fn new(bridge: &str, connection: Connection, news: FlowNews) -> Self {
        let (asks, asked) = mpsc::channel(WAITING);
        let seqno = Arc::<AtomicU64>::default();
        let owner = Owner { bridge: bridge.to_owned(), connection, seqno: Arc::clone(&seqno), news };
        tokio::spawn(owner.run(asked));
        Kept { asks, seqno }
    }

    /// Whether the connection has ended.
    pub fn has_ended(&self) -> bool {
        self.asks.is_closed()
    }

    /// The seqno of its monitor: the same as long as no flow of ours was changed by others. Nothing where that is not told.
    pub fn monitor_seqno(&self) -> Option<u64> {
        Some(self.seqno.load(Ordering::Acquire)).filter(|seqno| *seqno != 0)
    }

    /// Asks, and waits for the answer. Whoever does not wait for it ends the connection.
    pub async fn send_question(&self, ask: Ask) -> Result<Answers, Unanswered> {
        let (reply, answer) = oneshot::channel();
        if let Err(mpsc::error::SendError((ask, _))) = self.asks.send((ask, reply)).await {
            return Err(Unanswered::NotSent(ask));
        }
        let gone = || Unanswered::Broke(io::Error::new(io::ErrorKind::UnexpectedEof, "it has ended"));
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

struct Owner {
    bridge: String,
    connection: Connection,
    seqno: Arc<AtomicU64>,
    news: FlowNews,
}

impl Owner {
    async fn run(mut self, mut asked: mpsc::Receiver<(Ask, Reply)>) {
        let ended = self.serve_questions(&mut asked).await;
        let watched = self.seqno.swap(0, Ordering::AcqRel) != 0;
        if let (true, Some(reason)) = (watched, ended) {
            self.news.note_change(&self.bridge, |told| told.ended = Some(reason));
        }
        asked.close();
        while let Some((ask, reply)) = asked.recv().await {
            drop(reply.send(Err(Unanswered::NotSent(ask))));
        }
    }

    /// Serves until the connection ends, and says why; without a reason where nobody keeps it any more.
    async fn serve_questions(&mut self, asked: &mut mpsc::Receiver<(Ask, Reply)>) -> Option<String> {
        loop {
            tokio::select! {
                told = self.connection.next_update() => match told {
                    Ok(body) => self.take_update(&body),
                    Err(error) => return Some(error.to_string()),
                },
                asked = asked.recv() => {
                    let (ask, reply) = asked?;
                    // A switch that has ended is sent nothing.
                    if let Err(error) = self.take_what_came() {
                        drop(reply.send(Err(Unanswered::NotSent(ask))));
                        return Some(error.to_string());
                    }
                    if let Err(reason) = self.answer_question(ask, reply).await {
                        return Some(reason);
                    }
                }
            }
        }
    }

    /// Takes what has come by now, an end too.
    fn take_what_came(&mut self) -> io::Result<()> {
        for _ in 0..AT_ONCE {
            let Some(told) = self.connection.next_update().now_or_never() else { break };
            self.take_update(&told?);
        }
        Ok(())
    }

    /// Carries out what is asked; an error is the reason why the connection is of no use any more.
    async fn answer_question(&mut self, ask: Ask, mut reply: Reply) -> Result<(), String> {
        let monitors = matches!(ask, Ask::Monitor);
        let answers = tokio::select! {
            biased;
            answers = run_question(&mut self.connection, ask) => answers,
            () = reply.closed() => return Err("an answer was not waited for".to_owned()),
        };
        let (answered, result) = match answers {
            Ok(answers) => {
                answers.updates.iter().for_each(|body| self.take_update(body));
                if monitors && answers.error.is_none() {
                    self.seqno.store(self.news.next_seqno(), Ordering::Release);
                }
                (Ok(answers), Ok(()))
            }
            Err(error) => {
                let reason = error.to_string();
                (Err(Unanswered::Broke(error)), Err(reason))
            }
        };
        drop(reply.send(answered));
        result
    }

    /// Takes what a monitor has told.
    fn take_update(&self, body: &[u8]) {
        let monitor::Told { ours, others, paused, resumed } = monitor::parse_updates(body);
        if paused {
            self.seqno.store(0, Ordering::Release);
            let words = "Open vSwitch has paused it: what it told was not taken fast enough";
            self.news.note_change(&self.bridge, |told| told.ended = Some(words.to_owned()));
        }
        let watched = resumed || self.load_seqno().is_some();
        if watched && (ours || resumed) {
            self.seqno.store(self.news.next_seqno(), Ordering::Release);
        }
        if watched && (ours || others || resumed) {
            self.news.note_change(&self.bridge, |told| {
                told.ours |= ours || resumed;
                told.others |= others || resumed;
            });
        }
    }

    fn load_seqno(&self) -> Option<u64> {
        Some(self.seqno.load(Ordering::Acquire)).filter(|seqno| *seqno != 0)
    }
}

async fn run_question(connection: &mut Connection, ask: Ask) -> io::Result<Answers> {
    match ask {
        Ask::Message(kind, body) => connection.send_request(kind, &body).await,
        Ask::Monitor => connection.send_request(kind::MULTIPART_REQUEST, &monitor::monitor_request_body()).await,
        Ask::Bundle(bodies, then) => connection.send_bundle(&bodies, &then).await,
    }
}
