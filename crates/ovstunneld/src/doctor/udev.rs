//! The udev rule that tells the daemon of VIFs: missing, shadowed, out of order; and the Python plugin's still in force.

use std::collections::BTreeSet;
use std::path::Path;

use ovstunnel_api::Finding;

use super::finding::{About, fail, ok, warn};
use crate::host::Root;

/// Folders of rules. Of files with one name udev reads only that of the first folder.
const FOLDERS: [&str; 5] = [
    "/etc/udev/rules.d",
    "/run/udev/rules.d",
    "/usr/local/lib/udev/rules.d",
    "/usr/lib/udev/rules.d",
    "/lib/udev/rules.d",
];
const RULE: &str = "zz-ovstunnel.rules";
/// The Python plugin's, as it is installed; and what its rules run, by whatever name they stand.
const OLD_RULE: &str = "xen-ovs-vif-flows.rules";
const OLD_HELPER: &str = "ovs-vif-flows";
/// What a rule of ours runs.
const HELPER: &str = "ovstunnel-vif";

/// A file of rules that udev reads, and what it is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RuleFile {
    pub folder: &'static str,
    pub name: String,
    /// It runs our helper.
    pub ours: bool,
    /// It runs the Python plugin's.
    pub old: bool,
}

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Files of our name, of the old one, or that run our helper; in the order of the folders.
    pub files: Vec<RuleFile>,
    /// The helper that the rule in force names, and what is wrong with it.
    pub helper: Option<(String, Option<&'static str>)>,
}

pub(super) fn collect_facts(root: &Root) -> Facts {
    let (mut facts, mut seen) = (Facts::default(), BTreeSet::new());
    for folder in FOLDERS {
        // Where /lib is a link to /usr/lib, it is one folder.
        if folder == "/lib/udev/rules.d" && root.has_path("/lib") && is_link(root, "/lib") {
            continue;
        }
        for name in root.folder_names(folder).into_iter().filter(|name| name.ends_with(".rules")) {
            let text = root.read_beginning(&format!("{folder}/{name}")).unwrap_or_default();
            // One of its name in a folder that comes first is read in its place.
            let in_force = seen.insert(name.clone());
            let ours = helper_of(&text).is_some();
            let old = in_force && !ours && runs_old(&name, &text);
            if ours || old || name == RULE {
                facts.files.push(RuleFile { folder, name, ours, old });
            }
            if facts.helper.is_none()
                && let Some(helper) = helper_of(&text)
            {
                let wrong = root.check_executable(Path::new(&helper)).err();
                facts.helper = Some((helper, wrong));
            }
        }
    }
    facts
}

fn is_link(root: &Root, path: &str) -> bool {
    root.host_path(path.as_ref()).symlink_metadata().is_ok_and(|about| about.is_symlink())
}

/// Whether a file of rules is the Python plugin's: by what it runs, and by its name where it runs something.
fn runs_old(name: &str, text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.any(|line| name == OLD_RULE || line.contains(OLD_HELPER))
}

/// The program that a file of rules runs for VIFs, where it is ours.
fn helper_of(text: &str) -> Option<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words = lines.flat_map(|line| line.split(['"', ' ', '\'']));
    words.filter(|word| word.starts_with('/')).find(|word| word.ends_with(HELPER)).map(str::to_owned)
}

pub(super) fn check_rules(facts: &Facts) -> Vec<Finding> {
    let named: Vec<&RuleFile> = facts.files.iter().filter(|file| file.name == RULE).collect();
    let mut findings = vec![rule_finding(&named, facts)];
    findings.extend(facts.files.iter().filter(|file| file.ours && file.name != RULE).map(out_of_order));
    findings.extend(facts.files.iter().filter(|file| file.old).map(|file| {
        let path = format!("{}/{}", file.folder, file.name);
        let reason = format!("the Python plugin's udev rule {path} is still in force: it changes flows of our bridges");
        fail("old_udev_rule", reason, format!("`rm {path} && udevadm control --reload`")).about(path)
    }));
    if let Some((helper, Some(wrong))) = &facts.helper {
        let reason = format!("the udev rule runs {helper}, which {wrong}");
        findings.push(fail("udev_rule", reason, "install the package again").about(helper));
    }
    findings
}

fn rule_finding(named: &[&RuleFile], facts: &Facts) -> Finding {
    const MISSING: &str =
        "a VIF's rules come a moment later, by the database alone, and not at all while no daemon runs";
    match named {
        [] if facts.files.iter().any(|file| file.ours) => ok("udev_rule", "a udev rule tells of VIFs"),
        [] => warn(
            "udev_rule",
            format!("no udev rule {RULE} is installed: {MISSING}"),
            format!("install the package again, or copy {RULE} to /etc/udev/rules.d and `udevadm control --reload`"),
        ),
        [first, ..] if !first.ours => {
            let path = format!("{}/{RULE}", first.folder);
            let shadowed =
                named.iter().find(|file| file.ours).map(|file| format!(" and shadows the one in {}", file.folder));
            let reason = format!("{path} does not run {HELPER}{}: {MISSING}", shadowed.unwrap_or_default());
            fail("udev_rule", reason, format!("`rm {path} && udevadm control --reload`")).about(path)
        }
        [first, rest @ ..] => match rest.iter().find(|file| file.ours) {
            Some(shadowed) => {
                let path = format!("{}/{RULE}", first.folder);
                let reason =
                    format!("{path} shadows the one in {}: an update of the package changes nothing", shadowed.folder);
                warn("udev_rule", reason, format!("`rm {path} && udevadm control --reload`, unless it is meant to be"))
                    .about(path)
            }
            None => ok("udev_rule", format!("{}/{RULE} tells of VIFs", first.folder)),
        },
    }
}

