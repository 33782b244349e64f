//! Has the daemon carry a call out. Must not repeat it: only the management server knows whether that is wanted.

use std::time::Duration;

use ovstunnel_api::{ANSWERED_WITHIN, Code};
use ovstunnel_client::{Client, ClientError};
use ovstunnel_types::text::{error_chain, sanitize};

use crate::call::Call;
use crate::settings::Settings;

/// For everything together: longer than the daemon may take, so that its own explanation comes first. The agent waits for half an hour.
const DEADLINE: Duration = ANSWERED_WITHIN.saturating_add(Duration::from_secs(10));

/// Overrides the deadline, in whole seconds.
const TIMEOUT: &str = "OVSTUNNEL_TIMEOUT";

/// The function whose end agents take the other way round.
const CREATE_TUNNEL: &str = "create_tunnel";

/// Longest explanation, in characters: the agent reads it only after the end, from a pipe that holds so much.
const LONGEST: usize = 500;

/// How the program ends.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// What it prints.
    pub line: String,
    /// Its exit status.
    pub status: u8,
}

impl Ended {
    fn with_exit_status(function: &str, settings: &Settings, succeeded: bool, line: String) -> Self {
        let status = match function {
            CREATE_TUNNEL => settings.create_tunnel_exit.exit_status(succeeded),
            _ => u8::from(!succeeded),
        };
        Ended { line, status }
    }

    /// The function failed, by the convention of the daemon's own answers.
    pub fn function_failed(function: &str, settings: &Settings, reason: &str, words: &str) -> Self {
        Ended::with_exit_status(function, settings, false, format!("FAILURE:{reason} {}", sanitize(words, LONGEST)))
    }
}

/// How a call ends, whatever the daemon does.
pub fn call_daemon(call: &Call, settings: &Settings) -> Ended {
    let failed = |reason: &str, words: &str| Ended::function_failed(&call.function, settings, reason, words);
    if !can_be_a_function(&call.function) {
        return failed("INVALID_ARGUMENT", &format!("there is no function {}", call.function));
    }
    let seconds = std::env::var(TIMEOUT).ok().and_then(|text| text.parse().ok());
    let deadline = seconds.map_or(DEADLINE, Duration::from_secs);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed("UNAVAILABLE", &error.to_string()),
    };
    let client = Client::unix(settings.socket.clone(), deadline);
    let asked = runtime.block_on(client.kvm(&call.function, &call.options));
    // Whatever a thread of the runtime still waits for.
    runtime.shutdown_background();
    match asked {
        Ok(answer) => {
            let succeeded = answer.value.starts_with("SUCCESS");
            Ended::with_exit_status(&call.function, settings, succeeded, sanitize(&answer.value, LONGEST))
        }
        Err(error) => failed(failure_reason(&error), &error_message(&error)),
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
        ClientError::Problem(problem) if matches!(problem.code, Code::InvalidRequest | Code::NotFound) => {
            "INVALID_ARGUMENT"
        }
        _ => "UNAVAILABLE",
    }
}

fn error_message(error: &ClientError) -> String {
    if let ClientError::Problem(problem) = error {
        return problem.detail.clone();
    }
    error_chain(error)
}
