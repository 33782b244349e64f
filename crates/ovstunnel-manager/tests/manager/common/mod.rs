//! Hosts whose daemons are real ones on simulated switches, asked over HTTPS, and a manager for them: in this process, or as the program.

pub mod program;
pub mod web;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use ovstunnel_api::{Code, Id, PutBridge, PutTunnel};
use ovstunnel_client::{Client, ClientError, Endpoint, Identity, Manager};
use ovstunnel_manager::config::Config;
use ovstunnel_manager::service::Service;
use ovstunnel_manager_api::{Isolation, Mode, PutHost, PutPhysicalNetwork};
use ovstunnel_ovs::{SimulatedSwitch, Switch};
use ovstunnel_pki::{Authority, Leaf, Role};
use ovstunnel_server::access::Access;
use ovstunnel_server::config::{Api, Tls};
use ovstunnel_server::listen::{Listeners, Serving};
use ovstunnel_server::middleware;
use ovstunnel_store::Store;
use time::OffsetDateTime;

pub const PATIENCE: Duration = Duration::from_secs(30);
pub const TIMEOUT: Duration = Duration::from_secs(30);

pub struct Host {
    pub url: String,
    pub client: Client,
    /// The files that its daemon serves HTTPS with, and who may ask it.
    pub tls: Tls,
    pub access: Access,
    pub serving: Serving,
}

pub struct Bench {
    pub dir: tempfile::TempDir,
    pub url: String,
    pub manager: Manager,
    _service: Service,
    _serving: Serving,
}

pub fn identity(pki: &Path) -> Identity {
    let file = |name: &str| pki.join(name);
    Identity { ca: file("ca.crt"), cert: file("zone.crt"), key: file("zone.key") }
}

/// A daemon on a simulated switch, with the device `sim0` at this address.
pub async fn host(dir: &Path, number: u8) -> Host {
    host_with(dir, number, &dir.join("pki").join("host")).await
}

/// The same with the certificate and key in `own` and an ending.
pub async fn host_with(dir: &Path, number: u8, own: &Path) -> Host {
    host_changed(dir, number, own, |app| app).await
}

/// The same with routes that are changed.
pub async fn host_changed(dir: &Path, number: u8, own: &Path, change: impl FnOnce(Router) -> Router) -> Host {
    let pki = dir.join("pki");
    let interface = serde_json::from_value(serde_json::json!({
        "label": "sim0", "device": "sim0", "ip": format!("192.0.2.{number}"), "netmask": "255.255.255.0",
        "mac": format!("02:00:00:00:00:{number:02}"), "mtu": 1500, "max_guest_mtu": 1458,
    }));
    let interfaces = ovstunneld::testing::Interfaces::of_list(vec![interface.unwrap()]);
    let settings = ovstunnel_plan::Settings::default();
    let switch = Switch::Simulated(SimulatedSwitch::new());
    let (app, _) = ovstunneld::testing::assemble_routes(switch, interfaces, settings, Duration::from_secs(3600));
    let tls = Tls {
        certificate: own.with_extension("crt"),
        key: own.with_extension("key"),
        client_ca: pki.join("ca.crt"),
        client_crl: None,
        clients: Vec::new(),
    };
    let access = Access::open(Some(&tls)).unwrap();
    let socket: PathBuf = dir.join(format!("h{number}.sock"));
    let api = Api { listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))), socket };
    let listeners = Listeners::bind(&api, access.tls_store()).await.unwrap();
    let url = format!("https://{}", listeners.https_address().unwrap());
    let serving = listeners.serve(&middleware::wrap_routes(change(app), Some(access.clone())), |_| {});
    let endpoint = Endpoint::Https { url: Endpoint::parse_url(&url).unwrap(), identity: identity(&pki) };
    Host { url, client: Client::new(&endpoint, TIMEOUT).unwrap(), tls, access, serving }
}

/// A folder with a CA, and certificates for the manager (`zone`) and for hosts (`host`).
pub fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path().join("pki");
    let now = OffsetDateTime::now_utc();
    Authority::create(&pki, "test", 90, now).unwrap();
    let authority = Authority::open(&pki).unwrap();
    let addresses = vec!["127.0.0.1".parse().unwrap()];
    for (name, role) in [("zone", Role::Manager { addresses: addresses.clone() }), ("host", Role::Host { addresses })] {
        authority.issue_certificate(&Leaf { name: name.parse().unwrap(), role, days: 90 }, now).unwrap();
    }
    dir
}

/// A manager's configuration in such a folder.
pub fn configuration(dir: &Path) -> String {
    let (at, files) = (dir.display(), dir.join("pki").display().to_string());
    format!(
        "zone = \"dc1\"\nsdn.ovs.default_label = \"sim0\"\n[api]\nlisten = \"off\"\nsocket = \"{at}/m.sock\"\n\
         [hosts]\ncertificate = \"{files}/zone.crt\"\nkey = \"{files}/zone.key\"\nca = \"{files}/ca.crt\"\n",
    )
}

pub async fn bench() -> Bench {
    bench_with("", Store::in_memory("dc1")).await
}

