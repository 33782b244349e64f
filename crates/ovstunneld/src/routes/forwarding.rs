//! What a bridge does with frames, as `ovs-vswitchd` says when it is asked: the addresses that it has learnt, and where a frame comes
//! out. Must not change anything: a trace has no side effects.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use ovstunnel_api::{AddressTable, FollowedFrame, FrameOut, KnownAddress, Problem};
use ovstunnel_ovs::{Questions, RealSwitch, Switch};
use ovstunnel_plan::{BridgeName, Followed, ObservedBridge, ObservedInterface, Out, View};
use ovstunnel_server::extract::{ValidPath, ValidQuery};
use ovstunnel_server::problem::ApiError;
use ovstunnel_types::Mac;
use serde::Deserialize;

use super::frame_query::FrameQuery;
use super::packet::Packet;
use super::{State, refusals, validate};

/// Addresses of an answer.
const LISTED: usize = 1000;

/// Number of the port of a bridge's own device (`OFPP_LOCAL`).
const LOCAL: u32 = 0xfffe;

/// Ethernet type for local experiments: no flow of ours matches it, so what is followed is what any frame does.
const PLAIN: &str = "dl_type=0x88b5";

/// Which addresses.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct AddressQuery {
    /// Only this address.
    #[param(value_type = Option<String>, pattern = "^(?!00:00:00:00:00:00$)[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$")]
    mac: Option<String>,
}

/// A managed bridge, and the switch where that can be asked.
pub(super) struct Asked {
    pub real: Option<RealSwitch>,
    pub bridge: Arc<ObservedBridge>,
}

/// What a switch in memory says of frames.
const SIMULATED: &str = "a simulated switch forwards nothing, and cannot be asked for it";

/// A managed bridge by its name, where the switch can be read.
pub(super) fn requested_bridge(state: &State, name: &str) -> Result<Asked, ApiError> {
    let name: BridgeName = validate::parse_field("bridge", name)?;
    state.expect_live()?;
    state
        .managed_bridge(name.as_str())
        .ok_or_else(|| ApiError::not_found(format!("ovstunnel manages no bridge {name}")))?;
    let bridge = state.switch.observer().read(|db| db.view().bridge(name.as_str()));
    let bridge = bridge.ok_or_else(|| ApiError::not_found(format!("there is no bridge {name}")))?;
    let real = match &state.switch {
        Switch::Real(real) => Some(real.clone()),
        Switch::Simulated(_) => None,
    };
    Ok(Asked { real, bridge })
}

fn no_answer(what: &str) -> ApiError {
    refusals::unavailable_problem(format!("ovs-vswitchd has not answered {what}"))
}

/// Each port that frames pass, with its name.
fn port_interfaces(bridge: &ObservedBridge) -> impl Iterator<Item = (&str, &ObservedInterface)> {
    bridge.ports.values().flat_map(|port| port.interfaces.iter().map(|interface| (port.name.as_str(), interface)))
}

fn port_numbers(bridge: &ObservedBridge) -> BTreeMap<u32, &str> {
    port_interfaces(bridge).filter_map(|(name, interface)| Some((interface.openflow_port()?, name))).collect()
}

