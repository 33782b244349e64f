//! One round of a sweep: all hosts are armed, then all send, then all are read.
//!
//! What it must not do: send before all are armed that a frame may reach, or take a host that did not answer for one that got nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use ovstunnel_api::{PostProbe, ProbeAction, ProbeAnswer};
use ovstunnel_types::HostNumber;

use super::Sweeper;
use crate::zone::{Sweepable, SweptHost};

/// How long arming may take: a frame must not come to a host that is no longer armed, 10 s after the first one is.
const ARMING: Duration = Duration::from_secs(3);

/// How long sending may take, and reading.
const SENDING: Duration = Duration::from_secs(4);

/// How long frames are under way, and how much longer it may take until a busy switch has counted them.
const UNDER_WAY: Duration = Duration::from_millis(60);
const COUNTED: Duration = Duration::from_millis(600);

/// Frames of one request, at most.
const AT_ONCE: usize = 200;

/// From where to where.
pub(super) type Way = (HostNumber, HostNumber);

/// What is sent into a tunnel: frames of so many bytes.
pub(super) type Frames = BTreeMap<Way, u32>;

/// What came of each tunnel: whether a frame has arrived. Nothing of one of which that is not known.
pub(super) type Arrived = BTreeMap<Way, bool>;

impl Sweeper {
    /// Sends so many frames into each of these tunnels.
    pub(super) async fn run_round(&self, network: &Sweepable, frames: &Frames, count: u32) -> Arrived {
        let Ok(nonce) = self.new_nonce() else { return Arrived::new() };
        let mut ends: BTreeMap<HostNumber, BTreeSet<HostNumber>> = BTreeMap::new();
        for (from, to) in frames.keys().flat_map(|(from, to)| [(from, to), (to, from)]) {
            ends.entry(*from).or_default().insert(*to);
        }
        let arms = ends.into_iter().filter_map(|(number, peers)| {
            let host = network.hosts.get(&number)?;
            let ports: BTreeSet<String> = peers.iter().filter_map(|peer| host.tunnels.get(peer).cloned()).collect();
            let body = probe_body(ProbeAction::Arm, &nonce, Some(ports.into_iter().collect()));
            Some(async move { self.ask_host(number, host, &body, ARMING).await.map(|_| number) })
        });
        let armed: BTreeSet<HostNumber> = join_all(arms).await.into_iter().flatten().collect();
        let is_armed = |(from, to): &Way| armed.contains(from) && armed.contains(to);
        let sends = plan_bursts(network, frames, is_armed, count).into_iter().map(|burst| {
            let body = PostProbe {
                size: Some(burst.size),
                count: Some(count),
                ..probe_body(ProbeAction::Send, &nonce, Some(burst.ports))
            };
            async move { self.ask_host(burst.from, burst.host, &body, SENDING).await.map(|_| burst.ways) }
        });
        let sent: BTreeSet<Way> = join_all(sends).await.into_iter().flatten().flatten().collect();
        tokio::time::sleep(UNDER_WAY).await;
        let mut arrived = self.read_arrivals(network, &nonce, &sent).await;
        // A switch that is busy counts what its datapath has dropped only some time later.
        let missing: BTreeSet<Way> = sent.into_iter().filter(|way| arrived.get(way) == Some(&false)).collect();
        if !missing.is_empty() {
            tokio::time::sleep(COUNTED).await;
            arrived.extend(self.read_arrivals(network, &nonce, &missing).await);
        }
        arrived
    }

    /// Whether a frame has arrived by each of these tunnels.
    async fn read_arrivals(&self, network: &Sweepable, nonce: &str, ways: &BTreeSet<Way>) -> Arrived {
        let receivers: BTreeSet<HostNumber> = ways.iter().map(|(_, to)| *to).collect();
        let reads = receivers.into_iter().filter_map(|number| {
            let host = network.hosts.get(&number)?;
            let body = probe_body(ProbeAction::Read, nonce, None);
            Some(async move { Some((number, self.ask_host(number, host, &body, SENDING).await?)) })
        });
        let answers: BTreeMap<HostNumber, ProbeAnswer> = join_all(reads).await.into_iter().flatten().collect();
        let of_way = |(from, to): &Way| {
            let port = network.hosts.get(to)?.tunnels.get(from)?;
            let tunnel = answers.get(to)?.tunnels.iter().find(|tunnel| tunnel.port == *port)?;
            Some(((*from, *to), tunnel.frames > 0))
        };
        ways.iter().filter_map(of_way).collect()
    }

    /// Asks a host's daemon; nothing where it does not do what it is asked in time.
    async fn ask_host(
        &self,
        number: HostNumber,
        host: &SweptHost,
        body: &PostProbe,
        within: Duration,
    ) -> Option<ProbeAnswer> {
        let (client, by) = self.host_client(number)?;
        let answer = tokio::time::timeout(within, client.probe_tunnels(&by, &host.bridge, body)).await;
        match answer {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => {
                tracing::debug!(host = host.name, action = body.action.as_str(), %error, "a probe was not carried out");
                None
            }
            Err(_) => None,
        }
    }
}

fn probe_body(action: ProbeAction, nonce: &str, tunnels: Option<Vec<String>>) -> PostProbe {
    PostProbe { action, nonce: nonce.to_owned(), seconds: None, size: None, count: None, tunnels }
}

/// What one request sends.
struct Burst<'a> {
    from: HostNumber,
    host: &'a SweptHost,
    size: u32,
    ports: Vec<String>,
    ways: Vec<Way>,
}

/// All that is sent, host by host and size by size, in requests that are not too large.
fn plan_bursts<'a>(
    network: &'a Sweepable,
    frames: &Frames,
    is_armed: impl Fn(&Way) -> bool,
    count: u32,
) -> Vec<Burst<'a>> {
    let mut of: BTreeMap<(HostNumber, u32), Vec<Way>> = BTreeMap::new();
    for (way, size) in frames.iter().filter(|(way, _)| is_armed(way)) {
        of.entry((way.0, *size)).or_default().push(*way);
    }
    let at_once = AT_ONCE / usize::try_from(count).unwrap_or(AT_ONCE).max(1);
    let bursts = of.iter().filter_map(|((from, size), ways)| Some((*from, *size, network.hosts.get(from)?, ways)));
    bursts
        .flat_map(|(from, size, host, ways)| {
            ways.chunks(at_once.max(1)).map(move |ways| {
                let ports = ways.iter().filter_map(|(_, to)| host.tunnels.get(to).cloned()).collect();
                Burst { from, host, size, ports, ways: ways.to_vec() }
            })
        })
        .collect()
}
