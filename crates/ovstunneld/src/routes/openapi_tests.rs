//! What holds for the whole description: one scheme of operation ids, an example of each body, and the file in `openapi`.

use std::collections::BTreeSet;

use ovstunnel_api::*;
use serde_json::Value;

use super::*;

fn described() -> Value {
    serde_json::to_value(description()).unwrap()
}

/// The file is for whoever writes a client without a daemon at hand, and for who reads a change: what it does to the API
/// stands in its difference.
#[test]
fn the_file_in_openapi_is_what_the_daemon_serves() {
    let served = serde_json::to_string_pretty(&description()).unwrap() + "\n";
    ovstunnel_test_support::expect_file(
        "openapi/ovstunneld-v1.json",
        &served,
        "cargo test -p ovstunneld --lib openapi",
    );
}

/// A generated client has a method for each of them: a verb, and what it is about.
#[test]
fn operation_ids_are_a_verb_and_a_noun() {
    const VERBS: [(&str, &[&str]); 4] = [
        ("get", &["get", "list", "watch"]),
        ("put", &["put"]),
        ("post", &["post", "release", "call", "reconcile", "takeOver", "probe"]),
        ("delete", &["delete"]),
    ];
    let (api, mut seen) = (described(), BTreeSet::new());
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let (_, verbs) = VERBS.into_iter().find(|(of, _)| of == method).unwrap();
            let noun = |verb: &&str| id.strip_prefix(*verb).is_some_and(|noun| noun.starts_with(char::is_uppercase));
            assert!(verbs.iter().any(noun), "{method} {path}: {id} begins with none of {verbs:?}");
            assert!(id.bytes().all(|byte| byte.is_ascii_alphabetic()), "{id}");
            assert!(seen.insert(id.to_owned()), "{id} stands twice");
        }
    }
    assert!(seen.contains("listBridges") && seen.contains("putBridge"), "{seen:?}");
}

/// Reads an example as the type of that name.
fn read(name: &str, example: Value) -> Result<(), serde_json::Error> {
    macro_rules! by_name {
        ($($type:ident)*) => {
            match name {
                $(stringify!($type) => serde_json::from_value::<$type>(example).map(drop),)*
                other => panic!("{other} is not in the list of this test"),
            }
        };
    }
    by_name!(
        AclDecision AddressTable Bfd Bridge BridgeAnswer BridgeGone BridgeList BridgeSelection Changed Claim CountersAnswer DoctorAnswer EpochAnswer EpochState Finding Flows FollowedFrame FrameOut Health Id Interface KnownAddress LimitCounted LogAnswer Neighbour OutcomeAnswer PlanAnswer PlannedCommand PluginAnswer PluginArguments PostKind PostProbe PostTunnel ProbeAnswer ProbedTunnel Problem PutBfd PutBridge PutEpoch PutLog PutNeighbour PutTunnel PutXapiNetwork Ready Reason ReconcileAnswer ReconcileRun RefusedTunnel SecondKind SpanningTree SupportAnswer SupportPart
        TakeoverAnswer TakeoverBridge TakeoverPlan TakeoverRequest Tier Tunnel TunnelAnswer TunnelCounters UnexpectedPackets Vif VifAnswer VifLimit Vpc
        WatchSnapshot XapiNetwork XapiNetworkAnswer
    )
}

#[test]
fn every_body_has_an_example_that_is_one() {
    let (api, mut bodies) = (described(), 0);
    for (name, schema) in api["components"]["schemas"].as_object().unwrap() {
        // The words of an enumeration are its examples.
        if schema.get("enum").is_some() {
            continue;
        }
        let example = schema.get("example").unwrap_or_else(|| panic!("{name} has no example"));
        if let Some("string" | "integer") = schema["type"].as_str() {
            continue;
        }
        bodies += 1;
        if let Err(error) = read(name, example.clone()) {
            panic!("the example of {name} is none: {error}");
        }
    }
    assert!(bodies >= 40, "{bodies}");
}

#[test]
fn who_may_ask_where_is_described() {
    let api = described();
    assert_eq!(api["components"]["securitySchemes"]["mutualTLS"]["type"], "mutualTLS");
    assert_eq!(api["servers"][0]["url"], "https://{host}:{port}");
    assert_eq!(api["servers"][0]["variables"]["port"]["default"], "8443");
    let wrong_method = &api["components"]["responses"]["MethodNotAllowed"];
    assert!(wrong_method["headers"]["allow"].is_object(), "{wrong_method}");
}
