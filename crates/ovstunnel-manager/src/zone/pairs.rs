//! A network as a picture of all its pairs of hosts, each direction for itself.
//!
//! What it does: says of each direction how it is, by the findings that the network's proof rests on. What it must not do: judge by itself;
//! where no finding is against a tunnel it is proven.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_mesh::proof::{Finding, What};
use ovstunnel_types::{GreKey, HostNumber};

use super::{State, Zone};

/// How one direction between two hosts is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell {
    /// There is no tunnel to be: it is one host, or the two have no network in common.
    Apart,
    /// The tunnel is as it must be.
    Proven,
    /// What its host said is old, or it said nothing.
    Unknown,
    /// The tunnel is there, and its bridge does not carry all frames, or smaller ones.
    Limited,
    /// It is missing while the one in the other direction is there.
    OneSided,
    /// It is missing, down, or not as it must be.
    Bad,
}

impl Cell {
    /// All of tunnels that must be, the worst first.
    pub const ALL: [Cell; 5] = [Cell::Bad, Cell::OneSided, Cell::Limited, Cell::Unknown, Cell::Proven];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Cell::Apart => "apart",
            Cell::Proven => "proven",
            Cell::Unknown => "not known",
            Cell::Limited => "limited",
            Cell::OneSided => "one-sided",
            Cell::Bad => "bad",
        }
    }
}

/// A host of the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name; its number where it is not registered.
    pub host: String,
    /// The rack it is in.
    pub rack: Option<String>,
}

/// All pairs of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairs {
    /// The hosts, by number.
    pub places: Vec<Place>,
    cells: Vec<Cell>,
}

/// Something that is against a tunnel, or against a host that it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairFinding {
    /// A stable word.
    pub what: &'static str,
    /// The host that it is on.
    pub host: String,
    /// What was seen.
    pub evidence: String,
    /// What takes it away.
    pub remedy: String,
}

/// What was found, on which host, and where its tunnel leads.
type Found = (What, HostNumber, Option<HostNumber>);

impl Pairs {
    /// How the direction between the two of these places is.
    pub fn cell_at(&self, from: usize, to: usize) -> Cell {
        self.cells.get(from * self.places.len() + to).copied().unwrap_or(Cell::Apart)
    }

    /// All directions, row by row.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The place of a host.
    pub fn place_of(&self, host: &str) -> Option<usize> {
        self.places.iter().position(|place| place.host == host)
    }

    /// How many directions are so.
    pub fn count_of(&self, cell: Cell) -> usize {
        self.cells.iter().filter(|other| **other == cell).count()
    }

    /// All directions that are not proven: from, to, how.
    pub fn not_proven(&self) -> impl Iterator<Item = (usize, usize, Cell)> + '_ {
        let size = self.places.len().max(1);
        let not_proven = self.cells.iter().enumerate().filter(|(_, cell)| **cell > Cell::Proven);
        not_proven.map(move |(at, cell)| (at / size, at % size, *cell))
    }

    /// Hosts of which the whole row (nothing proven goes out), and those of which the whole column (nothing proven comes in) is not proven.
    pub fn unproven_lines(&self) -> (Vec<usize>, Vec<usize>) {
        let size = self.places.len();
        if size < 3 {
            return (Vec::new(), Vec::new());
        }
        let others = |one: usize| (0..size).filter(move |other| *other != one);
        let out = |from: &usize| others(*from).all(|to| self.cell_at(*from, to) != Cell::Proven);
        let into = |to: &usize| others(*to).all(|from| self.cell_at(from, *to) != Cell::Proven);
        ((0..size).filter(out).collect(), (0..size).filter(into).collect())
    }

    /// A picture of these hosts, with these directions that are not proven.
    #[cfg(test)]
    pub(crate) fn of(places: Vec<Place>, not_proven: &[(usize, usize, Cell)]) -> Pairs {
        let mut pairs = Pairs::apart(places);
        pairs.join(&(0..pairs.places.len()).collect());
        not_proven.iter().for_each(|(from, to, cell)| pairs.worse(*from, *to, *cell));
        pairs
    }

    fn new(places: Vec<Place>, numbers: &[HostNumber], findings: &[Found]) -> Pairs {
        let at: BTreeMap<HostNumber, usize> = numbers.iter().enumerate().map(|(at, number)| (*number, at)).collect();
        let mut pairs = Pairs::apart(places);
        pairs.mesh(&at, numbers, findings);
        pairs
    }

    fn apart(places: Vec<Place>) -> Pairs {
        let size = places.len();
        Pairs { places, cells: vec![Cell::Apart; size * size] }
    }

    /// Tunnels between all of these places.
    fn join(&mut self, members: &BTreeSet<usize>) {
        for from in members {
            members.iter().for_each(|to| self.worse(*from, *to, Cell::Proven));
        }
    }

    /// Adds the mesh of these hosts, with what was found against it.
    fn mesh(&mut self, at: &BTreeMap<HostNumber, usize>, members: &[HostNumber], findings: &[Found]) {
        let members: BTreeSet<usize> = members.iter().filter_map(|number| at.get(number).copied()).collect();
        self.join(&members);
        // What leads elsewhere is no pair of this mesh.
        let place = |number: &HostNumber| at.get(number).copied().filter(|at| members.contains(at));
        let mut missing = Vec::new();
        for (what, host, to) in findings {
            let Some(from) = place(host) else { continue };
            match (to.map(|to| place(&to)), of_host(*what)) {
                (Some(Some(to)), _) if *what == What::TunnelMissing => missing.push((from, to)),
                (Some(Some(to)), _) => self.worse(from, to, Cell::Bad),
                (Some(None), _) => {}
                (None, cell) => members.iter().for_each(|to| self.worse(from, *to, cell)),
            }
            if *what == What::AddressUnknown {
                members.iter().for_each(|other| self.worse(*other, from, Cell::Unknown));
            }
        }
        let gone: BTreeSet<(usize, usize)> = missing.into_iter().collect();
        for (from, to) in &gone {
            let is_back = !gone.contains(&(*to, *from)) && self.cell_at(*to, *from) <= Cell::Limited;
            self.worse(*from, *to, if is_back { Cell::OneSided } else { Cell::Bad });
        }
    }

    fn worse(&mut self, from: usize, to: usize, cell: Cell) {
        if from != to {
            let there = &mut self.cells[from * self.places.len() + to];
            *there = cell.max(*there);
        }
    }
}

