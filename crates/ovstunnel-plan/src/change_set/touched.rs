//! What a change set keeps of a bridge. Must not decide what of it is carried out.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::{DesiredBridge, ObservedBridge, PluginFlow};

/// A touched bridge: what is there, and what must be there.
#[derive(Clone, Debug, Default)]
pub(super) struct Touched {
    pub(super) observed: Option<Arc<ObservedBridge>>,
    pub(super) desired: Option<DesiredBridge>,
    /// Left-overs of ours go although the bridge is not ours.
    pub(super) swept: bool,
    /// What is not ours stays, whoever made the bridge.
    pub(super) released: bool,
    /// It goes as a whole, whoever made it.
    pub(super) deleted: bool,
    /// Flows of the Python plugin that go; nothing where it is no take-over.
    pub(super) plugins: Option<BTreeSet<PluginFlow>>,
    /// The port that leads to the root of STP's tree, at a take-over.
    pub(super) stp_root_port: Option<String>,
}
