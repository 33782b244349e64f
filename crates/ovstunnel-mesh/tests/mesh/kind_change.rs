//! The change of a network's kind on a model of hosts: whatever is lost, whoever is silent and whoever begins to lead in the middle, each host
//! hears what each other one sends, at every moment; and in the end all have the kind that was wanted last.

use std::collections::BTreeMap;

use crate::zone::{Machine, Zone, host};
use ovstunnel_mesh::Request;
use ovstunnel_mesh::difference::Circumstances;
use ovstunnel_mesh::kind_change::{Answered, KindChange, Obstacle, Stage};
use ovstunnel_mesh::observed::Mode;
use ovstunnel_types::{HostNumber, TunnelKind};
use proptest::prelude::*;

use TunnelKind::{Geneve, Gre, Vxlan};

/// By which kind frames are sent, and by which they are received too.
type Kinds = (TunnelKind, Option<TunnelKind>);

/// What is done to a host.
type Harm = fn(&mut Machine);

/// Hosts whose Open vSwitch follows what is written down for it only when it is told to, or has answered.
struct World {
    zone: Zone,
    applied: BTreeMap<u64, Kinds>,
    answered: Answered,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    /// It is written down, Open vSwitch has not followed yet, and the answer is lost.
    Lost,
    Undelivered,
}

#[derive(Clone, Debug)]
enum Event {
    Want(TunnelKind),
    Join(u64),
    Silent(u64),
    Back(u64),
    Unseen(u64),
    Seen(u64),
    Observe(u64),
    Manage(u64),
    /// Open vSwitch follows.
    Apply(u64),
    /// Another one leads, which nobody has answered anything yet.
    NewLeader,
    Pass(Vec<Fate>),
}

fn any_event() -> impl Strategy<Value = Event> {
    let one = || 1..7u64;
    let fate = prop_oneof![6 => Just(Fate::Answered), 1 => Just(Fate::Lost), 1 => Just(Fate::Undelivered)];
    prop_oneof![
        2 => prop_oneof![Just(Gre), Just(Vxlan)].prop_map(Event::Want),
        1 => one().prop_map(Event::Join),
        1 => one().prop_map(Event::Silent),
        2 => one().prop_map(Event::Back),
        1 => one().prop_map(Event::Unseen),
        2 => one().prop_map(Event::Seen),
        1 => one().prop_map(Event::Observe),
        2 => one().prop_map(Event::Manage),
        2 => one().prop_map(Event::Apply),
        1 => Just(Event::NewLeader),
        12 => prop::collection::vec(fate, 6).prop_map(Event::Pass),
    ]
}

impl World {
    fn new(hosts: u64) -> World {
        let mut zone = Zone::meshed(1..=hosts);
        zone.kind = Some(Gre);
        let applied = (1..=hosts).map(|number| (number, (Gre, None))).collect();
        World { zone, applied, answered: Answered::new() }
    }

    fn machine(&mut self, number: u64) -> Option<&mut Machine> {
        self.zone.hosts.get_mut(&number)
    }

