//! A field that is absent, and one that is null: two things where null takes something away.

use serde::{Deserialize, Deserializer};

/// Reads a value or null where the field is there; with `default` an absent one is `None`.
pub(crate) fn or_absent<'de, D, T>(from: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use crate::PutBridge;

    #[test]
    fn null_is_told_from_nothing() {
        let uplink = |json: &str| serde_json::from_str::<PutBridge>(json).unwrap().uplink;
        assert_eq!(uplink(r#"{"key":5}"#), None);
        assert_eq!(uplink(r#"{"key":5,"uplink":null}"#), Some(None));
        assert_eq!(uplink(r#"{"key":5,"uplink":"eth1"}"#), Some(Some("eth1".to_owned())));
        for json in [r#"{"key":5}"#, r#"{"key":5,"uplink":null}"#, r#"{"key":5,"uplink":"eth1"}"#] {
            let body: PutBridge = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&body).unwrap(), json);
        }
    }
}
