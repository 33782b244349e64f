//! Whole numbers as JSON means them: `1001.0` is one, as it is for JSON Schema. Some clients write all numbers so.
//! Must not take a number that has lost digits on the way.

use std::fmt;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// Up to here the next floating number is half a step away or less: one that was read slightly wrong, as serde_json may, is
/// not whole, and not another whole one.
const EXACT: f64 = 4_503_599_627_370_496.0;

/// The whole number that a floating one is, if it is one.
#[allow(clippy::cast_possible_truncation, reason = "it is whole, and in the range of both")]
pub(crate) fn whole_number(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i64)
}

/// Reads a whole number.
pub(crate) fn required<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    from.deserialize_any(Whole)
}

/// Reads a whole number or null.
pub(crate) fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    struct Number(i64);
    impl<'de> Deserialize<'de> for Number {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            required(from).map(Number)
        }
    }
    Ok(Option::<Number>::deserialize(from)?.map(|number| number.0))
}

struct Whole;

impl Visitor<'_> for Whole {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<i64, E> {
        Ok(number)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<i64, E> {
        i64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<i64, E> {
        whole_number(number).ok_or_else(|| E::invalid_type(Unexpected::Float(number), &self))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use crate::PostTunnel;

    fn key(text: &str) -> Result<Option<i64>, String> {
        let body = format!(r#"{{"from": 1, "to": 2, "remote_ip": "192.0.2.2", "key": {text}}}"#);
        serde_json::from_str::<PostTunnel>(&body).map(|body| body.key).map_err(|error| error.to_string())
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_point() {
        for (text, number) in [
            ("1001", 1001),
            ("1001.0", 1001),
            ("1e3", 1000),
            ("-1.0", -1),
            ("4503599627370495.0", 4_503_599_627_370_495),
        ] {
            assert_eq!(key(text), Ok(Some(number)), "{text}");
        }
        assert_eq!(key("null"), Ok(None));
        for text in ["1.5", "1e300", "4503599627370496.0", "18446744073709551615", "\"1\"", "true", "[]"] {
            let error = key(text).unwrap_err();
            assert!(error.contains("expected a whole number"), "{text}: {error}");
        }
    }
}
