//! The stream of changes. Must not hold anything of the daemon while it runs but its reader's place.

use std::time::Duration;

use axum::Extension;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use futures_util::StreamExt;
use ovstunnel_api::{CONTROLLER_HEADER, Problem};
use ovstunnel_plan::Epoch;
use ovstunnel_server::access::Access;
use ovstunnel_server::extract::NoQuery;
use ovstunnel_server::listen::{Cut, Peer};
use ovstunnel_server::problem::ApiError;
use ovstunnel_server::watch::{TooMany, last_event, stream_response};

use super::fence::epoch_of;
use super::{State, refusals};
use crate::watch::Joined;

/// How long it may take to describe everything.
const DESCRIBED_IN: Duration = Duration::from_secs(20);

/// What is there, and then each change: server-sent events.
///
/// Events: `snapshot` (everything), `bridge` (one that is new or has changed, as in the list of bridges), `bridge_gone`, `health` (the
/// host's), and every 2 seconds `ping`. The `id` of each is a position: a request whose header `Last-Event-ID` names one goes on after it,
/// where every change since is still known; else it begins with a snapshot.
#[utoipa::path(get, path = "/v1/watch", tag = "host",
    params(
        ("ovstunnel-epoch" = Option<String>, Header, pattern = "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}:[1-9][0-9]{0,17}$", description = "Of a zone's manager: the epoch under which it leads, `<zone-uuid>:<number>`"),
        ("ovstunnel-controller" = Option<String>, Header, pattern = "^(on|off)$", description = "Whether that manager acts (`on`; for operators): what the xapi plugin is told to remove is then left to it. Needs the epoch"),
        ("Last-Event-ID" = Option<String>, Header, pattern = r"^[A-Za-z0-9]{1,64}-[0-9]{1,19}$", description = "The id of the last event that was read"),
    ),
    responses(
        (status = 200, description = "Events, without end; the data of the first is a `WatchSnapshot`", body = String, content_type = "text/event-stream"),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: a viewer cannot say that it acts", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`, or too many watch", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn watch_bridges(
    Shared(state): Shared<State>,
    connection: Option<Extension<Cut>>,
    access: Option<Extension<Access>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let last = last_event(&headers)?;
    let acts = acting_epoch(&headers)?;
    if let (Some(_), Some(Extension(access))) = (acts, access) {
        // It changes what the plugin's calls do, so it is for those who may change something.
        access.judge_request(peer.as_deref(), &Method::PUT, "/v1/watch")?;
    }
    state.expect_live()?;
    let connection = connection.map(|Extension(cut)| cut);
    let too_many = |error: TooMany| refusals::unavailable_problem(error.to_string());
    let (reader, first) = match state.watch.admit_reader(last.as_ref(), connection.clone()).map_err(too_many)? {
        Joined::Resumed(reader) => (reader, None),
        Joined::Anew(snapshot) => {
            let made = tokio::time::timeout(DESCRIBED_IN, snapshot).await;
            let made =
                made.map_err(|_| refusals::unavailable_problem("what is there could not be described in time"))?;
            let made = made.map_err(|_| refusals::unavailable_problem("the daemon ends"))?;
            let unreachable =
                |reason| refusals::unavailable_problem(format!("Open vSwitch cannot be reached: {reason}"));
            let snapshot = made.map_err(unreachable)?;
            (state.watch.join_after(&snapshot, connection), Some(snapshot.text))
        }
    };
    let connected = acts.and_then(|(epoch, on)| state.watch.controllers().record_controller(epoch, on));
    // It is connected for as long as the answer is not at its end.
    let stream = reader.into_stream(first).map(move |event| {
        let _while_it_lasts = &connected;
        event
    });
    Ok(stream_response(stream))
}

/// The epoch under which who watches leads, and whether it acts; nothing where it does not say.
fn acting_epoch(headers: &HeaderMap) -> Result<Option<(Epoch, bool)>, ApiError> {
    let epoch = epoch_of(headers)?;
    let invalid = |rule, value: Option<&str>| Err(ApiError::invalid(CONTROLLER_HEADER, rule, value));
    let mut values = headers.get_all(CONTROLLER_HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return invalid("must be given once", None);
    }
    match (value.as_bytes(), epoch) {
        (b"on", Some(epoch)) => Ok(Some((epoch, true))),
        (b"off", epoch) => Ok(epoch.map(|epoch| (epoch, false))),
        (b"on", None) => invalid("needs the header ovstunnel-epoch beside it", None),
        _ => invalid("must be `on` or `off`", Some(&String::from_utf8_lossy(value.as_bytes()))),
    }
}
