//! From the wire's types to values that are valid by construction.
//!
//! What it does: names field, rule and value of what is wrong. What it must not do: look at the switch; what only its
//! state can tell, the writer says.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use ovstunnel_api::{Id, PostTunnel, PutBfd, PutBridge, PutNeighbour};
use ovstunnel_plan::{
    BfdInterval, BridgeName, Change, CreateTunnel, GreKey, HostFacts, Invalid, Mac, Neighbours, PortName, RemoteIp,
    SetBfd, SetupBridge, TunnelSpec,
};
use ovstunnel_server::problem::ApiError;
use ovstunnel_types::{NEIGHBOURS_MAX, can_be_of_a_vm};

use crate::host::{LocalAddress, not_another_host};

/// Most tunnels in one request: a network of the largest zone has 1,999.
const TUNNELS_MAX: usize = 10_000;

/// Parses text, naming its field where it breaks a rule.
pub(super) fn parse_field<T: FromStr<Err = Invalid>>(field: &str, text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|error| invalid_field(field, &error))
}

fn invalid_field(field: &str, error: &Invalid) -> ApiError {
    ApiError::invalid(field, error.rule, Some(&error.value))
}

fn parse_key(number: i64) -> Result<GreKey, ApiError> {
    GreKey::try_from(number).map_err(|error| invalid_field("key", &error))
}

fn parse_id<T: FromStr<Err = Invalid>>(field: &str, id: &Id) -> Result<T, ApiError> {
    parse_field(field, &id.to_string())
}

fn parse_optional<T, U>(
    value: Option<&T>,
    parse: impl FnOnce(&T) -> Result<U, ApiError>,
) -> Result<Option<U>, ApiError> {
    value.map(parse).transpose()
}

fn parse_remote(field: &str, ip: &str, local: &[LocalAddress]) -> Result<RemoteIp, ApiError> {
    let remote: RemoteIp = parse_field(field, ip)?;
    match not_another_host(remote.get(), local) {
        Some(rule) => Err(ApiError::invalid(field, rule, Some(ip))),
        None => Ok(remote),
    }
}

/// `PUT /v1/bridges/{bridge}`. `local` are this host's addresses.
pub(super) fn setup_change(bridge: BridgeName, body: &PutBridge, local: &[LocalAddress]) -> Result<Change, ApiError> {
    let tunnels = parse_optional(body.tunnels.as_ref(), |tunnels| {
        if tunnels.len() > TUNNELS_MAX {
            let count = tunnels.len().to_string();
            return Err(ApiError::invalid("tunnels", format!("must be at most {TUNNELS_MAX}"), Some(&count)));
        }
        let spec = |(n, tunnel): (usize, &ovstunnel_api::PutTunnel)| {
            Ok(TunnelSpec {
                to: parse_id(&format!("tunnels[{n}].to"), &tunnel.to)?,
                remote_ip: parse_remote(&format!("tunnels[{n}].remote_ip"), &tunnel.remote_ip, local)?,
                from: parse_optional(tunnel.from.as_ref(), |from| parse_id(&format!("tunnels[{n}].from"), from))?,
            })
        };
        tunnels.iter().enumerate().map(spec).collect::<Result<Vec<_>, ApiError>>()
    })?;
    Ok(Change::SetupBridge(SetupBridge {
        bridge,
        key: parse_key(body.key)?,
        network_uuid: parse_optional(body.network_uuid.as_ref(), |uuid| parse_field("network_uuid", uuid))?,
        host_id: parse_optional(body.host_id.as_ref(), |host| parse_id("host_id", host))?,
        ipv6: body.ipv6,
        uplink: parse_optional(body.uplink.as_ref(), |uplink| {
            parse_optional(uplink.as_ref(), |name| parse_field("uplink", name))
        })?,
        tunnel_kind: body.kind,
        tunnels,
        neighbours: body.neighbours.as_deref().map(parse_neighbours).transpose()?,
        host: HostFacts::default(),
        agent: false,
    }))
}

/// The addresses for which the switch answers.
fn parse_neighbours(told: &[PutNeighbour]) -> Result<BTreeMap<IpAddr, Mac>, ApiError> {
    if told.len() > NEIGHBOURS_MAX {
        let rule = format!("must be at most {NEIGHBOURS_MAX}");
        return Err(ApiError::invalid("neighbours", rule, Some(&told.len().to_string())));
    }
    let mut known = BTreeMap::new();
    for (n, PutNeighbour { ip, mac }) in told.iter().enumerate() {
        let (ip_field, mac_field) = (format!("neighbours[{n}].ip"), format!("neighbours[{n}].mac"));
        let address = ip.parse().ok().filter(can_be_of_a_vm);
        let address = address.ok_or_else(|| ApiError::invalid(&ip_field, Neighbours::ADDRESS, Some(ip)))?;
        if known.insert(address, parse_field(&mac_field, mac)?).is_some() {
            return Err(ApiError::invalid(ip_field, "must not stand twice", Some(ip)));
        }
    }
    Ok(known)
}

/// How often BFD sends where nobody says, milliseconds: a cut is seen after three of them.
const BFD_INTERVAL: i64 = 1000;

/// `PUT /v1/bridges/{bridge}/bfd`.
pub(super) fn set_bfd(bridge: BridgeName, body: &PutBfd) -> Result<Change, ApiError> {
    let mut ports: Vec<PortName> = Vec::new();
    for (n, name) in body.ports.iter().enumerate() {
        let (field, port) = (format!("ports[{n}]"), parse_field(&format!("ports[{n}]"), name)?);
        if let Some(first) = ports.iter().position(|other| *other == port) {
            return Err(ApiError::invalid(field, format!("must not stand twice; it is ports[{first}]"), Some(name)));
        }
        ports.push(port);
    }
    let asked = body.interval.unwrap_or(BFD_INTERVAL);
    let interval = u32::try_from(asked).ok().and_then(BfdInterval::new);
    let interval =
        interval.ok_or_else(|| ApiError::invalid("interval", BfdInterval::RULE, Some(&asked.to_string())))?;
    Ok(Change::SetBfd(SetBfd { bridge, ports, interval }))
}

/// `POST /v1/bridges/{bridge}/tunnels`. `local` are this host's addresses.
pub(super) fn create_tunnel(bridge: BridgeName, body: &PostTunnel, local: &[LocalAddress]) -> Result<Change, ApiError> {
    Ok(Change::CreateTunnel(CreateTunnel {
        bridge,
        from: parse_id("from", &body.from)?,
        to: parse_id("to", &body.to)?,
        remote_ip: parse_remote("remote_ip", &body.remote_ip, local)?,
        key: body.key.map(parse_key).transpose()?,
        network_uuid: parse_optional(body.network_uuid.as_ref(), |uuid| parse_field("network_uuid", uuid))?,
        renumbers: false,
    }))
}