/// The addresses that a bridge has learnt, and by which port.
#[utoipa::path(get, path = "/v1/bridges/{bridge}/fdb", tag = "bridges",
    params(("bridge" = String, Path, description = "Name of the bridge"), AddressQuery),
    responses(
        (status = 200, description = "The addresses", body = AddressTable),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn list_addresses(
    Shared(state): Shared<State>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<AddressQuery>,
) -> Result<Json<AddressTable>, ApiError> {
    let wanted = query.mac.as_deref().map(|mac| validate::parse_field::<Mac>("mac", mac)).transpose()?;
    let Asked { real, bridge } = requested_bridge(&state, &name)?;
    let Some(real) = real else { return Ok(Json(AddressTable { addresses: Vec::new(), total: 0 })) };
    let mut questions = real.lend_questions();
    let printed = questions.print_addresses(&bridge.name).await.ok_or_else(|| no_answer("fdb/show"))?;
    real.give_back(questions);
    let numbers = port_numbers(&bridge);
    let port = |number: &str| match number {
        "LOCAL" => Some(bridge.name.clone()),
        number => numbers.get(&number.parse().ok()?).map(|name| (*name).to_owned()),
    };
    let is_wanted = |mac: &str| wanted.is_none_or(|wanted| mac.parse() == Ok(wanted));
    let all = ovstunnel_ovs::parse_addresses(&printed).into_iter().filter(|address| is_wanted(&address.mac));
    let mut addresses: Vec<KnownAddress> = all
        .map(|address| KnownAddress {
            port: port(&address.port),
            mac: address.mac,
            vlan: address.vlan,
            age: address.age,
        })
        .collect();
    let total = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    addresses.truncate(LISTED);
    Ok(Json(AddressTable { addresses, total }))
}

/// Where a frame comes out that comes in by this port: Open vSwitch follows it through its tables (`ofproto/trace`). Nothing is sent,
/// and nothing learnt.
#[utoipa::path(get, path = "/v1/bridges/{bridge}/trace", tag = "bridges",
    params(("bridge" = String, Path, description = "Name of the bridge"), FrameQuery),
    responses(
        (status = 200, description = "Where it comes out", body = FollowedFrame),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: no such bridge, or no such port on it", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_trace(
    Shared(state): Shared<State>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<FrameQuery>,
) -> Result<Json<FollowedFrame>, ApiError> {
    let source: Mac = validate::parse_field("source", &query.source)?;
    let destination: Mac = validate::parse_field("destination", &query.destination)?;
    let packet = Packet::from_query(&query)?;
    let Asked { real, bridge } = requested_bridge(&state, &name)?;
    let come = come_in(&bridge, &query.in_port)?;
    let inner = packet.as_ref().map_or_else(|| PLAIN.to_owned(), Packet::flow_text);
    let frame = format!("{come},dl_src={source},dl_dst={destination},{inner}");
    let (followed, words, acl) = match real {
        None => (None, SIMULATED.to_owned(), Vec::new()),
        Some(real) => {
            let mut questions = real.lend_questions();
            let answer =
                trace_frame(&mut questions, &bridge, &frame).await.ok_or_else(|| no_answer("ofproto/trace"))?;
            real.give_back(questions);
            let decided = packet.map(|packet| packet.read_decisions(&bridge, &answer.1)).unwrap_or_default();
            (answer.0, answer.1, decided)
        }
    };
    Ok(Json(FollowedFrame {
        acl,
        outs: followed.as_ref().map(|followed| named_outputs(&bridge, followed)),
        flooded: followed.as_ref().is_some_and(|followed| followed.flooded),
        unresolved: followed.iter().flat_map(|f| f.unresolved.iter().map(ToString::to_string)).collect(),
        evidence: followed.map_or(words, |followed| followed.evidence),
        frame,
    }))
}

/// What of the frame says by which port it comes in.
fn come_in(bridge: &ObservedBridge, port: &str) -> Result<String, ApiError> {
    let missing = || ApiError::not_found(format!("bridge {} has no port {port} that frames come in by", bridge.name));
    let interface = bridge.ports.get(port).and_then(|port| port.interface()).ok_or_else(missing)?;
    let number = interface.openflow_port().ok_or_else(missing)?;
    let tunnel = interface.tunnel_endpoint();
    let tunnel = tunnel.map(|leads| format!(",{}", leads.came_from())).unwrap_or_default();
    Ok(format!("in_port={number}{tunnel}"))
}

/// Has a frame followed. Nothing where Open vSwitch did not answer; its words where they are not understood.
async fn trace_frame(
    questions: &mut Questions,
    bridge: &ObservedBridge,
    frame: &str,
) -> Option<(Option<Followed>, String)> {
    let ports = questions.datapath_ports().await?.remove(&bridge.name).unwrap_or_default();
    let printed = questions.print_trace(&bridge.name, frame).await?;
    Some((ports.parse_trace(&printed), printed))
}

/// Where it comes out, by name.
fn named_outputs(bridge: &ObservedBridge, followed: &Followed) -> Vec<FrameOut> {
    let numbers = port_numbers(bridge);
    let tunnel = |leads| {
        let own = port_interfaces(bridge).find(|(_, interface)| interface.tunnel_endpoint() == Some(leads));
        own.map(|(name, _)| name.to_owned())
    };
    let name = |out: &Out| match *out {
        Out::Port(LOCAL) => bridge.name.clone(),
        Out::Port(number) => numbers.get(&number).map_or_else(|| number.to_string(), |name| (*name).to_owned()),
        Out::Tunnel(leads) => {
            tunnel(leads).unwrap_or_else(|| format!("a tunnel to {} with key {}", leads.remote_ip, leads.key))
        }
    };
    let mut times: BTreeMap<String, u32> = BTreeMap::new();
    followed.outs.iter().for_each(|out| *times.entry(name(out)).or_default() += 1);
    times.into_iter().map(|(port, times)| FrameOut { port, times }).collect()
}
