//! The daemon's own log: how it is set, and its level.

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use ovstunnel_api::{LogAnswer, Problem, PutLog};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::config::{LEVELS, Level, LogFormat};
use ovstunnel_server::extract::{NoQuery, ValidJson};
use ovstunnel_server::logging::Logging;
use ovstunnel_server::problem::ApiError;
use ovstunnel_types::text::error_chain;

use super::State;
use super::fence::Fenced;

/// How the log is set.
#[utoipa::path(get, path = "/v1/log", tag = "host",
    responses((status = 200, description = "Level, file, and what was lost", body = LogAnswer)))]
pub(super) async fn get_log_settings(Shared(state): Shared<State>, _: NoQuery) -> Result<Json<LogAnswer>, ApiError> {
    Ok(Json(log_answer(require_logging(&state)?)))
}

/// Set the log's level, until the configuration is read again (SIGHUP, restart).
#[utoipa::path(put, path = "/v1/log", tag = "host",
    request_body = PutLog,
    responses(
        (status = 200, description = "As it is set now", body = LogAnswer),
        (status = 400, description = "`invalid_request`: no such level", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn put_log_level(
    Fenced(state): Fenced,
    _: NoQuery,
    ValidJson(PutLog { level }): ValidJson<PutLog>,
) -> Result<Response, ApiError> {
    let rule = || format!("must be {LEVELS}, and after it, separated by commas, MODULE=LEVEL");
    let level = Level::parse(&level).ok_or_else(|| ApiError::invalid("level", rule(), Some(&level)))?;
    let logging = require_logging(&state)?;
    logging.set_level(&level).map_err(|error| ApiError::internal(error_chain(&error)))?;
    Ok(Effect::mark_response(&format!("level {}", level.as_str()), Json(log_answer(logging)).into_response()))
}

fn require_logging(state: &State) -> Result<&Logging, ApiError> {
    state.logging.as_deref().ok_or_else(|| ApiError::internal("this process has no log"))
}

fn log_answer(logging: &Logging) -> LogAnswer {
    let configured = logging.configured();
    LogAnswer {
        level: logging.level().as_str().to_owned(),
        configured_level: configured.level.as_str().to_owned(),
        file: configured.file.display().to_string(),
        format: match configured.format {
            LogFormat::Text => "text".to_owned(),
            LogFormat::Json => "json".to_owned(),
        },
        max_size: configured.max_size.as_u64(),
        lines_lost: logging.lost_lines(),
    }
}
