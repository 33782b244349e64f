//! What `ovsdb-server` sends: a stream of JSON-RPC messages, the content of the database and its changes.

use ovstunnel_ovs::fuzzing::{Mirror, split_messages};
use ovstunnel_plan::{DesiredBridge, ObservedBridge, Settings, View, survey_bridges};

use crate::model::flows_hold;

/// However the stream is cut, the same messages come out. After each the mirror fits together, can be looked at, what it
/// records can be written again as it was, and what follows from it are flows of ours alone.
pub(crate) fn database(data: &[u8]) {
    let Some((piece, stream)) = data.split_first() else { return };
    let whole = split_messages(stream, stream.len());
    assert_eq!(whole, split_messages(stream, usize::from(*piece)), "cut at {piece}");
    let mirror = Mirror::empty();
    for message in whole.into_iter().flatten().take(16) {
        match mirror.take_message(&message) {
            Ok(answer) => assert!(answer.is_none_or(|answer| answer.starts_with("{\"id\":"))),
            Err(error) => assert!(!error.is_empty()),
        }
        assert_eq!(mirror.inconsistency(), None);
    }
    mirror.read(|db| {
        let view = db.view();
        let seen = db.bridge_names().into_iter().filter_map(|name| view.bridge(&name));
        let bridges: Vec<ObservedBridge> = seen.map(std::sync::Arc::unwrap_or_clone).collect();
        bridges.iter().for_each(look);
        let found = survey_bridges(&bridges, &Settings::default());
        assert!(found.keys().all(|name| bridges.iter().any(|bridge| bridge.name == *name)));
    });
}

fn look(bridge: &ObservedBridge) {
    let settings = Settings::default();
    let _ = DesiredBridge::bridge_mark(bridge);
    let Some(desired) = DesiredBridge::from_record(bridge) else { return };
    flows_hold(&desired, bridge, &settings);
    let mut again = bridge.clone();
    for (key, value) in desired.external_ids() {
        match value {
            Some(value) => drop(again.external_ids.insert(key, value)),
            None => drop(again.external_ids.remove(&key)),
        }
    }
    assert_eq!(DesiredBridge::from_record(&again).as_ref(), Some(&desired), "written again");
}
