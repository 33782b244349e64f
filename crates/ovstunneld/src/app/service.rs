//! Puts the daemon's inner parts together: switch, writer, devices, routes.
//!
//! What it does: starts them from a configuration and ends them in order. What it must not do: listen, or handle signals;
//! that is `daemon`'s.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use ovstunnel_api::{Interface, TunnelKind};
use ovstunnel_ovs::{CommandHook, RealSwitch, SimulatedSwitch, StartError, Switch, Tools};
use ovstunnel_plan::Settings;
use ovstunnel_server::access::Access;
use ovstunnel_server::logging::Logging;
use ovstunnel_server::{middleware, systemd};
use tokio::task::{JoinHandle, JoinSet};

use crate::app::publisher::publish_changes;
use crate::app::{kinds, underlay};
use crate::config::Config;
use crate::doctor::Doctor;
use crate::health::{Kept, Surveyor};
use crate::host::Interfaces;
use crate::metrics::Metrics;
use crate::routes;
use crate::silence::{Silence, watch_peers};
use crate::state::State;
use crate::watch::Hub;
use crate::witness::{self, Witnesses};
use crate::writer::Writer;
use crate::writer::lock::WriterLock;
use crate::xapi::Xapi;

/// Beyond what one piece of the writer's work may take at most: a batch is two commands' deadlines and a read-back.
const STUCK: Duration = Duration::from_secs(30);

/// How long the writer may take to finish what it was given, once nobody asks any more.
const FINISH: Duration = Duration::from_secs(40);

/// How long after the start Open vSwitch is spoken of where it is not there.
const ABSENT_AFTER: Duration = Duration::from_millis(1200);

/// How long whoever starts the daemon waits for its first look at everything.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// The running inner parts.
#[derive(Debug)]
pub struct Service {
    running: JoinHandle<()>,
    watchdog: Option<JoinHandle<()>>,
    witness: Option<JoinSet<()>>,
    counting: JoinHandle<()>,
    watching_peers: JoinHandle<()>,
    tuner: Tuner,
}

/// Changes what can be changed behind the listeners while they serve.
#[derive(Debug)]
pub struct Tuner {
    switch: Switch,
    watch: Hub,
    writer: Writer,
    doctor: Arc<Doctor>,
    metrics: Metrics,
    silence: Silence,
}

impl Tuner {
    /// The numbers of this daemon.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Has everything follow what this configuration says.
    pub fn apply_config(&self, config: &Config) {
        self.doctor.set_config(config.clone());
        self.switch.limit_vifs(config.network.vif_broadcast_pps);
        self.writer.set_tuning(plan_settings(config), config.reconcile.interval);
        self.silence.set_forget_after(config.tunnel.forget_after);
        // Who watches is judged anew, by what certificates and roles are now.
        self.watch.end_all();
    }
}

