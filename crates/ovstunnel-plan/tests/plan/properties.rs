//! What holds of every plan, on random switches, requests and drift.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{World, bridge_name};
use ovstunnel_plan::*;
use proptest::prelude::*;

const BRIDGES: [&str; 4] = ["b", "c", "foreign", "xapi9"];

/// What can happen to a switch. `Drift` is what somebody else does to what is ours.
#[derive(Clone, Debug)]
enum Event {
    Ask(Change),
    Plug(usize, String),
    Drift(usize, Drift),
}

#[derive(Clone, Debug)]
enum Drift {
    OpenPorts,
    MoveTunnels,
    LosePorts,
    Stp,
    OldProtocol,
    DropId(&'static str),
    LoseFlows,
    ForgetFlows,
}

fn any_bridge() -> impl Strategy<Value = BridgeName> {
    prop::sample::select(BRIDGES.as_slice()).prop_map(bridge_name)
}

fn any_host() -> impl Strategy<Value = HostId> {
    (2..6u8).prop_map(|n| n.to_string().parse().unwrap())
}

/// Where each kind of tunnel can lead to an IPv6 address.
fn userspace() -> Settings {
    Settings { datapath_type: "netdev".to_owned(), ..Settings::default() }
}

fn any_ip() -> impl Strategy<Value = RemoteIp> {
    let net = prop::sample::select(vec!["192.0.2.", "2001:db8::"]);
    (net, 2..7u8).prop_map(|(net, n)| format!("{net}{n}").parse().unwrap())
}

fn any_key() -> impl Strategy<Value = GreKey> {
    (5..7i64).prop_map(|n| GreKey::try_from(n).unwrap())
}

fn any_setup() -> impl Strategy<Value = Change> {
    let spec = (any_host(), any_ip()).prop_map(|(to, remote_ip)| TunnelSpec { to, remote_ip, from: None });
    let tunnels = prop::option::of(prop::collection::vec(spec, 0..4));
    let ipv6 = prop::option::of(prop::sample::select(vec![Ipv6Policy::Drop, Ipv6Policy::Allow]));
    let kind = prop::option::of(prop::sample::select(TunnelKind::ALL.as_slice()));
    let asked = (any_bridge(), any_key(), ipv6, kind, tunnels, any::<bool>());
    asked.prop_map(|(bridge, key, ipv6, tunnel_kind, tunnels, network)| {
        let network_uuid = network.then(|| "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90".parse().unwrap());
        let host_id = Some("1".parse().unwrap());
        Change::SetupBridge(SetupBridge {
            bridge,
            key,
            network_uuid,
            host_id,
            ipv6,
            uplink: None,
            neighbours: None,
            tunnel_kind,
            tunnels,
            host: HostFacts::default(),
            agent: false,
        })
    })
}

fn any_change() -> impl Strategy<Value = Change> {
    let port = (any_key(), any_host()).prop_map(|(key, to)| PortName::tunnel_port(key, &"1".parse().unwrap(), &to));
    let create = (any_bridge(), any_host(), any_ip()).prop_map(|(bridge, to, remote_ip)| {
        let from = "1".parse().unwrap();
        Change::CreateTunnel(CreateTunnel {
            bridge,
            from,
            to,
            remote_ip,
            key: None,
            network_uuid: None,
            renumbers: false,
        })
    });
    let one = (any_key(), any_host()).prop_map(|(key, to)| PortName::tunnel_port(key, &"1".parse().unwrap(), &to));
    let bfd = (any_bridge(), proptest::option::of(one), 100..200u32).prop_map(|(bridge, port, interval)| {
        Change::SetBfd(SetBfd {
            bridge,
            ports: port.into_iter().collect(),
            interval: BfdInterval::new(interval).unwrap(),
        })
    });
    // By force, as nobody knows what has come by which port.
    let steps = [KindStep::Prepare, KindStep::Switch, KindStep::Finish, KindStep::Abort];
    let kinds = (any_bridge(), prop::sample::select(TunnelKind::ALL.as_slice()), prop::sample::select(steps.to_vec()));
    let kinds = kinds.prop_map(|(bridge, to, step)| {
        Change::ChangeKind(ChangeKind { bridge, to, step, force: true, heard: BTreeSet::new() })
    });
    prop_oneof![
        4 => any_setup(),
        4 => kinds,
        6 => create,
        3 => (any_bridge(), port).prop_map(|(bridge, port)| Change::DestroyTunnel { bridge, port }),
        1 => any_bridge().prop_map(Change::destroy_bridge),
        2 => bfd,
    ]
}

fn any_drift() -> impl Strategy<Value = Drift> {
    let ids = vec![ids::ENCAP, ids::NETWORK_UUID, ids::HOST_ID, ids::IPV6, ids::XS_NETWORK_UUID];
    prop_oneof![
        Just(Drift::OpenPorts),
        Just(Drift::MoveTunnels),
        Just(Drift::LosePorts),
        Just(Drift::Stp),
        Just(Drift::OldProtocol),
        prop::sample::select(ids).prop_map(Drift::DropId),
        Just(Drift::LoseFlows),
        Just(Drift::ForgetFlows),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => any_change().prop_map(Event::Ask),
        1 => (0..BRIDGES.len(), "(vif|eth)[0-9]").prop_map(|(bridge, port)| Event::Plug(bridge, port)),
        2 => (0..BRIDGES.len(), any_drift()).prop_map(|(bridge, drift)| Event::Drift(bridge, drift)),
    ]
}

/// A switch with two bridges of somebody else's, one with ports that are in the way of ours.
fn world() -> World {
    let mut world = World::default();
    world.foreign_bridge("foreign");
    world.device("foreign", "eth0");
    world.foreign_gre("foreign", "t5-1-5", "192.0.2.6", "5");
    world.foreign_bridge("xapi9");
    world
}

fn drift(world: &mut World, name: &str, drift: &Drift) {
    let Some(bridge) = world.bridges.get_mut(name) else { return };
    let ours = bridge.ports.values_mut().filter(|port| port.is_tunnel_of_ours() || port.name == name);
    match drift {
        Drift::OpenPorts => ours.for_each(|port| port.protected = false),
        Drift::MoveTunnels => ours.filter(|port| port.name != name).for_each(|port| {
            port.interfaces[0].options.insert("remote_ip".into(), format!("203.0.113.{}", port.uuid.as_u128() % 250));
            port.interfaces[0].options.insert("tos".into(), "1".into());
            port.interfaces[0].kind = TunnelKind::Gre.interface_type().into();
        }),
        Drift::LosePorts => bridge.ports.retain(|port, _| port == name || !port.ends_with('3')),
        Drift::Stp => (bridge.stp_enable, bridge.rstp_enable) = (true, true),
        Drift::OldProtocol => bridge.protocols = vec!["OpenFlow10".into()],
        Drift::DropId(id) => drop(bridge.external_ids.remove(*id)),
        Drift::LoseFlows => drop(world.flows.insert(name.into(), FlowsSeen::none())),
        Drift::ForgetFlows => drop(world.flows.insert(name.into(), FlowsSeen::Unknown)),
    }
}

fn happen(world: &mut World, event: &Event) {
    match event {
        Event::Ask(change) => drop(world.change(std::slice::from_ref(change))),
        Event::Plug(bridge, port) => {
            if world.bridges.contains_key(BRIDGES[*bridge]) && world.bridge_of_port(port).is_none() {
                world.device(BRIDGES[*bridge], port);
            }
        }
        Event::Drift(bridge, what) => drift(world, BRIDGES[*bridge], what),
    }
}

/// A switch on which things have happened.
fn any_world() -> impl Strategy<Value = World> {
    prop::collection::vec(any_event(), 0..12).prop_map(|events| {
        let mut world = world();
        events.iter().for_each(|event| happen(&mut world, event));
        world
    })
}

/// Ports without a mark of ours, and whole bridges without one.
fn foreign(world: &World) -> BTreeMap<String, ObservedPort> {
    let ports = world.bridges.values().flat_map(|bridge| bridge.ports.values().map(move |port| (bridge, port)));
    let foreign = ports.filter(|(bridge, port)| !port.is_tunnel_of_ours() && port.name != bridge.name);
    foreign.map(|(_, port)| (port.name.clone(), port.clone())).collect()
}

/// Whether the kind of a bridge's tunnels is changing.
fn changes_kind(bridge: &ObservedBridge) -> bool {
    DesiredBridge::from_record(bridge).is_some_and(|bridge| bridge.second.is_some())
}

fn unmarked(world: &World) -> BTreeMap<String, ObservedBridge> {
    let unmarked = world.bridges.values().filter(|bridge| DesiredBridge::bridge_mark(bridge) == Mark::Foreign);
    unmarked.map(|bridge| (bridge.name.clone(), bridge.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever has happened: one look mends it, and a second look finds nothing.
    #[test]
    fn a_repair_leaves_nothing_to_do_and_touches_nothing_foreign(world in any_world()) {
        let mut repaired = world.clone();
        repaired.carry_out(world.repairs());
        prop_assert_eq!(repaired.repairs(), Plan::default());
        prop_assert_eq!(foreign(&repaired), foreign(&world));
        prop_assert_eq!(unmarked(&repaired), unmarked(&world));
        let ours = repaired.bridges.values().filter(|bridge| DesiredBridge::from_record(bridge).is_some());
        for bridge in ours.clone() {
            let record = DesiredBridge::from_record(bridge);
            let (first, second) = record.map(|it| (it.encap.kind(), it.second.map(|it| it.encap.kind()))).unzip();
            let mut flooded = BTreeSet::new();
            for port in bridge.ports.values().filter(|port| port.is_tunnel_of_ours()) {
                // While the kind changes each pair of hosts has a second tunnel, into which nothing is flooded.
                let is_flooded = port.vlan == Vlan::default();
                let kind = if is_flooded { first } else { second.flatten() };
                prop_assert_eq!(port.interfaces[0].tunnel_kind(), kind, "{}", port.name);
                let to = &port.external_ids[ids::TO];
                prop_assert!(!is_flooded || flooded.insert(to), "two tunnels to {to} are flooded to");
            }
        }
        for port in ours.flat_map(|bridge| bridge.ports.values().filter(move |p| p.is_tunnel_of_ours() || p.name == bridge.name)) {
            prop_assert!(port.protected, "{} is open", port.name);
        }
    }

    /// A change is carried out as a whole, recorded as it was wanted, and asked for again it does nothing.
    #[test]
    fn a_change_converges_is_recorded_and_can_be_repeated(world in any_world(), change in any_change()) {
        let settings = userspace();
        let mut change_set = ChangeSet::default();
        let accepted = change_set.apply_change(&world, &settings, &change).is_ok();
        let mut after = world.clone();
        after.carry_out(world.plan(&change_set, &settings));
        prop_assert_eq!(foreign(&after), foreign(&world));
        for (name, desired, _) in change_set.touched_bridges() {
            let recorded = after.bridges.get(name.as_str()).and_then(DesiredBridge::from_record);
            prop_assert_eq!(recorded.as_ref(), desired, "the record of {}", name);
        }
        // A bridge that was given back is not ours any more, and said to be so.
        let given_back = matches!(&change, Change::DestroyBridge(name, _) if after.bridges.contains_key(name.as_str()));
        if accepted && !given_back {
            // Flows name second tunnels by numbers that were not there before: the look that follows writes those, and no row.
            if after.bridges.get(change.bridge().as_str()).is_some_and(changes_kind) {
                let rows = after.rows();
                let mut only = ChangeSet::default();
                only.touch_bridge(&after, change.bridge());
                let follow_up = after.plan(&only, &settings);
                after.carry_out(follow_up);
                prop_assert_eq!(after.rows(), rows);
            }
            let mut again = ChangeSet::default();
            prop_assert!(again.apply_change(&after, &settings, &change).is_ok());
            prop_assert_eq!(after.plan(&again, &settings), Plan::default());
        }
    }

    /// A rejected change leaves the change set as it was, and so the others of its batch alone.
    #[test]
    fn a_rejected_change_leaves_no_trace(world in any_world(), changes in prop::collection::vec(any_change(), 2..6)) {
        let settings = userspace();
        let mut all = ChangeSet::default();
        let accepted: Vec<&Change> =
            changes.iter().filter(|change| all.apply_change(&world, &settings, change).is_ok()).collect();
        let mut good = ChangeSet::default();
        for change in accepted {
            prop_assert!(good.apply_change(&world, &settings, change).is_ok());
        }
        let wanted = |change_set: &ChangeSet| -> BTreeMap<String, Option<DesiredBridge>> {
            let recorded = |observed: Option<&ObservedBridge>| observed.and_then(DesiredBridge::from_record);
            let changed = change_set.touched_bridges().filter(|(_, desired, observed)| *desired != recorded(*observed).as_ref());
            changed.map(|(name, desired, _)| (name.to_string(), desired.cloned())).collect()
        };
        prop_assert_eq!(wanted(&all), wanted(&good));
    }

    /// Changes that do not touch each other come to the same, in whatever order, together or one by one.
    #[test]
    fn the_order_of_independent_changes_does_not_matter(
        world in any_world(), changes in prop::collection::vec(any_change(), 2..6), turn in 0..6usize,
    ) {
        // A new key with tunnels left alone is a matter of what is there, so begin from what is mended.
        let mut world = world;
        world.carry_out(world.repairs());
        let mut change_set = ChangeSet::default();
        let (mut batch, mut footprints): (Vec<Change>, Vec<Footprint>) = Default::default();
        for change in changes {
            let footprint = change_set.footprint_of(&world, &change);
            let independent = footprints.iter().all(|other| footprint.independent_of(other));
            if independent && change_set.apply_change(&world, &userspace(), &change).is_ok() {
                batch.push(change);
                footprints.push(footprint);
            }
        }
        let run = |one_by_one: bool, batch: &[Change]| {
            let mut world = world.clone();
            let results = if one_by_one {
                batch.iter().flat_map(|change| world.change(std::slice::from_ref(change))).collect()
            } else {
                world.change(batch)
            };
            // While a kind changes flows name second tunnels by numbers, which go by the order in which ports come.
            let shape = world.shape().into_iter().map(|(name, (bridge, flows))| {
                let flows = (!changes_kind(&bridge)).then_some(flows);
                (name, (bridge, flows))
            });
            (results.iter().all(Result::is_ok), shape.collect::<BTreeMap<_, _>>())
        };
        let (_, together) = run(false, &batch);
        prop_assert_eq!(&run(true, &batch).1, &together);
        let by = turn % batch.len().max(1);
        batch.rotate_left(by);
        let (accepted_so, turned) = run(false, &batch);
        if accepted_so {
            prop_assert_eq!(&turned, &together);
        }
    }

    /// A released or removed bridge has no mark, no flow and no tunnel of ours.
    #[test]
    fn a_release_leaves_no_mark(world in any_world(), name in any_bridge()) {
        let mut world = world;
        world.bridges.values_mut().for_each(|bridge| bridge.ports.retain(|port, _| !port.starts_with("vif")));
        let managed = world.bridges.get(name.as_str()).is_some_and(|b| DesiredBridge::from_record(b).is_some());
        // Without our own mark beside it, the other tools' key may be another tool's.
        let network = world.bridges.get(name.as_str()).is_some_and(|b| b.external_ids.contains_key(ids::NETWORK_UUID));
        let done = world.change(&[Change::destroy_bridge(name.clone())]).remove(0).is_ok();
        if let (true, true, Some(bridge)) = (managed, done, world.bridges.get(name.as_str())) {
            prop_assert!(bridge.external_ids.keys().all(|key| !key.starts_with("ovstunnel-")), "{bridge:?}");
            prop_assert!(!network || !bridge.external_ids.contains_key(ids::XS_NETWORK_UUID), "{bridge:?}");
            prop_assert!(bridge.other_config.is_empty(), "{bridge:?}");
            prop_assert!(bridge.ports.values().all(|port| !port.is_tunnel_of_ours() && !port.protected));
            prop_assert_eq!(world.flows[name.as_str()].flow_count(), Some(0));
        }
    }
}
