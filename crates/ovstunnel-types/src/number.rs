//! Numbers of hosts and networks in a zone, valid by construction.
//!
//! What it does: the numbers that stand in tables, port names and a bridge's `host_id`. What it must not do: give them out.

use std::fmt;
use std::str::FromStr;

use crate::{HostId, Invalid};

const RULE: &str = "must be a whole number from 1 to 9223372036854775807";

/// A number from 1 to 2^63-1: what a database's signed integer holds, less zero, which CloudStack's lock rows have.
macro_rules! number {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(u64);

        impl $type {
            /// As a number.
            pub fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl TryFrom<u64> for $type {
            type Error = Invalid;

            fn try_from(number: u64) -> Result<Self, Invalid> {
                match number {
                    1..=0x7fff_ffff_ffff_ffff => Ok($type(number)),
                    _ => Err(Invalid::new(RULE, number.to_string())),
                }
            }
        }

        impl FromStr for $type {
            type Err = Invalid;

            /// Digits alone, without a sign and without zeros in front: one number has one text.
            fn from_str(text: &str) -> Result<Self, Invalid> {
                let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
                let number = text.parse::<u64>().ok().filter(|_| plain);
                number.and_then(|number| number.try_into().ok()).ok_or_else(|| Invalid::new(RULE, text))
            }
        }
    };
}

number! {
    /// Number of a host in a zone: CloudStack's id where there is one.
    HostNumber
}

number! {
    /// Number of a network in a zone: CloudStack's id where there is one.
    NetworkNumber
}

impl TryFrom<&HostId> for HostNumber {
    type Error = Invalid;

    fn try_from(id: &HostId) -> Result<Self, Invalid> {
        id.as_str().parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_fits_a_signed_column_and_is_not_zero() {
        for good in ["1", "128", "9223372036854775807"] {
            assert_eq!(good.parse::<HostNumber>().map(|number| number.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "0", "-1", "+1", "01", "1 ", "x", "9223372036854775808", "18446744073709551616"] {
            let error = bad.parse::<NetworkNumber>().unwrap_err();
            assert_eq!(error.value, bad);
            assert!(error.to_string().contains("from 1 to 9223372036854775807"), "{error}");
        }
        assert!(HostNumber::try_from(0).is_err() && HostNumber::try_from(1 << 63).is_err());
        let id: HostId = "a7".parse().unwrap();
        assert!(HostNumber::try_from(&id).is_err());
    }
}
