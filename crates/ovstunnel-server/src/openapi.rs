//! What holds for every route of a service, put into its description once that is collected: the answers of what is around the
//! handlers, and the id in each answer.
//!
//! What it must not do: describe what one route does; that stands beside its handler. The schema `Problem` is the program's to
//! bring.

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{SecurityRequirement, SecurityScheme};
use utoipa::openapi::server::{ServerBuilder, ServerVariableBuilder};
use utoipa::openapi::{Content, Header, OpenApi, Ref, RefOr};

use crate::middleware::REQUEST_ID;

/// What any request may be answered, whatever its route.
const ANYWHERE: [(&str, &str); 4] = [
    ("400", "`invalid_request`: the request cannot be understood, or its body did not arrive"),
    ("403", "`forbidden`: over HTTPS, to a client that has no role, or not the one for this"),
    ("413", "`too_large`: the body has more than 1 MiB"),
    ("500", "`internal`: a fault of the service; its log says more, under the answer's `x-request-id`"),
];

/// Where a program is reached when nothing else is configured.
#[derive(Clone, Copy, Debug)]
pub struct Reached {
    /// TCP port.
    pub port: u16,
    /// Path of the Unix socket.
    pub socket: &'static str,
    /// What which role may do, in a sentence.
    pub roles: &'static str,
}

/// Name of the scheme by which a client shows who it is.
const MUTUAL_TLS: &str = "mutualTLS";

/// Adds to the description of all routes what holds for each. What a route says itself of one of these answers stays.
pub fn add_common(api: &mut OpenApi, reached: &Reached) {
    describe_access(api, reached);
    wrong_method(api);
    for operation in api.paths.paths.values_mut().flat_map(path_operations) {
        if let Some(id) = &mut operation.operation_id {
            *id = camel_case(id);
        }
        for (status, description) in ANYWHERE {
            let problem = || RefOr::T(problem_response(description));
            operation.responses.responses.entry(status.to_owned()).or_insert_with(problem);
        }
        for response in operation.responses.responses.values_mut() {
            let RefOr::T(response) = response else { continue };
            response.headers.insert(REQUEST_ID.to_owned(), RefOr::T(request_id()));
        }
    }
}

/// `list_bridges`, as a handler is called, as the operation's id: `listBridges`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |id, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        id + &initial.to_ascii_uppercase() + rest
    })
}

/// How the service is reached, and who may ask it: over HTTPS with a client certificate, for which `port` is the usual one, and as
/// root over the Unix socket.
fn describe_access(api: &mut OpenApi, reached: &Reached) {
    let port = ServerVariableBuilder::new().default_value(reached.port.to_string());
    let host = ServerVariableBuilder::new().default_value("localhost").description(Some("Name or address of the host"));
    let https = ServerBuilder::new()
        .url("https://{host}:{port}")
        .description(Some("HTTPS, with a client certificate"))
        .parameter("host", host)
        .parameter("port", port);
    let socket = format!("Unix socket `{}`, for root; the host in the URL does not matter", reached.socket);
    let unix = ServerBuilder::new().url("http://localhost").description(Some(socket));
    api.servers = Some(vec![https.build(), unix.build()]);
    let certificate = "A client certificate of the configured CA, not revoked. Its common name says which role it has:";
    let description = Some(format!("{certificate} {}", reached.roles));
    let scheme = SecurityScheme::MutualTls { description, deprecated: None, extensions: None };
    let components = api.components.get_or_insert_default();
    components.add_security_scheme(MUTUAL_TLS, scheme);
    // The empty one is for the Unix socket.
    api.security = Some(vec![SecurityRequirement::new::<_, _, &str>(MUTUAL_TLS, []), SecurityRequirement::default()]);
}

/// What is answered where a path has no such method. No operation answers so, since each has its method.
fn wrong_method(api: &mut OpenApi) {
    let mut response =
        problem_response("`method_not_allowed`: the path has no such method; `allow` names those that it has");
    let mut allow = Header::new(Schema::Object(ObjectBuilder::new().schema_type(Type::String).build()));
    allow.description = Some("The methods of the path, separated by commas".to_owned());
    response.headers.insert("allow".to_owned(), RefOr::T(allow));
    response.headers.insert(REQUEST_ID.to_owned(), RefOr::T(request_id()));
    api.components.get_or_insert_default().responses.insert("MethodNotAllowed".to_owned(), RefOr::T(response));
}

/// The operations of a path.
pub fn path_operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten()
}

fn problem_response(description: &str) -> Response {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    Response::builder().description(description).content("application/problem+json", content).build()
}

fn request_id() -> Header {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[A-Za-z0-9._-]{1,64}$"));
    let mut header = Header::new(Schema::Object(text.build()));
    header.description = Some("Under this id the log speaks of the request: the client's own, or a new one".to_owned());
    header
}
