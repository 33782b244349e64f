//! What the configuration file says beside what is in force. Must not take anything up.

use std::path::Path;

use ovstunnel_server::doctor::configuration::Facts;
use ovstunnel_server::tls::TlsStore;

use crate::config::check::CheckError;
use crate::config::{Config, DEFAULT_PATH};

pub(super) fn collect_facts(file: Option<&Path>, in_force: &Config, tls: Option<&TlsStore>) -> Facts {
    let mut facts = Facts { file: file.unwrap_or(Path::new(DEFAULT_PATH)).display().to_string(), ..Facts::default() };
    match Config::load(file) {
        Err(error) => facts.stops = Some(error.to_string()),
        Ok(new) => {
            // What is wrong with the files in force is told as such.
            facts.stops = (new.tls != in_force.tls).then(|| start_failure(&new)).flatten();
            let difference = in_force.difference(&new);
            (facts.to_reload, facts.to_restart) = (difference.taken_up, difference.needs_restart);
        }
    }
    facts.files = tls
        .zip(in_force.https_listener())
        .map(|(tls, (_, files))| ("tls", tls.changed_files(files)))
        .into_iter()
        .collect();
    facts
}

/// Why a start with this configuration would fail for its certificates.
fn start_failure(new: &Config) -> Option<String> {
    match crate::config::check::check_config(new) {
        Err(CheckError::Certificates(words)) => Some(words.join("; ").replace('\n', ":")),
        Err(error) => Some(error.to_string()),
        Ok(_) => None,
    }
}
