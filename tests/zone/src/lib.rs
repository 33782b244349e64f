//! A zone of thousands of hosts in one process, in simulated time.
//!
//! What it does: gives each host the real routes, writer and planner over a switch in memory that takes as long as a real
//! one; plays a management server and the life of VMs and hosts; counts, and checks every tunnel. What it must not do: make
//! the daemon's decisions, or tell a time that was not measured or assumed in `costs`.

pub mod calls;
pub mod check;
pub mod cli;
pub mod costs;
pub mod counts;
pub mod growth;
pub mod host;
pub mod life;
pub mod network;
pub mod plot;
pub mod report;
pub mod run;
pub mod server;
pub mod table;
pub mod vms;
pub mod zone;
