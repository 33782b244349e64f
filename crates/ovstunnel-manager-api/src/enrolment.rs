//! Enrolment of hosts: tokens, and what a host sends and gets that joins by one. Must not judge either.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use ovstunnel_api::Outcome;

use crate::Host;

/// Body of `POST /v1/enrolment/tokens`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostToken {
    /// How many hosts may join by it.
    #[schema(minimum = 1, maximum = 1000)]
    pub hosts: u32,
    /// For how many seconds from now on: 7 days at most.
    #[schema(minimum = 1, maximum = 604_800)]
    pub ttl: u32,
}

/// The parts of a token's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenText<'a> {
    /// By which it is known: 8 lower hexadecimal digits.
    pub id: &'a str,
    /// What lets a host in: 40 such digits.
    pub secret: &'a str,
    /// SHA-256 of the CA's certificate: 64 such digits.
    pub fingerprint: &'a str,
}

impl<'a> TokenText<'a> {
    /// Reads `ID.SECRET.FINGERPRINT`; nothing where it is not of that form.
    pub fn parse_token(text: &'a str) -> Option<Self> {
        let digits = |text: &str, length: usize| {
            text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let (id, rest) = text.split_once('.')?;
        let (secret, fingerprint) = rest.split_once('.')?;
        let good = digits(id, 8) && digits(secret, 40) && digits(fingerprint, 64);
        good.then_some(TokenText { id, secret, fingerprint })
    }
}

/// A token as it is kept: without what lets a host in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// By which it is removed.
    pub id: String,
    /// How many hosts may join by it altogether.
    pub hosts: u32,
    /// How many may still.
    pub left: u32,
    /// When it ends: RFC 3339, UTC.
    pub ends: String,
    /// Who made it.
    pub by: String,
    /// `valid`, `used up` or `expired`.
    pub state: String,
}

/// Answer of `POST /v1/enrolment/tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewToken {
    /// What a host joins by: `ID.SECRET.FINGERPRINT`, the last the SHA-256 of the CA's certificate. It is told this once.
    pub text: String,
    /// What is kept of it.
    pub token: Token,
}

/// Answer of `GET /v1/enrolment/tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenList {
    /// The tokens that are kept, by id; those that ended are for seven days more.
    pub tokens: Vec<Token>,
}

/// Answer of `GET /v1/enrolment/ca`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnrolmentCa {
    /// The CA's certificate, PEM.
    pub certificate: String,
}

/// Body of `POST /v1/enrolment/join`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostJoin {
    /// The token.
    pub token: String,
    /// The host's name.
    #[schema(pattern = "^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]
    pub name: String,
    /// A request for its certificate: PKCS #10, PEM, of that common name.
    #[schema(max_length = 16384)]
    pub csr: String,
    /// Where its daemon will listen: by its own name, or by an address.
    #[schema(pattern = "^https://[^/?#@]+/?$", max_length = 512, example = "https://192.0.2.11:8443")]
    pub api: String,
    /// Its number; the next free one where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_isize)]
    pub number: Option<u64>,
}

impl std::fmt::Debug for PostJoin {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostJoin").field("name", &self.name).field("api", &self.api).finish_non_exhaustive()
    }
}

/// Answer of `POST /v1/enrolment/join`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Joined {
    /// The host as it is registered.
    pub host: Host,
    /// Its certificate, PEM.
    pub certificate: String,
    /// The CA's certificate, PEM.
    pub ca: String,
    /// When its certificate expires: RFC 3339, UTC.
    pub expires: String,
}

/// Body of `POST /v1/enrolment/renew`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostRenewal {
    /// A request for the same certificate again: PKCS #10, PEM, signed by the certificate's own key, of its common name and all of its other
    /// names.
    #[schema(max_length = 16384)]
    pub csr: String,
    /// Before its last third, too. With more than two thirds left there is no other one all the same.
    #[serde(default)]
    pub early: bool,
}

/// Answer of `POST /v1/enrolment/renew`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Renewed {
    /// `updated`, or `unchanged` where it is too early: the certificate is the one that there is.
    pub outcome: Outcome,
    /// The certificate, PEM.
    pub certificate: String,
    /// The certificates of the CAs to be trusted, PEM.
    pub ca: String,
    /// When the certificate expires: RFC 3339, UTC.
    pub expires: String,
}
