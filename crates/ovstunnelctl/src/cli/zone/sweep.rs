//! `zone sweep`: whether the tunnels of a network carry frames. Must not judge: the manager does.

use clap::Args;
use ovstunnel_manager_api::Sweep;

use crate::cli::show::{Page, Tone};
use crate::cli::{Failure, Report, values};
use crate::client::Manager;

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct SweepArgs {
    /// Its name, such as key-1001.
    #[arg(value_parser = values::zone_name)]
    network: String,
    /// Find out to the byte what passes tunnels that do not carry frames of full size, however many these are.
    #[arg(long)]
    mtu: bool,
}

pub(super) async fn run_sweep(manager: &Manager, args: SweepArgs, json: bool) -> Result<Report, Failure> {
    let sweep = manager.sweep(&args.network, args.mtu).await?;
    let status = match (sweep.failures, sweep.unknown) {
        (0, 0) => 0,
        (0, _) => 1,
        _ => 2,
    };
    Ok(Report::new(json, &sweep, sweep_page)?.with_status(status))
}

fn sweep_page(sweep: &Sweep) -> Page {
    let mut page = Page::new();
    let Sweep { network, size, probed, passed, unknown, failures, .. } = sweep;
    let of = format!(": {passed} of {probed} tunnels of network {network} carry frames of {size} bytes");
    match (failures, unknown) {
        (0, 0) => page.verdict(Tone::Plain, "OK", &of),
        (0, unknown) => page.verdict(Tone::Warn, "UNKNOWN", &format!("{of}; of {unknown} it is not known")),
        (_, 0) => page.verdict(Tone::Bad, "FAIL", &of),
        (_, unknown) => page.verdict(Tone::Bad, "FAIL", &format!("{of}; of {unknown} more it is not known")),
    }
    for tunnel in &sweep.failed {
        page.line(format!("{} to {}: {}: {}", tunnel.from, tunnel.to, tunnel.what, tunnel.evidence));
    }
    for left in &sweep.left_out {
        page.line(format!("left out: {}: {}", left.host, left.reason));
    }
    page.line(format!("It took {:.0} ms; no VM has seen a frame.", sweep.took * 1000.0));
    page
}
