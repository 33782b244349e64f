//! How a finding is written down. Must not know any check.

use ovstunnel_api::{Finding, Level};

/// A check that found nothing wrong.
pub fn ok(check: &str, reason: impl Into<String>) -> Finding {
    Finding { check: check.to_owned(), level: Level::Ok, subject: None, reason: reason.into(), remedy: None }
}

/// A check that found what works, but not as it should.
pub fn warn(check: &str, reason: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { level: Level::Warn, remedy: Some(remedy.into()), ..ok(check, reason) }
}

/// A check that found what somebody has to mend.
pub fn fail(check: &str, reason: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { level: Level::Fail, ..warn(check, reason, remedy) }
}

/// What a finding is about.
pub trait About {
    /// The same finding about this bridge, file or address.
    fn about(self, subject: impl ToString) -> Self;
}

impl About for Finding {
    fn about(self, subject: impl ToString) -> Self {
        Finding { subject: Some(subject.to_string()), ..self }
    }
}

/// The findings, or this one where there are none.
pub fn or_ok(findings: Vec<Finding>, well: impl FnOnce() -> Finding) -> Vec<Finding> {
    if findings.is_empty() { vec![well()] } else { findings }
}

/// At most `most` of the names, and how many there are beyond.
pub fn some_names(names: &[String], most: usize) -> String {
    let shown = names.iter().take(most).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
