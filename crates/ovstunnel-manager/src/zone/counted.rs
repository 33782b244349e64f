//! What both ends of tunnels have counted, as it was compared, and what hosts receive that they have no tunnel for.
//!
//! What it must not do: ask a host, or compare counters: `ovstunnel_mesh::counters` does.

use std::collections::BTreeMap;

use ovstunnel_api::UnexpectedPackets;
use ovstunnel_mesh::counters::Lost;
use ovstunnel_mesh::proof::{Finding, What};
use ovstunnel_types::{GreKey, HostNumber, RemoteIp};

use super::wire::{format_time, saturating_u32};
use super::{Registered, State, Zone};

/// The word of daemons that tell their counters.
const COUNTERS: &str = "counters";

/// Lines of the log that tell of packets without a tunnel: one alone may be of a tunnel that was being made or taken away.
const ENOUGH: u32 = 2;

/// A tunnel: key, who sends, who receives.
type Way = (GreKey, HostNumber, HostNumber);

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// By which tunnels nothing arrives.
    lost: BTreeMap<Way, Finding>,
    /// What hosts receive that they have no tunnel for: key and sender.
    unexpected: BTreeMap<HostNumber, Vec<(GreKey, RemoteIp)>>,
    /// Hosts whose counters were compared in the last round.
    hosts: u32,
}

impl State {
    /// What counters have found, and what switches say that they receive.
    pub(super) fn all_counted(&self) -> Vec<(GreKey, Finding)> {
        let lost = self.counted.lost.iter().map(|((key, ..), finding)| (*key, finding.clone()));
        let lost = lost.filter(|(key, finding)| {
            self.networks.contains_key(key) && finding.to.is_some_and(|to| self.same_kind(*key, finding.host, to))
        });
        let of_host = |(host, packets): (&HostNumber, &Vec<(GreKey, RemoteIp)>)| {
            let host = *host;
            let of = |(key, from): &(GreKey, RemoteIp)| Some((*key, self.unexpected_finding(host, *key, *from)?));
            packets.iter().filter_map(of).collect::<Vec<_>>()
        };
        let unexpected = self.counted.unexpected.iter().flat_map(of_host);
        // Nothing that is wrong with a host explains what comes from elsewhere.
        let is_news = |(key, finding): &(GreKey, Finding)| finding.to.is_none() || !self.is_explained(*key, finding);
        lost.chain(unexpected).filter(is_news).collect()
    }

    /// That a host receives packets that it has no tunnel for. Nothing where their sender has no tunnel to it any more.
    fn unexpected_finding(&self, host: HostNumber, key: GreKey, from: RemoteIp) -> Option<Finding> {
        let name = self.name_of(host);
        let sender = self.endpoints.host_at(from);
        let snapshot = sender.and_then(|sender| self.seen.get(&sender)?.snapshot.as_ref());
        let mut bridges = snapshot.into_iter().flat_map(|snapshot| snapshot.bridges_of(key)).peekable();
        let is_known = bridges.peek().is_some();
        let leads_there = |tunnel: &ovstunnel_mesh::observed::Tunnel| {
            tunnel.key == key
                && (tunnel.peer_number() == Some(host) || Some(tunnel.remote_ip) == self.endpoints.address_of(host))
        };
        if is_known && !bridges.flat_map(|bridge| &bridge.tunnels).any(leads_there) {
            return None;
        }
        let who = sender
            .map_or_else(|| format!("{from}, which is no registered host's address,"), |sender| self.name_of(sender));
        let remedy = match sender {
            Some(_) => format!(
                "have the tunnel of {name} to {who} made where VMs of the network are on both, else have that of {who} to {name} taken away"
            ),
            None => format!(
                "register the host at {from}, or see there who has a tunnel to {name} and take it away: `ovstunnelctl tunnel list`"
            ),
        };
        let evidence =
            format!("{who} sends packets with key {key} to {name}, which has no tunnel for them: they are dropped");
        Some(Finding { what: What::FramesUnexpected, host, to: sender, evidence, remedy })
    }

