//! Probes of a bridge's tunnels. Must not write: the writer does, in its order.

use axum::Json;
use axum::response::{IntoResponse, Response};
use ovstunnel_api::{PostProbe, ProbeAction, ProbeAnswer, ProbedTunnel, Problem};
use ovstunnel_plan::{
    Arrived, BridgeName, DesiredTunnel, Mac, PROBE_FRAMES, PROBE_LASTS, PROBE_SIZES, PortName, Probe, View,
};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{NoQuery, ValidJson, ValidPath};
use ovstunnel_server::problem::ApiError;

use super::fence::Fenced;
use super::{State, refusals, validate, write_problem};
use crate::writer::{ProbeAct, Probing};

/// Frames for each tunnel in one request.
const COUNTS: std::ops::RangeInclusive<u32> = 1..=10;

/// Seconds for which a probe is armed.
const SECONDS: std::ops::RangeInclusive<u32> = 1..=PROBE_LASTS;

/// Find out whether tunnels carry frames: `arm` the bridges of a network at all hosts, `send` from all, `read` at all.
///
/// An armed bridge counts the probe's frames by the tunnel that they come by and drops them: they reach no VM, and no address is learnt
/// from them. That ends by itself after 10 s at most, also without the daemon. Frames are sent only by a bridge that is itself armed, in the
/// first half of that time. Bridges of VPCs are probed in the same way, each tunnel with its tier's key.
#[utoipa::path(post, path = "/v1/bridges/{bridge}/probe", tag = "tunnels", operation_id = "probeTunnels",
    params(("bridge" = String, Path, description = "Name of the bridge")),
    request_body = PostProbe,
    responses(
        (status = 200, description = "The tunnels that it is of, and how many frames were sent or have come", body = ProbeAnswer),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: no such bridge, or no such tunnel that frames can pass", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: the probe is not armed here, or is armed already", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`switch_refused`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "`outcome_unknown`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn probe_tunnels(
    Fenced(state): Fenced,
    ValidPath(name): ValidPath<String>,
    _: NoQuery,
    ValidJson(body): ValidJson<PostProbe>,
) -> Result<Response, ApiError> {
    let asked = Asked::from_body(&name, &body)?;
    state.expect_live()?;
    let managed = state.managed_bridge(name.as_str());
    managed.ok_or_else(|| ApiError::not_found(format!("ovstunnel manages no bridge {name}")))?;
    let answer = match asked.act {
        None => read_probe(&state, &asked).await?,
        Some(act) => write_probe(&state, &asked, act).await?,
    };
    Ok(Effect::new(body.action.as_str()).as_routine().attach_to(Json(answer).into_response()))
}

/// A request, checked.
struct Asked {
    bridge: BridgeName,
    nonce: Mac,
    tunnels: Option<Vec<PortName>>,
    /// What is written; nothing where it is only read.
    act: Option<ProbeAct>,
}

impl Asked {
    fn from_body(name: &str, body: &PostProbe) -> Result<Asked, ApiError> {
        let bridge: BridgeName = validate::parse_field("bridge", name)?;
        let nonce: Mac = validate::parse_field("nonce", &body.nonce)?;
        if !Probe::is_nonce(nonce) {
            return Err(ApiError::invalid("nonce", Probe::NONCE, Some(&body.nonce)));
        }
        let port = |(n, port): (usize, &String)| validate::parse_field(&format!("tunnels[{n}]"), port);
        let names = body.tunnels.as_ref().map(|names| names.iter().enumerate().map(port).collect());
        let tunnels: Option<Vec<PortName>> = names.transpose()?;
        let of = |action: ProbeAction| body.action == action;
        let seconds = number_within("seconds", body.seconds, of(ProbeAction::Arm), (SECONDS, PROBE_LASTS))?;
        let size = number_within("size", body.size, of(ProbeAction::Send), (PROBE_SIZES, *PROBE_SIZES.start()))?;
        let count = number_within("count", body.count, of(ProbeAction::Send), (COUNTS, 1))?;
        let act = match body.action {
            ProbeAction::Arm => Some(ProbeAct::Arm { seconds }),
            ProbeAction::Send => {
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                Some(ProbeAct::Send { size, count })
            }
            ProbeAction::Read => None,
        };
        Ok(Asked { bridge, nonce, tunnels, act })
    }
}

