//! `[enrolment]`: hosts that join by a token.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::values;

/// `[enrolment]`: hosts that join by a token (`ovstunnelctl join`), and get their certificates so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Enrolment {
    /// The folder of the CA, `ca.crt` and `ca.key`, as `ovstunnelctl pki init` makes it, such as `"/etc/ovstunnel/pki"`. Hosts' certificates
    /// are written there too, so the manager must be able to write to it. Without it no host can join. With it a client that shows no
    /// certificate gets the CA's certificate and may join by a token, and nothing else.
    #[serde(deserialize_with = "values::some_path")]
    pub authority: Option<PathBuf>,
}
