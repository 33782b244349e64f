//! A manager that follows sends changes on to the one that leads: as asked by the client, one hop, and by nobody but the zone's managers.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use ovstunnel_client::{EventsWanted, Manager};
use ovstunnel_manager::config::Config;
use ovstunnel_manager::service::Service;
use ovstunnel_pki::{Authority, Leaf, Role as Kind};
use ovstunnel_server::access::Access;
use ovstunnel_server::config::{Api, Role, Tls, TlsClient};
use ovstunnel_server::listen::{Listeners, Serving};
use ovstunnel_store::Store;
use serde_json::Value;
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::common::web::issue;
use crate::common::{TIMEOUT, configuration, folder, until};

/// A manager among several, at the database of all.
struct Replica {
    api: Api,
    url: String,
    /// As root.
    manager: Manager,
    service: Service,
    serving: Serving,
}

const NETWORK: &str = r#"{"physical_network": "p1"}"#;

/// The zone's folder, with certificates for the managers m1 and m2.
fn zone_folder() -> TempDir {
    let dir = folder();
    for name in ["m1", "m2"] {
        let role = Kind::Manager { addresses: vec!["127.0.0.1".parse().unwrap()] };
        let leaf = Leaf { name: name.parse().unwrap(), role, days: 90 };
        Authority::open(&dir.path().join("pki")).unwrap().issue_certificate(&leaf, OffsetDateTime::now_utc()).unwrap();
    }
    dir
}

/// Who may ask the manager of this name.
fn access_of(dir: &Path, name: &str) -> Access {
    let client = |name: &str, role| TlsClient { name: name.to_owned(), role };
    let clients = vec![
        client("boss", Role::Admin),
        client("ops", Role::Operator),
        client("looker", Role::Viewer),
        // What the managers themselves may is less than what they send on.
        client("m1", Role::Viewer),
        client("m2", Role::Viewer),
    ];
    let pki = dir.join("pki");
    let own = |ending: &str| pki.join(format!("{name}.{ending}"));
    let tls =
        Tls { certificate: own("crt"), key: own("key"), client_ca: pki.join("ca.crt"), client_crl: None, clients };
    Access::open_to_visitors(Some(&tls)).unwrap()
}

/// Starts one; `managers` is the list in its file.
async fn replica(dir: &Path, name: &str, managers: &str, store: &Store) -> Replica {
    let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = configuration(dir)
        .replacen("listen = \"off\"", &format!("listen = \"{at}\""), 1)
        .replacen("sdn.ovs", "sdn.ovs.controller = true\nsdn.ovs", 1)
        .replace("/zone.", &format!("/{name}."))
        .replace("/m.sock", &format!("/{name}.sock"))
        + &format!("[database]\nurl = \"mysql://u@h/d\"\n[replica]\nname = \"{name}\"\nmanagers = {managers}\n")
        + "[[physical_networks]]\nname = \"p1\"\nisolation = \"GRE\"\nvnet = \"1001-2000\"\n";
    let config = Config::parse(&text, Path::new("manager.toml")).unwrap();
    let access = access_of(dir, name);
    let (app, service) = Service::start(&config, store.clone(), Some(access.clone())).await.unwrap();
    let api = Api { listen: Some(at), ..config.api.clone() };
    let (url, of) = (format!("https://{at}"), api.clone());
    let serving = Listeners::bind(&api, access.tls_store()).await.unwrap().serve(&app, |_| {});
    let manager = Manager::unix(dir.join(format!("{name}.sock")), TIMEOUT);
    Replica { api: of, url, manager, service, serving }
}

/// One that leads, and one that follows it.
async fn pair(dir: &Path, managers: [&str; 2]) -> (Replica, Replica) {
    let store = Store::in_memory("dc1");
    let first = replica(dir, "m1", managers[0], &store).await;
    until("m1 to lead", async || first.manager.overview().await.ok().filter(|zone| zone.leads)).await;
    let second = replica(dir, "m2", managers[1], &store).await;
    let knows = async || second.manager.overview().await.ok()?.leader.filter(|leader| leader.address.is_some());
    assert_eq!(until("m2 to know who leads", knows).await.name, "m1");
    (first, second)
}

