//! Addresses of VMs for which the switch answers, so that a request for one of them is not flooded (docs/adr/0063-answers-at-the-source-host.md).
//!
//! What it does: the record of the addresses that were told, and of those withdrawn since; which flows that takes, [`arp`] and [`discovery`] make.
//! What it must not do: know how a request is answered.

mod arp;
mod discovery;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};

use crate::{
    Action, Cookie, DesiredBridge, Flow, FlowsSeen, Ipv6Policy, Learn, Mac, Match, Nic, ObservedBridge, Purpose,
    Settings, ids,
};

/// The tables: who says that an address is his; what is withdrawn; who has asked lately; the answers; the end of an answer by neighbour
/// discovery.
const WATCH: u8 = 10;
const WITHDRAWN: u8 = Learn::Withdrawn(Cookie(0)).table();
const ASKED: u8 = Learn::Asked.table();
const ANSWER: u8 = 13;
const ADVERTISE: u8 = 14;

/// How far a packet has come: it was looked at; it goes on as if nobody answered.
const SEEN: u32 = 1;
const GOES_ON: u32 = Learn::GOES_ON;

/// Whether a printed flow is one that the switch makes of each request that it answers, and forgets.
pub fn is_of_an_answer(line: &str) -> bool {
    line.strip_prefix("table_id=")
        .and_then(|rest| rest.split_once(','))
        .is_some_and(|(table, _)| table.parse() == Ok(ASKED))
}

/// Addresses of VMs that somebody has told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// Counts how often they were told: what was withdrawn of an earlier list is nothing to this one. At most 24 bits.
    pub generation: u32,
    /// The Ethernet address of the card that has each address.
    pub known: BTreeMap<IpAddr, Mac>,
    /// Those of them for which somebody else has been seen.
    pub withdrawn: BTreeSet<IpAddr>,
}

impl Neighbours {
    /// The rule for an address.
    pub const ADDRESS: &'static str = "must be an IPv4 address that a VM can have, such as 10.1.1.7, or a global or unique local IPv6 address, such as fd00::7";

    /// The highest generation.
    const LAST: u32 = 0x00ff_ffff;

    /// The same told anew. With the same addresses nothing is withdrawn any more; with others, what is of both lists stays withdrawn:
    /// that somebody new has come says nothing of the others.
    #[must_use]
    pub(crate) fn told_anew(mut self, known: &BTreeMap<IpAddr, Mac>, observed: Option<&ObservedBridge>) -> Self {
        observed.iter().for_each(|observed| self.add_recorded(observed));
        if self.known == *known && self.withdrawn.is_empty() {
            return self;
        }
        let generation = self.generation % Self::LAST + 1;
        let is_of_both = |ip: &IpAddr| known.get(ip) == self.known.get(ip);
        let withdrawn = match self.known == *known {
            true => BTreeSet::new(),
            false => self.withdrawn.iter().copied().filter(is_of_both).collect(),
        };
        Neighbours { generation, known: known.clone(), withdrawn }
    }

    /// What the marks of a bridge record.
    pub(crate) fn from_record(bridge: &ObservedBridge) -> Self {
        let Some((generation, known)) = read_mark(bridge, ids::NEIGHBOURS) else { return Neighbours::default() };
        let pair = |text: &str| text.split_once('=').and_then(|(ip, mac)| Some((ip.parse().ok()?, mac.parse().ok()?)));
        let mut recorded =
            Neighbours { generation, known: known.filter_map(pair).collect(), withdrawn: BTreeSet::new() };
        recorded.add_recorded(bridge);
        recorded
    }

