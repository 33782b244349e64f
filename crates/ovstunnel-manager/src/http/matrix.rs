//! All directions between the hosts of a network, or of the zone: as JSON, CSV and pictures. Must not draw.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use ovstunnel_api::Problem;
use ovstunnel_manager_api::{Matrix, MatrixBy};
use ovstunnel_server::extract::{NoQuery, ValidPath, ValidQuery};
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;
use serde::de::Deserializer;

use super::{State, networks, query};
use crate::matrix::{self, Grid};
use crate::zone::Pairs;

/// A picture, in the description.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "only its schema is used")]
struct Png(Vec<u8>);

/// What a line is.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ByQuery {
    /// What a row and a column are: a host, or the hosts of a rack together. Where it is absent, a host.
    by: MatrixBy,
}

/// What a line is, and how large a picture may be.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct PictureQuery {
    /// What a row and a column are: a host, or the hosts of a rack together. Where it is absent, a host.
    by: MatrixBy,
    /// Lines at most where a line is a host, 1 to 4096: with more hosts a line is several of them, and shows the worst.
    #[serde(deserialize_with = "side")]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 4096)]
    side: Option<usize>,
}

fn side<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    query::parse_whole(from, 4096).map(|number| usize::try_from(number).ok())
}

fn network_pairs(state: &State, name: &str) -> Result<Pairs, ApiError> {
    state.zone.pairs(networks::network_key(state, name)?).ok_or_else(|| networks::no_such_network(name))
}

fn build_grid(pairs: &Pairs, wanted: &PictureQuery) -> Grid {
    match wanted.by {
        MatrixBy::Rack => Grid::from_pairs(pairs, MatrixBy::Rack),
        MatrixBy::Host => Grid::at_most(pairs, wanted.side.unwrap_or(pairs.places.len())),
    }
}

/// A file of this name, which a browser shows, or saves where it is no picture.
fn file_response(name: &str, kind: &'static str, how: &str, content: Vec<u8>) -> Response {
    let disposition = format!("{how}; filename=\"{name}\"");
    let headers = [(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    (headers, content).into_response()
}

fn picture_response(name: &str, pairs: &Pairs, wanted: &PictureQuery) -> Result<Response, ApiError> {
    let drawn = matrix::render_png(pairs, build_grid(pairs, wanted));
    let bytes = drawn.map_err(|error| ApiError::internal(format!("the picture cannot be drawn: {error}")))?;
    Ok(file_response(&format!("{name}.png"), "image/png", "inline", bytes))
}

/// Each direction between the hosts of a network: which are not proven, and how they are.
#[utoipa::path(get, path = "/v1/networks/{network}/mesh", tag = "networks", operation_id = "getMesh",
    params(("network" = String, Path, description = "Name of the network"), ByQuery),
    responses(
        (status = 200, description = "The matrix: a row is from, a column is to", body = Matrix),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: it has no key yet", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_mesh(
    Shared(state): Shared<State>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(ByQuery { by }): ValidQuery<ByQuery>,
) -> Result<Json<Matrix>, ApiError> {
    Ok(Json(matrix::render_json(Some(&name), &network_pairs(&state, &name)?, by, state.zone.oldest_sign())))
}

/// The same as `/v1/networks/{network}/mesh`.
#[utoipa::path(get, path = "/v1/networks/{network}/mesh.json", tag = "networks", operation_id = "getMeshJson",
    params(("network" = String, Path, description = "Name of the network"), ByQuery),
    responses(
        (status = 200, description = "The matrix: a row is from, a column is to", body = Matrix),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: it has no key yet", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_mesh_json(
    state: Shared<State>,
    name: ValidPath<String>,
    query: ValidQuery<ByQuery>,
) -> Result<Json<Matrix>, ApiError> {
    get_mesh(state, name, query).await
}

/// The directions of a network that are not proven, the worst first. Above 399 kB the last line says how many more there are.
#[utoipa::path(get, path = "/v1/networks/{network}/mesh.csv", tag = "networks", operation_id = "getMeshCsv",
    params(("network" = String, Path, description = "Name of the network")),
    responses(
        (status = 200, description = "Lines of from,to,state", body = String, content_type = "text/csv"),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: it has no key yet", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_mesh_csv(
    Shared(state): Shared<State>,
    ValidPath(name): ValidPath<String>,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let text = matrix::render_csv(&network_pairs(&state, &name)?);
    Ok(file_response(&format!("{name}.csv"), "text/csv; charset=utf-8", "attachment", text.into_bytes()))
}

/// A network's matrix as a drawing of at most 100 kB: where there is too much to draw, a line is several hosts, and shows the worst of them.
#[utoipa::path(get, path = "/v1/networks/{network}/mesh.svg", tag = "networks", operation_id = "getMeshSvg",
    params(("network" = String, Path, description = "Name of the network"), PictureQuery),
    responses(
        (status = 200, description = "The drawing", body = String, content_type = "image/svg+xml"),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: it has no key yet", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_mesh_svg(
    Shared(state): Shared<State>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(wanted): ValidQuery<PictureQuery>,
) -> Result<Response, ApiError> {
    let pairs = network_pairs(&state, &name)?;
    let text = matrix::render_svg(&name, &pairs, build_grid(&pairs, &wanted));
    Ok(file_response(&format!("{name}.svg"), "image/svg+xml", "inline", text.into_bytes()))
}

/// A network's matrix as a picture of at most 400 kB, hosts by rack: each direction a point, or as many as it takes to be small.
#[utoipa::path(get, path = "/v1/networks/{network}/mesh.png", tag = "networks", operation_id = "getMeshPng",
    params(("network" = String, Path, description = "Name of the network"), PictureQuery),
    responses(
        (status = 200, description = "The picture", body = inline(Png), content_type = "image/png"),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: it has no key yet", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_mesh_png(
    Shared(state): Shared<State>,
    ValidPath(name): ValidPath<String>,
    ValidQuery(wanted): ValidQuery<PictureQuery>,
) -> Result<Response, ApiError> {
    picture_response(&name, &network_pairs(&state, &name)?, &wanted)
}

/// Each direction between hosts that have a network in common, as it is in the network in which it is worst.
#[utoipa::path(get, path = "/v1/zone/matrix", tag = "zone", operation_id = "getZoneMatrix", params(ByQuery),
    responses((status = 200, description = "The matrix: a row is from, a column is to", body = Matrix)))]
pub(super) async fn get_zone_matrix(
    Shared(state): Shared<State>,
    ValidQuery(ByQuery { by }): ValidQuery<ByQuery>,
) -> Json<Matrix> {
    Json(matrix::render_json(None, &state.zone.all_pairs(), by, state.zone.oldest_sign()))
}

/// The zone's matrix as a picture of at most 400 kB, hosts by rack.
#[utoipa::path(get, path = "/v1/zone/matrix.png", tag = "zone", operation_id = "getZoneMatrixPng", params(PictureQuery),
    responses((status = 200, description = "The picture", body = inline(Png), content_type = "image/png")))]
pub(super) async fn get_zone_matrix_png(
    Shared(state): Shared<State>,
    ValidQuery(wanted): ValidQuery<PictureQuery>,
) -> Result<Response, ApiError> {
    picture_response(&state.identity.name, &state.zone.all_pairs(), &wanted)
}
