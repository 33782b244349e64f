//! Addresses of VMs for which the switch answers, so that a request for one of them is not flooded (docs/adr/0063-answers-at-the-source-host.md).
//!
//! What it does: the record of the addresses that were told, and of those withdrawn since; the flows that answer a VIF's ARP requests, that
//! watch who else has such an address, and that flood as ever for what is withdrawn. What it must not do: say where a frame goes, or answer
//! what came by a tunnel or an uplink.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::Ipv4Addr;

use crate::{
    Action, ArpMatch, Cookie, DesiredBridge, Flow, FlowsSeen, Learn, Mac, MacMatch, Match, Moved, Nic, ObservedBridge,
    Purpose, Settings, ids,
};

/// The tables: who says that an address is his; what is withdrawn; who has asked lately; the answers.
const WATCH: u8 = 10;
const WITHDRAWN: u8 = Learn::Withdrawn(Cookie(0)).table();
const ASKED: u8 = Learn::Asked.table();
const ANSWER: u8 = 13;

/// How far an ARP packet has come: it was looked at; it goes on as if nobody answered.
const SEEN: u32 = 1;
const GOES_ON: u32 = Learn::GOES_ON;

const REQUEST: u8 = 1;

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
    pub known: BTreeMap<Ipv4Addr, Mac>,
    /// Those of them for which somebody else has been seen.
    pub withdrawn: BTreeSet<Ipv4Addr>,
}

impl Neighbours {
    /// The rule for an address.
    pub const ADDRESS: &'static str = "must be an IPv4 address that a VM can have, such as 10.1.1.7";

    /// The highest generation.
    const LAST: u32 = 0x00ff_ffff;

    /// The same told anew. With the same addresses nothing is withdrawn any more; with others, what is of both lists stays withdrawn:
    /// that somebody new has come says nothing of the others.
    #[must_use]
    pub(crate) fn told_anew(mut self, known: &BTreeMap<Ipv4Addr, Mac>, observed: Option<&ObservedBridge>) -> Self {
        observed.iter().for_each(|observed| self.add_recorded(observed));
        if self.known == *known && self.withdrawn.is_empty() {
            return self;
        }
        let generation = self.generation % Self::LAST + 1;
        let is_of_both = |ip: &Ipv4Addr| known.get(ip) == self.known.get(ip);
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
            self.withdrawn.extend(ours.filter_map(|flow| flow.matches.arp.and_then(|arp| arp.target_ip)));
        }
        let known = &self.known;
        self.withdrawn.retain(|ip| known.contains_key(ip));
        self
    }

    fn add_recorded(&mut self, bridge: &ObservedBridge) {
        let Some((generation, withdrawn)) = read_mark(bridge, ids::WITHDRAWN) else { return };
        if generation == self.generation {
            self.withdrawn.extend(withdrawn.filter_map(|ip| ip.parse::<Ipv4Addr>().ok()));
        }
    }

    fn withdrawn_cookie(&self) -> Cookie {
        Cookie::new(Purpose::Withdrawn, self.generation)
    }

    /// The flows by which requests of these VIFs are answered; none where no address is known. On the bridge of a VPC each VIF is in a
    /// tier, as each address is.
    pub(crate) fn flows(
        &self,
        vifs: impl IntoIterator<Item = (u32, Option<u32>)>,
        tiers: &BTreeMap<Ipv4Addr, u32>,
    ) -> BTreeSet<Flow> {
        if self.known.is_empty() {
            return BTreeSet::new();
        }
        let mut flows: BTreeSet<Flow> = [enter(), goes_on(1300, probe()), goes_on(1, Match::default())].into();
        flows.extend(vifs.into_iter().map(ask));
        for (ip, mac) in &self.known {
            flows.extend(self.watch(*ip, *mac));
            flows.extend(answer(*ip, *mac, tiers.get(ip).copied()));
        }
        flows.extend(self.withdrawn.iter().map(|ip| self.withdraw(*ip)));
        flows
    }

    /// Who says that an address is his: the one who is known has it, and of anybody else a flow is made.
    fn watch(&self, ip: Ipv4Addr, mac: Mac) -> [Flow; 2] {
        let cookie = Cookie::new(Purpose::Watch, number_of(ip));
        let says = ArpMatch { sender_ip: Some(ip), ..ArpMatch::default() };
        let owner = ArpMatch { sender_mac: Some(mac), ..says };
        let learn = Action::Learn(Learn::Withdrawn(self.withdrawn_cookie()));
        [
            Flow { table: WATCH, priority: 1100, cookie, matches: of_arp(owner), actions: vec![] },
            // He is heard on every host: what he asks for is not answered here.
            Flow {
                table: WATCH,
                priority: 1000,
                cookie,
                matches: of_arp(says),
                actions: vec![learn, Action::SetStage(GOES_ON)],
            },
        ]
    }

    /// The flow that the switch makes by itself, as it is put back from the record.
    fn withdraw(&self, ip: Ipv4Addr) -> Flow {
        let matches = of_arp(ArpMatch { target_ip: Some(ip), ..ArpMatch::default() });
        let (cookie, actions) = (self.withdrawn_cookie(), vec![Action::SetStage(GOES_ON)]);
        Flow { table: WITHDRAWN, priority: Learn::PRIORITY, cookie, matches, actions }
    }
}

