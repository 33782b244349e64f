//! The routes: method, path and body of each request, in one place.
//!
//! What it does: builds paths from names so that no name can change which route is meant. What it must not do: send.

use ovstunnel_api::{PluginArguments, PostTunnel, PutBridge, PutLog, TakeoverRequest};
use reqwest::{Method, Url};
use serde::Serialize;

use super::{Cause, ClientError};

/// One request, ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) method: Method,
    segments: Vec<String>,
    query: Option<&'static str>,
    pub(super) body: Option<Vec<u8>>,
}

pub(super) fn put_bridge(bridge: &str, body: &PutBridge) -> Result<Call, ClientError> {
    Call::new(Method::PUT, &["v1", "bridges", name("bridge", bridge)?]).json(body)
}

pub(super) fn bridges() -> Call {
    Call::new(Method::GET, &["v1", "bridges"])
}

pub(super) fn bridge(bridge: &str) -> Result<Call, ClientError> {
    Ok(Call::new(Method::GET, &["v1", "bridges", name("bridge", bridge)?]))
}

pub(super) fn delete_bridge(bridge: &str) -> Result<Call, ClientError> {
    Ok(Call::new(Method::DELETE, &["v1", "bridges", name("bridge", bridge)?]))
}

pub(super) fn release_bridge(bridge: &str) -> Result<Call, ClientError> {
    Ok(Call::new(Method::POST, &["v1", "bridges", name("bridge", bridge)?, "release"]))
}

pub(super) fn takeover(body: &TakeoverRequest) -> Result<Call, ClientError> {
    Call::new(Method::POST, &["v1", "takeover"]).json(body)
}

pub(super) fn post_tunnel(bridge: &str, body: &PostTunnel) -> Result<Call, ClientError> {
    Call::new(Method::POST, &["v1", "bridges", name("bridge", bridge)?, "tunnels"]).json(body)
}

pub(super) fn delete_tunnel(bridge: &str, port: &str) -> Result<Call, ClientError> {
    let path = ["v1", "bridges", name("bridge", bridge)?, "tunnels", name("port", port)?];
    Ok(Call::new(Method::DELETE, &path))
}

pub(super) fn interface(label: &str) -> Result<Call, ClientError> {
    Ok(Call::new(Method::GET, &["v1", "interfaces", name("label", label)?]))
}

pub(super) fn plugin(function: &str, arguments: &PluginArguments) -> Result<Call, ClientError> {
    Call::new(Method::POST, &["v1", "plugin", name("function", function)?]).json(arguments)
}

pub(super) fn reconcile() -> Call {
    Call::new(Method::POST, &["v1", "reconcile"])
}

pub(super) fn doctor(probe_peers: bool) -> Call {
    let query = probe_peers.then_some("probe_peers=true");
    Call { query, ..Call::new(Method::GET, &["v1", "doctor"]) }
}

pub(super) fn support() -> Call {
    Call::new(Method::GET, &["v1", "support"])
}

pub(super) fn log() -> Call {
    Call::new(Method::GET, &["v1", "log"])
}

pub(super) fn put_log(body: &PutLog) -> Result<Call, ClientError> {
    Call::new(Method::PUT, &["v1", "log"]).json(body)
}

pub(super) fn healthz() -> Call {
    Call::new(Method::GET, &["healthz"])
}

pub(super) fn readyz() -> Call {
    Call::new(Method::GET, &["readyz"])
}

/// Names that a URL cannot carry: an empty segment and the dot segments (also percent-encoded) make another path of it, and of
/// control characters some are left out of a URL without a word, so that it names another thing.
fn name<'a>(field: &'static str, value: &'a str) -> Result<&'a str, ClientError> {
    match value {
        "" | "." | ".." => Err(ClientError::Name { field, value: value.to_owned() }),
        bad if bad.chars().any(char::is_control) => Err(ClientError::Name { field, value: value.to_owned() }),
        _ => Ok(value),
    }
}

impl Call {
    fn new(method: Method, segments: &[&str]) -> Self {
        Call { method, segments: segments.iter().map(|s| (*s).to_owned()).collect(), query: None, body: None }
    }

    fn json(mut self, body: &impl Serialize) -> Result<Self, ClientError> {
        let bytes = serde_json::to_vec(body).map_err(|e| ClientError::Setup { source: Cause::innermost(&e) })?;
        self.body = Some(bytes);
        Ok(self)
    }

    /// The same request, asking for its plan only.
    pub(super) fn dry_run(mut self) -> Self {
        self.query = Some("dry_run=true");
        self
    }

    /// The URL below `base`, each segment percent-encoded.
    pub(super) fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        // Only a URL without `//` has no segments, and an endpoint is never one.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(&self.segments);
        }
        url.set_query(self.query);
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(call: Call) -> String {
        let url = call.url(&Url::parse("http://localhost").unwrap());
        format!("{} {}", call.method, url.as_str().strip_prefix("http://localhost").unwrap())
    }

    #[test]
    fn names_become_one_segment() {
        assert_eq!(path(delete_bridge("xapi12").unwrap()), "DELETE /v1/bridges/xapi12");
        assert_eq!(path(delete_bridge("a/b?c#d").unwrap()), "DELETE /v1/bridges/a%2Fb%3Fc%23d");
        assert_eq!(path(interface("Pool-wide eth0").unwrap()), "GET /v1/interfaces/Pool-wide%20eth0");
        let plugin = |function| path(plugin(function, &PluginArguments::default()).unwrap());
        assert_eq!(
            (plugin("is_xcp"), plugin("a/b")),
            ("POST /v1/plugin/is_xcp".into(), "POST /v1/plugin/a%2Fb".into())
        );
        assert_eq!(path(interface("%2e%2e").unwrap()), "GET /v1/interfaces/%252e%252e");
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
        assert_eq!(path(reconcile().dry_run()), "POST /v1/reconcile?dry_run=true");
    }
}
