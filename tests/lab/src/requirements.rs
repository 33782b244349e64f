//! What a machine must have to run a lab, checked before anything is made.
//!
//! The answer names all that is missing at once. A test that cannot run says so by failing: it never passes silently.

use std::{env, fs::File, path::Path, sync::OnceLock};

use anyhow::{Result, bail};

use crate::{
    names,
    netns::Namespace,
    teardown::{self, Reaper},
};

/// The database schema of Open vSwitch, as packages install it.
pub(crate) const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// Programs, and the Debian package that has each.
const PROGRAMS: [(&str, &str); 10] = [
    ("sh", "dash"),
    ("ip", "iproute2"),
    ("bridge", "iproute2"),
    ("ethtool", "ethtool"),
    ("ovsdb-tool", "openvswitch-common"),
    ("ovsdb-server", "openvswitch-switch"),
    ("ovs-vswitchd", "openvswitch-switch"),
    ("ovs-vsctl", "openvswitch-common"),
    ("ovs-ofctl", "openvswitch-common"),
    ("ovs-appctl", "openvswitch-common"),
];

/// Checks that labs can be made here; once it has succeeded it does not look again.
///
/// # Errors
/// All that is missing, one a line, with what to do about it.
pub(crate) fn check() -> Result<()> {
    static MET: OnceLock<()> = OnceLock::new();
    if MET.get().is_none() {
        look()?;
        MET.get_or_init(|| ());
    }
    Ok(())
}

fn look() -> Result<()> {
    let mut missing: Vec<String> = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_in_path(program))
        .map(|(program, package)| format!("no `{program}` in PATH: install the package {package}"))
        .collect();
    if !Path::new(SCHEMA).is_file() {
        missing.push(format!("no {SCHEMA}: install the package openvswitch-common"));
    }
    if !nix::unistd::geteuid().is_root() {
        missing.push("not root: network namespaces and packet sockets need it".to_owned());
    } else if missing.is_empty() {
        missing.extend(try_kernel());
    }
    if !missing.is_empty() {
        bail!("this machine cannot run a lab:\n  {}", missing.join("\n  "));
    }
    Ok(())
}

fn is_in_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Makes a namespace with a veth and a bridge and removes it again: nothing short of that tells whether it can be done.
fn try_kernel() -> Option<String> {
    if let Err(error) = File::options().read(true).write(true).open("/dev/net/tun") {
        return Some(format!("cannot open /dev/net/tun ({error}): the userspace datapath needs tap devices"));
    }
    let attempt = || -> Result<()> {
        let name = names::new_lab("check")?;
        let reaper = {
            let _pass = teardown::pass();
            Reaper::start(&name, &teardown::parent_directory().join(&name))?
        };
        let namespace = Namespace::create(format!("{name}-try"), false)?;
        let made = namespace
            .ip(&["link add try0 type veth peer name try1".to_owned(), "link add try2 type bridge".to_owned()]);
        reaper.finish()?;
        made
    };
    attempt().err().map(|error| format!("cannot make network namespaces, veths and bridges: {error:#}"))
}
