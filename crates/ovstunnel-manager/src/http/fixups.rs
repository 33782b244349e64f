//! What holds for every route of the manager, put into the description once it is collected: what a name may look like.
//!
//! What it must not do: describe what one route alone does; that stands beside its handler.

use ovstunnel_server::openapi::operations;
use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{OpenApi, RefOr};

/// A name, as `query::name` takes it.
const NAME: &str = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$";

/// Applies them to the description of all routes.
pub(super) fn apply(api: &mut OpenApi) {
    let operations = api.paths.paths.values_mut().flat_map(operations);
    for parameter in operations.flat_map(|operation| operation.parameters.iter_mut().flatten()) {
        if let RefOr::T(parameter) = parameter {
            constrain(parameter);
        }
    }
}

/// Says what a variable part of a path, or a parameter, may look like.
fn constrain(parameter: &mut Parameter) {
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
                // These are no names: a part of one, what is looked up by several things, a time.
                let is_other = ["search", "from", "to", "since"].iter().any(|name| parameter["name"] == *name);
                if schema["type"] == "string" && !is_other {
                    assert_eq!(schema["pattern"], super::NAME, "{parameter}");
                    seen += 1;
                }
            }
        }
        assert!(seen >= 12, "{seen}");
    }
}
