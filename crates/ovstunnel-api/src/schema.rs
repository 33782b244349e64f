//! What texts in requests look like, for the description of the API. Must not be used to check them: the daemon's values
//! know their rules, and `scripts/schemathesis` asks the daemon whether the two agree.
#![expect(dead_code, reason = "only described; the fields are texts")]

use utoipa::ToSchema;

/// Name of a bridge, 1 to 15 characters.
#[derive(ToSchema)]
#[schema(pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,14}$", example = "xapi12")]
pub(crate) struct BridgeName(String);

/// Id of a host as text, 1 to 64 characters.
#[derive(ToSchema)]
#[schema(pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$", example = "7")]
pub(crate) struct HostId(String);

/// Id of a host as a number.
#[derive(ToSchema)]
#[schema(minimum = 0, maximum = 18_446_744_073_709_551_615_u64, format = "uint64")]
pub(crate) struct HostNumber(u64);

/// UUID of a network, with hyphens.
#[derive(ToSchema)]
#[schema(
    pattern = "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$",
    example = "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90"
)]
pub(crate) struct NetworkUuid(String);

/// IPv4 address of a host: not of 0.0.0.0/8, not loopback, below 224.0.0.0.
#[derive(ToSchema)]
#[schema(
    pattern = "^([1-9]|[1-9][0-9]|1[013-9][0-9]|12[0-689]|2[01][0-9]|22[0-3])([.](25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])){3}$",
    example = "192.0.2.12"
)]
pub(crate) struct RemoteIp(String);

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
