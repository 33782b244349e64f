//! What holds for every route of the daemon, put into the description once it is collected: what a name may look like, what
//! a dry run answers, and under which epoch a change is asked for.
//!
//! What it must not do: describe what one route alone does; that stands beside its handler.

use ovstunnel_api::EPOCH_HEADER;
use ovstunnel_server::openapi::path_operations;
use ovstunnel_types::{BridgeName, NetworkUuid, PortName};
use utoipa::PartialSchema;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, Object, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Required};

use super::list;
use crate::plugin;

/// Its body may be left out, and its plan says more than others.
const TAKEOVER: &str = "/v1/takeover";

/// Its answer has another form where fields are named.
const LIST: &str = "/v1/bridges";

/// It has other functions than the plugin.
const KVM: &str = "/v1/kvm/{function}";

/// How the UUID of a zone begins a text.
const ZONE: &str = "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}";

/// The largest GRE key.
const LARGEST_KEY: usize = 2_147_483_647;

/// Applies them to the description of all routes.
pub(super) fn apply_fixups(api: &mut OpenApi) {
    for (path, item) in &mut api.paths.paths {
        path_operations(item).for_each(|operation| fix_operation(path, operation));
        let changing = [&mut item.put, &mut item.post, &mut item.delete];
        changing.into_iter().flatten().for_each(may_be_fenced);
    }
}

/// Says that a request may be of a leader of a zone's manager, and is refused where that leads no more.
fn may_be_fenced(operation: &mut Operation) {
    let pattern = format!("{ZONE}:[1-9][0-9]{{0,17}}$");
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
    let parameter = ParameterBuilder::new()
        .name(EPOCH_HEADER)
        .parameter_in(ParameterIn::Header)
        .description(Some(
            "The epoch of the zone's manager that asks, `<zone-uuid>:<number>`. A newer one than is recorded is recorded first",
        ))
        .schema(Some(text));
    operation.parameters.get_or_insert_default().push(RefOr::T(parameter.build()));
    let fenced = "`stale_epoch` or `other_zone`: not under this epoch; `recorded` has the one that is recorded";
    let response = operation.responses.responses.entry("409".to_owned()).or_insert_with(|| {
        let content = Content::new(Some(Ref::from_schema_name("Problem")));
        RefOr::T(Response::builder().content("application/problem+json", content).build())
    });
    if let RefOr::T(response) = response {
        match response.description.as_str() {
            "" => fenced.clone_into(&mut response.description),
            said if said.contains("stale_epoch") => {}
            said => response.description = format!("{said}; {fenced}"),
        }
    }
}

fn fix_operation(path: &str, operation: &mut Operation) {
    let mut has_dry_run = false;
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        has_dry_run |= parameter.name == "dry_run";
        constrain_parameter(path, parameter);
    }
    if let (TAKEOVER, Some(RefOr::T(body))) = (path, &mut operation.request_body) {
        body.required = Some(Required::False);
    }
    let plan = if path == TAKEOVER { "TakeoverPlan" } else { "PlanAnswer" };
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        match status.as_str() {
            "200" if has_dry_run => or_else(response, plan),
            "200" if path == LIST => or_else(response, "BridgeSelection"),
            _ => {}
        }
    }
}

/// Says what a variable part of a path, or a parameter, may look like.
fn constrain_parameter(path: &str, parameter: &mut Parameter) {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let schema: Object = match parameter.name.as_str() {
        "bridge" => text.pattern(schema_pattern::<BridgeName>()).build(),
        "port" => text.pattern(schema_pattern::<PortName>()).build(),
        "vif" if path.ends_with("/limit") => text.pattern(schema_pattern::<BridgeName>()).build(),
        "vif" => text.pattern(either_pattern(schema_pattern::<BridgeName>(), schema_pattern::<NetworkUuid>())).build(),
        "cursor" => text.pattern(schema_pattern::<BridgeName>()).build(),
        "vpc" => text.pattern(Some("^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$")).build(),
        "limit" => whole_number(list::LIMIT),
        "key" => whole_number(LARGEST_KEY),
        "state" => return parameter.schema = Some(comma_list_schema(["ok", "degraded", "failed"])),
        "fields" => return parameter.schema = Some(comma_list_schema(list::FIELDS)),
        "function" if path == KVM => text.enum_values(Some(plugin::AGENT_FUNCTIONS)).build(),
        "function" => text.enum_values(Some(plugin::FUNCTIONS)).build(),
        _ => return,
    };
    parameter.schema = Some(schema.into());
}

/// From 1 on.
fn whole_number(largest: usize) -> Object {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(largest)).build()
}

/// One or more of these words, separated by commas.
fn comma_list_schema<const N: usize>(words: [&str; N]) -> RefOr<Schema> {
    let word = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words));
    ArrayBuilder::new().items(word).min_items(Some(1)).into()
}

/// What a name may look like, by its own description.
fn schema_pattern<T: PartialSchema>() -> Option<String> {
    match T::schema() {
        RefOr::T(Schema::Object(object)) => object.pattern,
        _ => None,
    }
}

/// One of two patterns, each of which is for a whole text.
fn either_pattern(one: Option<String>, other: Option<String>) -> Option<String> {
    let inside = |pattern: &str| pattern.trim_start_matches('^').trim_end_matches('$').to_owned();
    Some(format!("^({}|{})$", inside(&one?), inside(&other?)))
}

/// With a parameter a success has another form: a plan, say.
fn or_else(response: &mut Response, other: &str) {
    for content in response.content.values_mut() {
        let RefOr::T(content) = content else { continue };
        if let Some(real) = content.schema.take() {
            let either = AnyOfBuilder::new().item(real).item(Ref::from_schema_name(other));
            content.schema = Some(Schema::AnyOf(either.build()).into());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::super::openapi;

    /// Each route says the same of what is the same for all.
    #[test]
    fn every_route_is_described_to_the_end() {
        let api = serde_json::to_value(openapi::description()).unwrap();
        let mut seen = 0;
        for (path, item) in api["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                seen += 1;
                let responses = operation["responses"].as_object().unwrap();
                assert!(
                    ["400", "403", "413", "500"].iter().all(|status| responses.contains_key(*status)),
                    "{method} {path}"
                );
                let with_id = responses.values().filter(|response| response["headers"]["x-request-id"].is_object());
                assert_eq!(with_id.count(), responses.len(), "{method} {path}");
                let is_change = method != "get";
                let fenced = operation["parameters"].to_string().contains("\"ovstunnel-epoch\"");
                let refused = responses.get("409").is_some_and(|said| said.to_string().contains("stale_epoch"));
                assert_eq!((fenced, refused), (is_change || path == "/v1/watch", is_change), "{method} {path}");
                let changes = operation.to_string().contains("\"dry_run\"");
                let plan = responses["200"].to_string().contains("/TakeoverPlan")
                    || responses["200"].to_string().contains("/PlanAnswer");
                assert_eq!(changes, plan, "{method} {path}");
            }
        }
        assert!(seen >= 16, "{seen}");
    }
}
