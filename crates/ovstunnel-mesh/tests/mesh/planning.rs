//! What is sent to whom, case by case: order, what stays, what is withheld, what is refused by name.

use crate::zone;

use std::collections::BTreeSet;

use crate::zone::{Zone, at, host};
use ovstunnel_mesh::difference::{Blocked, Circumstances};
use ovstunnel_mesh::observed::Mode;
use ovstunnel_mesh::{Brakes, Earlier, Goes, Hold, Scope};

#[test]
fn a_third_host_joins_at_once_and_its_peers_with_it() {
    let mut zone = Zone::meshed(1..=2);
    zone.join(3);
    assert_eq!(zone.said(), ["1 PUT ovt1001: 2 3", "2 PUT ovt1001: 1 3", "3 PUT ovt1001: 1 2"]);
    zone.settle();
    assert!(zone.is_exactly_the_mesh());
    assert_eq!(zone.said(), Vec::<String>::new());
}

#[test]
fn joins_come_before_leaves_and_the_bridge_goes_last() {
    let mut zone = Zone::meshed(1..=3);
    zone.join(4);
    zone.leave(1);
    let plan = zone.plan();
    assert_eq!(Zone::text(&plan.joins), ["2 PUT ovt1001: 1 3 4", "3 PUT ovt1001: 1 2 4", "4 PUT ovt1001: 2 3"]);
    assert_eq!(Zone::text(&plan.leaves), ["2 PUT ovt1001: 3 4", "3 PUT ovt1001: 2 4"]);
    assert_eq!(Zone::text(&plan.bridges), ["1 DELETE ovt1001"]);
}

#[test]
fn a_changed_address_is_one_put_for_each_peer() {
    let mut zone = Zone::meshed(1..=3);
    zone.endpoints.set(host(2), zone::ip(99)).unwrap();
    let plan = zone.plan();
    assert_eq!(Zone::text(&plan.joins), ["1 PUT ovt1001: 2 3", "3 PUT ovt1001: 1 2"]);
    assert!(plan.leaves.is_empty() && plan.bridges.is_empty());
    zone.settle();
    assert!(zone.is_exactly_the_mesh());
}

#[test]
fn nothing_goes_before_each_host_has_said_what_it_has() {
    let mut zone = Zone::meshed(1..=4);
    zone.leave(1);
    zone.hosts.get_mut(&3).unwrap().snapshot_given = false;
    let plan = zone.plan();
    assert!(plan.leaves.is_empty() && plan.bridges.is_empty(), "{plan:?}");
    assert_eq!(plan.withheld.len(), 2 + 3);
    assert_eq!(zone.difference().unseen, BTreeSet::from([host(3)]));
    // Who has been silent for so long that it is dead is not waited for, and is listed.
    zone.hosts.get_mut(&3).unwrap().is_up = false;
    zone.now = at(601);
    assert_eq!(zone.difference().dead, BTreeSet::from([host(3)]));
    assert_eq!(Zone::text(&zone.plan().leaves), ["2 PUT ovt1001: 3 4", "4 PUT ovt1001: 2 3"]);
}

#[test]
fn what_nobody_has_judged_stays() {
    let mut zone = Zone::meshed(1..=3);
    zone.forget(2);
    assert_eq!(zone.said(), Vec::<String>::new());
    // Also in a set that is sent for another reason.
    zone.join(4);
    assert_eq!(zone.said(), ["1 PUT ovt1001: 2 3 4", "3 PUT ovt1001: 1 2 4", "4 PUT ovt1001: 1 3"]);
}

#[test]
fn a_host_with_vifs_has_not_left_whatever_is_said() {
    let mut zone = Zone::meshed(1..=3);
    zone.hosts.get_mut(&1).unwrap().vifs = 1;
    zone.leave(1);
    assert_eq!(zone.said(), Vec::<String>::new());
    assert_eq!(zone.difference().blocked, [(host(1), Blocked::HasVifs(1))]);
}

#[test]
fn observed_silent_or_misnamed_hosts_get_nothing() {
    let mut zone = Zone::meshed(1..=3);
    zone.join(4);
    zone.hosts.get_mut(&1).unwrap().mode = Mode::Observe;
    zone.hosts.get_mut(&2).unwrap().is_up = false;
    zone.hosts.get_mut(&3).unwrap().host_id = Some("7".parse().unwrap());
    assert_eq!(zone.said(), ["4 PUT ovt1001: 1 2 3"]);
    let mismatch = Blocked::HostIdMismatch("7".parse().unwrap());
    let blocked = [(host(1), Blocked::Observed), (host(2), Blocked::Silent), (host(3), mismatch)];
    assert_eq!(zone.difference().blocked, blocked);
}

