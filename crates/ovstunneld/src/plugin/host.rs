//! What the management server asks about the host itself. Must not change anything.

use ovstunnel_types::text::error_chain;

use super::{Call, Failure, Reason};
use crate::xapi::{Xapi, XapiError};

/// `is_xcp`: `XCP` on XCP and XCP-ng, another word elsewhere.
pub(super) async fn is_xcp(call: Call<'_>) -> Result<String, Failure> {
    let platform = require_xapi(call)?.platform().await.map_err(no_answer)?;
    Ok(if platform == "XCP" { "XCP" } else { "NOT_XCP" }.to_owned())
}

/// `getLabel`: the name-label of the network of the first PIF whose bridge has an address.
pub(super) async fn host_label(call: Call<'_>) -> Result<String, Failure> {
    let label = require_xapi(call)?.first_label(&call.state.interfaces).await.map_err(no_answer)?;
    label.ok_or_else(|| Failure::new(Reason::Unavailable, "no PIF of this host has a bridge with an IPv4 address"))
}

fn require_xapi(call: Call<'_>) -> Result<&Xapi, Failure> {
    let unused = || Failure::new(Reason::NotSupported, "xapi is not used; see [xapi] in the configuration");
    call.state.xapi.as_deref().ok_or_else(unused)
}

#[allow(clippy::needless_pass_by_value, reason = "the signature that `map_err` takes")]
fn no_answer(error: XapiError) -> Failure {
    Failure::new(Reason::Unavailable, format!("xapi does not answer: {}", error_chain(&error)))
}
