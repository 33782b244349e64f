//! Text of others as it may be shown: of a bounded length, in one line, with nothing in it that a terminal obeys.
//!
//! What it must not do: know whose text it is, or judge it.

use std::fmt::{self, Display};

/// Characters of a client's value that an error shows.
const EXCERPT: usize = 100;

/// Characters of others' words in a sentence of ours, where a value would have [`EXCERPT`].
const MESSAGE: usize = 400;

/// What somebody else says, such as a library of a client's bytes or a program on standard error: as [`excerpt`], but a
/// sentence. What is beyond its end is not even put together.
pub fn foreign_message(said: &dyn Display) -> String {
    /// Takes text until there is enough.
    struct Beginning(String);
    impl fmt::Write for Beginning {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend(text.chars().take(MESSAGE + 1));
            // No character has more than four bytes.
            if self.0.len() > MESSAGE * 4 { Err(fmt::Error) } else { Ok(()) }
        }
    }
    let mut beginning = Beginning(String::new());
    // It fails where there is enough.
    let _ = fmt::Write::write_fmt(&mut beginning, format_args!("{said}"));
    sanitize(&beginning.0, MESSAGE)
}

/// An error with its sources.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |source| source.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

/// Text of a client as it may be shown: at most about 100 characters, control characters and those that change the
/// direction of writing escaped.
pub fn excerpt(text: &str) -> String {
    sanitize(text, EXCERPT)
}

/// Text of others with at most `longest` characters, escapes counted, and `…` where more was cut off.
pub fn sanitize(text: &str, longest: usize) -> String {
    let (mut shown, mut left) = (String::new(), longest);
    for c in text.chars() {
        let reorders =
            matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        let escaped = if c.is_control() || reorders { c.escape_default().to_string() } else { c.to_string() };
        match left.checked_sub(escaped.chars().count()) {
            Some(rest) => left = rest,
            None => {
                shown.push('…');
                break;
            }
        }
        shown.push_str(&escaped);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_is_cut_while_it_is_put_together() {
        struct Endless;
        impl Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("é, ")?;
                }
            }
        }
        let said = foreign_message(&Endless);
        assert!(said.ends_with('…') && said.chars().count() == MESSAGE + 1, "{said}");
        assert_eq!(foreign_message(&"x".repeat(100_000)).chars().count(), MESSAGE + 1);
        assert_eq!(foreign_message(&"short\x1b"), "short\\u{1b}");
    }

    #[test]
    fn a_clients_text_is_cut_and_escaped() {
        assert_eq!(excerpt("a\nb\u{1b}[31m\u{202e}ü"), r"a\nb\u{1b}[31m\u{202e}ü");
        assert_eq!(excerpt(&"é".repeat(101)), format!("{}…", "é".repeat(100)));
        assert_eq!(excerpt(&"x".repeat(100)), "x".repeat(100));
        // Found by tests/fuzz: escapes made it six times as long.
        assert_eq!(excerpt(&"\u{7f}".repeat(20)), format!("{}…", r"\u{7f}".repeat(16)));
    }
}
