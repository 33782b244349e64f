//! `takeover`: bridges of the Python plugin become ours.

use ovstunnel_api::{TakeoverBridge, TakeoverState};

use super::show;
use super::{Failure, Report};
use crate::client::Client;

pub(super) async fn run(client: &Client, bridges: &[String], dry_run: bool, json: bool) -> Result<Report, Failure> {
    if dry_run {
        let plan = client.dry_run().takeover(bridges).await?;
        return Ok(Report::new(json, &plan, show::takeover_plan)?.wrong_if(needs_attention(&plan.bridges)));
    }
    let answer = client.takeover(bridges).await?;
    Ok(Report::new(json, &answer, show::takeover_page)?.wrong_if(needs_attention(&answer.bridges)))
}

/// Whether somebody has to look.
fn needs_attention(bridges: &[TakeoverBridge]) -> bool {
    bridges.iter().any(|bridge| matches!(bridge.state, TakeoverState::Left | TakeoverState::Failed))
}