    fn lost_finding(&self, lost: &Lost, origin: time::OffsetDateTime) -> Finding {
        let (from, to) = (self.name_of(lost.from), self.name_of(lost.to));
        let (packets, key, since) = (lost.packets, lost.key, format_time(origin + lost.since.0));
        Finding {
            what: What::Counters,
            host: lost.from,
            to: Some(lost.to),
            evidence: format!(
                "{from} has sent {packets} packets with key {key} to {to} since {since}, and none has arrived"
            ),
            remedy: format!(
                "see why tunnel packets (GRE: IP protocol 47; VXLAN, Geneve: UDP) with key {key} of {from} do not arrive at {to}: routes, firewalls and switches \
                 between the two"
            ),
        }
    }
}

impl Zone {
    /// Whether a host can be asked what its tunnels have counted.
    pub fn can_count(&self, number: HostNumber) -> bool {
        let state = self.lock_state();
        let told = state.hosts.get(&number).filter(|host| host.is_connected()).and_then(Registered::daemon_facts);
        let can = told.is_some_and(|told| told.capabilities.iter().any(|word| word == COUNTERS));
        can && state.seen.get(&number).is_some_and(|seen| seen.switch_fault.is_none())
    }

    /// What a round has found: the tunnels by which nothing arrives, what each host that has answered receives without a tunnel, and of how
    /// many hosts the counters were compared.
    pub fn record_counted(
        &self,
        lost: Vec<Lost>,
        unexpected: BTreeMap<HostNumber, Vec<UnexpectedPackets>>,
        hosts: usize,
    ) {
        let origin = self.origin();
        let mut state = self.lock_state();
        let lost = lost.iter().map(|lost| ((lost.key, lost.from, lost.to), state.lost_finding(lost, origin))).collect();
        // Of one that has not answered in time what it said before counts, while it can be asked.
        let mut all = std::mem::take(&mut state.counted.unexpected);
        all.retain(|host, _| state.hosts.get(host).is_some_and(Registered::is_connected));
        all.extend(unexpected.into_iter().map(readable_packets));
        state.counted = Counted { lost, unexpected: all, hosts: saturating_u32(hosts) };
        drop(state);
        self.0.pulse.send_modify(|passes| *passes += 1);
    }

    /// Something arrives by these tunnels.
    pub fn record_arrived(&self, ways: impl Iterator<Item = Way>) {
        let mut state = self.lock_state();
        ways.for_each(|way| drop(state.counted.lost.remove(&way)));
        drop(state);
        self.0.pulse.send_modify(|passes| *passes += 1);
    }

    /// The tunnels by which nothing arrives.
    pub fn losing_tunnels(&self) -> Vec<Way> {
        self.lock_state().counted.lost.keys().copied().collect()
    }

    /// What counters say of a tunnel, where nothing arrives by it.
    pub fn lost_by_counters(&self, key: GreKey, from: HostNumber, to: HostNumber) -> Option<Finding> {
        self.lock_state().counted.lost.get(&(key, from, to)).cloned()
    }

    /// Hosts whose counters were compared in the last round, and tunnels by which nothing arrives.
    pub fn counted_counts(&self) -> (u32, u32) {
        let state = self.lock_state();
        (state.counted.hosts, saturating_u32(state.counted.lost.len()))
    }
}

