//! What is wrong with this host, each with a reason and a remedy.
//!
//! What it does: gathers facts (the mirror, rows and flows of Open vSwitch, the kernel's routes, files) and has each subject's
//! file judge its own; a check that does not apply to a host is left out. What it must not do: change anything, send a packet
//! unless that is asked for, or run a program but by `ovstunnel-ovs`.

mod addresses;
mod configuration;
mod consequences;
mod drift;
mod facts;
mod health;
mod ipsec;
mod kvm;
mod nftables;
mod openvswitch;
mod others;
mod probe;
mod silent;
mod takeover;
mod traffic;
mod twice;
mod udev;
mod udp;
mod underlay;
mod unexpected;
mod xenserver;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ovstunnel_api::{Bridge, DoctorAnswer, Finding, Level, Ready};
use ovstunnel_ovs::{Rows, Switch};
use ovstunnel_plan::{EffectiveSettings, ObservedBridge, RemoteIp, View, ipsec_in_the_way};
use ovstunnel_server::doctor::clock::Moment;
use ovstunnel_server::doctor::finding::warn;
use ovstunnel_server::doctor::{Program, certificates, clock, doctor_answer, finding, log, socket};
use ovstunnel_server::tls::TlsStore;
use ovstunnel_server::tls::judge::{Host, judge_files};
use time::OffsetDateTime;
use tokio::sync::Mutex;

pub(crate) use self::facts::remote_addresses;
pub use self::nftables::{TunnelPacket, check_nftables};
use crate::config::check::UNIT;
use crate::config::{Config, XapiMode};
use crate::health::{Survey, unexpected_now};
use crate::host::Interfaces;
use crate::host::Root;
use crate::silence::Silence;
use crate::witness::Witnesses;

/// The daemon, for what is said of it.
const DAEMON: Program = Program { unit: UNIT, word: "daemon", callers: "commands, udev's helper and xapi's plugin" };

/// Where the folder is told that stands for `/`: for tests only.
const ROOT: &str = "OVSTUNNEL_DOCTOR_ROOT";

/// How often what tunnels carry is counted: a question compares with what was a while ago.
const COUNT_EVERY: Duration = Duration::from_secs(300);

/// What stays the same from question to question.
#[derive(Debug)]
pub struct Doctor {
    config: RwLock<Arc<Config>>,
    /// Where the configuration is from; none where it is the default file.
    file: Option<PathBuf>,
    /// HTTPS, where it is served.
    tls: Option<Arc<TlsStore>>,
    root: Root,
    started: Moment,
    traffic: traffic::Traffic,
    /// One question at a time: each has Open vSwitch print all it has.
    turn: Mutex<()>,
}

/// The daemon as it is now.
#[derive(Debug)]
pub struct Now<'a> {
    /// The switch.
    pub switch: &'a Switch,
    /// The host's devices.
    pub interfaces: &'a Interfaces,
    /// What is configured about networks, as far as the switch can follow it.
    pub settings: &'a EffectiveSettings,
    /// The managed bridges, as they are told.
    pub bridges: Vec<Bridge>,
    /// What a look would change now, in words; or why that is not known.
    pub pending: Result<Vec<String>, String>,
    /// Whether the daemon is ready.
    pub ready: Ready,
    /// Lines that the log has lost.
    pub lost_lines: u64,
    /// Why the log cannot be written now.
    pub log_trouble: Option<String>,
    /// What is below the tunnels.
    pub survey: Arc<Survey>,
    /// What the switch itself told of bridges.
    pub witnesses: &'a Witnesses,
    /// Which hosts have been silent for long.
    pub silence: &'a Silence,
}

