//! Hosts that join by a token over HTTPS, without a certificate: what they get, and what is refused.

use crate::common;

use std::path::{Path, PathBuf};

use crate::common::web::Browser;
use crate::common::{Bench, bench_in, folder, until};
use ovstunnel_client::{EventsWanted, Manager};
use ovstunnel_manager_api::{HostState, Mode};
use ovstunnel_pki::{Authority, Leaf, Purpose, Request, Role, read_details, sha256_fingerprint};
use ovstunnel_store::Store;
use serde_json::{Value, json};
use time::OffsetDateTime;

pub(crate) async fn enrolling() -> Bench {
    let dir = folder();
    let more = format!("[enrolment]\nauthority = \"{}\"\n", dir.path().join("pki").display());
    bench_in(dir, &more, Store::in_memory("dc1")).await
}

pub(crate) fn ca(bench: &Bench) -> String {
    std::fs::read_to_string(bench.dir.path().join("pki/ca.crt")).unwrap()
}

/// Asks over the Unix socket, as root.
pub(crate) fn root(bench: &Bench, method: &str, path: &str, body: Option<Value>) -> Value {
    let socket = bench.dir.path().join("m.sock").display().to_string();
    let mut curl = std::process::Command::new("curl");
    curl.args(["--silent", "--unix-socket", &socket, "-X", method, &format!("http://localhost{path}")]);
    if let Some(body) = body {
        curl.args(["-H", "content-type: application/json", "--data", &body.to_string()]);
    }
    serde_json::from_slice(&curl.output().unwrap().stdout).unwrap()
}

pub(crate) fn token(bench: &Bench, hosts: u32, ttl: u32) -> (String, String) {
    let made = root(bench, "POST", "/v1/enrolment/tokens", Some(json!({"hosts": hosts, "ttl": ttl})));
    let text = |at: &Value| at.as_str().unwrap().to_owned();
    (text(&made["text"]), text(&made["token"]["id"]))
}

/// A request for a certificate of this name and address, whose key lies in a folder of its own.
pub(crate) fn request(dir: &Path, name: &str, address: &str, ca: &str) -> Request {
    Request::for_host(&dir.join("hosts").join(name), &name.parse().unwrap(), &[address.parse().unwrap()], ca).unwrap()
}