/// What can be of a network, without what the log has told of once only.
fn readable_packets((host, packets): (HostNumber, Vec<UnexpectedPackets>)) -> (HostNumber, Vec<(GreKey, RemoteIp)>) {
    let of = |packets: UnexpectedPackets| {
        let key = GreKey::try_from(i64::try_from(packets.key).ok()?).ok()?;
        Some((key, packets.remote_ip.parse::<RemoteIp>().ok()?)).filter(|_| packets.lines >= ENOUGH)
    };
    (host, packets.into_iter().filter_map(of).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::time::Duration;

    use ovstunnel_mesh::Moment;

    use super::*;
    use crate::zone::tests::{Bench, bridge, number};
    use crate::zone::{SETTLING, Wrong};

    fn faults(bench: &Bench) -> Vec<(String, String)> {
        bench.zone.prove_changed();
        let now = bench.zone.now();
        bench.zone.look_for_faults(now);
        bench.zone.look_for_faults(now + SETTLING);
        let list = bench.zone.faults(&Wrong { limit: 100, ..Wrong::default() });
        list.faults.into_iter().map(|fault| (fault.id, fault.evidence)).collect()
    }

    fn receives(host: u64, key: u64, from: &str, lines: u32) -> BTreeMap<HostNumber, Vec<UnexpectedPackets>> {
        let last = "2026-03-01T12:00:00Z".to_owned();
        let packets = UnexpectedPackets { key, remote_ip: from.to_owned(), last, lines };
        BTreeMap::from([(number(host), vec![packets])])
    }

    #[test]
    fn a_direction_that_loses_all_is_a_fault_until_a_packet_arrives() {
        let bench = Bench::new();
        let way = (bench.key(), number(1), number(2));
        let lost = Lost { key: way.0, from: way.1, to: way.2, packets: 20, since: Moment(Duration::ZERO) };
        bench.zone.record_counted(vec![lost.clone()], BTreeMap::new(), 3);
        let found = faults(&bench);
        let [(id, evidence)] = &found[..] else { panic!("{found:?}") };
        assert_eq!(id, "direction:key-1001:h1:h2");
        assert!(evidence.contains("h1 has sent 20 packets with key 1001 to h2 since"), "{evidence}");
        assert_eq!((bench.zone.losing_tunnels(), bench.zone.counted_counts()), (vec![way], (3, 1)));
        bench.zone.record_arrived(std::iter::once(way));
        assert_eq!(faults(&bench), []);
        // All that host 2 should receive.
        let other = Lost { from: number(3), ..lost.clone() };
        bench.zone.record_counted(vec![lost, other], BTreeMap::new(), 3);
        assert_eq!(faults(&bench)[0].0, "host_in:key-1001:h2");
    }

    #[test]
    fn what_the_proof_finds_of_a_tunnel_is_not_told_again() {
        let mut bench = Bench::new();
        bench.says(2, &[bridge(2, &[3])]);
        let lost =
            Lost { key: bench.key(), from: number(1), to: number(2), packets: 20, since: Moment(Duration::ZERO) };
        bench.zone.record_counted(vec![lost], receives(2, 1001, "192.0.2.1", 9), 3);
        assert_eq!(faults(&bench).into_iter().map(|(id, _)| id).collect::<Vec<_>>(), ["one_sided:key-1001:h2:h1"]);
    }

    #[test]
    fn who_sends_what_a_host_has_no_tunnel_for_is_named() {
        let mut bench = Bench::new();
        let told = |bench: &Bench, packets| {
            bench.zone.record_counted(Vec::new(), packets, 3);
            faults(bench)
        };
        let found = told(&bench, receives(2, 1001, "192.0.2.77", 2));
        let [(id, evidence)] = &found[..] else { panic!("{found:?}") };
        assert_eq!(id, "frames_unexpected:key-1001:h2");
        assert!(
            evidence
                .starts_with("192.0.2.77, which is no registered host's address, sends packets with key 1001 to h2"),
            "{evidence}"
        );
        // Of a network that host 1 has no managed bridge of, and that nobody else knows.
        let found = told(&bench, receives(2, 1999, "192.0.2.1", 2));
        assert!(
            found
                .iter()
                .any(|(id, evidence)| id == "frames_unexpected:key-1999:h2" && evidence.starts_with("h1 sends")),
            "{found:?}"
        );
        assert_eq!(told(&bench, receives(2, 1999, "192.0.2.1", 1)), [], "once is nothing");
        bench.says(1, &[bridge(1, &[3])]);
        bench.says(2, &[bridge(2, &[3])]);
        let found = told(&bench, receives(2, 1001, "192.0.2.1", 9));
        assert!(found.iter().all(|(id, _)| !id.starts_with("frames")), "host 1 has let go of its tunnel: {found:?}");
    }
}
