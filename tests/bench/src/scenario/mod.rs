//! What is measured, each part in a file of its own, on hosts of its own.
//!
//! A scenario makes its hosts, does the work, and returns lines of the table. It must not print.

mod tunnel;

use anyhow::Result;

use crate::cli::Scenario;
use crate::report::Found;
use crate::scale::Scale;

/// Measures one part.
pub fn run(scenario: Scenario, scale: &Scale) -> Result<Found> {
    match scenario {
        Scenario::Tunnel => tunnel::run(scale),
        _ => Ok(Found::default()),
    }
}
