//! The daemon's log: how it is set, and setting its level while the daemon runs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the log is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::log_answer()))]
pub struct LogAnswer {
    /// The level in force: a level, and after it, separated by commas, `MODULE=LEVEL`.
    pub level: String,
    /// The level that the configuration says, which comes back with SIGHUP and with a restart.
    pub configured_level: String,
    /// The file.
    pub file: String,
    /// `text` or `json`.
    pub format: String,
    /// Size in bytes at which a new file is begun and the full one kept as the older one.
    pub max_size: u64,
    /// Lines that could not be written since the daemon started.
    pub lines_lost: u64,
}

/// Sets the level until the configuration is read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!(crate::example::put_log()))]
pub struct PutLog {
    /// `off`, `error`, `warn`, `info`, `debug` or `trace`, and after it, separated by commas, `MODULE=LEVEL`.
    #[schema(value_type = crate::schema::LogLevel)]
    pub level: String,
}
