//! A host's certificate is renewed for who has its key, without a certificate for clients and without a token.
//!
//! What it must not do: sign for another key, for a host that was removed, or again and again; or tell who has not shown the key of a
//! certificate which hosts there are.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use ovstunnel_api::{Code, Outcome, Problem};
use ovstunnel_manager_api::{PostRenewal, Renewed};
use ovstunnel_pki::{Asking, LEAF_DAYS, Name, Signed, Standing};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{NoQuery, ValidJson};
use ovstunnel_server::listen::Peer;
use ovstunnel_server::problem::ApiError;
use ovstunnel_types::HostNumber;
use time::OffsetDateTime;
use tracing::Instrument;

use super::enrolment::{record_event, require_enrolment};
use super::{State, database_error, pki_error};
use crate::enrolment::Enrolment;
use crate::enrolment::binding::{Binding, Bindings, bind};
use crate::zone::{Happened, format_time};

/// What is answered where no certificate of the key is there: the same whoever asks.
const NONE: &str = "there is no certificate of this name and key that can be renewed; join by a token";

/// Why a certificate was not renewed: what is answered, and what is written down.
#[derive(Debug)]
struct Refused {
    answer: ApiError,
    why: String,
}

impl From<ApiError> for Refused {
    fn from(answer: ApiError) -> Refused {
        Refused { why: answer.to_string(), answer }
    }
}

impl Refused {
    /// To who has not shown the key of any certificate.
    fn stranger(why: String) -> Refused {
        Refused { answer: ApiError::forbidden(NONE), why }
    }

    fn owner(why: String) -> Refused {
        ApiError::forbidden(why).into()
    }
}

