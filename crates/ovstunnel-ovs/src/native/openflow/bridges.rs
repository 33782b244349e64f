//! The connections to all bridges, kept while nobody uses them.
//!
//! What it does: lends each to one user at a time, and sorts how an exchange ended. What it must not do: keep one that broke or whose
//! answer was not waited for: what was sent on it may have taken effect or may yet.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ovstunnel_plan::{Cookie, FlowChange, FlowsSeen};

use super::connection::{Answers, Connection};
use super::wire::{ANY, Bytes, kind};
use super::{changes, delete_meter, errors, set_meter};
use crate::CommitError;

/// Connections that are kept at most: each is a file of ours and one of the switch's.
const KEPT: usize = 2048;

/// Connections by bridge.
#[derive(Debug)]
pub(crate) struct Bridges {
    rundir: PathBuf,
    idle: Mutex<HashMap<String, Connection>>,
}

impl Bridges {
    /// Those to the bridges whose sockets are in this folder.
    pub fn new(rundir: PathBuf) -> Self {
        Bridges { rundir, idle: Mutex::default() }
    }

    /// Changes flows of a bridge as one, after its meters.
    pub async fn change(&self, bridge: &str, change: &FlowChange) -> Result<(), CommitError> {
        let bodies = changes(change).map_err(|error| CommitError::Refused(error.to_string()))?;
        let mut connection = self.lend(bridge).await?;
        let answers = connection.bundle(&bodies).await;
        self.settle(bridge, connection, answers).map(drop)
    }

    /// Makes a meter, or sets the one that is there.
    pub async fn set_meter(&self, bridge: &str, meter: u32, pps: u32) -> Result<(), CommitError> {
        let mut connection = self.lend(bridge).await?;
        let mut answers = connection.request(kind::METER_MOD, &set_meter(false, meter, pps)).await;
        if answers.as_ref().is_ok_and(|answers| answers.failed_by(errors::METER_EXISTS)) {
            answers = connection.request(kind::METER_MOD, &set_meter(true, meter, pps)).await;
        }
        self.settle(bridge, connection, answers).map(drop)
    }

    /// Removes a meter.
    pub async fn delete_meter(&self, bridge: &str, meter: u32) -> Result<(), CommitError> {
        let mut connection = self.lend(bridge).await?;
        let answers = connection.request(kind::METER_MOD, &delete_meter(meter)).await;
        self.settle(bridge, connection, answers).map(drop)
    }

    /// Our flows of a bridge.
    pub async fn flows(&self, bridge: &str) -> Result<FlowsSeen, CommitError> {
        let mut body = Bytes::default();
        body.u16(1).u16(0).zeros(4).u8(0xff).zeros(3).u32(ANY).u32(ANY).zeros(4);
        body.u64(Cookie::OURS.0).u64(Cookie::MASK.0).u16(1).u16(4).zeros(4);
        let mut connection = self.lend(bridge).await?;
        let mut answers = connection.request(kind::MULTIPART_REQUEST, &body.0).await;
        if answers.is_err() {
            // One that was kept may be to a switch that has just ended; a question can be asked twice.
            connection = self.connect(bridge).await?;
            answers = connection.request(kind::MULTIPART_REQUEST, &body.0).await;
        }
        let answers = self.settle(bridge, connection, answers)?;
        let not_understood =
            || CommitError::Unknown(format!("what bridge {bridge} tells of its flows is not understood"));
        let (mut flows, mut garbled) = (BTreeSet::new(), BTreeSet::new());
        for flow in answers.flows().ok_or_else(not_understood)? {
            match flow {
                Ok(flow) => drop(flows.insert(flow)),
                Err(cookie) => drop(garbled.insert(cookie)),
            }
        }
        Ok(FlowsSeen::Known { flows, garbled })
    }

    /// Closes connections whose bridge has gone.
    pub fn close_dead(&self) {
        self.idle().retain(|_, connection| connection.is_idle());
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, HashMap<String, Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn lend(&self, bridge: &str) -> Result<Connection, CommitError> {
        let kept = self.idle().remove(bridge).filter(Connection::is_idle);
        match kept {
            Some(connection) => Ok(connection),
            None => self.connect(bridge).await,
        }
    }

    async fn connect(&self, bridge: &str) -> Result<Connection, CommitError> {
        Connection::open(&self.rundir.join(format!("{bridge}.mgmt"))).await
    }

    /// Keeps a connection that has answered, and says what it has answered.
    fn settle(
        &self,
        bridge: &str,
        connection: Connection,
        answers: io::Result<Answers>,
    ) -> Result<Answers, CommitError> {
        let broke = |error| CommitError::Unknown(format!("the connection to bridge {bridge}: {error}"));
        let mut answers = answers.map_err(broke)?;
        let mut idle = self.idle();
        if idle.len() < KEPT {
            idle.insert(bridge.to_owned(), connection);
        }
        match answers.error.take() {
            Some((_, words)) => Err(CommitError::Refused(words)),
            None => Ok(answers),
        }
    }
}
