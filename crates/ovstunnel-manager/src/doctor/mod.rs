//! What is wrong with the manager and its zone, each with a reason and a remedy.
//!
//! What it does: gathers facts (configuration, files, database, what the zone knows of its hosts) and has each subject's file judge its own. What
//! it must not do: change anything, or ask a host: what hosts have said by themselves is what is told.

mod cloudstack;
mod configuration;
mod database;
mod descriptors;
mod hosts;
pub mod local;
mod networks;
pub mod text;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ovstunnel_api::{DoctorAnswer, Finding, Level};
use ovstunnel_manager_api::{CloudStackState, NetworkState};
use ovstunnel_server::doctor::clock::{self, Moment};
use ovstunnel_server::doctor::finding::{ok, warn};
use ovstunnel_server::doctor::{Program, certificates as files, doctor_answer, log, socket};
use ovstunnel_server::logging::{Logging, audit_file};
use ovstunnel_server::tls::TlsStore;
use time::OffsetDateTime;
use tokio::sync::Mutex;

use crate::certificates::{self, UNIT};
use crate::config::Config;
use crate::document::Signer;
use crate::records::Records;
use crate::zone::{Page, Zone};

/// The manager, for what is said of it.
const MANAGER: Program = Program { unit: UNIT, word: "manager", callers: "commands on this machine" };

/// Version of the program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long the database may take to say how it is: of SQLite the whole file is read.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a running manager has that is looked at.
#[derive(Debug, Default)]
pub struct Subjects {
    /// Where the configuration in force is from; none where it is the default file.
    pub file: Option<PathBuf>,
    /// HTTPS, where it is served.
    pub tls: Option<Arc<TlsStore>>,
    /// The log; none in a test.
    pub logging: Option<Arc<Logging>>,
    /// What signs proofs.
    pub signer: Option<Arc<Signer>>,
}

/// What stays the same from question to question.
#[derive(Debug)]
pub struct Doctor {
    config: Config,
    subjects: Subjects,
    started: Moment,
    /// One question at a time: each reads all of SQLite's file.
    turn: Mutex<()>,
}

impl Doctor {
    /// For a manager with this configuration that starts now.
    pub fn new(config: Config, subjects: Subjects) -> Doctor {
        Doctor { config, subjects, started: Moment::now(), turn: Mutex::default() }
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Looks at everything.
    pub async fn examine(&self, zone: &Zone, records: &Records, cloudstack: &CloudStackState) -> DoctorAnswer {
        let _turn = self.turn.lock().await;
        let mut findings = vec![ok("service", format!("it answers, version {VERSION}"))];
        findings.extend(self.of_files());
        let said = tokio::time::timeout(PATIENCE, records.inspect_database()).await.ok();
        findings.extend(database::check_database(&database::collect_facts(&self.config, said, true)));
        let registered = zone.hosts();
        findings.push(descriptors::check_descriptors(
            &descriptors::collect_facts(Path::new("/proc/self")),
            registered.len(),
        ));
        findings.extend(hosts::check_hosts(&registered));
        findings.extend(cloudstack::check_cloudstack(cloudstack));
        let page = Page {
            states: Some(vec![NetworkState::Broken, NetworkState::Settling]),
            host: None,
            search: None,
            page: 1,
            limit: networks::TOLD,
        };
        let (worst, _) = zone.networks(&page);
        findings.extend(networks::check_networks(zone.state_counts().0, &worst));
        doctor_answer(findings, VERSION)
    }

    /// What configuration, certificates, log, socket and clock tell.
    fn of_files(&self) -> Vec<Finding> {
        let config = &self.config;
        let seen = self.subjects.tls.as_ref().map(|tls| tls.seen_clients().counts());
        let mut findings = of_certificates(config, seen.as_ref());
        let is_good = findings.iter().all(|finding| finding.level == Level::Ok);
        let facts = configuration::collect_facts(self);
        findings.extend(ovstunnel_server::doctor::configuration::check_configuration(MANAGER, &facts, is_good));
        findings.push(socket::check_socket(MANAGER, &config.api.socket));
        findings.push(clock::check_clock(
            MANAGER,
            self.started,
            Moment::now(),
            &clock::file_times("/".as_ref(), &config.log.file),
        ));
        if let Some(logging) = &self.subjects.logging {
            let facts =
                log::collect_facts(&config.log.file, audit_file(&config.log), logging.lost_lines(), logging.trouble());
            findings.extend(log::check_log(MANAGER, &facts));
        }
        findings
    }
}

/// What is wrong with the certificate files.
fn of_certificates(config: &Config, seen: Option<&ovstunnel_server::tls::Counts>) -> Vec<Finding> {
    let now = OffsetDateTime::now_utc();
    let mut findings = files::check_certificates(
        &certificates::certificate_files(config),
        &certificates::certificate_faults(config, seen, now),
        now,
    );
    if config.identity_files().is_none() {
        findings.push(warn(
            "certificate",
            "no certificate, key and ca are named under [hosts]: no host can be asked",
            "`ovstunnelctl pki issue --manager NAME --address ADDRESS` makes them; name the three files, then `systemctl restart ovstunnel-manager`",
        ));
    }
    findings
}
