//! Who may be asked for a change: the manager that leads. Must not judge what a client may, which was done before.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use ovstunnel_api::Code;
use ovstunnel_server::access::is_reading;
use ovstunnel_server::problem::ApiError;

use super::sending_on::SendingOn;
use crate::replica::{NotNow, Replica};

/// Has requests that change something sent on where another manager leads, if that is wanted, or refused with its name, or because nobody is known to
/// lead.
pub fn only_where_it_leads(routes: Router, replica: Replica, sending_on: Option<SendingOn>) -> Router {
    routes.layer(from_fn_with_state((replica, sending_on), require_leader))
}

async fn require_leader(
    State((replica, sending_on)): State<(Replica, Option<SendingOn>)>,
    request: Request,
    next: Next,
) -> Response {
    if is_reading(request.method()) || is_of_this_one(request.method(), request.uri().path()) {
        return next.run(request).await;
    }
    match (replica.may_change(), sending_on) {
        (Ok(()), _) => next.run(request).await,
        (Err(NotNow::Leads(leading)), Some(sending_on)) => {
            let answer = sending_on.send(request, &leading).await;
            answer.unwrap_or_else(|| refusal_error(NotNow::Leads(leading)).into_response())
        }
        (Err(why), _) => refusal_error(why).into_response(),
    }
}

/// Whether a request changes nothing but this manager alone.
pub(super) fn is_of_this_one(method: &Method, path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let resyncs = matches!(&segments[..], ["v1", "hosts", _, "resync"] | ["hosts", _, "resync"]);
    let hints = matches!(&segments[..], ["v1", "cloudstack", "events"]);
    *method == Method::POST && (resyncs || hints || matches!(&segments[..], ["v1", "links"] | ["sign-in" | "sign-out"]))
}

fn refusal_error(why: NotNow) -> ApiError {
    match why {
        NotNow::Leads(leading) => {
            let at = leading.address.as_ref().map(|address| format!(" at {address}")).unwrap_or_default();
            let detail = format!("manager {} leads this zone; nothing was changed: ask it{at}", leading.name);
            let mut error = ApiError::new(Code::NotLeader, detail);
            error.problem_mut().leader = leading.address;
            error
        }
        NotNow::Unknown(why) => ApiError::new(
            Code::Unavailable,
            format!("no manager is known to lead this zone: {why}; nothing was changed"),
        ),
    }
}
