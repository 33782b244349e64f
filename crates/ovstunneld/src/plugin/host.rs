//! What the management server asks about the host itself. Must not change anything.

use super::{Call, Failure, Reason};

/// `is_xcp`: `XCP` on XCP and XCP-ng.
pub(super) async fn is_xcp(_call: Call<'_>) -> Result<String, Failure> {
    Err(Failure::new(Reason::NotSupported, ""))
}

/// `getLabel`: the name-label of the network that tunnels go over.
pub(super) async fn label(_call: Call<'_>) -> Result<String, Failure> {
    Err(Failure::new(Reason::NotSupported, ""))
}