fn out_of_order(file: &RuleFile) -> Finding {
    let path = format!("{}/{}", file.folder, file.name);
    let reason = format!(
        "{path} runs {HELPER}, too: by its name it may stand before xapi's own rules, which delete the VIF's flows after it"
    );
    warn("udev_rule", reason, format!("`rm {path} && udevadm control --reload`; only {RULE} is needed")).about(path)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use ovstunnel_api::Level;

    use super::*;

    const TEXT: &str =
        "# /x/ovstunnel-vif\nSUBSYSTEM==\"net\", RUN+=\"/usr/lib/ovstunnel/ovstunnel-vif $env{ACTION} %k\"\n";

    struct Host(tempfile::TempDir);

    impl Host {
        fn new() -> Self {
            let host = Host(tempfile::tempdir().unwrap());
            host.put("/usr/lib/ovstunnel/ovstunnel-vif", "");
            host
        }

        fn put(&self, path: &str, text: &str) {
            let file = self.0.path().join(&path[1..]);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }

        fn remove(&self, path: &str) {
            fs::remove_file(self.0.path().join(&path[1..])).unwrap();
        }

        fn found(&self) -> Vec<(String, Level)> {
            check_rules(&collect_facts(&Root::at_folder(self.0.path())))
                .into_iter()
                .map(|f| (f.check, f.level))
                .collect()
        }
    }

    fn one(level: Level) -> Vec<(String, Level)> {
        vec![("udev_rule".to_owned(), level)]
    }

    #[test]
    fn the_rule_must_be_there_and_in_force() {
        let host = Host::new();
        assert_eq!(host.found(), one(Level::Warn), "missing");
        host.put("/usr/lib/udev/rules.d/zz-ovstunnel.rules", TEXT);
        assert_eq!(host.found(), one(Level::Ok));
        // An empty file, or a link to /dev/null, is how a rule is switched off.
        host.put("/etc/udev/rules.d/zz-ovstunnel.rules", "");
        assert_eq!(host.found(), one(Level::Fail));
        host.put("/etc/udev/rules.d/zz-ovstunnel.rules", TEXT);
        assert_eq!(host.found(), one(Level::Warn), "an old copy of one's own");
        host.remove("/etc/udev/rules.d/zz-ovstunnel.rules");
        assert_eq!(host.found(), one(Level::Ok));
        host.remove("/usr/lib/ovstunnel/ovstunnel-vif");
        assert_eq!(host.found().last().unwrap().1, Level::Fail, "the helper is gone");
    }

    #[test]
    fn rules_of_other_names_that_act_too_are_found() {
        let host = Host::new();
        host.put("/lib/udev/rules.d/zz-ovstunnel.rules", TEXT);
        host.put("/etc/udev/rules.d/xen-ovs-vif-flows.rules", "RUN+=\"/opt/cloud/bin/ovs-vif-flows.py\"");
        host.put("/etc/udev/rules.d/60-ovstunnel.rules", TEXT);
        let mut found = host.found();
        found.sort();
        let expected = [("old_udev_rule", Level::Fail), ("udev_rule", Level::Ok), ("udev_rule", Level::Warn)]
            .map(|(c, l)| (c.to_owned(), l));
        assert_eq!(found, expected);
    }

    #[test]
    fn the_python_plugin_s_rules_are_found_by_what_they_run() {
        let host = Host::new();
        host.put("/lib/udev/rules.d/zz-ovstunnel.rules", TEXT);
        let old = "# no more\nSUBSYSTEM==\"xen-backend\", RUN+=\"/opt/cloud/bin/ovs-vif-flows.py $env{ACTION}\"\n";
        host.put("/usr/lib/udev/rules.d/80-cloud-net.rules", old);
        let levels: Vec<_> = host.found().into_iter().filter(|found| found.0 == "old_udev_rule").collect();
        assert_eq!(levels, [("old_udev_rule".to_owned(), Level::Fail)]);
        // Switched off by an empty file of its name, which comes first; or by a comment.
        host.put("/etc/udev/rules.d/80-cloud-net.rules", "");
        host.put("/etc/udev/rules.d/81-x.rules", "# RUN+=\"/opt/cloud/bin/ovs-vif-flows.py\"\n");
        assert_eq!(host.found(), one(Level::Ok));
    }

    #[test]
    fn one_folder_by_two_names_is_one() {
        let host = Host::new();
        host.put("/usr/lib/udev/rules.d/zz-ovstunnel.rules", TEXT);
        std::os::unix::fs::symlink("usr/lib", host.0.path().join("lib")).unwrap();
        assert_eq!(host.found(), one(Level::Ok));
    }
}
