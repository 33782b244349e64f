//! A lab: a fabric, the hosts on it and the VMs on them, from the first namespace to the last.
//!
//! Everything of a lab carries its name and ends with it. Labs share nothing: several can run at once, in one process or
//! in many. What a lab is for (tunnels, the daemon under test) is up to its user.

use std::{
    collections::BTreeMap,
    fs,
    hash::{BuildHasher, RandomState},
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use anyhow::{Context, Result, anyhow, bail};

use crate::{
    fabric::{Fabric, MAX_HOSTS},
    host::Host,
    names,
    process::run,
    requirements,
    sniffer::MAX_FRAMES,
    switch::Switch,
    teardown::{self, Reaper},
    vm::Vm,
    wait::DEADLINE,
};

/// Several hosts with Open vSwitch on one fabric, and VMs on them. Dropping it removes all of it.
#[derive(Debug)]
pub struct Lab {
    shared: Arc<Shared>,
    fabric: Arc<Fabric>,
    hosts: Mutex<Vec<Host>>,
    reaper: Arc<Reaper>,
}

/// What the parts of a lab know of it.
#[derive(Debug)]
pub(crate) struct Shared {
    name: String,
    dir: PathBuf,
    switch: Switch,
    /// Tells this lab's frames from all others.
    mark: u64,
    next_token: AtomicU32,
    generation: AtomicU32,
    /// By name. VMs point back to here by their host: the lab empties this at its end.
    vms: Mutex<BTreeMap<Arc<str>, Vm>>,
}

impl Lab {
    /// Whether labs can be made on this machine. [`Lab::new`] asks this itself; a program may want to ask first.
    ///
    /// # Errors
    /// All that is missing, one a line, with what to do about it.
    pub fn requirements() -> Result<()> {
        requirements::check(&Switch::from_environment()?)
    }

    /// A lab with a fabric and no host, whose hosts will have the switch of the environment
    /// ([`Switch::from_environment`]). `tag` becomes part of its names: letters and digits, 12 at most.
    ///
    /// # Errors
    /// When the machine cannot run labs ([`Lab::requirements`]), or something cannot be made.
    pub fn new(tag: &str) -> Result<Self> {
        Self::on(Switch::from_environment()?, tag)
    }

    /// The same with hosts that will have this switch.
    ///
    /// # Errors
    /// As for [`Lab::new`].
    pub fn on(switch: Switch, tag: &str) -> Result<Self> {
        requirements::check(&switch)?;
        let name = names::new_lab(tag)?;
        let dir = teardown::parent_directory().join(&name);
        // Before there is anything to take down.
        let reaper = {
            let _pass = teardown::pass();
            let reaper = Reaper::start(&name, &dir)?;
            fs::create_dir(&dir).with_context(|| format!("{}", dir.display()))?;
            reaper
        };
        let shared = Shared {
            name,
            dir,
            switch,
            mark: RandomState::new().hash_one("ovstunnel"),
            next_token: AtomicU32::new(0),
            generation: AtomicU32::new(0),
            vms: Mutex::default(),
        };
        let (database, schema) = (shared.empty_database(), shared.switch.schema());
        let tool = shared.switch.bin_dir().join("ovsdb-tool");
        let mut create = Command::new(tool);
        create.args(["create".as_ref(), database.as_os_str(), schema.as_os_str()]);
        run(create, DEADLINE)?;
        let fabric = Fabric::create(&shared.name)?;
        Ok(Self { shared: Arc::new(shared), fabric: Arc::new(fabric), hosts: Mutex::default(), reaper })
    }

    /// A lab with the hosts `h1` to `h<count>`.
    ///
    /// # Errors
    /// As for [`Lab::new`] and [`Lab::add_hosts`].
    pub fn with_hosts(tag: &str, count: usize) -> Result<Self> {
        let lab = Self::new(tag)?;
        lab.add_hosts(count)?;
        Ok(lab)
    }

    /// Adds `count` hosts, all at the same time, and returns them when tunnels can work on each.
    ///
    /// # Errors
    /// When one cannot be made, or there would be more than 250.
    pub fn add_hosts(&self, count: usize) -> Result<Vec<Host>> {
        let mut hosts = lock(&self.hosts);
        let first = hosts.len() + 1;
        let numbers = (first..first + count).map(|number| u8::try_from(number).ok().filter(|n| *n <= MAX_HOSTS));
        let numbers: Vec<u8> = numbers.collect::<Option<_>>().ok_or_else(|| anyhow!("more than {MAX_HOSTS} hosts"))?;
        let make = |number| Host::create(number, Arc::clone(&self.fabric), Arc::clone(&self.shared));
        let made: Result<Vec<Host>> = thread::scope(|scope| {
            let makers: Vec<_> = numbers.into_iter().map(|number| scope.spawn(move || make(number))).collect();
            makers.into_iter().map(|maker| maker.join().map_err(|_| anyhow!("a host's maker panicked"))?).collect()
        });
        let made = made?;
        hosts.extend(made.iter().cloned());
        Ok(made)
    }

    /// Adds one host.
    ///
    /// # Errors
    /// As for [`Lab::add_hosts`].
    pub fn add_host(&self) -> Result<Host> {
        self.add_hosts(1)?.pop().ok_or_else(|| anyhow!("no host was made"))
    }

    /// Host number `number`, from 1.
    ///
    /// # Errors
    /// When there is none.
    pub fn host(&self, number: usize) -> Result<Host> {
        let hosts = lock(&self.hosts);
        let host = number.checked_sub(1).and_then(|index| hosts.get(index));
        host.cloned().ok_or_else(|| anyhow!("there is no host {number}: the lab has {}", hosts.len()))
    }

    /// All hosts, by number.
    pub fn hosts(&self) -> Vec<Host> {
        lock(&self.hosts).clone()
    }

    /// The VM of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn vm(&self, name: &str) -> Result<Vm> {
        lock(&self.shared.vms).get(name).cloned().ok_or_else(|| anyhow!("there is no VM {name}"))
    }

    /// All VMs, by name.
    pub fn vms(&self) -> Vec<Vm> {
        self.shared.vms()
    }

    /// The network between the hosts, and the place of the management server.
    pub fn fabric(&self) -> &Fabric {
        &self.fabric
    }

    /// Its name, which all its namespaces start with.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The switch that its hosts have.
    pub fn switch(&self) -> &Switch {
        &self.shared.switch
    }

    /// Its directory. Goes with the lab.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Takes the lab down, as dropping it does, and says whether all of it is gone.
    ///
    /// # Errors
    /// When something could not be removed.
    pub fn close(self) -> Result<()> {
        self.take_down()
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn take_down(&self) -> Result<()> {
        for vm in std::mem::take(&mut *lock(&self.shared.vms)).values() {
            vm.stop_listening();
        }
        // The reaper kills all processes at once; afterwards they only have to be reaped.
        let gone = self.reaper.finish();
        for host in &*lock(&self.hosts) {
            host.kill_vswitchd();
            host.kill_ovsdb();
        }
        gone
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = self.take_down() {
            eprintln!("{error:#}");
        }
    }
}

impl Shared {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn switch(&self) -> &Switch {
        &self.switch
    }

    pub(crate) fn mark(&self) -> u64 {
        self.mark
    }

    /// A database without a row, made once: copying it takes a tenth of the time of making it.
    pub(crate) fn empty_database(&self) -> PathBuf {
        self.dir.join("empty.db")
    }

    /// A number that was not used before in this lab.
    pub(crate) fn next_generation(&self) -> u32 {
        self.generation.fetch_add(1, Ordering::Relaxed)
    }

    /// Numbers for `count` frames.
    pub(crate) fn reserve_tokens(&self, count: usize) -> Result<Range<u32>> {
        let count = u32::try_from(count).context("frames")?;
        let first = self.next_token.fetch_add(count, Ordering::Relaxed);
        match first.checked_add(count) {
            Some(end) if end <= MAX_FRAMES => Ok(first..end),
            _ => bail!("a lab can send {MAX_FRAMES} counted frames; this one has sent {first}"),
        }
    }

    pub(crate) fn vms(&self) -> Vec<Vm> {
        lock(&self.vms).values().cloned().collect()
    }

    pub(crate) fn has_vm(&self, name: &str) -> bool {
        lock(&self.vms).contains_key(name)
    }

    pub(crate) fn add_vm(&self, vm: &Vm) {
        lock(&self.vms).insert(vm.shared_name(), vm.clone());
    }

    pub(crate) fn remove_vm(&self, name: &str) {
        lock(&self.vms).remove(name);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
