//! Which program CloudStack's KVM agent runs for GRE networks, and whether it has looked since. On other hosts there is nothing to say.
//!
//! The agent looks once, at its start: through the folders of its class path, and at last beside its own scripts. Must not start or stop it.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ovstunnel_api::Finding;

use super::finding::{About, fail, ok, warn};
use crate::host::Root;

/// The agent's own settings.
const PROPERTIES: &str = "/etc/cloudstack/agent/agent.properties";
/// Has the agent's class path.
const DEFAULTS: &str = "/etc/default/cloudstack-agent";
/// Folders of the class path where that file names none.
const FOLDERS: [&str; 2] = ["/etc/cloudstack/agent", "/usr/share/cloudstack-common/scripts"];
/// What it looks for there.
const NAME: &str = "ovstunnel.py";
/// Its own.
const PYTHON: &str = "/usr/share/cloudstack-common/scripts/vm/network/vnet/ovstunnel.py";
/// Ours.
const PACKAGED: &str = "/usr/lib/ovstunnel/ovstunnel-kvm";
/// The class that the agent's Java runs.
const AGENT: &str = "com.cloud.agent.AgentShell";
/// Ticks a second of the times in /proc, on all of Linux.
const TICKS: u64 = 100;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// There is none.
    Missing,
    /// A link that leads nowhere.
    Dangling,
    /// A program that cannot be run.
    NotExecutable,
    /// CloudStack's, or any other script.
    Script,
    /// A program that is not the installed one.
    Other,
    /// `ovstunnel-kvm`.
    Ours,
}

/// What was looked at, on a host whose agent uses Open vSwitch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// What the agent would find.
    pub path: String,
    pub program: Program,
    /// When that was put there.
    pub since: Option<SystemTime>,
    /// When the agent was started, where it runs.
    pub agent: Option<SystemTime>,
}

/// Nothing where no such agent is.
pub(super) fn collect_facts(root: &Root) -> Option<Facts> {
    let properties = root.read_beginning(PROPERTIES)?;
    let bridges =
        properties.lines().find_map(|line| line.trim().strip_prefix("network.bridge.type")?.trim().strip_prefix('='));
    bridges.filter(|kind| kind.trim() == "openvswitch")?;
    let on_path = class_path_folders(root).into_iter().map(|folder| format!("{}/{NAME}", folder.trim_end_matches('/')));
    let path = on_path.chain([PYTHON.to_owned()]).find(|path| root.has_path(path)).unwrap_or_else(|| PYTHON.to_owned());
    let since = root.host_path(path.as_ref()).symlink_metadata().and_then(|file| file.modified()).ok();
    Some(Facts { program: agent_program(root, &path), since, agent: agent_started(root), path })
}

/// Class path entries that are folders; those with `*` are of archives.
fn class_path_folders(root: &Root) -> Vec<String> {
    let text = root.read_beginning(DEFAULTS).unwrap_or_default();
    let value =
        text.lines().rev().find_map(|line| line.trim().trim_start_matches("export ").strip_prefix("CLASSPATH="));
    match value {
        Some(value) => {
            let entries = value.trim_matches(['"', '\'']).split(':');
            entries.filter(|entry| entry.starts_with('/') && !entry.ends_with('*')).map(str::to_owned).collect()
        }
        None => FOLDERS.map(str::to_owned).to_vec(),
    }
}

fn agent_program(root: &Root, path: &str) -> Program {
    // Of a link that leads to our place the file there counts.
    let link = std::fs::read_link(root.host_path(path.as_ref())).ok();
    let file = if link.as_deref() == Some(Path::new(PACKAGED)) { PACKAGED } else { path };
    match (root.read_beginning(file), root.check_executable(file.as_ref())) {
        (None, _) if root.has_path(path) => Program::Dangling,
        (None, _) => Program::Missing,
        (Some(_), Err(_)) => Program::NotExecutable,
        (Some(_), Ok(())) if file == PACKAGED => Program::Ours,
        (Some(text), Ok(())) if !text.starts_with("\u{7f}ELF") => Program::Script,
        (Some(_), Ok(())) if root.files_differ(file, PACKAGED) => Program::Other,
        (Some(_), Ok(())) => Program::Ours,
    }
}

/// When the agent's process was started.
fn agent_started(root: &Root) -> Option<SystemTime> {
    let is_agent = |pid: &String| {
        let digits = pid.bytes().all(|byte| byte.is_ascii_digit());
        digits
            && root
                .read_beginning(&format!("/proc/{pid}/cmdline"))
                .is_some_and(|line| line.split('\0').any(|word| word == AGENT))
    };
    let pid = root.folder_names("/proc").into_iter().find(is_agent)?;
    let stat = root.read_beginning(&format!("/proc/{pid}/stat"))?;
    // The name of the program, in parentheses, may have spaces; the start is the twentieth word behind it.
    let ticks: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let booted =
        root.read_beginning("/proc/stat")?.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())?;
    Some(UNIX_EPOCH + Duration::from_secs(booted) + Duration::from_millis(ticks * 1000 / TICKS))
}

