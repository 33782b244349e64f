//! What texts in requests look like, for the description of the API. Must not be used to check them: the daemon's values
//! know their rules, and `scripts/schemathesis` asks the daemon whether the two agree.
#![expect(dead_code, reason = "only described; the fields are texts")]

use utoipa::ToSchema;

/// Id of a host as a number.
#[derive(ToSchema)]
#[schema(minimum = 0, maximum = 18_446_744_073_709_551_615_u64, format = "uint64", example = 1)]
pub(crate) struct HostNumber(u64);

/// Number of a leadership.
#[derive(ToSchema)]
#[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_u64, format = "int64", example = 4)]
pub(crate) struct EpochNumber(u64);

/// Name of a port of the switch, 1 to 255 bytes.
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 255, pattern = "^[ -~]{1,255}$", example = "eth1")]
pub(crate) struct PortName(String);

/// Level of the log: one for all, then those of single modules.
#[derive(ToSchema)]
#[schema(
    pattern = "^ *(off|error|warn|info|debug|trace) *(, *[A-Za-z0-9_:]+=(off|error|warn|info|debug|trace) *)*$",
    example = "info,ovstunnel_ovs=debug"
)]
pub(crate) struct LogLevel(String);
