//! Whether the configuration file is what is in force, and whether the next start would take it. Must not read it: whoever knows its keys does.

use ovstunnel_api::Finding;

use super::Program;
use super::finding::{About, fail, ok, warn};

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The file.
    pub file: String,
    /// Why the next start would fail.
    pub stops: Option<String>,
    /// Keys in which it differs from what is in force and that a reload takes up.
    pub to_reload: Vec<String>,
    /// Keys in which it differs and that need a restart.
    pub to_restart: Vec<String>,
    /// Sections with those of their keys whose files are not what is in force.
    pub files: Vec<(&'static str, Vec<&'static str>)>,
}

/// `certificates_are_good`: what is on disk is not worse than what is in force, else that is what is told.
pub fn check_configuration(program: Program, facts: &Facts, certificates_are_good: bool) -> Vec<Finding> {
    let (file, unit) = (&facts.file, program.unit);
    if let Some(why) = &facts.stops {
        return vec![
            fail(
                "configuration",
                format!("the next start would fail: {why}; what is in force goes on"),
                format!("mend it: `{unit} --check` says when it is good; then `systemctl reload {unit}`"),
            )
            .about(file),
        ];
    }
    let mut findings = Vec::new();
    if !facts.to_reload.is_empty() {
        let keys = facts.to_reload.join(", ");
        let reason = format!("{file} was changed and not loaded: {keys}");
        findings.push(warn("configuration", reason, format!("`systemctl reload {unit}`")).about(file));
    }
    if !facts.to_restart.is_empty() {
        let reason = format!("{file} was changed in what needs a restart: {}", facts.to_restart.join(", "));
        findings.push(warn("configuration", reason, format!("`systemctl restart {unit}`: no VM notices")).about(file));
    }
    for (section, keys) in facts.files.iter().filter(|(_, keys)| certificates_are_good && !keys.is_empty()) {
        let keys = keys.join(", ");
        let reason = format!("files of [{section}] were replaced and not loaded: {keys}; the old ones are in force");
        findings.push(warn("configuration", reason, format!("`systemctl reload {unit}`")).about(file));
    }
    match findings.is_empty() {
        true => vec![ok("configuration", format!("{file} is what is in force"))],
        false => findings,
    }
}
