//! `[web]`: the page.
//!
//! What it must not do: name roles; a certificate's are under `[[tls.clients]]`, a link's are its maker's.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::values;

/// `[web]`: the page for browsers, at the address of the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Web {
    /// Whether there is a page. Without it a client that shows no certificate is refused before it can ask anything; with it such a client
    /// gets the sign-in page, and nothing else. Where hosts join by a token (`[enrolment]`), it may do that in either case.
    pub enabled: bool,
    /// How long a browser stays signed in that came by a link (`ovstunnelctl zone open`): from `"5m"` to `"7d"`. One with a certificate is
    /// not signed in, but asked for it with each connection.
    #[serde(deserialize_with = "values::session", serialize_with = "humantime_serde::serialize")]
    pub session: Duration,
}

impl Default for Web {
    fn default() -> Self {
        Web { enabled: true, session: Duration::from_secs(8 * 3600) }
    }
}
