//! What a certificate says of itself, and what of its form the TLS library does not take, in words for an operator.
//!
//! What it must not do: judge whether it is good for this host or for today, or open a file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use ovstunnel_types::text::{excerpt, foreign_message};

/// Kinds of keys that the TLS library takes.
pub(super) const TAKEN: &str = "ECDSA P-256 or P-384, RSA of 2048 to 8192 bits, or Ed25519";

/// Object identifiers of kinds of keys and of curves, with their names: dotted, and as they stand in DER.
const KINDS: [(&str, &[u8], &str); 9] = [
    ("1.2.840.10045.3.1.7", &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], P256),
    ("1.3.132.0.34", &[0x06, 5, 0x2b, 0x81, 4, 0, 0x22], P384),
    ("1.3.132.0.35", &[0x06, 5, 0x2b, 0x81, 4, 0, 0x23], "ECDSA P-521"),
    ("1.3.132.0.10", &[0x06, 5, 0x2b, 0x81, 4, 0, 0x0a], "ECDSA secp256k1"),
    ("1.3.36.3.3.2.8.1.1.7", &[0x06, 9, 0x2b, 0x24, 3, 3, 2, 8, 1, 1, 7], "ECDSA brainpoolP256r1"),
    ("1.3.101.112", &[0x06, 3, 0x2b, 0x65, 0x70], ED25519),
    ("1.3.101.113", &[0x06, 3, 0x2b, 0x65, 0x71], "Ed448"),
    ("1.2.840.10040.4.1", &[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1], "DSA"),
    ("1.2.840.113549.1.1.10", &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0a], "RSA-PSS"),
];
const P256: &str = "ECDSA P-256";
const P384: &str = "ECDSA P-384";
const ED25519: &str = "Ed25519";

/// What the extended key usage says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Nothing, so that it may be used for everything.
    Free,
    /// These, and anyExtendedKeyUsage perhaps.
    Named {
        /// serverAuth.
        server: bool,
        /// clientAuth.
        client: bool,
        /// anyExtendedKeyUsage.
        any: bool,
    },
}

impl Usage {
    /// Whether a server may show it.
    pub fn serves(self) -> bool {
        matches!(self, Usage::Free | Usage::Named { server: true, .. })
    }

    /// Whether a client may show it.
    pub(super) fn asks(self) -> bool {
        matches!(self, Usage::Free | Usage::Named { client: true, .. })
    }

    /// It names anyExtendedKeyUsage, which stands for no purpose by itself.
    pub(super) fn allows_any(self) -> bool {
        matches!(self, Usage::Named { any: true, .. })
    }
}

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is.
    pub subject: String,
    /// Who has signed it.
    pub issuer: String,
    /// When it begins to be valid.
    pub not_before: OffsetDateTime,
    /// When it expires.
    pub not_after: OffsetDateTime,
    /// What it is for.
    pub usage: Usage,
    /// DNS names, in small letters.
    pub names: Vec<String>,
    /// IP addresses.
    pub addresses: Vec<IpAddr>,
    /// It may sign others: it says so, or is of a version that cannot say it.
    pub authority: bool,
    /// It is of X.509 version 1.
    pub version_1: bool,
    /// The kind of its key, where the TLS library does not take that.
    pub strange_key: Option<String>,
}

impl Certificate {
    /// Reads one.
    pub fn from_parsed(parsed: &X509Certificate<'_>) -> Self {
        let usage = parsed.extended_key_usage().ok().flatten().map(|usage| usage.value);
        let (mut names, mut addresses) = (Vec::new(), Vec::new());
        let alternative = parsed.subject_alternative_name().ok().flatten();
        for name in alternative.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::DNSName(name) => names.push(name.to_lowercase()),
                GeneralName::IPAddress(bytes) => addresses.extend(parse_address(bytes)),
                _ => {}
            }
        }
        let basic = parsed.basic_constraints().ok().flatten();
        let version_1 = parsed.version() != X509Version::V3;
        Certificate {
            subject: excerpt(&parsed.subject().to_string()),
            issuer: excerpt(&parsed.issuer().to_string()),
            not_before: parsed.validity().not_before.to_datetime(),
            not_after: parsed.validity().not_after.to_datetime(),
            usage: usage.map_or(Usage::Free, |usage| Usage::Named {
                server: usage.server_auth,
                client: usage.client_auth,
                any: usage.any,
            }),
            names,
            addresses,
            authority: version_1 || basic.is_some_and(|basic| basic.value.ca),
            version_1,
            strange_key: unsupported_key(parsed.public_key()),
        }
    }

    /// What of its form keeps it from being shown by anybody.
    pub(super) fn unusable_reason(&self) -> Option<String> {
        if self.version_1 {
            return Some(
                "it is an X.509 certificate of version 1, which TLS does not take: issue it as version 3".into(),
            );
        }
        self.strange_key
            .as_ref()
            .map(|kind| format!("its key is {kind}, which the TLS library does not take: use {TAKEN}"))
    }
}

/// Reads a certificate in DER.
///
/// # Errors
/// Says in words that it cannot be read.
pub fn read_der(der: &[u8]) -> Result<Certificate, String> {
    match X509Certificate::from_der(der) {
        Ok(([], parsed)) => Ok(Certificate::from_parsed(&parsed)),
        Ok(_) => Err("there are bytes behind the certificate that do not belong to it".into()),
        Err(error) => Err(unreadable_message(&error)),
    }
}

/// That what is in a PEM block cannot be read.
pub fn unreadable_message(error: &dyn std::fmt::Display) -> String {
    format!("what is in it is damaged, or no X.509 certificate ({})", foreign_message(error))
}

fn parse_address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).ok().map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
    four.or_else(|| Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?))))
}

/// The kind of a key that the TLS library does not take.
fn unsupported_key(key: &SubjectPublicKeyInfo<'_>) -> Option<String> {
    let named = |oid: &str| KINDS.iter().find(|kind| kind.0 == oid).map(|kind| kind.2);
    match key.parsed() {
        Ok(PublicKey::RSA(key)) if (2041..=8192).contains(&key.key_size()) => None,
        Ok(PublicKey::RSA(key)) => Some(format!("RSA of {} bits", key.key_size())),
        Ok(PublicKey::DSA(_)) => Some("DSA".into()),
        _ => {
            let curve = key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
            let oid = curve.map_or_else(|| key.algorithm.algorithm.to_id_string(), |curve| curve.to_id_string());
            match named(&oid) {
                Some(P256 | P384 | ED25519) => None,
                Some(other) => Some(other.to_owned()),
                None => Some(format!("of a kind without a name here ({})", excerpt(&oid))),
            }
        }
    }
}

/// The kind of a private key in DER that the TLS library does not take, as far as it can be told.
pub(super) fn strange_private(der: &[u8]) -> Option<&'static str> {
    let has = |oid: &[u8]| der.windows(oid.len()).any(|window| window == oid);
    let strange = KINDS.iter().filter(|kind| ![P256, P384, ED25519].contains(&kind.2));
    strange.filter(|kind| has(kind.1)).map(|kind| kind.2).next()
}
