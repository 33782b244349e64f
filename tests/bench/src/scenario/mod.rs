//! What is measured, each part in a file of its own, on hosts of its own.
//!
//! A scenario makes its hosts, does the work, and returns lines of the table. It must not print.

mod acting;
mod bridges;
mod cloudstack;
mod galera;
mod healing;
mod kinds;
mod manager;
mod native;
mod network;
mod nics;
mod ovn;
mod peers;
mod programs;
mod replicas;
mod restart;
mod start;
mod sweeps;
mod traffic;
mod tunnel;
mod views;
mod vif;

use anyhow::Result;

use crate::cli::Scenario;
use crate::report::Found;
use crate::scale::Scale;

/// Measures one part.
pub fn run(scenario: Scenario, scale: &Scale) -> Result<Found> {
    match scenario {
        Scenario::Tunnel => tunnel::run(scale),
        Scenario::Network => network::run(scale),
        Scenario::Concurrent => network::concurrent(scale),
        Scenario::Vif => vif::run(scale),
        Scenario::Flows => vif::flows(scale),
        Scenario::Bridges => bridges::run(scale),
        Scenario::Restart => restart::run(scale),
        Scenario::Start => start::run(scale),
        Scenario::Traffic => traffic::run(scale),
        Scenario::Kinds => kinds::run(scale),
        Scenario::Programs => programs::run(scale),
        Scenario::Native => native::run(scale),
        Scenario::Peers => Ok(Found { lines: [peers::run(scale)?, ovn::run(scale)?].concat(), curves: vec![] }),
        Scenario::Manager => manager::run(scale),
        Scenario::Sweeps => sweeps::run(scale),
        Scenario::Replicas => replicas::run(scale),
        Scenario::Galera => galera::run(scale),
    }
}
