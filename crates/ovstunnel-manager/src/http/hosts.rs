//! Hosts: registered, changed, removed, shown.

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use ovstunnel_api::{Changed, Outcome, Problem};
use ovstunnel_client::Endpoint;
use ovstunnel_manager_api::{Host, HostAnswer, HostList, HostState, HostTunnelList, PutHost};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{NoQuery, ValidJson, ValidPath, ValidQuery};
use ovstunnel_server::listen::Peer;
use ovstunnel_server::problem::ApiError;
use ovstunnel_types::{HostNumber, Outcome as Done};
use serde::Deserialize;
use serde::de::Deserializer;
use time::OffsetDateTime;

use super::{State, database_error, pki_error, query};
use crate::config::is_label;
use crate::enrolment::binding::{Bindings, bind};
use crate::hosts::AskError;
use crate::inventory::InventoryError;
use crate::zone::{Happened, Row};

/// Which hosts.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct HostQuery {
    /// Only hosts in this state, or in one of these, separated by commas.
    #[serde(deserialize_with = "states")]
    #[param(style = Form, explode = false, value_type = Option<Vec<HostState>>)]
    state: Option<Vec<HostState>>,
}

fn states<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<HostState>>, D::Error> {
    let all = [HostState::Ok, HostState::Degraded, HostState::Connecting, HostState::Silent];
    query::parse_words(from, &all.map(|state| (state.as_str(), state)))
}

/// A change, or what it would do.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ChangeQuery {
    /// Answer what would be done, and change nothing.
    pub(super) dry_run: bool,
}

/// How a host is forgotten.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ForgetQuery {
    /// Answer what would be done, and change nothing.
    dry_run: bool,
    /// The host has nothing of any network any more, and will not come back with it: released keys wait for it no longer.
    wiped: bool,
}

/// The registered hosts, by name.
#[utoipa::path(get, path = "/v1/hosts", tag = "hosts", operation_id = "listHosts", params(HostQuery),
    responses((status = 200, description = "The hosts", body = HostList)))]
pub(crate) async fn list_hosts(
    Shared(state): Shared<State>,
    ValidQuery(query): ValidQuery<HostQuery>,
) -> Json<HostList> {
    let mut hosts = state.zone.hosts();
    hosts.retain(|host| query.state.as_ref().is_none_or(|states| states.contains(&host.state)));
    Json(HostList { hosts })
}