/// A mark's number and the words behind it; nothing where there is none that can be read.
fn read_mark<'a>(bridge: &'a ObservedBridge, key: &str) -> Option<(u32, impl Iterator<Item = &'a str>)> {
    let mut words = bridge.external_ids.get(key)?.split(' ');
    let generation = words.next()?.parse().ok().filter(|number| *number <= Neighbours::LAST)?;
    Some((generation, words))
}

/// The part of an address that its cookie has.
fn number_of(ip: Ipv4Addr) -> u32 {
    ip.to_bits() & Neighbours::LAST
}

fn of_arp(arp: ArpMatch) -> Match {
    Match { arp: Some(arp), ..Match::default() }
}

/// Each ARP packet without a VLAN tag is looked at first, and then goes the way of all frames.
fn enter() -> Flow {
    let matches = Match { stage: Some(0), untagged: true, ..of_arp(ArpMatch::default()) };
    let tables = [WATCH, WITHDRAWN, ASKED, 0].map(Action::Resubmit);
    let actions = std::iter::once(Action::SetStage(SEEN)).chain(tables).collect();
    Flow::of_entry(1260, Purpose::Watch, 0, matches, actions)
}

/// Broadcast requests from a VIF are answered, unless one of the tables before has let them go on.
fn ask((port, tier): (u32, Option<u32>)) -> Flow {
    let arp = ArpMatch { op: Some(REQUEST), ..ArpMatch::default() };
    let matches = Match { stage: Some(SEEN), in_port: Some(port), dl_dst: Some(MacMatch::Group), ..of_arp(arp) };
    let actions = tier.map(Action::SetTier).into_iter().chain([Action::Resubmit(ANSWER)]).collect();
    Flow::of_entry(1255, Purpose::Answer, port, matches, actions)
}

/// What has no sender's address yet: somebody finds out whether an address is free. Only its owner can say that it is not.
fn probe() -> Match {
    of_arp(ArpMatch { sender_ip: Some(Ipv4Addr::UNSPECIFIED), ..ArpMatch::default() })
}

/// Has a request go the way of all frames.
fn goes_on(priority: u16, matches: Match) -> Flow {
    let actions = vec![Action::SetStage(GOES_ON), Action::Resubmit(0)];
    Flow { table: ANSWER, priority, cookie: Cookie::new(Purpose::Answer, 0), matches, actions }
}

/// The answer for one address. What its owner asks for himself is announced: that goes on.
fn answer(ip: Ipv4Addr, mac: Mac, tier: Option<u32>) -> [Flow; 2] {
    let cookie = Cookie::new(Purpose::Answer, number_of(ip));
    let asks = ArpMatch { target_ip: Some(ip), ..ArpMatch::default() };
    let owner = Flow { cookie, ..goes_on(1100, of_arp(ArpMatch { sender_mac: Some(mac), ..asks })) };
    let matches = Match { tier, ..of_arp(asks) };
    let actions = vec![
        Action::Learn(Learn::Asked),
        Action::Move(Moved::ArpMac),
        Action::Move(Moved::ArpIp),
        Action::SetArpReply,
        Action::SetArpMac(mac),
        Action::SetArpIp(ip),
        Action::Move(Moved::Source),
        Action::SetSource(mac),
        Action::Back,
    ];
    [owner, Flow { table: ANSWER, priority: 1000, cookie, matches, actions }]
}

impl DesiredBridge {
    /// The addresses for which its switch answers: those that it was told, or those of the cards in a VPC's topology, of which each is a list
    /// of its own.
    pub fn answered(&self) -> Neighbours {
        let Some(vpc) = self.kind.vpc() else { return self.neighbours.clone() };
        let Some(topology) = &vpc.topology else { return Neighbours::default() };
        let generation = u32::try_from(topology.sequence & u64::from(Neighbours::LAST)).unwrap_or_default();
        let known = self.cards().map(|(ip, nic)| (ip, nic.mac)).collect();
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