impl Doctor {
    /// For a daemon with this configuration, from this file, and these certificates, on this host.
    pub fn new(config: Config, file: Option<PathBuf>, tls: Option<Arc<TlsStore>>) -> Self {
        let root = std::env::var_os(ROOT).filter(|root| !root.is_empty());
        let root = Root::at_folder(root.unwrap_or_else(|| "/".into()));
        Doctor {
            config: RwLock::new(config.into()),
            file,
            tls,
            root,
            started: Moment::now(),
            traffic: traffic::Traffic::default(),
            turn: Mutex::new(()),
        }
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> Arc<Config> {
        // Nobody panics between taking the lock and letting go of it; what is behind it is whole in any case.
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on goes by this configuration.
    pub(crate) fn set_config(&self, config: Config) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config.into();
    }

    /// The host's files.
    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// The certificate files as they are now.
    pub(crate) fn certificate_files(&self) -> Vec<certificates::CertificateFile> {
        let config = self.config();
        certificates::collect_files(config.api.listen.and(config.tls.as_ref()))
    }

    /// Looks at everything; with `probe` also asks other hosts for an answer.
    pub async fn examine(&self, now: &Now<'_>, probe: bool) -> DoctorAnswer {
        let _turn = self.turn.lock().await;
        let mut findings = self.of_files(now);
        findings.extend(self.of_switch(now));
        findings.extend(self.of_bridges(now, probe).await);
        doctor_answer(consequences::without_consequences(findings), env!("CARGO_PKG_VERSION"))
    }

    /// What the host's files tell.
    fn of_files(&self, now: &Now<'_>) -> Vec<Finding> {
        let config = self.config();
        let log = &config.log.file;
        let mut findings = self.of_certificates(&config);
        let good = findings.iter().all(|finding| finding.level == Level::Ok);
        // Only what was put together without listeners is neither.
        if config.api.listen.is_none() || config.tls.is_some() {
            let facts = configuration::collect_facts(self.file.as_deref(), &config, self.tls.as_deref());
            findings.extend(ovstunnel_server::doctor::configuration::check_configuration(DAEMON, &facts, good));
            findings.push(socket::check_socket(DAEMON, &config.api.socket));
        }
        findings.push(clock::check_clock(
            DAEMON,
            self.started,
            Moment::now(),
            &clock::file_times(&self.root.host_path("/".as_ref()), log),
        ));
        findings.extend(log::check_log(
            DAEMON,
            &log::collect_facts(
                log,
                ovstunnel_server::logging::audit_file(&config.log),
                now.lost_lines,
                now.log_trouble.clone(),
            ),
        ));
        findings.extend(udev::check_rules(&udev::collect_facts(&self.root)));
        findings.extend(xenserver::check_plugin(&xenserver::collect_facts(&self.root)));
        findings.extend(kvm::check_agent(kvm::collect_facts(&self.root).as_ref()));
        findings
    }

    /// What is wrong with the files of `[tls]`, where HTTPS is served.
    fn of_certificates(&self, config: &Config) -> Vec<Finding> {
        let now = OffsetDateTime::now_utc();
        let seen = self.tls.as_ref().map(|tls| tls.seen_clients().counts());
        let faults = config.https_listener().map_or_else(Vec::new, |(listen, files)| {
            judge_files(files, &Host::from_kernel(listen), seen.as_ref(), now, UNIT)
        });
        certificates::check_certificates(&self.certificate_files(), &faults, now)
    }

    /// What Open vSwitch as a whole tells.
    fn of_switch(&self, now: &Now<'_>) -> Vec<Finding> {
        let (config, health) = (self.config(), now.switch.watch_health().borrow().clone());
        let mut findings = openvswitch::check_readiness(&now.ready);
        findings.push(openvswitch::check_version(health.version.as_deref()));
        if matches!(now.switch, Switch::Real(_)) {
            // Where the tools are is the configuration's word, not a place under the root.
            let xe = (config.xapi.enabled == XapiMode::On).then_some(config.xapi.xe.as_path());
            let programs = openvswitch::look_for_tools(&Root::at_folder("/"), &config.ovs.bin_dir, xe);
            findings.extend(openvswitch::check_tools(&programs));
        }
        findings.extend(openvswitch::check_meters(config.network.vif_broadcast_pps, health.no_meters.as_deref()));
        findings
    }

    /// What the bridges tell, the managed ones and the Python plugin's. Without the switch there is nothing to tell: that is said elsewhere.
    async fn of_bridges(&self, now: &Now<'_>, probe: bool) -> Vec<Finding> {
        if now.switch.watch_health().borrow().first_trouble().is_some() {
            return Vec::new();
        }
        let observed = facts::managed_bridges(now);
        let mut findings = health::check_health(now, &facts::with_flows(now, observed.clone()).await);
        findings.extend(twice::check_duplicates(&observed));
        findings.extend(others::check_others(&now.bridges, &now.settings.vif_prefixes));
        findings.push(drift::check_drift(&now.pending));
        findings
            .extend(takeover::check_takeover(&takeover::plugin_bridges(&facts::observed_bridges(now), now.settings)));
        findings.extend(self.check_datapath(now));
        findings.extend(openvswitch::check_kinds(now.settings.encap.kind(), &now.bridges));
        findings.extend(openvswitch::changing(&now.bridges));
        findings.extend(silent::check_silent(now.silence.forget_after(), &now.silence.silent_hosts()));
        findings.extend(unexpected::check_unexpected(&unexpected_now(&self.root, now.switch).await));
        match now.interfaces.devices().await {
            Ok(devices) => {
                findings.extend(addresses::check_addresses(&facts::on_bridges(
                    &facts::bridge_datapaths(now),
                    &now.bridges,
                    devices,
                )));
            }
            Err(error) => findings.push(unread_finding("device_address", &ovstunnel_types::text::error_chain(&error))),
        }
        findings.extend(self.of_udp_ports(now).await);
        findings.extend(of_nftables(now, &observed).await);
        findings.extend(self.of_encryption(now, &observed).await);
        findings.extend(self.of_rows(now).await);
        if probe {
            findings.extend(self.probe_peers(now).await);
        }
        findings
    }

    /// What the other hosts answer.
    async fn probe_peers(&self, now: &Now<'_>) -> Vec<Finding> {
        let Some(port) = self.config().api.listen.map(|listen| listen.port()) else {
            return vec![unread_finding("peer_probe", "`[api] listen` is off, so it is not known which port to try")];
        };
        probe::check_answers(&probe::probe_hosts(facts::remote_addresses(&now.bridges), port).await, port)
    }

    /// Whether the kernel has what its tunnels need.
    fn check_datapath(&self, now: &Now<'_>) -> Vec<Finding> {
        openvswitch::check_datapath(&facts::bridge_datapaths(now), |kind| openvswitch::in_kernel(&self.root, kind))
    }

    /// What is in the way of tunnels that are carried by UDP.
    async fn of_udp_ports(&self, now: &Now<'_>) -> Vec<Finding> {
        let ports = now.switch.observer().read(|db| db.tunnel_addresses().udp_ports);
        if ports.is_empty() {
            return Vec::new();
        }
        let devices = match now.interfaces.links().await {
            Ok(links) => links.unwrap_or_default().udp_tunnels,
            Err(error) => return vec![unread_finding("udp_port", &ovstunnel_types::text::error_chain(&error))],
        };
        let in_kernel = facts::bridge_datapaths(now).iter().any(openvswitch::Datapath::is_kernel);
        let rules = in_kernel.then(|| udp::read_rules(&self.root)).flatten();
        udp::check_udp_ports(&udp::Facts { ports, devices, rules })
    }

    /// Whether tunnels that are to be encrypted are.
    async fn of_encryption(&self, now: &Now<'_>, bridges: &[ObservedBridge]) -> Vec<Finding> {
        if !now.settings.tunnel_options.ipsec.is_on() || now.switch.real_switch().is_none() {
            return Vec::new();
        }
        let monitor = ipsec::monitor(&Root::at_folder("/"), &self.config().ovs.rundir);
        let ipsec = &now.settings.tunnel_options.ipsec;
        ipsec::check_ipsec(&ipsec::Facts {
            in_the_way: now.switch.observer().read(|db| ipsec_in_the_way(&db.view(), now.settings)),
            unread_ca: monitor.as_ref().and_then(|words| ipsec::unread_ca(&self.root, words, ipsec)),
            monitor: monitor.is_some(),
            remotes: facts::remote_addresses(&now.bridges),
            keys: ovstunnel_ovs::security_associations().await,
            passed_by: ipsec::passed_by(bridges),
        })
    }

    /// What takes a look into the database's rows and the kernel's tables.
    async fn of_rows(&self, now: &Now<'_>) -> Vec<Finding> {
        let rows = match now.switch.read_rows().await {
            Ok(rows) => rows,
            Err(error) => {
                return vec![unread_finding("rows", &format!("the database's rows cannot be listed: {error}"))];
            }
        };
        let mut findings = Vec::new();
        match now.interfaces.routes(facts::remote_addresses(&now.bridges)).await {
            Ok(routes) => {
                let remotes = facts::remote_hosts(&now.bridges, &self.seen_traffic(now, &rows).await, routes);
                findings.extend(underlay::check_peers(&remotes));
                findings.extend(underlay::check_mtu(
                    &facts::vif_mtus(&rows, &now.bridges, &now.settings.tunnel_options),
                    &remotes,
                ));
            }
            Err(error) => findings.push(unread_finding("tunnel_address", &ovstunnel_types::text::error_chain(&error))),
        }
        findings
    }
}

impl Doctor {
    /// What is known of the traffic with other hosts.
    async fn seen_traffic(&self, now: &Now<'_>, rows: &Rows) -> facts::Seen {
        let packets = facts::count_packets(rows, &facts::tunnel_remotes(&facts::managed_bridges(now)));
        let since = self.traffic.count_packets(Instant::now(), &packets);
        let ends = match now.switch.real_switch() {
            // A host with one address is known by it.
            Some(real) if facts::addresses_of_devices(now).await > 1 => {
                let mut questions = real.lend_questions();
                let ends = questions.tunnel_ends().await;
                real.give_back(questions);
                ends
            }
            _ => std::collections::BTreeSet::new(),
        };
        facts::Seen { packets, since, ends, local_ip: now.settings.local_ip.map(RemoteIp::get) }
    }

