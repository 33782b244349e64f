//! Enrolment: tokens, and hosts that join by one. Who joins has no certificate: it is the token that lets it in, and nothing but the two
//! routes of `/v1/enrolment` that say so.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use ovstunnel_api::{Code, Outcome, Problem};
use ovstunnel_client::Endpoint;
use ovstunnel_manager_api::{EnrolmentCa, Joined, Mode, NewToken, PostJoin, PostToken, Token, TokenList};
use ovstunnel_pki::{Leaf, Name, Requested, judge_request, sha256_fingerprint};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{NoQuery, ValidJson, ValidPath};
use ovstunnel_server::listen::Peer;
use ovstunnel_server::problem::ApiError;
use ovstunnel_types::HostNumber;
use time::{Duration, OffsetDateTime};
use tracing::Instrument;

use super::hosts::{check_uniqueness, next_free, row_changes};
use super::{State, database_error, pki_error, query};
use crate::enrolment::binding::{Binding, bind};
use crate::enrolment::token::{BadToken, Kept};
use crate::enrolment::{Enrolment, host_leaf};
use crate::zone::{Happened, Row, format_time};

/// Hosts of one token at most.
const HOSTS: u32 = 1000;

/// Seconds that a token lasts at most: 7 days.
const TTL: u32 = 7 * 86_400;

pub(super) fn require_enrolment(state: &State) -> Result<&Arc<Enrolment>, ApiError> {
    let off = || ApiError::conflict("enrolment", "hosts do not join by a token here: [enrolment] authority is not set");
    state.enrolment.as_ref().ok_or_else(off)
}

