//! The values of the daemon's own sections that have rules of their own.
//!
//! What it does: turns one TOML value into its type, or says what was expected; the TOML reader adds the line. What it
//! must not do: know which key a value belongs to.

use std::time::Duration;

use humantime_serde::re::humantime;
use ovstunnel_plan::RemoteIp;
use ovstunnel_server::config::values::{Text, parse_text};
use ovstunnel_types::Tos;
use ovstunnel_types::text::excerpt;
use serde::de::{Deserializer, Error, Unexpected};
use serde::{Deserialize, Serialize, Serializer};

/// Whether xapi is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XapiMode {
    /// If the program `xe` is there when the daemon starts.
    Auto,
    /// Always, also where `xe` is not there yet.
    On,
    /// Never.
    Off,
}

/// An address of this host, unicast.
pub(super) fn some_ip<'de, D: Deserializer<'de>>(from: D) -> Result<Option<RemoteIp>, D::Error> {
    let text = String::deserialize(from)?;
    let read = text.parse().map_err(|_| {
        D::Error::invalid_value(Unexpected::Str(&excerpt(&text)), &"an address of this host at which tunnels can end")
    })?;
    Ok(Some(read))
}

/// A UDP port.
pub(super) fn udp_port<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u16>, D::Error> {
    let number = i64::deserialize(from)?;
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    let expected = "a UDP port, a whole number from 1 to 65535";
    port.map(Some).ok_or_else(|| D::Error::invalid_value(Unexpected::Signed(number), &expected))
}

/// The TOS of tunnels' packets: a word or a number.
pub(super) fn tos<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Tos>, D::Error> {
    struct Written;
    impl serde::de::Visitor<'_> for Written {
        type Value = Tos;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(Tos::RULE)
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<Tos, E> {
            let inherit = (text == "inherit").then_some(Tos::Inherit);
            inherit.ok_or_else(|| E::invalid_value(Unexpected::Str(&excerpt(text)), &self))
        }
        fn visit_i64<E: Error>(self, number: i64) -> Result<Tos, E> {
            Tos::from_number(number).ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
        }
    }
    from.deserialize_any(Written).map(Some)
}

/// The TOS as it is written in the file.
pub(super) fn show_tos<S: Serializer>(tos: &Option<Tos>, to: S) -> Result<S::Ok, S::Error> {
    match tos {
        Some(Tos::Octet(octet)) => to.serialize_u8(*octet),
        Some(Tos::Inherit) => to.serialize_str("inherit"),
        None => to.serialize_none(),
    }
}

/// The address as it is written in the file.
pub(super) fn show_ip<S: Serializer>(ip: &Option<RemoteIp>, to: S) -> Result<S::Ok, S::Error> {
    match ip {
        Some(ip) => to.collect_str(ip),
        None => to.serialize_none(),
    }
}

fn parse_duration_within(text: &str, least: Duration, most: Duration) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|d| (least..=most).contains(d))
}

pub(super) fn timeout<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    parse_text(d, r#"a duration of more than 0 and at most one hour, such as "30s""#, |t| {
        parse_duration_within(t, Duration::from_nanos(1), Duration::from_secs(3600))
    })
}

pub(super) fn interval<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    parse_text(d, r#"a duration from "1s" to "1d", such as "60s""#, |t| {
        parse_duration_within(t, Duration::from_secs(1), Duration::from_secs(86_400))
    })
}

/// Less says nothing: Open vSwitch tells of its counters every 5 s.
pub(super) fn forget_after<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    parse_text(d, r#"a duration from "10s" to "365d", such as "24h", or "off""#, |t| match t {
        "off" => Some(None),
        t => parse_duration_within(t, Duration::from_secs(10), Duration::from_secs(365 * 86_400)).map(Some),
    })
}

/// The duration as it is written in the file.
pub(super) fn show_forget_after<S: Serializer>(after: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    match after {
        Some(after) => to.collect_str(&humantime::format_duration(*after)),
        None => to.serialize_str("off"),
    }
}

pub(super) fn datapath_type<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    parse_text(d, r#""", "system" or "netdev""#, |t| matches!(t, "" | "system" | "netdev").then(|| t.to_owned()))
}

struct Prefix(String);

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        parse_text(d, "the beginning of a port name: 1 to 14 characters of A-Z, a-z, 0-9, `.`, `_` and `-`", |t| {
            let good = (1..=14).contains(&t.len())
                && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
            good.then(|| Prefix(t.to_owned()))
        })
    }
}

pub(super) fn prefixes<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let prefixes = Vec::<Prefix>::deserialize(d)?;
    if prefixes.is_empty() {
        return Err(D::Error::invalid_length(0, &r#"at least one prefix, such as ["vif"]"#));
    }
    Ok(prefixes.into_iter().map(|p| p.0).collect())
}

/// Highest limit of frames a second; beyond it a limit is none.
const PPS_MAX: u32 = 1_000_000;

pub(super) fn pps<'de, D: Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
    let expected = "a whole number from 0 (no limit) to 1000000, in frames a second";
    let number = i64::deserialize(d)?;
    let pps = u32::try_from(number).ok().filter(|pps| *pps <= PPS_MAX);
    pps.ok_or_else(|| D::Error::invalid_value(serde::de::Unexpected::Signed(number), &expected))
}

impl<'de> Deserialize<'de> for XapiMode {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Text {
            expected: r#"true, false or "auto""#,
            parse: |t| (t == "auto").then_some(XapiMode::Auto),
            flag: Some(|on| if on { XapiMode::On } else { XapiMode::Off }),
        })
    }
}

impl Serialize for XapiMode {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            XapiMode::Auto => s.serialize_str("auto"),
            XapiMode::On => s.serialize_bool(true),
            XapiMode::Off => s.serialize_bool(false),
        }
    }
}
