//! What of XenServer and XCP-ng an operator gets wrong: the network backend, the xapi plugin, left-overs of the Python
//! plugin. On other hosts only what is there is judged.

use ovstunnel_api::Finding;
use ovstunnel_types::text::excerpt;

use super::finding::{About, fail, ok, warn};
use crate::host::Root;

/// Says which networking the host uses.
const NETWORK_CONF: &str = "/etc/xensource/network.conf";
const PLUGIN: &str = "/etc/xapi.d/plugins/ovstunnel";
/// The Python plugin's handler of VIFs, wherever it was installed.
const OLD_SCRIPTS: [&str; 3] =
    ["/etc/xapi.d/plugins/ovs-vif-flows.py", "/opt/cloud/bin/ovs-vif-flows.py", "/opt/cloudstack/bin/ovs-vif-flows.py"];

/// What the plugin's file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plugin {
    /// Nothing is there.
    Missing,
    /// A program that cannot be run.
    NotExecutable,
    /// A link that leads nowhere.
    Dangling,
    /// A script: the Python plugin's.
    Script,
    /// A program that is not the installed one.
    Other,
    /// A program.
    Program,
}

/// The plugin as the package has it beside the copy that xapi runs.
const PACKAGED: &str = "/usr/lib/ovstunnel/ovstunnel";

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// The host is one of XenServer or XCP-ng.
    pub xenserver: bool,
    /// What `network.conf` says.
    pub network_conf: Option<String>,
    pub plugin: Plugin,
    pub old_scripts: Vec<&'static str>,
}

pub(super) fn collect_facts(root: &Root) -> Facts {
    Facts {
        xenserver: root.has_path("/etc/xensource-inventory"),
        network_conf: root.read_beginning(NETWORK_CONF).map(|text| excerpt(text.trim())),
        plugin: installed_plugin(root),
        old_scripts: OLD_SCRIPTS.into_iter().filter(|script| root.has_path(script)).collect(),
    }
}

fn installed_plugin(root: &Root) -> Plugin {
    let begins = root.read_beginning(PLUGIN);
    match (begins, root.check_executable(PLUGIN.as_ref())) {
        (None, _) if root.has_path(PLUGIN) => Plugin::Dangling,
        (None, _) => Plugin::Missing,
        (Some(text), _) if text.starts_with("#!") || text.starts_with("import ") => Plugin::Script,
        (Some(_), Err(_)) => Plugin::NotExecutable,
        (Some(_), Ok(())) if root.files_differ(PLUGIN, PACKAGED) => Plugin::Other,
        (Some(_), Ok(())) => Plugin::Program,
    }
}

pub(super) fn check_plugin(facts: &Facts) -> Vec<Finding> {
    let scripts = facts.old_scripts.iter().map(|script| {
        let reason = format!("{script} of the Python plugin is still there");
        warn("python_plugin", reason, format!("once `ovstunnelctl takeover` has taken its bridges over: `rm {script}`"))
            .about(script)
    });
    network_conf(facts).into_iter().chain(xapi_plugin(facts)).chain(scripts).collect()
}

fn network_conf(facts: &Facts) -> Option<Finding> {
    let text = facts.network_conf.as_deref()?;
    Some(match text {
        "openvswitch" | "vswitch" => ok("network_conf", "the host's networking is Open vSwitch"),
        other => fail(
            "network_conf",
            format!("{NETWORK_CONF} says '{other}': xapi makes Linux bridges, which cannot have tunnels"),
            "`xe-switch-network-backend openvswitch`, then reboot the host",
        )
        .about(NETWORK_CONF),
    })
}

fn xapi_plugin(facts: &Facts) -> Vec<Finding> {
    let install = "install the package again, or copy the program `ovstunnel` there with mode 0755 (operator's guide, CloudStack)";
    let found = match facts.plugin {
        Plugin::Script => fail(
            "xapi_plugin",
            format!(
                "{PLUGIN} is a script: the Python plugin is still active, beside the daemon; an upgrade of the host's packages or CloudStack's set-up of the host may have put it there"
            ),
            install,
        ),
        Plugin::Dangling => fail(
            "xapi_plugin",
            format!("{PLUGIN} is a link that leads nowhere: CloudStack cannot reach the daemon"),
            install,
        ),
        Plugin::Other => warn(
            "xapi_plugin",
            format!(
                "{PLUGIN} is another program than {PACKAGED}: that of another version, or what an upgrade of the host's packages put there"
            ),
            format!("`install -m 755 {PACKAGED} {PLUGIN}`"),
        ),
        Plugin::NotExecutable => {
            fail("xapi_plugin", format!("{PLUGIN} is not executable"), format!("`chmod 755 {PLUGIN}`"))
        }
        Plugin::Missing if facts.xenserver => {
            warn("xapi_plugin", format!("{PLUGIN} is missing: CloudStack cannot reach the daemon"), install)
        }
        Plugin::Missing => return Vec::new(),
        Plugin::Program => ok("xapi_plugin", "the xapi plugin is installed"),
    };
    vec![found.about(PLUGIN)]
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use ovstunnel_api::Level;

    use super::*;

    fn put(dir: &std::path::Path, path: &str, text: &str, mode: u32) {
        let file = dir.join(path.trim_start_matches('/'));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn found(dir: &std::path::Path) -> Vec<(String, Level)> {
        check_plugin(&collect_facts(&Root::at_folder(dir))).into_iter().map(|f| (f.check, f.level)).collect()
    }

    #[test]
    fn a_host_that_is_no_xenserver_has_nothing_to_say() {
        assert_eq!(found(tempfile::tempdir().unwrap().path()), []);
    }

    #[test]
    fn what_is_wrong_on_a_xenserver_is_found_and_gone_once_mended() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "/etc/xensource-inventory", "", 0o644);
        put(dir.path(), NETWORK_CONF, "bridge\n", 0o644);
        let both = |conf, plugin| vec![("network_conf".to_owned(), conf), ("xapi_plugin".to_owned(), plugin)];
        assert_eq!(found(dir.path()), both(Level::Fail, Level::Warn));
        put(dir.path(), NETWORK_CONF, "openvswitch\n", 0o644);
        put(dir.path(), PLUGIN, "#!/usr/bin/env python\n", 0o755);
        put(dir.path(), OLD_SCRIPTS[0], "", 0o755);
        let mut expected = both(Level::Ok, Level::Fail);
        expected.push(("python_plugin".into(), Level::Warn));
        assert_eq!(found(dir.path()), expected);
        put(dir.path(), PLUGIN, "\u{7f}ELF", 0o644);
        fs::remove_file(dir.path().join(&OLD_SCRIPTS[0][1..])).unwrap();
        assert_eq!(found(dir.path()), both(Level::Ok, Level::Fail));
        put(dir.path(), PLUGIN, "\u{7f}ELF", 0o755);
        assert_eq!(found(dir.path()), both(Level::Ok, Level::Ok));
        put(dir.path(), PACKAGED, "\u{7f}ELF2", 0o755);
        assert_eq!(found(dir.path()), both(Level::Ok, Level::Warn), "of another version");
        put(dir.path(), PACKAGED, "\u{7f}ELF", 0o755);
        assert_eq!(found(dir.path()), both(Level::Ok, Level::Ok));
        fs::remove_file(dir.path().join(&PLUGIN[1..])).unwrap();
        std::os::unix::fs::symlink("/nowhere", dir.path().join(&PLUGIN[1..])).unwrap();
        assert_eq!(found(dir.path()), both(Level::Ok, Level::Fail), "a link to nowhere");
    }
}