/// Renew a host's certificate in its last third, for the same key and the same names. The request's signature shows that the key is there. Before, and with
/// `early` while more than two thirds are left, the answer is the certificate that there is.
#[utoipa::path(post, path = "/v1/enrolment/renew", tag = "hosts", operation_id = "renewCertificate",
    request_body = PostRenewal,
    responses(
        (status = 200, description = "`updated`, or `unchanged` where it was too early", body = Renewed),
        (status = 403, description = "`forbidden`: there is no such certificate of this key, it was revoked, its host is not registered any more, or it has expired for too long", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: enrolment is off", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`: the database or the CA cannot be used, or this address has tried too often", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn renew(
    Shared(state): Shared<State>,
    Extension(peer): Extension<Peer>,
    _: NoQuery,
    ValidJson(body): ValidJson<PostRenewal>,
) -> Result<Response, ApiError> {
    let enrolment = Arc::clone(require_enrolment(&state)?);
    if !enrolment.allows_attempt(peer.address().map(|address| address.ip())) {
        return Err(ApiError::new(Code::Unavailable, "this address has asked too often; try again later"));
    }
    let asking = Asking::read(&body.csr).map_err(|rule| ApiError::invalid("csr", rule, None))?;
    let name: Name = asking.name.parse().map_err(|rule| {
        ApiError::invalid("csr", format!("must have the name of a host: {rule}"), Some(&asking.name))
    })?;
    let (own, who, with, whose, early) =
        (state.clone(), peer.clone(), Arc::clone(&enrolment), name.clone(), body.early);
    // What has begun is done to its end, also where the client goes away.
    let done =
        tokio::spawn(async move { again(&own, &with, &who, (&whose, &asking, early)).await }.in_current_span()).await;
    let done = done.unwrap_or_else(|_| Err(ApiError::internal("the log says more under the request's id").into()));
    let renewed = match done {
        Ok(renewed) => renewed,
        Err(Refused { answer, why }) => {
            if enrolment.keeps_refusal() {
                let address = peer.address().map(|address| format!(" from {}", address.ip())).unwrap_or_default();
                let told = format!("the certificate {name} was not renewed{address}: {why}");
                // It is refused whether this can be kept or not, and the audit has it.
                let _ = record_event(&state, "renewal_refused", &peer, told).await;
            }
            return Err(answer);
        }
    };
    let effect = match renewed.outcome {
        Outcome::Updated => Effect::new("renewed").with_words([format!("certificate {name}")]),
        // Each host asks each day.
        _ => Effect::new("unchanged").as_routine(),
    };
    Ok(effect.attach_to(Json(renewed).into_response()))
}

async fn again(
    state: &State,
    enrolment: &Enrolment,
    peer: &Peer,
    (name, asking, early): (&Name, &Asking, bool),
) -> Result<Renewed, Refused> {
    let now = OffsetDateTime::now_utc();
    // A host is not removed while its certificate is signed.
    let _turn = state.records.wait_turn().await;
    let found = judge(enrolment, name, asking, now)?;
    let bindings = Bindings::read(&state.records).await.map_err(|error| database_error(&error))?;
    let Some((number, host)) = owner(state, &bindings, name, &found) else {
        return Err(Refused::owner(format!("no host that has the certificate {name} is registered; join by a token")));
    };
    let ca = enrolment.ca_certificate().map_err(pki_error)?;
    let is_time = if early { !found.is_fresh(now) } else { found.is_due(now) };
    if !is_time {
        let Signed { text: certificate, not_after, .. } = found.again();
        return Ok(Renewed { outcome: Outcome::Unchanged, certificate, ca, expires: format_time(not_after) });
    }
    let serial = found.serial.clone();
    let signed = sign(state, enrolment, &bindings, number, name, found, now).await?;
    let expires = format_time(signed.not_after);
    let text = format!("the certificate {name} of host {host} is renewed until {expires}; {serial} was good before");
    let happened = Happened::new(now, "certificate_renewed", text);
    let happened = Happened { host: Some(host), actor: Some(peer.to_string()), ..happened };
    state.records.append_event(happened).await.map_err(|error| database_error(&error))?;
    Ok(Renewed { outcome: Outcome::Updated, certificate: signed.text, ca, expires })
}

/// The certificate of this name and key that stands and may have another one after it.
fn judge(enrolment: &Enrolment, name: &Name, asking: &Asking, now: OffsetDateTime) -> Result<Standing, Refused> {
    let authority = enrolment.open_authority().map_err(pki_error)?;
    let Some(found) = authority.of_key(name, &asking.key.sum()).map_err(pki_error)?.into_iter().next() else {
        let why = match authority.standing(name).map_err(pki_error)? {
            Some(_) => "asked for with another key than it has",
            None => "there is no host's certificate of that name",
        };
        return Err(Refused::stranger(why.to_owned()));
    };
    if found.revoked {
        return Err(Refused::owner(format!("the certificate {name} was revoked; join by a token")));
    }
    if !found.current {
        return Err(Refused::owner(format!("another certificate has the place of {name}, of another key")));
    }
    if found.is_long_over(now) {
        let ended = format_time(found.not_after);
        return Err(Refused::owner(format!(
            "the certificate {name} expired on {ended}, too long ago; join by a token"
        )));
    }
    found.has_names(&asking.names).map_err(|own| {
        let rule = format!("must name {}, as its certificate does", own.join(" and "));
        ApiError::invalid("csr", rule, Some(&asking.names.join(" and ")))
    })?;
    Ok(found)
}

/// Number and name of the registered host that has a certificate: the one for which it is kept, else the one of its name.
fn owner(state: &State, bindings: &Bindings, name: &Name, found: &Standing) -> Option<(HostNumber, String)> {
    let key = found.key_sum();
    let of_number = |number| state.zone.find_registered(|row| row.number == number).map(|row| (number, row.name));
    let mut kept = bindings.owners(name.as_str(), &key).peekable();
    match kept.peek() {
        Some(_) => kept.find_map(of_number),
        None => of_number(state.zone.host_number(name.as_str())?),
    }
}

/// Signs, and keeps what was signed; both or none.
async fn sign(
    state: &State,
    enrolment: &Enrolment,
    bindings: &Bindings,
    number: HostNumber,
    name: &Name,
    old: Standing,
    now: OffsetDateTime,
) -> Result<Signed, ApiError> {
    let authority = enrolment.open_authority().map_err(pki_error)?;
    let signed = authority.renew_standing(&old, LEAF_DAYS, now).map_err(pki_error)?;
    let kept = bindings.of(number).cloned().unwrap_or_else(|| Binding::new(name.as_str(), &old.key_sum()));
    let kept = kept.of(name.as_str(), &old.key_sum()).with(&old.serial, old.not_after, now);
    let kept = kept.with(&signed.serial, signed.not_after, now);
    if let Err(error) = bind(&state.records, number, Some(&kept)).await {
        signed.withdraw();
        return Err(database_error(&error));
    }
    Ok(signed)
}
