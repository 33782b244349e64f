//! `doctor` on the command line: the running manager's findings, or what can be found where none answers.
//!
//! What it must not do: change anything, make a database or a log, or judge again what the running manager has judged.

use std::io;
use std::path::Path;
use std::time::Duration;

use ovstunnel_api::{DoctorAnswer, Finding};
use ovstunnel_client::{ClientError, Manager};
use ovstunnel_server::doctor::clock::{self, Moment};
use ovstunnel_server::doctor::doctor_answer;
use ovstunnel_server::doctor::finding::{About, fail, ok, or_ok, warn};
use ovstunnel_server::logging::place;
use ovstunnel_types::text::error_chain;

use super::{MANAGER, PATIENCE, VERSION, database, of_certificates};
use crate::config::{Config, DEFAULT_PATH};

/// How long the running manager may take to answer: longer than what it waits for itself.
const TIMEOUT: Duration = Duration::from_secs(40);

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// The socket is for root.
    #[error("{0}: run this as root")]
    NotRoot(String),
}

/// The running manager's socket, as the configuration says, or as it is without one that can be read.
pub fn local_manager(config: Option<&Config>) -> Manager {
    let default = Config::default();
    Manager::unix(&config.unwrap_or(&default).api.socket, TIMEOUT)
}

/// Asks the manager that this configuration file is of, or looks by itself.
///
/// # Errors
/// This user may do neither.
pub async fn examine_manager(file: Option<&Path>) -> Result<DoctorAnswer, DoctorError> {
    let config = Config::load(file);
    match local_manager(config.as_ref().ok()).doctor().await {
        Ok(found) => Ok(with_version(found)),
        Err(ClientError::Unreachable { kind: Some(io::ErrorKind::PermissionDenied), peer, .. }) => {
            Err(DoctorError::NotRoot(format!("the socket {} is for root", peer.at)))
        }
        Err(error) => {
            let file = file.unwrap_or(Path::new(DEFAULT_PATH)).display().to_string();
            let mut findings = vec![not_answering(&error)];
            match config {
                Ok(config) => {
                    findings.push(ok("configuration", format!("{file} can be read, and is good")));
                    findings.extend(without_manager(&config).await);
                }
                Err(error) => {
                    let reason = format!("the next start would fail: {error}");
                    let remedy = "mend it: `ovstunnel-manager --check` says when it is good";
                    findings.push(fail("configuration", reason, remedy).about(&file));
                }
            }
            Ok(doctor_answer(findings, VERSION))
        }
    }
}

/// Adds that the running manager is of another version.
fn with_version(mut found: DoctorAnswer) -> DoctorAnswer {
    if found.version != VERSION {
        let reason = format!("the running manager is version {}, the program on disk {VERSION}", found.version);
        let remedy = "restart it after an upgrade: `systemctl restart ovstunnel-manager`; no network notices";
        found.findings.push(warn("service", reason, remedy));
    }
    doctor_answer(found.findings, &found.version)
}

fn not_answering(error: &ClientError) -> Finding {
    let reason = match error {
        ClientError::Problem(problem) => format!("it knows no doctor: {}", problem.title),
        error => error_chain(error),
    };
    let remedy = match error {
        ClientError::Problem(_) | ClientError::Unexpected { .. } => {
            "is it of an older version? `systemctl restart ovstunnel-manager` after an upgrade; no network notices"
        }
        ClientError::NoAnswer { .. } => {
            "it is stuck, or its disk is: `journalctl -u ovstunnel-manager`; a restart loses nothing"
        }
        _ => "`systemctl start ovstunnel-manager`; why it ended is in `journalctl -u ovstunnel-manager` and its log",
    };
    fail("service", reason, remedy)
}

/// What files alone tell.
async fn without_manager(config: &Config) -> Vec<Finding> {
    let mut findings = of_certificates(config, None);
    let is_there = database::sqlite_path(config).is_none_or(|path| path.exists());
    let said = match is_there {
        true => tokio::time::timeout(
            PATIENCE,
            ovstunnel_store::inspect(config.database.url.as_str(), &config.database.tls_files()),
        )
        .await
        .ok(),
        false => None,
    };
    findings.extend(database::check_database(&database::collect_facts(config, said, false)));
    let faults = place::log_faults(&config.log);
    let of_log = faults.iter().map(|fault| {
        let reason = format!("[{}] {}: {}", fault.section, fault.key, fault.reason);
        Finding { level: fault.level, ..fail("log", reason, &fault.remedy) }.about(fault.file.display())
    });
    findings.extend(or_ok(of_log.collect(), || ok("log", format!("{} can be written", config.log.file.display()))));
    let now = Moment::now();
    findings.push(clock::check_clock(MANAGER, now, now, &clock::file_times("/".as_ref(), &config.log.file)));
    findings
}