    fn apply(&mut self, number: u64) {
        let Some(machine) = self.zone.hosts.get(&number).filter(|machine| machine.bridge.is_some()) else { return };
        self.applied.insert(number, (machine.kind, machine.second));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Want(kind) => self.zone.kind = Some(kind),
            Event::Join(number) if self.zone.hosts.contains_key(&number) => {}
            Event::Join(number) => self.zone.join(number),
            Event::Silent(n) => drop(self.machine(n).map(|machine| machine.is_up = false)),
            Event::Back(n) => drop(self.machine(n).map(|machine| machine.is_up = true)),
            Event::Unseen(n) => drop(self.machine(n).map(|machine| machine.snapshot_given = false)),
            Event::Seen(n) => drop(self.machine(n).map(|machine| machine.snapshot_given = true)),
            Event::Observe(n) => drop(self.machine(n).map(|machine| machine.mode = Mode::Observe)),
            Event::Manage(n) => drop(self.machine(n).map(|machine| machine.mode = Mode::Manage)),
            Event::Apply(n) => self.apply(n),
            Event::NewLeader => self.answered.clear(),
            Event::Pass(fates) => self.pass(&fates),
        }
    }

    /// One stage of what the manager would send: a step, else what joins.
    fn pass(&mut self, fates: &[Fate]) {
        let plan = self.zone.plan_with(&self.answered);
        let stage = if plan.kinds.is_empty() { plan.joins } else { plan.kinds };
        for (sending, fate) in stage.iter().zip(fates.iter().chain(std::iter::repeat(&Fate::Answered))) {
            let number = sending.host.get();
            if matches!(fate, Fate::Undelivered) || self.zone.send(sending).is_err() {
                continue;
            }
            if matches!(fate, Fate::Answered) || !matches!(sending.request, Request::ChangeKind { .. }) {
                self.apply(number);
            }
            if let (Fate::Answered, Request::ChangeKind { to, step, .. }) = (fate, &sending.request) {
                self.answered.insert(sending.host, (*to, Stage::after_step(*step).unwrap()));
            }
        }
    }

    fn change(&self) -> KindChange {
        let with = Circumstances::default();
        KindChange::new(&self.zone.mesh(), &self.zone.seen(), self.zone.kind.unwrap(), &with.paused)
    }

    /// The first two hosts with tunnels to each other of which one does not hear the other.
    fn deaf(&self) -> Option<(u64, Kinds, u64, Kinds)> {
        let leads = |from: u64, to: u64| {
            let tunnels = self.zone.hosts[&from].bridge.iter().flatten();
            tunnels.filter_map(|(_, end, _)| HostNumber::try_from(end).ok()).any(|end| end.get() == to)
        };
        let pairs = self.applied.iter().flat_map(|one| self.applied.iter().map(move |other| (one, other)));
        let mut meshed = pairs.filter(|((one, _), (other, _))| leads(**one, **other) && leads(**other, **one));
        let deaf = meshed.find(|((_, (sends, _)), (_, (kind, second)))| sends != kind && Some(*sends) != *second);
        deaf.map(|((one, sends), (other, receives))| (*one, *sends, *other, *receives))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_host_hears_every_other_one_at_every_moment(events in prop::collection::vec(any_event(), 1..60)) {
        let mut world = World::new(4);
        for event in events {
            world.happen(event.clone());
            prop_assert_eq!(world.deaf(), None, "after {:?}", event);
        }
        // Once all answer, it comes to its end.
        for machine in world.zone.hosts.values_mut() {
            (machine.is_up, machine.snapshot_given, machine.mode) = (true, true, Mode::Manage);
        }
        for _ in 0..20 {
            world.pass(&[]);
            prop_assert_eq!(world.deaf(), None);
        }
        let wanted = world.zone.kind.unwrap();
        prop_assert!(world.change().is_done(), "{:?}", world.change());
        prop_assert!(world.zone.hosts.values().all(|machine| (machine.kind, machine.second) == (wanted, None)));
        prop_assert!(world.zone.is_exactly_the_mesh());
    }
}

/// Host 4 has written down that it sends by the old kind again, and its Open vSwitch has not followed: host 6, which never heard the new
/// one, is to have no tunnels before it has.
#[test]
fn nobody_joins_before_each_host_has_answered_where_it_is() {
    use Fate::{Answered, Lost, Undelivered};
    let pass = |fates: [Fate; 6]| Event::Pass(fates.to_vec());
    let all = [Answered; 6];
    let mut world = World::new(4);
    for event in [
        Event::Want(Vxlan),
        Event::Join(5),
        pass(all),
        Event::Join(6),
        pass(all),
        pass(all),
        pass([Answered, Answered, Answered, Answered, Answered, Undelivered]),
        Event::Want(Gre),
        pass([Lost, Answered, Answered, Answered, Answered, Answered]),
        pass(all),
        pass([Answered, Answered, Answered, Lost, Answered, Answered]),
        Event::Unseen(1),
        pass(all),
    ] {
        world.happen(event.clone());
        assert_eq!(world.deaf(), None, "after {event:?}");
    }
}