    /// The marks of the bridge.
    pub(crate) fn marks(&self) -> [(&'static str, Option<String>); 2] {
        let pairs: Vec<String> = self.known.iter().map(|(ip, mac)| format!("{ip}={mac}")).collect();
        [(ids::NEIGHBOURS, self.mark(&pairs)), (ids::WITHDRAWN, self.mark(&self.withdrawn))]
    }

    fn mark<T: Display>(&self, items: impl IntoIterator<Item = T>) -> Option<String> {
        let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
        (!items.is_empty()).then(|| format!("{} {}", self.generation, items.join(" ")))
    }

    /// With what the record and the switch say is withdrawn: the record is older than what is remembered where the switch has seen
    /// somebody else since.
    #[must_use]
    pub fn settled(mut self, observed: &ObservedBridge, seen: &FlowsSeen) -> Self {
        self.add_recorded(observed);
        if let FlowsSeen::Known { flows, .. } = seen {
            let cookie = self.withdrawn_cookie();
            let ours = flows.iter().filter(|flow| flow.cookie == cookie);
            self.withdrawn.extend(ours.filter_map(|flow| asked_for(&flow.matches)));
        }
        let known = &self.known;
        self.withdrawn.retain(|ip| known.contains_key(ip));
        self
    }

    fn add_recorded(&mut self, bridge: &ObservedBridge) {
        let Some((generation, withdrawn)) = read_mark(bridge, ids::WITHDRAWN) else { return };
        if generation == self.generation {
            self.withdrawn.extend(withdrawn.filter_map(|ip| ip.parse::<IpAddr>().ok()));
        }
    }

    fn withdrawn_cookie(&self) -> Cookie {
        Cookie::new(Purpose::Withdrawn, self.generation)
    }

    /// The flows by which requests of these VIFs are answered; none where no address is known. On the bridge of a VPC each VIF is in a
    /// tier, as each IPv4 address is. Where IPv6 is dropped, nobody asks for such an address.
    pub(crate) fn flows(
        &self,
        vifs: impl IntoIterator<Item = (u32, Option<u32>)>,
        tiers: &BTreeMap<Ipv4Addr, u32>,
        with_ipv6: bool,
    ) -> BTreeSet<Flow> {
        let known: Vec<(IpAddr, Mac)> = self.answerable(with_ipv6).map(|(ip, mac)| (*ip, *mac)).collect();
        if known.is_empty() {
            return BTreeSet::new();
        }
        let mut flows: BTreeSet<Flow> = [goes_on(1, Match::default())].into();
        let (of_arp, of_discovery) =
            (known.iter().any(|(ip, _)| ip.is_ipv4()), known.iter().any(|(ip, _)| ip.is_ipv6()));
        let vifs: Vec<(u32, Option<u32>)> = vifs.into_iter().collect();
        if of_arp {
            flows.extend(arp::common());
            flows.extend(vifs.iter().copied().map(arp::ask));
        }
        if of_discovery {
            flows.extend(discovery::common());
            flows.extend(vifs.iter().map(|(port, _)| discovery::ask(*port)));
        }
        for (ip, mac) in known {
            match ip {
                IpAddr::V4(ip) => {
                    flows.extend(arp::watch(ip, mac, self.withdrawn_cookie()));
                    flows.extend(arp::answer(ip, mac, tiers.get(&ip).copied()));
                }
                IpAddr::V6(ip) => {
                    flows.extend(discovery::watch(ip, mac, self.withdrawn_cookie()));
                    flows.extend(discovery::answer(ip, mac));
                }
            }
        }
        flows.extend(self.withdrawn.iter().filter(|ip| with_ipv6 || ip.is_ipv4()).map(|ip| self.withdraw(*ip)));
        flows
    }

    /// The addresses that a bridge can answer for.
    fn answerable(&self, with_ipv6: bool) -> impl Iterator<Item = (&IpAddr, &Mac)> {
        self.known.iter().filter(move |(ip, _)| with_ipv6 || ip.is_ipv4())
    }

    /// The flow that the switch makes by itself, as it is put back from the record.
    fn withdraw(&self, ip: IpAddr) -> Flow {
        let matches = match ip {
            IpAddr::V4(ip) => arp::asking_for(ip),
            IpAddr::V6(ip) => discovery::asking_for(ip),
        };
        let (cookie, actions) = (self.withdrawn_cookie(), vec![Action::SetStage(GOES_ON)]);
        Flow { table: WITHDRAWN, priority: Learn::PRIORITY, cookie, matches, actions }
    }
}

/// The address that is asked for by what matches.
fn asked_for(matches: &Match) -> Option<IpAddr> {
    let of_arp = matches.arp.and_then(|arp| arp.target_ip).map(IpAddr::from);
    of_arp.or_else(|| matches.ipv6.and_then(|ipv6| ipv6.discovery.target).map(IpAddr::from))
}

/// A mark's number and the words behind it; nothing where there is none that can be read.
fn read_mark<'a>(bridge: &'a ObservedBridge, key: &str) -> Option<(u32, impl Iterator<Item = &'a str>)> {
    let mut words = bridge.external_ids.get(key)?.split(' ');
    let generation = words.next()?.parse().ok().filter(|number| *number <= Neighbours::LAST)?;
    Some((generation, words))
}

/// The part of an address that its cookie has.
fn number_of(ip: IpAddr) -> u32 {
    let bits = match ip {
        IpAddr::V4(ip) => ip.to_bits(),
        IpAddr::V6(ip) => {
            let [.., a, b, c, d] = ip.octets();
            u32::from_be_bytes([a, b, c, d])
        }
    };
    bits & Neighbours::LAST
}

