//! What a host gets, on the wire: the bodies of the requests that `ovstunnel-mesh` plans.
//!
//! What it must not do: send them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ovstunnel_api::{Id, PostKind, PostTunnel, PutBfd, PutBridge, PutNeighbour, PutTunnel};
use ovstunnel_mesh::{Request, bfd};
use ovstunnel_types::{HostId, HostNumber, Mac, RemoteIp};

use crate::zone::neighbours::ToTell;

/// A request to a daemon.
#[derive(Clone, Debug)]
pub enum Wire {
    /// `PUT /v1/bridges/{bridge}`.
    PutBridge(String, PutBridge),
    /// `POST /v1/bridges/{bridge}/tunnels`.
    PostTunnel(String, PostTunnel),
    /// `DELETE /v1/bridges/{bridge}/tunnels/{port}`.
    DeleteTunnel(String, String),
    /// `DELETE /v1/bridges/{bridge}`.
    DeleteBridge(String),
    /// `PUT /v1/bridges/{bridge}/bfd`.
    PutBfd(String, PutBfd),
    /// `POST /v1/bridges/{bridge}/kind`.
    ChangeKind(String, PostKind),
}

fn host_id(number: HostNumber) -> Id {
    Id::Text(number.to_string())
}

fn put_tunnels(tunnels: &BTreeMap<HostId, RemoteIp>) -> Vec<PutTunnel> {
    let tunnel = |(to, ip): (&HostId, &RemoteIp)| PutTunnel {
        to: Id::Text(to.to_string()),
        remote_ip: ip.to_string(),
        from: None,
    };
    tunnels.iter().map(tunnel).collect()
}

impl Wire {
    /// What this host gets.
    pub fn from_request(host: HostNumber, request: &Request) -> Wire {
        match request {
            Request::PutBridge { bridge, key, ipv6, kind, tunnels } => {
                let body = PutBridge {
                    key: i64::from(key.get()),
                    network_uuid: None,
                    host_id: Some(host_id(host)),
                    ipv6: *ipv6,
                    uplink: None,
                    neighbours: None,
                    kind: *kind,
                    tunnels: Some(put_tunnels(tunnels)),
                };
                Wire::PutBridge(bridge.to_string(), body)
            }
            Request::PostTunnel { bridge, key, to, remote_ip } => {
                let body = PostTunnel {
                    from: host_id(host),
                    to: host_id(*to),
                    remote_ip: remote_ip.to_string(),
                    key: Some(i64::from(key.get())),
                    network_uuid: None,
                };
                Wire::PostTunnel(bridge.to_string(), body)
            }
            Request::DeleteTunnel { bridge, port } => Wire::DeleteTunnel(bridge.to_string(), port.to_string()),
            Request::DeleteBridge { bridge } => Wire::DeleteBridge(bridge.to_string()),
            Request::ChangeKind { bridge, to, step, force } => {
                Wire::ChangeKind(bridge.to_string(), PostKind { to: *to, step: *step, force: *force })
            }
        }
    }

    /// Where BFD is to run on a bridge.
    pub fn set_bfd(set: &bfd::Set) -> Wire {
        let ports = set.ports.iter().map(ToString::to_string).collect();
        Wire::PutBfd(set.bridge.to_string(), PutBfd { ports, interval: None })
    }

    /// For which addresses the switch may answer on a bridge. All else of it stays as it is.
    pub fn tell_neighbours(to_tell: &ToTell) -> Wire {
        let neighbour = |(ip, mac): (&IpAddr, &Mac)| PutNeighbour { ip: ip.to_string(), mac: mac.to_string() };
        let body = PutBridge {
            key: i64::from(to_tell.key.get()),
            network_uuid: None,
            host_id: None,
            ipv6: None,
            uplink: None,
            neighbours: Some(to_tell.known.iter().map(neighbour).collect()),
            kind: None,
            tunnels: None,
        };
        Wire::PutBridge(to_tell.bridge.to_string(), body)
    }

    /// Its method and path.
    pub fn request_line(&self) -> (&'static str, String) {
        match self {
            Wire::PutBridge(bridge, _) => ("PUT", format!("/v1/bridges/{bridge}")),
            Wire::PostTunnel(bridge, _) => ("POST", format!("/v1/bridges/{bridge}/tunnels")),
            Wire::DeleteTunnel(bridge, port) => ("DELETE", format!("/v1/bridges/{bridge}/tunnels/{port}")),
            Wire::DeleteBridge(bridge) => ("DELETE", format!("/v1/bridges/{bridge}")),
            Wire::PutBfd(bridge, _) => ("PUT", format!("/v1/bridges/{bridge}/bfd")),
            Wire::ChangeKind(bridge, _) => ("POST", format!("/v1/bridges/{bridge}/kind")),
        }
    }

    /// Its body, where it has one.
    pub fn body(&self) -> Option<serde_json::Value> {
        // Structs of texts and numbers: serde_json cannot fail on them.
        match self {
            Wire::PutBridge(_, body) => serde_json::to_value(body).ok(),
            Wire::PostTunnel(_, body) => serde_json::to_value(body).ok(),
            Wire::PutBfd(_, body) => serde_json::to_value(body).ok(),
            Wire::ChangeKind(_, body) => serde_json::to_value(body).ok(),
            Wire::DeleteTunnel(..) | Wire::DeleteBridge(_) => None,
        }
    }

    /// The specification's word for it, by which its users look in the log; it has none for probes and kinds.
    pub fn command_word(&self) -> &'static str {
        match self {
            Wire::PutBridge(..) => "OvsSetupBridge",
            Wire::PostTunnel(..) => "OvsCreateTunnel",
            Wire::DeleteTunnel(..) => "OvsDestroyTunnel",
            Wire::DeleteBridge(_) => "OvsDestroyBridge",
            Wire::PutBfd(..) => "Bfd",
            Wire::ChangeKind(..) => "Kind",
        }
    }
}