/// How the tunnels of a host are with which this is wrong.
fn of_host(what: What) -> Cell {
    match what {
        What::HostUnknown | What::HostUnseen | What::HostSilent | What::SwitchUnreachable | What::AddressUnknown => {
            Cell::Unknown
        }
        What::BridgeMissing | What::SeveralBridges | What::KindMixed => Cell::Bad,
        _ => Cell::Limited,
    }
}

impl State {
    /// All that is against a network, as its last proof saw it.
    fn findings(&self, key: GreKey) -> impl Iterator<Item = &Finding> {
        let known = self.networks.get(&key).into_iter();
        let whole_mesh = known.clone().flat_map(|known| known.proof.findings.iter());
        let is_together = |what| matches!(what, What::KindMixed | What::MtuSmall | What::MtuMixed | What::Ipv6Mixed);
        let together = whole_mesh.filter(move |finding| is_together(finding.what));
        let own = known.flat_map(|known| self.prover.findings_of(known.mesh.network));
        own.chain(together)
    }
}

impl State {
    fn place_of(&self, number: HostNumber) -> Place {
        let rack = self.hosts.get(&number).and_then(|host| host.row.rack.clone());
        Place { host: self.name_of(number), rack }
    }

    /// The hosts of a network, and what is against it.
    fn mesh_of(&self, key: GreKey) -> Option<(Vec<HostNumber>, Vec<Found>)> {
        let members = self.networks.get(&key)?.mesh.members().collect();
        Some((members, self.findings(key).map(|found| (found.what, found.host, found.to)).collect()))
    }
}

impl Zone {
    /// All pairs of all hosts: each direction as it is in the network in which it is worst.
    pub fn all_pairs(&self) -> Pairs {
        let (places, at, meshes) = {
            let state = self.lock_state();
            let keys: Vec<GreKey> = state.networks.keys().copied().collect();
            let meshes: Vec<_> = keys.into_iter().filter_map(|key| state.mesh_of(key)).collect();
            let members = meshes.iter().flat_map(|(members, _)| members).copied();
            let numbers: BTreeSet<HostNumber> = state.hosts.keys().copied().chain(members).collect();
            let places: Vec<Place> = numbers.iter().map(|number| state.place_of(*number)).collect();
            let at: BTreeMap<HostNumber, usize> = numbers.into_iter().enumerate().map(|(at, n)| (n, at)).collect();
            (places, at, meshes)
        };
        let mut pairs = Pairs::apart(places);
        meshes.iter().for_each(|(members, findings)| pairs.mesh(&at, members, findings));
        pairs
    }

    /// All pairs of a network, as its last proof saw them; none where there is no such network.
    pub fn pairs(&self, key: GreKey) -> Option<Pairs> {
        let (places, numbers, findings) = {
            let state = self.lock_state();
            let (numbers, findings) = state.mesh_of(key)?;
            let places: Vec<Place> = numbers.iter().map(|number| state.place_of(*number)).collect();
            (places, numbers, findings)
        };
        Some(Pairs::new(places, &numbers, &findings))
    }