/// Each such packet is looked at first, and then goes the way of all frames.
fn enter(matches: Match) -> Flow {
    let tables = [WATCH, WITHDRAWN, ASKED, 0].map(Action::Resubmit);
    let actions = std::iter::once(Action::SetStage(SEEN)).chain(tables).collect();
    Flow::of_entry(1260, Purpose::Watch, 0, matches, actions)
}

/// Has a request go the way of all frames.
fn goes_on(priority: u16, matches: Match) -> Flow {
    let actions = vec![Action::SetStage(GOES_ON), Action::Resubmit(0)];
    Flow { table: ANSWER, priority, cookie: Cookie::new(Purpose::Answer, 0), matches, actions }
}

/// What of an address is watched: who says that it is his, and what follows.
fn watched(priority: u16, ip: IpAddr, matches: Match, actions: Vec<Action>) -> Flow {
    Flow { table: WATCH, priority, cookie: Cookie::new(Purpose::Watch, number_of(ip)), matches, actions }
}

/// An answer for an address, and that what its owner asks for himself is announced: that goes on.
fn answered(ip: IpAddr, owner: Match, asks: Match, actions: Vec<Action>) -> [Flow; 2] {
    let cookie = Cookie::new(Purpose::Answer, number_of(ip));
    [Flow { cookie, ..goes_on(1100, owner) }, Flow { table: ANSWER, priority: 1000, cookie, matches: asks, actions }]
}

impl DesiredBridge {
    /// Whether its switch can answer for IPv6 addresses: IPv6 passes, and the datapath is that of user space. The kernel's refuses to
    /// set what makes a solicitation an advertisement (docs/ovs-facts.md).
    pub fn answers_ipv6(&self, datapath_type: &str) -> bool {
        self.ipv6 == Ipv6Policy::Allow && datapath_type == "netdev"
    }

    /// The addresses for which its switch answers: those that it was told, or those of the cards in a VPC's topology, of which each is a list
    /// of its own.
    pub fn answered(&self) -> Neighbours {
        let Some(vpc) = self.kind.vpc() else { return self.neighbours.clone() };
        let Some(topology) = &vpc.topology else { return Neighbours::default() };
        let generation = u32::try_from(topology.sequence & u64::from(Neighbours::LAST)).unwrap_or_default();
        let known = self.cards().map(|(ip, nic)| (ip.into(), nic.mac)).collect();
        let same = generation == self.neighbours.generation;
        let withdrawn = if same { self.neighbours.withdrawn.clone() } else { BTreeSet::new() };
        Neighbours { generation, known, withdrawn }
    }

    /// The cards of a VPC that alone have their address.
    fn cards(&self) -> impl Iterator<Item = (Ipv4Addr, &Nic)> {
        let topology = self.kind.vpc().and_then(|vpc| vpc.topology.as_ref());
        let nics = topology.into_iter().flat_map(|topology| &topology.value.nics);
        let mut by_ip: BTreeMap<Ipv4Addr, Vec<&Nic>> = BTreeMap::new();
        nics.filter_map(|nic| Some((nic.ip?, nic))).for_each(|(ip, nic)| by_ip.entry(ip).or_default().push(nic));
        let alone = |(ip, nics): (Ipv4Addr, Vec<_>)| if let [nic] = nics[..] { Some((ip, nic)) } else { None };
        by_ip.into_iter().filter_map(alone)
    }

    /// The tier of each address of a VPC.
    pub(crate) fn tiers_by_ip(&self) -> BTreeMap<Ipv4Addr, u32> {
        self.cards().map(|(ip, nic)| (ip, nic.tier.get())).collect()
    }

    /// The bridge with what is withdrawn by now, where that is more than it is remembered with: the record follows the switch.
    pub(crate) fn settled(&self, observed: &ObservedBridge, seen: &FlowsSeen, settings: &Settings) -> Cow<'_, Self> {
        if self.kind.vpc().is_some() && !settings.answer_neighbours {
            return Cow::Borrowed(self);
        }
        let mut neighbours = self.answered().settled(observed, seen);
        if self.kind.vpc().is_some() {
            // These are recorded with the topology.
            neighbours.known.clear();
        }
        match neighbours == self.neighbours {
            true => Cow::Borrowed(self),
            false => Cow::Owned(DesiredBridge { neighbours, ..self.clone() }),
        }
    }
}
