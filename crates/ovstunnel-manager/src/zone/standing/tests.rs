//! Nobody leaves without a word: random histories of what hosts, the plugin and a cloud say, judged against what was said.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use ovstunnel_api::{Bridge, Claim, ClaimSays};
use ovstunnel_manager_api::Mode;
use ovstunnel_mesh::membership::Rules;
use ovstunnel_store::{NetworkRow, NicRow};
use ovstunnel_types::{GreKey, HostNumber, NetworkNumber};
use proptest::prelude::*;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::hosts::Picture;
use crate::zone::{Recorded, Row, Told, Zone};

const HOSTS: u64 = 4;

/// What a host says of the network's bridge.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    vifs: usize,
    claim: Option<ClaimSays>,
}

#[derive(Clone, Debug)]
enum Step {
    /// A host says that it has the bridge like this, or none.
    Says(u64, Option<Said>),
    /// The plugin takes the bridge away, and the host tells so.
    Destroys(u64),
    /// A host does not answer any more.
    Silent(u64),
    /// A NIC is prepared, or released.
    Nic(u64, bool),
    /// The network is removed by name, its key in quarantine; or recorded again.
    Removed(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let claim = prop_oneof![Just(None), Just(Some(ClaimSays::In)), Just(Some(ClaimSays::Out))];
    let said = prop::option::of((0usize..2, claim).prop_map(|(vifs, claim)| Said { vifs, claim }));
    prop_oneof![
        8 => (1..=HOSTS, said).prop_map(|(host, said)| Step::Says(host, said)),
        1 => (1..=HOSTS).prop_map(Step::Destroys),
        1 => (1..=HOSTS).prop_map(Step::Silent),
        1 => (1..=HOSTS, any::<bool>()).prop_map(|(host, is_there)| Step::Nic(host, is_there)),
        1 => any::<bool>().prop_map(Step::Removed),
    ]
}

fn host(n: u64) -> HostNumber {
    n.try_into().unwrap()
}

fn key() -> GreKey {
    "1001".parse().unwrap()
}

fn network() -> NetworkNumber {
    1u64.try_into().unwrap()
}

fn bridge(n: u64, said: Said) -> Bridge {
    let to = n % HOSTS + 1;
    let vifs: Vec<_> = (0..said.vifs).map(|vif| json!({"name": format!("vif{vif}.0"), "ofport": 1})).collect();
    let mut bridge: Bridge = serde_json::from_value(json!({
        "name": "xapi1", "key": 1001, "host_id": n.to_string(), "ipv6": "drop", "adopted": false, "vifs": vifs, "other_ports": [],
        "tunnels": [{
            "port": format!("t1001-{n}-{to}"), "from": n.to_string(), "to": to.to_string(), "remote_ip": format!("192.0.2.{to}"),
            "key": 1001, "ofport": 3, "state": "up", "protected": true,
        }],
        "flows": {"state": "in_sync", "expected": 4, "installed": 4}, "health": {"state": "ok", "reasons": []},
    }))
    .unwrap();
    let at = OffsetDateTime::now_utc().format(&Rfc3339).unwrap();
    bridge.claim = said.claim.map(|says| Claim { says, at, peer: None });
    bridge
}

/// What was said, kept as simply as can be.
#[derive(Default)]
struct Model {
    says: [Option<Option<Said>>; HOSTS as usize + 1],
    silent: BTreeSet<u64>,
    destroyed: BTreeSet<u64>,
    nics: BTreeSet<u64>,
    had_nics: bool,
    removed: bool,
}

impl Model {
    /// Whether somebody says of this host that it has VMs of the network.
    fn wanted(&self, n: u64) -> bool {
        let said = self.says[n as usize].flatten().unwrap_or_default();
        (!self.removed && self.nics.contains(&n)) || said.vifs > 0 || said.claim == Some(ClaimSays::In)
    }

