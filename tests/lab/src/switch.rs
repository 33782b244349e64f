//! Which Open vSwitch the hosts of a lab have: its version, and where it forwards.
//!
//! A version is a folder of programs, as `scripts/setup switches` makes it, or those of the machine; a datapath is in
//! userspace or in the kernel. Nothing here knows what a version can: who wants to know asks the switch.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

/// Name of the version: a folder that `scripts/setup switches` has made (`2.15`, `3.5`, `sid`), or the path of one.
const SWITCH: &str = "OVSTUNNEL_SWITCH";

/// `netdev` or `system`.
const DATAPATH: &str = "OVSTUNNEL_DATAPATH";

/// Where packages install the programs, and the database's schema.
const OWN_PROGRAMS: &str = "/usr/bin";
const OWN_SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// Where a switch forwards frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datapath {
    /// `ovs-vswitchd` itself, by packet sockets: works on any kernel.
    Userspace,
    /// The kernel's module `openvswitch`, as on users' hosts; `scripts/kernel` boots a machine that has it.
    Kernel,
}

impl Datapath {
    /// The `datapath_type` of its bridges.
    pub fn name(self) -> &'static str {
        match self {
            Datapath::Userspace => "netdev",
            Datapath::Kernel => "system",
        }
    }
}

/// An Open vSwitch as a lab's hosts can have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The folder of a version; `None` for the machine's own.
    folder: Option<PathBuf>,
    datapath: Datapath,
}

impl Switch {
    /// That of the machine.
    pub fn own(datapath: Datapath) -> Self {
        Switch { folder: None, datapath }
    }

    /// A version by the name that `scripts/setup switches` gives it, or by its folder's path.
    ///
    /// # Errors
    /// When it is not there.
    pub fn version(name: &str, datapath: Datapath) -> Result<Self> {
        let folder = if name.contains('/') { PathBuf::from(name) } else { cache()?.join("switches").join(name) };
        let there = folder.join("bin/ovs-vswitchd").is_file();
        ensure!(there, "there is no Open vSwitch {name} in {}: `scripts/setup switches` fetches it", folder.display());
        Ok(Switch { folder: Some(folder), datapath })
    }

    /// What `OVSTUNNEL_SWITCH` and `OVSTUNNEL_DATAPATH` say; else the machine's own, in userspace.
    ///
    /// # Errors
    /// When there is no such switch.
    pub fn from_environment() -> Result<Self> {
        let said = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let datapath = match said(DATAPATH).as_deref() {
            None | Some("netdev") => Datapath::Userspace,
            Some("system") => Datapath::Kernel,
            Some(other) => bail!("{DATAPATH} must be netdev or system, and is {other}"),
        };
        match said(SWITCH).as_deref() {
            None | Some("own") => Ok(Self::own(datapath)),
            Some(name) => Self::version(name, datapath),
        }
    }

    /// Where it forwards.
    pub fn datapath(&self) -> Datapath {
        self.datapath
    }

    /// The folder of its programs.
    pub fn bin_dir(&self) -> PathBuf {
        self.folder.as_ref().map_or_else(|| OWN_PROGRAMS.into(), |folder| folder.join("bin"))
    }

    /// A `PATH` in which its programs come first; `None` where they are in everybody's.
    pub(crate) fn path(&self) -> Option<String> {
        let bin = self.folder.as_ref()?.join("bin");
        Some(format!("{}:{}", bin.display(), env::var("PATH").unwrap_or_default()))
    }

    /// The schema of its database.
    pub(crate) fn schema(&self) -> PathBuf {
        self.folder.as_deref().map_or_else(|| Path::new(OWN_SCHEMA).to_owned(), |dir| dir.join("vswitch.ovsschema"))
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.folder.as_ref().and_then(|folder| folder.file_name()).map(|name| name.to_string_lossy());
        write!(f, "Open vSwitch {}, datapath {}", name.as_deref().unwrap_or("of the machine"), self.datapath.name())
    }
}

/// Where `scripts/setup` keeps what it fetches.
///
/// # Errors
/// When nothing says where caches are.
pub fn cache() -> Result<PathBuf> {
    if let Some(dir) = env::var_os("OVSTUNNEL_CACHE_DIR") {
        return Ok(dir.into());
    }
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cache")));
    Ok(base.context("neither XDG_CACHE_HOME nor HOME says where caches are")?.join("ovstunnel"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_not_there_is_named() {
        let error = Switch::version("/nowhere/9.9", Datapath::Kernel).unwrap_err().to_string();
        assert!(error.contains("/nowhere/9.9") && error.contains("scripts/setup switches"), "{error}");
    }

    #[test]
    fn the_machines_own_needs_no_path() {
        let own = Switch::own(Datapath::Userspace);
        assert_eq!((own.path(), own.bin_dir(), own.datapath().name()), (None, PathBuf::from("/usr/bin"), "netdev"));
    }
}
