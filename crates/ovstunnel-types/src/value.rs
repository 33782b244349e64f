//! Names, keys and addresses that are valid by construction.
//!
//! What it does: parses text and numbers at the edge, so that inside a bad name cannot exist. What it must not do: know
//! of HTTP, or repair a value that breaks a rule. What a rule looks like in the API's description stands beside it;
//! `scripts/schemathesis` asks the daemon whether the two agree.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::TunnelKind;

/// Longest name of a network device in bytes (Linux `IFNAMSIZ` less the final NUL); OpenFlow cuts longer ones.
pub const NAME_MAX: usize = 15;

/// A value that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}; got {value:?}")]
pub struct Invalid {
    /// The rule; it reads on from the name of a field: "must be …".
    pub rule: &'static str,
    /// The value that broke it.
    pub value: String,
}

impl Invalid {
    /// A value that breaks this rule.
    pub fn new(rule: &'static str, value: impl Into<String>) -> Self {
        Invalid { rule, value: value.into() }
    }
}

/// Implements what all text-like values share: `Display`, `as_str`, ordering against text.
macro_rules! text_value {
    ($type:ident) => {
        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

/// Implements what a value needs that is a text where it is written and sent: from an owned text, by its rule, and into one. With
/// `#[serde(try_from = "String", into = "String")]` it is so in JSON.
macro_rules! by_text {
    ($type:ident) => {
        impl TryFrom<String> for $type {
            type Error = $crate::Invalid;

            fn try_from(text: String) -> Result<Self, $crate::Invalid> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
    };
}
pub(crate) use by_text;

/// Longest id of a host in a tunnel's long name: what a 64-bit number takes.
const LONG_ID_MAX: usize = 20;

/// The characters of a name: letters, digits, `.`, `_`, `-`; the first one a letter, a digit or `_`.
pub fn is_plain_name(text: &str, max: usize) -> bool {
    let mut bytes = text.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    first && text.len() <= max && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Name of a bridge, 1 to 15 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,14}$", example = "xapi12")]
pub struct BridgeName(String);
text_value!(BridgeName);

impl BridgeName {
    const RULE: &'static str =
        "must have 1 to 15 characters: letters, digits, '.', '_', '-', the first one a letter, a digit or '_'";
    const RESERVED: &'static str = "must not be a name of Open vSwitch's own";
}

impl FromStr for BridgeName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if !is_plain_name(text, NAME_MAX) {
            return Err(Invalid::new(Self::RULE, text));
        }
        if matches!(text, "ovs-system" | "ovs-netdev") {
            return Err(Invalid::new(Self::RESERVED, text));
        }
        Ok(BridgeName(text.to_owned()))
    }
}

/// Name of a port: the same rule as a bridge's name. The Python plugin's tunnels may have a longer one, of their form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(
    pattern = "^([A-Za-z0-9_][A-Za-z0-9._-]{0,14}|t[1-9][0-9]{0,8}(-[A-Za-z0-9_][A-Za-z0-9._]{0,19}){2})$",
    example = "t1001-1-2"
)]
pub struct PortName(String);
text_value!(PortName);

impl PortName {
    const RULE: &'static str =
        "must have 1 to 15 characters: letters, digits, '.', '_', '-', the first one a letter, a digit or '_'";

    /// The name of a tunnel's port: `t<key>-<from>-<to>`, and where that is longer than 15 characters, or has a `-` in an
    /// id, `t` with the first 14 hexadecimal digits of the SHA-256 of `<key>/<from>/<to>`. The two forms cannot meet: only
    /// the first has a `-`.
    pub fn tunnel_port(key: GreKey, from: &HostId, to: &HostId) -> Self {
        let plain = format!("t{key}-{from}-{to}");
        let ambiguous = plain.bytes().filter(|byte| *byte == b'-').count() > 2;
        if plain.len() <= NAME_MAX && !ambiguous {
            return PortName(plain);
        }
        // No id has a `/` in it.
        Self::digest(&format!("{key}/{from}/{to}"))
    }

    /// The name of another tunnel between the same hosts, of this kind: always a digest.
    pub fn tunnel_of_kind(key: GreKey, from: &HostId, to: &HostId, kind: TunnelKind) -> Self {
        Self::digest(&format!("{key}/{from}/{to}/{kind}"))
    }

    fn digest(text: &str) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        let hex: String = digest.iter().take(7).map(|byte| format!("{byte:02x}")).collect();
        PortName(format!("t{hex}"))
    }
}

impl FromStr for PortName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match is_plain_name(text, NAME_MAX) || is_long_tunnel_name(text) {
            true => Ok(PortName(text.to_owned())),
            false => Err(Invalid::new(Self::RULE, text)),
        }
    }
}

