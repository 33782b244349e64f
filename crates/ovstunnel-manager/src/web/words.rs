//! Numbers, ages, points in time and sentences in words. Must not know what they are of.

use std::time::Duration;

use maud::{Markup, html};
use ovstunnel_api::TunnelState;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// `355,806`
pub(super) fn grouped_number(n: impl Into<u64>) -> String {
    let digits = n.into().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 host`, `2,000 hosts`
pub(super) fn counted_noun(n: impl Into<u64>, one: &str, several: &str) -> String {
    let n = n.into();
    format!("{} {}", grouped_number(n), if n == 1 { one } else { several })
}

/// How long something takes or is ago: `0.4 s`, `18 s`, `3 min`, `2 h`, `5 d`.
pub(super) fn duration_text(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    // A negative or endless number does not get here.
    let whole = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    match whole {
        0..120 => format!("{whole} s"),
        120..7200 => format!("{} min", whole / 60),
        7200..172_800 => format!("{} h", whole / 3600),
        _ => format!("{} d", whole / 86_400),
    }
}

/// An age, where it is known.
pub(super) fn age_text(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "never heard".to_owned(), |seconds| format!("{} ago", duration_text(seconds)))
}

/// A point in time as the API writes it: how long ago, with date and time beside it.
pub(super) fn time_ago(at: &str) -> Markup {
    let Ok(then) = OffsetDateTime::parse(at, &Rfc3339) else { return html! { (at) } };
    let seconds = (OffsetDateTime::now_utc() - then).as_seconds_f64();
    html! { time datetime=(at) title=(at) { (duration_text(seconds)) " ago" } }
}

/// The time of day of a point in time, with its date as a title.
pub(super) fn time_of_day(at: &str) -> Markup {
    let Ok(then) = OffsetDateTime::parse(at, &Rfc3339) else { return html! { (at) } };
    let (hour, minute, second) = then.to_hms();
    html! {
        time datetime=(at) title=(at) {
            (then.date()) " " (format!("{hour:02}:{minute:02}:{second:02}"))
        }
    }
}

/// How a tunnel is on its host.
pub(super) fn tunnel_state(state: TunnelState) -> &'static str {
    match state {
        TunnelState::Up => "up",
        TunnelState::Error => "refused by Open vSwitch",
        TunnelState::Pending => "not looked at yet",
    }
}

/// Part of a whole as hundredths that neither round up to all nor down to nothing.
pub(super) fn percent_text(part: u64, whole: u64) -> String {
    match (part, whole) {
        (_, 0) => "-".to_owned(),
        (part, whole) if part == whole => "100 %".to_owned(),
        (0, _) => "0 %".to_owned(),
        (part, whole) => {
            let hundredths = (u128::from(part) * 10_000 / u128::from(whole)).clamp(1, 9_999);
            format!("{}.{:02} %", hundredths / 100, hundredths % 100)
        }
    }
}

/// A text with a large letter in front and a full stop at the end.
pub(super) fn as_sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    with_full_stop(&format!("{first}{}", letters.as_str()))
}

/// A text with a full stop at the end.
pub(super) fn with_full_stop(text: &str) -> String {
    let end = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{text}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_read_well() {
        assert_eq!(
            [grouped_number(7u32), grouped_number(1000u32), grouped_number(355_806u32)],
            ["7", "1,000", "355,806"]
        );
        assert_eq!(
            [0.44, 9.97, 119.0, 180.0, 7200.0, 432_000.0].map(duration_text),
            ["0.4 s", "9 s", "119 s", "3 min", "2 h", "5 d"]
        );
        assert_eq!(percent_text(355_805, 355_806), "99.99 %");
        assert_eq!([percent_text(0, 0), percent_text(1, 355_806), percent_text(3, 3)], ["-", "0.01 %", "100 %"]);
        assert_eq!(counted_noun(1u32, "host", "hosts"), "1 host");
    }
}
