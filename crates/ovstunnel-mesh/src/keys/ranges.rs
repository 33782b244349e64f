//! The vnet ranges of a physical network. Must not know which keys are in use.

use std::fmt;

use ovstunnel_types::{GreKey, Invalid, Isolation};

/// The largest key where networks are told apart by VLANs.
const LAST_VLAN: u32 = 4096;

/// A set of keys, kept as ranges: sorted, without overlaps, neighbours joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(GreKey, GreKey)>);

impl Ranges {
    const FORM: &'static str =
        "must be ranges and numbers with commas between them, without spaces, such as 1001-65535,70000";
    const ORDER: &'static str = "must have ranges whose first number is not larger than the last";
    const VLAN: &'static str = "must be from 1 to 4096 where the isolation is not GRE";

    /// Reads `a-b,c-d` and single numbers.
    ///
    /// # Errors
    /// Says which rule is broken, with the part of the text that breaks it: not of that form, zero or too large a number, a range
    /// that runs backwards.
    pub fn parse(text: &str, isolation: Isolation) -> Result<Ranges, Invalid> {
        let parts = text.split(',').map(|part| parse_range(part, isolation));
        Ok(Ranges::join_ranges(parts.collect::<Result<Vec<_>, _>>()?))
    }

    fn join_ranges(mut parts: Vec<(GreKey, GreKey)>) -> Ranges {
        parts.sort_unstable();
        let mut joined: Vec<(GreKey, GreKey)> = Vec::with_capacity(parts.len());
        for (first, last) in parts {
            match joined.last_mut() {
                // No overflow: a key is below 2^31.
                Some(before) if first.get() <= before.1.get() + 1 => before.1 = before.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        Ranges(joined)
    }

    /// Those keys of them that are not larger than this number.
    pub fn up_to(self, largest: u32) -> Ranges {
        let cut = |(first, last): (GreKey, GreKey)| {
            let last = GreKey::try_from(i64::from(largest)).ok().map_or(last, |largest| last.min(largest));
            (first <= last).then_some((first, last))
        };
        Ranges(self.0.into_iter().filter_map(cut).collect())
    }

    /// Whether a key is in one of them.
    pub fn contains(&self, key: GreKey) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= key);
        after.checked_sub(1).is_some_and(|index| self.0[index].1 >= key)
    }

    /// How many keys there are.
    pub fn size(&self) -> u64 {
        self.0.iter().map(|(first, last)| u64::from(last.get() - first.get()) + 1).sum()
    }

    /// Each range with its first and last key, in order.
    pub fn iter(&self) -> impl Iterator<Item = (GreKey, GreKey)> + '_ {
        self.0.iter().copied()
    }

    /// The smallest key of the ranges that is not smaller than this number.
    pub(super) fn at_or_after(&self, number: u32) -> Option<GreKey> {
        let index = self.0.partition_point(|(_, last)| last.get() < number);
        let (first, last) = *self.0.get(index)?;
        if first.get() >= number {
            return Some(first);
        }
        // Between first and last, so it is a key.
        GreKey::try_from(i64::from(number)).ok().filter(|key| *key <= last)
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

fn parse_range(part: &str, isolation: Isolation) -> Result<(GreKey, GreKey), Invalid> {
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        true => text.parse::<GreKey>(),
        false => Err(Invalid::new(Ranges::FORM, part)),
    };
    let (first, last) = match part.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(part)?, number(part)?),
    };
    if first > last {
        return Err(Invalid::new(Ranges::ORDER, part));
    }
    match isolation {
        Isolation::Vlan if last.get() > LAST_VLAN => Err(Invalid::new(Ranges::VLAN, part)),
        _ => Ok((first, last)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_sorted_and_joined() {
        let cases = [
            ("1001-65535,70000-80000", "1001-65535,70000-80000"),
            ("7", "7"),
            ("5-5", "5"),
            ("30-40,1-10,5-20", "1-20,30-40"),
            ("1-10,3-4", "1-10"),
            ("1-10,11,12-20", "1-20"),
            ("2147483646-2147483647,1", "1,2147483646-2147483647"),
            ("007-010", "7-10"),
        ];
        for (text, joined) in cases {
            let ranges = Ranges::parse(text, Isolation::Gre).unwrap();
            assert_eq!(ranges.to_string(), joined, "{text}");
            assert_eq!(Ranges::parse(joined, Isolation::Gre).unwrap(), ranges);
        }
    }

    #[test]
    fn a_bad_text_is_refused_with_rule_and_part() {
        let cases = [
            ("", Ranges::FORM, ""),
            ("1-", Ranges::FORM, "1-"),
            ("1-10,", Ranges::FORM, ""),
            ("5,1-2-3", Ranges::FORM, "1-2-3"),
            ("1, 2", Ranges::FORM, " 2"),
            ("a-b", Ranges::FORM, "a-b"),
            ("-5", Ranges::FORM, "-5"),
            ("+5", Ranges::FORM, "+5"),
            ("9,20-10", Ranges::ORDER, "20-10"),
            ("0", "must be a whole number from 1 to 2147483647", "0"),
            ("0-10", "must be a whole number from 1 to 2147483647", "0"),
            ("1-2147483648", "must be a whole number from 1 to 2147483647", "2147483648"),
            ("99999999999999999999", "must be a whole number from 1 to 2147483647", "99999999999999999999"),
        ];
        for (text, rule, value) in cases {
            assert_eq!(Ranges::parse(text, Isolation::Gre), Err(Invalid::new(rule, value)), "{text}");
        }
    }

    #[test]
    fn a_vnet_is_at_most_4096_where_the_isolation_is_not_gre() {
        assert_eq!(Ranges::parse("1-4096", Isolation::Vlan).unwrap().size(), 4096);
        for text in ["1-4097", "4097"] {
            assert_eq!(Ranges::parse(text, Isolation::Vlan), Err(Invalid::new(Ranges::VLAN, text)));
            assert!(Ranges::parse(text, Isolation::Gre).is_ok());
        }
        assert_eq!(Ranges::parse("1-2147483647", Isolation::Gre).unwrap().size(), 2_147_483_647);
    }
}
