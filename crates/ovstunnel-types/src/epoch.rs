//! The number of a leadership of a zone's manager, by which what an older leader still writes is refused.
//!
//! What it does: parses and compares. What it must not do: know where one is kept.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::Invalid;

/// A zone and the number of its manager's leadership: `<zone-uuid>:<number>`, the number from 1 to 9223372036854775807.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch {
    zone: Uuid,
    number: u64,
}

/// How an epoch that somebody writes under stands to the recorded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is the recorded one.
    Recorded,
    /// It is newer, or none is recorded: it is to be recorded before anything is written under it.
    Newer,
}

/// Why nothing may be written under an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fenced {
    /// A newer leader of the zone is recorded.
    #[error("epoch {} of zone {} is older than epoch {}, which is recorded here", asked.number, asked.zone, recorded.number)]
    Stale {
        /// That of the write.
        asked: Epoch,
        /// The recorded one.
        recorded: Epoch,
    },
    /// Another zone has the host.
    #[error(
        "this is of zone {}, and epoch {} of zone {} is recorded here; `ovstunnelctl epoch clear` on the host ends that",
        asked.zone, recorded.number, recorded.zone
    )]
    OtherZone {
        /// That of the write.
        asked: Epoch,
        /// The recorded one.
        recorded: Epoch,
    },
}

impl Epoch {
    /// The rule of the text as a whole.
    pub const RULE: &'static str = "must be <zone-uuid>:<number>, the number from 1 to 9223372036854775807";

    /// The rule of its number.
    pub const NUMBER_RULE: &'static str = "must be a whole number from 1 to 9223372036854775807";

    const ZONE_RULE: &'static str = "must be a UUID: 32 hexadecimal digits with hyphens (8-4-4-4-12)";

    /// The epoch with this number in a zone.
    ///
    /// # Errors
    /// [`Epoch::NUMBER_RULE`]: 0, or beyond what a signed 64-bit number holds.
    pub fn new(zone: Uuid, number: u64) -> Result<Self, Invalid> {
        match i64::try_from(number) {
            Ok(1..) => Ok(Epoch { zone, number }),
            _ => Err(Invalid::new(Self::NUMBER_RULE, number.to_string())),
        }
    }

    /// Reads the UUID of a zone.
    ///
    /// # Errors
    /// The rule of a UUID: with hyphens, and nothing around it.
    pub fn parse_zone(text: &str) -> Result<Uuid, Invalid> {
        let hyphenated = text.len() == 36 && text.as_bytes().get(8) == Some(&b'-');
        match Uuid::try_parse(text) {
            Ok(uuid) if hyphenated => Ok(uuid),
            _ => Err(Invalid::new(Self::ZONE_RULE, text)),
        }
    }

    /// The zone.
    pub fn zone(self) -> Uuid {
        self.zone
    }

    /// The number.
    pub fn number(self) -> u64 {
        self.number
    }

    /// How it stands to the recorded one.
    ///
    /// # Errors
    /// Where nothing may be written under it.
    pub fn compare_with(self, recorded: Option<Epoch>) -> Result<Standing, Fenced> {
        let asked = self;
        match recorded {
            None => Ok(Standing::Newer),
            Some(recorded) if recorded.zone != asked.zone => Err(Fenced::OtherZone { asked, recorded }),
            Some(recorded) if recorded.number > asked.number => Err(Fenced::Stale { asked, recorded }),
            Some(recorded) if recorded.number < asked.number => Ok(Standing::Newer),
            Some(_) => Ok(Standing::Recorded),
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.zone.hyphenated(), self.number)
    }
}

impl FromStr for Epoch {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let broken = || Invalid::new(Self::RULE, text);
        let (zone, number) = text.split_once(':').ok_or_else(broken)?;
        let canonical = number.starts_with(|first: char| ('1'..='9').contains(&first))
            && number.bytes().all(|byte| byte.is_ascii_digit());
        let zone = Self::parse_zone(zone).map_err(|_| broken())?;
        let number = number.parse().ok().filter(|_| canonical).ok_or_else(broken)?;
        Self::new(zone, number).map_err(|_| broken())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const ZONE: &str = "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90";
    const OTHER: &str = "7f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90";

    fn epoch(zone: &str, number: u64) -> Epoch {
        Epoch::new(Epoch::parse_zone(zone).unwrap(), number).unwrap()
    }

    #[test]
    fn an_epoch_reads_as_written_and_nothing_else_does() {
        let largest = i64::MAX.unsigned_abs();
        for number in [1, 7, largest] {
            assert_eq!(epoch(ZONE, number).to_string().parse(), Ok(epoch(ZONE, number)));
        }
        assert_eq!(format!("{}:7", ZONE.to_uppercase()).parse(), Ok(epoch(ZONE, 7)));
        let plain = ZONE.replace('-', "");
        for bad in ["", "7", ZONE, ":7", "x:7"].map(str::to_owned).into_iter().chain([
            format!("{ZONE}:"),
            format!("{ZONE}:0"),
            format!("{ZONE}:07"),
            format!("{ZONE}:+7"),
            format!("{ZONE}:7 "),
            format!(" {ZONE}:7"),
            format!("{ZONE}:7:8"),
            format!("{plain}:7"),
            format!("{ZONE}:{}", largest + 1),
            format!("{ZONE}:99999999999999999999"),
        ]) {
            assert_eq!(bad.parse::<Epoch>(), Err(Invalid::new(Epoch::RULE, bad.clone())), "{bad:?}");
        }
        assert!(Epoch::new(Uuid::nil(), 0).is_err() && Epoch::new(Uuid::nil(), largest + 1).is_err());
    }

    #[test]
    fn only_the_recorded_zone_goes_on_and_never_back() {
        let recorded = Some(epoch(ZONE, 4));
        assert_eq!(epoch(ZONE, 1).compare_with(None), Ok(Standing::Newer));
        assert_eq!(epoch(ZONE, 4).compare_with(recorded), Ok(Standing::Recorded));
        assert_eq!(epoch(ZONE, 5).compare_with(recorded), Ok(Standing::Newer));
        assert!(matches!(epoch(ZONE, 3).compare_with(recorded), Err(Fenced::Stale { .. })));
        let other = epoch(OTHER, 9).compare_with(recorded).unwrap_err();
        assert!(matches!(other, Fenced::OtherZone { .. }), "whatever its number");
        let words = other.to_string();
        assert!(words.contains(ZONE) && words.contains(OTHER), "{words}");
    }
}
