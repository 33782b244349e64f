//! The routes: method, path and body of each request, in one place.
//!
//! What it does: builds paths from names so that no name can change which route is meant. What it must not do: send.

use std::borrow::Cow;

use http::Method;
use ovstunnel_api::{
    PluginArguments, PostKind, PostProbe, PostTunnel, PutBfd, PutBridge, PutEpoch, PutLog, PutXapiNetwork,
    TakeoverRequest,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::{Cause, ClientError, Packet};

/// All that is not an unreserved character of RFC 3986, 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One request, ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) method: Method,
    path: String,
    query: Option<Cow<'static, str>>,
    pub(super) body: Option<Vec<u8>>,
    /// Headers that only some requests have.
    pub(super) headers: Vec<(&'static str, String)>,
}

pub(super) fn put_bridge(bridge: &str, body: &PutBridge) -> Result<Call, ClientError> {
    Call::new(Method::PUT, &["v1", "bridges", path_segment("bridge", bridge)?]).with_json(body)
}

pub(super) fn put_bfd(bridge: &str, body: &PutBfd) -> Result<Call, ClientError> {
    Call::new(Method::PUT, &["v1", "bridges", path_segment("bridge", bridge)?, "bfd"]).with_json(body)
}

pub(super) fn post_kind(bridge: &str, body: &PostKind) -> Result<Call, ClientError> {
    Call::new(Method::POST, &["v1", "bridges", path_segment("bridge", bridge)?, "kind"]).with_json(body)
}

pub(super) fn get_counters() -> Call {
    Call::new(Method::GET, &["v1", "counters"])
}

pub(super) fn get_watch() -> Call {
    Call::new(Method::GET, &["v1", "watch"])
}

pub(super) fn get_bridges() -> Call {
    Call::new(Method::GET, &["v1", "bridges"])
}

pub(super) fn get_bridge(bridge: &str) -> Result<Call, ClientError> {
    Ok(Call::new(Method::GET, &["v1", "bridges", path_segment("bridge", bridge)?]))
}

pub(super) fn get_fdb(bridge: &str, mac: Option<&str>) -> Result<Call, ClientError> {
    let call = Call::new(Method::GET, &["v1", "bridges", path_segment("bridge", bridge)?, "fdb"]);
    Ok(call.with_query(&[("mac", mac.map(str::to_owned))]))
}

pub(super) fn get_trace(bridge: &str, in_port: &str, source: &str, destination: &str) -> Result<Call, ClientError> {
    let call = Call::new(Method::GET, &["v1", "bridges", path_segment("bridge", bridge)?, "trace"]);
    let query = [("in_port", in_port), ("source", source), ("destination", destination)];
    Ok(call.with_query(&query.map(|(name, value)| (name, Some(value.to_owned())))))
}

/// The same of an IPv4 packet in the frame.
pub(super) fn get_packet_trace(
    bridge: &str,
    in_port: &str,
    (source, destination): (&str, &str),
    packet: &Packet,
) -> Result<Call, ClientError> {
    let call = Call::new(Method::GET, &["v1", "bridges", path_segment("bridge", bridge)?, "trace"]);
    let text = |value: &str| Some(value.to_owned());
    Ok(call.with_query(&[
        ("in_port", text(in_port)),
        ("source", text(source)),
        ("destination", text(destination)),
        ("from_ip", Some(packet.from.to_string())),
        ("to_ip", Some(packet.to.to_string())),
        ("protocol", text(&packet.protocol)),
        ("to_port", packet.to_port.map(|port| port.to_string())),
    ]))
}

pub(super) fn get_limit(bridge: &str, vif: &str) -> Result<Call, ClientError> {
    let call = Call::new(Method::GET, &["v1", "bridges", path_segment("bridge", bridge)?, "limit"]);
    Ok(call.with_query(&[("vif", Some(vif.to_owned()))]))
}

pub(super) fn post_probe(bridge: &str, body: &PostProbe) -> Result<Call, ClientError> {
    Call::new(Method::POST, &["v1", "bridges", path_segment("bridge", bridge)?, "probe"]).with_json(body)
}

pub(super) fn delete_bridge(bridge: &str) -> Result<Call, ClientError> {
    Ok(Call::new(Method::DELETE, &["v1", "bridges", path_segment("bridge", bridge)?]))
}

pub(super) fn release_bridge(bridge: &str) -> Result<Call, ClientError> {
    Ok(Call::new(Method::POST, &["v1", "bridges", path_segment("bridge", bridge)?, "release"]))
}

pub(super) fn post_takeover(body: &TakeoverRequest) -> Result<Call, ClientError> {
    Call::new(Method::POST, &["v1", "takeover"]).with_json(body)
}

pub(super) fn post_tunnel(bridge: &str, body: &PostTunnel) -> Result<Call, ClientError> {
    Call::new(Method::POST, &["v1", "bridges", path_segment("bridge", bridge)?, "tunnels"]).with_json(body)
}

pub(super) fn delete_tunnel(bridge: &str, port: &str) -> Result<Call, ClientError> {
    let path = ["v1", "bridges", path_segment("bridge", bridge)?, "tunnels", path_segment("port", port)?];
    Ok(Call::new(Method::DELETE, &path))
}

pub(super) fn get_interface(label: &str) -> Result<Call, ClientError> {
    Ok(Call::new(Method::GET, &["v1", "interfaces", path_segment("label", label)?]))
}

pub(super) fn get_network(key: u32) -> Call {
    Call::new(Method::GET, &["v1", "networks", &key.to_string()])
}

pub(super) fn put_network(key: u32, body: &PutXapiNetwork) -> Result<Call, ClientError> {
    Call::new(Method::PUT, &["v1", "networks", &key.to_string()]).with_json(body)
}

pub(super) fn post_kvm(function: &str, arguments: &PluginArguments) -> Result<Call, ClientError> {
    Call::new(Method::POST, &["v1", "kvm", path_segment("function", function)?]).with_json(arguments)
}

pub(super) fn post_plugin(function: &str, arguments: &PluginArguments) -> Result<Call, ClientError> {
    Call::new(Method::POST, &["v1", "plugin", path_segment("function", function)?]).with_json(arguments)
}

pub(super) fn post_reconcile() -> Call {
    Call::new(Method::POST, &["v1", "reconcile"])
}

pub(super) fn get_doctor(probe_peers: bool) -> Call {
    let query = probe_peers.then_some("probe_peers=true".into());
    Call { query, ..Call::new(Method::GET, &["v1", "doctor"]) }
}

pub(super) fn get_support() -> Call {
    Call::new(Method::GET, &["v1", "support"])
}

pub(super) fn get_log() -> Call {
    Call::new(Method::GET, &["v1", "log"])
}

pub(super) fn put_log(body: &PutLog) -> Result<Call, ClientError> {
    Call::new(Method::PUT, &["v1", "log"]).with_json(body)
}

pub(super) fn get_epoch() -> Call {
    Call::new(Method::GET, &["v1", "epoch"])
}

pub(super) fn put_epoch(body: &PutEpoch) -> Result<Call, ClientError> {
    Call::new(Method::PUT, &["v1", "epoch"]).with_json(body)
}

pub(super) fn delete_epoch() -> Call {
    Call::new(Method::DELETE, &["v1", "epoch"])
}

pub(super) fn get_healthz() -> Call {
    Call::new(Method::GET, &["healthz"])
}

pub(super) fn get_readyz() -> Call {
    Call::new(Method::GET, &["readyz"])
}

/// Names that a URL cannot carry: an empty segment and the dot segments (also percent-encoded) make another path of it, and of
/// control characters some are left out of a URL without a word, so that it names another thing.
fn path_segment<'a>(field: &'static str, value: &'a str) -> Result<&'a str, ClientError> {
    match value {
        "" | "." | ".." => Err(ClientError::Name { field, value: value.to_owned() }),
        bad if bad.chars().any(char::is_control) => Err(ClientError::Name { field, value: value.to_owned() }),
        _ => Ok(value),
    }
}

impl Call {
    pub(super) fn new(method: Method, segments: &[&str]) -> Self {
        let path = segments.iter().map(|segment| format!("/{}", utf8_percent_encode(segment, RESERVED))).collect();
        Call { method, path, query: None, body: None, headers: Vec::new() }
    }

    /// As another client has written it: `/v1/…`, with what follows `?`.
    #[cfg(feature = "manager")]
    pub(super) fn as_written(method: Method, path_and_query: &str, body: Option<Vec<u8>>) -> Self {
        Call { method, path: path_and_query.to_owned(), query: None, body, headers: Vec::new() }
    }

    pub(super) fn with_json(mut self, body: &impl Serialize) -> Result<Self, ClientError> {
        let bytes = serde_json::to_vec(body).map_err(|e| ClientError::Setup { source: Cause::innermost_error(&e) })?;
        self.body = Some(bytes);
        Ok(self)
    }

    /// The same request with one header more.
    pub(super) fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same request, asking for its plan only.
    pub(super) fn dry_run(mut self) -> Self {
        self.query = Some("dry_run=true".into());
        self
    }

    /// A name that becomes a part of the path.
    #[cfg(feature = "manager")]
    pub(super) fn path_segment<'a>(field: &'static str, value: &'a str) -> Result<&'a str, ClientError> {
        path_segment(field, value)
    }

    /// The same request with those of these parameters that have a value.
    pub(super) fn with_query(mut self, pairs: &[(&str, Option<String>)]) -> Self {
        let pair = |(name, value): &(&str, Option<String>)| {
            value.as_ref().map(|value| format!("{name}={}", utf8_percent_encode(value, RESERVED)))
        };
        let pairs: Vec<String> = pairs.iter().filter_map(pair).collect();
        self.query = (!pairs.is_empty()).then(|| pairs.join("&").into());
        self
    }

    /// Path and query.
    pub(super) fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(call: Call) -> String {
        format!("{} {}", call.method, call.path_and_query())
    }

    #[test]
    fn names_become_one_segment() {
        assert_eq!(path(delete_bridge("xapi12").unwrap()), "DELETE /v1/bridges/xapi12");
        assert_eq!(path(delete_bridge("a/b?c#d").unwrap()), "DELETE /v1/bridges/a%2Fb%3Fc%23d");
        assert_eq!(path(get_interface("Pool-wide eth0").unwrap()), "GET /v1/interfaces/Pool-wide%20eth0");
        let plugin = |function| path(post_plugin(function, &PluginArguments::default()).unwrap());
        assert_eq!(
            (plugin("is_xcp"), plugin("a/b")),
            ("POST /v1/plugin/is_xcp".into(), "POST /v1/plugin/a%2Fb".into())
        );
        assert_eq!(path(get_interface("%2e%2e").unwrap()), "GET /v1/interfaces/%252e%252e");
    }

    #[test]
    fn names_that_would_change_the_route_are_refused() {
        for bad in ["", ".", "..", "n\n2", "n\t", "\rn", "n\u{7f}"] {
            assert!(matches!(delete_bridge(bad), Err(ClientError::Name { field: "bridge", .. })), "{bad:?}");
            assert!(matches!(delete_tunnel("br0", bad), Err(ClientError::Name { field: "port", .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_dry_run_says_so_in_the_query() {
        assert_eq!(path(post_reconcile().dry_run()), "POST /v1/reconcile?dry_run=true");
    }
}
