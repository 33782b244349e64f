//! What each role may ask of the manager (docs/adr/0034-roles-of-the-manager.md). Must not look into a request: method and path alone count.

use std::net::SocketAddr;

use axum::http::{HeaderMap, Method, header};
use ovstunnel_server::access::{Rules, is_reading};
use ovstunnel_server::config::Role;
use ovstunnel_server::listen::Guest;
use ovstunnel_types::text::excerpt;

use crate::sessions::{Sessions, of_cookies};
use crate::zone::Zone;

/// What a host needs to find out whether the manager is there, beside what is said of itself.
const FOR_HOSTS: [&str; 3] = ["/healthz", "/readyz", "/openapi.json"];

/// What somebody without a certificate may have: what it takes to get in, and what the page for that loads.
const FOR_ALL: [&str; 2] = ["/sign-in", "/healthz"];

/// The rules, by the hosts that are registered, and by the sessions of browsers without a certificate.
#[derive(Clone, Debug)]
pub struct Roles {
    zone: Zone,
    sessions: Sessions,
    page: bool,
    enrolment: bool,
    hints: bool,
    managers: Vec<String>,
}

impl Roles {
    /// For this zone.
    pub fn new(zone: Zone, sessions: Sessions) -> Roles {
        Roles { zone, sessions, page: true, enrolment: false, hints: false, managers: Vec::new() }
    }

    /// The same, saying what is open to somebody without a certificate: the page for signing in, and joining as a host.
    #[must_use]
    pub fn with_openings(self, page: bool, enrolment: bool) -> Roles {
        Roles { page, enrolment, ..self }
    }

    /// The same, saying whether signed webhooks of CloudStack's are taken from somebody without a certificate.
    #[must_use]
    pub fn with_hints(self, hints: bool) -> Roles {
        Roles { hints, ..self }
    }

    /// The same, with the other managers of the zone, by the common names of their certificates: what they send on is asked by who asked them.
    #[must_use]
    pub fn with_managers(self, managers: Vec<String>) -> Roles {
        Roles { managers, ..self }
    }
}

impl Rules for Roles {
    fn unlisted_role(&self, names: &[&str]) -> Role {
        let is_host = names.iter().any(|name| self.zone.host_number(name).is_some());
        if is_host { Role::Host } else { Role::Viewer }
    }

    fn check_request(&self, role: Role, names: &[&str], method: &Method, path: &str) -> Result<(), String> {
        let least = least(method, path);
        let is_own = || path.strip_prefix("/v1/hosts/").is_some_and(|host| names.contains(&host));
        match role {
            Role::Host if is_reading(method) && (FOR_HOSTS.contains(&path) || is_own()) => Ok(()),
            // By a token, by a key, or by a signature: the handler looks.
            _ if joins(method, path) || hints(method, path) => Ok(()),
            // On which host stands in the request: the handler looks.
            Role::Host if prepares(method, path) => Ok(()),
            Role::Host => {
                let first = names.first().copied().map(excerpt).unwrap_or_default();
                Err(format!("is a host and may only read /v1/hosts/{first}, and prepare and release NICs on itself"))
            }
            _ if role >= least => Ok(()),
            Role::Viewer => {
                let method = excerpt(method.as_str());
                Err(format!("is a viewer and may only read: {method} is for operators and admins"))
            }
            _ => Err("is an operator: to change hosts, physical networks and ranges of keys and to decide about holds is for admins".to_owned()),
        }
    }

    fn recognise_guest(&self, headers: &HeaderMap, address: SocketAddr) -> Option<Guest> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let session = cookies.filter_map(of_cookies).find_map(|secret| self.sessions.find_session(secret))?;
        Some(Guest { name: format!("{}, by link", session.by), id: session.id, role: session.role, address })
    }

    fn forwarders(&self) -> Option<&[String]> {
        Some(&self.managers)
    }

    /// A browser sends its cookie with whatever it is made to ask: by that alone nobody changes anything but by the page's own forms.
    fn may_as_guest(&self, method: &Method, path: &str) -> Result<(), String> {
        let may = is_reading(method) || is_page(path);
        if may { Ok(()) } else { Err("came by a link, and changes nothing but by the page's own forms".to_owned()) }
    }

    fn is_for_all(&self, method: &Method, path: &str) -> bool {
        if joins(method, path) {
            return self.enrolment;
        }
        if hints(method, path) {
            return self.hints;
        }
        let reads_files = is_reading(method) && path.starts_with("/files/");
        self.page && (reads_files || (FOR_ALL.contains(&path) && (is_reading(method) || path == "/sign-in")))
    }
}

