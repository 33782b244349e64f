//! The report as text for a person, 80 to 100 columns wide. Must not judge: what is right or wrong is in the report.

mod frames;
mod page;
mod picture;
mod pings;
mod switches;

use ovstunnel_lab::Namespace;

use crate::report::{Report, Restart, Round, RoundName};
use crate::stage::Stage;
use page::{Page, milliseconds, plural};

/// How many wrong things are listed.
const LISTED: usize = 12;

/// The whole report.
pub fn report(report: &Report) -> String {
    let mut page = Page::for_standard_output();
    page.heading("The mesh");
    picture::mesh(&mut page, report);
    page.heading(match report.by_plugin {
        true => "The calls that set it up: xapi's plugin `ovstunnel`, one run each, with what it takes to start it",
        false => "The requests that set it up, as the client saw them",
    });
    switches::requests(&mut page, &report.requests);
    page.heading("VMs plugged by udev: how long each waited for its rule");
    switches::plugs(&mut page, &report.plugs);
    report.rounds.iter().for_each(|one| round(&mut page, report, one));
    page.heading("What is in the switches now");
    switches::bridges(&mut page, report);
    verdict(&mut page, report);
    page.into_text()
}

fn round(page: &mut Page, report: &Report, round: &Round) {
    match round.name {
        RoundName::NewMesh => {
            page.heading("Ping between every pair of VMs: mean time there and back in ms, from row to column");
            pings::matrices(page, report, round);
            page.heading("How often each VM got one frame of each kind");
        }
        RoundName::Unprotected => {
            page.heading("Without split horizon: how often each VM got one broadcast frame in a quarter of a second");
            page.line("  The daemons are held, and Port.protected is cleared on red's tunnels.");
            page.blank();
        }
        RoundName::Broken => {
            page.heading("How often each VM got one broadcast frame meanwhile");
            page.line(format!("  {}.", round.what));
            page.blank();
        }
        RoundName::Mended => {
            page.heading("The same afterwards");
            report.told.iter().for_each(|told| {
                page.line(format!("  The daemon of {} said: {}.", told.host, told.evidence));
                page.line(format!("  It leaves alone what is not its own. Its remedy: {}", told.remedy));
            });
            report.mended_ms.iter().for_each(|time| {
                page.line(format!("  {} later: {}.", milliseconds(*time), round.what));
            });
            page.blank();
        }
        RoundName::NoFlows => {
            page.heading("The same after a switch was killed, while it has no flows");
            report.restart.iter().for_each(|restart| killed(page, restart));
        }
        RoundName::FlowsBack => {
            page.heading("The same after the daemon has put the flows back");
            report.restart.iter().for_each(|restart| mended(page, restart));
            pings::summary(page, report, round);
            page.blank();
        }
    }
    frames::table(page, report, round);
}

fn killed(page: &mut Page, restart: &Restart) {
    let Restart { host, flows_before, flows_when_sent: [before, after], switch_back_ms, .. } = restart;
    let back = milliseconds(*switch_back_ms);
    page.line(format!(
        "  ovs-vswitchd of {host} was killed (SIGKILL); it was back {back} later. Of our {flows_before} flows"
    ));
    page.line(format!(
        "  there were {before} before the first frame and {after} after the last: {host}'s daemon was held meanwhile."
    ));
    page.line("  What keeps frames from being doubled is Port.protected, which is no flow. Dropping IPv6");
    page.line("  does take a flow, so IPv6 of a network that drops it is left out here.");
    page.blank();
}

fn mended(page: &mut Page, restart: &Restart) {
    let Restart { host, flows_back_ms, flows_after, .. } = restart;
    let time = milliseconds(*flows_back_ms);
    page.line(format!(
        "  {time} after it was let go, the daemon of {host} had all {flows_after} flows back by itself."
    ));
}

fn verdict(page: &mut Page, report: &Report) {
    page.blank();
    let totals = report.totals;
    if report.ok {
        page.good(format!(
            "ALL RIGHT: {} sent, {} expected, {} counted: each exactly once, none anywhere else.",
            plural(totals.frames, "frame"),
            plural(totals.copies_expected, "copy"),
            plural(totals.copies, "copy")
        ));
        page.line(format!(
            "{}, none lost. {:.1} s with Open vSwitch {}.",
            plural(totals.pings, "ping"),
            report.seconds,
            report.open_vswitch
        ));
        return;
    }
    page.bad(format!(
        "WRONG: {} too many, {} missing, {} lost, of {} sent.",
        plural(totals.copies_too_many, "copy"),
        totals.copies_missing,
        plural(totals.pings_lost, "ping"),
        plural(totals.frames, "frame")
    ));
    report.wrong.iter().take(LISTED).for_each(|wrong| page.line(format!("  {wrong}")));
    if report.wrong.len() > LISTED {
        page.line(format!("  and {} more", report.wrong.len() - LISTED));
    }
}

/// What can be tried while the lab is kept.
pub fn how_to_look_around(stage: &Stage) -> String {
    let (Some(node), Some(tenant)) = (stage.cloud.nodes().first(), stage.tenants.first()) else {
        return String::new();
    };
    let (Some(from), Some(to)) = (tenant.vms.first(), tenant.vms.last()) else { return String::new() };
    let (host, bridge) = (node.host(), &tenant.network.bridge);
    let enter = |namespace: &Namespace| format!("ip netns exec {}", namespace.name());
    let (pki, rundir) = (stage.cloud.pki().display(), host.rundir().display());
    let commands = [
        (
            format!("VM {} pings VM {}", from.name(), to.name()),
            format!("{} ping -c 3 {}", enter(from.netns()), to.ip()),
        ),
        (
            format!("the operator's command on {}", host.name()),
            format!("{} --socket {} status", program("ovstunnelctl"), node.socket().display()),
        ),
        (
            format!("the API of {}, from the management server's place", host.name()),
            format!(
                "{} curl -sS --cacert {pki}/ca.crt \\\n    --cert {pki}/manager.crt --key {pki}/manager.key \\\n    \
                 {}/v1/bridges/{bridge}",
                enter(stage.cloud.lab().fabric().netns()),
                node.url()
            ),
        ),
        (
            format!("the switch of {}, and the daemon's log", host.name()),
            format!(
                "OVS_RUNDIR={rundir} ovs-vsctl show\n  OVS_RUNDIR={rundir} ovs-ofctl dump-flows {bridge}\n  \
                 tail {rundir}/ovstunnel/ovstunnel.log"
            ),
        ),
    ];
    let lab = stage.cloud.lab().name();
    let mut page = Page::plain();
    page.blank();
    page.line("Everything is kept until Ctrl-C. To look around, as root in another terminal:");
    page.blank();
    page.line(format!("  lab={lab}"));
    for (what, command) in commands {
        page.line(format!("\n  # {what}\n  {}", command.replace(lab, "${lab}")));
    }
    page.into_text()
}

fn program(name: &str) -> String {
    ovstunnel_e2e::program(name).map_or_else(|_| name.to_owned(), |path| path.display().to_string())
}
