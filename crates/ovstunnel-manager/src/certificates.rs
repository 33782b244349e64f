//! What is wrong with the manager's certificate files: those by which it asks daemons, and those by which it is asked.
//!
//! What it must not do: keep or show anything of a key.

use std::path::PathBuf;

use ovstunnel_server::doctor::certificates::{CertificateFile, look_at};
use ovstunnel_server::fault::Fault;
use ovstunnel_server::tls::Counts;
use ovstunnel_server::tls::judge::{ClientFiles, Host, judge_client, judge_files};
use time::OffsetDateTime;

use crate::config::Config;

/// The manager's unit, for remedies.
pub const UNIT: &str = "ovstunnel-manager";

/// All that is wrong, each file's faults once. `seen` are the clients of a manager that runs.
pub fn certificate_faults(config: &Config, seen: Option<&Counts>, now: OffsetDateTime) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    if let Some(files) = config.identity_files() {
        let issue = "ovstunnelctl pki issue --manager NAME --address ADDRESS";
        let (certificate, key, ca) = (files.certificate, files.key, files.ca);
        let files = ClientFiles { section: "hosts", certificate, key, ca, issue };
        faults.extend(judge_client(&files, now, UNIT));
    }
    let Some((listen, files)) = config.https_listener() else { return faults };
    for fault in judge_files(&files, &Host::from_kernel(listen), seen, now, UNIT) {
        let is_told = |told: &Fault| told.file == fault.file && told.reason == fault.reason;
        if !faults.iter().any(is_told) {
            faults.push(if config.tls.is_none() { under_hosts(fault) } else { fault });
        }
    }
    faults
}

/// Without `[tls]` the files of `[hosts]` serve HTTPS.
fn under_hosts(fault: Fault) -> Fault {
    Fault { section: "hosts", key: under_hosts_key(fault.key), ..fault }
}

/// What a key of `[tls]` is called under `[hosts]`.
pub fn under_hosts_key(key: &'static str) -> &'static str {
    if key == "client_ca" { "ca" } else { key }
}

/// The files that have certificates in them, each once.
pub fn certificate_files(config: &Config) -> Vec<CertificateFile> {
    let mut named: Vec<(&'static str, &'static str, PathBuf)> = Vec::new();
    if let Some(files) = config.identity_files() {
        named.push(("hosts", "certificate", files.certificate.to_owned()));
        named.push(("hosts", "ca", files.ca.to_owned()));
    }
    if let Some(tls) = config.api.listen.and(config.tls.as_ref()) {
        named.push(("tls", "certificate", tls.certificate.clone()));
        named.push(("tls", "client_ca", tls.client_ca.clone()));
    }
    named.iter().map(|(section, key, path)| look_at(section, key, path)).collect()
}
