//! Another name or another number for a host that is registered. Changes nothing on the host, and no tunnel.

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use ovstunnel_api::{Changed, Outcome, Problem};
use ovstunnel_manager_api::{HostAnswer, PostName, PostNumber};
use ovstunnel_pki::PkiError;
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{ValidJson, ValidPath, ValidQuery};
use ovstunnel_server::listen::Peer;
use ovstunnel_server::problem::ApiError;
use ovstunnel_types::HostNumber;

use super::hosts::{ChangeQuery, find_host, of_bridges, registered_row};
use super::{State, database_error, pki_error, query};
use crate::enrolment::binding::{Binding, Bindings, bind};
use crate::zone::Row;

/// Give a host another name. What is recorded of it stays; a host's own certificate has to be named as it is.
#[utoipa::path(post, path = "/v1/hosts/{host}/rename", tag = "hosts", operation_id = "renameHost",
    params(("host" = String, Path, description = "Name of the host"), ChangeQuery),
    request_body = PostName,
    responses(
        (status = 200, description = "`updated` or `unchanged`", body = HostAnswer),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: another host has that name", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn rename_host(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
    ValidJson(body): ValidJson<PostName>,
) -> Result<Response, ApiError> {
    let to = query::check_name("name", &body.name)?;
    let _turn = state.records.wait_turn().await;
    let before = require_registered(&state, &name)?;
    if to != name && state.zone.host_number(to).is_some() {
        return Err(ApiError::conflict(to, format!("host {to} is registered already")));
    }
    let changed = field_change("name", &name, to);
    if changed.is_some() && !query.dry_run {
        keep_certificate(&state, before.number, &name).await?;
        state.records.rename_host(&name, to, &peer.to_string()).await.map_err(|error| database_error(&error))?;
        state.hosts.register_host(Row { name: to.to_owned(), ..before });
    }
    let now = if query.dry_run { &name } else { to };
    identity_answer(&state, now, changed, query.dry_run)
}

/// Give a host another number, such as the one that its bridges have. It must have no NICs.
#[utoipa::path(post, path = "/v1/hosts/{host}/renumber", tag = "hosts", operation_id = "renumberHost",
    params(("host" = String, Path, description = "Name of the host"), ChangeQuery),
    request_body = PostNumber,
    responses(
        (status = 200, description = "`updated` or `unchanged`", body = HostAnswer),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: another host has that number, its bridges have another one, or it has NICs", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database cannot be used, or the host cannot be asked what its bridges have", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn renumber_host(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<ChangeQuery>,
    ValidJson(body): ValidJson<PostNumber>,
) -> Result<Response, ApiError> {
    let invalid = |bad: ovstunnel_types::Invalid| ApiError::invalid("number", bad.rule, Some(&bad.value));
    let to = HostNumber::try_from(body.number).map_err(invalid)?;
    let _turn = state.records.wait_turn().await;
    let before = require_registered(&state, &name)?;
    if let Some(other) = state.zone.find_registered(|other| other.number == to && other.name != name) {
        return Err(ApiError::conflict(other.name.clone(), format!("host {} has number {to} already", other.name)));
    }
    let changed = field_change("number", &before.number.to_string(), &to.to_string());
    if changed.is_some() {
        let theirs = of_bridges(&state, &name, &before.api).await?;
        if let Some(theirs) = theirs.filter(|theirs| *theirs != to) {
            let detail = format!("the bridges of host {name} have the host id {theirs}");
            return Err(ApiError::conflict(theirs.to_string(), detail));
        }
        let from = before.number;
        if query.dry_run {
            state.inventory.has_no_nics(&name, from).map_err(super::inventory_error)?;
        } else {
            // First: under its new number it has its certificate from the beginning.
            carry_certificate(&state, &name, from, to).await?;
            let done = state.inventory.renumber_host(&name, from, to, &peer.to_string()).await;
            if done.is_err() {
                forget_certificate(&state, to).await?;
            }
            done.map_err(super::inventory_error)?;
            state.hosts.unregister_host(from);
            forget_certificate(&state, from).await?;
            state.hosts.register_host(Row { number: to, ..before });
        }
    }
    identity_answer(&state, &name, changed, query.dry_run)
}

/// Which certificate a host has, kept under its number before its name is another one. Gives it.
async fn keep_certificate(state: &State, number: HostNumber, name: &str) -> Result<Option<Binding>, ApiError> {
    let Some(enrolment) = &state.enrolment else { return Ok(None) };
    let bindings = Bindings::read(&state.records).await.map_err(|error| database_error(&error))?;
    if let Some(own) = bindings.of(number) {
        return Ok(Some(own.clone()));
    }
    let found = match enrolment.found(&bindings, name) {
        // What lies under its name is no certificate that was made for it.
        Err(PkiError::Unfit { .. }) => None,
        found => found.map_err(pki_error)?,
    };
    if let Some(found) = &found {
        bind(&state.records, number, Some(found)).await.map_err(|error| database_error(&error))?;
    }
    Ok(found)
}

async fn carry_certificate(state: &State, name: &str, from: HostNumber, to: HostNumber) -> Result<(), ApiError> {
    let kept = keep_certificate(state, from, name).await?;
    bind(&state.records, to, kept.as_ref()).await.map_err(|error| database_error(&error))
}

async fn forget_certificate(state: &State, number: HostNumber) -> Result<(), ApiError> {
    bind(&state.records, number, None).await.map_err(|error| database_error(&error))
}

fn require_registered(state: &State, name: &str) -> Result<Row, ApiError> {
    let host = find_host(state, name)?;
    registered_row(&host).ok_or_else(|| ApiError::internal("the number of a registered host is none"))
}

fn field_change(what: &str, before: &str, after: &str) -> Option<Changed> {
    let text = |text: &str| Some(text.to_owned());
    let (before, after) = (text(before), text(after));
    (before != after).then(|| Changed { what: what.to_owned(), subject: "host".to_owned(), before, after })
}

fn identity_answer(state: &State, name: &str, changed: Option<Changed>, dry_run: bool) -> Result<Response, ApiError> {
    let outcome = if changed.is_some() { Outcome::Updated } else { Outcome::Unchanged };
    let body = Json(HostAnswer { outcome, host: state.zone.host(name) });
    let said = if dry_run { format!("dry run: {}", outcome.as_str()) } else { outcome.as_str().to_owned() };
    Ok(Effect::new(&said).with_changes(changed.as_slice()).attach_to(body.into_response()))
}
