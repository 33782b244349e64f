//! CloudStack beside the zone: a server that plays its API over TLS and checks each signature, what the manager tells of it, and webhooks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::common::web::Browser;
use crate::common::{Bench, bench_with, folder, host, put, set_up, until};
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ovstunnel_manager::config::Config;
use ovstunnel_manager_api::CloudStackState;
use ovstunnel_server::access::Access;
use ovstunnel_server::config::{Api, Tls};
use ovstunnel_server::listen::{Listeners, Serving};
use ovstunnel_store::Store;
use ring::hmac;
use serde_json::{Value, json};
use tempfile::TempDir;

const API_KEY: &str = "Api-Key_1";
const SECRET: &str = "Geheim-Er_Schluessel";

/// By command, the name of its list in the answer and what is in it.
type Lists = BTreeMap<&'static str, (&'static str, Vec<Value>)>;

/// What the server has: of each command the field of its answer, and what stands there.
#[derive(Clone)]
struct Cloud {
    lists: Arc<Mutex<Lists>>,
    asked: Arc<Mutex<Vec<String>>>,
    algorithm: hmac::Algorithm,
}

fn vm(n: usize, host: &str, network: &str, state: &str) -> Value {
    json!({"id": format!("vm-{n}"), "name": format!("vm {n}"), "state": state, "hostid": host, "hostname": host,
        "account": "shop", "nic": [{"id": format!("nic-{n}"), "networkid": network, "macaddress": "02:00:4c:00:00:01"}]})
}

impl Cloud {
    /// Two hosts, of which CloudStack calls the second one otherwise; 501 VMs on the first, a router on the second.
    fn new(algorithm: hmac::Algorithm) -> Cloud {
        let hosts = vec![
            json!({"id": "host-1", "name": "h1", "ipaddress": "192.0.2.1", "zonename": "zurich", "podname": "rack-7",
                "clustername": "kvm-1", "type": "Routing", "state": "Up"}),
            json!({"id": "host-2", "name": "second.example.net", "ipaddress": "127.0.0.1", "podname": "rack-8", "state": "Up"}),
            json!({"id": "host-3", "name": "elsewhere", "ipaddress": "192.0.2.3", "state": "Up"}),
        ];
        let networks = vec![
            json!({"id": "net-1", "name": "web-tier", "account": "shop", "domain": "ROOT/acme", "zonename": "zurich",
                "broadcasturi": "vs://1001", "type": "Isolated"}),
            json!({"id": "net-2", "name": "by-vlan", "broadcasturi": "vlan://7"}),
            json!({"id": "net-3", "name": "not-yet", "projectid": "p", "project": "crm"}),
        ];
        let mut vms: Vec<Value> = (0..501).map(|n| vm(n, "host-1", "net-1", "Running")).collect();
        vms.push(json!({"id": "vm-s", "state": "Stopped", "nic": [{"networkid": "net-1"}]}));
        let lists = [
            ("listHosts", ("host", hosts)),
            ("listNetworks", ("network", networks)),
            ("listVirtualMachines", ("virtualmachine", vms)),
            ("listRouters", ("router", vec![vm(900, "host-2", "net-1", "Running")])),
            ("listInternalLoadBalancerVMs", ("internalloadbalancervm", vec![])),
        ];
        Cloud { lists: Arc::new(Mutex::new(lists.into())), asked: Arc::default(), algorithm }
    }

    fn change(&self, command: &'static str, change: impl FnOnce(&mut Vec<Value>)) {
        change(&mut self.lists.lock().unwrap().get_mut(command).unwrap().1);
    }

    /// Serves it over TLS by the certificate of a CA of its own, in its folder.
    async fn serve(&self, dir: &Path) -> (String, Serving) {
        let file = |name: &str| dir.join("pki").join(name);
        let (certificate, key, client_ca) = (file("host.crt"), file("host.key"), file("ca.crt"));
        let tls = Tls { certificate, key, client_ca, client_crl: None, clients: Vec::new() };
        let access = Access::open_to_visitors(Some(&tls)).unwrap();
        let api = Api { listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))), socket: dir.join("cloud.sock") };
        let listeners = Listeners::bind(&api, access.tls_store()).await.unwrap();
        let url = format!("https://{}/client/api", listeners.https_address().unwrap());
        let routes = Router::new().route("/client/api", axum::routing::get(answer)).with_state(self.clone());
        (url, listeners.serve(&routes, |_| {}))
    }
}

/// As CloudStack checks it: all parameters but the signature in lower case, by name.
fn is_signed(query: &str, algorithm: hmac::Algorithm) -> bool {
    let mut parts: Vec<&str> = query.split('&').filter(|part| !part.starts_with("signature=")).collect();
    parts.sort_by_key(|part| part.to_lowercase());
    let signature = query.split('&').find_map(|part| part.strip_prefix("signature=")).unwrap_or_default();
    let signature = signature.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    let key = hmac::Key::new(algorithm, SECRET.as_bytes());
    let tag = hmac::sign(&key, parts.join("&").to_lowercase().as_bytes());
    parts.contains(&format!("apiKey={API_KEY}").as_str()) && STANDARD.encode(tag) == signature
}

