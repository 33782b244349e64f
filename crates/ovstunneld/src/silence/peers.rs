//! Which hosts have been silent, for how long, and to which the tunnels may go (docs/adr/0051-tunnels-to-hosts-that-have-left.md).
//!
//! What it does: compares each look with the one before, and judges. What it must not do: look, know a clock (the time that has passed is
//! given), or change anything.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use uuid::Uuid;

/// BFD of a tunnel, as far as it says whether the other host is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Session {
    /// Both ends hear each other.
    Up,
    /// Nothing is heard; it was up before or not, as far as `ovs-vswitchd` has counted.
    Down { was_up: bool },
    /// Anything else: something is heard, or nobody knows.
    Other,
}

/// A tunnel at a look.
#[derive(Clone, Debug)]
pub(super) struct TunnelSeen {
    /// The row of its interface: of one that was made anew, another one.
    pub interface: Uuid,
    /// Address of the other host.
    pub remote: IpAddr,
    /// Frames that have come by it; nothing where Open vSwitch has not counted yet.
    pub received: Option<u64>,
    /// BFD on it, where it is to run.
    pub session: Option<Session>,
}

/// Why the tunnels to a host that has been silent for long stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
    /// A manager has recorded its epoch: it decides.
    Manager,
    /// BFD with it has not been seen up: nothing says that it was ever there.
    NeverUp,
    /// Of the hosts with which BFD has been up, fewer than half answer: this host may be the one that is cut off.
    FewAnswer {
        /// Those that answer.
        answer: usize,
        /// All of them.
        of: usize,
    },
}

/// A host that has been silent for longer than is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silent {
    /// Its address.
    pub remote: IpAddr,
    /// For how long nothing has come from it, as far as it was looked at.
    pub silent: Duration,
    /// Tunnels to it, of all bridges.
    pub tunnels: usize,
    /// Why they stay; nothing where they may go.
    pub stays: Option<Stays>,
}

/// What is known of one other host.
#[derive(Debug, Default)]
struct Peer {
    /// Frames that had come at the last look, by interface.
    received: BTreeMap<Uuid, Option<u64>>,
    /// Interfaces on which BFD runs now and has been up.
    has_been_up: BTreeSet<Uuid>,
    /// BFD is up on one of them now.
    answers: bool,
    silent: Duration,
}

impl Peer {
    /// Takes in a look, so long after the last one.
    fn take_observation(&mut self, tunnels: &[&TunnelSeen], asked_for: bool, passed: Duration) {
        // One that has gone says nothing; a new one says that somebody wants it.
        let news = |tunnel: &&TunnelSeen| self.received.get(&tunnel.interface) != Some(&tunnel.received);
        let heard = tunnels.iter().any(news);
        self.received = tunnels.iter().map(|tunnel| (tunnel.interface, tunnel.received)).collect();

        let sessions: BTreeMap<Uuid, Session> =
            tunnels.iter().filter_map(|tunnel| Some((tunnel.interface, tunnel.session?))).collect();
        self.has_been_up.retain(|interface| sessions.contains_key(interface));
        let up = |session: &Session| matches!(session, Session::Up | Session::Down { was_up: true });
        self.has_been_up.extend(sessions.iter().filter(|(_, session)| up(session)).map(|(interface, _)| *interface));
        self.answers = sessions.values().any(|session| *session == Session::Up);

        let down = sessions.values().all(|session| matches!(session, Session::Down { .. }));
        self.silent = if down && !heard && !asked_for { self.silent + passed } else { Duration::ZERO };
    }
}

/// All hosts to which tunnels lead, by address.
#[derive(Debug, Default)]
pub(super) struct Peers(BTreeMap<IpAddr, Peer>);

impl Peers {
    /// Takes in a look at all tunnels, so long after the last one: `asked_for` are the hosts of which somebody has asked for a tunnel since.
    pub fn take_observations(&mut self, tunnels: &[TunnelSeen], asked_for: &BTreeSet<IpAddr>, passed: Duration) {
        let mut by_remote: BTreeMap<IpAddr, Vec<&TunnelSeen>> = BTreeMap::new();
        tunnels.iter().for_each(|tunnel| by_remote.entry(tunnel.remote).or_default().push(tunnel));
        self.0.retain(|remote, _| by_remote.contains_key(remote));
        for (remote, tunnels) in by_remote {
            self.0.entry(remote).or_default().take_observation(&tunnels, asked_for.contains(&remote), passed);
        }
    }

