//! The rules of nftables in force, as `nft -j list ruleset` prints them. Must not judge them, or change any.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use crate::runner::{Bounds, RunError, run_program};

/// How long the kernel may take; a host of Kubernetes has tens of thousands of rules.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The rules; nothing where there is no `nft`.
///
/// # Errors
/// That they cannot be asked for, with the reason: the kernel tells them to whom has `CAP_NET_ADMIN`.
pub async fn nftables_rules() -> Result<Option<String>, String> {
    let run = run_program(Path::new("nft"), &["-j", "list", "ruleset"], &[], "", Bounds::with_deadline(TIMEOUT));
    let finished = match run.await {
        Ok(finished) => finished,
        Err(RunError::Start { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    match finished.status.success() {
        true => Ok(Some(finished.stdout)),
        false => Err(finished.stderr.lines().next().unwrap_or("it did not say why").trim().to_owned()),
    }
}