/// What is answered to this client: status, headers and body.
fn ask(dir: &Path, client: &str, url: &str, more: &[&str]) -> (u16, String, Value) {
    let (certificate, key) = issue(dir, client);
    let mut curl = std::process::Command::new("curl");
    curl.args(["--silent", "--show-error", "--include", "--max-time", "60", "--cacert"]).arg(dir.join("pki/ca.crt"));
    curl.arg("--cert").arg(certificate).arg("--key").arg(key).args(more).arg(url);
    let output = curl.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    let (headers, body) = text.split_once("\r\n\r\n").unwrap();
    (headers.split(' ').nth(1).unwrap().parse().unwrap(), headers.to_lowercase(), serde_json::from_str(body).unwrap())
}

fn put(dir: &Path, client: &str, url: &str, more: &[&str]) -> (u16, String, Value) {
    let json = ["-X", "PUT", "-H", "content-type: application/json", "--data", NETWORK];
    ask(dir, client, url, &json.iter().chain(more).copied().collect::<Vec<_>>())
}

/// The headers by which a request says that it is asked by the owner of this certificate.
fn on_behalf(certificate: &Path) -> [String; 4] {
    let text = std::fs::read_to_string(certificate).unwrap();
    let der: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    ["-H".into(), format!("client-cert: :{der}:"), "-H".into(), "forwarded: for=\"192.0.2.9:7\"".into()]
}

async fn networks(manager: &Manager) -> Vec<String> {
    let all = manager.networks(&ovstunnel_client::NetworksWanted::default()).await.unwrap();
    all.networks.into_iter().map(|network| network.name).collect()
}

