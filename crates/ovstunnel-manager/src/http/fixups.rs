//! What holds for every route of the manager, put into the description once it is collected: what a name may look like, and what who does not lead answers.
//!
//! What it must not do: describe what one route alone does; that stands beside its handler.

use axum::http::Method;
use ovstunnel_server::openapi::path_operations;
use utoipa::openapi::path::Parameter;
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr};

use super::leading::is_of_this_one;

/// A name, as `query::name` takes it.
const NAME: &str = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$";

/// What a manager that does not lead answers to whoever wants something changed.
const ELSEWHERE: [(&str, &str); 2] = [
    ("421", "`not_leader`: another manager of the zone leads; `leader` is its address"),
    ("503", "`unavailable`: no manager is known to lead the zone"),
];

/// Applies them to the description of all routes.
pub(super) fn apply_fixups(api: &mut OpenApi) {
    let operations = api.paths.paths.values_mut().flat_map(path_operations);
    for parameter in operations.flat_map(|operation| operation.parameters.iter_mut().flatten()) {
        if let RefOr::T(parameter) = parameter {
            constrain_parameter(parameter);
        }
    }
    for (path, item) in &mut api.paths.paths {
        let changing =
            [(Method::PUT, &mut item.put), (Method::POST, &mut item.post), (Method::DELETE, &mut item.delete)];
        let refused = changing.into_iter().filter(|(method, _)| !is_of_this_one(method, path));
        for operation in refused.filter_map(|(_, operation)| operation.as_mut()) {
            for (status, description) in ELSEWHERE {
                let problem = || RefOr::T(problem_response(description));
                operation.responses.responses.entry(status.to_owned()).or_insert_with(problem);
            }
        }
    }
}

fn problem_response(description: &str) -> Response {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    Response::builder().description(description).content("application/problem+json", content).build()
}

/// Says what a variable part of a path, or a parameter, may look like.
fn constrain_parameter(parameter: &mut Parameter) {
    match (parameter.name.as_str(), &mut parameter.schema) {
        ("host" | "network" | "physical_network" | "nic" | "kind", schema) => {
            let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(NAME)).build();
            *schema = Some(text.into());
        }
        // An empty text is no state.
        ("state", Some(RefOr::T(Schema::Array(states)))) => states.min_items = Some(1),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::super::openapi::description;

    #[test]
    fn each_name_says_what_it_may_look_like() {
        let api = serde_json::to_value(description()).unwrap();
        let mut seen = 0;
        for parameter in api["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values())
        {
            for parameter in parameter["parameters"].as_array().into_iter().flatten() {
                let schema = &parameter["schema"];
                // These are no names: a part of one, what is looked up by several things, a packet, a time, a token's id, a signature.
                let is_other = ["search", "from", "to", "packet", "since", "id", "X-CS-Signature"]
                    .iter()
                    .any(|name| parameter["name"] == *name);
                if schema["type"] == "string" && !is_other {
                    assert_eq!(schema["pattern"], super::NAME, "{parameter}");
                    seen += 1;
                }
            }
        }
        assert!(seen >= 12, "{seen}");
    }
}
