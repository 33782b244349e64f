//! The list of the managed bridges: all, a page of it, those that are wanted, or some fields of each.
//!
//! What it must not do: remember a page. A cursor is a name, and what comes after it is what is there when it is asked for.

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use ovstunnel_api::{Bridge, BridgeList, BridgeSelection, HealthState, Problem};
use ovstunnel_plan::{GreKey, View, VpcId};
use ovstunnel_server::extract::ValidQuery;
use ovstunnel_server::problem::ApiError;
use ovstunnel_types::{NAME_MAX, is_plain_name};
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::State;

/// Bridges of one page at most.
pub(super) const LIMIT: usize = 1000;

/// The fields that a bridge may have in an answer.
pub(super) const FIELDS: [&str; 20] = [
    "name",
    "key",
    "vpc",
    "network_uuid",
    "host_id",
    "ipv6",
    "kind",
    "dst_port",
    "adopted",
    "tunnels",
    "second",
    "vifs",
    "uplink",
    "neighbours",
    "other_ports",
    "flows",
    "health",
    "max_guest_mtu",
    "mtu_request",
    "claim",
];

/// Which bridges, and what of them. What each parameter may be is described in [`super::fixups`].
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// So many bridges at most; where there are more, the answer has `next`.
    #[serde(deserialize_with = "limit")]
    #[param(value_type = Option<u32>)]
    limit: Option<usize>,
    /// `next` of the answer before: those bridges whose names come after it.
    #[serde(deserialize_with = "cursor")]
    cursor: Option<String>,
    /// Only bridges whose health is this, or one of these, separated by commas.
    #[serde(deserialize_with = "states")]
    #[param(style = Form, explode = false, value_type = Option<Vec<String>>)]
    state: Option<Vec<HealthState>>,
    /// Only the bridge of the network, or of the VPC with a tier, that has this GRE key.
    #[serde(deserialize_with = "key")]
    #[param(value_type = Option<u32>)]
    key: Option<GreKey>,
    /// Only the bridge of the VPC with this id.
    #[serde(deserialize_with = "vpc")]
    #[param(value_type = Option<String>)]
    vpc: Option<VpcId>,
    /// Only these fields of each bridge, separated by commas; one that a bridge does not have is absent.
    #[serde(deserialize_with = "fields")]
    #[param(style = Form, explode = false, value_type = Option<Vec<String>>)]
    fields: Option<Vec<String>>,
}

/// Reads a text; `expected` is the rule that it breaks where it cannot be read.
fn parse_text_value<'de, D: Deserializer<'de>, T>(
    from: D,
    expected: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).map(Some).ok_or_else(|| D::Error::custom(format!("expected {expected}")))
}

fn limit<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    let digits = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
    let parse = |text: &str| Some(text).filter(digits)?.parse().ok().filter(|limit| (1..=LIMIT).contains(limit));
    parse_text_value(from, "a whole number from 1 to 1000", parse)
}

/// Any name will do, of a bridge that is not there as well: what comes after it is what there is to say.
fn cursor<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let name = |text: &str| is_plain_name(text, NAME_MAX).then(|| text.to_owned());
    parse_text_value(from, "`next` of the answer before, which is a bridge's name", name)
}

fn states<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<HealthState>>, D::Error> {
    let all = [HealthState::Ok, HealthState::Degraded, HealthState::Failed];
    let state = |text: &str| all.into_iter().find(|state| state.as_str() == text);
    parse_text_value(from, "ok, degraded or failed, or several of them, separated by commas", |text| {
        text.split(',').map(state).collect()
    })
}

fn key<'de, D: Deserializer<'de>>(from: D) -> Result<Option<GreKey>, D::Error> {
    parse_text_value(from, "a whole number from 1 to 2147483647", |text| text.parse().ok())
}

fn vpc<'de, D: Deserializer<'de>>(from: D) -> Result<Option<VpcId>, D::Error> {
    parse_text_value(from, "the id of a VPC, 1 to 64 characters: letters, digits, '.', '_', '-'", |text| {
        text.parse().ok()
    })
}