/// A number in its range, or what it is where it is absent; it may be there only with the action that it is of.
fn number_within(
    field: &str,
    value: Option<u32>,
    is_of_action: bool,
    (range, usual): (std::ops::RangeInclusive<u32>, u32),
) -> Result<u32, ApiError> {
    let Some(value) = value else { return Ok(usual) };
    if !is_of_action {
        return Err(ApiError::invalid(field, "must be absent with this action", Some(&value.to_string())));
    }
    if !range.contains(&value) {
        let rule = format!("must be {} to {}", range.start(), range.end());
        return Err(ApiError::invalid(field, rule, Some(&value.to_string())));
    }
    Ok(value)
}

/// The tunnels as they are now.
fn current_tunnels(state: &State, asked: &Asked) -> Result<Probe, ApiError> {
    let (name, failed) = (asked.bridge.as_str(), |error| write_problem(state, asked.bridge.as_str(), error));
    let bridge = state.switch.observer().read(|db| db.view().bridge(name));
    let bridge = bridge.ok_or_else(|| ApiError::not_found(format!("there is no bridge {name}")))?;
    Probe::over_bridge(&bridge, asked.nonce, asked.tunnels.as_deref()).map_err(|rejected| failed(rejected.into()))
}

async fn write_probe(state: &State, asked: &Asked, act: ProbeAct) -> Result<ProbeAnswer, ApiError> {
    let (size, count) = match act {
        ProbeAct::Arm { .. } => (0, 0),
        ProbeAct::Send { size, count } => (size, count),
    };
    let frames = current_tunnels(state, asked)?.tunnels().len() * count;
    if frames > PROBE_FRAMES {
        let rule = format!("must be few enough, times `count`, for {PROBE_FRAMES} frames at once");
        return Err(ApiError::invalid("tunnels", rule, Some(&frames.to_string())));
    }
    let probing = Probing { bridge: asked.bridge.clone(), nonce: asked.nonce, tunnels: asked.tunnels.clone(), act };
    let probe = state
        .writer
        .probe_tunnels(probing)
        .await
        .map_err(|error| write_problem(state, asked.bridge.as_str(), error))?;
    let sent = Arrived { frames: count as u64, bytes: count as u64 * u64::from(size) };
    Ok(ProbeAnswer { tunnels: probe.tunnels().values().map(|tunnel| probed_tunnel(tunnel, sent)).collect() })
}

async fn read_probe(state: &State, asked: &Asked) -> Result<ProbeAnswer, ApiError> {
    let probe = current_tunnels(state, asked)?;
    let name = asked.bridge.as_str();
    let printed = state.switch.printed_flows(name).await;
    let printed = printed.map_err(|error| refusals::unavailable_problem(error.to_string()))?;
    let come = probe.read_arrivals(&printed);
    if come.is_empty() {
        let nonce = asked.nonce.to_string();
        let detail = format!("probe {nonce} is not armed on bridge {name}: it is over, or never was");
        return Err(ApiError::conflict(nonce, detail));
    }
    let of = |(port, tunnel): (&u32, &DesiredTunnel)| come.get(port).map(|arrived| probed_tunnel(tunnel, *arrived));
    Ok(ProbeAnswer { tunnels: probe.tunnels().iter().filter_map(of).collect() })
}

fn probed_tunnel(tunnel: &DesiredTunnel, Arrived { frames, bytes }: Arrived) -> ProbedTunnel {
    ProbedTunnel {
        port: tunnel.name.to_string(),
        to: tunnel.to.to_string(),
        remote_ip: tunnel.remote_ip.to_string(),
        key: tunnel.key.get(),
        frames,
        bytes,
    }
}