    /// Whether anybody has let go of it.
    fn let_go(&self, n: u64) -> bool {
        let said = self.says[n as usize].flatten().unwrap_or_default();
        self.removed || self.had_nics || self.destroyed.contains(&n) || said.claim == Some(ClaimSays::Out)
    }
}

struct Bench {
    zone: Zone,
    version: u64,
}

impl Bench {
    fn new() -> Bench {
        let (zone, _) = Zone::new("dc1");
        zone.set_rules(Rules { linger: Duration::ZERO, ..Rules::default() });
        zone.start_acting();
        for n in 1..=HOSTS {
            let (api, name) = (String::new(), format!("h{n}"));
            zone.register_host(Row { number: host(n), name, api, rack: None, label: None, mode: Mode::Manage });
            zone.record_lead(host(n), None);
        }
        let bench = Bench { zone, version: 0 };
        bench.record();
        bench
    }

    fn record(&self) {
        let row = NetworkRow {
            number: network(),
            name: "web".into(),
            physical_network: "p1".into(),
            key: Some(key()),
            ipv6: None,
            mtu: None,
            created: 0,
        };
        self.zone.restore_network(Recorded::new(row));
    }

    fn say(&mut self, n: u64, said: Option<Said>) {
        self.version += 1;
        let bridges: Vec<Bridge> = said.into_iter().map(|said| bridge(n, said)).collect();
        let snapshot = Picture::new(&bridges, self.zone.origin()).unwrap().snapshot_at("life", self.version);
        let health = serde_json::from_value(json!({"state": "ok", "reasons": []})).unwrap();
        let told = Told { daemon: None, capabilities: vec![], health, watched: true };
        self.zone.host_connected(host(n), told, snapshot);
    }

    fn take(&mut self, model: &mut Model, step: &Step) {
        match *step {
            Step::Says(n, said) => {
                self.say(n, said);
                let before = model.says[n as usize].replace(said).flatten();
                model.silent.remove(&n);
                let had_left = before.is_some_and(|before| before.vifs == 0 && before.claim == Some(ClaimSays::Out));
                if said.is_none() && had_left {
                    // Whoever took it away: that the host has let go of it holds until it has another one.
                    model.destroyed.insert(n);
                }
                if said.is_some() {
                    model.destroyed.remove(&n);
                }
            }
            Step::Destroys(n) if model.says[n as usize].flatten().is_some() => {
                self.zone.destroyed_by_plugin(host(n), [key()]);
                self.say(n, None);
                model.says[n as usize] = Some(None);
                model.silent.remove(&n);
                model.destroyed.insert(n);
            }
            Step::Destroys(_) => {}
            Step::Silent(n) => {
                self.zone.host_silent(host(n), "no answer".to_owned());
                model.silent.insert(n);
            }
            Step::Nic(..) if model.removed => {}
            Step::Nic(n, is_there) => {
                let id = format!("n{n}");
                let nic = NicRow {
                    network: network(),
                    id: id.clone(),
                    vm: None,
                    mac: None,
                    ip: None,
                    host: host(n),
                    moving_to: None,
                };
                self.zone.place_nic(network(), &id, is_there.then_some(nic), None);
                model.had_nics |= is_there;
                if is_there {
                    model.nics.insert(n)
                } else {
                    model.nics.remove(&n)
                };
            }
            Step::Removed(true) => {
                self.zone.set_quarantined([key()].into());
                self.zone.forget_network(network());
                (model.removed, model.had_nics) = (true, false);
                model.nics.clear();
            }
            Step::Removed(false) => {
                if model.removed {
                    self.zone.set_quarantined(BTreeSet::new());
                    self.record();
                    model.removed = false;
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn a_host_leaves_by_a_word_and_stays_while_anybody_wants_it(steps in prop::collection::vec(step(), 1..40)) {
        let (mut bench, mut model) = (Bench::new(), Model::default());
        for step in steps {
            bench.take(&mut model, &step);
            bench.zone.prove_changed();
            let Some(found) = bench.zone.network_difference(key(), Duration::from_secs(600)) else { continue };
            for removal in found.removals() {
                let left = removal.because_left.map(HostNumber::get).unwrap();
                prop_assert!(!model.wanted(left), "{removal:?} after {step:?}: somebody wants host {left}");
                prop_assert!(model.let_go(left), "{removal:?} after {step:?}: nobody has let go of host {left}");
            }
        }
    }
}
