//! The values of a configuration that have rules of their own.
//!
//! What it does: turns one TOML value into its type, or says what was expected; the TOML reader adds the line. What it
//! must not do: know which key a value belongs to.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use bytesize::ByteSize;
use serde::Serializer;
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

use super::TlsClient;
use ovstunnel_types::text::excerpt;

/// A value written as text, and the rule for it. `flag` reads a boolean where that is allowed too.
#[derive(Debug)]
pub struct Text<T> {
    /// The rule, as it goes on from 'expected'.
    pub expected: &'static str,
    /// Reads a text.
    pub parse: fn(&str) -> Option<T>,
    /// Reads a boolean.
    pub flag: Option<fn(bool) -> T>,
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

/// Reads a text that `parse` takes.
///
/// # Errors
/// When it is no text, or one that breaks the rule.
pub fn parse_text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    deserializer.deserialize_any(Text { expected, parse, flag: None })
}

pub(super) fn some_listen<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Option<SocketAddr>>, D::Error> {
    parse_text(d, r#"an address and port such as "0.0.0.0:8443" or "[::]:8443", or "off""#, |t| match t {
        "off" => Some(None),
        t => t.parse().ok().map(Some),
    })
    .map(Some)
}

#[allow(clippy::ref_option, reason = "the signature is serde's")]
pub(super) fn show_listen<S: Serializer>(listen: &Option<SocketAddr>, s: S) -> Result<S::Ok, S::Error> {
    match listen {
        Some(address) => s.collect_str(address),
        None => s.serialize_str("off"),
    }
}

fn absolute_path(text: &str) -> Option<PathBuf> {
    (text.starts_with('/') && !text.contains('\0')).then(|| text.into())
}

/// An absolute path.
///
/// # Errors
/// When it is none.
pub fn path<'de, D: Deserializer<'de>>(d: D) -> Result<PathBuf, D::Error> {
    parse_text(d, "an absolute path", absolute_path)
}

pub(super) fn some_path<'de, D: Deserializer<'de>>(d: D) -> Result<Option<PathBuf>, D::Error> {
    path(d).map(Some)
}

pub(super) fn some_socket<'de, D: Deserializer<'de>>(d: D) -> Result<Option<PathBuf>, D::Error> {
    // sun_path of sockaddr_un has 108 bytes, the last one for the NUL.
    parse_text(d, "an absolute path of at most 107 bytes", |t| {
        absolute_path(t).filter(|_| t.len() < 108 && !t.ends_with('/'))
    })
    .map(Some)
}

pub(super) fn client_name<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    parse_text(d, "a name as it stands in a certificate: 1 to 253 characters, none of them a control character", |t| {
        let good = (1..=253).contains(&t.chars().count()) && !t.chars().any(char::is_control);
        good.then(|| t.to_owned())
    })
}

pub(super) fn clients<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<TlsClient>, D::Error> {
    let clients = Vec::<TlsClient>::deserialize(d)?;
    if clients.is_empty() {
        return Err(D::Error::invalid_length(0, &"at least one; leave it out where there is no list"));
    }
    let twice = |(n, client): &(usize, &TlsClient)| clients[..*n].iter().any(|other| other.name == client.name);
    match clients.iter().enumerate().find(twice) {
        Some((_, client)) => Err(D::Error::custom(format!("the name `{}` is there twice", excerpt(&client.name)))),
        None => Ok(clients),
    }
}

const SMALLEST_LOG: ByteSize = ByteSize::kib(64);
const LARGEST_LOG: ByteSize = ByteSize::tib(1);

pub(super) fn some_log_size<'de, D: Deserializer<'de>>(d: D) -> Result<Option<ByteSize>, D::Error> {
    parse_text(d, r#"a size from "64KiB" to "1TiB", such as "50MiB""#, |t| {
        t.parse().ok().filter(|size| (SMALLEST_LOG..=LARGEST_LOG).contains(size))
    })
    .map(Some)
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