    /// Nothing could be seen for a while: of nobody is it known that it was silent.
    pub fn begin_anew(&mut self) {
        self.0.values_mut().for_each(|peer| peer.silent = Duration::ZERO);
    }

    /// How many hosts answer, of those with which BFD has been up.
    pub fn answering_counts(&self) -> (usize, usize) {
        let known = || self.0.values().filter(|peer| !peer.has_been_up.is_empty());
        (known().filter(|peer| peer.answers).count(), known().count())
    }

    /// The hosts that have been silent for at least so long, the longest first.
    pub fn silent_for(&self, at_least: Duration, manager: bool) -> Vec<Silent> {
        let (answer, of) = self.answering_counts();
        let stays = |peer: &Peer| {
            if manager {
                Some(Stays::Manager)
            } else if peer.has_been_up.is_empty() {
                Some(Stays::NeverUp)
            } else if 2 * answer < of {
                Some(Stays::FewAnswer { answer, of })
            } else {
                None
            }
        };
        let silent = self.0.iter().filter(|(_, peer)| peer.silent >= at_least);
        let told = |(remote, peer): (&IpAddr, &Peer)| Silent {
            remote: *remote,
            silent: peer.silent,
            tunnels: peer.received.len(),
            stays: stays(peer),
        };
        let mut all: Vec<Silent> = silent.map(told).collect();
        all.sort_by_key(|one| std::cmp::Reverse(one.silent));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Duration = Duration::from_secs(10);
    const AFTER: Duration = Duration::from_secs(30);
    const DOWN: Option<Session> = Some(Session::Down { was_up: false });
    const WAS_UP: Option<Session> = Some(Session::Down { was_up: true });
    const UP: Option<Session> = Some(Session::Up);

    fn remote(host: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, host])
    }

    /// The tunnel of a host in a network.
    fn tunnel(host: u8, network: u8, received: u64, session: Option<Session>) -> TunnelSeen {
        let interface = Uuid::from_u128(u128::from(host) * 256 + u128::from(network));
        TunnelSeen { interface, remote: remote(host), received: Some(received), session }
    }

    fn last_octet(remote: IpAddr) -> u8 {
        let IpAddr::V4(remote) = remote else { panic!("{remote}") };
        remote.octets()[3]
    }

    /// Four looks, by which whoever was silent has been so for long enough: what the last one says of each host.
    fn after_looks(looks: [Vec<TunnelSeen>; 4]) -> Vec<(u8, Option<Stays>)> {
        let mut peers = Peers::default();
        looks.iter().for_each(|tunnels| peers.take_observations(tunnels, &BTreeSet::new(), LOOK));
        peers.silent_for(AFTER, false).into_iter().map(|one| (last_octet(one.remote), one.stays)).collect()
    }

    fn each(tunnels: &[TunnelSeen]) -> [Vec<TunnelSeen>; 4] {
        [tunnels.to_vec(), tunnels.to_vec(), tunnels.to_vec(), tunnels.to_vec()]
    }

    #[test]
    fn a_peer_now_silent_may_go_while_half_of_the_others_answer() {
        let few = |answer, of| Some(Stays::FewAnswer { answer, of });
        let cases = [
            ("one of two", vec![tunnel(2, 1, 5, WAS_UP), tunnel(3, 1, 5, UP)], vec![(2, None)]),
            ("the only one", vec![tunnel(2, 1, 5, WAS_UP)], vec![(2, few(0, 1))]),
            (
                "one of three answers",
                vec![tunnel(2, 1, 5, WAS_UP), tunnel(3, 1, 5, WAS_UP), tunnel(4, 1, 5, UP)],
                vec![(2, few(1, 3)), (3, few(1, 3))],
            ),
            (
                "whoever never was up is not counted",
                vec![tunnel(2, 1, 5, WAS_UP), tunnel(3, 1, 5, UP), tunnel(4, 1, 5, DOWN), tunnel(5, 1, 5, None)],
                vec![(2, None), (4, Some(Stays::NeverUp)), (5, Some(Stays::NeverUp))],
            ),
            (
                "tunnels without BFD share the verdict",
                vec![tunnel(2, 1, 5, WAS_UP), tunnel(2, 2, 7, None), tunnel(3, 1, 5, UP)],
                vec![(2, None)],
            ),
            (
                "one session of two is up",
                vec![tunnel(2, 1, 5, WAS_UP), tunnel(2, 2, 7, UP), tunnel(3, 1, 5, UP)],
                vec![],
            ),
            ("heard, and not yet hearing", vec![tunnel(2, 1, 5, Some(Session::Other)), tunnel(3, 1, 5, UP)], vec![]),
        ];
        for (what, tunnels, expected) in cases {
            assert_eq!(after_looks(each(&tunnels)), expected, "{what}");
        }
    }

    #[test]
    fn a_frame_by_any_tunnel_or_a_new_tunnel_resets_the_silence() {
        let quiet = vec![tunnel(2, 1, 5, WAS_UP), tunnel(2, 2, 7, None), tunnel(3, 1, 5, UP)];
        let with = |tunnel: TunnelSeen| [vec![tunnel], quiet[1..].to_vec()].concat();
        let frame = [quiet[0].clone(), tunnel(2, 2, 8, None), quiet[2].clone()].to_vec();
        assert_eq!(after_looks([quiet.clone(), frame.clone(), frame.clone(), frame]), []);
        let made = [quiet.clone(), vec![tunnel(2, 3, 0, None)]].concat();
        assert_eq!(after_looks([quiet.clone(), quiet.clone(), made.clone(), made]), []);
        // Counters that began anew.
        let less = with(tunnel(2, 1, 0, WAS_UP));
        assert_eq!(after_looks([quiet.clone(), quiet.clone(), quiet.clone(), less]), []);
        let came_back = with(tunnel(2, 1, 5, UP));
        assert_eq!(after_looks([quiet.clone(), quiet.clone(), came_back, quiet.clone()]), []);
        // Nor does one that goes begin it anew: else the rest of a removal that was cut short would stay.
        let fewer = vec![quiet[0].clone(), quiet[2].clone()];
        assert_eq!(after_looks([quiet.clone(), quiet, fewer.clone(), fewer]), [(2, None)]);
    }

    #[test]
    fn what_was_up_is_remembered_while_its_session_exists() {
        let (up, down) =
            (vec![tunnel(2, 1, 5, UP), tunnel(3, 1, 5, UP)], vec![tunnel(2, 1, 5, DOWN), tunnel(3, 1, 5, UP)]);
        let mut peers = Peers::default();
        let mut look = |tunnels: &[TunnelSeen]| {
            peers.take_observations(tunnels, &BTreeSet::new(), LOOK);
            peers.silent_for(AFTER, false).into_iter().map(|one| one.stays).collect::<Vec<_>>()
        };
        // `ovs-vswitchd` was started anew, and counts from nothing.
        assert_eq!([&up, &down, &down].map(|tunnels| look(tunnels)), [vec![], vec![], vec![]]);
        assert_eq!(look(&down), [None]);
        // BFD was switched off and on again.
        look(&[tunnel(2, 1, 5, None), tunnel(3, 1, 5, UP)]);
        assert_eq!(look(&down), [Some(Stays::NeverUp)]);
    }

    #[test]
    fn what_is_asked_for_and_what_could_not_be_seen_is_not_silent() {
        let tunnels = [tunnel(2, 1, 5, WAS_UP), tunnel(3, 1, 5, UP)];
        let mut peers = Peers::default();
        let (asked, nobody) = (BTreeSet::from([remote(2)]), BTreeSet::new());
        (0..4).for_each(|_| peers.take_observations(&tunnels, &nobody, LOOK));
        assert_eq!(peers.silent_for(AFTER, true)[0].stays, Some(Stays::Manager));
        assert_eq!(peers.silent_for(AFTER + LOOK, false), [], "not long enough");
        peers.take_observations(&tunnels, &asked, LOOK);
        assert_eq!(peers.silent_for(AFTER, false), []);
        (0..3).for_each(|_| peers.take_observations(&tunnels, &nobody, LOOK));
        let expected = Silent { remote: remote(2), silent: AFTER, tunnels: 1, stays: None };
        assert_eq!(peers.silent_for(AFTER, false), [expected]);
        peers.begin_anew();
        assert_eq!(peers.silent_for(AFTER, false), []);
    }
}
