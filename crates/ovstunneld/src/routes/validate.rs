//! From the wire's types to values that are valid by construction.
//!
//! What it does: names field, rule and value of what is wrong. What it must not do: look at the switch; what only its
//! state can tell, the writer says.

use std::str::FromStr;

use ovstunnel_api::{Id, PostTunnel, PutBridge};
use ovstunnel_plan::{BridgeName, Change, CreateTunnel, GreKey, HostFacts, Invalid, RemoteIp, SetupBridge, TunnelSpec};
use ovstunnel_server::problem::ApiError;

use crate::host::{LocalAddress, not_another_host};

/// Most tunnels in one request: a network of the largest zone has 1,999.
const TUNNELS_MAX: usize = 10_000;

/// Parses text, naming its field where it breaks a rule.
pub(super) fn text<T: FromStr<Err = Invalid>>(field: &str, text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|error| invalid(field, &error))
}

fn invalid(field: &str, error: &Invalid) -> ApiError {
    ApiError::invalid(field, error.rule, Some(&error.value))
}

fn key(number: i64) -> Result<GreKey, ApiError> {
    GreKey::try_from(number).map_err(|error| invalid("key", &error))
}

fn id<T: FromStr<Err = Invalid>>(field: &str, id: &Id) -> Result<T, ApiError> {
    text(field, &id.to_string())
}

fn optional<T, U>(value: Option<&T>, parse: impl FnOnce(&T) -> Result<U, ApiError>) -> Result<Option<U>, ApiError> {
    value.map(parse).transpose()
}

fn remote(field: &str, ip: &str, local: &[LocalAddress]) -> Result<RemoteIp, ApiError> {
    let remote: RemoteIp = text(field, ip)?;
    match not_another_host(remote.get(), local) {
        Some(rule) => Err(ApiError::invalid(field, rule, Some(ip))),
        None => Ok(remote),
    }
}

/// `PUT /v1/bridges/{bridge}`. `local` are this host's addresses.
pub(super) fn setup(bridge: BridgeName, body: &PutBridge, local: &[LocalAddress]) -> Result<Change, ApiError> {
    let tunnels = optional(body.tunnels.as_ref(), |tunnels| {
        if tunnels.len() > TUNNELS_MAX {
            let count = tunnels.len().to_string();
            return Err(ApiError::invalid("tunnels", format!("must be at most {TUNNELS_MAX}"), Some(&count)));
        }
        let spec = |(n, tunnel): (usize, &ovstunnel_api::PutTunnel)| {
            Ok(TunnelSpec {
                to: id(&format!("tunnels[{n}].to"), &tunnel.to)?,
                remote_ip: remote(&format!("tunnels[{n}].remote_ip"), &tunnel.remote_ip, local)?,
                from: optional(tunnel.from.as_ref(), |from| id(&format!("tunnels[{n}].from"), from))?,
            })
        };
        tunnels.iter().enumerate().map(spec).collect::<Result<Vec<_>, ApiError>>()
    })?;
    Ok(Change::SetupBridge(SetupBridge {
        bridge,
        key: key(body.key)?,
        network_uuid: optional(body.network_uuid.as_ref(), |uuid| text("network_uuid", uuid))?,
        host_id: optional(body.host_id.as_ref(), |host| id("host_id", host))?,
        ipv6: body.ipv6,
        uplink: optional(body.uplink.as_ref(), |uplink| optional(uplink.as_ref(), |name| text("uplink", name)))?,
        tunnels,
        host: HostFacts::default(),
    }))
}

/// `POST /v1/bridges/{bridge}/tunnels`. `local` are this host's addresses.
pub(super) fn create_tunnel(bridge: BridgeName, body: &PostTunnel, local: &[LocalAddress]) -> Result<Change, ApiError> {
    Ok(Change::CreateTunnel(CreateTunnel {
        bridge,
        from: id("from", &body.from)?,
        to: id("to", &body.to)?,
        remote_ip: remote("remote_ip", &body.remote_ip, local)?,
        key: body.key.map(key).transpose()?,
        network_uuid: optional(body.network_uuid.as_ref(), |uuid| text("network_uuid", uuid))?,
        renumbers: false,
    }))
}
