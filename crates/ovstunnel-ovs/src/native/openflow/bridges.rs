//! The connections to all bridges, which are kept.
//!
//! What it does: connects where there is no connection, and sorts how an exchange ended. What it must not do: send a change again that may
//! have been sent: it may have taken effect or may yet.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ovstunnel_plan::{Cookie, FlowChange, FlowsSeen};

use super::connection::{Answers, Connection};
use super::kept::{Ask, FlowNews, Kept, Unanswered};
use super::wire::{ANY, Bytes, FLOWS, kind};
use super::{delete_meter, encode_changes, errors, set_meter};
use crate::CommitError;

/// Connections that are kept at most: each is a file of ours and one of the switch's.
const KEPT: usize = 2048;

/// Connections by bridge.
#[derive(Debug)]
pub(crate) struct Bridges {
    rundir: PathBuf,
    kept: Mutex<HashMap<String, Kept>>,
    news: FlowNews,
}

/// Flows of ours as they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowsRead {
    /// The flows.
    pub flows: FlowsSeen,
    /// They hold as long as [`RealSwitch::flow_seqno`](crate::RealSwitch::flow_seqno) says this; nothing where no flow monitor watches them.
    pub seqno: Option<u64>,
}

impl Bridges {
    /// Those to the bridges whose sockets are in this folder.
    pub fn new(rundir: PathBuf) -> Self {
        Bridges { rundir, kept: Mutex::default(), news: FlowNews::default() }
    }

    /// What their flow monitors tell.
    pub fn flow_news(&self) -> &FlowNews {
        &self.news
    }

    /// Has changes of a bridge's flows told from now on, unless they are.
    pub async fn monitor_flows(&self, bridge: &str) -> Result<(), CommitError> {
        if self.monitor_seqno(bridge).is_some() {
            return Ok(());
        }
        self.request_checked(bridge, Ask::Monitor).await.map(drop)
    }

    /// The seqno of the monitor of a bridge, where there is one.
    pub fn monitor_seqno(&self, bridge: &str) -> Option<u64> {
        self.lock_kept().get(bridge)?.monitor_seqno()
    }

    /// Bridges that are monitored.
    pub fn monitored_count(&self) -> usize {
        self.lock_kept().values().filter(|kept| kept.monitor_seqno().is_some()).count()
    }

    /// Changes flows of a bridge as one, after its meters, and reads ours behind it.
    pub async fn change_flows(&self, bridge: &str, change: &FlowChange) -> Result<FlowsRead, CommitError> {
        let bodies = encode_changes(change).map_err(|error| CommitError::Refused(error.to_string()))?;
        self.read_answer(bridge, Ask::Bundle(bodies, our_flows())).await
    }

    /// Our flows of a bridge.
    pub async fn read_flows(&self, bridge: &str) -> Result<FlowsRead, CommitError> {
        let question = || Ask::Message(kind::MULTIPART_REQUEST, our_flows());
        match self.read_answer(bridge, question()).await {
            // To a switch that has just ended; a question can be asked twice.
            Err(CommitError::Unknown(_)) => self.read_answer(bridge, question()).await,
            read => read,
        }
    }

    async fn read_answer(&self, bridge: &str, ask: Ask) -> Result<FlowsRead, CommitError> {
        // What is told while it is read is not known to be in the answer.
        let before = self.monitor_seqno(bridge);
        let answers = self.request_checked(bridge, ask).await?;
        let not_understood =
            || CommitError::Unknown(format!("what bridge {bridge} tells of its flows is not understood"));
        let (mut flows, mut garbled) = (BTreeSet::new(), BTreeSet::new());
        for flow in answers.decode_flows().ok_or_else(not_understood)? {
            match flow {
                Ok(flow) => drop(flows.insert(flow)),
                Err(cookie) => drop(garbled.insert(cookie)),
            }
        }
        let seqno = before.filter(|_| before == self.monitor_seqno(bridge));
        Ok(FlowsRead { flows: FlowsSeen::Known { flows, garbled }, seqno })
    }

    /// Makes a meter, or sets the one that is there.
    pub async fn set_meter(&self, bridge: &str, meter: u32, pps: u32) -> Result<(), CommitError> {
        let mut answers =
            self.request_bridge(bridge, Ask::Message(kind::METER_MOD, set_meter(false, meter, pps))).await?;
        if answers.failed_by(errors::METER_EXISTS) {
            answers = self.request_bridge(bridge, Ask::Message(kind::METER_MOD, set_meter(true, meter, pps))).await?;
        }
        without_error(answers).map(drop)
    }

    /// Removes a meter.
    pub async fn delete_meter(&self, bridge: &str, meter: u32) -> Result<(), CommitError> {
        self.request_checked(bridge, Ask::Message(kind::METER_MOD, delete_meter(meter))).await.map(drop)
    }

    /// Forgets connections that have ended.
    pub fn forget_ended(&self) {
        self.lock_kept().retain(|_, kept| !kept.has_ended());
    }

    fn lock_kept(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn request_checked(&self, bridge: &str, ask: Ask) -> Result<Answers, CommitError> {
        without_error(self.request_bridge(bridge, ask).await?)
    }

    async fn request_bridge(&self, bridge: &str, ask: Ask) -> Result<Answers, CommitError> {
        let broke = |error| CommitError::Unknown(format!("the connection to bridge {bridge}: {error}"));
        let ask = match self.kept_connection(bridge).await?.send_question(ask).await {
            Err(Unanswered::NotSent(ask)) => ask,
            Err(Unanswered::Broke(error)) => return Err(broke(error)),
            Ok(answers) => return Ok(answers),
        };
        // The one that was kept had ended.
        match self.connect_bridge(bridge).await?.send_question(ask).await {
            Err(Unanswered::NotSent(_)) => {
                Err(CommitError::Unavailable(format!("bridge {bridge} closes its connections")))
            }
            Err(Unanswered::Broke(error)) => Err(broke(error)),
            Ok(answers) => Ok(answers),
        }
    }

    async fn kept_connection(&self, bridge: &str) -> Result<Kept, CommitError> {
        let kept = self.lock_kept().get(bridge).filter(|kept| !kept.has_ended()).cloned();
        match kept {
            Some(kept) => Ok(kept),
            None => self.connect_bridge(bridge).await,
        }
    }

    async fn connect_bridge(&self, bridge: &str) -> Result<Kept, CommitError> {
        let connection = Connection::open(&self.rundir.join(format!("{bridge}.mgmt"))).await?;
        let mut all = self.lock_kept();
        // Somebody else may have connected meanwhile.
        if let Some(kept) = all.get(bridge).filter(|kept| !kept.has_ended()) {
            return Ok(kept.clone());
        }
        let kept = Kept::new(bridge, connection, self.news.clone());
        if all.len() < KEPT || all.contains_key(bridge) {
            all.insert(bridge.to_owned(), kept.clone());
        }
        Ok(kept)
    }
}

/// The body of the question for our flows.
fn our_flows() -> Vec<u8> {
    let mut body = Bytes::default();
    body.u16(FLOWS).u16(0).zeros(4).u8(0xff).zeros(3).u32(ANY).u32(ANY).zeros(4);
    body.u64(Cookie::OURS.0).u64(Cookie::MASK.0).u16(1).u16(4).zeros(4);
    body.0
}

/// What was answered, unless there is an error among it.
fn without_error(mut answers: Answers) -> Result<Answers, CommitError> {
    match answers.error.take() {
        Some((_, words)) => Err(CommitError::Refused(words)),
        None => Ok(answers),
    }
}