/// What somebody without a certificate is answered who joins: status and body.
pub(crate) fn join(bench: &Bench, body: &Value) -> (u16, Value) {
    let browser = Browser::stranger(bench).with(&["-H", "content-type: application/json"]);
    let answer = browser.with(&["--data", &body.to_string()]).get("/v1/enrolment/join");
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

pub(crate) fn body(token: &str, name: &str, csr: &str, api: &str) -> Value {
    json!({"token": token, "name": name, "csr": csr, "api": api})
}

/// The files of a host of this name that has joined.
pub(crate) fn joined(bench: &Bench, token: &str, name: &str, api: &str) -> [PathBuf; 3] {
    let ca = ca(bench);
    let request = request(bench.dir.path(), name, "127.0.0.2", &ca);
    let (status, answer) = join(bench, &body(token, name, request.text(), api));
    assert_eq!((status, &answer["host"]["name"]), (201, &name.into()), "{answer}");
    request.write_certificate(answer["certificate"].as_str().unwrap(), answer["ca"].as_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_a_host_revokes_its_certificate_and_frees_its_name() {
    let bench = enrolling().await;
    let (text, _) = token(&bench, 2, 3600);
    let [certificate, ..] = joined(&bench, &text, "h1", "https://127.0.0.2:8443");
    let pki = bench.dir.path().join("pki");
    let authority = Authority::open(&pki).unwrap();
    let serial = read_details(&certificate).unwrap().remove(0).serial;
    // A client of the same CA that has a host's name.
    let client = Leaf { name: "op".parse().unwrap(), role: Role::Client, days: 9 };
    authority.issue_certificate(&client, OffsetDateTime::now_utc()).unwrap();
    let body = json!({"api": "https://127.0.0.3:8443", "number": 9});
    assert_eq!(root(&bench, "PUT", "/v1/hosts/op", Some(body))["outcome"], "created");

    for name in ["op", "h1"] {
        assert_eq!(root(&bench, "DELETE", &format!("/v1/hosts/{name}"), None)["outcome"], "removed");
    }
    assert_eq!(events(&bench.manager, "certificate_revoked").await.len(), 1);
    assert!(!pki.join("h1.crt").exists() && pki.join("h1.crt.old1").exists() && pki.join("op.crt").exists());
    let list = authority.revoke_certificate(&pki.join("h1.crt.old1"), OffsetDateTime::now_utc()).unwrap();
    assert!(list.already && list.count == 1, "{list:?}");
    assert_eq!(list.serial.replace(':', "").to_lowercase(), serial.replace(':', "").to_lowercase());
    std::fs::remove_dir_all(bench.dir.path().join("hosts")).unwrap();
    joined(&bench, &text, "h1", "https://127.0.0.2:8443");

    // What cannot be revoked stays.
    std::fs::write(pki.join("ca.crl"), "no list").unwrap();
    assert_eq!(root(&bench, "DELETE", "/v1/hosts/h1", None)["code"], "unavailable");
    assert!(bench.manager.host("h1").await.is_ok());
}

pub(crate) async fn events(manager: &Manager, kind: &str) -> Vec<String> {
    let wanted = EventsWanted { kind: Some(kind.into()), ..EventsWanted::default() };
    manager.events(&wanted).await.unwrap().events.into_iter().map(|event| event.text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_joins_and_its_certificate_is_taken_by_both_sides() {
    let bench = enrolling().await;
    let (text, id) = token(&bench, 1, 3600);
    assert_eq!(text.rsplit_once('.').unwrap().1, sha256_fingerprint(&ca(&bench)).unwrap());
    let shown = Browser::stranger(&bench).get("/v1/enrolment/ca");
    assert_eq!(serde_json::from_str::<Value>(&shown.body).unwrap()["certificate"], ca(&bench));

    // The daemon listens once it has its certificate; where, it knows before.
    let listener = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let [certificate, key, ca_file] = joined(&bench, &text, "h1", &format!("https://127.0.0.2:{port}"));
    let details = &read_details(&certificate).unwrap()[0];
    assert_eq!((details.purpose, &details.names), (Purpose::Host, &vec!["h1".to_owned(), "127.0.0.2".to_owned()]));
    assert_eq!(bench.manager.host("h1").await.unwrap().mode, Mode::Observe);
    drop(listener);
    let _daemon = daemon(bench.dir.path(), port, &certificate, &key, &ca_file).await;
    until("the host", async || (bench.manager.host("h1").await.unwrap().state == HostState::Ok).then_some(())).await;

    let wanted = EventsWanted { kind: Some("host_added".into()), ..EventsWanted::default() };
    let added = bench.manager.events(&wanted).await.unwrap().events;
    assert!(
        matches!(&added[..], [one] if one.actor.as_ref().unwrap().ends_with(&format!(", by token {id}"))),
        "{added:?}"
    );
    // It is no client's: who has it asks nobody anything.
    let own =
        Browser::stranger(&bench).with(&["--cert", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()]);
    let refused = std::panic::catch_unwind(|| own.get("/v1/hosts/h1").status);
    assert!(refused.is_err() || refused.unwrap() == 403);
    // Neither token nor secret is kept as it was told.
    let list = root(&bench, "GET", "/v1/enrolment/tokens", None);
    assert_eq!((&list["tokens"][0]["left"], &list["tokens"][0]["state"]), (&0.into(), &"used up".into()));
    assert!(!list.to_string().contains(text.split('.').nth(1).unwrap()));
}

/// A daemon on a simulated switch at this port of 127.0.0.2.
async fn daemon(dir: &Path, port: u16, certificate: &Path, key: &Path, ca: &Path) -> ovstunnel_server::listen::Serving {
    use ovstunnel_ovs::{SimulatedSwitch, Switch};
    use ovstunnel_server::config::{Api, Tls};
    let switch = Switch::Simulated(SimulatedSwitch::new());
    let interface = serde_json::from_value(json!({
        "label": "sim0", "device": "sim0", "ip": "192.0.2.1", "netmask": "255.255.255.0",
        "mac": "02:00:00:00:00:01", "mtu": 1500, "max_guest_mtu": 1458,
    }));
    let interfaces = ovstunneld::testing::Interfaces::of_list(vec![interface.unwrap()]);
    let settings = ovstunnel_plan::Settings::default();
    let (app, _) =
        ovstunneld::testing::assemble_routes(switch, interfaces, settings, std::time::Duration::from_secs(3600));
    let tls = Tls {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        client_ca: ca.to_owned(),
        client_crl: None,
        clients: Vec::new(),
    };
    let access = ovstunnel_server::access::Access::open(Some(&tls)).unwrap();
    let api = Api { listen: Some(([127, 0, 0, 2], port).into()), socket: dir.join("h1.sock") };
    let listeners = ovstunnel_server::listen::Listeners::bind(&api, access.tls_store()).await.unwrap();
    listeners.serve(&ovstunnel_server::middleware::wrap_routes(app, Some(access)), |_| {})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_and_nothing_is_recorded() {
    let bench = enrolling().await;
    let (dir, ca) = (bench.dir.path().to_owned(), ca(&bench));
    let (text, _) = token(&bench, 2, 3600);
    joined(&bench, &text, "h1", "https://127.0.0.2:8443");
    // One that another manager's file was made for by hand.
    let by_hand = Leaf { name: "byhand".parse().unwrap(), role: Role::Client, days: 9 };
    Authority::open(&dir.join("pki")).unwrap().issue_certificate(&by_hand, OffsetDateTime::now_utc()).unwrap();
    let (gone, id) = token(&bench, 1, 3600);
    assert_eq!(root(&bench, "DELETE", &format!("/v1/enrolment/tokens/{id}"), None)["id"], id);
    let (used, _) = token(&bench, 1, 3600);
    joined_at(&bench, &used, "h2", "127.0.0.3");
    let (short, _) = token(&bench, 1, 1);
    let list = async || root(&bench, "GET", "/v1/enrolment/tokens", None);
    until("its end", async || list().await["tokens"].to_string().contains("expired").then_some(())).await;

    let csr = |name: &str| request(&dir.join("try"), name, "127.0.0.9", &ca).text().to_owned();
    let stolen = format!("{}.{}.{}", &text[..8], "0".repeat(40), &text[50..]);
    let (good, other) = ("https://127.0.0.9:8443", csr("other"));
    for (token, name, csr, api, status, word) in [
        (&*stolen, "h9", csr("h9"), good, 403, "not one of this manager's"),
        (&gone, "h9", csr("h9"), good, 403, "not one of this manager's"),
        (&used, "h9", csr("h9"), good, 403, "used up"),
        (&short, "h9", csr("h9"), good, 403, "expired"),
        ("garbage", "h9", csr("h9"), good, 403, "not one of this manager's"),
        (&text, "h1", csr("h1"), good, 409, "h1 is registered already"),
        (&text, "h9", csr("h9"), "https://127.0.0.2:9", 409, "127.0.0.2 is host h1's"),
        (&text, "h9", csr("h9"), "https://127.0.0.1:8443", 409, "the manager's own"),
        (&text, "zone", csr("zone"), good, 409, "the manager's own"),
        (&text, "byhand", csr("byhand"), good, 409, "there is a certificate of the name byhand"),
        (&text, "h9", "garbage".to_owned(), good, 400, "csr must be a PKCS #10 request"),
        (&text, "h9", other, good, 400, "csr must have the common name h9"),
        (&text, "h9", csr("h9"), "https://127.0.0.8:8443", 400, "csr must name h9 and 127.0.0.8 only"),
        (&text, "h9", csr("h9"), "https://elsewhere:8443", 400, "api must have an address or the host's own name"),
        (&text, "../h9", csr("h9"), good, 400, "name must be 1 to 63"),
    ] {
        let (got, answer) = join(&bench, &body(token, name, &csr, api));
        assert_eq!(got, status, "{name} {api}: {answer}");
        assert!(answer["detail"].as_str().unwrap().contains(word), "{word}: {answer}");
    }
    let hosts = bench.manager.hosts().await.unwrap().hosts;
    assert_eq!(hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>(), ["h1", "h2"]);
    assert!(!dir.join("pki/h9.crt").exists() && !dir.join("pki/other.crt").exists());
    let left = list().await["tokens"].as_array().unwrap().iter().map(|one| one["left"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(left, 2, "no refusal uses a token up");
    let refusals = events(&bench.manager, "enrolment_refused").await;
    assert_eq!(refusals.len(), 14, "{refusals:?}");
    // Without a certificate nothing else is to be had.
    for path in ["/v1/hosts", "/v1/enrolment/tokens", "/metrics", "/openapi.json"] {
        assert_eq!(Browser::stranger(&bench).get(path).status, 403, "{path}");
    }
    // And the token is still good for one.
    joined_at(&bench, &text, "h9", "127.0.0.9");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_join_is_shown_no_page_for_signing_in() {
    let dir = folder();
    let pki = dir.path().join("pki").display().to_string();
    let more = format!("[web]\nenabled = false\n[enrolment]\nauthority = \"{pki}\"\n");
    let bench = bench_in(dir, &more, Store::in_memory("dc1")).await;
    let visitor = Browser::stranger(&bench);
    assert_eq!(visitor.get("/v1/enrolment/ca").status, 200);
    for path in ["/", "/sign-in", "/networks"] {
        let answer = visitor.get(path);
        assert_eq!(answer.status, 403, "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
        assert!(answer.header("content-security-policy").contains("default-src 'self'"), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_may_repeat_a_lost_enrolment_with_the_same_key_only() {
    let bench = enrolling().await;
    let (dir, ca, api) = (bench.dir.path().to_owned(), ca(&bench), "https://127.0.0.2:8443");
    let (text, id) = token(&bench, 1, 3600);
    let first = request(&dir, "h1", "127.0.0.2", &ca);
    let (status, lost) = join(&bench, &body(&text, "h1", first.text(), api));
    assert_eq!(status, 201, "{lost}");
    first.keep_key();
    let again = request(&dir, "h1", "127.0.0.2", &ca);
    let (status, answer) = join(&bench, &body(&text, "h1", again.text(), api));
    assert_eq!((status, &answer["certificate"]), (201, &lost["certificate"]), "{answer}");
    assert_eq!(root(&bench, "GET", "/v1/enrolment/tokens", None)["tokens"][0]["left"], 0);
    assert!(events(&bench.manager, "enrolment_refused").await.is_empty());
    // Neither another key, nor the same for another address, nor any once the token is gone.
    let other = request(&dir.join("other"), "h1", "127.0.0.2", &ca);
    let moved = "https://127.0.0.3:8443";
    for (csr, api) in [(other.text(), api), (again.text(), moved)] {
        let (status, answer) = join(&bench, &body(&text, "h1", csr, api));
        assert_eq!((status, &answer["detail"]), (403, &"the token is used up".into()), "{answer}");
    }
    root(&bench, "DELETE", &format!("/v1/enrolment/tokens/{id}"), None);
    assert_eq!(join(&bench, &body(&text, "h1", again.text(), api)).0, 403);
    assert_eq!(events(&bench.manager, "enrolment_refused").await.len(), 3);
}

fn joined_at(bench: &Bench, token: &str, name: &str, address: &str) {
    let request = request(bench.dir.path(), name, address, &ca(bench));
    let (status, answer) = join(bench, &body(token, name, request.text(), &format!("https://{address}:8443")));
    assert_eq!(status, 201, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_section_nobody_joins() {
    let bench = common::bench().await;
    assert_eq!(Browser::stranger(&bench).get("/v1/enrolment/ca").status, 403);
    assert_eq!(join(&bench, &body("x", "h1", "x", "https://h1")).0, 403);
    assert_eq!(root(&bench, "POST", "/v1/enrolment/tokens", Some(json!({"hosts": 1, "ttl": 9})))["code"], "conflict");
}
