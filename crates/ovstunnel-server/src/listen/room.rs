//! Room for HTTPS connections, and who has to go where there is none.
//!
//! What it does: lets every newcomer in at once, and ends the oldest unfinished handshake of the address that has most of
//! them where there are too many; lets those in who have shown a good certificate, up to a cap for each address and for all,
//! and ends an idle one of the address that has most where another one, with fewer, waits. What it must not do: keep one
//! address waiting for another, or end a connection with a request under way (docs/adr/0023-strangers.md).

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{MAX_HTTPS_BY_ADDRESS, MAX_HTTPS_CONNECTIONS, MAX_HTTPS_OPEN};

/// The address that a client counts under: with IPv6 everybody has 2^64 of them.
pub(super) fn counting_address(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip => ip,
    }
}

/// All connections of the HTTPS listener.
#[derive(Debug, Default)]
pub(super) struct Room {
    state: Mutex<State>,
    /// Somebody has gone.
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    arrivals: u64,
    /// By order of arrival.
    guests: BTreeMap<u64, Guest>,
}

#[derive(Debug)]
struct Guest {
    address: IpAddr,
    /// Whether its handshake is over and it is served.
    served: bool,
    /// Requests under way.
    requests: usize,
    idle_since: Instant,
    displaced: CancellationToken,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    id: u64,
    displaced: CancellationToken,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Asking(Arc<Place>);

impl Room {
    fn lock_state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A newcomer's place, and the address of whoever had to go for it.
    pub(super) fn enter_room(self: &Arc<Self>, address: IpAddr) -> (Place, Option<IpAddr>) {
        let (address, displaced) = (counting_address(address), CancellationToken::new());
        let mut state = self.lock_state();
        let gone = if state.guests.len() < MAX_HTTPS_OPEN { None } else { state.end_a_handshake(address) };
        state.arrivals += 1;
        let id = state.arrivals;
        let (served, requests, idle_since) = (false, 0, Instant::now());
        let guest = Guest { address, served, requests, idle_since, displaced: displaced.clone() };
        state.guests.insert(id, guest);
        drop(state);
        (Place { room: Arc::clone(self), id, displaced }, gone)
    }
}

impl State {
    fn count_by_address(&self, served: bool) -> HashMap<IpAddr, usize> {
        let mut counts = HashMap::new();
        for guest in self.guests.values().filter(|guest| guest.served == served) {
            *counts.entry(guest.address).or_default() += 1;
        }
        counts
    }

    /// Ends the oldest of whoever has most, the newcomer counted: of two that have as many, the older one's.
    fn end_a_handshake(&mut self, newcomer: IpAddr) -> Option<IpAddr> {
        let mut counts = self.count_by_address(false);
        *counts.entry(newcomer).or_default() += 1;
        let unfinished = self.guests.iter().filter(|(_, guest)| !guest.served);
        let first = unfinished.max_by_key(|(id, guest)| (counts.get(&guest.address), Reverse(**id)));
        let id = first.map(|(id, _)| *id)?;
        self.end_connection(id)
    }

    /// Ends the connection that is idle for longest, of an address that has more than the newcomer will have.
    fn end_an_idle_one(&mut self, counts: &HashMap<IpAddr, usize>, newcomer: IpAddr) -> Option<IpAddr> {
        let of = |address: &IpAddr| counts.get(address).copied().unwrap_or_default();
        let has_more = |guest: &Guest| of(&guest.address) > of(&newcomer) + 1;
        let idle = self.guests.iter().filter(|(_, guest)| guest.served && guest.requests == 0 && has_more(guest));
        let first = idle.max_by_key(|(_, guest)| (of(&guest.address), Reverse(guest.idle_since)));
        let id = first.map(|(id, _)| *id)?;
        self.end_connection(id)
    }

    fn end_connection(&mut self, id: u64) -> Option<IpAddr> {
        let guest = self.guests.remove(&id)?;
        guest.displaced.cancel();
        Some(guest.address)
    }