    /// Counts what tunnels carry now and then, for a later question to compare with.
    pub(crate) async fn count_traffic(self: Arc<Self>, switch: Switch) {
        loop {
            tokio::time::sleep(COUNT_EVERY).await;
            let tunnels = switch.observer().read(|db| {
                let view = db.view();
                let all = db.bridge_names().into_iter().filter_map(|name| view.bridge(&name));
                all.flat_map(|bridge| facts::tunnel_remotes(std::slice::from_ref(&*bridge))).collect::<Vec<_>>()
            });
            if tunnels.is_empty() || switch.watch_health().borrow().first_trouble().is_some() {
                continue;
            }
            if let Ok(rows) = switch.read_rows().await {
                self.traffic.count_packets(Instant::now(), &facts::count_packets(&rows, &tunnels));
            }
        }
    }
}

/// Whether the host's own rules drop what the kernel is to take out of tunnels: a userspace datapath has it before any rule.
async fn of_nftables(now: &Now<'_>, bridges: &[ObservedBridge]) -> Vec<Finding> {
    let packets = facts::packets_in_kernel(bridges);
    if packets.is_empty() || now.switch.real_switch().is_none() {
        return Vec::new();
    }
    check_nftables(&packets, &ovstunnel_ovs::nftables_rules().await)
}

/// A check that could not be made.
fn unread_finding(check: &str, reason: &str) -> Finding {
    warn(check, format!("this could not be checked: {reason}"), "see what else is found; if nothing is, ask again")
}
