//! The page as a browser without a script gets it: over HTTPS from a real manager, whose hosts are daemons on simulated switches.

use crate::common;

use crate::common::web::{Answer, Browser};
use crate::common::{Bench, Host, acting_with, bench, bench_with, host, physical, put, set_up, until};
use ovstunnel_manager_api::{Isolation, LinkRole, Mode, PutHost, PutNetwork};
use ovstunnel_store::Store;

/// Who is whom in these tests.
const CLIENTS: &str = "[tls]\ncertificate = \"/c\"\nkey = \"/k\"\nclient_ca = \"/a\"\n\
    [[tls.clients]]\nname = \"eve\"\nrole = \"viewer\"\n[[tls.clients]]\nname = \"olga\"\nrole = \"operator\"\n\
    [[tls.clients]]\nname = \"ada\"\nrole = \"admin\"\n";

/// Largest page, in bytes before it is compressed.
const LARGEST: usize = 100_000;

fn looks_well(path: &str, answer: &Answer) {
    let Answer { status, body, .. } = answer;
    assert_eq!(*status, 200, "{path}: {body}");
    assert!(body.len() < LARGEST, "{path}: {} bytes", body.len());
    assert!(answer.header("content-type").starts_with("text/html"), "{path}");
    assert!(answer.header("content-security-policy").starts_with("default-src 'self';"), "{path}");
    assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    for (header, value) in
        [("x-frame-options", "DENY"), ("x-content-type-options", "nosniff"), ("referrer-policy", "same-origin")]
    {
        assert_eq!(answer.header(header), value, "{path}");
    }
    // Nothing that the policy above would refuse.
    for refused in [" style=", "<style", " onclick=", "<script>", "javascript:", "http://", "//cdn"] {
        assert!(!body.contains(refused), "{path} has {refused}");
    }
}

fn says(browser: &Browser, path: &str, words: &[&str]) -> Answer {
    let answer = browser.get(path);
    looks_well(path, &answer);
    for words in words {
        assert!(answer.body.contains(words), "{path} does not say {words}:\n{}", answer.body);
    }
    answer
}

/// Two hosts with a network of which one direction is missing.
async fn broken(bench: &Bench) -> [Host; 2] {
    let hosts = [host(bench.dir.path(), 1).await, host(bench.dir.path(), 2).await];
    set_up(&hosts[0], 1, &[]).await;
    set_up(&hosts[1], 2, &[1]).await;
    for (n, host) in (1..).zip(&hosts) {
        let body = PutHost { mode: Mode::Observe, ..put(&host.url, Some(n)) };
        bench.manager.put_host(&format!("h{n}"), &body, false).await.unwrap();
    }
    until("the missing tunnel", async || bench.manager.proof("key-1001").await.ok()?.reason.filter(|_| true)).await;
    until("both hosts", async || (bench.manager.overview().await.unwrap().hosts.ok == 2).then_some(())).await;
    hosts
}

