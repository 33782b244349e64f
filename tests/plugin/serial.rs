//! Calls of the plugin that are in flight together must end as if they had come one after the other: each with an answer, and
//! all with a state, that some order of them has.
//!
//! What it does: makes random calls for one bridge, says what each would answer in a given order, and looks for an order that
//! fits. What it must not do: know how the daemon works, or which kind of switch it is on. Both tests take this file in:
//! `crates/ovstunneld/tests/daemon/plugin_together.rs` and `tests/e2e/tests/e2e/plugin_together.rs`.

use std::collections::BTreeSet;

/// Calls in flight at once.
pub const AT_ONCE: usize = 5;

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The set-up of a plain network, or of a VPC.
    Setup,
    /// `destroy_ovs_bridge`
    Destroy,
    /// `create_tunnel` to this host.
    Create(u8),
    /// `destroy_tunnel` to this host.
    DestroyTunnel(u8),
    /// The topology with this number.
    Topology(u64),
    /// The policies with this number.
    Policies(u64),
}

/// What the bridge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// It is not there.
    Nobodys,
    /// xapi made it, and it has nothing of ours.
    Xapis,
    /// It is set up.
    Ours,
}

/// What can be seen when all calls are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The bridge.
    pub bridge: Whose,
    /// The hosts to which it has tunnels.
    pub tunnels: BTreeSet<u8>,
    /// The last topology and the last policies, of a VPC.
    pub last: (Option<u64>, Option<u64>),
    /// Whether xapi lists the host. Nothing where there is no xapi.
    pub listed: Option<bool>,
}

/// One run: what is there, and what is called.
#[derive(Clone, Debug)]
pub struct Run {
    /// Whether it is a VPC's bridge.
    pub vpc: bool,
    /// Whether xapi has made the bridge.
    pub by_xapi: bool,
    /// Calls before the others, one by one.
    pub before: Vec<Call>,
    /// Calls in flight together.
    pub together: Vec<Call>,
}

/// A small generator, so that a run can be had again by its number.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// With a seed of its own for each run.
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

impl Run {
    /// The run with this number.
    pub fn numbered(number: u64) -> Self {
        let mut random = Random::new(number + 1);
        let vpc = random.below(2) == 0;
        let by_xapi = random.below(2) == 0;
        let mut call = || {
            let host = 2 + u8::try_from(random.below(2)).unwrap_or_default();
            match random.below(if vpc { 10 } else { 6 }) {
                0 => Call::Destroy,
                1 | 2 => Call::Setup,
                3 | 4 => Call::Create(host),
                5 => Call::DestroyTunnel(host),
                6 | 7 => Call::Topology(1 + random.below(4)),
                _ => Call::Policies(1 + random.below(4)),
            }
        };
        let together = (0..AT_ONCE).map(|_| call()).collect();
        let before = match call() {
            // Half of the runs begin with a network that is there.
            Call::Setup | Call::Create(_) | Call::Topology(_) => vec![Call::Setup, Call::Create(2)],
            _ => vec![],
        };
        Run { vpc, by_xapi, before, together }
    }

