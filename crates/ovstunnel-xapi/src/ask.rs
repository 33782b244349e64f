//! Has the daemon answer a request. Must not repeat it: only the management server knows whether that is wanted.

use std::path::PathBuf;
use std::time::Duration;

use ovstunnel_api::{ANSWERED_WITHIN, Code};
use ovstunnel_client::{Client, ClientError, DEFAULT_SOCKET};
use ovstunnel_types::text::error_chain;

use crate::request::Request;
use crate::response::Response;

/// For everything together: longer than the daemon may take, so that its own explanation comes first. A management server
/// waits longer for xapi.
const DEADLINE: Duration = ANSWERED_WITHIN.saturating_add(Duration::from_secs(10));

/// Overrides the socket; xapi gives no options.
const SOCKET: &str = "OVSTUNNEL_SOCKET";

/// Overrides the deadline, in whole seconds.
const TIMEOUT: &str = "OVSTUNNEL_TIMEOUT";

/// What is answered to a request, whatever the daemon does.
pub fn ask_daemon(request: &Request) -> Response {
    if !can_be_a_function(&request.function) {
        return Response::unknown(&request.function);
    }
    let socket = std::env::var_os(SOCKET).map_or_else(|| PathBuf::from(DEFAULT_SOCKET), PathBuf::from);
    let seconds = std::env::var(TIMEOUT).ok().and_then(|text| text.parse().ok());
    let deadline = seconds.map_or(DEADLINE, Duration::from_secs);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Response::failed("UNAVAILABLE", &error.to_string()),
    };
    let client = Client::unix(socket, deadline);
    let asked = runtime.block_on(client.plugin(&request.function, &request.arguments));
    // Whatever a thread of the runtime still waits for.
    runtime.shutdown_background();
    match asked {
        Ok(answer) => Response::Success(answer.value),
        Err(ClientError::Problem(problem)) if problem.code == Code::NotFound => Response::unknown(&request.function),
        Err(error) => Response::failed(failure_reason(&error), &error_message(&error)),
    }
}

/// Anything else would be another path, or none.
fn can_be_a_function(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The first word of the failure.
fn failure_reason(error: &ClientError) -> &'static str {
    match error {
        ClientError::NoAnswer { .. } | ClientError::BrokenOff { .. } => "OUTCOME_UNKNOWN",
        ClientError::Problem(problem) if problem.code == Code::InvalidRequest => "INVALID_ARGUMENT",
        _ => "UNAVAILABLE",
    }
}

fn error_message(error: &ClientError) -> String {
    if let ClientError::Problem(problem) = error {
        return problem.detail.clone();
    }
    error_chain(error)
}