#[tokio::test(flavor = "multi_thread")]
async fn each_view_says_what_the_api_says() {
    let bench = bench_with(CLIENTS, Store::in_memory("dc1")).await;
    let eve = Browser::named(&bench, "eve");
    says(&eve, "/", &["No host is registered yet.", "ovstunnelctl zone host add HOST", "You are <b>eve</b>, viewer."]);
    let _hosts = broken(&bench).await;
    until("the state", async || eve.get("/networks?state=broken").body.contains("key-1001").then_some(())).await;
    says(
        &eve,
        "/",
        &["1 of 1 network is not whole.", "/networks/key-1001", "2 <small>of 2 ok", "1 <small>of 2 proven", "50.00 %"],
    );
    says(&eve, "/networks", &["key-1001", "Tunnel missing on h1 to h2", "1 to 1 of 1"]);
    says(&eve, "/networks?state=whole&host=h1&search=", &["No network is like that."]);
    says(
        &eve,
        "/networks/key-1001",
        &[
            "key-1001 is not whole: 1 of 2 tunnels is not proven.",
            "aria-label=\"h1 to h2: one-sided\"",
            "aria-label=\"h2 to h1: proven\"",
        ],
    );
    says(
        &eve,
        "/networks/key-1001?from=h1&to=h2",
        &["h1 → h2", "Bridge xapi1 has no tunnel to host 2.", "Remedy: Reconcile the network."],
    );
    says(&eve, "/networks/key-1001?from=h2&to=h1", &["t1001-2-1", "192.0.2.1", "Nothing is against it"]);
    says(&eve, "/networks/key-1001?view=graph", &["1 of 1 pairs are not proven", "edge half"]);
    says(&eve, "/networks/key-1001?view=table", &["xapi1", "Hosts of this network"]);
    let proof = bench.manager.proof("key-1001").await.unwrap();
    says(
        &eve,
        "/networks/key-1001?view=proof",
        &["Not proven", &proof.hosts[0].instance, "by this manager's certificate"],
    );
    says(&eve, "/networks/key-1001?view=events", &["key-1001"]);
    says(&eve, "/hosts", &["h1", "192.0.2.2", "observe", env!("CARGO_PKG_VERSION"), "cannot 1"]);
    says(
        &eve,
        "/hosts/h1",
        &[
            "h1 is in order.",
            "What its daemon cannot do",
            "key-1001",
            "number 1",
            "Connect anew: for an operator; you are viewer.",
        ],
    );
    says(&eve, "/hosts/h2?view=tunnels", &["1 tunnel to 1 host", "t1001-2-1"]);
    says(&eve, "/keys", &["no physical network", "1001", "withdrawn"]);
    says(&eve, "/events?host=h1", &["host added", "Host h1"]);
    until("the fault", async || eve.get("/faults").body.contains("One sided").then_some(())).await;
    says(&eve, "/faults?network=key-1001", &["One sided", "/hosts/h1", "Remedy:"]);
    says(&eve, "/faults?kind=host_silent", &["No fault is like that."]);
    says(&eve, "/path", &["Why does one not reach the other?"]);
    says(&eve, "/path?from=h1&to=h2&network=", &["h1 and h2 do not reach each other.", "Tunnel: fail", "Remedy:"]);
    says(&eve, "/path?from=h1&to=nobody", &["This cannot be looked at"]);
    says(&eve, "/holds", &["Nothing waits.", "sdn.ovs.controller"]);
    matrix_in_all_forms(&eve);
    assert_eq!(eve.get("/find?search=1001").header("location"), "/networks/key-1001");
    assert_eq!(eve.get("/find?search=h2").header("location"), "/hosts/h2");
    assert_eq!(eve.get("/find?search=100").header("location"), "/networks?search=100");
    for (path, status, words) in [
        ("/networks/nowhere", 404, "No network nowhere is recorded"),
        ("/networks?page=0", 400, "whole number from 1 to 1000000"),
        ("/networks?colour=red", 400, "olour"),
        ("/networks/key-1001?view=dance", 400, "must be matrix, graph, table, proof or events"),
        ("/networks/%3Cscript%3E", 400, "&lt;script&gt;"),
        ("/nothing", 404, "There is no route /nothing"),
    ] {
        let answer = eve.get(path);
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.body.contains(words), "{path}: {}", answer.body);
        assert!(answer.header("content-type").starts_with("text/html") && !answer.body.contains("<script>"), "{path}");
    }
    let css = eve.get("/files/page.css");
    assert_eq!((css.status, css.header("cache-control").as_str()), (200, "public, max-age=31536000, immutable"));
    // The API stays as it was, and what browsers are told of it is the same.
    let problem = eve.get("/v1/networks/nowhere");
    assert_eq!((problem.status, problem.header("content-type").as_str()), (404, "application/problem+json"));
    assert_eq!(problem.header("x-frame-options"), "DENY");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_shows_its_plan_and_result_and_needs_the_role() {
    let bench = acting_with(CLIENTS, Store::in_memory("dc1")).await;
    let _hosts = broken(&bench).await;
    let (eve, olga) = (Browser::named(&bench, "eve"), Browser::named(&bench, "olga"));
    let plan = says(
        &olga,
        "/networks/key-1001/reconcile",
        &["What would make key-1001 whole", "What cannot be sent", "mode is observe", "Do it"],
    );
    let (path, token) = ("/networks/key-1001/reconcile", plan.token());
    assert!(!says(&eve, path, &["An operator may do it; you are viewer."]).body.contains("Do it"));
    let of_eve = says(&Browser::named(&bench, "ada"), path, &["Do it"]).token();
    for (who, token, more, words) in [
        (&eve, token.as_str(), &[][..], "is a viewer and may only read"),
        (&olga, "", &[], "not made by this manager for you"),
        (&olga, "0-0011", &[], "not made by this manager for you"),
        (&olga, of_eve.as_str(), &[], "not made by this manager for you"),
        (&olga, token.as_str(), &["--header", "Origin: https://evil.example"], "sent this for another site"),
        (&olga, token.as_str(), &["--header", "Sec-Fetch-Site: cross-site"], "sent this for another site"),
    ] {
        let answer = who.post(path, &[("token", token)], more);
        assert_eq!(answer.status, 403, "{words}: {}", answer.body);
        assert!(answer.body.to_lowercase().contains(words), "{words}: {}", answer.body);
    }
    // Nor by the API, for a browser shows the certificate to whoever makes it ask.
    let foreign = olga.post("/v1/networks/key-1001/reconcile", &[], &["--header", "Origin: https://evil.example"]);
    assert_eq!(foreign.status, 403, "{}", foreign.body);
    let own = format!("Origin: {}", bench.url);
    let done = olga.post(path, &[("token", &token)], &["--header", &own, "--header", "Sec-Fetch-Site: same-origin"]);
    assert_eq!(done.status, 303, "{}", done.body);
    let to = done.header("location");
    assert!(to.starts_with("/networks/key-1001?said="), "{to}");
    says(&olga, &to, &["Nothing had to be sent for key-1001.", "role=\"status\""]);
    assert!(!eve.get(&to).body.contains("Nothing had to be sent"), "it is not for others");
    let resync = says(&olga, "/hosts/h1/resync", &["Connect anew to h1", "Nothing on the host is changed"]);
    let done = olga.post("/hosts/h1/resync", &[("token", &resync.token())], &[]);
    says(&olga, &done.header("location"), &["h1 is being connected to anew."]);
    assert_eq!(olga.post("/holds/7/approve", &[("token", &token)], &[]).status, 403, "for admins");
    let ada = Browser::named(&bench, "ada");
    let none = ada.post("/holds/7/approve", &[("token", &of_eve)], &[]);
    assert_eq!(none.status, 404, "{}", none.body);
}