/// Whether a name is `t<key>-<from>-<to>` as the Python plugin makes it: there are no devices of a tunnel's name, so Open vSwitch
/// takes any length.
fn is_long_tunnel_name(text: &str) -> bool {
    let parts: Vec<&str> = text.strip_prefix('t').map(|rest| rest.split('-').collect()).unwrap_or_default();
    let [key, from, to] = parts.as_slice() else { return false };
    key.parse::<GreKey>().is_ok() && [from, to].iter().all(|id| is_plain_name(id, LONG_ID_MAX))
}

/// Id of a host as text, 1 to 64 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$", example = "7")]
pub struct HostId(String);
text_value!(HostId);

impl FromStr for HostId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if is_plain_name(text, 64) {
            Ok(HostId(text.to_owned()))
        } else {
            Err(Invalid::new("must have 1 to 64 characters: letters, digits, '.', '_', '-'", text))
        }
    }
}

impl From<crate::HostNumber> for HostId {
    /// A number's digits are an id.
    fn from(number: crate::HostNumber) -> Self {
        HostId(number.to_string())
    }
}

/// UUID of a network, with hyphens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(
    value_type = String,
    pattern = "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$",
    example = "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90"
)]
pub struct NetworkUuid(Uuid);

impl fmt::Display for NetworkUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for NetworkUuid {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let hyphenated = text.len() == 36 && text.as_bytes()[8] == b'-';
        match Uuid::try_parse(text) {
            Ok(uuid) if hyphenated => Ok(NetworkUuid(uuid)),
            _ => Err(Invalid::new("must be a UUID: 32 hexadecimal digits with hyphens (8-4-4-4-12)", text)),
        }
    }
}

/// GRE key of a network: 1 to 2147483647 (the management server's integers are signed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GreKey(u32);

impl GreKey {
    const RULE: &'static str = "must be a whole number from 1 to 2147483647";

    /// The key as a number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for GreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<i64> for GreKey {
    type Error = Invalid;

    fn try_from(number: i64) -> Result<Self, Invalid> {
        match u32::try_from(number) {
            Ok(key) if TunnelKind::Gre.keys().contains(&key) => Ok(GreKey(key)),
            _ => Err(Invalid::new(Self::RULE, number.to_string())),
        }
    }
}

impl FromStr for GreKey {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse::<i64>().ok().filter(|_| digits);
        number.ok_or_else(|| Invalid::new(Self::RULE, text)).and_then(GreKey::try_from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_name_is_one_that_open_vswitch_and_linux_accept() {
        for good in ["xapi12", "b", "br-0.1_x", "_x", "123456789012345"] {
            assert_eq!(good.parse::<BridgeName>().map(|n| n.to_string()), Ok(good.to_owned()));
        }
        let bad = [
            "",
            "1234567890123456",
            "a b",
            "..",
            ".",
            "-x",
            "x/y",
            "br\u{e4}",
            "a:b",
            "a\n",
            "ovs-system",
            "a;b",
            "@x",
        ];
        for bad in bad {
            let error = bad.parse::<BridgeName>().unwrap_err();
            assert_eq!(error.value, bad);
        }
    }

    #[test]
    fn a_key_is_a_positive_signed_integer() {
        for good in [1, 1001, 2_147_483_647] {
            assert_eq!(GreKey::try_from(good).map(|k| i64::from(k.get())), Ok(good));
        }
        for bad in [0, -1, 2_147_483_648, i64::MIN, i64::MAX] {
            assert!(GreKey::try_from(bad).is_err(), "{bad}");
        }
        for bad in ["", "+1", "-1", "0", "1 ", "0x10", "99999999999999999999"] {
            assert!(bad.parse::<GreKey>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_network_uuid_is_canonical() {
        let text = "6F1A9C3E-0B7D-4C58-9C11-3D0F2A5B7E90";
        assert_eq!(text.parse::<NetworkUuid>().map(|u| u.to_string()), Ok(text.to_lowercase()));
        for bad in ["", "x", "6f1a9c3e0b7d4c589c113d0f2a5b7e90", "{6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90}"] {
            assert!(bad.parse::<NetworkUuid>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_tunnel_port_name_fits_and_differs_by_each_part() {
        let id = |text: &str| text.parse::<HostId>().unwrap();
        let key = |n| GreKey::try_from(n).unwrap();
        assert_eq!(PortName::tunnel_port(key(1001), &id("1"), &id("2")).as_str(), "t1001-1-2");
        assert_eq!(PortName::tunnel_port(key(123456), &id("123"), &id("456")).as_str(), "t123456-123-456");
        let long = [(1234567, "123", "456"), (1234567, "124", "456"), (1234567, "123", "457"), (1234568, "123", "456")];
        let names: std::collections::BTreeSet<_> =
            long.iter().map(|(k, a, b)| PortName::tunnel_port(key(*k), &id(a), &id(b))).collect();
        assert_eq!(names.len(), long.len());
        assert!(names.iter().all(|n| n.as_str().len() == 15 && !n.as_str().contains('-')));
    }
}