#[test]
fn a_bridge_is_there_or_asked_for_or_named_by_key() {
    let mut zone = Zone::meshed(1..=2);
    for (number, name) in [(3, None), (4, Some("xapi7"))] {
        zone.join(number);
        zone.hosts.get_mut(&number).unwrap().has_xapi = true;
        zone.with.asked.extend(name.map(|name| (host(number), name.parse().unwrap())));
    }
    assert!(zone.said().contains(&"4 PUT xapi7: 1 2 3".to_owned()), "{:?}", zone.said());
    assert_eq!(zone.difference().blocked, [(host(3), Blocked::BridgeMissing)]);
}

#[test]
fn a_new_host_at_a_dead_ones_address_is_reached_in_one_put() {
    let mut zone = Zone::meshed(1..=3);
    zone.hosts.get_mut(&3).unwrap().is_up = false;
    zone.leave(3);
    zone.endpoints.remove(host(3));
    zone.join_at(4, 3);
    let plan = zone.plan();
    assert_eq!(Zone::text(&plan.joins), ["1 PUT ovt1001: 2 4", "2 PUT ovt1001: 1 4", "4 PUT ovt1001: 1 2"]);
    assert!(plan.leaves.is_empty());
    // As long as nothing may go, it waits, and nothing else is lost.
    zone.hosts.get_mut(&4).unwrap().snapshot_given = false;
    assert_eq!(zone.said(), Vec::<String>::new());
}

#[test]
fn an_unjudged_tunnels_address_is_refused_by_name() {
    let mut zone = Zone::meshed(1..=3);
    zone.forget(3);
    zone.endpoints.remove(host(3));
    zone.join_at(4, 3);
    assert_eq!(zone.said(), ["4 PUT ovt1001: 1 2"]);
    let in_use = Blocked::AddressInUse { to: host(4), by: "3".parse().unwrap() };
    assert_eq!(zone.difference().blocked, [(host(1), in_use.clone()), (host(2), in_use)]);
}

#[test]
fn above_a_hundred_hosts_each_tunnel_is_a_request() {
    let mut zone = Zone::meshed(1..=101);
    zone.join(102);
    zone.leave(1);
    let plan = zone.plan();
    assert_eq!(Zone::text(&plan.joins[..2]), ["2 POST ovt1001 102", "3 POST ovt1001 102"]);
    assert_eq!(Zone::text(&plan.leaves[..1]), ["2 DELETE ovt1001 p1"]);
    assert_eq!((plan.joins.len(), plan.leaves.len(), plan.bridges.len()), (101, 100, 1));
    zone.settle();
    assert!(zone.is_exactly_the_mesh());
}

#[test]
fn a_vpcs_bridge_gets_what_is_missing_and_loses_nothing() {
    let mut zone = Zone::meshed(1..=3);
    zone.hosts.get_mut(&1).unwrap().is_vpc = true;
    zone.leave(3);
    zone.join(4);
    let said = zone.said();
    assert!(said.contains(&"1 POST ovt1001 4".to_owned()), "{said:?}");
    assert!(!said.iter().any(|text| text.starts_with("1 ") && !text.contains("POST")), "{said:?}");
    zone.leave(1);
    assert!(!zone.said().iter().any(|text| text.starts_with("1 ")));
}

fn emptied(hosts: u64, leave: u64, brakes: Brakes) -> (Zone, Brakes) {
    let mut zone = Zone::meshed(1..=hosts);
    (1..=leave).for_each(|number| zone.leave(number));
    (zone, brakes)
}

fn stopped(zone: &Zone, brakes: &Brakes, zone_tunnels: usize, approved: &[Hold]) -> Vec<Hold> {
    let earlier = Earlier { approved, ..Earlier::default() };
    brakes.hold_back(&[zone.difference()], zone_tunnels, &earlier).iter().cloned().collect()
}

