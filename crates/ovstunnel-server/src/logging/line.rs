//! Lines of a bounded length: whatever else fails, no line fills the log.

use std::borrow::Cow;

/// Longest line, in bytes. What is said of a thousand bridges at once fits.
const LONGEST: usize = 32 * 1024;

/// A line of the log without breaks inside: what others say, as Open vSwitch in two lines, must not look like a line of ours.
pub(super) fn single_line(line: &[u8]) -> Cow<'_, [u8]> {
    let (text, end) = line.strip_suffix(b"\n").map_or((line, &b""[..]), |text| (text, &b"\n"[..]));
    if !text.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return line.into();
    }
    let escaped = text.iter().flat_map(|byte| match byte {
        b'\n' => b"\\n".as_slice(),
        b'\r' => b"\\r",
        other => std::slice::from_ref(other),
    });
    escaped.chain(end).copied().collect::<Vec<_>>().into()
}

/// The line, or its beginning with how much is left out; in JSON as an object of its own.
pub(super) fn bounded_line(line: &[u8]) -> Cow<'_, [u8]> {
    if line.len() <= LONGEST {
        return line.into();
    }
    let is_json = line.first() == Some(&b'{');
    // Escaped once more it may be twice as long.
    let kept = line.get(..if is_json { LONGEST / 2 } else { LONGEST }).unwrap_or(line);
    let (kept, left_out) = (String::from_utf8_lossy(kept), line.len() - kept.len());
    let kept = kept.trim_end_matches('\u{fffd}');
    match is_json {
        false => format!("{kept}… [{left_out} bytes are left out here]\n"),
        // The time and the level stand in the beginning, too.
        true => {
            let message = format!("a line was too long: {left_out} bytes are left out");
            format!("{}\n", serde_json::json!({"message": message, "target": super::TARGET, "line": kept}))
        }
    }
    .into_bytes()
    .into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_line_has_no_breaks_inside() {
        assert_eq!(single_line(b"all well\n"), &b"all well\n"[..]);
        assert_eq!(single_line(b"ERROR x: one\r\n2026 INFO two\n\n"), &b"ERROR x: one\\r\\n2026 INFO two\\n\n"[..]);
        assert_eq!(single_line(b""), &b""[..]);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_says_so() {
        assert_eq!(bounded_line(b"short\n"), &b"short\n"[..]);
        let text = format!("2026 INFO x: {}\n", "é".repeat(100_000));
        let cut = String::from_utf8(bounded_line(text.as_bytes()).into_owned()).unwrap();
        assert!(cut.len() < LONGEST + 100 && cut.starts_with("2026 INFO x: é"), "{}", cut.len());
        assert!(cut.ends_with(" bytes are left out here]\n"));
        let json = format!("{}\n", serde_json::json!({"level": "INFO", "message": "\"".repeat(100_000)}));
        let cut = bounded_line(json.as_bytes()).into_owned();
        assert!(cut.len() < 2 * LONGEST, "{}", cut.len());
        let json: serde_json::Value = serde_json::from_slice(&cut).unwrap();
        assert!(json["line"].as_str().unwrap().starts_with("{\"level\":\"INFO\""));
    }
}
