//! What is wrong in a zone, each cause once: the findings of all proofs, sorted by where they come from.
//!
//! What it does: a host that cannot be asked hides what is found on it; tunnels that fail are explained by few places
//! ([`Place`]). What it must not do: know names, or judge a network anew.

mod cover;

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_types::{GreKey, HostNumber};

use crate::Moment;
use crate::proof::{Finding, What};
pub use cover::{Place, Shape, Way};
use cover::{Suspect, explain_failures};

/// A finding of a network's proof, and since when it stands.
#[derive(Clone, Copy, Debug)]
pub struct Symptom<'a> {
    /// The network's key.
    pub key: GreKey,
    /// The finding.
    pub finding: &'a Finding,
    /// Since when it stands.
    pub since: Moment,
}

/// One cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is found.
    pub what: What,
    /// Where.
    pub at: At,
    /// The networks that it concerns.
    pub keys: BTreeSet<GreKey>,
    /// Since when the first sign of it stands.
    pub since: Moment,
    /// What was seen, of the first sign.
    pub evidence: String,
    /// What takes it away.
    pub remedy: String,
    /// How many other findings have this cause.
    pub hides: usize,
}

/// Where a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum At {
    /// On a host.
    Host(HostNumber),
    /// In a network, among its hosts.
    Network(GreKey),
    /// At the place that explains that tunnels fail: so many of all its tunnels.
    Place {
        /// Where.
        place: Place,
        /// How many of its tunnels fail.
        failed: u64,
        /// How many it has.
        of: u64,
    },
}

impl Fault {
    /// A stable word: that of the place for tunnels that fail, else that of what is found.
    pub fn kind(&self) -> &'static str {
        match self.at {
            At::Host(_) | At::Network(_) => self.what.as_str(),
            At::Place { .. } if self.what == What::FramesCut => "mtu",
            At::Place { place, .. } => match place {
                Place::Pair(..) => "pair",
                Place::Way(_) if self.what == What::TunnelMissing => "one_sided",
                Place::Way(_) | Place::Direction(..) => "direction",
                Place::Link(..) => "tunnel",
                Place::Network(_) => "key",
                Place::HostOut(_) => "host_out",
                Place::HostIn(_) => "host_in",
                Place::Host(_) => "host_cut",
                Place::RackPair(..) => "rack_pair",
                Place::Rack(_) => "rack",
            },
        }
    }
}

/// Whether it says that a tunnel that must be there does not carry its frames.
fn is_of_a_tunnel(what: What) -> bool {
    matches!(
        what,
        What::TunnelMissing
            | What::TunnelTwice
            | What::WrongAddress
            | What::WrongKey
            | What::TunnelDown
            | What::BfdDown
            | What::FramesLost
            | What::FramesCut
            | What::Counters
    )
}

/// Whether what else is found on the host rests on an old picture, or on none.
fn hides_its_host(what: What) -> bool {
    matches!(what, What::HostUnknown | What::HostUnseen | What::HostSilent | What::SwitchUnreachable)
}

/// Whether others cannot have a tunnel to the host that is right.
fn hides_ways_to_it(what: What) -> bool {
    matches!(what, What::HostUnknown | What::AddressUnknown)
}

/// Each cause of these symptoms, the worst first.
pub fn find_faults(symptoms: &[Symptom<'_>], shape: &Shape) -> Vec<Fault> {
    let with = |is_meant: fn(What) -> bool| -> BTreeMap<HostNumber, What> {
        let mut hosts = BTreeMap::new();
        for symptom in symptoms.iter().filter(|symptom| is_meant(symptom.finding.what)) {
            let worst = hosts.entry(symptom.finding.host).or_insert(symptom.finding.what);
            *worst = symptom.finding.what.min(*worst);
        }
        hosts
    };
    let (unheard, unreached) = (with(hides_its_host), with(hides_ways_to_it));
    // By the remedy too: several needs of a bridge may not be met.
    let mut groups: BTreeMap<(What, At, &str), Vec<Symptom<'_>>> = BTreeMap::new();
    let mut hidden: BTreeMap<(What, At), usize> = BTreeMap::new();
    let mut of_tunnels: BTreeMap<What, BTreeMap<Way, Symptom<'_>>> = BTreeMap::new();
    for symptom in symptoms {
        let Finding { what, host, to, ref remedy, .. } = *symptom.finding;
        let cause = unheard.get(&host).filter(|cause| **cause != what).map(|cause| (*cause, At::Host(host)));
        let cause = cause.or_else(|| {
            let (to, cause) = to.and_then(|to| Some((to, unreached.get(&to)?)))?;
            Some((*cause, At::Host(to)))
        });
        match (cause, to) {
            (Some(cause), _) => *hidden.entry(cause).or_default() += 1,
            (None, Some(to)) if is_of_a_tunnel(what) => {
                let way = Way { key: symptom.key, from: host, to };
                of_tunnels.entry(what).or_default().insert(way, *symptom);
            }
            (None, _) if what == What::Ipv6Mixed => {
                groups.entry((what, At::Network(symptom.key), remedy)).or_default().push(*symptom);
            }
            (None, _) => groups.entry((what, At::Host(host), remedy)).or_default().push(*symptom),
        }
    }
    let mut faults: Vec<Fault> = groups
        .into_iter()
        .filter_map(|((what, at, _), symptoms)| {
            let hides = hidden.get(&(what, at)).copied().unwrap_or_default();
            combine_symptoms(what, at, &symptoms, hides)
        })
        .collect();
    leave_out_known(&mut of_tunnels);
    for (what, failed) in of_tunnels {
        faults.extend(of_places(what, &failed, shape));
    }
    faults.sort_by(|a, b| (a.what, b.hides, b.keys.len(), a.at).cmp(&(b.what, a.hides, a.keys.len(), b.at)));
    faults
}

/// Of a tunnel that by counters loses everything others may know it, too, and more of it.
fn leave_out_known(of_tunnels: &mut BTreeMap<What, BTreeMap<Way, Symptom<'_>>>) {
    let Some(mut counted) = of_tunnels.remove(&What::Counters) else { return };
    counted.retain(|way, _| !of_tunnels.values().any(|failed| failed.contains_key(way)));
    of_tunnels.insert(What::Counters, counted);
}

/// The few places that explain why these tunnels fail.
fn of_places<'a>(what: What, failed: &BTreeMap<Way, Symptom<'a>>, shape: &Shape) -> Vec<Fault> {
    let suspects = explain_failures(&failed.keys().copied().collect(), shape).into_iter();
    let of = |suspect: Suspect| {
        let symptoms: Vec<Symptom<'a>> = suspect.ways.iter().map(|way| failed[way]).collect();
        let at = At::Place { place: suspect.place, failed: suspect.failed, of: suspect.of };
        combine_symptoms(what, at, &symptoms, 0)
    };
    suspects.filter_map(of).collect()
}

/// What these symptoms say together; nothing where there are none.
fn combine_symptoms(what: What, at: At, symptoms: &[Symptom<'_>], hides: usize) -> Option<Fault> {
    let first = symptoms.first()?;
    Some(Fault {
        what,
        at,
        keys: symptoms.iter().map(|symptom| symptom.key).collect(),
        since: symptoms.iter().map(|symptom| symptom.since).min()?,
        evidence: first.finding.evidence.clone(),
        remedy: first.finding.remedy.clone(),
        hides: hides + symptoms.len() - 1,
    })
}

#[cfg(test)]
mod tests;
