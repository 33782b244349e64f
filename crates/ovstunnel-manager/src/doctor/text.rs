//! Findings as lines for a terminal. Must not judge.

use std::fmt::Write as _;

use ovstunnel_api::{DoctorAnswer, Finding, Level};
use ovstunnel_types::text::sanitize;

/// Characters of a reason or a remedy that are shown.
const LONGEST: usize = 2000;

/// Each finding with its reason and its remedy; with `all` also what is as it should be.
pub fn render_page(answer: &DoctorAnswer, all: bool) -> String {
    let mut text = String::new();
    for Finding { check, level, subject, reason, remedy } in &answer.findings {
        let word = match level {
            Level::Fail => "FAIL",
            Level::Warn => "WARN",
            Level::Ok if all => "OK  ",
            Level::Ok => continue,
        };
        let about = subject.as_ref().map(|subject| format!(" ({subject})")).unwrap_or_default();
        // Hosts may say anything; writing into a text does not fail.
        let _ = writeln!(text, "{}", sanitize(&format!("{word}  {check}{about}: {reason}"), LONGEST));
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "      remedy: {}", sanitize(remedy, LONGEST));
        }
    }
    let count = |level| answer.findings.iter().filter(|finding| finding.level == level).count();
    let (fails, warns, fine) = (count(Level::Fail), count(Level::Warn), count(Level::Ok));
    let last = match (fails, warns) {
        (0, 0) => format!("Nothing is wrong: {fine} checks made."),
        _ => format!("Failures: {fails}, warnings: {warns}; {fine} checks found nothing wrong."),
    };
    text + &last + "\n"
}
