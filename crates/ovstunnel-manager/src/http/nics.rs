//! NICs: listed, prepared, migrated, released.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use humantime_serde::re::humantime;
use ovstunnel_api::{Code, Problem};
use ovstunnel_manager_api::{
    FailedTunnel, MoveWord, Nic, NicAnswer, NicList, NicOutcome, NicReleased, NicTunnels, PutNic,
};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::config::Role;
use ovstunnel_server::extract::{NoQuery, ValidJson, ValidPath, ValidQuery};
use ovstunnel_server::listen::Peer;
use ovstunnel_server::problem::ApiError;
use ovstunnel_store::NicRow;
use ovstunnel_types::{BridgeName, GreKey, HostNumber, Invalid, Mac, Outcome};
use serde::Deserialize;
use tokio::time::Instant;

use super::hosts::ChangeQuery;
use super::networks::plan_to_wire;
use super::{State, inventory_error, query};
use crate::config::OnFailure;
use crate::inventory::{Asked, Move, Preparation, WantedNic};
use crate::reconciler::Failed;
use crate::zone::Recorded;

/// For how long a preparation waits at most.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Longest name of a VM.
const VM_MAX: usize = 255;

/// Of which host a NIC is released.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ReleaseQuery {
    /// Only this host lets go: while the NIC migrates, it stays with the other one. Where it is absent, nobody has the NIC any more.
    host: Option<String>,
    /// Answer what would be done, and change nothing.
    dry_run: bool,
}

fn find_network(state: &State, name: &str) -> Result<Recorded, ApiError> {
    let name = query::check_name("network", name)?;
    state.zone.recorded_network(name).ok_or_else(|| ApiError::not_found(format!("no network {name} is recorded")))
}

fn to_wire(state: &State, nic: &NicRow) -> Nic {
    let named = |number: HostNumber| {
        state.zone.find_registered(|row| row.number == number).map_or_else(|| number.to_string(), |row| row.name)
    };
    let NicRow { id, vm, mac, ip, host, moving_to, network: _ } = nic.clone();
    let (mac, ip) = (mac.map(|mac| mac.to_string()), ip.map(|ip| ip.to_string()));
    Nic { id, vm, mac, ip, host: named(host), moving_to: moving_to.map(named) }
}

/// Which NICs of a network.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct NicQuery {
    /// NICs of an answer, 1 to 1000; 1000 where it is absent.
    #[serde(deserialize_with = "query::limit")]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the answer before: only NICs whose ids come after this one.
    #[param(pattern = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$")]
    after: Option<String>,
}

