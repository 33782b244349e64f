//! `zone upgrade`: in which order daemons are upgraded. Must not upgrade one, or decide the order: the manager does.

use clap::Subcommand;
use ovstunnel_manager_api::{UpgradeHost, UpgradePlan};

use super::examples;
use crate::cli::show::{Page, Row, Tone};

#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum UpgradeCommand {
    /// Show the hosts in waves: no two of one wave are in the same network. Hosts wait for one that does not answer.
    #[command(after_help = examples::UPGRADE)]
    Plan,
}

pub(super) fn upgrade_page(plan: &UpgradePlan) -> Page {
    let mut page = Page::new();
    let hosts: usize = plan.waves.iter().map(|wave| wave.hosts.len()).sum();
    let (version, done, waiting) = (&plan.version, plan.done, plan.waiting.len());
    page.line(format!("To version {version}: {hosts} to upgrade, {waiting} waiting, {done} as they are to be."));
    for (number, wave) in plan.waves.iter().enumerate() {
        page.line("");
        page.line(format!("Wave {}", number + 1));
        page.table(&["HOST", "DAEMON", "NETWORKS", "CANNOT"], &[], wave.hosts.iter().map(host_row).collect());
    }
    if !plan.waiting.is_empty() {
        page.line("");
        page.line("Waiting");
        plan.waiting.iter().for_each(|waits| page.line(format!("  {}: {}", waits.host, waits.reason)));
    }
    if hosts > 0 {
        page.line("");
        page.line("On each host of a wave, then the next wave once `ovstunnelctl zone status` is as before:");
        page.line("  ovstunnelctl zone host maintenance HOST --for 10m");
        page.line("  apt-get install ./ovstunnel_VERSION_amd64.deb     # on the host");
        page.line("  ovstunnelctl zone host maintenance HOST --end");
    }
    page
}

fn host_row(host: &UpgradeHost) -> Row {
    let cannot: Vec<&str> = host.cannot.iter().map(|lacks| lacks.capability.as_str()).collect();
    let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let cells = vec![
        host.host.clone(),
        dash(host.daemon.clone().unwrap_or_default()),
        host.networks.to_string(),
        dash(cannot.join(", ")),
    ];
    Row { cells, tone: Tone::Plain }
}