    /// What is against the tunnel from one host to another, and against the host that has it.
    pub fn pair_findings(&self, key: GreKey, from: &str, to: &str) -> Vec<PairFinding> {
        let state = self.lock_state();
        let (Some(from), Some(to)) = (state.names.get(from), state.names.get(to)) else { return Vec::new() };
        let of_pair = |finding: &&Finding| match finding.to {
            Some(other) => finding.host == *from && other == *to,
            None => finding.host == *from || (finding.host == *to && finding.what == What::AddressUnknown),
        };
        let told = |finding: &Finding| PairFinding {
            what: finding.what.as_str(),
            host: state.name_of(finding.host),
            evidence: finding.evidence.clone(),
            remedy: finding.remedy.clone(),
        };
        let mut found: Vec<PairFinding> = state.findings(key).filter(of_pair).map(told).collect();
        // What only all hosts together can tell may stand in a host's own part, too.
        found.dedup();
        found
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn number(n: u64) -> HostNumber {
        n.try_into().unwrap()
    }

    fn pairs(findings: &[(What, u64, Option<u64>)]) -> Pairs {
        let numbers: Vec<HostNumber> = (1..=3).map(number).collect();
        let places = (1..=3).map(|n| Place { host: format!("h{n}"), rack: None }).collect();
        let findings: Vec<_> = findings.iter().map(|(what, host, to)| (*what, number(*host), to.map(number))).collect();
        Pairs::new(places, &numbers, &findings)
    }

    #[test]
    fn each_direction_is_a_cell_of_its_own() {
        let one = pairs(&[(What::TunnelMissing, 1, Some(2))]);
        assert_eq!(
            (one.cell_at(0, 1), one.cell_at(1, 0), one.count_of(Cell::Proven)),
            (Cell::OneSided, Cell::Proven, 5)
        );
        let both = pairs(&[(What::TunnelMissing, 1, Some(2)), (What::TunnelMissing, 2, Some(1))]);
        assert_eq!((both.cell_at(0, 1), both.cell_at(1, 0), both.count_of(Cell::Bad)), (Cell::Bad, Cell::Bad, 2));
        assert_eq!(pairs(&[(What::TunnelTooMany, 1, Some(9))]).not_proven().count(), 0, "not a pair of the mesh");
    }

    #[test]
    fn of_the_zone_a_direction_is_as_where_it_is_worst() {
        let numbers: BTreeMap<HostNumber, usize> = (1..=4).map(|n| (number(n), n as usize - 1)).collect();
        let places = (1..=4).map(|n| Place { host: format!("h{n}"), rack: None }).collect();
        let mut zone = Pairs::apart(places);
        let found = |what, host, to: Option<u64>| (what, number(host), to.map(number));
        let members = |all: [u64; 3]| all.map(number);
        zone.mesh(
            &numbers,
            &members([1, 2, 3]),
            &[found(What::MtuSmall, 1, None), found(What::TunnelDown, 3, Some(4))],
        );
        zone.mesh(&numbers, &members([2, 3, 4]), &[found(What::TunnelMissing, 2, Some(3))]);
        assert_eq!(
            [zone.cell_at(0, 1), zone.cell_at(1, 2), zone.cell_at(2, 1)],
            [Cell::Limited, Cell::OneSided, Cell::Proven]
        );
        assert_eq!(
            [zone.cell_at(0, 3), zone.cell_at(2, 3), zone.cell_at(0, 0)],
            [Cell::Apart, Cell::Proven, Cell::Apart]
        );
    }

    #[test]
    fn a_host_that_sends_nothing_is_a_row_without_address_a_column() {
        let silent = pairs(&[(What::HostSilent, 2, None), (What::TunnelDown, 2, Some(3))]);
        assert_eq!(
            (silent.cell_at(1, 0), silent.cell_at(1, 2), silent.cell_at(0, 1)),
            (Cell::Unknown, Cell::Bad, Cell::Proven)
        );
        assert_eq!(silent.unproven_lines(), (vec![1], vec![]));
        let nowhere = pairs(&[(What::AddressUnknown, 3, None)]);
        assert_eq!((nowhere.cell_at(0, 2), nowhere.count_of(Cell::Unknown)), (Cell::Unknown, 4));
        assert_eq!(nowhere.unproven_lines(), (vec![2], vec![2]));
        assert_eq!(pairs(&[(What::MtuMixed, 1, None)]).count_of(Cell::Limited), 2);
    }
}