#[test]
fn brakes_stop_what_nobody_asked_for_by_name() {
    let scopes = |hosts, leave, zone_tunnels| {
        let (zone, brakes) = emptied(hosts, leave, Brakes::default());
        stopped(&zone, &brakes, zone_tunnels, &[]).iter().map(|hold| hold.scope).collect::<Vec<_>>()
    };
    let network = Scope::Network(1.try_into().unwrap());
    // 10 hosts have 90 tunnels; after 3 have left, 42 remain, after 4 30.
    assert_eq!(scopes(10, 3, 10_000), [], "fewer than four hosts");
    assert_eq!(scopes(10, 4, 10_000), [network], "60 of 90");
    assert_eq!(scopes(4, 4, 10_000), [], "fewer than twenty tunnels");
    assert_eq!(scopes(20, 4, 10_000), [], "140 of 380");
    assert_eq!(scopes(20, 4, 1_400), [], "140 of 1400");
    assert_eq!(scopes(20, 4, 1_399), [Scope::Zone]);
    assert_eq!(scopes(10, 4, 90), [Scope::Zone, network]);
}

#[test]
fn a_hold_keeps_all_until_what_was_shown_is_approved() {
    let (mut zone, brakes) = emptied(10, 4, Brakes::default());
    let shown = stopped(&zone, &brakes, 10_000, &[]);
    assert_eq!((shown[0].removals.len(), shown[0].of, shown[0].hosts.len()), (60, 90, 4));
    zone.join(11);
    zone.brakes = brakes;
    let plan = zone.plan();
    assert!(plan.leaves.is_empty() && plan.bridges.is_empty());
    assert_eq!((plan.joins.len(), plan.withheld.len()), (7, 60));
    assert_eq!(stopped(&zone, &brakes, 10_000, &shown), []);
    // What was not shown is asked for anew.
    zone.leave(5);
    assert_eq!(stopped(&zone, &brakes, 10_000, &shown).len(), 1);
    // What somebody asked for by name goes on.
    zone.with.named = (1..=4).map(host).collect();
    assert_eq!(stopped(&zone, &brakes, 10_000, &[]), []);
    assert_eq!(zone.plan().bridges.len(), 5);
}

#[test]
fn gradual_removals_add_up_and_what_was_stopped_stays_stopped() {
    let (zone, brakes) = emptied(10, 2, Brakes::default());
    let goes: BTreeSet<Goes> =
        zone.difference().removals().map(|removal| (zone.difference().network, removal.clone())).collect();
    // Two of ten hosts have gone; two more of the eight that are left are too many then, and would not be by themselves.
    let mut rest = Zone::meshed(3..=10);
    (3..=4).for_each(|number| rest.leave(number));
    let held = |zone: &Zone, earlier: Earlier| -> Vec<Hold> {
        brakes.hold_back(&[zone.difference()], 10_000, &earlier).iter().cloned().collect()
    };
    assert_eq!(held(&rest, Earlier::default()), []);
    let found = held(&rest, Earlier { gone: &goes, ..Earlier::default() });
    assert_eq!((found.len(), found[0].removals.len(), found[0].of, found[0].gone), (1, 26, 56, 34), "{found:?}");
    // Whoever corrects half of a mistake has not approved the other half.
    let mut corrected = Zone::meshed(3..=10);
    corrected.leave(3);
    let left = held(&corrected, Earlier { waiting: &found, ..Earlier::default() });
    assert_eq!((left.len(), left[0].removals.len()), (1, 14), "{left:?}");
    assert_eq!(held(&rest, Earlier { waiting: &found, approved: &found, gone: &goes }), []);
    // What somebody asked for by name goes on.
    corrected.with.named = [host(3)].into();
    assert_eq!(held(&corrected, Earlier { waiting: &found, gone: &goes, ..Earlier::default() }), []);
}

#[test]
fn the_first_pass_after_switching_on_asks_before_anything_goes() {
    let mut zone = Zone::meshed(1..=3);
    zone.brakes = Brakes { asks_for_any: true, ..Brakes::default() };
    zone.leave(3);
    zone.with = Circumstances { named: [host(3)].into(), ..zone.with };
    assert!(zone.plan().is_empty());
    let shown = stopped(&zone, &zone.brakes, 6, &[]);
    assert_eq!((shown.len(), shown[0].scope), (1, Scope::Pass));
    assert_eq!(stopped(&zone, &zone.brakes, 6, &shown), []);
    // A bridge without a tunnel is asked for, too.
    let mut alone = Zone::meshed(1..=1);
    alone.leave(1);
    assert_eq!(stopped(&alone, &zone.brakes, 6, &[]).len(), 1);
}
