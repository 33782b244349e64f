//! What a machine must have to run a lab, checked before anything is made.
//!
//! The answer names all that is missing at once. A test that cannot run says so by failing: it never passes silently.

use std::{
    env,
    fs::File,
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::{Result, bail};

use crate::{
    names,
    netns::Namespace,
    switch::{Datapath, Switch},
    teardown::{self, Reaper},
};

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

/// Checks that labs with this switch can be made here; once it has succeeded it does not look again.
///
/// # Errors
/// All that is missing, one a line, with what to do about it.
pub(crate) fn check(switch: &Switch) -> Result<()> {
    static MET: Mutex<Vec<Switch>> = Mutex::new(Vec::new());
    let mut met = MET.lock().unwrap_or_else(PoisonError::into_inner);
    if !met.contains(switch) {
        look(switch)?;
        met.push(switch.clone());
    }
    Ok(())
}

fn look(switch: &Switch) -> Result<()> {
    let mut missing: Vec<String> = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_in_path(program))
        .map(|(program, package)| format!("no `{program}` in PATH: install the package {package}"))
        .collect();
    let schema = switch.schema();
    if !schema.is_file() {
        missing.push(format!("no {}: install the package openvswitch-common", schema.display()));
    }
    if switch.datapath() == Datapath::Kernel && !Path::new("/sys/module/openvswitch").is_dir() {
        missing.push("no kernel datapath: `scripts/kernel COMMAND` runs a command where there is one".to_owned());
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