fn fields<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    let known = |field: &str| FIELDS.contains(&field).then(|| field.to_owned());
    let expected = format!("fields of a bridge, separated by commas: {}", FIELDS.join(", "));
    parse_text_value(from, &expected, |text| text.split(',').map(known).collect())
}

impl ListQuery {
    fn selects_bridge(&self, bridge: &Bridge) -> bool {
        let vpc = bridge.vpc.as_ref();
        let has = |key: &GreKey| {
            let tiers = vpc.into_iter().flat_map(|vpc| &vpc.tiers).map(|tier| tier.key);
            bridge.key.into_iter().chain(tiers).any(|of_bridge| of_bridge == key.get())
        };
        self.state.as_ref().is_none_or(|states| states.contains(&bridge.health.state))
            && self.key.as_ref().is_none_or(has)
            && self.vpc.as_ref().is_none_or(|id| vpc.is_some_and(|vpc| vpc.id == id.as_str()))
    }
}

/// The managed bridges, by name.
#[utoipa::path(get, path = "/v1/bridges", tag = "bridges",
    params(ListQuery),
    responses(
        (status = 200, description = "What is there; with `fields` a `BridgeSelection`", body = BridgeList),
        (status = 400, description = "`invalid_request`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn list_bridges(
    Shared(state): Shared<State>,
    ValidQuery(query): ValidQuery<ListQuery>,
) -> Result<Response, ApiError> {
    state.expect_live()?;
    let most = query.limit.unwrap_or(usize::MAX);
    let mut bridges = state.bridges_of(&query, most.saturating_add(1)).await;
    // One more than was asked for is told by `next` alone.
    let more = bridges.len() > most;
    bridges.truncate(most);
    let next = bridges.last().filter(|_| more).map(|last| last.name.clone());
    Ok(match &query.fields {
        None => Json(BridgeList { bridges, next }).into_response(),
        Some(fields) => {
            let bridges = bridges.iter().map(|bridge| select_fields(bridge, fields)).collect();
            Json(BridgeSelection { bridges, next }).into_response()
        }
    })
}

impl State {
    /// All managed bridges as they are now.
    pub(super) async fn all_bridges(&self) -> Vec<Bridge> {
        self.bridges_of(&ListQuery::default(), usize::MAX).await
    }

    /// The first of those that are wanted, so many at most. No other is looked at longer than it takes to know that.
    async fn bridges_of(&self, query: &ListQuery, most: usize) -> Vec<Bridge> {
        self.surveyor.current_survey().await;
        let comes_after = |name: &String| query.cursor.as_ref().is_none_or(|cursor| name > cursor);
        self.switch.observer().read(|db| {
            let view = db.view();
            let names = db.bridge_names().into_iter().filter(comes_after);
            let bridges = names.filter_map(|name| view.bridge(&name)).filter_map(|bridge| self.to_wire(&bridge));
            bridges.filter(|bridge| query.selects_bridge(bridge)).take(most).collect()
        })
    }
}

/// These fields of a bridge.
fn select_fields(bridge: &impl Serialize, fields: &[String]) -> Map<String, Value> {
    // A struct of texts, numbers and lists of them: serde_json makes an object of it and cannot fail.
    let Ok(Value::Object(mut all)) = serde_json::to_value(bridge) else { return Map::new() };
    all.retain(|name, _| fields.contains(name));
    all
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;
    use utoipa::openapi::RefOr;
    use utoipa::openapi::schema::Schema;

    use super::*;

    #[test]
    fn every_field_of_a_bridge_can_be_asked_for() {
        let RefOr::T(Schema::Object(described)) = Bridge::schema() else { panic!("an object") };
        let mut described: Vec<&str> = described.properties.keys().map(String::as_str).collect();
        let mut known = FIELDS;
        described.sort_unstable();
        known.sort_unstable();
        assert_eq!(described, known);
    }
}