/// Whether a path is the page's, not the API's.
pub(crate) fn is_page(path: &str) -> bool {
    !path.starts_with("/v1/") && !["/v1", "/healthz", "/readyz", "/metrics", "/openapi.json"].contains(&path)
}

/// Whether a request is one of those by which a host joins, or has its certificate renewed.
fn joins(method: &Method, path: &str) -> bool {
    let posts = ["/v1/enrolment/join", "/v1/enrolment/renew"];
    matches!((method, path), (&Method::GET, "/v1/enrolment/ca")) || (method == Method::POST && posts.contains(&path))
}

/// Whether a request is a webhook of CloudStack's.
fn hints(method: &Method, path: &str) -> bool {
    method == Method::POST && path == "/v1/cloudstack/events"
}

/// Whether a request prepares or releases a NIC.
fn prepares(method: &Method, path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    matches!((method, &segments[..]), (&Method::PUT | &Method::DELETE, ["v1", "networks", _, "nics", _]))
}

/// The least role that may send such a request. What is not known is for admins.
fn least(method: &Method, path: &str) -> Role {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match (method, &segments[..]) {
        (method, _) if is_reading(method) => Role::Viewer,
        (
            &Method::POST,
            ["v1", "hosts", _, "resync" | "maintenance"]
            | ["v1", "networks", _, "reconcile" | "sweep"]
            | ["v1", "webhooks", _, "redeliver"],
        ) => Role::Operator,
        (&Method::POST, ["v1", "networks", _, "nics", _, "migrated" | "rollback"] | ["v1", "links" | "path"]) => {
            Role::Operator
        }
        // The page's own.
        (&Method::POST, ["networks", _, "reconcile"] | ["hosts", _, "resync"]) => Role::Operator,
        (&Method::POST, ["sign-in" | "sign-out"]) => Role::Viewer,
        (&Method::PUT | &Method::DELETE, ["v1", "networks", _] | ["v1", "networks", _, "nics", _])
        | (&Method::PUT, ["v1", "networks", _, "kind"]) => Role::Operator,
        _ => Role::Admin,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::time::Duration;

    use super::*;
    use crate::http::openapi::description;

    /// Each operation that is described, as `GET /v1/hosts/h1`, with all who may; a host of the name h1.
    const MAY: [(&str, &str); 63] = [
        ("GET /v1/overview", "viewer operator admin"),
        ("GET /v1/upgrade", "viewer operator admin"),
        ("GET /v1/watch", "viewer operator admin"),
        ("GET /v1/faults", "viewer operator admin"),
        ("GET /v1/path", "viewer operator admin"),
        ("GET /v1/hosts", "viewer operator admin"),
        ("GET /v1/hosts/h1", "host viewer operator admin"),
        ("GET /v1/hosts/h1/tunnels", "viewer operator admin"),
        ("PUT /v1/hosts/h1", "admin"),
        ("DELETE /v1/hosts/h1", "admin"),
        ("POST /v1/hosts/h1/resync", "operator admin"),
        ("GET /v1/enrolment/tokens", "viewer operator admin"),
        ("POST /v1/enrolment/tokens", "admin"),
        ("DELETE /v1/enrolment/tokens/7", "admin"),
        // By a token, whatever the role.
        ("GET /v1/enrolment/ca", "host viewer operator admin"),
        ("POST /v1/enrolment/join", "host viewer operator admin"),
        // By the key of a certificate, whatever the role.
        ("POST /v1/enrolment/renew", "host viewer operator admin"),
        ("POST /v1/hosts/h1/maintenance", "operator admin"),
        ("POST /v1/hosts/h1/rename", "admin"),
        ("POST /v1/hosts/h1/renumber", "admin"),
        ("GET /v1/networks", "viewer operator admin"),
        ("GET /v1/networks/h1", "viewer operator admin"),
        ("GET /v1/networks/h1/proof", "viewer operator admin"),
        ("GET /v1/networks/h1/mesh", "viewer operator admin"),
        ("GET /v1/networks/h1/mesh.json", "viewer operator admin"),
        ("GET /v1/networks/h1/mesh.csv", "viewer operator admin"),
        ("GET /v1/networks/h1/mesh.svg", "viewer operator admin"),
        ("GET /v1/networks/h1/mesh.png", "viewer operator admin"),
        ("GET /v1/zone/matrix", "viewer operator admin"),
        ("GET /v1/zone/matrix.png", "viewer operator admin"),
        ("PUT /v1/networks/h1", "operator admin"),
        ("DELETE /v1/networks/h1", "operator admin"),
        ("PUT /v1/networks/h1/kind", "operator admin"),
        ("POST /v1/networks/h1/reconcile", "operator admin"),
        ("POST /v1/networks/h1/sweep", "operator admin"),
        ("POST /v1/path", "operator admin"),
        ("GET /v1/networks/h1/nics", "viewer operator admin"),
        ("GET /v1/networks/h1/nics/n1", "viewer operator admin"),
        ("PUT /v1/networks/h1/nics/n1", "host operator admin"),
        ("DELETE /v1/networks/h1/nics/n1", "host operator admin"),
        ("POST /v1/networks/h1/nics/n1/migrated", "operator admin"),
        ("POST /v1/networks/h1/nics/n1/rollback", "operator admin"),
        ("GET /v1/physical-networks", "viewer operator admin"),
        ("GET /v1/physical-networks/p1", "viewer operator admin"),
        ("PUT /v1/physical-networks/p1", "admin"),
        ("DELETE /v1/physical-networks/p1", "admin"),
        ("GET /v1/keys", "viewer operator admin"),
        ("GET /v1/keys/ranges", "viewer operator admin"),
        ("PUT /v1/keys/ranges", "admin"),
        ("GET /v1/holds", "viewer operator admin"),
        ("POST /v1/holds/7/approve", "admin"),
        ("POST /v1/holds/7/refuse", "admin"),
        ("GET /v1/events", "viewer operator admin"),
        ("GET /v1/webhooks", "viewer operator admin"),
        ("POST /v1/webhooks/h1/redeliver", "operator admin"),
        ("GET /v1/cloudstack", "viewer operator admin"),
        // By its signature, whatever the role.
        ("POST /v1/cloudstack/events", "host viewer operator admin"),
        ("POST /v1/links", "operator admin"),
        ("GET /v1/doctor", "viewer operator admin"),
        // To root only, whatever the role.
        ("GET /v1/support", "viewer operator admin"),
        ("GET /healthz", "host viewer operator admin"),
        ("GET /readyz", "host viewer operator admin"),
        ("GET /metrics", "viewer operator admin"),
    ];

    fn who_may(names: &[&str], request: &str) -> String {
        let (method, path) = request.split_once(' ').unwrap();
        let rules = Roles::new(Zone::new("dc1").0, Sessions::new(Duration::from_secs(60)).unwrap());
        let may = |role: &Role| rules.check_request(*role, names, &method.parse().unwrap(), path).is_ok();
        let all = [Role::Host, Role::Viewer, Role::Operator, Role::Admin];
        all.iter().filter(|role| may(role)).map(|role| role.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_role_may_on_each_route_what_the_table_says() {
        let described = serde_json::to_value(description()).unwrap();
        let mut operations = Vec::new();
        for (path, item) in described["paths"].as_object().unwrap() {
            let methods =
                item.as_object().unwrap().keys().filter(|key| ["get", "put", "post", "delete"].contains(&key.as_str()));
            let path = path.replace("{host}", "h1").replace("{network}", "h1").replace("{nic}", "n1");
            let path = path.replace("{physical_network}", "p1").replace("{id}", "7").replace("{webhook}", "h1");
            operations.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
        }
        operations.sort();
        let mut known: Vec<_> = MAY.iter().map(|(request, _)| (*request).to_owned()).collect();
        known.sort();
        assert_eq!(operations, known, "each operation has a line in the table");
        for (request, who) in MAY {
            assert_eq!(who_may(&["h1", "h1.example.org"], request), who, "{request}");
        }
    }

    #[test]
    fn a_host_sees_no_other_and_what_is_new_is_for_admins() {
        let others =
            ["GET /v1/hosts/h2", "GET /v1/hosts/h1/x", "GET /v1/hosts/", "GET /v1/hosts/h%31", "HEAD /v1/hosts/h11"];
        for request in others {
            assert_eq!(who_may(&["h1"], request), "viewer operator admin", "{request}");
        }
        assert_eq!(who_may(&["h1"], "HEAD /v1/hosts/h1"), "host viewer operator admin");
        for request in [
            "POST /v1/hosts/h1",
            "POST /v1/networks/n/reconcile/x",
            "PATCH /v1/hosts/h1/resync",
            "POST /v1/holds/1/approve",
        ] {
            assert_eq!(who_may(&["h1"], request), "admin", "{request}");
        }
    }

    #[test]
    fn the_pages_acts_are_for_those_for_whom_the_apis_are() {
        for (request, who) in [
            ("POST /networks/n1/reconcile", "operator admin"),
            ("POST /hosts/h1/resync", "operator admin"),
            ("POST /holds/7/approve", "admin"),
            ("POST /holds/7/refuse", "admin"),
            ("POST /sign-out", "viewer operator admin"),
            ("POST /anything/else", "admin"),
            ("GET /networks", "viewer operator admin"),
        ] {
            assert_eq!(who_may(&["h1"], request), who, "{request}");
        }
    }

    #[test]
    fn one_who_is_nobody_gets_to_the_sign_in_page_and_no_further() {
        let rules = Roles::new(Zone::new("dc1").0, Sessions::new(Duration::from_secs(60)).unwrap());
        let is_for_all = |request: &str| {
            let (method, path) = request.split_once(' ').unwrap();
            rules.is_for_all(&method.parse().unwrap(), path)
        };
        for open in ["GET /sign-in", "POST /sign-in", "GET /files/page.css", "GET /healthz"] {
            assert!(is_for_all(open), "{open}");
        }
        for shut in [
            "GET /",
            "GET /networks",
            "GET /v1/overview",
            "POST /v1/links",
            "POST /files/page.css",
            "GET /metrics",
            "POST /healthz",
            "GET /sign-in/x",
        ] {
            assert!(!is_for_all(shut), "{shut}");
        }
    }

    #[test]
    fn a_webhook_needs_no_certificate_where_it_is_taken() {
        let rules = Roles::new(Zone::new("dc1").0, Sessions::new(Duration::from_secs(60)).unwrap());
        let open = |rules: &Roles, method| rules.is_for_all(&method, "/v1/cloudstack/events");
        let with = rules.clone().with_hints(true);
        assert!(open(&with, Method::POST) && !open(&rules, Method::POST) && !open(&with, Method::GET));
        assert!(!with.is_for_all(&Method::GET, "/v1/cloudstack"));
    }

    const BY_NO_CERTIFICATE: [&str; 3] =
        ["GET /v1/enrolment/ca", "POST /v1/enrolment/join", "POST /v1/enrolment/renew"];

    #[test]
    fn an_anonymous_caller_may_join_where_that_is_on_and_no_more() {
        let rules = Roles::new(Zone::new("dc1").0, Sessions::new(Duration::from_secs(60)).unwrap());
        let open = |rules: &Roles, request: &str| {
            let (method, path) = request.split_once(' ').unwrap();
            rules.is_for_all(&method.parse().unwrap(), path)
        };
        let (with, without) = (rules.clone().with_openings(false, true), rules.with_openings(true, false));
        for request in BY_NO_CERTIFICATE {
            assert!(open(&with, request) && !open(&without, request), "{request}");
        }
        for (request, _) in MAY.iter().filter(|(request, _)| !joins_by(request)) {
            assert!(!open(&with, request), "{request}");
        }
        assert!(!open(&with, "POST /v1/enrolment/join/x") && !open(&with, "GET /sign-in"));
    }

    fn joins_by(request: &str) -> bool {
        BY_NO_CERTIFICATE.contains(&request)
    }

    #[test]
    fn a_guest_is_known_by_its_cookie_and_may_not_change_by_the_api() {
        let sessions = Sessions::new(Duration::from_secs(60)).unwrap();
        let rules = Roles::new(Zone::new("dc1").0, sessions.clone());
        let link = sessions.new_link("ops", Role::Operator).unwrap();
        let (secret, _) = sessions.begin_session(&link).unwrap().unwrap();
        let guest = |cookie: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, cookie.parse().unwrap());
            rules.recognise_guest(&headers, "192.0.2.1:9".parse().unwrap())
        };
        let known = guest(&format!("a=b; __Host-ovstunnel={secret}")).unwrap();
        assert_eq!((known.name.as_str(), known.role), ("ops, by link", Role::Operator));
        assert_eq!(guest(&format!("__Host-ovstunnel={link}")), None);
        assert!(rules.may_as_guest(&Method::POST, "/networks/n1/reconcile").is_ok());
        assert!(rules.may_as_guest(&Method::GET, "/v1/overview").is_ok());
        assert!(rules.may_as_guest(&Method::POST, "/v1/networks/n1/reconcile").is_err());
    }
}
