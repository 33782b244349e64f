//! A pool of XenServer hosts, as far as the daemon sees of it: `xe` on each of them, one database behind all. Must not know what
//! the daemon writes into it.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::helper;

const POOL: &str = "11111111-0000-4000-8000-000000000001";

/// A pool. Its folder has one for each host, with `xe`, its database and the host's inventory.
#[derive(Debug)]
pub struct Pool {
    dir: tempfile::TempDir,
}

/// UUID of network number `n`, whose bridge is `xapi<n>`.
pub fn network_uuid(n: u16) -> String {
    format!("6f1a9c3e-0b7d-4c58-9c11-{n:012}")
}

fn host_uuid(n: usize) -> String {
    format!("2b0f6c1e-1111-4000-8000-{n:012}")
}

impl Pool {
    /// A pool of so many hosts with the networks 1 to `networks`, and the management network on `management`.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn new(hosts: usize, networks: u16, management: &str) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("ovstunnel-pool-").tempdir()?;
        let pool = Pool { dir };
        let network = |n: u16| {
            let row = json!({"name-label": format!("OVSTunnel{}", 1000 + n), "bridge": format!("xapi{n}"), "other-config": {}});
            (network_uuid(n), row)
        };
        let mut all: BTreeMap<String, Value> = (1..=networks).map(network).collect();
        let label =
            |label: &str, bridge: &str| json!({"name-label": label, "bridge": bridge, "other-config": {"a": "b"}});
        all.insert(network_uuid(1001), label("no address", "nowhere0"));
        all.insert(network_uuid(1002), label("Pool-wide network", management));
        all.insert(network_uuid(1003), label("twice", "twice0"));
        all.insert(network_uuid(1004), label("twice", "twice1"));
        let pif = |host: usize, n: u16| {
            let uuid = format!("77777777-0000-4000-8000-{host:06}{n:06}");
            (uuid, json!({"host-uuid": host_uuid(host), "network-uuid": network_uuid(n)}))
        };
        let pifs: BTreeMap<_, _> = (1..=hosts).flat_map(|host| [pif(host, 1001), pif(host, 1002)]).collect();
        let host = |n: usize| (host_uuid(n), json!({"software-version": {"platform_name": "XCP", "product": "x"}}));
        let hosts_known: BTreeMap<_, _> = (1..=hosts).map(host).collect();
        let pools = json!({POOL: {"other-config": {"memory-ratio-hvm": "0.25"}}});
        let database = json!({"networks": all, "pifs": pifs, "hosts": hosts_known, "pools": pools});
        std::fs::write(pool.dir.path().join("pool.json"), database.to_string())?;
        (1..=hosts).try_for_each(|number| pool.add_host(number))?;
        Ok(pool)
    }

    fn add_host(&self, number: usize) -> Result<()> {
        let dir = self.host_dir(number);
        std::fs::create_dir_all(&dir)?;
        symlink(helper("xe-stand-in")?, dir.join("xe"))?;
        symlink(self.dir.path().join("pool.json"), dir.join("pool.json"))?;
        let inventory = format!("PRODUCT_BRAND='x'\nINSTALLATION_UUID='{}'\n", host_uuid(number));
        std::fs::write(dir.join("inventory"), inventory).context("the inventory")
    }

    /// The folder of the pool; [`Pool::section`] takes it.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    fn host_dir(&self, number: usize) -> PathBuf {
        self.dir.path().join(format!("host{number}"))
    }

    /// The section `[xapi]` of a host's configuration, for the pool in this folder.
    pub fn section(pool: &Path, number: usize, timeout: &str) -> String {
        let dir = pool.join(format!("host{number}"));
        let dir = dir.display();
        format!("[xapi]\nenabled = true\nxe = \"{dir}/xe\"\ntimeout = \"{timeout}\"\ninventory = \"{dir}/inventory\"\n")
    }

    /// Makes a host's `xe` behave: `fails`, `hangs`, `slow`, `refuses N`, or empty for good.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_mode(&self, host: usize, mode: &str) -> Result<()> {
        std::fs::write(self.host_dir(host).join("xe.mode"), mode).context("the mode")
    }

    /// `other-config` of network number `n`.
    ///
    /// # Errors
    /// When there is none.
    pub fn other_config(&self, n: u16) -> Result<BTreeMap<String, String>> {
        self.other_config_of(&network_uuid(n))
    }

    /// That of the network with this UUID.
    ///
    /// # Errors
    /// When there is none.
    pub fn other_config_of(&self, uuid: &str) -> Result<BTreeMap<String, String>> {
        Ok(serde_json::from_value(self.database()?["networks"][uuid]["other-config"].clone())?)
    }

    /// Writes a pair into `other-config` of network number `n`. Nobody else may write meanwhile.
    ///
    /// # Errors
    /// When there is no such network.
    pub fn write(&self, n: u16, key: &str, value: &str) -> Result<()> {
        self.change(|database| database["networks"][network_uuid(n)]["other-config"][key] = value.into())
    }

    /// Gives network number `n` another name-label. Nobody else may write meanwhile.
    ///
    /// # Errors
    /// When there is no such network.
    pub fn set_label(&self, n: u16, label: &str) -> Result<()> {
        self.change(|database| database["networks"][network_uuid(n)]["name-label"] = label.into())
    }

    /// Makes every host one of another platform.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_platform(&self, name: &str) -> Result<()> {
        self.change(|database| {
            for host in database["hosts"].as_object_mut().into_iter().flat_map(|hosts| hosts.values_mut()) {
                host["software-version"]["platform_name"] = name.into();
            }
        })
    }

    /// The hosts that network number `n` says it is set up on, sorted.
    ///
    /// # Errors
    /// When there is no such network.
    pub fn hosts(&self, n: u16) -> Result<Vec<String>> {
        let config = self.other_config(n)?;
        let list = config.get("ovs-host-setup").cloned().unwrap_or_default();
        let mut hosts: Vec<String> = list.split(',').filter(|host| !host.is_empty()).map(str::to_owned).collect();
        hosts.sort();
        Ok(hosts)
    }

    fn database(&self) -> Result<Value> {
        let text = std::fs::read_to_string(self.dir.path().join("pool.json"))?;
        serde_json::from_str(&text).context("the pool's database")
    }

    fn change(&self, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut database = self.database()?;
        change(&mut database);
        std::fs::write(self.dir.path().join("pool.json"), database.to_string()).context("the pool's database")
    }
}