async fn answer(State(cloud): State<Cloud>, RawQuery(query): RawQuery) -> (StatusCode, Json<Value>) {
    let query = query.unwrap_or_default();
    if !is_signed(&query, cloud.algorithm) {
        let text = "unable to verify user credentials and/or request signature";
        return (StatusCode::UNAUTHORIZED, Json(json!({"errorresponse": {"errorcode": 401, "errortext": text}})));
    }
    let of = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)).unwrap_or_default().to_owned();
    let (command, page, size) =
        (of("command="), of("page=").parse::<usize>().unwrap(), of("pagesize=").parse().unwrap());
    cloud.asked.lock().unwrap().push(format!("{command} {page} zone={}", of("zoneid=")));
    let lists = cloud.lists.lock().unwrap();
    let (field, items) = &lists[command.as_str()];
    let some: Vec<Value> = items.iter().skip((page - 1) * size).take(size).cloned().collect();
    let mut list = json!({});
    if !some.is_empty() {
        list = json!({"count": items.len()});
        list[*field] = json!(some);
    }
    (StatusCode::OK, Json(json!({format!("{}response", command.to_lowercase()): list})))
}

/// The section of the configuration, with this CA and these keys.
fn section(dir: &Path, url: &str, ca: &Path, keys: &str, more: &str) -> String {
    let file = dir.join("cloudstack.keys");
    std::fs::write(&file, keys).unwrap();
    let (keys, ca) = (file.display(), ca.join("pki/ca.crt").display().to_string());
    format!("[cloudstack]\nurl = \"{url}\"\nkeys = \"{keys}\"\nca = \"{ca}\"\n{more}\n")
}

struct Beside {
    cloud: Cloud,
    bench: Bench,
    _dir: TempDir,
    _serving: Serving,
}

async fn beside(cloud: Cloud, more: &str) -> Beside {
    let dir = folder();
    let (url, serving) = cloud.serve(dir.path()).await;
    let text = section(dir.path(), &url, dir.path(), &format!("{API_KEY}\n{SECRET}\n"), more);
    let heard = "[membership]\nwitnesses = [\"bridges\", \"vifs\", \"cloudstack\"]\n";
    let bench = bench_with(&(text + heard), Store::in_memory("dc1")).await;
    Beside { cloud, bench, _dir: dir, _serving: serving }
}

