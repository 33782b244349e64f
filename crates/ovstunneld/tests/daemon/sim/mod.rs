//! The daemon's routes over a simulated switch, in this process and without a listener.
//!
//! What it does: asks as a client does and lets a test be the hypervisor and the switch. What it must not do: sleep; a
//! condition is waited for by letting the daemon's tasks run, so a test is as fast as the daemon.

pub mod watcher;

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, request};
use ovstunnel_api::Interface;
use ovstunnel_ovs::{SimulatedSwitch, Switch};
use ovstunnel_plan::{Settings, TunnelEndpoint, TunnelKind};
use ovstunnel_server::listen::Peer;
use ovstunneld::testing::{Interfaces, assemble_routes};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tower::ServiceExt;

/// How often the daemon's tasks may run until something that is waited for has come.
const PATIENCE: usize = 20_000;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub body: Value,
}

impl Answer {
    /// The answer, where it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// The problem, where it has this status and code.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{}", self.body);
        assert_eq!(self.content_type, "application/problem+json");
        self.body
    }
}

/// A daemon over a simulated switch, ready.
pub struct Sim {
    pub switch: SimulatedSwitch,
    pub router: Router,
    pub writer: JoinHandle<()>,
}

impl Sim {
    pub async fn new() -> Self {
        Self::over(SimulatedSwitch::new()).await
    }

    /// A daemon that starts over a switch on which something may be already, ready.
    pub async fn over(switch: SimulatedSwitch) -> Self {
        let sim = Self::start(switch);
        sim.until_ready().await;
        sim
    }

    /// A daemon that has just been started.
    pub fn start(switch: SimulatedSwitch) -> Self {
        Self::start_with(switch, Settings::default())
    }

    /// The same, configured so.
    pub fn start_with(switch: SimulatedSwitch, settings: Settings) -> Self {
        let device = Interface {
            label: "eth0".into(),
            device: "eth0".into(),
            ip: Some("192.0.2.1".into()),
            netmask: Some("255.255.255.0".into()),
            ipv6: None,
            mac: None,
            mtu: 1500,
            max_guest_mtu: 1458,
        };
        let devices = Interfaces::of_list(vec![device]);
        // Looks only happen when something calls for them.
        let interval = Duration::from_secs(100_000);
        let (router, writer) = assemble_routes(Switch::Simulated(switch.clone()), devices, settings, interval);
        Sim { switch, router, writer }
    }

    pub async fn until_ready(&self) {
        self.until("ready", async || self.get("/readyz").await.status == 200).await;
    }

    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.send(Request::builder().method(method).uri(path), body).await
    }

    /// As on the Unix socket.
    pub async fn ask_as_root(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let root = Peer::Root { pid: None };
        self.send(Request::builder().method(method).uri(path).extension(root), body).await
    }

    /// Under these epochs, as root.
    pub async fn ask_under(&self, epochs: &[&str], method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = Request::builder().method(method).uri(path).extension(Peer::Root { pid: None });
        let request = epochs.iter().fold(request, |request, epoch| request.header("ovstunnel-epoch", *epoch));
        self.send(request, body).await
    }

    async fn send(&self, mut request: request::Builder, body: Option<Value>) -> Answer {
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let content_type = response.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into());
        Answer { status, content_type: content_type.unwrap_or_default(), body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None).await
    }

    pub async fn put(&self, bridge: &str, body: Value) -> Answer {
        self.ask("PUT", &format!("/v1/bridges/{bridge}"), Some(body)).await
    }

    pub async fn post(&self, bridge: &str, body: Value) -> Answer {
        self.ask("POST", &format!("/v1/bridges/{bridge}/tunnels"), Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", &format!("/v1/bridges/{path}"), None).await
    }

    pub async fn bridge(&self, name: &str) -> Value {
        self.get(&format!("/v1/bridges/{name}")).await.expect(200)
    }

    pub async fn reconcile(&self) -> Value {
        self.ask("POST", "/v1/reconcile", None).await.expect(200)
    }

    /// Lets the daemon run until a condition holds.
    pub async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        for _ in 0..PATIENCE {
            if condition().await {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("waited in vain: {what}");
    }

    /// Lets the daemon run until a bridge's flows are those that must be there, so many of them.
    pub async fn until_flows(&self, bridge: &str, count: u64) {
        let flows = async || self.bridge(bridge).await["flows"].clone();
        let wanted = json!({"state": "in_sync", "expected": count, "installed": count});
        self.until(&format!("{count} flows"), async || flows().await == wanted).await;
    }
}

/// Host 1's tunnel to host `n`.
pub fn tunnel(n: u32) -> Value {
    json!({"from": 1, "to": n, "remote_ip": ip(n)})
}

/// Host 1's tunnel to host `n` in a complete set.
pub fn member(n: u32) -> Value {
    json!({"to": n, "remote_ip": ip(n)})
}

/// Address of host `n`.
pub fn ip(n: u32) -> String {
    format!("198.{}.{}.{}", 18 + n / 60_000, n / 240 % 250, 1 + n % 240)
}

/// Where a tunnel to host `n` leads.
pub fn endpoint(n: u32, key: u32) -> TunnelEndpoint {
    TunnelEndpoint { kind: TunnelKind::Gre, remote_ip: ip(n).parse().unwrap(), key }
}

/// A set-up with the tunnels to these hosts.
pub fn mesh(key: u32, hosts: impl IntoIterator<Item = u32>) -> Value {
    json!({"key": key, "host_id": 1, "tunnels": hosts.into_iter().map(member).collect::<Vec<_>>()})
}