impl Service {
    /// Starts everything behind the listeners, and gives the routes with all that each request goes through, `access` first.
    ///
    /// # Errors
    /// When Open vSwitch is too old. That it is not there is none: it may come.
    pub async fn start(
        config: &Config,
        file: Option<&Path>,
        simulate: bool,
        access: Access,
        logging: Arc<Logging>,
    ) -> Result<(Router, Service), StartError> {
        let metrics = Metrics::default();
        let (switch, interfaces, lock) = if simulate {
            (Switch::Simulated(SimulatedSwitch::new()), simulated_interfaces(), WriterLock::no_lock())
        } else {
            let lock = WriterLock::for_config(config, config.ovs.timeout);
            (real_switch(config, &metrics).await?, Interfaces::of_kernel(), lock)
        };
        tokio::spawn(tell_of_absence(switch.clone()));
        let xapi = Xapi::new(&config.xapi, metrics_hook(&metrics));
        tracing::info!(used = xapi.is_some(), xe = %config.xapi.xe.display(), "xapi");
        let doctor = Arc::new(Doctor::new(config.clone(), file.map(Path::to_owned), access.tls_store()));
        let counting = tokio::spawn(Arc::clone(&doctor).count_traffic(switch.clone()));
        let (access, logging) = (Some(access), Some(logging));
        let counted = metrics.clone();
        let host = Host { access, logging, metrics, lock, interfaces, xapi, doctor: doctor.clone() };
        let Assembled { router, running, writer, witnesses, watch, silence } =
            assemble_on(host, switch.clone(), plan_settings(config), config.reconcile.interval);
        silence.set_forget_after(config.tunnel.forget_after);
        let watching_peers =
            tokio::spawn(watch_peers(silence.clone(), switch.clone(), writer.clone(), counted.clone()));
        let witness = witness::start_witnesses(&switch, &writer, witnesses);
        let progress = writer.progress();
        let limit = 4 * config.ovs.timeout + STUCK;
        let watchdog = systemd::feed_watchdog(
            move || progress.busy_since(),
            limit,
            move || tracing::error!(limit_s = limit.as_secs(), "writer stalled; withholding watchdog keep-alive"),
        );
        let (looked, configured) = (writer.until_reconciled(), config.tunnel.kind);
        let told = switch.clone();
        tokio::spawn(async move {
            looked.await;
            kinds::tell(&told, configured);
        });
        let tuner = Tuner { switch, watch, writer, doctor, metrics: counted, silence };
        Ok((router, Service { running, watchdog, witness, counting, watching_peers, tuner }))
    }

    /// Waits until the first look at everything is over: the daemon is what a caller expects then. Where Open vSwitch does not
    /// answer that may be never, so only for some seconds.
    pub fn first_run_done(&self) -> impl Future<Output = ()> + use<> {
        let reconciled = self.tuner.writer.until_reconciled();
        async { drop(tokio::time::timeout(FIRST_LOOK, reconciled).await) }
    }

    /// For changes of the configuration.
    pub fn tuner(&self) -> &Tuner {
        &self.tuner
    }

    /// Waits until the writer has finished what it was given. All routers must be gone by then.
    pub async fn finish(self) {
        // They only ask.
        drop(self.witness);
        self.counting.abort();
        // What it has asked for is carried out.
        self.watching_peers.abort();
        // The last handle of the writer, which ends with it.
        drop(self.tuner);
        if tokio::time::timeout(FINISH, self.running).await.is_err() {
            tracing::error!("ended before all changes were carried out; the next start looks at what was");
        }
        if let Some(watchdog) = self.watchdog {
            watchdog.abort();
        }
    }
}

/// The routes over a given switch.
pub fn assemble_routes(
    switch: Switch,
    interfaces: Interfaces,
    settings: Settings,
    interval: Duration,
) -> (Router, JoinHandle<()>) {
    let Assembled { router, running, .. } = assemble_plain(Metrics::default(), switch, interfaces, settings, interval);
    (router, running)
}

/// The same, with this `[tunnel] forget_after`. The writer goes on when the routes are gone.
pub fn assemble_forgetting(
    switch: Switch,
    interfaces: Interfaces,
    settings: Settings,
    forget_after: Duration,
) -> Router {
    let (metrics, never) = (Metrics::default(), Duration::from_secs(86_400));
    let Assembled { router, writer, silence, .. } =
        assemble_plain(metrics.clone(), switch.clone(), interfaces, settings, never);
    silence.set_forget_after(Some(forget_after));
    tokio::spawn(watch_peers(silence, switch, writer, metrics));
    router
}

fn assemble_plain(
    metrics: Metrics,
    switch: Switch,
    interfaces: Interfaces,
    settings: Settings,
    interval: Duration,
) -> Assembled {
    let doctor = Doctor::new(Config::default(), None, None).into();
    let lock = WriterLock::no_lock();
    let host = Host { access: None, logging: None, metrics, lock, interfaces, xapi: None, doctor };
    assemble_on(host, switch, settings, interval)
}

/// The parts behind the listeners that others work with.
struct Assembled {
    router: Router,
    running: JoinHandle<()>,
    writer: Writer,
    witnesses: Witnesses,
    watch: Hub,
    silence: Silence,
}

