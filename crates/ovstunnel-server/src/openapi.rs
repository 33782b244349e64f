//! What holds for every route of a service, put into its description once that is collected: the answers of what is around the
//! handlers, and the id in each answer.
//!
//! What it must not do: describe what one route does; that stands beside its handler. The schema `Problem` is the program's to
//! bring.

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{Content, Header, OpenApi, Ref, RefOr};

use crate::middleware::REQUEST_ID;

/// What any request may be answered, whatever its route.
const ANYWHERE: [(&str, &str); 4] = [
    ("400", "`invalid_request`: the request cannot be understood, or its body did not arrive"),
    ("403", "`forbidden`: over HTTPS, to a client that has no role, or not the one for this"),
    ("413", "`too_large`: the body has more than 1 MiB"),
    ("500", "`internal`: a fault of the daemon; its log says more"),
];

/// Completes the description of all routes. What a route says itself of one of these answers stays.
pub fn complete(api: &mut OpenApi) {
    for operation in api.paths.paths.values_mut().flat_map(operations) {
        for (status, description) in ANYWHERE {
            let problem = || RefOr::T(problem(description));
            operation.responses.responses.entry(status.to_owned()).or_insert_with(problem);
        }
        for response in operation.responses.responses.values_mut() {
            let RefOr::T(response) = response else { continue };
            response.headers.insert(REQUEST_ID.to_owned(), RefOr::T(request_id()));
        }
    }
}

/// The operations of a path.
pub fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten()
}

fn problem(description: &str) -> Response {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    Response::builder().description(description).content("application/problem+json", content).build()
}

fn request_id() -> Header {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[A-Za-z0-9._-]{1,64}$"));
    let mut header = Header::new(Schema::Object(text.build()));
    header.description = Some("Under this id the log speaks of the request: the client's own, or a new one".to_owned());
    header
}
