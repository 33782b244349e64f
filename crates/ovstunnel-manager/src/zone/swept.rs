//! What sweeps need to know of a network, and what they found.
//!
//! What it must not do: send a frame, or judge whether one has arrived.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ovstunnel_mesh::Moment;
use ovstunnel_mesh::observed::Mode;
use ovstunnel_mesh::proof::{Finding, What};
use ovstunnel_types::{GreKey, HostNumber, TunnelState};

use super::wire::rounded_seconds;
use super::{State, Zone};

/// The word of daemons that can probe tunnels.
const PROBE: &str = "probe";

/// For how long it counts what a sweep has found of a tunnel that was not probed again since: some rounds of all networks.
const COUNTS: Duration = Duration::from_secs(600);

/// A host of a network, whose tunnels can be probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweptHost {
    /// Its name.
    pub name: String,
    /// Its bridge.
    pub bridge: String,
    /// The ports of its tunnels, by the host at the other end.
    pub tunnels: BTreeMap<HostNumber, String>,
    /// Largest MTU of a guest whose frames cross all its tunnels in one piece, bytes.
    pub max_guest_mtu: Option<u32>,
}

/// What of a network can be swept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweepable {
    /// The hosts.
    pub hosts: BTreeMap<HostNumber, SweptHost>,
    /// Those that are left out, by name, and why.
    pub left_out: Vec<(String, &'static str)>,
    /// MTU of its guests, bytes, where one is recorded.
    pub guest_mtu: Option<u32>,
}

impl Sweepable {
    /// Each tunnel that is there at both ends: from, to.
    pub fn tunnel_ways(&self) -> impl Iterator<Item = (HostNumber, HostNumber)> + '_ {
        let is_there =
            |from: &HostNumber, to: &HostNumber| self.hosts.get(to).is_some_and(|peer| peer.tunnels.contains_key(from));
        let of = move |(from, host): (&HostNumber, &SweptHost)| {
            let (from, peers): (_, Vec<HostNumber>) = (*from, host.tunnels.keys().copied().collect());
            peers.into_iter().map(move |to| (from, to))
        };
        self.hosts.iter().flat_map(of).filter(move |(from, to)| is_there(from, to))
    }

    /// A host's name.
    pub fn host_name(&self, host: HostNumber) -> String {
        self.hosts.get(&host).map_or_else(|| host.to_string(), |host| host.name.clone())
    }
}

/// What was found in a network.
#[derive(Clone, Debug, Default)]
pub(super) struct Swept {
    /// When it was last swept as a whole.
    at: Option<Moment>,
    /// By which tunnels frames do not arrive, and when that was found.
    findings: BTreeMap<(HostNumber, HostNumber), (Moment, Finding)>,
}

impl State {
    /// What sweeps have found and what still counts.
    pub(super) fn all_swept(&self, now: Moment) -> impl Iterator<Item = (GreKey, &Finding)> {
        let is_known = |key: &GreKey| self.networks.contains_key(key);
        let of_all = self.swept.iter().filter(move |(key, _)| is_known(key));
        of_all.flat_map(move |(key, swept)| {
            let counts = swept.findings.values().filter(move |(at, _)| now.since(*at) < COUNTS);
            counts.filter(|(_, finding)| !self.is_explained(*key, finding)).map(|(_, finding)| (*key, finding))
        })
    }

    /// Whether the proof says what is wrong with the same tunnel: it is not there, or not as it must be.
    pub(super) fn is_explained(&self, key: GreKey, finding: &Finding) -> bool {
        let known = self.networks.get(&key).filter(|known| !known.proof.is_whole());
        let found = known.into_iter().flat_map(|known| self.prover.findings_of(known.mesh.network));
        let ends = |one: &Finding| (one.host, one.to);
        let same = |other: &Finding| {
            ends(other) == ends(finding) || (Some(other.host), other.to) == (finding.to, Some(finding.host))
        };
        found.into_iter().any(same)
    }

    /// Seconds since a network was swept.
    pub(super) fn probed_age(&self, key: GreKey, now: Moment) -> Option<f64> {
        Some(rounded_seconds(now.since(self.swept.get(&key)?.at?)))
    }
}

impl Zone {
    /// Whether a host's daemon has said that it can do this.
    pub fn daemon_knows(&self, number: HostNumber, word: &str) -> bool {
        let state = self.lock_state();
        let told = state.hosts.get(&number).and_then(|host| host.daemon_facts());
        told.is_some_and(|told| told.capabilities.iter().any(|known| known == word))
    }

