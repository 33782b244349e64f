//! `zone why`: why A does not reach B. Must not judge: the manager does.

use clap::Args;
use ovstunnel_manager_api::{Path, PathEnd, PathStep, PostPath, StepResult};

use crate::cli::show::{Page, Tone};
use crate::cli::{Failure, Report, values, watch};
use crate::client::Manager;

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct WhyArgs {
    /// Name of a host; or id, VM, MAC or IP address of a recorded NIC.
    from: String,
    /// The same of the other end.
    to: String,
    /// The network; not needed where both are in one only.
    #[arg(long, value_parser = values::zone_name)]
    network: Option<String>,
    /// What passes from one tier of a VPC to another: icmp, tcp:PORT or udp:PORT [default: icmp].
    #[arg(long, value_name = "PACKET")]
    packet: Option<String>,
    /// Send frames of full size between the two hosts, there and back; they reach no VM. For operators.
    #[arg(long)]
    send: bool,
    /// Ask again every second, until it is interrupted: for who does what a step says.
    #[arg(short, long, conflicts_with = "send")]
    watch: bool,
}

pub(super) async fn explain_path(manager: &Manager, args: WhyArgs, json: bool) -> Result<Report, Failure> {
    let WhyArgs { from, to, network, packet, send, watch } = args;
    if !send {
        return watch::repeat_report(watch::Source::Nobody, watch, async || {
            let path = manager.path_of(&from, &to, network.as_deref(), packet.as_deref()).await?;
            path_report(&path, json)
        })
        .await;
    }
    path_report(&manager.post_path(&PostPath { from, to, network, packet, send }).await?, json)
}

fn path_report(path: &Path, json: bool) -> Result<Report, Failure> {
    let status = match path.reachable {
        Some(true) => 0,
        None => 1,
        Some(false) => 2,
    };
    Ok(Report::new(json, path, path_page)?.with_status(status))
}

fn end_name(end: &PathEnd) -> String {
    let known = end.vm.as_ref().or(end.nic.as_ref());
    known.map_or_else(|| end.host.clone(), |name| format!("{name} on {}", end.host))
}

fn path_page(path: &Path) -> Page {
    let mut page = Page::new();
    let (from, to) = (end_name(&path.from), end_name(&path.to));
    let place = match &path.to_network {
        None => format!("{from} and {to} in network {}", path.network),
        Some(other) => format!("{from} in network {} and {to} in {other}", path.network),
    };
    match (path.reachable, path.first_failure) {
        (Some(true), _) => {
            page.verdict(Tone::Plain, "OK", &format!(": frames pass between {place}, as far as both switches say"))
        }
        (Some(false), Some(first)) => {
            page.verdict(Tone::Bad, "FAIL", &format!(": frames do not pass between {place}: see step {}", first + 1));
        }
        _ => page.verdict(
            Tone::Warn,
            "UNKNOWN",
            &format!(": nothing fails between {place}, and not all steps can be told"),
        ),
    }
    for (n, step) in path.steps.iter().enumerate() {
        write_step(&mut page, n + 1, step);
    }
    let has_sent = path.steps.iter().any(|step| step.check == "send");
    let frames = if has_sent { "frames were sent in tunnels, and reached no VM" } else { "no frame was sent" };
    page.line(format!("Asked both hosts in {:.0} ms; {frames}.", path.took * 1000.0));
    page
}

fn write_step(page: &mut Page, n: usize, step: &PathStep) {
    let word = match step.result {
        StepResult::Fail => "FAIL",
        other => other.as_str(),
    };
    let host = step.host.as_deref().unwrap_or("both");
    page.line(format!("{n:>2} {word:<7} {host}: {}: {}", step.check, step.evidence));
    if let Some(remedy) = &step.remedy {
        page.line(format!("      do: {remedy}"));
    }
    for command in &step.commands {
        let place = command.host.as_ref().map(|host| format!("    (on {host})")).unwrap_or_default();
        page.line(format!("          {}{place}", command.run));
    }
}
