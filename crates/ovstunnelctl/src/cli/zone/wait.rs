//! `zone wait`: until a network is whole. Must not change anything, or take what is being changed for whole.

use std::time::{Duration, Instant};

use clap::Args;
use ovstunnel_manager_api::{Network, NetworkState};

use crate::cli::show::Page;
use crate::cli::{Failure, Report, values};
use crate::client::Manager;

/// The time between two questions.
const AGAIN: Duration = Duration::from_millis(250);

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct WaitArgs {
    /// The network.
    #[arg(value_parser = values::zone_name)]
    network: String,
    /// For how long at most, such as 30s or 5m.
    #[arg(long = "for", value_name = "TIME", default_value = "1m", value_parser = humantime::parse_duration)]
    time: Duration,
}

pub(super) async fn wait_whole(manager: &Manager, args: WaitArgs, json: bool) -> Result<Report, Failure> {
    let started = Instant::now();
    loop {
        let network = manager.network(&args.network).await?;
        let is_whole = network.state == NetworkState::Whole;
        if is_whole || started.elapsed() >= args.time {
            return Ok(Report::new(json, &network, |network| waited_page(network, args.time))?.wrong_if(!is_whole));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn waited_page(network: &Network, time: Duration) -> Page {
    let mut page = Page::new();
    let (name, tunnels) = (&network.name, format!("{} of {} tunnels are proven", network.proven, network.wanted));
    match (&network.reason, network.state) {
        (_, NetworkState::Whole) => page.line(format!("network {name} is whole: {tunnels}")),
        (reason, state) => {
            let time = humantime::format_duration(time);
            page.line(format!("network {name} is {} after {time}: {tunnels}", state.as_str()));
            if let Some(reason) = reason {
                let to = reason.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
                page.line(format!("  {} on {}{to}: {}", reason.what, reason.host, reason.evidence));
                page.line(format!("  do: {}", reason.remedy));
            }
        }
    }
    page
}
