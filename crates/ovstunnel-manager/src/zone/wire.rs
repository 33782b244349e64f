//! Times and counts as the API writes them. Must not know what they are of.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time as the API writes it.
pub fn format_time(at: OffsetDateTime) -> String {
    // A clock beyond the year 9999 has no such form.
    at.format(&Rfc3339).unwrap_or_default()
}

pub(super) fn saturating_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

pub(super) fn rounded_seconds(age: Duration) -> f64 {
    (age.as_secs_f64() * 1000.0).round() / 1000.0
}