/// One registered host.
#[utoipa::path(get, path = "/v1/hosts/{host}", tag = "hosts", operation_id = "getHost",
    params(("host" = String, Path, description = "Name of the host")),
    responses(
        (status = 200, description = "The host", body = Host),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_host(
    Shared(state): Shared<State>,
    ValidPath(name): ValidPath<String>,
    _: NoQuery,
) -> Result<Json<Host>, ApiError> {
    find_host(&state, &name).map(Json)
}

/// A registered host.
pub(crate) fn find_host(state: &State, name: &str) -> Result<Host, ApiError> {
    let name = query::check_name("host", name)?;
    state.zone.host(name).ok_or_else(|| no_such_host(name))
}

/// The tunnels of a host, as it told of them last.
#[utoipa::path(get, path = "/v1/hosts/{host}/tunnels", tag = "hosts", operation_id = "listHostTunnels",
    params(("host" = String, Path, description = "Name of the host")),
    responses(
        (status = 200, description = "Its tunnels", body = HostTunnelList),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list_host_tunnels(
    Shared(state): Shared<State>,
    ValidPath(name): ValidPath<String>,
    _: NoQuery,
) -> Result<Json<HostTunnelList>, ApiError> {
    let name = query::check_name("host", &name)?;
    state.zone.host_tunnels(name).map(Json).ok_or_else(|| no_such_host(name))
}

/// The number of the registered host that a request names in this field.
pub(super) fn number_of(state: &State, field: &str, name: &str) -> Result<HostNumber, ApiError> {
    let name = query::check_name(field, name)?;
    state.zone.host_number(name).ok_or_else(|| no_such_host(name))
}

fn no_such_host(name: &str) -> ApiError {
    ApiError::not_found(format!("no host {name} is registered"))
}

/// Register a host, or change what is registered of it.
#[utoipa::path(put, path = "/v1/hosts/{host}", tag = "hosts", operation_id = "putHost",
    params(("host" = String, Path, description = "Name of the host"), ChangeQuery),
    request_body = PutHost,
    responses(
        (status = 200, description = "`updated` or `unchanged`; with `dry_run` also `created`, and nothing was", body = HostAnswer),
        (status = 201, description = "`created`", body = HostAnswer),
        (status = 409, description = "`conflict`: its number or address is another host's", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database cannot be used, or the host cannot be asked for its number", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn put_host(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
    ValidJson(body): ValidJson<PutHost>,
) -> Result<Response, ApiError> {
    let name = query::check_name("host", &name)?.to_owned();
    check_body(&body)?;
    // One registration after another: which number is free must not change meanwhile.
    let _turn = state.records.wait_turn().await;
    let before = state.zone.host(&name);
    let row = Row {
        number: assign_number(&state, &name, before.as_ref(), &body).await?,
        name: name.clone(),
        api: body.api.trim_end_matches('/').to_owned(),
        rack: body.rack,
        label: body.label,
        mode: body.mode,
    };
    check_uniqueness(&state, &row)?;
    let changes = row_changes(before.as_ref(), &row);
    let outcome = match (&before, changes.is_empty()) {
        (None, _) => Done::Created,
        (Some(_), false) => Done::Updated,
        (Some(_), true) => Done::Unchanged,
    };
    if query.dry_run {
        let host = before;
        return Ok(Effect::mark_response(
            &format!("dry run: {}", outcome.as_str()),
            Json(HostAnswer { outcome, host }).into_response(),
        ));
    }
    if outcome == Done::Created && state.enrolment.is_some() {
        // What was kept for a host that had this number is not its own.
        bind(&state.records, row.number, None).await.map_err(|error| database_error(&error))?;
    }
    if outcome != Done::Unchanged {
        state
            .records
            .put_host(&row, &peer.to_string(), outcome, &changes)
            .await
            .map_err(|error| database_error(&error))?;
        state.hosts.register_host(row);
    }
    let status = if outcome == Outcome::Created { StatusCode::CREATED } else { StatusCode::OK };
    let answer = HostAnswer { outcome, host: state.zone.host(&name) };
    Ok(Effect::new(outcome.as_str()).with_changes(&changes).attach_to((status, Json(answer)).into_response()))
}

/// Forget a host. Nothing on it is changed. Where hosts join by a token, its certificate is revoked, whatever name it had when it joined.
#[utoipa::path(delete, path = "/v1/hosts/{host}", tag = "hosts", operation_id = "deleteHost",
    params(("host" = String, Path, description = "Name of the host"), ForgetQuery),
    responses(
        (status = 200, description = "`removed`, or `unchanged` where none of that name was registered", body = HostAnswer),
        (status = 409, description = "`conflict`: it has NICs", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database or the CA cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn delete_host(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<ForgetQuery>,
) -> Result<Response, ApiError> {
    let name = query::check_name("host", &name)?;
    let _turn = state.records.wait_turn().await;
    let number = state.zone.host_number(name);
    let outcome = if number.is_some() { Done::Removed } else { Done::Unchanged };
    let answer = || Json(HostAnswer { outcome, host: None }).into_response();
    if query.dry_run {
        return Ok(Effect::mark_response(&format!("dry run: {}", outcome.as_str()), answer()));
    }
    let mut told = outcome.as_str().to_owned();
    if let Some(number) = number {
        // Nothing is revoked of a host that stays for its NICs; and one whose certificate cannot be revoked stays registered.
        state.inventory.has_no_nics(name, number).map_err(|error| match error {
            InventoryError::Store(error) => database_error(&error),
            has_some => ApiError::conflict(name, has_some.to_string()),
        })?;
        let revoked = retire(&state, number, name).await?;
        state.records.delete_host(name, number, &peer.to_string()).await.map_err(|error| database_error(&error))?;
        state.hosts.unregister_host(number);
        bind(&state.records, number, None).await.map_err(|error| database_error(&error))?;
        for serial in revoked {
            told = format!("{told}; certificate {serial} is revoked");
            let text = format!("host {name} is removed, its certificate {serial} revoked");
            let happened = Happened::new(OffsetDateTime::now_utc(), "certificate_revoked", text);
            let happened = Happened { host: Some(name.to_owned()), actor: Some(peer.to_string()), ..happened };
            state.records.append_event(happened).await.map_err(|error| database_error(&error))?;
        }
        if query.wiped {
            state
                .inventory
                .record_wiped(name, number, &peer.to_string())
                .await
                .map_err(|error| database_error(&error))?;
        }
    }
    Ok(Effect::mark_response(&told, answer()))
}

/// Ends the certificates of a host; gives their serial numbers. None where hosts do not join by a token.
async fn retire(state: &State, number: HostNumber, name: &str) -> Result<Vec<String>, ApiError> {
    let Some(enrolment) = &state.enrolment else { return Ok(Vec::new()) };
    let bindings = Bindings::read(&state.records).await.map_err(|error| database_error(&error))?;
    enrolment.retire(&bindings, number, name).map_err(pki_error)
}

/// Connect to a host anew, and take in everything that it has.
#[utoipa::path(post, path = "/v1/hosts/{host}/resync", tag = "hosts", operation_id = "resyncHost",
    params(("host" = String, Path, description = "Name of the host")),
    responses(
        (status = 200, description = "It is being connected to", body = Host),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn resync_host(
    Shared(state): Shared<State>,
    ValidPath(name): ValidPath<String>,
    _: NoQuery,
) -> Result<Response, ApiError> {
    Ok(Effect::mark_response("resync", Json(request_resync(&state, &name).await?).into_response()))
}

/// Has a host connected to anew; gives it as it is then.
pub(crate) async fn request_resync(state: &State, name: &str) -> Result<Host, ApiError> {
    let _turn = state.records.wait_turn().await;
    let host = find_host(state, name)?;
    state.hosts.register_host(
        registered_row(&host).ok_or_else(|| ApiError::internal("the number of a registered host is none"))?,
    );
    find_host(state, name)
}

pub(super) fn registered_row(host: &Host) -> Option<Row> {
    let Host { name, number, api, rack, label, mode, .. } = host.clone();
    Some(Row { number: HostNumber::try_from(number).ok()?, name, api, rack, label, mode })
}

fn check_body(body: &PutHost) -> Result<(), ApiError> {
    Endpoint::parse_url(&body.api)
        .map_err(|what| ApiError::invalid("api", format!("must be https://HOST:8443: {what}"), Some(&body.api)))?;
    body.rack.as_deref().map(|rack| query::check_name("rack", rack)).transpose()?;
    match body.label.as_deref().filter(|label| !is_label(label)) {
        Some(bad) => {
            let rule = "must be 1 to 45 characters, none of them a control character";
            Err(ApiError::invalid("label", rule, Some(bad)))
        }
        None => Ok(()),
    }
}

/// Which number a host gets.
async fn assign_number(
    state: &State,
    name: &str,
    before: Option<&Host>,
    body: &PutHost,
) -> Result<HostNumber, ApiError> {
    let invalid = |bad: ovstunnel_types::Invalid| ApiError::invalid("number", bad.rule, Some(&bad.value));
    let wanted = body.number.map(HostNumber::try_from).transpose().map_err(invalid)?;
    if let Some(host) = before {
        if wanted.is_some_and(|wanted| wanted.get() != host.number) {
            let detail =
                format!("host {name} has the number {}; POST /v1/hosts/{name}/renumber gives it another", host.number);
            return Err(ApiError::conflict(name, detail));
        }
        return HostNumber::try_from(host.number).map_err(invalid);
    }
    match wanted {
        Some(wanted) => Ok(wanted),
        None => Ok(of_bridges(state, name, &body.api).await?.unwrap_or_else(|| next_free(state))),
    }
}

/// The number that a host's bridges have; none where it has none.
pub(super) async fn of_bridges(state: &State, name: &str, api: &str) -> Result<Option<HostNumber>, ApiError> {
    let cannot = |what: String| {
        let detail =
            format!("host {name} cannot be asked for the number that its bridges have ({what}); give its `number`");
        let mut problem = ApiError::new(ovstunnel_api::Code::Unavailable, detail);
        problem.problem_mut().field = Some("number".to_owned());
        problem
    };
    let client = state.hosts.daemon_client(api).map_err(|error| cannot(error.to_line()))?;
    let bridges = client.bridges().await.map_err(|error| cannot(AskError::from(error).to_line()))?.bridges;
    let mut ids: Vec<&String> = bridges.iter().filter_map(|bridge| bridge.host_id.as_ref()).collect();
    ids.sort();
    ids.dedup();
    match ids[..] {
        [] => Ok(None),
        [id] => id.parse().map(Some).map_err(|bad: ovstunnel_types::Invalid| {
            let detail = format!("the bridges of host {name} have the host id {id}, which {}", bad.rule);
            ApiError::conflict(id.clone(), detail)
        }),
        [first, second, ..] => {
            let detail = format!("bridges of host {name} have the host ids {first} and {second}; give its `number`");
            Err(ApiError::conflict(first.clone(), detail))
        }
    }
}

/// A number that stands nowhere in the zone.
pub(super) fn next_free(state: &State) -> HostNumber {
    let one = || HostNumber::try_from(1).ok();
    let next = match state.zone.largest_number() {
        Some(largest) => HostNumber::try_from(largest.get() + 1).ok().or_else(|| {
            // The largest of all is taken: the smallest one that is free.
            let taken: Vec<u64> = state.zone.hosts().iter().map(|host| host.number).collect();
            (1..).find(|number| !taken.contains(number)).and_then(|number| HostNumber::try_from(number).ok())
        }),
        None => one(),
    };
    // A zone does not have 2^63 hosts, and 1 is a number.
    next.or_else(one).unwrap_or_else(|| unreachable!("1 is a number"))
}

/// That no other host has its number or its daemon.
pub(super) fn check_uniqueness(state: &State, row: &Row) -> Result<(), ApiError> {
    let has_one_of_it = |other: &Row| other.number == row.number || other.api == row.api;
    let Some(other) = state.zone.find_registered(|other| other.name != row.name && has_one_of_it(other)) else {
        return Ok(());
    };
    let what = match other.number == row.number {
        true => format!("number {}", row.number),
        false => format!("the address {}", row.api),
    };
    Err(ApiError::conflict(other.name.clone(), format!("host {} has {what} already", other.name)))
}

pub(super) fn row_changes(before: Option<&Host>, row: &Row) -> Vec<Changed> {
    let old = before.map(|host| {
        [
            Some(host.number.to_string()),
            Some(host.api.clone()),
            host.rack.clone(),
            host.label.clone(),
            Some(host.mode.as_str().to_owned()),
        ]
    });
    let old = old.unwrap_or_default();
    let new = [
        ("number", Some(row.number.to_string())),
        ("api", Some(row.api.clone())),
        ("rack", row.rack.clone()),
        ("label", row.label.clone()),
        ("mode", Some(row.mode.as_str().to_owned())),
    ];
    let changed = old.into_iter().zip(new).filter(|(before, (_, after))| before != after);
    let told = |(before, (what, after)): (Option<String>, (&str, Option<String>))| Changed {
        what: what.to_owned(),
        subject: row.name.clone(),
        before,
        after,
    };
    changed.map(told).collect()
}