fn steps(zone: &Zone) -> Vec<String> {
    Zone::text(&zone.plan().kinds)
}

/// All do what is planned, and answer.
fn walk(zone: &mut Zone, answered: &mut Answered) -> Vec<String> {
    let change = KindChange::new(&zone.mesh(), &zone.seen(), zone.kind.unwrap(), &zone.with.paused);
    let requests = change.requests(answered);
    for sending in &requests {
        zone.send(sending).unwrap();
        let Request::ChangeKind { to, step, .. } = &sending.request else { panic!("{sending:?}") };
        answered.insert(sending.host, (*to, Stage::after_step(*step).unwrap()));
    }
    Zone::text(&requests)
}

#[test]
fn all_hosts_take_a_step_before_any_takes_the_next() {
    let (mut zone, mut answered) = (Zone::meshed(1..=2), Answered::new());
    zone.kind = Some(Vxlan);
    assert_eq!(walk(&mut zone, &mut answered), ["1 prepare ovt1001 vxlan", "2 prepare ovt1001 vxlan"]);
    assert_eq!(walk(&mut zone, &mut answered), ["1 switch ovt1001 vxlan", "2 switch ovt1001 vxlan"]);
    // Back from there: each has both, and sends by the new one.
    zone.kind = Some(Gre);
    assert_eq!(walk(&mut zone, &mut answered), ["1 prepare ovt1001 gre", "2 prepare ovt1001 gre"], "asked again");
    assert_eq!(walk(&mut zone, &mut answered), ["1 switch ovt1001 gre", "2 switch ovt1001 gre"]);
    assert_eq!(walk(&mut zone, &mut answered), ["1 finish ovt1001 gre", "2 finish ovt1001 gre"]);
    assert_eq!(walk(&mut zone, &mut answered), Vec::<String>::new());
}

#[test]
fn a_new_leader_has_each_host_say_where_it_is() {
    let (mut zone, mut answered) = (Zone::meshed(1..=2), Answered::new());
    zone.kind = Some(Vxlan);
    for _ in 0..2 {
        walk(&mut zone, &mut answered);
    }
    answered.clear();
    assert_eq!(walk(&mut zone, &mut answered), ["1 switch ovt1001 vxlan", "2 switch ovt1001 vxlan"]);
    assert_eq!(walk(&mut zone, &mut answered), ["1 finish ovt1001 vxlan", "2 finish ovt1001 vxlan"]);
}

#[test]
fn it_waits_for_each_host_that_cannot_take_the_step() {
    let cases: [(Harm, Obstacle); 5] = [
        (|machine| machine.is_up = false, Obstacle::Silent),
        (|machine| machine.snapshot_given = false, Obstacle::Unseen),
        (|machine| machine.mode = Mode::Observe, Obstacle::Observed),
        (|machine| machine.is_vpc = true, Obstacle::Vpc("ovt1001".parse().unwrap())),
        (|machine| machine.second = Some(Geneve), Obstacle::OtherChange(Gre, Geneve)),
    ];
    for (harm, obstacle) in cases {
        let mut zone = Zone::meshed(1..=3);
        zone.kind = Some(Vxlan);
        harm(zone.hosts.get_mut(&2).unwrap());
        assert_eq!(steps(&zone), Vec::<String>::new(), "{obstacle:?}");
        assert_eq!(zone.difference().kind.unwrap().waits_for, [(host(2), obstacle)]);
    }
    let mut zone = Zone::meshed(1..=3);
    zone.kind = Some(Vxlan);
    zone.with.paused = [(host(3), Obstacle::Maintenance)].into();
    assert_eq!(steps(&zone), Vec::<String>::new());
    assert_eq!(zone.difference().kind.unwrap().waits_for, [(host(3), Obstacle::Maintenance)]);
}

