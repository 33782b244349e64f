//! What a service finds wrong with itself, whichever it is: its certificate files, configuration file, log, socket and clock.
//!
//! What it does: each subject's file gathers facts and judges them, apart, so that the judging can be tried without the host. What it must not
//! do: change anything, or know which program it is part of; that is told to it.

pub mod certificates;
pub mod clock;
pub mod configuration;
pub mod finding;
pub mod log;
pub mod room;
pub mod socket;

use ovstunnel_api::{DoctorAnswer, Finding, Level};

/// The program that is looked at, for what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name, which is also that of its unit.
    pub unit: &'static str,
    /// The word for it: `daemon`, `manager`.
    pub word: &'static str,
    /// Who does not reach it where its Unix socket is gone.
    pub callers: &'static str,
}

/// The findings as an answer, the worst first. `version` is that of the program.
pub fn doctor_answer(mut findings: Vec<Finding>, version: &str) -> DoctorAnswer {
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let level = findings.first().map_or(Level::Ok, |finding| finding.level);
    DoctorAnswer { level, version: version.to_owned(), findings }
}
