//! One host: the real routes and writer over a switch in memory, which outlives them.
//!
//! What it does: starts and kills the daemon, loses power, plugs VIFs, and takes requests. What it must not do: decide what
//! is on its switch.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::Request;
use ovstunnel_api::Interface;
use ovstunnel_ovs::{SimulatedSwitch, Switch};
use ovstunnel_plan::{ObservedBridge, Settings, View};
use ovstunneld::testing::{Interfaces, assemble_routes};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tower::ServiceExt;

use crate::costs::Costs;
use crate::counts::Meter;

/// MTU of a host's device.
const MTU: u32 = 1500;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Body, as it came.
    pub body: Bytes,
}

impl Answer {
    /// The body, read.
    ///
    /// # Errors
    /// When it is not what it should be.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).context("the answer of a daemon")
    }
}

/// A host.
#[derive(Debug)]
pub struct Host {
    number: usize,
    switch: SimulatedSwitch,
    meter: Meter,
    interval: Duration,
    daemon: RefCell<Option<Daemon>>,
    life: Cell<u64>,
    vifs: Cell<u64>,
}

#[derive(Debug)]
struct Daemon {
    router: Router,
    writer: JoinHandle<()>,
}

impl Host {
    /// A host whose daemon looks at everything once in each `interval`. The daemon does not run yet.
    pub fn new(number: usize, costs: Costs, interval: Duration) -> Self {
        let meter = Meter::default();
        let switch = SimulatedSwitch::new().with_pace(meter.pace(costs));
        Host { number, switch, meter, interval, daemon: RefCell::default(), life: Cell::new(0), vifs: Cell::new(0) }
    }

    /// Address of host number `number`.
    pub fn address(number: usize) -> String {
        format!("10.{}.{}.{}", number / 62_500, number / 250 % 250, 1 + number % 250)
    }

    /// Starts the daemon over what the switch has.
    pub fn start(&self) {
        let device = Interface {
            label: "eth0".into(),
            device: "eth0".into(),
            ip: Some(Self::address(self.number)),
            netmask: Some("255.0.0.0".into()),
            ipv6: None,
            mac: None,
            mtu: MTU,
            max_guest_mtu: MTU - ovstunnel_api::TunnelKind::Gre.overhead(),
        };
        let switch = Switch::Simulated(self.switch.clone());
        let (router, writer) =
            assemble_routes(switch, Interfaces::of_list(vec![device]), Settings::default(), self.interval);
        *self.daemon.borrow_mut() = Some(Daemon { router, writer });
    }

    /// Kills the daemon, at whatever it is; the switch goes on.
    pub fn kill(&self) {
        if let Some(Daemon { writer, .. }) = self.daemon.take() {
            writer.abort();
        }
        self.life.set(self.life.get() + 1);
    }

    /// The host loses power: daemon, `ovs-vswitchd` and VMs are gone, the database stays.
    pub fn power_off(&self) {
        self.kill();
        self.switch.set_running(false);
        for bridge in self.bridge_names() {
            let prefixes = Settings::default().vif_prefixes;
            let vifs = self.bridge(&bridge).map(|bridge| vif_names(&bridge, &prefixes)).unwrap_or_default();
            vifs.iter().for_each(|vif| self.switch.unplug_port(vif));
        }
    }

    /// The host comes back with an empty flow table, and its daemon starts.
    pub fn power_on(&self) {
        self.switch.set_running(true);
        self.start();
    }

    /// Counts the ends of its daemon: what was learnt of it in another life says nothing.
    pub fn life(&self) -> u64 {
        self.life.get()
    }

    /// Sends a request; nothing where nobody answers.
    ///
    /// # Errors
    /// When the request cannot be made.
    pub async fn ask(&self, method: &str, path: &str, body: &str) -> Result<Option<Answer>> {
        let life = self.life();
        let Some(router) = self.daemon.borrow().as_ref().map(|daemon| daemon.router.clone()) else { return Ok(None) };
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let response = router.oneshot(request.body(Body::from(body.to_owned()))?).await?;
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await?;
        if life != self.life() {
            return Ok(None);
        }
        Ok(Some(Answer { status, body }))
    }

    /// Plugs a VIF; gives its name.
    pub fn plug(&self, bridge: &str) -> String {
        self.vifs.set(self.vifs.get() + 1);
        let vif = format!("vif{}.0", self.vifs.get());
        self.switch.plug_port(bridge, &vif);
        vif
    }

    /// Takes a VIF from its bridge.
    pub fn unplug(&self, vif: &str) {
        self.switch.unplug_port(vif);
    }

    /// A bridge as it is in the switch, whoever made it.
    pub fn bridge(&self, name: &str) -> Option<ObservedBridge> {
        Switch::Simulated(self.switch.clone())
            .observer()
            .read(|db| db.view().bridge(name))
            .map(std::sync::Arc::unwrap_or_clone)
    }

    /// Names of all bridges in the switch.
    pub fn bridge_names(&self) -> Vec<String> {
        Switch::Simulated(self.switch.clone()).observer().read(|db| db.bridge_names())
    }

    /// What its switch was asked to do.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The switch itself, for whoever breaks it.
    pub fn switch(&self) -> &SimulatedSwitch {
        &self.switch
    }
}

fn vif_names(bridge: &ObservedBridge, prefixes: &[String]) -> Vec<String> {
    bridge.vifs(prefixes).map(|port| port.name.clone()).collect()
}
