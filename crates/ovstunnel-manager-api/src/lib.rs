//! Request and answer types of the manager's HTTP API, version 1.
//!
//! What it does: gives each JSON body a type, shared by the manager, its client, the command and the tests. What it must not do:
//! validate beyond JSON's own shape (the manager does, so that each error names field, rule and value), or perform I/O.

mod cloudstack;
mod enrolment;
mod event;
mod fault;
mod hold;
mod host;
mod link;
mod matrix;
mod network;
mod nic;
mod overview;
mod path;
mod physical;
mod plan;
mod proof;
mod sweep;
mod upgrade;
mod watch;
mod webhook;

pub use cloudstack::{CloudStackHost, CloudStackNetwork, CloudStackState, Disagreement, WitnessWord};
pub use enrolment::{
    EnrolmentCa, Joined, NewToken, PostJoin, PostRenewal, PostToken, Renewed, Token, TokenList, TokenText,
};
pub use event::{Event, EventList, ProofSummary};
pub use fault::{Fault, FaultCommand, FaultList, FaultPlace};
pub use hold::{HeldRemoval, Hold, HoldList, HoldScope, HoldState};
pub use host::{
    Host, HostAnswer, HostList, HostState, HostTunnel, HostTunnelList, Mode, PostMaintenance, PostName, PostNumber,
    PutHost, Trouble,
};
pub use link::{Link, LinkRole, PostLink};
pub use matrix::{CellState, Matrix, MatrixBy, MatrixCount, MatrixLine, MatrixRun};
pub use ovstunnel_types::Isolation;

pub use network::{
    HostKind, Member, Network, NetworkAnswer, NetworkKind, NetworkList, NetworkRecord, NetworkState, PutNetwork,
    PutNetworkKind,
};
pub use nic::{FailedTunnel, MoveWord, Nic, NicAnswer, NicList, NicOutcome, NicReleased, NicTunnels, PutNic};
pub use overview::{HostCount, Leadership, NetworkCount, Overview, Ready, TunnelCount};
pub use path::{Path, PathEnd, PathStep, PostPath, StepResult};
pub use physical::{
    Key, KeyList, KeyRange, KeyRanges, KeyRangesAnswer, KeyState, KeyUsage, PhysicalNetwork, PhysicalNetworkAnswer,
    PhysicalNetworkList, PutPhysicalNetwork,
};
pub use plan::{Blocked, NetworkPlan, PlannedRequest};
pub use proof::{Finding, Proof, SeenAt, Signature, TunnelProof, to_hex};
pub use sweep::{LeftOut, Sweep, SweptTunnel};
pub use upgrade::{Inability, UpgradeHost, UpgradePlan, UpgradeWaiting, UpgradeWave};
pub use watch::{Gone, ZoneEvent};
pub use webhook::{DeadLetter, Redelivered, WebhookList, WebhookState};