/// Where one direction of two is missing.
fn matrix_in_all_forms(eve: &Browser) {
    says(eve, "/networks/key-1001", &["/v1/networks/key-1001/mesh.csv", "ovstunnelctl zone mesh key-1001"]);
    let of = |form: &str| eve.get(&format!("/v1/networks/key-1001/mesh{form}"));
    let (csv, svg, png) = (of(".csv"), of(".svg"), of(".png?side=300"));
    let csv = (csv.header("content-type"), csv.body);
    assert_eq!(csv, ("text/csv; charset=utf-8".into(), "from,to,state\nh1,h2,one-sided\n".into()));
    assert_eq!(svg.header("content-type"), "image/svg+xml");
    assert!(svg.body.contains("M1 0h1v1h-1z\"><title>one-sided"), "{}", svg.body);
    assert_eq!(png.header("content-type"), "image/png");
    let json: serde_json::Value = serde_json::from_str(&of("?by=host").body).unwrap();
    assert_eq!(json["lines"][1], serde_json::json!({"name": "h2", "hosts": 1}));
    assert_eq!(json["runs"], serde_json::json!([{"from": 0, "to": 1, "width": 1, "state": "one_sided"}]));
    assert_eq!((&json["count"]["wanted"], &json["count"]["proven"]), (&2.into(), &1.into()));
    let zone: serde_json::Value = serde_json::from_str(&eve.get("/v1/zone/matrix").body).unwrap();
    assert_eq!((&zone["runs"], &zone["network"]), (&json["runs"], &serde_json::Value::Null));
    assert_eq!(eve.get("/v1/zone/matrix.png?by=rack").header("content-type"), "image/png");
    for (path, status, word) in
        [("?by=row", 400, "host"), (".png?side=0", 400, "from 1 to 4096"), (".csv?x=1", 400, "x")]
    {
        let answer = of(path);
        assert!(answer.status == status && answer.body.contains(word), "{path}: {}", answer.body);
    }
    assert_eq!(eve.get("/v1/networks/nowhere/mesh.svg").status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_without_a_certificate_gets_in_by_a_link_once() {
    let bench = bench_with(CLIENTS, Store::in_memory("dc1")).await;
    let stranger = Browser::stranger(&bench);
    for path in ["/", "/networks", "/hosts/h1", "/networks/x"] {
        let answer = stranger.get(path);
        assert_eq!(answer.status, 403, "{path}");
        assert!(
            answer.body.contains("Who are you?") && answer.body.contains("ovstunnelctl zone open"),
            "{path}: {}",
            answer.body
        );
        assert!(!answer.body.contains("dc1"), "{path} tells nothing of the zone");
    }
    looks_well("/sign-in", &stranger.get("/sign-in"));
    assert_eq!(stranger.get("/files/page.css").status, 200);
    for path in ["/v1/overview", "/v1/watch", "/metrics", "/readyz", "/openapi.json"] {
        let answer = stranger.get(path);
        assert_eq!(
            (answer.status, answer.header("content-type").as_str()),
            (403, "application/problem+json"),
            "{path}"
        );
    }
    // Of one who is nobody no more than a form is read.
    assert_eq!(stranger.post("/sign-in", &[("link", &"x".repeat(9000))], &[]).status, 413);

    let link = bench.manager.link(None).await.unwrap();
    assert_eq!((link.role.as_str(), link.ends_in), ("operator", 600));
    assert!(bench.manager.link(Some(LinkRole::Admin)).await.is_ok(), "root may, where it asks for it");
    let secret = link.path.strip_prefix("/sign-in?link=").unwrap();
    for _ in 0..2 {
        let page = stranger.get(&link.path);
        looks_well(&link.path, &page);
        assert!(page.body.contains("Sign in to the zone dc1") && page.body.contains("operator"), "{}", page.body);
    }
    let foreign = stranger.post("/sign-in", &[("link", secret)], &["--header", "Origin: https://evil.example"]);
    assert_eq!(foreign.status, 403);
    let begun = stranger.post("/sign-in", &[("link", secret)], &[]);
    let cookie = begun.header("set-cookie");
    assert_eq!((begun.status, begun.header("location").as_str()), (303, "/"));
    for word in ["__Host-ovstunnel=", "; Secure", "; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=28800"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    assert_eq!(stranger.post("/sign-in", &[("link", secret)], &[]).status, 403, "it was used");
    let header = format!("Cookie: {}", cookie.split(';').next().unwrap());
    let guest = Browser::stranger(&bench).with(&["--header", &header]);
    says(&guest, "/", &["You are <b>root, by link</b>, operator.", "Sign out"]);
    assert_eq!(guest.get("/v1/overview").status, 200);
    let by_api = guest.post("/v1/links", &[], &[]);
    assert_eq!(by_api.status, 403, "{}", by_api.body);
    assert!(by_api.body.contains("by the page's own forms"), "{}", by_api.body);
    let out = guest.post("/sign-out", &[], &[]);
    assert!(out.status == 303 && out.header("set-cookie").contains("Max-Age=0"), "{out:?}");
    assert_eq!(guest.get("/").status, 403, "its session has ended");

    let eve = common::client(&bench, "eve");
    assert!(common::refused(eve.link(None).await).1.contains("is a viewer"));
    let olga = common::client(&bench, "olga");
    assert_eq!(olga.link(None).await.unwrap().role, "operator");
    assert!(common::refused(olga.link(Some(LinkRole::Admin)).await).1.contains("by an admin only"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_page_nobody_gets_in_without_a_certificate() {
    let bench = bench_with("[web]\nenabled = false\n", Store::in_memory("dc1")).await;
    let named = Browser::named(&bench, "eve");
    assert_eq!(named.get("/").status, 404);
    assert_eq!(named.get("/v1/overview").status, 200);
    assert!(common::refused(bench.manager.link(None).await).1.contains("[web] enabled is false"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_comes_in_pages_that_keep_their_filters() {
    let bench = bench().await;
    bench.manager.put_physical_network("p1", &physical(Isolation::Gre, "1-1000"), false).await.unwrap();
    for n in 0..120 {
        let body = PutNetwork {
            physical_network: "p1".into(),
            number: None,
            key: Some(n + 1),
            adopt: false,
            ipv6: None,
            mtu: None,
        };
        bench.manager.put_network(&format!("web-{n}"), &body, false).await.unwrap();
    }
    let eve = Browser::named(&bench, "eve");
    says(&eve, "/networks?search=web", &["1 to 50 of 120", "/networks?search=web&amp;page=2"]);
    says(&eve, "/networks?search=web&page=3", &["101 to 120 of 120", "/networks?search=web&amp;page=2"]);
    says(&eve, "/networks?search=web-11&page=1", &["1 to 11 of 11", "web-11"]);
    says(&eve, "/keys", &["880 <small>of 1,000 free", "1 to 50 of 120"]);
}
