//! What a host's daemon cannot do of what this manager asks of daemons, and in which order daemons are upgraded so that no two hosts of a
//! network are without one at a time. Must not ask a host, or upgrade anything.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_manager_api::{Inability, UpgradeHost, UpgradePlan, UpgradeWaiting, UpgradeWave};
use ovstunnel_types::HostNumber;

use super::host::Told;
use super::wire::saturating_u32;
use super::{State, Zone};

/// What is asked of each daemon beyond the API as it began, and what it means where one cannot.
const ABILITIES: [(&str, &str); 7] = [
    ("watch", "it does not tell of changes as they happen, and is asked every 2 s"),
    ("epoch", "it cannot record which manager may write to it: nothing on it is changed"),
    ("bfd", "it cannot have BFD watch the ways to other hosts: a cut is seen by other signs, or not at all"),
    (
        "counters",
        "it does not tell what all its tunnels have counted: that frames are lost on the way is not seen by that",
    ),
    (PROBE, "it cannot send a frame into a tunnel: sweeps leave it out"),
    ("kind", "it cannot change the kind of a bridge's tunnels: networks that it is in keep theirs"),
    ("neighbours", "it cannot be told addresses of VMs: each of their ARP requests is flooded"),
];

/// Not a matter of the daemon's age alone: a switch that is simulated has none.
const PROBE: &str = "probe";

/// The word of a daemon on a host of xapi's, and what such a one can do, too.
const XAPI: &str = "xapi";
const NETWORKS: (&str, &str) =
    ("networks", "it cannot have xapi make a network: those that it is to be in must be made by hand");

/// What a daemon cannot do, by what it has told of itself.
pub(super) fn list_inabilities(told: &Told) -> Vec<Inability> {
    let says = |word: &str| told.capabilities.iter().any(|said| said == word);
    let wanted = ABILITIES.into_iter().chain(says(XAPI).then_some(NETWORKS));
    let cannot = wanted.filter(|(word, _)| !says(word));
    cannot.map(|(capability, means)| Inability { capability: capability.to_owned(), means: means.to_owned() }).collect()
}

/// A host as far as the order depends on it.
struct Candidate {
    number: HostNumber,
    is_old: bool,
    is_silent: bool,
    told: UpgradeHost,
}

/// By host number, the networks that it is in.
type Networks = BTreeMap<HostNumber, BTreeSet<String>>;

/// Puts each old host into the first wave in which no other host has a network with it.
fn order_hosts(hosts: Vec<Candidate>, networks: &Networks, version: &str) -> UpgradePlan {
    let empty = BTreeSet::new();
    let of = |number: &HostNumber| networks.get(number).unwrap_or(&empty);
    let silent: Vec<(HostNumber, String)> =
        hosts.iter().filter(|host| host.is_silent).map(|host| (host.number, host.told.host.clone())).collect();
    let mut plan = UpgradePlan { version: version.to_owned(), waves: vec![], waiting: vec![], done: 0 };
    let mut taken: Vec<BTreeSet<&String>> = vec![];
    for host in hosts {
        let mine = of(&host.number);
        let beside = silent.iter().find_map(|(other, name)| Some((name, of(other).intersection(mine).next()?)));
        if host.is_silent {
            let reason = "it does not answer: which version it has is not known".to_owned();
            plan.waiting.push(UpgradeWaiting { host: host.told.host, reason });
        } else if !host.is_old {
            plan.done += 1;
        } else if let Some((name, network)) = beside {
            let reason = format!("host {name} does not answer, and both are in network {network}");
            plan.waiting.push(UpgradeWaiting { host: host.told.host, reason });
        } else {
            let fits = |wave: &BTreeSet<&String>| mine.iter().all(|network| !wave.contains(network));
            let at = taken.iter().position(fits).unwrap_or(taken.len());
            if at == taken.len() {
                taken.push(BTreeSet::new());
                plan.waves.push(UpgradeWave { hosts: vec![] });
            }
            taken[at].extend(mine);
            plan.waves[at].hosts.push(host.told);
        }
    }
    plan
}

