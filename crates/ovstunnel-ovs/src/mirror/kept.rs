//! The large bridge that was looked at last, as planning sees it.
//!
//! What it does: has the next look at it read what changed since, and not some thousand ports. What it must not do: keep a second copy of the
//! whole mirror, so it keeps one bridge; or read rows itself.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use ovstunnel_plan::ObservedBridge;
use uuid::Uuid;

/// The bridge, where one is kept.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Option<KeptBridge>>);

/// Another mirror has nothing to read it from yet.
impl Clone for Kept {
    fn clone(&self) -> Self {
        Kept::default()
    }
}

#[derive(Debug)]
struct KeptBridge {
    uuid: Uuid,
    bridge: Arc<ObservedBridge>,
    since: Option<Since>,
}

/// What changed of a bridge since it was read.
#[derive(Debug, Default)]
pub(super) struct Since {
    /// Names of ports that changed or went.
    pub names: BTreeSet<String>,
    /// Ports that changed or came.
    pub ports: BTreeSet<Uuid>,
}

impl Kept {
    /// The bridge with this row: as it is kept, once `read_again` has seen to what changed, else as `read` finds it.
    pub(super) fn bridge(
        &self,
        uuid: Uuid,
        read: impl FnOnce() -> ObservedBridge,
        read_again: impl FnOnce(&mut Arc<ObservedBridge>, &Since),
    ) -> Arc<ObservedBridge> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(KeptBridge { bridge, since, .. }) = lock().as_mut().filter(|kept| kept.uuid == uuid) {
            if let Some(since) = since.take() {
                read_again(bridge, &since);
            }
            return Arc::clone(bridge);
        }
        // Others look at other bridges meanwhile; and nothing changes, for a mirror that is looked at is not written to.
        let bridge = Arc::new(read());
        *lock() = Some(KeptBridge { uuid, bridge: Arc::clone(&bridge), since: None });
        bridge
    }

    /// The row of the bridge that is kept.
    pub(super) fn row(&mut self) -> Option<Uuid> {
        self.kept().as_ref().map(|kept| kept.uuid)
    }

    /// Something of it changed, for all that is known no port.
    pub(super) fn note_change(&mut self) {
        if let Some(kept) = self.kept() {
            kept.since.get_or_insert_default();
        }
    }

    /// A port of it changed, came or goes; `name` is the one that it has now.
    pub(super) fn note_port(&mut self, port: Uuid, name: Option<String>) {
        if let Some(kept) = self.kept() {
            let since = kept.since.get_or_insert_default();
            since.ports.insert(port);
            since.names.extend(name);
        }
    }

    fn kept(&mut self) -> &mut Option<KeptBridge> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use ovstunnel_plan::View;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::view::observed_bridge;
    use super::*;
    use crate::Db;

    const PORTS: usize = 6;

    /// Two bridges and some ports that come, change, move and go.
    #[derive(Default)]
    struct World {
        db: Db,
        there: [bool; 2],
        owners: [Option<usize>; PORTS],
    }

    fn row(kind: u128, number: usize) -> String {
        Uuid::from_u128(kind << 64 | number as u128).to_string()
    }

    fn port(number: usize) -> Value {
        json!(["uuid", row(2, number)])
    }

    impl World {
        fn apply(&mut self, update: Value) {
            self.db.apply_update(serde_json::from_str(&update.to_string()).unwrap());
        }

        fn ports_of(&self, bridge: usize) -> Vec<usize> {
            (0..PORTS).filter(|port| self.owners[*port] == Some(bridge)).collect()
        }

        fn make_bridge(&mut self, bridge: usize) {
            if !std::mem::replace(&mut self.there[bridge], true) {
                self.apply(json!({"Bridge": {row(1, bridge): {"insert": {"name": format!("b{bridge}")}}}}));
            }
        }

        fn delete_bridge(&mut self, bridge: usize) {
            if std::mem::take(&mut self.there[bridge]) {
                let gone = self.ports_of(bridge);
                gone.iter().for_each(|port| self.owners[*port] = None);
                let rows =
                    |kind| -> Value { gone.iter().map(|port| (row(kind, *port), json!({"delete": null}))).collect() };
                self.apply(
                    json!({"Bridge": {row(1, bridge): {"delete": null}}, "Port": rows(2), "Interface": rows(3)}),
                );
            }
        }

        fn make_port(&mut self, number: usize, bridge: usize) {
            self.make_bridge(bridge);
            self.owners[number] = Some(bridge);
            self.apply(json!({
                "Bridge": {row(1, bridge): {"modify": {"ports": port(number)}}},
                "Port": {row(2, number): {"insert": {"name": format!("p{number}"), "interfaces": ["uuid", row(3, number)]}}},
                "Interface": {row(3, number): {"insert": {"name": format!("p{number}"), "type": "gre"}}},
            }));
        }

        fn delete_port(&mut self, number: usize, bridge: usize) {
            self.owners[number] = None;
            self.apply(json!({
                "Bridge": {row(1, bridge): {"modify": {"ports": port(number)}}},
                "Port": {row(2, number): {"delete": null}},
                "Interface": {row(3, number): {"delete": null}},
            }));
        }

        fn move_port(&mut self, number: usize, from: usize) {
            let to = 1 - from;
            self.make_bridge(to);
            self.owners[number] = Some(to);
            let moved = || json!({"modify": {"ports": port(number)}});
            self.apply(json!({"Bridge": {row(1, from): moved(), row(1, to): moved()}}));
        }

        /// One of all that may happen.
        fn happen(&mut self, (what, number, bridge, value): (u8, usize, usize, u8)) {
            let is_there = self.there[bridge];
            match (what, self.owners[number]) {
                (0, None) => self.make_port(number, bridge),
                (0, Some(bridge)) => self.delete_port(number, bridge),
                (1, Some(bridge)) => self.move_port(number, bridge),
                (2, Some(_)) => {
                    self.apply(json!({"Interface": {row(3, number): {"modify": {"ofport": value, "mtu": 1400}}}}));
                }
                (3, Some(_)) => self.apply(json!({"Port": {row(2, number): {"modify": {"protected": value > 1}}}})),
                (4, Some(_)) => {
                    self.apply(json!({"Port": {row(2, number): {"modify": {"name": format!("q{number}-{value}")}}}}))
                }
                (5, _) if is_there => {
                    self.apply(json!({"Bridge": {row(1, bridge): {"modify": {"stp_enable": value > 1}}}}));
                }
                (6, _) => self.delete_bridge(bridge),
                (7, _) if is_there => {
                    let table = row(4, bridge);
                    let has = self.db.flow_tables.contains_key(&table.parse().unwrap());
                    let tables = json!(["map", [[0, ["uuid", table]]]]);
                    match has {
                        true => self.apply(json!({"Flow_Table": {table: {"modify": {"flow_limit": value}}}})),
                        false => self.apply(json!({
                            "Bridge": {row(1, bridge): {"modify": {"flow_tables": tables}}},
                            "Flow_Table": {table: {"insert": {"flow_limit": value}}},
                        })),
                    }
                }
                _ => {}
            }
        }

        fn expect_as_the_rows_are(&self, bridge: usize) {
            let uuid: Uuid = row(1, bridge).parse().unwrap();
            let wanted = self.db.bridges.get(&uuid).map(|row| observed_bridge(&self.db, uuid, row, &row.ports));
            assert_eq!(self.db.view().bridge(&format!("b{bridge}")).as_deref(), wanted.as_ref());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Whatever happens between two looks, whichever bridge is looked at, and whether somebody still has what was seen before.
        #[test]
        fn what_is_kept_is_as_the_rows_are(
            happens in prop::collection::vec(((0u8..8, 0..PORTS, 0..2usize, 0u8..4), 0u8..4), 1..60),
        ) {
            let (mut world, mut held) = (World::default(), None);
            for (what, look) in happens {
                world.happen(what);
                if look < 2 {
                    world.expect_as_the_rows_are(usize::from(look));
                    held = world.db.view().bridge("b0").filter(|_| what.3 == 0).or(held);
                }
            }
            world.expect_as_the_rows_are(0);
            world.expect_as_the_rows_are(1);
        }
    }

    #[test]
    fn what_did_not_change_is_not_read_again() {
        let mut world = World::default();
        (0..PORTS).for_each(|number| world.make_port(number, 0));
        let look = |world: &World| world.db.view().bridge("b0").unwrap();
        let first = look(&world);
        world.make_bridge(1);
        assert!(Arc::ptr_eq(&first, &look(&world)));
        world.happen((2, 3, 0, 7));
        let then = look(&world);
        assert_eq!(
            (first.ports["p3"].interface().unwrap().ofport, then.ports["p3"].interface().unwrap().ofport),
            (None, Some(7))
        );
    }
}