impl Bench {
    /// Those who watch.
    pub fn watched(&self) -> ovstunnel_manager::watch::Watched {
        self._service.watched()
    }

    /// Ends the manager; what it was in stays.
    pub async fn end(self) -> tempfile::TempDir {
        self._serving.shutdown(Duration::ZERO).await;
        self._service.finish().await;
        self.dir
    }
}

/// The same with more in its configuration, on this database.
pub async fn bench_with(more: &str, store: Store) -> Bench {
    bench_in(folder(), more, store).await
}

/// The same in a folder that is there.
pub async fn bench_in(dir: tempfile::TempDir, more: &str, store: Store) -> Bench {
    let text = configuration(dir.path()) + more;
    bench_of(dir, &text, store).await
}

/// The configuration of one that changes hosts.
fn acting_configuration(dir: &Path) -> String {
    configuration(dir).replacen("sdn.ovs", "sdn.ovs.controller = true\nsdn.ovs", 1)
}

/// The same that changes hosts.
pub async fn acting_with(more: &str, store: Store) -> Bench {
    let dir = folder();
    let text = acting_configuration(dir.path()) + more;
    bench_of(dir, &text, store).await
}

/// One that changes hosts in another one's place, once that one has ended.
pub async fn acting_after(bench: Bench, more: &str, store: Store) -> Bench {
    let Bench { dir, _service: service, _serving: serving, .. } = bench;
    serving.shutdown(Duration::from_secs(1)).await;
    service.finish().await;
    let text = acting_configuration(dir.path()) + more;
    bench_of(dir, &text, store).await
}

/// The same with this configuration in this folder.
async fn bench_of(dir: tempfile::TempDir, text: &str, store: Store) -> Bench {
    let pki = dir.path().join("pki");
    // The listener is the test's own; that there is one, the manager is to know.
    let text = text.replacen("listen = \"off\"", "listen = \"127.0.0.1:8444\"", 1);
    let config = Config::parse(&text, Path::new("manager.toml")).unwrap();
    let tls = Tls {
        certificate: pki.join("zone.crt"),
        key: pki.join("zone.key"),
        client_ca: pki.join("ca.crt"),
        client_crl: None,
        clients: config.tls.as_ref().map(|tls| tls.clients.clone()).unwrap_or_default(),
    };
    let access = Access::open_to_visitors(Some(&tls)).unwrap();
    let (app, service) = Service::start(&config, store, Some(access.clone())).await.unwrap();
    let api = Api { listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))), ..config.api.clone() };
    let listeners = Listeners::bind(&api, access.tls_store()).await.unwrap();
    let url = format!("https://{}", listeners.https_address().unwrap());
    let serving = listeners.serve(&app, |_| {});
    let manager = Manager::unix(dir.path().join("m.sock"), TIMEOUT);
    Bench { dir, url, manager, _service: service, _serving: serving }
}

pub fn put(url: &str, number: Option<u64>) -> PutHost {
    PutHost { api: url.to_owned(), number, rack: None, label: None, mode: Mode::Manage }
}

pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < end, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn set_up(host: &Host, own: u64, others: &[u64]) {
    let tunnel = |to: &u64| PutTunnel { to: Id::Number(*to), remote_ip: format!("192.0.2.{to}"), from: None };
    let body = PutBridge {
        key: 1001,
        network_uuid: None,
        host_id: Some(Id::Number(own)),
        ipv6: None,
        uplink: None,
        neighbours: None,
        kind: None,
        tunnels: Some(others.iter().map(tunnel).collect()),
    };
    host.client.put_bridge("xapi1", &body).await.unwrap();
}

pub fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (Code, String) {
    let problem = answer.unwrap_err();
    let problem = problem.problem().expect("an answer");
    (problem.code, problem.detail.clone())
}

/// A client with a certificate of this name, over HTTPS.
pub fn client(bench: &Bench, name: &str) -> Manager {
    let pki = bench.dir.path().join("pki");
    let leaf = Leaf { name: name.parse().unwrap(), role: Role::Client, days: 90 };
    Authority::open(&pki).unwrap().issue_certificate(&leaf, OffsetDateTime::now_utc()).unwrap();
    let file = |ending: &str| pki.join(format!("{name}.{ending}"));
    let identity = Identity { ca: pki.join("ca.crt"), cert: file("crt"), key: file("key") };
    Manager::new(&Endpoint::Https { url: Endpoint::parse_url(&bench.url).unwrap(), identity }, TIMEOUT).unwrap()
}

/// That an answer is a refusal with this code; gives its sentence.
pub fn code<T: std::fmt::Debug>(answer: Result<T, ClientError>, code: Code) -> String {
    let (got, detail) = refused(answer);
    assert_eq!(got, code, "{detail}");
    detail
}

/// A physical network with these ranges.
pub fn physical(isolation: Isolation, vnet: &str) -> PutPhysicalNetwork {
    PutPhysicalNetwork { isolation, vnet: vnet.into(), label: None, label_xen: None, label_kvm: None }
}
