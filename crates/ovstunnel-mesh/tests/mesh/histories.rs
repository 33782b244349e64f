//! Random histories against a naive model of hosts: plans that are cut off at any request, hosts that are silent, forget everything or
//! are changed by others. No tunnel that both its ends want ever goes; at rest there is exactly the desired mesh.

use std::collections::BTreeSet;

use crate::zone::{Machine, Zone, host, ip};
use ovstunnel_mesh::difference::Blocked;
use ovstunnel_mesh::observed::Mode;
use ovstunnel_mesh::{Brakes, Mesh, Request};
use ovstunnel_types::{HostId, HostNumber, RemoteIp};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Event {
    Join(u64),
    Leave(u64),
    Forget(u64),
    /// The host's tunnels end elsewhere; nothing happens if another host has the address.
    Move(u64, u64),
    LoseAddress(u64),
    Silent(u64),
    Back(u64),
    /// The leader is another one, which the host has told nothing yet.
    Unseen(u64),
    Seen(u64),
    /// Its switch is empty.
    Empty(u64),
    /// Somebody takes a tunnel away, adds one, or has a VIF plugged.
    Lose(u64, usize),
    Stray(u64, u64, u64),
    Vifs(u64, usize),
    /// A pass of which only so many requests are sent.
    Pass(usize),
}

const HOSTS: u64 = 7;

fn any_event() -> impl Strategy<Value = Event> {
    let one = || 1..HOSTS;
    prop_oneof![
        4 => one().prop_map(Event::Join),
        3 => one().prop_map(Event::Leave),
        1 => one().prop_map(Event::Forget),
        2 => (one(), 1..10u64).prop_map(|(host, last)| Event::Move(host, last)),
        1 => one().prop_map(Event::LoseAddress),
        1 => one().prop_map(Event::Silent),
        2 => one().prop_map(Event::Back),
        1 => one().prop_map(Event::Unseen),
        2 => one().prop_map(Event::Seen),
        1 => one().prop_map(Event::Empty),
        2 => (one(), 0..9usize).prop_map(|(host, index)| Event::Lose(host, index)),
        2 => (one(), 1..HOSTS, 1..10u64).prop_map(|(host, to, last)| Event::Stray(host, to, last)),
        1 => (one(), 0..2usize).prop_map(|(host, vifs)| Event::Vifs(host, vifs)),
        8 => (0..12usize).prop_map(Event::Pass),
    ]
}

/// The tunnels that both ends want, each at the right address: those which must never go.
fn wanted_by_both(zone: &Zone, mesh: &Mesh) -> BTreeSet<(u64, HostId, RemoteIp)> {
    let there = zone.hosts.iter().flat_map(|(number, machine)| {
        let desired: BTreeSet<_> = mesh.tunnels_of(host(*number)).map(|t| (HostId::from(t.to), t.remote_ip)).collect();
        let tunnels: Vec<_> = machine.bridge.iter().flatten().map(|(_, to, ip)| (to.clone(), *ip)).collect();
        let wanted = tunnels.into_iter().filter(move |tunnel| desired.contains(tunnel));
        wanted.map(|(to, ip)| (*number, to, ip))
    });
    there.collect()
}

/// Which ends each host has tunnels to, at whatever address.
fn ends(zone: &Zone) -> BTreeSet<(u64, HostId)> {
    let of = |(number, machine): (&u64, &Machine)| {
        let tunnels: Vec<_> = machine.bridge.iter().flatten().map(|(_, to, _)| (*number, to.clone())).collect();
        tunnels
    };
    zone.hosts.iter().flat_map(of).collect()
}

fn pass(zone: &mut Zone, most: usize) {
    let plan = zone.plan();
    let unseen = !zone.difference().unseen.is_empty();
    assert!(
        !unseen || (plan.leaves.is_empty() && plan.bridges.is_empty()),
        "it removes on a partial picture: {plan:?}"
    );
    let mesh = zone.mesh();
    for sending in plan.sendings().take(most) {
        let (wanted, before) = (wanted_by_both(zone, &mesh), ends(zone));
        let has_left = |id: &HostId| HostNumber::try_from(id).is_ok_and(|to| mesh.has_left(to));
        let may_go: Vec<bool> = before.iter().map(|(from, to)| has_left(&host(*from).into()) || has_left(to)).collect();
        let is_member = mesh.has_member(sending.host);
        // One that leads to where its other end no longer is may go for a moment, where addresses go round.
        let is_wrong = |(from, to): &(u64, HostId)| !wanted.iter().any(|(f, t, _)| (f, t) == (from, to));
        let goes_round = matches!(sending.request, Request::DeleteTunnel { .. });
        let result = zone.send(sending);
        let is_up = zone.hosts[&sending.host.get()].is_up;
        assert!(result.is_ok() || !is_up, "{sending:?}: {result:?}");
        assert!(wanted.is_subset(&wanted_by_both(zone, &mesh)), "{sending:?} takes away what both ends want");
        let after = ends(zone);
        for (end, may_go) in before.iter().zip(may_go) {
            let to_itself = HostNumber::try_from(&end.1).ok() == Some(host(end.0));
            assert!(
                after.contains(end) || (may_go && !unseen) || to_itself || (goes_round && is_wrong(end)),
                "{sending:?} takes {end:?} away"
            );
        }
        assert!(is_member || after.is_subset(&before), "{sending:?} gives a host tunnels that does not belong to it");
    }
}

