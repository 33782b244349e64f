//! Whether the configuration file is what is in force, and whether the next start would take it. Must not take anything up.

use std::path::Path;

use ovstunnel_api::Finding;
use ovstunnel_server::tls::TlsStore;

use super::finding::{About, fail, ok, warn};
use crate::config::check::CheckError;
use crate::config::{Config, DEFAULT_PATH};

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// The file.
    pub file: String,
    /// Why the next start would fail.
    pub stops: Option<String>,
    /// Keys in which it differs from what is in force: those that a reload takes up, and those that need a restart.
    pub to_reload: Vec<String>,
    pub to_restart: Vec<String>,
    /// Files of `[tls]` that are not what is in force.
    pub files: Vec<&'static str>,
}

pub(super) fn look(file: Option<&Path>, in_force: &Config, tls: Option<&TlsStore>) -> Facts {
    let mut facts = Facts { file: file.unwrap_or(Path::new(DEFAULT_PATH)).display().to_string(), ..Facts::default() };
    match Config::load(file) {
        Err(error) => facts.stops = Some(error.to_string()),
        Ok(new) => {
            // What is wrong with the files in force is told as such.
            facts.stops = (new.tls != in_force.tls).then(|| stops(&new)).flatten();
            let difference = in_force.difference(&new);
            (facts.to_reload, facts.to_restart) = (difference.taken_up, difference.needs_restart);
        }
    }
    facts.files = tls.zip(in_force.https()).map_or_else(Vec::new, |(tls, (_, files))| tls.changed(files));
    facts
}

/// Why a start with this configuration would fail for its certificates.
fn stops(new: &Config) -> Option<String> {
    match crate::config::check::check(new) {
        Err(CheckError::Certificates(words)) => Some(words.join("; ").replace('\n', ":")),
        Err(error) => Some(error.to_string()),
        Ok(_) => None,
    }
}

/// `certificates_are_good`: what is on disk is not worse than what is in force, else that is what is told.
pub(super) fn check(facts: &Facts, certificates_are_good: bool) -> Vec<Finding> {
    let file = &facts.file;
    if let Some(why) = &facts.stops {
        return vec![
            fail(
                "configuration",
                format!("the next start would fail: {why}; what is in force goes on"),
                "mend it: `ovstunneld --check` says when it is good; then `systemctl reload ovstunneld`",
            )
            .about(file),
        ];
    }
    let mut findings = Vec::new();
    if !facts.to_reload.is_empty() {
        let keys = facts.to_reload.join(", ");
        let reason = format!("{file} was changed and not loaded: {keys}");
        findings.push(warn("configuration", reason, "`systemctl reload ovstunneld`").about(file));
    }
    if !facts.to_restart.is_empty() {
        let reason = format!("{file} was changed in what needs a restart: {}", facts.to_restart.join(", "));
        findings.push(warn("configuration", reason, "`systemctl restart ovstunneld`: no VM notices").about(file));
    }
    if certificates_are_good && !facts.files.is_empty() {
        let keys = facts.files.join(", ");
        let reason = format!("files of [tls] were replaced and not loaded: {keys}; the old ones are in force");
        findings.push(warn("configuration", reason, "`systemctl reload ovstunneld`").about(file));
    }
    match findings.is_empty() {
        true => vec![ok("configuration", format!("{file} is what is in force"))],
        false => findings,
    }
}
