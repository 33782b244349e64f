//! The values of the configuration that have rules of their own.
//!
//! What it does: turns one TOML value into its type, or says what was expected; the TOML reader adds the line. What it
//! must not do: know which key a value belongs to.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use humantime_serde::re::humantime;
use ovstunnel_core::RemoteIp;
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::TlsClient;
use crate::problem::echo;

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

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Operator,
    /// Only read.
    Viewer,
}

/// An address of this host, unicast.
pub(super) fn some_ip<'de, D: Deserializer<'de>>(from: D) -> Result<Option<RemoteIp>, D::Error> {
    let text = String::deserialize(from)?;
    let read = text
        .parse()
        .map_err(|_| D::Error::invalid_value(Unexpected::Str(&echo(&text)), &"an IPv4 address of this host"))?;
    Ok(Some(read))
}

/// The address as it is written in the file.
pub(super) fn show_ip<S: Serializer>(ip: &Option<RemoteIp>, to: S) -> Result<S::Ok, S::Error> {
    match ip {
        Some(ip) => to.collect_str(ip),
        None => to.serialize_none(),
    }
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people: time, level, request, module, message, fields.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged: a level, and levels of single modules. Other crates' lines are logged from `warn` on at most, unless
/// a module of theirs is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    text: String,
    base: LevelFilter,
    modules: Vec<(String, LevelFilter)>,
}

/// Target of the lines that say who did what.
pub const AUDIT: &str = "audit";

/// What a level may be.
pub const LEVELS: &str = r#""off", "error", "warn", "info", "debug" or "trace""#;

impl Level {
    /// Reads `"info"` or `"info,ovstunneld::listen=debug"`. None when it is neither.
    pub fn parse(text: &str) -> Option<Level> {
        let mut parts = text.split(',').map(|part| part.trim_matches(' '));
        let base = level(parts.next()?)?;
        let modules = parts
            .map(|part| {
                let (module, word) = part.split_once('=')?;
                let is_module =
                    !module.is_empty() && module.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c));
                is_module.then_some((module.to_owned(), level(word)?))
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Level { text: text.to_owned(), base, modules })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// As a filter for the log.
    ///
    /// Who did what is logged at any level but `off`, unless `audit` is among the modules.
    pub fn targets(&self) -> Targets {
        let audit = if self.base == LevelFilter::OFF { LevelFilter::OFF } else { self.base.max(LevelFilter::INFO) };
        Targets::new()
            .with_default(self.base.min(LevelFilter::WARN))
            .with_target("ovstunnel", self.base)
            .with_target(AUDIT, audit)
            .with_targets(self.modules.iter().cloned())
    }

    /// The lines that say who did what, and no others.
    pub fn targets_of_audit(&self) -> Targets {
        let base = if self.base == LevelFilter::OFF { LevelFilter::OFF } else { LevelFilter::INFO };
        let own = self.modules.iter().rev().find(|(module, _)| module == AUDIT);
        Targets::new().with_target(AUDIT, own.map_or(base, |(_, level)| *level))
    }
}

impl Default for Level {
    fn default() -> Self {
        Level { text: "info".to_owned(), base: LevelFilter::INFO, modules: Vec::new() }
    }
}

fn level(word: &str) -> Option<LevelFilter> {
    match word {
        "off" => Some(LevelFilter::OFF),
        "error" => Some(LevelFilter::ERROR),
        "warn" => Some(LevelFilter::WARN),
        "info" => Some(LevelFilter::INFO),
        "debug" => Some(LevelFilter::DEBUG),
        "trace" => Some(LevelFilter::TRACE),
        _ => None,
    }
}

/// A value written as text, and the rule for it. `flag` reads a boolean where that is allowed too.
struct Text<T> {
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
    flag: Option<fn(bool) -> T>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<T, E> {
        self.flag.map(|read| read(flag)).ok_or_else(|| E::invalid_type(Unexpected::Bool(flag), &self))
    }
}

fn text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    deserializer.deserialize_any(Text { expected, parse, flag: None })
}

pub(super) fn listen<'de, D: Deserializer<'de>>(d: D) -> Result<Option<SocketAddr>, D::Error> {
    text(d, r#"an address and port such as "0.0.0.0:8443" or "[::]:8443", or "off""#, |t| match t {
        "off" => Some(None),
        t => t.parse().ok().map(Some),
    })
}

