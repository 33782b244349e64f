//! Calls of the xapi plugin, and of CloudStack's KVM agent, on the wire. Must not know which functions there are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Changed;

/// Body of `POST /v1/plugin/{function}` and of `POST /v1/kvm/{function}`: the arguments as xapi gives them, or the options as the agent gives
/// them, without their `--`; every value a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"bridge": "xapi12", "in_port": "t1001-1-2"}))]
pub struct PluginArguments(pub BTreeMap<String, String>);

/// Answer of a function that is known, also where it failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::plugin_answer()))]
pub struct PluginAnswer {
    /// `SUCCESS` with what belongs to it, `FAILURE:` with the reason, or what was asked for.
    #[schema(example = "SUCCESS:xapi12")]
    pub value: String,
    /// What was changed, each thing with what it was before; also where the function failed after that.
    #[serde(default)]
    pub changes: Vec<Changed>,
}