    /// What of the network with this key can be swept: hosts that may be changed and whose daemons can probe.
    pub fn sweepable_network(&self, key: GreKey) -> Option<Sweepable> {
        let state = self.lock_state();
        let known = state.networks.get(&key)?;
        let mut all = Sweepable {
            guest_mtu: state.recorded.of_key(key).and_then(|network| network.row.mtu),
            ..Sweepable::default()
        };
        for number in known.mesh.members() {
            match state.swept_host(key, number) {
                Ok(host) => drop(all.hosts.insert(number, host)),
                Err(why) => all.left_out.push((state.name_of(number), why)),
            }
        }
        let members: BTreeSet<HostNumber> = all.hosts.keys().copied().collect();
        all.hosts.values_mut().for_each(|host| host.tunnels.retain(|peer, _| members.contains(peer)));
        Some(all)
    }

    /// What a sweep has found: of these tunnels nothing any more but what is among the findings. Whether it was of the whole network.
    pub fn record_sweep(
        &self,
        key: GreKey,
        probed: impl Iterator<Item = (HostNumber, HostNumber)>,
        findings: Vec<Finding>,
        is_whole: bool,
    ) {
        let (now, mut state) = (self.now(), self.lock_state());
        let swept = state.swept.entry(key).or_default();
        let was_bad = !swept.findings.is_empty();
        probed.for_each(|way| drop(swept.findings.remove(&way)));
        for finding in findings {
            if let Some(to) = finding.to {
                swept.findings.insert((finding.host, to), (now, finding));
            }
        }
        swept.findings.retain(|_, (at, _)| now.since(*at) < COUNTS);
        if is_whole {
            swept.at = Some(now);
        }
        let is_news = was_bad || !swept.findings.is_empty();
        drop(state);
        // That all is well is found of dozens of networks a second.
        if is_news {
            self.0.pulse.send_modify(|passes| *passes += 1);
        }
    }

    /// The networks with at least two hosts, and whether something was found in each.
    pub fn sweep_candidates(&self) -> BTreeMap<GreKey, bool> {
        let mut state = self.lock_state();
        let state = &mut *state;
        state.swept.retain(|key, _| state.networks.contains_key(key));
        let is_bad = |key: &GreKey| state.swept.get(key).is_some_and(|swept| !swept.findings.is_empty());
        let networks = state.networks.iter().filter(|(_, known)| known.mesh.size() >= 2);
        networks.map(|(key, _)| (*key, is_bad(key))).collect()
    }
}

impl State {
    fn swept_host(&self, key: GreKey, number: HostNumber) -> Result<SweptHost, &'static str> {
        let seen = self.seen.get(&number).filter(|seen| seen.is_connected).ok_or("it does not answer")?;
        if seen.mode == Mode::Observe {
            return Err("it is only to be looked at");
        }
        let told =
            self.hosts.get(&number).and_then(|host| host.daemon_facts()).ok_or("it has not said what it can do")?;
        if !told.capabilities.iter().any(|word| word == PROBE) {
            return Err("its daemon cannot probe tunnels");
        }
        let mut bridges = seen.snapshot.iter().flat_map(|snapshot| snapshot.bridges_of(key));
        let (Some(bridge), None) = (bridges.next(), bridges.next()) else {
            return Err("it has not one bridge of the network");
        };
        let up = bridge.tunnels.iter().filter(|tunnel| tunnel.key == key && tunnel.state == TunnelState::Up);
        let tunnels = up.filter_map(|tunnel| Some((tunnel.peer_number()?, tunnel.port.to_string()))).collect();
        let (name, max_guest_mtu) = (self.name_of(number), bridge.max_guest_mtu);
        Ok(SweptHost { name, bridge: bridge.name.to_string(), tunnels, max_guest_mtu })
    }
}

/// What a sweep finds of a tunnel.
pub fn lost_finding(from: HostNumber, to: HostNumber, is_cut: bool, evidence: String) -> Finding {
    let what = if is_cut { What::FramesCut } else { What::FramesLost };
    let remedy = match is_cut {
        true => "make the MTU of the network below as large on the whole way, or the guests' smaller",
        false => {
            "send frames step by step, `ovstunnelctl zone why … --send`, and see what drops them between the two hosts"
        }
    };
    Finding { what, host: from, to: Some(to), evidence, remedy: remedy.to_owned() }
}
