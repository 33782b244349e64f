//! Which few places explain that tunnels fail: a host, a rack, a pair, one direction, a network.
//!
//! What it does: a greedy set cover over the tunnels that fail. A place is suspected only where nine of ten of all its tunnels fail; else
//! smaller places are. What it must not do: know why a tunnel fails.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use ovstunnel_types::{GreKey, HostNumber};

use crate::Mesh;

/// A tunnel: one direction between two hosts in one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Way {
    /// The network's key.
    pub key: GreKey,
    /// The host that sends.
    pub from: HostNumber,
    /// The host that receives.
    pub to: HostNumber,
}

/// Where something is wrong. Of several that explain the same, the first one of these is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// All that two hosts send to each other.
    Pair(HostNumber, HostNumber),
    /// One tunnel.
    Way(Way),
    /// All that one host sends to another one.
    Direction(HostNumber, HostNumber),
    /// What two hosts send to each other in one network.
    Link(GreKey, HostNumber, HostNumber),
    /// All of one network.
    Network(GreKey),
    /// All that a host sends.
    HostOut(HostNumber),
    /// All that a host receives.
    HostIn(HostNumber),
    /// All that a host sends and receives.
    Host(HostNumber),
    /// All between the hosts of two racks; racks as [`Shape::rack_name`] names them.
    RackPair(usize, usize),
    /// All between the hosts of a rack and those outside it.
    Rack(usize),
}

/// Which host is in which networks and in which rack: how many tunnels there are at each place.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    members: BTreeMap<GreKey, Vec<HostNumber>>,
    keys: BTreeMap<HostNumber, BTreeSet<GreKey>>,
    rack_of: BTreeMap<HostNumber, usize>,
    racks: Vec<String>,
}

impl Shape {
    /// The zone's networks, and the racks of those hosts that have one.
    pub fn new<'a>(
        meshes: impl Iterator<Item = &'a Mesh>,
        racks: impl Iterator<Item = (HostNumber, &'a str)>,
    ) -> Shape {
        let mut shape = Shape::default();
        for mesh in meshes {
            shape.members.insert(mesh.key, mesh.members().collect());
            mesh.members().for_each(|host| {
                shape.keys.entry(host).or_default().insert(mesh.key);
            });
        }
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for (host, rack) in racks {
            let next = known.len();
            let index = *known.entry(rack).or_insert(next);
            if index == shape.racks.len() {
                shape.racks.push(rack.to_owned());
            }
            shape.rack_of.insert(host, index);
        }
        shape
    }

    /// A rack's name.
    pub fn rack_name(&self, index: usize) -> &str {
        &self.racks[index]
    }

