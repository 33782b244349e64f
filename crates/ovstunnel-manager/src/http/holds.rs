//! Removals that wait for somebody's word: listed, approved, refused.

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use ovstunnel_api::Problem;
use ovstunnel_manager_api::{HeldRemoval, Hold, HoldList, HoldScope, HoldState};
use ovstunnel_mesh::Scope;
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{NoQuery, ValidPath};
use ovstunnel_server::listen::Peer;
use ovstunnel_server::problem::ApiError;
use ovstunnel_types::{GreKey, NetworkNumber};

use super::State;
use crate::reconciler::{Held, Said};
use crate::zone::format_time;

/// Removals that a hold shows.
const SHOWN: usize = 100;

/// In the zone a key stands for its network.
fn network_name(state: &State, number: NetworkNumber) -> String {
    let key = i64::try_from(number.get()).ok().and_then(|number| GreKey::try_from(number).ok());
    key.map_or_else(|| number.to_string(), |key| state.zone.network_name(key))
}

fn to_wire(state: &State, held: &Held) -> Hold {
    let (scope, of_network) = match held.hold.scope {
        Scope::Pass => (HoldScope::FirstPass, None),
        Scope::Zone => (HoldScope::Zone, None),
        Scope::Network(number) => (HoldScope::Network, Some(network_name(state, number))),
    };
    let removals = held.hold.removals.iter().take(SHOWN).map(|(number, removal)| HeldRemoval {
        network: network_name(state, *number),
        from: state.zone.host_name(removal.from),
        to: removal.to.to_string(),
        port: removal.port.to_string(),
        moves_to: removal.moves_to.map(|ip| ip.to_string()),
        because: removal.because_left.map(|host| state.zone.host_name(host)),
    });
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Hold {
        id: held.id,
        scope,
        network: of_network,
        since: format_time(held.since),
        state: match held.said {
            Said::Refused => HoldState::Refused,
            Said::Approved => HoldState::Approved,
            Said::Nothing => HoldState::Waiting,
        },
        tunnels: count(held.hold.removals.len()),
        of: count(held.hold.of),
        gone: count(held.hold.gone),
        hosts: held.hold.hosts.iter().map(|host| state.zone.host_name(*host)).collect(),
        removals: removals.collect(),
    }
}

/// What is to go and waits for somebody's word: more than is ordinary, and nobody asked for it by name.
#[utoipa::path(get, path = "/v1/holds", tag = "zone", operation_id = "listHolds",
    responses((status = 200, description = "The removals that wait; none while `sdn.ovs.controller` is off", body = HoldList)))]
pub(crate) async fn list_holds(Shared(state): Shared<State>, _: NoQuery) -> Json<HoldList> {
    let held = state.reconciler.as_ref().map(|reconciler| reconciler.holds()).unwrap_or_default();
    Json(HoldList { holds: held.iter().map(|held| to_wire(&state, held)).collect() })
}

/// Let what a hold is about go, and nothing else.
#[utoipa::path(post, path = "/v1/holds/{id}/approve", tag = "zone", operation_id = "approveHold",
    params(("id" = u64, Path, description = "Number of the hold")),
    responses(
        (status = 200, description = "It goes", body = Hold),
        (status = 404, description = "`not_found`: none of this number waits any more", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn approve_hold(
    state: Shared<State>,
    peer: Extension<Peer>,
    path: ValidPath<u64>,
    _: NoQuery,
) -> Result<Response, ApiError> {
    decide_hold(state, peer, path, Said::Approved).await
}

/// Let what a hold is about stay. It is listed for as long as the zone calls for it.
#[utoipa::path(post, path = "/v1/holds/{id}/refuse", tag = "zone", operation_id = "refuseHold",
    params(("id" = u64, Path, description = "Number of the hold")),
    responses(
        (status = 200, description = "It stays", body = Hold),
        (status = 404, description = "`not_found`: none of this number waits any more", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn refuse_hold(
    state: Shared<State>,
    peer: Extension<Peer>,
    path: ValidPath<u64>,
    _: NoQuery,
) -> Result<Response, ApiError> {
    decide_hold(state, peer, path, Said::Refused).await
}

async fn decide_hold(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    ValidPath(id): ValidPath<u64>,
    said: Said,
) -> Result<Response, ApiError> {
    let hold = record_decision(&state, &peer, id, said)?;
    let word = if said == Said::Approved { "approved" } else { "refused" };
    Ok(Effect::mark_response(word, Json(hold).into_response()))
}

/// Says of a hold what is to become of it; gives it as it is then.
pub(crate) fn record_decision(state: &State, peer: &Peer, id: u64, said: Said) -> Result<Hold, ApiError> {
    let held = state.reconciler.as_ref().and_then(|reconciler| reconciler.decide_hold(id, said, &peer.to_string()));
    let missing = || {
        ApiError::not_found(format!("no hold {id} waits; it was approved, or the zone does not call for it any more"))
    };
    let held = held.ok_or_else(missing)?;
    Ok(to_wire(state, &held))
}