#[allow(clippy::ref_option, reason = "the signature is serde's")]
pub(super) fn show_listen<S: Serializer>(listen: &Option<SocketAddr>, s: S) -> Result<S::Ok, S::Error> {
    match listen {
        Some(address) => s.collect_str(address),
        None => s.serialize_str("off"),
    }
}

fn absolute(text: &str) -> Option<PathBuf> {
    (text.starts_with('/') && !text.contains('\0')).then(|| text.into())
}

pub(super) fn path<'de, D: Deserializer<'de>>(d: D) -> Result<PathBuf, D::Error> {
    text(d, "an absolute path", absolute)
}

pub(super) fn some_path<'de, D: Deserializer<'de>>(d: D) -> Result<Option<PathBuf>, D::Error> {
    path(d).map(Some)
}

pub(super) fn socket<'de, D: Deserializer<'de>>(d: D) -> Result<PathBuf, D::Error> {
    // sun_path of sockaddr_un has 108 bytes, the last one for the NUL.
    text(d, "an absolute path of at most 107 bytes", |t| absolute(t).filter(|_| t.len() < 108 && !t.ends_with('/')))
}

fn duration(text: &str, least: Duration, most: Duration) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|d| (least..=most).contains(d))
}

pub(super) fn timeout<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    text(d, r#"a duration of more than 0 and at most one hour, such as "30s""#, |t| {
        duration(t, Duration::from_nanos(1), Duration::from_secs(3600))
    })
}

pub(super) fn interval<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    text(d, r#"a duration from "1s" to "1d", such as "60s""#, |t| {
        duration(t, Duration::from_secs(1), Duration::from_secs(86_400))
    })
}

pub(super) fn datapath_type<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    text(d, r#""", "system" or "netdev""#, |t| matches!(t, "" | "system" | "netdev").then(|| t.to_owned()))
}

struct Prefix(String);

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        text(d, "the beginning of a port name: 1 to 14 characters of A-Z, a-z, 0-9, `.`, `_` and `-`", |t| {
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

pub(super) fn client_name<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    text(d, "a name as it stands in a certificate: 1 to 253 characters, none of them a control character", |t| {
        let good = (1..=253).contains(&t.chars().count()) && !t.chars().any(char::is_control);
        good.then(|| t.to_owned())
    })
}

pub(super) fn clients<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<TlsClient>, D::Error> {
    let clients = Vec::<TlsClient>::deserialize(d)?;
    if clients.is_empty() {
        return Err(D::Error::invalid_length(0, &"at least one; leave it out to let every client be an operator"));
    }
    let twice = |(n, client): &(usize, &TlsClient)| clients[..*n].iter().any(|other| other.name == client.name);
    match clients.iter().enumerate().find(twice) {
        Some((_, client)) => Err(D::Error::custom(format!("the name `{}` is there twice", echo(&client.name)))),
        None => Ok(clients),
    }
}

const SMALLEST_LOG: ByteSize = ByteSize::kib(64);
const LARGEST_LOG: ByteSize = ByteSize::tib(1);

pub(super) fn log_size<'de, D: Deserializer<'de>>(d: D) -> Result<ByteSize, D::Error> {
    text(d, r#"a size from "64KiB" to "1TiB", such as "50MiB""#, |t| {
        t.parse().ok().filter(|size| (SMALLEST_LOG..=LARGEST_LOG).contains(size))
    })
}

/// In the largest unit that does not round it.
pub(super) fn show_size<S: Serializer>(size: &ByteSize, s: S) -> Result<S::Ok, S::Error> {
    let units = [("TiB", bytesize::TIB), ("GiB", bytesize::GIB), ("MiB", bytesize::MIB), ("KiB", bytesize::KIB)];
    let bytes = size.as_u64();
    match units.iter().find(|(_, unit)| bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => s.collect_str(&format_args!("{}{name}", bytes / unit)),
        None => s.collect_str(&format_args!("{bytes}B")),
    }
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

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let level =
            text(d, "a level, and after it levels of modules, such as \"info,ovstunneld::listen=debug\"", |t| {
                Some((Level::parse(t), t.to_owned()))
            })?;
        level.0.ok_or_else(|| {
            let expected = format!("{LEVELS}, and after it, separated by commas, MODULE=LEVEL");
            D::Error::invalid_value(Unexpected::Str(&level.1), &expected.as_str())
        })
    }
}
