//! Has a host take the manager's epoch, before anything is written to it.
//!
//! What it must not do: write anything else, or end what another zone or a newer leader has recorded.

use ovstunnel_api::{Code, Problem};
use ovstunnel_client::{Client, ClientError};
use ovstunnel_manager_api::Trouble;

use super::silence::not_allowed;
use crate::leader::Leader;

/// How often a newer epoch is led above before it is left: each time another manager would have to be faster.
const TRIES: usize = 3;

fn new_trouble(kind: &str, evidence: String, remedy: &str) -> Trouble {
    Trouble { kind: kind.to_owned(), evidence, remedy: remedy.to_owned() }
}

/// The client by which the host may be written to, or why it may not.
///
/// # Errors
/// It could not be asked.
pub(super) async fn assert_epoch(client: &Client, leader: &Leader) -> Result<Result<Client, Trouble>, ClientError> {
    for _ in 0..TRIES {
        let epoch = match leader.epoch() {
            Ok(epoch) => epoch,
            Err(why) => {
                return Ok(Err(new_trouble("not_leading", why, "see `ovstunnelctl zone status` for who leads")));
            }
        };
        let problem = match client.record_epoch(epoch).await {
            Ok(_) => return Ok(Ok(client.under_epoch(epoch))),
            Err(ClientError::Problem(problem)) => problem,
            Err(other) => return Err(other),
        };
        match newer_epoch(&problem) {
            Some(number) => {
                if let Err(error) = leader.raise_epoch(number).await {
                    return Ok(Err(new_trouble(
                        "not_leading",
                        error.to_string(),
                        "see what keeps the database from being used",
                    )));
                }
            }
            None => return refusal_trouble(problem).map(Err),
        }
    }
    let evidence = format!("each time that it is told an epoch it has a newer one already ({TRIES} times)");
    Ok(Err(new_trouble("not_leading", evidence, "find the other manager of this zone, and stop it")))
}

/// The epoch that is recorded, where it is newer.
pub(crate) fn newer_epoch(problem: &Problem) -> Option<u64> {
    problem.recorded.as_ref().filter(|_| problem.code == Code::StaleEpoch)?.epoch
}

/// What keeps the manager from writing to a host that can be asked.
fn refusal_trouble(problem: Box<Problem>) -> Result<Trouble, ClientError> {
    let evidence = format!("{}: {}", problem.title, problem.detail);
    match (problem.code, problem.status) {
        (Code::OtherZone, _) => Ok(new_trouble(
            "other_zone",
            evidence,
            "where the host is of this zone now, run `ovstunnelctl epoch clear` on it",
        )),
        (_, 403) => Ok(new_trouble("not_allowed", evidence, not_allowed("operator"))),
        (_, 404 | 405) => Ok(new_trouble(
            "daemon_old",
            "its daemon cannot record which manager may write to it".to_owned(),
            "install this version of ovstunneld on the host",
        )),
        _ => Err(ClientError::Problem(problem)),
    }
}