    /// The keys of a host's networks.
    pub fn keys_of(&self, host: HostNumber) -> impl Iterator<Item = GreKey> + '_ {
        self.keys.get(&host).into_iter().flatten().copied()
    }

    fn network_size(&self, key: GreKey) -> u64 {
        self.members.get(&key).map_or(0, |hosts| hosts.len() as u64)
    }

    fn from(&self, host: HostNumber) -> u64 {
        self.keys_of(host).map(|key| self.network_size(key).saturating_sub(1)).sum()
    }

    fn shared_networks(&self, one: HostNumber, other: HostNumber) -> u64 {
        self.keys_of(one).filter(|key| self.keys.get(&other).is_some_and(|keys| keys.contains(key))).count() as u64
    }

    /// Of each network how many hosts are in these racks.
    fn sum_networks(&self, count: impl Fn(&dyn Fn(usize) -> u64, u64) -> u64) -> u64 {
        let of = |hosts: &Vec<HostNumber>| {
            let within = |rack| hosts.iter().filter(|host| self.rack_of.get(host) == Some(&rack)).count() as u64;
            count(&within, hosts.len() as u64)
        };
        self.members.values().map(of).sum()
    }

    /// How many tunnels there must be at a place.
    pub(super) fn tunnels_at(&self, place: Place) -> u64 {
        match place {
            Place::Way(_) => 1,
            Place::Link(..) => 2,
            Place::Pair(one, other) => 2 * self.shared_networks(one, other),
            Place::Direction(from, to) => self.shared_networks(from, to),
            Place::Network(key) => self.network_size(key) * self.network_size(key).saturating_sub(1),
            Place::HostOut(host) | Place::HostIn(host) => self.from(host),
            Place::Host(host) => 2 * self.from(host),
            Place::RackPair(one, other) => self.sum_networks(|within, _| 2 * within(one) * within(other)),
            Place::Rack(rack) => self.sum_networks(|within, all| 2 * within(rack) * (all - within(rack))),
        }
    }

    /// The places that a tunnel is of.
    pub(super) fn places_of(&self, way: Way) -> impl Iterator<Item = Place> {
        let Way { key, from, to } = way;
        let (low, high) = (from.min(to), from.max(to));
        let racks = match (self.rack_of.get(&from), self.rack_of.get(&to)) {
            (Some(one), Some(other)) if one != other => {
                vec![Place::RackPair(*one.min(other), *one.max(other)), Place::Rack(*one), Place::Rack(*other)]
            }
            (Some(one), None) | (None, Some(one)) => vec![Place::Rack(*one)],
            _ => Vec::new(),
        };
        let hosts = [Place::HostOut(from), Place::HostIn(to), Place::Host(from), Place::Host(to)];
        let small = [
            Place::Way(way),
            Place::Direction(from, to),
            Place::Link(key, low, high),
            Place::Pair(low, high),
            Place::Network(key),
        ];
        small.into_iter().chain(hosts).chain(racks)
    }

    /// Whether enough different hosts tell of a place that it, and nothing smaller, is the reason.
    fn is_told_by_enough(&self, place: Place, ways: &[Way]) -> bool {
        let ends = |of: &dyn Fn(&Way) -> HostNumber| ways.iter().map(of).collect::<BTreeSet<_>>();
        let both = || ways.iter().flat_map(|way| [way.from, way.to]).collect::<BTreeSet<_>>();
        let in_rack = |host: &HostNumber, rack| self.rack_of.get(host) == Some(&rack);
        match place {
            Place::HostOut(_) => ends(&|way| way.to).len() >= 2,
            Place::HostIn(_) => ends(&|way| way.from).len() >= 2,
            // Two hosts beside itself.
            Place::Host(_) | Place::Network(_) => both().len() >= 3,
            Place::RackPair(..) | Place::Rack(_) => {
                let inside = |rack| both().iter().filter(|host| in_rack(host, rack)).count();
                match place {
                    Place::RackPair(one, other) => inside(one) >= 2 && inside(other) >= 2,
                    Place::Rack(rack) => inside(rack) >= 2 && both().len() - inside(rack) >= 2,
                    _ => true,
                }
            }
            _ => true,
        }
    }
}

/// A place that explains why tunnels fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suspect {
    pub place: Place,
    /// The tunnels that it explains and that no suspect before it does.
    pub ways: Vec<Way>,
    /// How many of its tunnels fail.
    pub failed: u64,
    /// How many tunnels it has.
    pub of: u64,
}

/// How many of ten tunnels of a place must fail.
const NINE: u64 = 9;

/// Explains all tunnels that fail by few places.
pub(super) fn explain_failures(failed: &BTreeSet<Way>, shape: &Shape) -> Vec<Suspect> {
    let mut of: HashMap<Place, Vec<Way>> = HashMap::new();
    for way in failed {
        shape.places_of(*way).for_each(|place| of.entry(place).or_default().push(*way));
    }
    let candidates: HashMap<Place, (Vec<Way>, u64)> = of
        .into_iter()
        .filter_map(|(place, ways)| {
            let all = shape.tunnels_at(place);
            let is_suspect = ways.len() as u64 * 10 >= all * NINE && shape.is_told_by_enough(place, &ways);
            (is_suspect || matches!(place, Place::Way(_))).then_some((place, (ways, all)))
        })
        .collect();
    let mut remaining: HashMap<Place, usize> =
        candidates.iter().map(|(place, (ways, _))| (*place, ways.len())).collect();
    let smaller_first = |place: Place| (std::cmp::Reverse(candidates[&place].1), std::cmp::Reverse(place));
    let mut heap: BinaryHeap<_> =
        remaining.iter().map(|(place, explains)| (*explains, smaller_first(*place), *place)).collect();
    let (mut open, mut suspects) = (failed.clone(), Vec::new());
    while let Some((explains, order, place)) = heap.pop() {
        match remaining[&place] {
            0 => {}
            now if now < explains => heap.push((now, order, place)),
            _ => {
                let (ways, all) = &candidates[&place];
                let explained: Vec<Way> = ways.iter().filter(|way| open.remove(way)).copied().collect();
                for other in explained.iter().flat_map(|way| shape.places_of(*way)) {
                    if let Some(left) = remaining.get_mut(&other) {
                        *left -= 1;
                    }
                }
                suspects.push(Suspect { place, ways: explained, failed: ways.len() as u64, of: *all });
            }
        }
    }
    suspects
}