/// What a daemon has around its switch.
struct Host {
    access: Option<Access>,
    logging: Option<Arc<Logging>>,
    metrics: Metrics,
    lock: WriterLock,
    interfaces: Interfaces,
    xapi: Option<Arc<Xapi>>,
    doctor: Arc<Doctor>,
}

fn assemble_on(host: Host, switch: Switch, settings: Settings, interval: Duration) -> Assembled {
    let Host { access, logging, metrics, lock, interfaces, xapi, doctor } = host;
    let (writer, running) = Writer::start(switch.clone(), settings, interval, metrics.clone(), lock);
    let interfaces = Arc::new(interfaces);
    tokio::spawn(underlay::follow_underlay(Arc::clone(&interfaces), switch.observer().clone(), writer.tuned()));
    let surveyor = Surveyor::new(switch.clone(), Arc::clone(&interfaces), doctor.root().clone());
    let watch = Hub::new(metrics.clone());
    let (witnesses, host_health, silence) = (Witnesses::default(), Kept::default(), Silence::default());
    let state = State {
        switch,
        writer: writer.clone(),
        interfaces,
        turns: Arc::default(),
        xapi,
        metrics,
        logging,
        doctor,
        surveyor,
        witnesses: witnesses.clone(),
        host_health,
        watch: watch.clone(),
        silence: silence.clone(),
    };
    tokio::spawn(publish_changes(state.clone()));
    let router = middleware::wrap_routes(routes::router(state), access);
    Assembled { router, running, writer, witnesses, watch, silence }
}

/// Open vSwitch as the configuration says.
pub(crate) async fn real_switch(config: &Config, metrics: &Metrics) -> Result<Switch, StartError> {
    let tools = Tools {
        rundir: config.ovs.rundir.clone(),
        bin_dir: config.ovs.bin_dir.clone(),
        timeout: config.ovs.timeout,
        vif_broadcast_pps: config.network.vif_broadcast_pps,
        writes: config.ovs.writes,
        ..Tools::default()
    };
    Ok(Switch::Real(RealSwitch::start(tools, metrics_hook(metrics)).await?))
}

/// Says early that Open vSwitch is not there: else nothing tells why nothing happens.
async fn tell_of_absence(switch: Switch) {
    tokio::time::sleep(ABSENT_AFTER).await;
    let reason = switch.watch_health().borrow().first_trouble().map(|reason| reason.to_string());
    if let Some(reason) = reason {
        tracing::warn!(reason, "Open vSwitch cannot be reached; waiting for it");
    }
}

/// Counts each command that is run.
fn metrics_hook(metrics: &Metrics) -> CommandHook {
    let counted = metrics.clone();
    CommandHook::new(move |command, result, took| counted.count_command(command, result, took))
}

/// What the configuration says about networks.
pub(crate) fn plan_settings(config: &Config) -> Settings {
    Settings {
        ipv6: config.network.ipv6,
        vif_prefixes: config.network.vif_prefixes.clone(),
        vif_broadcast_pps: config.network.vif_broadcast_pps,
        datapath_type: config.ovs.datapath_type.clone(),
        ipv6_drop_opaque: config.network.ipv6_drop_opaque,
        answer_neighbours: config.network.answer_neighbours,
        local_ip: config.tunnel.local_ip,
        encap: config.tunnel.encap(),
        tunnel_options: config.tunnel.options(),
        bridge_mtu: config.network.bridge_mtu,
        underlay: None,
    }
}

/// The devices of a simulated host.
fn simulated_interfaces() -> Interfaces {
    let mtu = 1500;
    Interfaces::of_list(vec![Interface {
        label: "sim0".into(),
        device: "sim0".into(),
        ip: Some("192.0.2.1".into()),
        netmask: Some("255.255.255.0".into()),
        ipv6: None,
        mac: Some("02:00:00:00:00:01".into()),
        mtu,
        max_guest_mtu: mtu - TunnelKind::Gre.overhead(),
    }])
}
