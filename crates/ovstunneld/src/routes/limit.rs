//! What the limit of a VIF's broadcast has counted. Must not keep it: whoever asks twice can compare.

use axum::Json;
use axum::extract::State as Shared;
use ovstunnel_api::{LimitCounted, Problem, VifLimit};
use ovstunnel_plan::PortName;
use ovstunnel_server::extract::{ValidPath, ValidQuery};
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;

use super::forwarding::{Asked, requested_bridge};
use super::{State, refusals, validate};

/// Which VIF.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LimitQuery {
    /// Name of a VIF of the bridge.
    #[param(min_length = 1, max_length = 15)]
    vif: String,
}

/// What the limit of a VIF's broadcast and multicast (`[network] vif_broadcast_pps`) has counted since it was set: frames, and those dropped.
#[utoipa::path(get, path = "/v1/bridges/{bridge}/limit", tag = "bridges",
    params(("bridge" = String, Path, description = "Name of the bridge"), LimitQuery),
    responses(
        (status = 200, description = "What it has counted", body = VifLimit),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: no such bridge, or no such VIF on it", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_limit(
    Shared(state): Shared<State>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(query): ValidQuery<LimitQuery>,
) -> Result<Json<VifLimit>, ApiError> {
    let vif: PortName = validate::parse_field("vif", &query.vif)?;
    let settings = state.switch.effective_settings(&state.writer.settings());
    let Asked { real, bridge } = requested_bridge(&state, &name)?;
    let is_it = |port: &&ovstunnel_plan::ObservedPort| port.name == vif.as_str();
    let number = bridge.vifs(&settings.vif_prefixes).find(is_it).and_then(|port| port.interface()?.openflow_port());
    let number =
        number.ok_or_else(|| ApiError::not_found(format!("bridge {} has no VIF {vif} with a device", bridge.name)))?;
    let (pps, vif) = (settings.vif_broadcast_pps, vif.to_string());
    let Some(real) = real.filter(|_| pps > 0) else {
        return Ok(Json(VifLimit { vif, limit: None }));
    };
    let counted = real.metered(&bridge.name, number).await;
    let counted = counted.map_err(|error| refusals::unavailable_problem(error.to_string()))?;
    let limit = counted.map(|counted| LimitCounted {
        pps,
        seconds: counted.set_for.as_secs_f64(),
        frames: counted.frames,
        dropped: counted.dropped,
    });
    Ok(Json(VifLimit { vif, limit }))
}