/// The NICs of a network, by id.
#[utoipa::path(get, path = "/v1/networks/{network}/nics", tag = "networks", operation_id = "listNics",
    params(("network" = String, Path, description = "Name of the network"), NicQuery),
    responses(
        (status = 200, description = "A page of its NICs", body = NicList),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn list_nics(
    Shared(state): Shared<State>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<NicQuery>,
) -> Result<Json<NicList>, ApiError> {
    let after = query.after.as_deref().map(|after| query::check_name("after", after)).transpose()?;
    let nics = find_network(&state, &name)?.nics;
    let total = u32::try_from(nics.len()).unwrap_or(u32::MAX);
    let mut rest = nics.values().filter(|nic| after.is_none_or(|after| nic.id.as_str() > after));
    let nics: Vec<Nic> =
        rest.by_ref().take(query.limit.unwrap_or(query::LIMIT)).map(|nic| to_wire(&state, nic)).collect();
    let next = rest.next().and_then(|_| nics.last()).map(|nic| nic.id.clone());
    Ok(Json(NicList { nics, total, next }))
}

/// One NIC.
#[utoipa::path(get, path = "/v1/networks/{network}/nics/{nic}", tag = "networks", operation_id = "getNic",
    params(("network" = String, Path, description = "Name of the network"), ("nic" = String, Path, description = "Id of the NIC")),
    responses(
        (status = 200, description = "The NIC", body = Nic),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_nic(
    Shared(state): Shared<State>,
    ValidPath((name, id)): ValidPath<(String, String)>,
    _: NoQuery,
) -> Result<Json<Nic>, ApiError> {
    let (network, id) = (find_network(&state, &name)?, query::check_name("nic", &id)?);
    let nic = network.nics.get(id).ok_or_else(|| ApiError::not_found(format!("network {name} has no NIC {id}")))?;
    Ok(Json(to_wire(&state, nic)))
}

/// Prepare a NIC: it is, or is going to be, on a host. Where `sdn.ovs.controller` is on, its network's first NIC gets it a key, and hosts get what
/// makes its mesh whole; with `wait` the answer waits for that. Off, the NIC is recorded, and the answer is what would be sent to whom.
#[utoipa::path(put, path = "/v1/networks/{network}/nics/{nic}", tag = "networks", operation_id = "prepareNic",
    params(("network" = String, Path, description = "Name of the network"), ("nic" = String, Path, description = "Id of the NIC"), ChangeQuery),
    request_body = PutNic,
    responses(
        (status = 200, description = "`ready`; `partial` or `pending` where a tunnel is missing still; `disabled` where nothing was sent", body = NicAnswer),
        (status = 404, description = "`not_found`: no such network or host", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`migrating`: it is moving between two other hosts; `draining`: the host takes no new NIC; `keys_exhausted`: no key is free; `bridge_missing`: the host can have no bridge for the network", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
        (status = 424, description = "`tunnel_missing`: after `wait`, where `on_failure` is `fail`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn prepare_nic(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    role: Option<Extension<Role>>,
    ValidPath((name, id)): ValidPath<(String, String)>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
    ValidJson(body): ValidJson<PutNic>,
) -> Result<Response, ApiError> {
    let (name, id) = (query::check_name("network", &name)?, query::check_name("nic", &id)?);
    let wait = parse_wait(body.wait.as_deref())?;
    let wanted = wanted_nic(body)?;
    own_host(&peer, role, &wanted.host)?;
    takes_from_nobody(&peer, role, wanted.how)?;
    let by = Asked { actor: &peer.to_string(), dry_run: query.dry_run };
    let prepared = state.inventory.prepare_nic(name, id, &wanted, by).await.map_err(inventory_error)?;
    let outcome = prepared.outcome;
    let word = if query.dry_run { format!("dry run: {}", outcome.as_str()) } else { outcome.as_str().to_owned() };
    let prepared = if query.dry_run { prepared } else { await_preparation(&state, name, prepared, wait).await };
    let answer = nic_answer(&state, name, &prepared);
    let is_to_fail = state.on_failure == OnFailure::Fail && !query.dry_run;
    match answer.outcome {
        NicOutcome::Partial | NicOutcome::Pending if is_to_fail => Err(missing_tunnel(&answer)),
        _ => Ok(Effect::mark_response(&word, Json(answer).into_response())),
    }
}

/// Has the network made whole, and waits for so long until the NIC's part of it is. Gives how it is then.
async fn await_preparation(state: &State, name: &str, mut preparation: Preparation, wait: Duration) -> Preparation {
    let (Some(reconciler), Some(key)) = (&state.reconciler, preparation.key) else { return preparation };
    reconciler.request_network(key);
    let (mut pulse, deadline, host) =
        (state.zone.watch_passes(), Instant::now() + wait, preparation.nic.moving_to.unwrap_or(preparation.nic.host));
    while !is_ready(&preparation) {
        if tokio::time::timeout_at(deadline, pulse.changed()).await.is_err() {
            break;
        }
        let Some(network) = state.zone.recorded_network(name) else { break };
        match state.zone.prepared_on(&network, key, host, state.dead_after) {
            Some(prepared) => preparation.prepared = Ok(prepared),
            None => break,
        }
    }
    preparation
}

fn is_ready(preparation: &Preparation) -> bool {
    preparation.prepared.as_ref().is_ok_and(|there| there.is_there && there.up == there.wanted)
}

fn missing_tunnel(answer: &NicAnswer) -> ApiError {
    let NicTunnels { wanted, up, failed } = &answer.tunnels;
    let why: Vec<String> = failed.iter().map(|failed| format!("{}: {}", failed.host, failed.reason)).collect();
    let why = if why.is_empty() { "the hosts have not said that they are there".to_owned() } else { why.join("; ") };
    let detail = format!(
        "{up} of {wanted} tunnels of NIC {} are up on host {}: {why}; it stays recorded",
        answer.nic.id, answer.nic.host
    );
    ApiError::new(Code::TunnelMissing, detail)
}

/// What of the NIC's tunnels hosts have refused. `here` is the NIC's host.
fn failed_tunnels(state: &State, key: GreKey, here: HostNumber) -> Vec<FailedTunnel> {
    let failures = state.reconciler.as_ref().map(|reconciler| reconciler.failures(key)).unwrap_or_default();
    let concerns = |failed: &Failed| {
        let to_here = failed.to.as_ref().is_none_or(|to| HostNumber::try_from(to).ok() == Some(here));
        failed.on == here || to_here
    };
    let told = |failed: Failed| {
        let other = failed.to.as_ref().and_then(|to| HostNumber::try_from(to).ok()).filter(|_| failed.on == here);
        let left = failed.again.saturating_duration_since(Instant::now());
        FailedTunnel {
            host: state.zone.host_name(other.unwrap_or(failed.on)),
            reason: failed.reason,
            retry_in: u32::try_from(left.as_secs_f64().ceil() as u64).unwrap_or(u32::MAX),
        }
    };
    failures.into_iter().filter(concerns).map(told).collect()
}

fn nic_answer(state: &State, name: &str, preparation: &Preparation) -> NicAnswer {
    let Preparation { outcome, nic, key, prepared } = preparation;
    let there = prepared.as_ref().ok();
    let failed = key.map(|key| failed_tunnels(state, key, nic.moving_to.unwrap_or(nic.host))).unwrap_or_default();
    let word = match (&state.reconciler, is_ready(preparation)) {
        (None, _) => NicOutcome::Disabled,
        (Some(_), true) => NicOutcome::Ready,
        (Some(_), false) if failed.is_empty() => NicOutcome::Pending,
        (Some(_), false) => NicOutcome::Partial,
    };
    NicAnswer {
        outcome: word,
        recorded: *outcome,
        nic: to_wire(state, nic),
        key: key.map(GreKey::get),
        bridge: there.and_then(|there| there.bridge.as_ref()).map(ToString::to_string),
        mtu: there.and_then(|there| there.mtu),
        generation: there.and_then(|there| there.generation),
        tunnels: NicTunnels {
            wanted: there.map_or(0, |there| there.wanted),
            up: there.map_or(0, |there| there.up),
            failed,
        },
        plan: plan_to_wire(name, prepared.as_ref().map(|there| &there.planned)),
    }
}

/// How long to wait. Nothing is waited for while nothing is sent; what is asked for is checked all the same.
fn parse_wait(text: Option<&str>) -> Result<Duration, ApiError> {
    let Some(text) = text else { return Ok(Duration::ZERO) };
    let wait = humantime::parse_duration(text).ok().filter(|wait| *wait <= WAIT_MAX);
    wait.ok_or_else(|| ApiError::invalid("wait", "must be a duration of at most a minute, such as 5s", Some(text)))
}

fn wanted_nic(body: PutNic) -> Result<WantedNic, ApiError> {
    let invalid = |field: &'static str| move |bad: Invalid| ApiError::invalid(field, bad.rule, Some(&bad.value));
    query::check_name("host", &body.host)?;
    let is_vm = |vm: &str| (1..=VM_MAX).contains(&vm.chars().count()) && !vm.chars().any(char::is_control);
    if let Some(vm) = body.vm.as_deref().filter(|vm| !is_vm(vm)) {
        return Err(ApiError::invalid("vm", "must be 1 to 255 characters, none of them a control character", Some(vm)));
    }
    let address = |text: &str| {
        text.parse::<IpAddr>().map_err(|_| ApiError::invalid("ip", "must be an IPv4 or IPv6 address", Some(text)))
    };
    Ok(WantedNic {
        host: body.host,
        vm: body.vm,
        mac: body.mac.map(|mac| mac.parse::<Mac>()).transpose().map_err(invalid("mac"))?,
        ip: body.ip.as_deref().map(address).transpose()?,
        bridge: body.bridge.map(|bridge| bridge.parse::<BridgeName>()).transpose().map_err(invalid("bridge"))?,
        how: match body.how.unwrap_or_default() {
            MoveWord::Migrate => Move::Migrate,
            MoveWord::Replace => Move::Replace,
        },
    })
}

/// That a client which is a host speaks of itself.
fn own_host(peer: &Peer, role: Option<Extension<Role>>, host: &str) -> Result<(), ApiError> {
    let (Some(Extension(Role::Host)), Peer::Certificate(certificate)) = (role, peer) else { return Ok(()) };
    match certificate.all_names().any(|name| name == host) {
        true => Ok(()),
        false => {
            let name = certificate.name();
            Err(ApiError::forbidden(format!(
                "{name} is a host and may prepare and release NICs on itself only, not on {host}"
            )))
        }
    }
}

/// That a client which is a host does not take a NIC away from another one.
fn takes_from_nobody(peer: &Peer, role: Option<Extension<Role>>, how: Move) -> Result<(), ApiError> {
    match (role, peer, how) {
        (Some(Extension(Role::Host)), Peer::Certificate(certificate), Move::Replace) => {
            let name = certificate.name();
            Err(ApiError::forbidden(format!(
                "{name} is a host and may not take a NIC away from another one: `replace` is for operators"
            )))
        }
        _ => Ok(()),
    }
}

/// Release a NIC. The last one on a host takes its tunnels and its bridge away, after `linger`; while `sdn.ovs.controller` is off, nothing on any
/// host is changed.
#[utoipa::path(delete, path = "/v1/networks/{network}/nics/{nic}", tag = "networks", operation_id = "releaseNic",
    params(("network" = String, Path, description = "Name of the network"), ("nic" = String, Path, description = "Id of the NIC"), ReleaseQuery),
    responses(
        (status = 200, description = "`removed`; `updated` where another host has it still; `unchanged` where it was not there", body = NicReleased),
        (status = 404, description = "`not_found`: no such network or host", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn release_nic(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    role: Option<Extension<Role>>,
    ValidPath((name, id)): ValidPath<(String, String)>,
    ValidQuery(query): ValidQuery<ReleaseQuery>,
) -> Result<Response, ApiError> {
    let (name, id) = (query::check_name("network", &name)?, query::check_name("nic", &id)?);
    let on = match query.host {
        Some(host) => {
            query::check_name("host", &host)?;
            own_host(&peer, role, &host)?;
            Some(host)
        }
        // A host lets go of its own part, and of nobody else's.
        None => own_name(&state, &peer, role)?,
    };
    let by = Asked { actor: &peer.to_string(), dry_run: query.dry_run };
    let (outcome, nic) = state.inventory.release_nic(name, id, on.as_deref(), by).await.map_err(inventory_error)?;
    Ok(released_response(&state, query.dry_run, outcome, nic.as_ref()))
}

/// The registered host that a client is, where that is its role.
fn own_name(state: &State, peer: &Peer, role: Option<Extension<Role>>) -> Result<Option<String>, ApiError> {
    let (Some(Extension(Role::Host)), Peer::Certificate(certificate)) = (role, peer) else { return Ok(None) };
    let own = certificate.all_names().find(|name| state.zone.host_number(name).is_some()).map(str::to_owned);
    let nobody =
        || ApiError::forbidden(format!("{} is a host, and none of its name is registered", certificate.name()));
    own.ok_or_else(nobody).map(Some)
}

fn released_response(state: &State, dry_run: bool, outcome: Outcome, nic: Option<&NicRow>) -> Response {
    let answer = Json(NicReleased { outcome, nic: nic.map(|nic| to_wire(state, nic)) });
    let word = if dry_run { format!("dry run: {}", outcome.as_str()) } else { outcome.as_str().to_owned() };
    Effect::mark_response(&word, answer.into_response())
}

/// A migration has ended well: the NIC is where it was moving to, and nowhere else.
#[utoipa::path(post, path = "/v1/networks/{network}/nics/{nic}/migrated", tag = "networks", operation_id = "nicMigrated",
    params(("network" = String, Path, description = "Name of the network"), ("nic" = String, Path, description = "Id of the NIC"), ChangeQuery),
    responses(
        (status = 200, description = "`updated`, or `unchanged` where it was not moving", body = NicReleased),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn nic_migrated(
    state: Shared<State>,
    peer: Extension<Peer>,
    path: ValidPath<(String, String)>,
    query: ValidQuery<ChangeQuery>,
) -> Result<Response, ApiError> {
    end_migration(state, peer, path, query, true).await
}

/// A migration was given up: the NIC is where it was, and nowhere else.
#[utoipa::path(post, path = "/v1/networks/{network}/nics/{nic}/rollback", tag = "networks", operation_id = "rollBackNic",
    params(("network" = String, Path, description = "Name of the network"), ("nic" = String, Path, description = "Id of the NIC"), ChangeQuery),
    responses(
        (status = 200, description = "`updated`, or `unchanged` where it was not moving", body = NicReleased),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn roll_back_nic(
    state: Shared<State>,
    peer: Extension<Peer>,
    path: ValidPath<(String, String)>,
    query: ValidQuery<ChangeQuery>,
) -> Result<Response, ApiError> {
    end_migration(state, peer, path, query, false).await
}

async fn end_migration(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    ValidPath((name, id)): ValidPath<(String, String)>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
    well: bool,
) -> Result<Response, ApiError> {
    let (name, id) = (query::check_name("network", &name)?, query::check_name("nic", &id)?);
    let by = Asked { actor: &peer.to_string(), dry_run: query.dry_run };
    let (outcome, nic) = state.inventory.end_migration(name, id, well, by).await.map_err(inventory_error)?;
    Ok(released_response(&state, query.dry_run, outcome, Some(&nic)))
}