    /// Whether this one is served from now on, and the address of whoever had to go for it.
    fn settle_place(&mut self, id: u64) -> (bool, Option<IpAddr>) {
        // One that has been displaced is told so by its token.
        let Some(address) = self.guests.get(&id).map(|guest| guest.address) else { return (false, None) };
        let counts = self.count_by_address(true);
        if counts.get(&address).copied().unwrap_or_default() >= MAX_HTTPS_BY_ADDRESS {
            return (false, None);
        }
        let is_full = counts.values().sum::<usize>() >= MAX_HTTPS_CONNECTIONS;
        let gone = if is_full { self.end_an_idle_one(&counts, address) } else { None };
        let settled = !is_full || gone.is_some();
        if let Some(guest) = self.guests.get_mut(&id).filter(|_| settled) {
            (guest.served, guest.idle_since) = (true, Instant::now());
        }
        (settled, gone)
    }
}

impl Place {
    /// Ends when this connection has to go.
    pub(super) async fn wait_displaced(&self) {
        self.displaced.cancelled().await;
    }

    /// Waits until there is room among those who are served; gives the address of whoever had to go for it.
    pub(super) async fn wait_settled(&self) -> Option<IpAddr> {
        loop {
            // Made before it is looked: else what is freed in between would be missed.
            let freed = self.room.freed.notified();
            if let (true, gone) = self.room.lock_state().settle_place(self.id) {
                return gone;
            }
            freed.await;
        }
    }

    /// A request begins.
    pub(super) fn begin_request(self: &Arc<Self>) -> Asking {
        self.change_count(|requests| requests + 1);
        Asking(Arc::clone(self))
    }

    fn change_count(&self, change: impl FnOnce(usize) -> usize) {
        if let Some(guest) = self.room.lock_state().guests.get_mut(&self.id) {
            (guest.requests, guest.idle_since) = (change(guest.requests), Instant::now());
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.change_count(|requests| requests.saturating_sub(1));
        // It is idle now, and may have to go.
        self.0.room.freed.notify_waiters();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.lock_state().guests.remove(&self.id);
        self.room.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn settled(place: &Place) -> bool {
        place.room.lock_state().settle_place(place.id).0
    }

    #[test]
    fn a_flood_ends_only_its_own_handshakes() {
        let room = Arc::new(Room::default());
        let (first, _) = room.enter_room(ip(9));
        let flood: Vec<_> = (0..3000).map(|_| room.enter_room(ip(1))).collect();
        assert_eq!(room.lock_state().guests.len(), MAX_HTTPS_OPEN);
        assert!(!first.displaced.is_cancelled());
        let lost = flood.iter().filter(|(place, _)| place.displaced.is_cancelled()).count();
        assert_eq!(lost, 3001 - MAX_HTTPS_OPEN);
        let (late, gone) = room.enter_room(ip(8));
        assert_eq!(gone, Some(ip(1)));
        assert!(settled(&first) && settled(&late));
        // The newest is in, too: its handshake takes some milliseconds.
        assert!(!flood.last().unwrap().0.displaced.is_cancelled());
    }

    #[test]
    fn nobody_has_all_places_and_idle_ones_give_way() {
        let room = Arc::new(Room::default());
        let many: Vec<_> = (0..MAX_HTTPS_BY_ADDRESS).map(|_| Arc::new(room.enter_room(ip(1)).0)).collect();
        assert!(many.iter().all(|place| settled(place)));
        let (one_more, _) = room.enter_room(ip(1));
        assert!(!settled(&one_more), "one address has its share and no more");
        let others: Vec<_> = (MAX_HTTPS_BY_ADDRESS..MAX_HTTPS_CONNECTIONS).map(|_| room.enter_room(ip(2)).0).collect();
        assert!(others.iter().all(settled));
        let asking: Vec<_> = many.iter().skip(1).map(Place::begin_request).collect();
        let newcomers = [room.enter_room(ip(3)).0, room.enter_room(ip(3)).0];
        assert!(settled(&newcomers[0]) && many[0].displaced.is_cancelled(), "the idle one of the largest has gone");
        assert!(settled(&newcomers[1]), "then one of the second largest");
        assert_eq!(others.iter().filter(|place| place.displaced.is_cancelled()).count(), 1);
        assert!(many.iter().skip(1).all(|place| !place.displaced.is_cancelled()), "requests go on");
        drop(asking);
    }

    #[test]
    fn addresses_of_one_network_count_together() {
        let of = |text: &str| counting_address(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), ip(1));
    }
}