async fn until_read(bench: &Bench, what: &str, mut is: impl FnMut(&CloudStackState) -> bool) -> CloudStackState {
    until(what, async || bench.manager.cloudstack().await.ok().filter(|state| is(state))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn names_accounts_and_pods_are_read_page_by_page_and_shown() {
    let zone = "zone = \"1746ef10-8fa6\"\ninterval = \"10s\"";
    let beside = beside(Cloud::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY), zone).await;
    let at = beside.bench.dir.path();
    let hosts = [host(at, 1).await, host(at, 2).await];
    set_up(&hosts[0], 1, &[2]).await;
    set_up(&hosts[1], 2, &[1]).await;
    for (name, n) in [("h1", 1), ("h2", 2)] {
        // The first is known by its name; the second by its address, as CloudStack has another name for it.
        let url = &hosts[usize::try_from(n).unwrap() - 1].url;
        beside.bench.manager.put_host(name, &put(url, Some(n)), false).await.unwrap();
    }
    // What was registered after the first reading is known by the next one.
    let state = until_read(&beside.bench, "both hosts to be known", |state| state.registered == 2).await;
    assert_eq!((state.hosts, state.networks, state.keyed, state.nics), (3, 3, 1, 502));
    assert_eq!((state.error, state.strangers), (None, vec![]));
    let asked = beside.cloud.asked.lock().unwrap().clone();
    for command in ["listHosts 1", "listVirtualMachines 1", "listVirtualMachines 2", "listRouters 1"] {
        assert!(asked.contains(&format!("{command} zone=1746ef10-8fa6")), "{asked:?}");
    }
    let network = until("the network", async || beside.bench.manager.network("key-1001").await.ok()).await;
    let known = network.cloudstack.expect("CloudStack's word");
    assert_eq!((known.name.as_str(), known.account.as_deref(), known.nics), ("web-tier", Some("shop"), 502));
    let known = beside.bench.manager.host("h2").await.unwrap().cloudstack.expect("CloudStack's word");
    assert_eq!((known.name.as_str(), known.pod.as_deref()), ("second.example.net", Some("rack-8")));
    let browser = Browser::named(&beside.bench, "viewer");
    let page = browser.get("/networks/key-1001").body;
    for word in ["web-tier", "account shop", "domain ROOT/acme", "zone zurich", "502 NICs of VMs"] {
        assert!(page.contains(word), "{word}: {page}");
    }
    let page = browser.get("/hosts/h1").body;
    assert!(page.contains("pod rack-7") && page.contains("cluster kvm-1"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_webhook_has_it_read_at_once_from_whoever_sends_it() {
    let cloud = Cloud::new(hmac::HMAC_SHA256);
    let secret = folder();
    let file = secret.path().join("hook");
    std::fs::write(&file, "hook-geheim\n").unwrap();
    let more = format!("signature = \"sha256\"\ninterval = \"1h\"\nwebhook_secret = \"{}\"", file.display());
    let beside = beside(cloud, &more).await;
    until_read(&beside.bench, "the first reading", |state| state.nics == 502).await;
    let hook = |body: &str, signature: Option<&str>| {
        // Without a certificate, as CloudStack has none.
        let url = format!("{}/v1/cloudstack/events", beside.bench.url);
        let mut curl = Command::new("curl");
        curl.args([
            "-s",
            "-o",
            "-",
            "-w",
            "\n%{http_code}",
            "--data-binary",
            body,
            "-H",
            "content-type: application/json",
        ]);
        curl.arg("--cacert").arg(beside.bench.dir.path().join("pki/ca.crt")).arg(url);
        if let Some(one) = signature {
            curl.args(["-H", &format!("X-CS-Signature: {one}")]);
        }
        String::from_utf8(curl.output().unwrap().stdout).unwrap()
    };
    beside.cloud.change("listRouters", |all| all.push(vm(901, "host-3", "net-1", "Running")));
    let body = r#"{"event":"VM.START"}"#;
    let tag = STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"hook-geheim"), body.as_bytes()));
    for (body, signature) in [(body, None), (body, Some("AAAA")), (r#"{"event":"VM.STOP"}"#, Some(tag.as_str()))] {
        let said = hook(body, signature);
        assert!(said.contains("X-CS-Signature: must be") && said.ends_with("\n403"), "{said}");
    }
    assert_eq!(beside.bench.manager.cloudstack().await.unwrap().hints, 0);
    assert!(hook(body, Some(&tag)).ends_with("\n200"));
    let state = until_read(&beside.bench, "the next reading", |state| state.nics == 503).await;
    assert_eq!(state.hints, 1);
    assert_eq!(state.strangers, ["elsewhere", "h1", "second.example.net"], "hosts with VMs that nobody has registered");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reason_why_it_cannot_be_read_is_told_in_words() {
    let (cloud, other) = (Cloud::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY), folder());
    let (url, _serving) = cloud.serve(other.path()).await;
    let good = format!("{API_KEY}\n{SECRET}");
    let wrong = format!("{API_KEY}\nnot-the-secret");
    let stranger = folder();
    let cases = [
        (&url, other.path(), &wrong, "", "401: unable to verify user credentials"),
        (&url, other.path(), &good, "signature = \"sha512\"", "401: unable to verify user credentials"),
        (&url, stranger.path(), &good, "", "invalid peer certificate"),
        (&url.replace("/client/api", "/other"), other.path(), &good, "", "the server answered 404 and no list"),
    ];
    for (url, ca, keys, more, words) in cases {
        let text = section(other.path(), url, ca, keys, more);
        let bench = bench_with(&text, Store::in_memory("dc1")).await;
        let state = until_read(&bench, words, |state| state.error.is_some()).await;
        let error = state.error.unwrap();
        assert!(error.contains(words) && error.starts_with("listVirtualMachines: "), "{error}");
        assert!(!error.contains(API_KEY) && !error.contains("ignature="), "{error}");
        assert_eq!((state.age, state.server), (None, Some(url[8..].split('/').next().unwrap().to_owned())));
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named_before_the_start() {
    let dir = folder();
    let url = "https://192.0.2.1/client/api";
    let good = format!("{API_KEY}\n{SECRET}\n");
    let secret = dir.path().join("empty");
    std::fs::write(&secret, " \n").unwrap();
    let no_ca = dir.path().join("nowhere");
    let hook = format!("webhook_secret = \"{}\"", secret.display());
    for (keys, ca, more, words) in [
        ("one-line\n", dir.path(), "", "[cloudstack] keys: "),
        ("one-line\n", dir.path(), "", "has 1 lines; expected the API key in its first line"),
        (&good, no_ca.as_path(), "", "[cloudstack] ca: "),
        (&good, dir.path(), &hook, "[cloudstack] webhook_secret: "),
    ] {
        let text = crate::common::configuration(dir.path()) + &section(dir.path(), url, ca, keys, more);
        let text =
            text.replace("[hosts]", &format!("[database]\nurl = \"sqlite://{}/m.db\"\n[hosts]", dir.path().display()));
        let config = Config::parse(&text, Path::new("manager.toml")).unwrap();
        let error = ovstunnel_manager::check::check_config(&config).await.unwrap_err().to_string();
        assert!(error.contains(words) && !error.contains(SECRET), "{words}: {error}");
    }
}