#[test]
fn it_waits_before_anybody_sends_to_a_port_that_not_all_have() {
    let (mut zone, mut answered) = (Zone::meshed(1..=3), Answered::new());
    zone.kind = Some(Vxlan);
    assert_eq!(walk(&mut zone, &mut answered).len(), 3, "where nobody has it there is no port yet");
    for (number, port) in [(1, 4789), (2, 8472), (3, 4789)] {
        zone.hosts.get_mut(&number).unwrap().ports = [None, Some(port)];
    }
    assert_eq!(walk(&mut zone, &mut answered), Vec::<String>::new());
    assert_eq!(zone.difference().kind.unwrap().waits_for, [(host(2), Obstacle::OtherPort(8472, 4789))]);
    // The way back is open, and so is the way on once all have the same.
    zone.kind = Some(Gre);
    assert!(zone.difference().kind.unwrap().waits_for.is_empty());
    zone.kind = Some(Vxlan);
    zone.hosts.get_mut(&2).unwrap().ports = [None, Some(4789)];
    assert_eq!(walk(&mut zone, &mut answered).len(), 3);
}

#[test]
fn who_has_done_the_step_already_is_not_waited_for() {
    let mut zone = Zone::meshed(1..=3);
    zone.kind = Some(Vxlan);
    let silent = zone.hosts.get_mut(&2).unwrap();
    (silent.second, silent.is_up) = (Some(Vxlan), false);
    let mut answered = Answered::new();
    assert_eq!(walk(&mut zone, &mut answered), ["1 prepare ovt1001 vxlan", "3 prepare ovt1001 vxlan"]);
    assert_eq!(walk(&mut zone, &mut answered), Vec::<String>::new());
    assert_eq!(zone.difference().kind.unwrap().waits_for, [(host(2), Obstacle::Silent)]);
}

#[test]
fn a_bridge_is_made_with_what_the_others_hear() {
    let new = |kinds: [Kinds; 2], wanted| {
        let mut zone = Zone::meshed(1..=2);
        zone.kind = Some(wanted);
        for (number, (kind, second)) in (1..).zip(kinds) {
            let machine = zone.hosts.get_mut(&number).unwrap();
            (machine.kind, machine.second) = (kind, second);
        }
        zone.join(3);
        let made = zone.plan().joins.into_iter().find(|sending| sending.host == host(3)).unwrap();
        let Request::PutBridge { kind, tunnels, .. } = made.request else { panic!("{made:?}") };
        (kind.unwrap(), tunnels.len())
    };
    let (both, turned) = ((Gre, Some(Vxlan)), (Vxlan, Some(Gre)));
    assert_eq!(new([(Gre, None), (Gre, None)], Gre), (Gre, 2));
    assert_eq!(new([(Gre, None), both], Vxlan), (Gre, 2));
    assert_eq!(new([turned, turned], Vxlan), (Vxlan, 2));
    assert_eq!(new([turned, (Vxlan, None)], Vxlan), (Vxlan, 2));
    assert_eq!(new([both, turned], Vxlan), (Gre, 0), "it has to be prepared before it hears both");
}

#[test]
fn the_first_bridge_has_the_kind_that_is_wanted() {
    let mut zone = Zone::empty();
    zone.kind = Some(Geneve);
    zone.join(1);
    zone.settle();
    assert_eq!(zone.hosts[&1].kind, Geneve);
    assert_eq!(zone.plan().sendings().count(), 0);
}

#[test]
fn it_finishes_by_force_where_all_others_are_known() {
    let finish = |stranger: bool| {
        let mut zone = Zone::meshed(1..=2);
        zone.kind = Some(Vxlan);
        for machine in zone.hosts.values_mut() {
            (machine.kind, machine.second) = (Vxlan, Some(Gre));
        }
        if stranger {
            zone.hosts.get_mut(&1).unwrap().add("elsewhere".parse().unwrap(), crate::zone::ip(9));
        }
        let answered = [1, 2].map(|number| (host(number), (Vxlan, Stage::Switched))).into();
        let requests = zone.difference().kind.unwrap().requests(&answered);
        requests
            .into_iter()
            .map(|sending| matches!(sending.request, Request::ChangeKind { force: true, .. }))
            .collect::<Vec<_>>()
    };
    assert_eq!(finish(false), vec![true, true]);
    assert_eq!(finish(true), vec![false, true], "nobody knows by what that one sends");
}