fn happen(zone: &mut Zone, event: Event) {
    let machine = |zone: &mut Zone, number: u64, change: &dyn Fn(&mut Machine)| {
        change(zone.hosts.entry(number).or_insert_with(Machine::empty));
    };
    match event {
        Event::Join(number) if zone.endpoints.address_of(host(number)).is_some() => {
            zone.attachments.insert(host(number), ovstunnel_mesh::membership::Attachment::In);
        }
        Event::Join(number) => {
            zone.attachments.insert(host(number), ovstunnel_mesh::membership::Attachment::In);
            let _ = (1..20).find(|last| zone.endpoints.set(host(number), ip(*last)).is_ok());
        }
        Event::Leave(number) => zone.leave(number),
        Event::Forget(number) => zone.forget(number),
        Event::Move(number, last) => drop(zone.endpoints.set(host(number), ip(last))),
        Event::LoseAddress(number) => zone.endpoints.remove(host(number)),
        Event::Silent(number) => machine(zone, number, &|host| host.is_up = false),
        Event::Back(number) => machine(zone, number, &|host| host.is_up = true),
        Event::Unseen(number) => machine(zone, number, &|host| host.snapshot_given = false),
        Event::Seen(number) => machine(zone, number, &|host| host.snapshot_given = true),
        Event::Empty(number) => machine(zone, number, &|host| (host.bridge, host.vifs) = (None, 0)),
        Event::Lose(number, index) => machine(zone, number, &|host| {
            let tunnels = host.bridge.iter_mut().filter(|tunnels| index < tunnels.len());
            tunnels.for_each(|tunnels| drop(tunnels.remove(index)));
        }),
        Event::Stray(number, to, last) => machine(zone, number, &|machine| {
            let free = |tunnels: &Vec<(_, HostId, RemoteIp)>| tunnels.iter().all(|(_, _, other)| *other != ip(last));
            if machine.bridge.as_ref().is_some_and(free) {
                machine.add(host(to).into(), ip(last));
            }
        }),
        Event::Vifs(number, vifs) => machine(zone, number, &|host| {
            host.vifs = if host.bridge.is_some() { vifs } else { 0 };
        }),
        Event::Pass(most) => pass(zone, most),
    }
}

/// All is well again: everybody answers, has an address, and somebody has judged each host.
fn calm(zone: &mut Zone) {
    for number in 1..HOSTS {
        let machine = zone.hosts.entry(number).or_insert_with(Machine::empty);
        (machine.is_up, machine.snapshot_given, machine.mode) = (true, true, Mode::Manage);
        zone.attachments.entry(host(number)).or_insert(ovstunnel_mesh::membership::Attachment::Out);
        if !zone.mesh().has_member(host(number)) {
            zone.hosts.get_mut(&number).unwrap().vifs = 0;
        }
        if zone.endpoints.address_of(host(number)).is_none() {
            assert!((1..20).any(|last| zone.endpoints.set(host(number), ip(last)).is_ok()));
        }
    }
}

/// Two tunnels to a host of which nothing is known any more both keep their addresses.
#[test]
fn an_address_of_either_of_two_tunnels_to_nobody_is_taken() {
    let mut zone = Zone::empty();
    for event in [
        Event::Join(5),
        Event::Join(2),
        Event::Back(2),
        Event::Pass(1),
        Event::LoseAddress(5),
        Event::Join(1),
        Event::Stray(2, 5, 2),
        Event::Forget(5),
        Event::Pass(1),
    ] {
        happen(&mut zone, event);
    }
    let blocked = zone.difference().blocked;
    let in_use = Blocked::AddressInUse { to: host(1), by: host(5).into() };
    assert!(blocked.contains(&(host(2), in_use)), "{blocked:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plans_remove_nothing_wanted_and_reach_the_mesh(
        events in prop::collection::vec(any_event(), 0..50)
    ) {
        let mut zone = Zone::empty();
        zone.brakes = Brakes { zone: 1.0, network: 1.0, asks_for_any: false };
        for event in events {
            happen(&mut zone, event);
        }
        calm(&mut zone);
        for _ in 0..4 {
            pass(&mut zone, usize::MAX);
        }
        prop_assert!(zone.plan().is_empty(), "it never rests: {:?}", zone.plan());
        prop_assert!(zone.is_exactly_the_mesh(), "{:?}", zone.difference());
    }
}