pub(super) fn check_agent(facts: Option<&Facts>) -> Option<Finding> {
    let Facts { path, program, since, agent } = facts?;
    let link = format!("`ln -sfn {PACKAGED} /etc/cloudstack/agent/{NAME}`, then `systemctl restart cloudstack-agent`");
    let told = match program {
        Program::Missing => {
            warn("kvm_agent_program", format!("CloudStack's agent finds no {NAME}, and will not start"), link)
        }
        Program::Dangling => fail(
            "kvm_agent_program",
            format!("{path} is a link that leads nowhere: CloudStack's agent cannot make tunnels"),
            link,
        ),
        Program::NotExecutable => {
            fail("kvm_agent_program", format!("{path} is not executable"), format!("`chmod 755 {path}`"))
        }
        Program::Script => warn(
            "kvm_agent_program",
            format!("CloudStack's agent finds {path}, which is a script: its Python program, beside the daemon"),
            format!("{link}; /etc/cloudstack/agent must stand in CLASSPATH of {DEFAULTS}"),
        ),
        Program::Other => warn(
            "kvm_agent_program",
            format!("CloudStack's agent finds {path}, which is another program than {PACKAGED}"),
            link,
        ),
        Program::Ours if since.zip(*agent).is_some_and(|(since, agent)| agent < since) => warn(
            "kvm_agent_program",
            format!("CloudStack's agent was started before {path} was put there, and runs what it found then"),
            "`systemctl restart cloudstack-agent`; VMs go on",
        ),
        Program::Ours => ok("kvm_agent_program", format!("CloudStack's agent finds ovstunnel-kvm, as {path}")),
    };
    Some(told.about(path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use ovstunnel_api::Level;

    use super::*;

    fn put(dir: &Path, path: &str, text: &str, mode: u32) {
        let file = dir.join(path.trim_start_matches('/'));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn found(dir: &Path) -> Option<(Level, String)> {
        check_agent(collect_facts(&Root::at_folder(dir)).as_ref()).map(|finding| (finding.level, finding.reason))
    }

    fn expect(dir: &Path, level: Level, words: &str) {
        let (told, reason) = found(dir).unwrap();
        assert!(told == level && reason.contains(words), "{told:?} {reason}");
    }

    #[test]
    fn without_an_agent_on_open_vswitch_nothing_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(found(dir.path()), None);
        put(dir.path(), PROPERTIES, "network.bridge.type=native\n", 0o644);
        assert_eq!(found(dir.path()), None);
    }

    #[test]
    fn what_the_agent_would_find_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let (root, link) = (dir.path(), dir.path().join("etc/cloudstack/agent").join(NAME));
        put(root, PROPERTIES, "guid=x\nnetwork.bridge.type = openvswitch\n", 0o644);
        expect(root, Level::Warn, "finds no ovstunnel.py");
        put(root, PYTHON, "#!/usr/bin/python3\n", 0o755);
        expect(root, Level::Warn, "its Python program");
        symlink(PACKAGED, &link).unwrap();
        expect(root, Level::Fail, "leads nowhere");
        put(root, PACKAGED, "\u{7f}ELF", 0o644);
        expect(root, Level::Fail, "is not executable");
        put(root, PACKAGED, "\u{7f}ELF", 0o755);
        expect(root, Level::Ok, "finds ovstunnel-kvm");
        // Where the class path does not have that folder, the agent never sees the link.
        put(
            root,
            DEFAULTS,
            "CLASSPATH=\"/usr/share/cloudstack-agent/lib/*:/usr/share/cloudstack-common/scripts\"\n",
            0o644,
        );
        expect(root, Level::Warn, "its Python program");
        put(root, DEFAULTS, "CLASSPATH=/usr/share/cloudstack-agent/lib/*:/etc/cloudstack/agent\n", 0o644);
        fs::remove_file(&link).unwrap();
        put(root, "/etc/cloudstack/agent/ovstunnel.py", "\u{7f}ELF of old", 0o755);
        expect(root, Level::Warn, "another program");
    }

    #[test]
    fn an_agent_that_was_not_restarted_since_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        put(root, PROPERTIES, "network.bridge.type=openvswitch\n", 0o644);
        put(root, PACKAGED, "\u{7f}ELF", 0o755);
        symlink(PACKAGED, root.join("etc/cloudstack/agent").join(NAME)).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        put(root, "/proc/41/cmdline", "java\0-cp\0x\0com.cloud.agent.OtherShell\0", 0o644);
        put(root, "/proc/42/cmdline", "java\0-cp\0x\0com.cloud.agent.AgentShell\0", 0o644);
        put(root, "/proc/42/stat", &format!("42 (a java) S {}5000 0", "0 ".repeat(18)), 0o644);
        put(root, "/proc/stat", &format!("cpu 1 2\nbtime {}\n", now - 60), 0o644);
        expect(root, Level::Warn, "was started before");
        put(root, "/proc/stat", &format!("btime {now}\n"), 0o644);
        expect(root, Level::Ok, "finds ovstunnel-kvm");
    }
}
