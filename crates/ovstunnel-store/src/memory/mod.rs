//! The database in memory: for tests, and for the simulated zone, whose clock stands still.
//!
//! What it does: all that a database does, to the letter of [`crate::Store`]. What it must not do: outlive its process; wait.

mod act;
mod inventory;
mod tunnels;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use ovstunnel_types::{GreKey, HostNumber, NetworkNumber};

use crate::inspection::KNOWN;
use crate::rows::{SETTING, check_path_name};
use crate::{
    EventFilter, EventPage, EventRow, HostRow, Inspection, InterfaceRow, KeyRow, LeaseRow, NetworkRow, NewEvent,
    NicRow, PAGE_MAX, PhysicalNetworkRow, Result, StoreError, TunnelRow, Zone,
};

/// Milliseconds since 1970 by the system's clock.
pub(crate) fn system_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A database in memory.
pub struct MemoryStore {
    zone: Zone,
    clock: Box<dyn Fn() -> i64 + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    away: Option<String>,
    hosts: BTreeMap<HostNumber, HostRow>,
    last_host: u64,
    interfaces: BTreeMap<u64, InterfaceRow>,
    last_interface: u64,
    /// By network, from, to.
    tunnels: BTreeMap<(u64, u64, u64), TunnelRow>,
    physical_networks: BTreeMap<String, PhysicalNetworkRow>,
    networks: BTreeMap<NetworkNumber, NetworkRow>,
    last_network: u64,
    nics: BTreeMap<(NetworkNumber, String), NicRow>,
    keys: BTreeMap<GreKey, KeyRow>,
    lease: Option<LeaseRow>,
    events: BTreeMap<u64, NewEvent>,
    last_event: u64,
    settings: BTreeMap<String, String>,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("zone", &self.zone).finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// An empty one; `clock` tells milliseconds since 1970, for leases.
    pub fn new(zone: Zone, clock: impl Fn() -> i64 + Send + Sync + 'static) -> MemoryStore {
        // Number 1 is the lock row's, where there is one.
        let state = State { last_interface: 1, ..State::default() };
        MemoryStore { zone, clock: Box::new(clock), state: Mutex::new(state) }
    }

    /// From now on each call is [`StoreError::Unavailable`] for this reason; without one all is well again.
    pub fn set_away(&self, reason: Option<&str>) {
        self.lock_state().away = reason.map(str::to_owned);
    }

    /// A change never leaves the state half-made: it is checked first. So a panic of another thread does no harm.
    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn working_state(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.lock_state();
        match &state.away {
            Some(reason) => Err(StoreError::Unavailable { reason: reason.clone() }),
            None => Ok(state),
        }
    }

    pub(crate) fn zone(&self) -> Result<Zone> {
        self.working_state().map(|_| self.zone.clone())
    }

    pub(crate) fn append_events(&self, events: &[NewEvent]) -> Result<Vec<u64>> {
        events.iter().try_for_each(NewEvent::check_fields)?;
        let mut state = self.working_state()?;
        let first = state.last_event + 1;
        state.last_event += events.len() as u64;
        state.events.extend((first..).zip(events.iter().cloned()));
        Ok((first..=state.last_event).collect())
    }

    pub(crate) fn events(&self, filter: &EventFilter, cursor: Option<u64>, limit: u32) -> Result<EventPage> {
        let state = self.working_state()?;
        let limit = limit.clamp(1, PAGE_MAX) as usize;
        let older = state.events.range(..cursor.unwrap_or(u64::MAX)).rev().filter(|(_, event)| filter.matches(event));
        let rows = older.take(limit + 1).map(|(id, event)| EventRow { id: *id, event: event.clone() });
        Ok(EventPage::cut_page(rows.collect(), limit))
    }

    pub(crate) fn purge_events(&self, older_than: i64) -> Result<u64> {
        let mut state = self.working_state()?;
        let before = state.events.len();
        state.events.retain(|_, event| event.at >= older_than);
        Ok((before - state.events.len()) as u64)
    }

    pub(crate) fn cut_events(&self, most: u64) -> Result<u64> {
        let mut state = self.working_state()?;
        let before = state.events.len();
        let oldest = state.last_event.saturating_sub(most) + 1;
        state.events = state.events.split_off(&oldest);
        Ok((before - state.events.len()) as u64)
    }

    pub(crate) fn inspect(&self) -> Result<Inspection> {
        let zone = Some(self.zone.name.clone());
        self.working_state().map(|_| Inspection { engine: "memory", schema: KNOWN, known: KNOWN, zone, damage: None })
    }

    /// By the names of the tables that a database has for the same.
    pub(crate) fn count_rows(&self) -> Result<Vec<(String, u64)>> {
        let state = self.working_state()?;
        let counts = [
            ("ovs_tunnel_interface", state.interfaces.len()),
            ("ovs_tunnel_network", state.tunnels.len()),
            ("ovstunnel_event", state.events.len()),
            ("ovstunnel_host", state.hosts.len()),
            ("ovstunnel_network", state.networks.len()),
            ("ovstunnel_nic", state.nics.len()),
        ];
        Ok(counts.map(|(table, rows)| (table.to_owned(), rows as u64)).into())
    }

    pub(crate) fn settings(&self) -> Result<Vec<(String, String)>> {
        Ok(self.working_state()?.settings.clone().into_iter().collect())
    }

    pub(crate) fn setting(&self, name: &str) -> Result<Option<String>> {
        Ok(self.working_state()?.settings.get(name).cloned())
    }

    pub(crate) fn set_setting(&self, name: &str, value: Option<&str>) -> Result<()> {
        check_path_name("setting.name", name)?;
        SETTING.check_some(value)?;
        let mut state = self.working_state()?;
        match value {
            Some(value) => state.settings.insert(name.to_owned(), value.to_owned()),
            None => state.settings.remove(name),
        };
        Ok(())
    }
}
