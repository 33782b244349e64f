//! Rounds in which hosts are asked what their tunnels have counted.
//!
//! What it does: has each host asked on the connection on which it is listened to, some at a time. What it must not do: compare what they
//! answer, or ask by itself: a round begins when somebody wants one.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ovstunnel_api::CountersAnswer;
use ovstunnel_client::Client;
use ovstunnel_types::HostNumber;
use tokio::sync::{Semaphore, watch};

use crate::zone::Zone;

/// Hosts that are asked at the same time.
const AT_ONCE: usize = 32;

/// What hosts have answered.
pub type CountersAnswers = BTreeMap<HostNumber, CountersAnswer>;

/// Who begins rounds, and those who ask. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Counting(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    round: watch::Sender<Round>,
    turns: Semaphore,
    /// Of the round that is under way.
    answers: Mutex<CountersAnswers>,
}

#[derive(Clone, Debug, Default)]
struct Round {
    number: u64,
    /// Those that are asked; nothing where all are.
    of: Option<Arc<BTreeSet<HostNumber>>>,
}

impl Round {
    fn is_of(&self, host: HostNumber) -> bool {
        self.number > 0 && self.of.as_ref().is_none_or(|hosts| hosts.contains(&host))
    }
}

impl Counting {
    /// No round is under way.
    pub(super) fn new() -> Counting {
        let (round, turns, answers) = (watch::Sender::default(), Semaphore::new(AT_ONCE), Mutex::default());
        Counting(Arc::new(Shared { round, turns, answers }))
    }

    /// Has these hosts asked, or all, and gives what was answered within this time.
    pub async fn ask_hosts(&self, of: Option<BTreeSet<HostNumber>>, within: Duration) -> CountersAnswers {
        let of = of.map(Arc::new);
        self.0.round.send_modify(|round| {
            // Under its lock, so that no late answer of the round before is among these.
            self.with_answers(BTreeMap::clear);
            *round = Round { number: round.number + 1, of };
        });
        tokio::time::sleep(within).await;
        self.with_answers(std::mem::take)
    }

    /// Asks a host in each round that is of it. Ends with the connection.
    pub(super) async fn keep_asking(&self, zone: &Zone, host: HostNumber, client: &Client) -> Infallible {
        let mut rounds = self.0.round.subscribe();
        loop {
            if rounds.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            let round = rounds.borrow_and_update().clone();
            if !round.is_of(host) || !zone.can_count(host) {
                continue;
            }
            // It is never closed.
            let Ok(_turn) = self.0.turns.acquire().await else { continue };
            match client.counters().await {
                Ok(answer) => self.record_answer(&round, host, answer),
                Err(error) => {
                    let error = ovstunnel_types::text::error_chain(&error);
                    tracing::debug!(
                        host = host.get(),
                        error,
                        "it is not known what the tunnels of a host have counted"
                    );
                }
            }
        }
    }

    fn record_answer(&self, round: &Round, host: HostNumber, answer: CountersAnswer) {
        let now = self.0.round.borrow();
        if now.number == round.number {
            self.with_answers(|answers| answers.insert(host, answer));
        }
    }

    fn with_answers<T>(&self, change: impl FnOnce(&mut CountersAnswers) -> T) -> T {
        change(&mut self.0.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
