//! Rules that hold for every engine, so that none cuts off, pads or refuses what another one takes.
//!
//! What it does: lengths and characters of texts, and which number is given out next. What it must not do: know a table.

use crate::{Result, StoreError};

/// A column of text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    /// Table and field, as an error names it.
    pub field: &'static str,
    /// The rule, which reads on from the field.
    pub rule: &'static str,
    /// Most characters.
    pub max: usize,
}

/// Most characters of a name.
pub(crate) const NAME: usize = 63;
const NAME_RULE: &str = "must have 1 to 63 characters: letters, digits, '.', '_', '-', and not be '.' or '..'";

/// The value of a setting.
pub(crate) const SETTING: Text =
    Text { field: "setting.value", rule: "must have at most 16383 characters, none of control", max: 16383 };

impl Text {
    /// Checks one text: no control characters (PostgreSQL takes no NUL), not longer than the column.
    pub(crate) fn check_text(self, text: &str) -> Result<()> {
        match text.chars().count() <= self.max && !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
            true => Ok(()),
            false => Err(StoreError::invalid(self.field, self.rule, text)),
        }
    }

    /// The same for a text that may be missing.
    pub(crate) fn check_some(self, text: Option<&str>) -> Result<()> {
        text.map_or(Ok(()), |text| self.check_text(text))
    }
}

/// Checks a name that stands in paths.
pub(crate) fn check_path_name(field: &'static str, name: &str) -> Result<()> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    match plain && (1..=NAME).contains(&name.len()) && name != "." && name != ".." {
        true => Ok(()),
        false => Err(StoreError::invalid(field, NAME_RULE, name)),
    }
}

/// The first number above the last one that was given out that nobody has. `taken` ascends and is above `last`. A number that was
/// given out is not given out again, as rows of it may be left anywhere.
pub(crate) fn next_free(last: u64, taken: impl IntoIterator<Item = u64>) -> u64 {
    let mut next = last.saturating_add(1);
    for number in taken {
        if number != next {
            break;
        }
        next = next.saturating_add(1);
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_given_out_once_and_step_over_what_is_taken() {
        assert_eq!(next_free(0, []), 1);
        assert_eq!(next_free(3, [4, 5, 7]), 6);
        assert_eq!(next_free(3, [9]), 4);
    }

    #[test]
    fn a_name_can_stand_in_a_path() {
        for good in ["h1", ".a", "A-b_c.d", &"x".repeat(63)] {
            assert_eq!(check_path_name("host.name", good), Ok(()));
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", &"x".repeat(64)] {
            let error = check_path_name("host.name", bad).unwrap_err().to_string();
            assert!(error.starts_with("host.name must have 1 to 63 characters") && error.contains(bad), "{error}");
        }
    }
}
