//! From any flows that were seen to the ones that must be there.

use std::collections::BTreeSet;

use ovstunnel_plan::*;
use proptest::prelude::*;

fn any_flow() -> impl Strategy<Value = Flow> {
    let purpose = prop::sample::select(vec![Purpose::Baseline, Purpose::TunnelOpen, Purpose::Vif, Purpose::Ipv6]);
    (purpose, 0..3u32, 1000..1003u16, prop::option::of(5..7u64)).prop_map(|(purpose, number, priority, tun_id)| Flow {
        table: 0,
        priority,
        cookie: Cookie::new(purpose, number),
        matches: Match { tun_id, ..Match::default() },
        actions: vec![],
    })
}

fn any_flows() -> impl Strategy<Value = BTreeSet<Flow>> {
    prop::collection::btree_set(any_flow(), 0..6)
}

fn any_seen() -> impl Strategy<Value = FlowsSeen> {
    let garbled = any_flows().prop_map(|flows| flows.iter().map(|flow| flow.cookie).collect());
    let known = (any_flows(), garbled).prop_map(|(flows, garbled)| FlowsSeen::Known { flows, garbled });
    prop_oneof![1 => Just(FlowsSeen::Unknown), 9 => known]
}

/// What a switch has after the lines of a bundle: lines are what is sent, not what we mean.
fn after_bundle(bundle: &str, seen: &FlowsSeen) -> (BTreeSet<Flow>, BTreeSet<Cookie>) {
    let (mut flows, mut garbled) = match seen {
        FlowsSeen::Known { flows, garbled } => (flows.clone(), garbled.clone()),
        FlowsSeen::Unknown => Default::default(),
    };
    for line in bundle.lines() {
        if let Some(cookie) = line.strip_prefix("delete cookie=") {
            let (value, mask) = cookie.split_once('/').unwrap();
            let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap();
            let mask = if mask == "-1" { u64::MAX } else { number(mask) };
            flows.retain(|flow| flow.cookie.0 & mask != number(value));
            garbled.retain(|cookie| cookie.0 & mask != number(value));
        } else {
            flows.insert(line.strip_prefix("add ").unwrap().parse().unwrap());
        }
    }
    (flows, garbled)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_difference_leads_to_what_must_be_there(desired in any_flows(), seen in any_seen()) {
        match FlowChange::between(&desired, &seen) {
            None => prop_assert_eq!(seen, FlowsSeen::known_exactly(desired)),
            Some(change) => {
                let (flows, garbled) = after_bundle(&change.bundle_lines(), &seen);
                prop_assert_eq!(&flows, &desired);
                prop_assert!(garbled.is_empty(), "{garbled:?} stay");
                // What is read back shows whether it was done.
                prop_assert_eq!(change.missing_among(&FlowsSeen::known_exactly(desired.clone())), None);
                if seen != FlowsSeen::Unknown {
                    prop_assert!(change.missing_among(&seen).is_some(), "{seen:?} are as before");
                }
                prop_assert_eq!(change.applied_to(&seen), FlowsSeen::known_exactly(desired.clone()));
                prop_assert_eq!(FlowChange::between(&desired, &FlowsSeen::known_exactly(desired.clone())), None);
            }
        }
    }

    /// A flow that is right stays where it is: no frame misses it, and its counters go on.
    #[test]
    fn a_flow_that_is_right_is_not_touched(desired in any_flows(), more in any_flows()) {
        let cookies: BTreeSet<Cookie> = desired.iter().map(|flow| flow.cookie).collect();
        let others = more.into_iter().filter(|flow| !cookies.contains(&flow.cookie));
        let seen = FlowsSeen::known_exactly(desired.iter().cloned().chain(others).collect());
        if let Some(change) = FlowChange::between(&desired, &seen) {
            prop_assert_eq!(change.add, vec![]);
            prop_assert!(change.delete.unwrap().is_disjoint(&cookies));
        }
    }

    #[test]
    fn a_dump_of_what_was_added_is_what_was_added(flows in any_flows()) {
        let dump: String = flows.iter().map(|flow| format!(" {flow}\n")).collect();
        prop_assert_eq!(FlowsSeen::parse_dump(&dump), FlowsSeen::known_exactly(flows));
    }
}

#[test]
fn a_change_is_told_without_what_it_does_not_do() {
    let flow = |number, cookie| Flow { cookie: Cookie::new(Purpose::Vif, cookie), priority: number, ..some_flow() };
    let have = |flows: &[&Flow]| FlowsSeen::known_exactly(flows.iter().copied().cloned().collect());
    let told = |desired: &[&Flow], seen: &FlowsSeen| {
        FlowChange::between(&desired.iter().copied().cloned().collect(), seen).map(|change| change.to_string())
    };
    let (one, two, three) = (flow(1, 1), flow(2, 2), flow(3, 3));
    assert_eq!(told(&[&one], &FlowsSeen::none()).as_deref(), Some("add 1 flow"));
    assert_eq!(told(&[&one, &two], &FlowsSeen::none()).as_deref(), Some("add 2 flows"));
    assert_eq!(told(&[], &have(&[&one])).as_deref(), Some("delete the flows of 1 cookie"));
    let words = Some("delete the flows of 2 cookies, add 1 flow");
    assert_eq!(told(&[&three], &have(&[&one, &two])).as_deref(), words);
    assert_eq!(told(&[&one], &FlowsSeen::Unknown).as_deref(), Some("replace all flows of ours by 1"));
    assert_eq!(told(&[&one], &have(&[&one])), None);
}

fn some_flow() -> Flow {
    let cookie = Cookie::new(Purpose::Vif, 0);
    Flow { table: 0, priority: 1, cookie, matches: Match::default(), actions: vec![] }
}