/// Make a token by which hosts join. Its text is told this once; only a sum of it is kept.
#[utoipa::path(post, path = "/v1/enrolment/tokens", tag = "hosts", operation_id = "makeToken",
    request_body = PostToken,
    responses(
        (status = 201, description = "The token", body = NewToken),
        (status = 409, description = "`conflict`: enrolment is off", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database or the CA cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn make_token(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    _: NoQuery,
    ValidJson(body): ValidJson<PostToken>,
) -> Result<Response, ApiError> {
    let enrolment = require_enrolment(&state)?;
    for (field, value, most) in [("hosts", body.hosts, HOSTS), ("ttl", body.ttl, TTL)] {
        if !(1..=most).contains(&value) {
            let rule = format!("must be a whole number from 1 to {most}");
            return Err(ApiError::invalid(field, rule, Some(&value.to_string())));
        }
    }
    enrolment.open_authority().and_then(|authority| authority.can_write()).map_err(pki_error)?;
    let ca = enrolment.ca_certificate().map_err(pki_error)?;
    let print = sha256_fingerprint(&ca).ok_or_else(|| ApiError::internal("the CA's certificate cannot be read"))?;
    let now = OffsetDateTime::now_utc();
    let _turn = state.records.wait_turn().await;
    enrolment.forget_expired(&state.records, now).await.map_err(|error| database_error(&error))?;
    let ends = now + Duration::seconds(body.ttl.into());
    let (id, text, kept) = Kept::new_token(body.hosts, ends, &peer.name(), &print)
        .map_err(|error| ApiError::new(Code::Unavailable, error.to_string()))?;
    enrolment.store_token(&state.records, &id, Some(&kept)).await.map_err(|error| database_error(&error))?;
    let told = format!("token {id} for {} hosts until {}", body.hosts, format_time(ends));
    record_event(&state, "enrolment_token_made", &peer, told.clone()).await?;
    let answer = NewToken { text, token: kept.to_wire(&id, now) };
    Ok(Effect::mark_response(&told, (StatusCode::CREATED, Json(answer)).into_response()))
}

/// The tokens, without what lets a host in.
#[utoipa::path(get, path = "/v1/enrolment/tokens", tag = "hosts", operation_id = "listTokens",
    responses(
        (status = 200, description = "The tokens", body = TokenList),
        (status = 409, description = "`conflict`: enrolment is off", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn list_tokens(Shared(state): Shared<State>, _: NoQuery) -> Result<Json<TokenList>, ApiError> {
    let now = OffsetDateTime::now_utc();
    let kept = require_enrolment(&state)?.load_tokens(&state.records).await.map_err(|error| database_error(&error))?;
    Ok(Json(TokenList { tokens: kept.iter().map(|(id, kept)| kept.to_wire(id, now)).collect() }))
}

/// Remove a token: no host joins by it any more. Those that have joined stay.
#[utoipa::path(delete, path = "/v1/enrolment/tokens/{id}", tag = "hosts", operation_id = "removeToken",
    params(("id" = String, Path, description = "Id of the token")),
    responses(
        (status = 200, description = "The token as it was", body = Token),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: enrolment is off", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn remove_token(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    ValidPath(id): ValidPath<String>,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let enrolment = require_enrolment(&state)?;
    let _turn = state.records.wait_turn().await;
    let tokens = enrolment.load_tokens(&state.records).await.map_err(|error| database_error(&error))?;
    let found = tokens.into_iter().find(|(known, _)| *known == id);
    let (id, kept) = found.ok_or_else(|| ApiError::not_found("there is no token of this id"))?;
    enrolment.store_token(&state.records, &id, None).await.map_err(|error| database_error(&error))?;
    record_event(&state, "enrolment_token_removed", &peer, format!("token {id} is removed")).await?;
    Ok(Effect::mark_response("removed", Json(kept.to_wire(&id, OffsetDateTime::now_utc())).into_response()))
}

/// The certificate of the CA that signs for hosts. Anybody may have it; a host compares its SHA-256 with that in its token.
#[utoipa::path(get, path = "/v1/enrolment/ca", tag = "hosts", operation_id = "getEnrolmentCa",
    responses(
        (status = 200, description = "The certificate", body = EnrolmentCa),
        (status = 409, description = "`conflict`: enrolment is off", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the CA cannot be used", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_ca(Shared(state): Shared<State>, _: NoQuery) -> Result<Json<EnrolmentCa>, ApiError> {
    let certificate = require_enrolment(&state)?.ca_certificate().map_err(pki_error)?;
    Ok(Json(EnrolmentCa { certificate }))
}

/// Join the zone as a host, by a token: it is registered, to be looked at only (`observe`), and gets its certificate.
#[utoipa::path(post, path = "/v1/enrolment/join", tag = "hosts", operation_id = "joinZone",
    request_body = PostJoin,
    responses(
        (status = 201, description = "It has joined", body = Joined),
        (status = 403, description = "`forbidden`: the token is not known, has expired or is used up", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: the name, address or number is another host's or the manager's own, there is a certificate of that name, or enrolment is off", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database or the CA cannot be used, or this address has tried too often", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn join(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    _: NoQuery,
    ValidJson(body): ValidJson<PostJoin>,
) -> Result<Response, ApiError> {
    let enrolment = Arc::clone(require_enrolment(&state)?);
    if !enrolment.allows_attempt(peer.address().map(|address| address.ip())) {
        return Err(ApiError::new(Code::Unavailable, "this address has tried to join too often; try again later"));
    }
    let name = query::check_name("name", &body.name)?.to_owned();
    let (own, who, with) = (state.clone(), peer.clone(), Arc::clone(&enrolment));
    // What has begun is done to its end, also where the client goes away.
    let admitted = tokio::spawn(async move { admit_host(&own, &with, &who, &body).await }.in_current_span()).await;
    let joined = admitted.unwrap_or_else(|_| Err(ApiError::internal("the log says more under the request's id")));
    if let Err(error) = &joined
        && enrolment.keeps_refusal()
    {
        let address = peer.address().map(|address| format!(" from {}", address.ip())).unwrap_or_default();
        let told = format!("host {name} was not let in{address}: {error}");
        // It is refused whether this can be kept or not, and the audit has it.
        let _ = record_event(&state, "enrolment_refused", &peer, told).await;
    }
    let (answer, repeated) = joined?;
    let effect = Effect::new(if repeated { "enrolled_again" } else { "enrolled" }).with_words([format!("host {name}")]);
    Ok(effect.attach_to((StatusCode::CREATED, Json(answer)).into_response()))
}

/// Lets a host in; says whether it was in already.
async fn admit_host(
    state: &State,
    enrolment: &Enrolment,
    peer: &Peer,
    body: &PostJoin,
) -> Result<(Joined, bool), ApiError> {
    let now = OffsetDateTime::now_utc();
    // One after the other: neither a name nor a token's last use is given twice.
    let _turn = state.records.wait_turn().await;
    let found = enrolment.find_token(&state.records, &body.token, now).await.map_err(|error| database_error(&error))?;
    if matches!(found, Ok(_) | Err(BadToken::UsedUp))
        && let Some(joined) = repeated_answer(state, enrolment, body, now)?
    {
        return Ok((joined, true));
    }
    let (id, token) = found.map_err(|bad| ApiError::forbidden(bad.to_string()))?;
    let (leaf, row) = requested_host(state, enrolment, body)?;
    let key = judge_request(&body.csr, &leaf).map_err(|rule| ApiError::invalid("csr", rule, None))?;
    let ca = enrolment.ca_certificate().map_err(pki_error)?;
    let used = token.after_use();
    // First, so that whatever fails below a token is never good for more hosts than it says.
    enrolment.store_token(&state.records, &id, Some(&used)).await.map_err(|error| database_error(&error))?;
    let actor = format!("{peer}, by token {id}");
    let done = sign_and_register(state, enrolment, &actor, (&leaf, &key), &row, now).await;
    if done.is_err() {
        enrolment.store_token(&state.records, &id, Some(&token)).await.map_err(|error| database_error(&error))?;
    }
    let (certificate, not_after) = done?;
    let name = row.name.clone();
    state.hosts.register_host(row);
    let host = state.zone.host(&name).ok_or_else(|| ApiError::internal("a host that joined is not there"))?;
    Ok((Joined { host, certificate, ca, expires: format_time(not_after) }, false))
}

/// What a host was answered that has joined with this very key, name and address, and asks again because the answer was lost. Nothing is
/// signed or used up for it; nothing where it has not joined so.
fn repeated_answer(
    state: &State,
    enrolment: &Enrolment,
    body: &PostJoin,
    now: OffsetDateTime,
) -> Result<Option<Joined>, ApiError> {
    let (Some(host), Ok(name)) = (state.zone.host(&body.name), body.name.parse()) else { return Ok(None) };
    if host.api != body.api.trim_end_matches('/') || body.number.is_some_and(|number| number != host.number) {
        return Ok(None);
    }
    let leaf = host_leaf(name, url_address(&body.api, &body.name)?);
    let Ok(key) = judge_request(&body.csr, &leaf) else { return Ok(None) };
    let Some(signed) = enrolment.open_authority().map_err(pki_error)?.signed_before(&leaf, &key, now) else {
        return Ok(None);
    };
    let ca = enrolment.ca_certificate().map_err(pki_error)?;
    Ok(Some(Joined { host, certificate: signed.text, ca, expires: format_time(signed.not_after) }))
}

/// Signs the key, and records the host; both or none.
async fn sign_and_register(
    state: &State,
    enrolment: &Enrolment,
    actor: &str,
    (leaf, key): (&Leaf, &Requested),
    row: &Row,
    now: OffsetDateTime,
) -> Result<(String, OffsetDateTime), ApiError> {
    let signed =
        enrolment.open_authority().and_then(|authority| authority.sign_requested(leaf, key, now)).map_err(pki_error)?;
    let (told, records) = (row_changes(None, row), &state.records);
    let kept = Binding::new(&row.name, &key.sum()).with(&signed.serial, signed.not_after, now);
    let done = match bind(records, row.number, Some(&kept)).await {
        Ok(()) => records.put_host(row, actor, Outcome::Created, &told).await,
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        signed.withdraw();
        return Err(database_error(&error));
    }
    Ok((signed.text, signed.not_after))
}

/// Certificate and registration that a host asks for, where nobody else has anything of them.
fn requested_host(state: &State, enrolment: &Enrolment, body: &PostJoin) -> Result<(Leaf, Row), ApiError> {
    let name: Name = body
        .name
        .parse()
        .map_err(|rule: String| ApiError::invalid("name", format!("is not fit: {rule}"), Some(&body.name)))?;
    let address = url_address(&body.api, &body.name)?;
    if state.zone.host_number(name.as_str()).is_some() {
        return Err(ApiError::conflict(name.as_str(), format!("host {name} is registered already")));
    }
    let own = [Some(name.to_string()), address.map(|address| address.to_string())];
    for own in own.into_iter().flatten() {
        if enrolment.is_own(&own).map_err(pki_error)? {
            return Err(ApiError::conflict(own.clone(), format!("{own} is the manager's own")));
        }
        if let Some(other) = state
            .zone
            .find_registered(|row| row.name.eq_ignore_ascii_case(&own) || host_of(&row.api).eq_ignore_ascii_case(&own))
        {
            return Err(ApiError::conflict(other.name.clone(), format!("{own} is host {}'s", other.name)));
        }
    }
    if let Err(error) = enrolment.open_authority().map_err(pki_error)?.has_none_of(&name) {
        let detail = format!("there is a certificate of the name {name} already: {error}; revoke it, and move it away");
        return Err(ApiError::conflict(name.as_str(), detail));
    }
    let invalid = |bad: ovstunnel_types::Invalid| ApiError::invalid("number", bad.rule, Some(&bad.value));
    let number = body.number.map(HostNumber::try_from).transpose().map_err(invalid)?;
    let row = Row {
        number: number.unwrap_or_else(|| next_free(state)),
        name: name.to_string(),
        api: body.api.trim_end_matches('/').to_owned(),
        rack: None,
        label: None,
        mode: Mode::Observe,
    };
    check_uniqueness(state, &row)?;
    Ok((host_leaf(name, address), row))
}

/// The address in a host's URL; none where that has the host's own name.
fn url_address(api: &str, name: &str) -> Result<Option<IpAddr>, ApiError> {
    Endpoint::parse_url(api)
        .map_err(|what| ApiError::invalid("api", format!("must be https://HOST:8443: {what}"), Some(api)))?;
    let host = host_of(api);
    match host.parse() {
        Ok(address) => Ok(Some(address)),
        Err(_) if host.eq_ignore_ascii_case(name) => Ok(None),
        Err(_) => {
            Err(ApiError::invalid("api", format!("must have an address or the host's own name, {name}"), Some(api)))
        }
    }
}

/// Name or address in a URL, in lower case and without brackets; empty where it is none.
fn host_of(api: &str) -> String {
    let url = Endpoint::parse_url(api).ok();
    let host = url.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']').to_lowercase()
}

pub(super) async fn record_event(state: &State, kind: &'static str, peer: &Peer, text: String) -> Result<(), ApiError> {
    let actor = Some(peer.to_string());
    let happened = Happened { actor, ..Happened::new(OffsetDateTime::now_utc(), kind, text) };
    state.records.append_event(happened).await.map_err(|error| database_error(&error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_hosts_url_has_an_address_or_its_own_name() {
        assert_eq!(url_address("https://192.0.2.1:8443", "h1").unwrap(), "192.0.2.1".parse().ok());
        assert_eq!(url_address("https://[2001:db8::1]:8443/", "h1").unwrap(), "2001:db8::1".parse().ok());
        assert_eq!(url_address("https://H1:8443", "h1").unwrap(), None);
        for bad in ["https://manager:8443", "http://h1:8443", "h1", "https://u@h1"] {
            assert_eq!(url_address(bad, "h1").unwrap_err().problem().field.as_deref(), Some("api"), "{bad}");
        }
    }
}