    /// The bridge's name.
    pub fn bridge(&self) -> &'static str {
        if self.vpc { "xapi7" } else { "xapi1" }
    }

    /// What is there before the calls that are in flight together.
    fn begin(&self, has_xapi: bool) -> Outcome {
        let bridge = if self.by_xapi { Whose::Xapis } else { Whose::Nobodys };
        let listed = has_xapi.then_some(false);
        let mut outcome = Outcome { bridge, tunnels: BTreeSet::new(), last: (None, None), listed };
        self.before.iter().for_each(|call| drop(self.step(&mut outcome, *call)));
        outcome
    }

    /// What one call answers, and what it leaves.
    fn step(&self, now: &mut Outcome, call: Call) -> String {
        let bridge = self.bridge();
        let ours = |now: &mut Outcome| now.bridge = Whose::Ours;
        match call {
            Call::Setup => {
                ours(now);
                now.listed = now.listed.map(|_| true);
                format!("SUCCESS:{bridge}")
            }
            Call::Destroy => {
                let left = if self.by_xapi { Whose::Xapis } else { Whose::Nobodys };
                let listed = now.listed.map(|_| false);
                *now = Outcome { bridge: left, tunnels: BTreeSet::new(), last: (None, None), listed };
                format!("SUCCESS:{bridge}")
            }
            Call::Create(host) => match now.bridge {
                Whose::Nobodys => "FAILURE:NO_BRIDGE".to_owned(),
                // Without the name of its network nobody knows that it is a VPC's.
                Whose::Xapis if self.vpc && now.listed.is_none() => "?".to_owned(),
                Whose::Xapis | Whose::Ours => {
                    ours(now);
                    now.tunnels.insert(host);
                    format!("SUCCESS:t1001-1-{host}")
                }
            },
            Call::DestroyTunnel(host) => {
                now.tunnels.remove(&host);
                "SUCCESS".to_owned()
            }
            Call::Topology(number) => self.update(now, "topology", number),
            Call::Policies(number) => self.update(now, "policies", number),
        }
    }

    fn update(&self, now: &mut Outcome, what: &str, number: u64) -> String {
        if now.bridge == Whose::Nobodys {
            return "FAILURE:NO_BRIDGE".to_owned();
        }
        now.bridge = Whose::Ours;
        let last = if what == "topology" { &mut now.last.0 } else { &mut now.last.1 };
        let bridge = self.bridge();
        match *last {
            Some(last) if last >= number => {
                format!("SUCCESS: {what} {number} of {bridge} was ignored, for {last} was applied before")
            }
            _ => {
                *last = Some(number);
                format!("SUCCESS: {what} {number} of {bridge} was applied")
            }
        }
    }

    /// Whether some order of the calls has these answers and this outcome. A failure is told by its first word.
    pub fn has_an_order(&self, answers: &[String], outcome: &Outcome) -> bool {
        let answers: Vec<&str> = answers
            .iter()
            .map(
                |answer| {
                    if answer.starts_with("FAILURE:") { answer.split(' ').next().unwrap_or_default() } else { answer }
                },
            )
            .collect();
        let begin = self.begin(outcome.listed.is_some());
        self.fits(&begin, &mut (0..self.together.len()).collect(), &answers, outcome)
    }

    fn fits(&self, now: &Outcome, left: &mut Vec<usize>, answers: &[&str], outcome: &Outcome) -> bool {
        if left.is_empty() {
            return now == outcome;
        }
        (0..left.len()).any(|n| {
            let (mut next, call) = (now.clone(), left.remove(n));
            let fits =
                self.step(&mut next, self.together[call]) == answers[call] && self.fits(&next, left, answers, outcome);
            left.insert(n, call);
            fits
        })
    }
}

#[test]
fn an_answer_that_no_order_has_is_found() {
    let run = Run { vpc: false, by_xapi: false, before: vec![], together: vec![Call::Setup, Call::Create(2)] };
    let outcome = |bridge, tunnels: &[u8]| Outcome {
        bridge,
        tunnels: tunnels.iter().copied().collect(),
        last: (None, None),
        listed: None,
    };
    let answers = |create: &str| ["SUCCESS:xapi1".to_owned(), create.to_owned()];
    assert!(run.has_an_order(&answers("SUCCESS:t1001-1-2"), &outcome(Whose::Ours, &[2])));
    assert!(run.has_an_order(&answers("FAILURE:NO_BRIDGE there is none"), &outcome(Whose::Ours, &[])));
    assert!(!run.has_an_order(&answers("FAILURE:NO_BRIDGE there is none"), &outcome(Whose::Ours, &[2])));
    assert!(!run.has_an_order(&answers("SUCCESS:t1001-1-2"), &outcome(Whose::Ours, &[])));
    assert!(!run.has_an_order(&answers("FAILURE:IN_THE_WAY x"), &outcome(Whose::Ours, &[])));
}
