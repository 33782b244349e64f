//! The way to write without programs: `[ovs] writes = "native"` (docs/adr/0045-writing-without-programs.md).
//!
//! What it does: one transaction of the database on a connection that is kept, one OpenFlow bundle for each bridge on a connection to
//! its management socket. What it must not do: write what the commands for the same plan would not, or say of a connection
//! that broke anything but that the outcome is not known.

mod database;
mod openflow;
mod rows;
mod transact;

use std::io;
use std::path::Path;

use tokio::net::unix::OwnedReadHalf;
use tokio_util::codec::FramedRead;

pub(crate) use database::select_rows;
pub use openflow::{FlowNews, FlowsRead, FlowsTold};
pub(crate) use transact::transaction_operations;

/// Whether nothing has come on a connection since what was read last, not even its end.
fn is_idle<Codec>(frames: &FramedRead<OwnedReadHalf, Codec>) -> bool {
    let read = frames.get_ref().try_read(&mut [0]);
    frames.read_buffer().is_empty() && read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// How changes are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Writes {
    /// By `ovs-vsctl` and `ovs-ofctl`.
    #[default]
    Commands,
    /// By the same changes on connections of our own.
    Native,
}

/// The connections by which it is written. They are made with the first change.
#[derive(Debug)]
pub(crate) struct Native {
    pub database: database::Database,
    pub bridges: openflow::Bridges,
}

impl Native {
    /// Those to the Open vSwitch whose sockets are in this folder.
    pub fn new(rundir: &Path) -> Self {
        let bridges = openflow::Bridges::new(rundir.to_owned());
        Native { database: database::Database::new(rundir.join("db.sock")), bridges }
    }
}