impl State {
    fn upgrade_networks(&self) -> Networks {
        let mut all = Networks::new();
        for (key, known) in &self.networks {
            for host in known.mesh.members() {
                all.entry(host).or_default().insert(self.network_name(*key));
            }
        }
        all
    }
}

impl Zone {
    /// In which order the daemons that are older than this manager are to be upgraded.
    pub fn upgrade_plan(&self, version: &str) -> UpgradePlan {
        let state = self.lock_state();
        let networks = state.upgrade_networks();
        let candidates = state.names.iter().filter_map(|(name, number)| {
            let host = state.hosts.get(number)?;
            let told = host.daemon_facts();
            let cannot = told.map(list_inabilities).unwrap_or_default();
            let daemon = told.and_then(|told| told.daemon.clone());
            let is_old = daemon.as_deref() != Some(version) || cannot.iter().any(|lacks| lacks.capability != PROBE);
            let is_silent = !state.seen.get(number).is_some_and(|seen| seen.is_connected);
            let mine = networks.get(number).map_or(0, BTreeSet::len);
            let told = UpgradeHost { host: name.clone(), daemon, networks: saturating_u32(mine), cannot };
            Some(Candidate { number: *number, is_old, is_silent, told })
        });
        order_hosts(candidates.collect(), &networks, version)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// Hosts `h1`, `h2` …, each with the networks that it is in; `-` before them: it is new already, `?`: it is silent.
    fn waves_of(hosts: &[&str]) -> (Vec<Vec<String>>, Vec<String>, u32) {
        let mut networks = Networks::new();
        let candidate = |(index, words): (usize, &&str)| {
            let number = HostNumber::try_from(index as u64 + 1).unwrap();
            networks
                .insert(number, words.trim_start_matches(['-', '?']).split_whitespace().map(str::to_owned).collect());
            let told = UpgradeHost { host: format!("h{number}"), daemon: None, networks: 0, cannot: vec![] };
            Candidate { number, is_old: !words.starts_with('-'), is_silent: words.starts_with('?'), told }
        };
        let candidates = hosts.iter().enumerate().map(candidate).collect();
        let plan = order_hosts(candidates, &networks, "1.0.0");
        let names = |wave: &UpgradeWave| wave.hosts.iter().map(|host| host.host.clone()).collect();
        let waiting = plan.waiting.iter().map(|waits| format!("{}: {}", waits.host, waits.reason)).collect();
        (plan.waves.iter().map(names).collect(), waiting, plan.done)
    }

    #[test]
    fn no_two_hosts_of_a_network_are_in_one_wave() {
        let (waves, waiting, done) = waves_of(&["a", "a b", "b", "", "-a", "c", "a"]);
        assert_eq!(waves, [vec!["h1", "h3", "h4", "h6"], vec!["h2"], vec!["h7"]]);
        assert_eq!((waiting.len(), done), (0, 1));
    }

    #[test]
    fn hosts_wait_for_one_that_does_not_answer() {
        let (waves, waiting, done) = waves_of(&["a", "?a b", "b", "c"]);
        assert_eq!((waves, done), (vec![vec!["h4".to_owned()]], 0));
        assert_eq!(
            waiting,
            [
                "h1: host h2 does not answer, and both are in network a",
                "h2: it does not answer: which version it has is not known",
                "h3: host h2 does not answer, and both are in network b",
            ]
        );
    }

    #[test]
    fn a_daemon_lacks_what_it_does_not_say() {
        let told = |words: &[&str]| Told {
            daemon: None,
            capabilities: words.iter().map(|word| (*word).to_owned()).collect(),
            health: ovstunnel_api::Health { state: ovstunnel_types::HealthState::Ok, as_of: None, reasons: vec![] },
            watched: true,
        };
        let lacks = |words: &[&str]| {
            list_inabilities(&told(words)).into_iter().map(|lacks| lacks.capability).collect::<Vec<_>>()
        };
        assert_eq!(lacks(&["watch", "epoch", "bfd", "counters", "probe", "kind", "neighbours"]), [""; 0]);
        assert_eq!(lacks(&["watch", "epoch", "bfd", "counters", "probe", "kind", "neighbours", "xapi"]), ["networks"]);
        assert_eq!(lacks(&[]).len(), ABILITIES.len());
    }
}
