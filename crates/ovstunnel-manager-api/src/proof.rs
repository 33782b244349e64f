//! The proof that a network is whole, or the reasons against it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// One reason why a network is not whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// What is wrong: a stable word for programs, such as `tunnel_missing`.
    pub what: String,
    /// The host that it is on: its name, or its number where it is not registered.
    pub host: String,
    /// The host at the other end, where it is about a tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What was seen.
    pub evidence: String,
    /// What takes it away.
    pub remedy: String,
}

/// From which of a host's pictures a proof was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SeenAt {
    /// The host's name.
    pub host: String,
    /// Which life of its daemon the version counts in.
    pub instance: String,
    /// The version.
    pub version: u64,
    /// Seconds since the host's last sign of life.
    pub age: f64,
}

/// Tunnels of a network, each direction for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TunnelProof {
    /// How many there must be.
    pub wanted: u64,
    /// How many are there exactly once, with the right address and key, up and protected.
    pub proven: u64,
}

/// Who vouches for a proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Signature {
    /// How it was signed, as RFC 8446, 4.2.3 names it.
    pub scheme: String,
    /// The manager's certificate, PEM.
    pub certificate: String,
    /// The signature of the digest's text, in hexadecimal digits.
    pub value: String,
}

/// Answer of `GET /v1/networks/{network}/proof`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Proof {
    /// The zone.
    pub zone: String,
    /// The network's name.
    pub network: String,
    /// Its GRE key.
    pub key: u32,
    /// Whether each frame reaches each of its hosts exactly once, as far as the hosts' own words can tell.
    pub whole: bool,
    /// The first reason why not, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Counts the changes of the network's mesh that the manager has seen since it started.
    pub generation: u64,
    /// When it was made: RFC 3339, UTC.
    pub at: String,
    /// The hosts, each with the version of what it said.
    pub hosts: Vec<SeenAt>,
    /// The tunnels.
    pub tunnels: TunnelProof,
    /// What is wrong, the worst first; 200 at most.
    pub findings: Vec<Finding>,
    /// How many findings there are.
    pub found: u32,
    /// Seconds since frames were last sent into all tunnels of the network; absent where that was never done as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probed_age: Option<f64>,
    /// SHA-256, in hexadecimal digits, of this document without `digest` and `signature`, as JSON without spaces and with sorted keys.
    pub digest: String,
    /// The manager's signature of the digest; absent where it has no certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

impl Proof {
    /// What `digest` must be: SHA-256, in hexadecimal digits, of the proof without digest and signature, as JSON without spaces and with
    /// sorted keys.
    pub fn compute_digest(&self) -> String {
        let bare = Proof { digest: String::new(), signature: None, ..self.clone() };
        // A struct of texts and numbers: serde_json cannot fail on it.
        let mut value = serde_json::to_value(bare).unwrap_or_default();
        if let Some(fields) = value.as_object_mut() {
            fields.remove("digest");
        }
        // Objects of serde_json are sorted, since nothing has them keep the order of insertion; a test sees to it.
        to_hex(&Sha256::digest(value.to_string().as_bytes()))
    }
}

/// Bytes as hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_an_object_are_sorted() {
        assert_eq!(serde_json::json!({"b": 1, "a": {"d": 1, "c": 2}}).to_string(), r#"{"a":{"c":2,"d":1},"b":1}"#);
    }

    #[test]
    fn the_digest_is_of_all_but_itself_and_the_signature() {
        let proof = Proof {
            zone: "dc1".into(),
            network: "key-7".into(),
            key: 7,
            whole: true,
            reason: None,
            generation: 1,
            at: "2026-11-26T00:00:00Z".into(),
            hosts: vec![],
            tunnels: TunnelProof { wanted: 0, proven: 0 },
            findings: vec![],
            found: 0,
            probed_age: None,
            digest: String::new(),
            signature: None,
        };
        let digest = proof.compute_digest();
        assert_eq!(digest.len(), 64);
        assert_eq!(Proof { digest: digest.clone(), ..proof.clone() }.compute_digest(), digest);
        assert_ne!(Proof { whole: false, ..proof }.compute_digest(), digest);
    }
}
