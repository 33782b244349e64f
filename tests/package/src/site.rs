//! Hosts of the lab with a system each, and the role of `examples/ansible` run over them by a real Ansible.
//!
//! Ansible goes to them by its own connection `ssh`, in which a shell script stands for the program `ssh`: it enters the system of the host
//! that is named and runs there what ssh would have run. All else is as it is for an operator. Must not reach another machine.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_lab::Lab;

use crate::{Machine, repository};

/// For one run of a playbook over all hosts, on a slow and busy machine.
const PATIENCE: Duration = Duration::from_secs(900);

/// The hosts, with a folder of their own for all that Ansible reads.
#[derive(Debug)]
pub struct Site {
    // End before the lab does.
    machines: Vec<Machine>,
    lab: Lab,
    work: tempfile::TempDir,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Played {
    /// What Ansible said.
    pub said: String,
    /// Tasks that changed something, and those that failed, by the name in the inventory.
    pub recap: BTreeMap<String, (u32, u32)>,
}

impl Played {
    /// How many tasks changed something, where none failed.
    ///
    /// # Errors
    /// When one did, or Ansible did not get to its end.
    pub fn changed(&self) -> Result<u32> {
        ensure!(!self.recap.is_empty() && self.recap.values().all(|(_, failed)| *failed == 0), "{}", self.said);
        Ok(self.recap.values().map(|(changed, _)| changed).sum())
    }
}

impl Site {
    /// So many hosts, each with a system on it.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn new(tag: &str, count: usize) -> Result<Self> {
        let lab = Lab::with_hosts(tag, count)?;
        let work = tempfile::tempdir()?;
        let machines = lab.hosts().iter().map(|host| Machine::boot(host, work.path())).collect::<Result<Vec<_>>>()?;
        let site = Site { machines, lab, work };
        site.write_program("ssh", &site.ssh())?;
        Ok(site)
    }

    /// The lab.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The system on host `number`, from 1.
    pub fn machine(&self, number: usize) -> &Machine {
        &self.machines[number - 1]
    }

    /// Writes what Ansible reads as its inventory.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_inventory(&self, text: &str) -> Result<()> {
        Ok(fs::write(self.work.path().join("zone.ini"), text)?)
    }

    /// Runs `examples/ansible/zone.yml` with more options.
    ///
    /// # Errors
    /// When Ansible is not there or does not end. Where a task fails, [`Played`] has it.
    pub fn play<A: AsRef<OsStr>>(&self, options: impl IntoIterator<Item = A>) -> Result<Played> {
        let mut command = Command::new("python3");
        command.args(["-m", "ansible", "playbook", "--inventory"]).arg(self.work.path().join("zone.ini"));
        command.args(options).arg(repository().join("examples/ansible/zone.yml"));
        command.env("PYTHONPATH", ansible()?).env("ANSIBLE_HOME", self.work.path().join("ansible"));
        command.env("ANSIBLE_SSH_EXECUTABLE", self.work.path().join("ssh")).env("ANSIBLE_SSH_ARGS", "");
        for (setting, value) in [("PIPELINING", "1"), ("NOCOLOR", "1"), ("SSH_TRANSFER_METHOD", "piped")] {
            command.env(format!("ANSIBLE_{setting}"), value);
        }
        let output = ovstunnel_lab::output(command, PATIENCE)?;
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        Ok(Played { recap: recap(&said), said })
    }

    fn write_program(&self, name: &str, text: &str) -> Result<()> {
        let path = self.work.path().join(name);
        fs::write(&path, text)?;
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
    }

    /// What stands for ssh: `ssh OPTIONS HOST COMMAND`.
    fn ssh(&self) -> String {
        let mut text = "#!/bin/sh\nwhile [ $# -gt 2 ]; do shift; done\ncase $1 in\n".to_owned();
        for (host, machine) in self.lab.hosts().iter().zip(&self.machines) {
            let command = machine.command(["sh", "-c"]);
            let words: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
            let _ = writeln!(text, "{}) exec nsenter {} \"$2\" ;;", host.name(), words.join(" "));
        }
        text + "*) echo \"there is no host $1\" >&2; exit 255 ;;\nesac\n"
    }
}

/// `manager1 : ok=9 changed=2 unreachable=0 failed=0 skipped=1 rescued=0 ignored=0`
fn recap(said: &str) -> BTreeMap<String, (u32, u32)> {
    let lines = said.lines().skip_while(|line| !line.starts_with("PLAY RECAP")).skip(1);
    let of = |line: &str, word: &str| {
        let counted = line.split_whitespace().find_map(|part| part.strip_prefix(word)?.strip_prefix('='));
        counted.and_then(|count| count.parse().ok()).unwrap_or(u32::MAX / 8)
    };
    let counts = |line: &str| (of(line, "changed"), of(line, "failed") + of(line, "unreachable"));
    lines.filter_map(|line| Some((line.split_once(" : ")?.0.trim().to_owned(), counts(line)))).collect()
}

/// A folder of the cache that `scripts/setup` and `scripts/release` keep.
///
/// # Errors
/// When it is not there.
pub fn cache(name: &str) -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = set("OVSTUNNEL_CACHE_DIR").or_else(|| Some(set("XDG_CACHE_HOME")?.join("ovstunnel")));
    let home = || set("HOME").unwrap_or_else(|| Path::new("/root").to_owned()).join(".cache/ovstunnel");
    let folder = cache.unwrap_or_else(home).join(name);
    ensure!(folder.is_dir(), "{} is not there: ./scripts/setup package-tests", folder.display());
    Ok(folder)
}

/// Where `scripts/setup package-tests` puts ansible-core.
fn ansible() -> Result<PathBuf> {
    let wanted = crate::read("tests/package/ansible.txt")?;
    let version = wanted.lines().find_map(|line| line.strip_prefix("ansible-core==")?.split_whitespace().next());
    cache(&format!("tools/ansible-core-{}", version.context("tests/package/ansible.txt has no version")?))
}