const BOTH: &str = r#"["m1", "m2"]"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_change_at_a_follower_is_done_as_asked_by_the_client() {
    let dir = zone_folder();
    let (leader, follower) = pair(dir.path(), [BOTH, BOTH]).await;
    let at = |path: &str| format!("{}{path}", follower.url);

    let (status, headers, answer) = put(dir.path(), "ops", &at("/v1/networks/web"), &["-H", "x-request-id: it-is-me"]);
    assert_eq!((status, &answer["outcome"]), (201, &"created".into()), "{answer}");
    assert!(headers.contains("x-request-id: it-is-me"), "{headers}");
    assert_eq!(networks(&leader.manager).await, ["web"]);
    let wanted = EventsWanted { network: Some("web".into()), ..EventsWanted::default() };
    let by = async || leader.manager.events(&wanted).await.unwrap().events.into_iter().find_map(|event| event.actor);
    let actor = until("the event of the network", by).await;
    assert!(actor.starts_with("ops@127.0.0.1:") && actor.ends_with(" via m2"), "{actor}");

    // What is wrong with a request the leader says, and dry runs are dry there.
    let (status, _, problem) = put(dir.path(), "ops", &at("/v1/networks/other?dry_run=perhaps"), &[]);
    assert_eq!((status, &problem["code"]), (400, &"invalid_request".into()), "{problem}");
    let (status, _, answer) = put(dir.path(), "ops", &at("/v1/networks/other?dry_run=true"), &[]);
    assert!(status < 300, "{answer}");
    assert_eq!(networks(&leader.manager).await, ["web"]);
    // Roles hold as at the leader.
    let (status, _, problem) = put(dir.path(), "looker", &at("/v1/networks/other"), &[]);
    assert_eq!((status, &problem["code"]), (403, &"forbidden".into()), "{problem}");

    // Where the leader is not reached, it is named, and nothing was changed.
    leader.serving.shutdown(Duration::ZERO).await;
    let (status, _, problem) = put(dir.path(), "ops", &at("/v1/networks/late"), &[]);
    assert_eq!((status, &problem["code"], &problem["leader"]), (421, &"not_leader".into(), &leader.url.into()));
    drop((leader.service, follower.service));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_asks_for_another_but_the_zone_s_managers() {
    let dir = zone_folder();
    let (leader, follower) = pair(dir.path(), [BOTH, BOTH]).await;
    let of = |name: &str| on_behalf(&issue(dir.path(), name).0);
    let stranger = folder();
    let send = |by: &str, headers: &[String; 4], url: &str| {
        let (status, _, answer) =
            put(dir.path(), by, &format!("{url}/v1/networks/web"), &headers.each_ref().map(String::as_str));
        (status, answer["detail"].as_str().unwrap_or_default().to_owned())
    };
    for (by, headers, why) in [
        ("ops", of("boss"), "ops may send on no request for others"),
        ("looker", of("ops"), "looker may send on no request for others"),
        // A manager has no more of it than the client may.
        ("m2", of("looker"), "looker is a viewer"),
        ("m2", of("m1"), "m1 is a viewer"),
        ("m2", on_behalf(&issue(stranger.path(), "ops").0), "the certificate of ops is not accepted"),
        ("m2", of("ops").map(|text| text.replace("192.0.2.9:7", "h")), "whose header forwarded cannot be read"),
    ] {
        let (status, detail) = send(by, &headers, &leader.url);
        assert!(status == 403 && detail.contains(why), "{status} {detail}, not {why}");
    }
    // One hop: what was sent on to one that does not lead stays there.
    let (status, detail) = send("m1", &of("ops"), &follower.url);
    assert!(status == 421 && detail.contains("m1 leads this zone"), "{status} {detail}");
    assert!(networks(&leader.manager).await.is_empty());
    // That nothing else was wrong with it:
    assert_eq!(send("m2", &of("ops"), &leader.url).0, 201);
    drop(stranger);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_list_nothing_is_sent_on_or_taken() {
    let dir = zone_folder();
    let (leader, follower) = pair(dir.path(), [BOTH, "[]"]).await;
    let (status, _, problem) = put(dir.path(), "ops", &format!("{}/v1/networks/web", follower.url), &[]);
    assert_eq!((status, &problem["code"]), (421, &"not_leader".into()), "{problem}");
    drop((leader, follower));

    let dir = zone_folder();
    let (leader, follower) = pair(dir.path(), [r#"["m1"]"#, BOTH]).await;
    let (status, _, problem) = put(dir.path(), "ops", &format!("{}/v1/networks/web", follower.url), &[]);
    let detail = problem["detail"].as_str().unwrap();
    assert!(status == 403 && detail.contains("m2 may send on no request for others"), "{status} {detail}");
    assert!(networks(&leader.manager).await.is_empty());
}

/// One that takes a request and does not answer it may have done it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_leader_may_have_done_is_not_said_to_be_undone() {
    let dir = zone_folder();
    let (leader, follower) = pair(dir.path(), [BOTH, BOTH]).await;
    leader.serving.shutdown(Duration::ZERO).await;
    let (came, mut comes) = tokio::sync::mpsc::channel::<()>(1);
    let silent = Router::new().fallback(move || async move {
        came.send(()).await.unwrap();
        std::future::pending::<()>().await;
    });
    let tls = access_of(dir.path(), "m1").tls_store();
    let serving = Listeners::bind(&leader.api, tls).await.unwrap().serve(&silent, |_| {});
    let (at, url) = (dir.path().to_owned(), format!("{}/v1/networks/web", follower.url));
    let asked = tokio::task::spawn_blocking(move || put(&at, "ops", &url, &[]));
    comes.recv().await.unwrap();
    serving.shutdown(Duration::ZERO).await;
    let (status, headers, problem) = asked.await.unwrap();
    assert_eq!((status, &problem["code"]), (503, &"unavailable".into()), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("whether it was done is not known; ask again"), "{problem}");
    assert!(headers.contains("retry-after"), "{headers}");
}
