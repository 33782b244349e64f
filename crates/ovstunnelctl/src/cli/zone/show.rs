//! Answers of the manager for people. Must not say anything by colour alone.

use ovstunnel_api::Outcome;
use ovstunnel_manager_api::{
    CloudStackNetwork, Disagreement, Event, Finding, Host, HostAnswer, HostState, Network, NetworkPlan, NetworkState,
    Overview, Proof, Trouble,
};

use super::{Status, show_kinds};
use crate::cli::show::{Page, Row, Tone};

fn counted_noun(n: u64, one: &str, several: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { several })
}

/// `3 (1 silent)`
fn with_parts(all: u32, parts: &[(u32, &str)]) -> String {
    let there: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    if there.is_empty() { all.to_string() } else { format!("{all} ({})", there.join(", ")) }
}

fn age_text(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1} s"))
}

pub(super) fn status_page(status: &Status) -> Page {
    let mut page = Page::new();
    let overview = &status.overview;
    let (networks, hosts, tunnels) = (&overview.networks, &overview.hosts, &overview.tunnels);
    let of_networks = [(networks.whole, "whole"), (networks.settling, "settling"), (networks.broken, "broken")];
    let of_hosts =
        [(hosts.ok, "ok"), (hosts.degraded, "degraded"), (hosts.connecting, "connecting"), (hosts.silent, "silent")];
    page.pairs(&[
        ("Zone", format!("{} ({})", overview.zone, status.manager)),
        ("Controller", if overview.controller { "on" } else { "off: it only looks" }.to_owned()),
        ("Leader", leader_text(overview)),
        ("Networks", with_parts(networks.all, &of_networks)),
        ("Hosts", with_parts(hosts.all, &of_hosts)),
        ("Tunnels", format!("{} wanted, {} proven", tunnels.wanted, tunnels.proven)),
        ("Faults", fault_count(overview.faults)),
        ("Oldest word", age_text(overview.age)),
    ]);
    overview.troubles.iter().for_each(|trouble| write_trouble(&mut page, trouble));
    if !status.hosts.is_empty() {
        page.line("");
        write_hosts(&mut page, &status.hosts, false);
    }
    if !status.networks.networks.is_empty() {
        page.line("");
        write_networks(&mut page, &status.networks.networks, false);
        let more = u64::from(status.networks.total).saturating_sub(status.networks.networks.len() as u64);
        if more > 0 {
            page.line(format!("and {} more: ovstunnelctl zone networks --state broken,settling", more));
        }
    }
    page
}

/// Who leads, and whether that is the manager which answers.
fn leader_text(overview: &Overview) -> String {
    let Some(leader) = &overview.leader else {
        return if overview.controller { "none is known" } else { "none" }.to_owned();
    };
    let own = match (leader.name == overview.replica, overview.leads) {
        (true, true) => " (this manager)".to_owned(),
        (true, false) => " (this manager, which cannot renew its lease)".to_owned(),
        (false, _) => format!(", asked was {}", overview.replica),
    };
    let since = leader.since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
    let at = leader.address.as_ref().map(|address| format!(" at {address}")).unwrap_or_default();
    format!("{}{at}, epoch {}{since}{own}", leader.name, leader.epoch)
}

fn fault_count(n: u32) -> String {
    if n == 0 { "none".to_owned() } else { format!("{n}: ovstunnelctl zone faults") }
}

fn tone_of_host(state: HostState) -> Tone {
    match state {
        HostState::Ok => Tone::Plain,
        HostState::Degraded | HostState::Connecting => Tone::Warn,
        HostState::Silent => Tone::Bad,
    }
}

pub(super) fn host_list_page(hosts: &[Host], wide: bool, headers: bool) -> Page {
    let mut page = Page::with_headers(headers);
    write_hosts(&mut page, hosts, wide);
    page
}

fn write_hosts(page: &mut Page, hosts: &[Host], wide: bool) {
    let row = |host: &Host| {
        let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let mut cells = vec![
            host.name.clone(),
            host.number.to_string(),
            host.state.as_str().to_owned(),
            age_text(host.age),
            dash(&host.ip),
            host.bridges.to_string(),
            host.tunnels.to_string(),
            host.vifs.to_string(),
        ];
        if wide {
            cells.extend([
                host.mode.as_str().to_owned(),
                dash(&host.rack),
                dash(&host.daemon),
                host.max_guest_mtu.map_or_else(|| "-".to_owned(), |mtu| mtu.to_string()),
                host.api.clone(),
            ]);
        }
        cells.push(
            host.troubles.first().map_or_else(String::new, |trouble| format!("{}: {}", trouble.kind, trouble.evidence)),
        );
        Row { cells, tone: tone_of_host(host.state) }
    };
    let mut header = vec!["HOST", "NUMBER", "STATE", "AGE", "ADDRESS", "BRIDGES", "TUNNELS", "VIFS"];
    if wide {
        header.extend(["MODE", "RACK", "DAEMON", "GUEST MTU", "API"]);
    }
    header.push("WHAT IS WRONG");
    page.table(&header, &[1, 3, 5, 6, 7], hosts.iter().map(row).collect());
}

fn write_trouble(page: &mut Page, trouble: &Trouble) {
    page.verdict(Tone::Bad, &trouble.kind, &format!(": {}", trouble.evidence));
    page.line(format!("  remedy: {}", trouble.remedy));
}

pub(super) fn host_page(host: &Host) -> Page {
    let mut page = Page::new();
    let mut pairs = vec![
        ("Host", format!("{} (number {})", host.name, host.number)),
        ("State", host.state.as_str().to_owned()),
        (
            "Daemon",
            format!("{}{}", host.api, host.daemon.as_ref().map(|v| format!(", version {v}")).unwrap_or_default()),
        ),
        ("Last word", age_text(host.age)),
        ("Mode", host.mode.as_str().to_owned()),
    ];
    let optional =
        [("Rack", &host.rack), ("Label", &host.label), ("Address", &host.ip), ("Maintenance until", &host.maintenance)];
    pairs.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    pairs.extend(host.max_guest_mtu.map(|mtu| ("Guest MTU", format!("{mtu} at most"))));
    pairs.extend(host.certificate_expires.clone().map(|expires| ("Certificate until", expires)));
    let (bridges, tunnels, vifs) = (u64::from(host.bridges), u64::from(host.tunnels), u64::from(host.vifs));
    pairs.push((
        "Has",
        format!(
            "{}, {}, {}",
            counted_noun(bridges, "bridge", "bridges"),
            counted_noun(tunnels, "tunnel", "tunnels"),
            counted_noun(vifs, "VIF", "VIFs")
        ),
    ));
    page.pairs(&pairs);
    if !host.cannot.is_empty() {
        page.line("What its daemon cannot do:");
        host.cannot.iter().for_each(|lacks| page.line(format!("  {}: {}", lacks.capability, lacks.means)));
    }
    host.troubles.iter().for_each(|trouble| write_trouble(&mut page, trouble));
    page
}

pub(super) fn registered_page(name: &str, answer: &HostAnswer, dry_run: bool) -> Page {
    let mut page = Page::new();
    if dry_run {
        page.line(format!("host {name} would be {}; nothing was changed", answer.outcome.as_str()));
        return page;
    }
    let number = answer.host.as_ref().map(|host| format!(", number {}", host.number)).unwrap_or_default();
    page.line(format!("host {name} {}{number}", answer.outcome.as_str()));
    page
}

/// A host's new name or number.
pub(super) fn identified_page(name: &str, what: &str, to: &str, outcome: Outcome, dry_run: bool) -> Page {
    let mut page = Page::new();
    page.line(match (outcome, dry_run) {
        (Outcome::Unchanged, _) => format!("host {name} has the {what} {to} already"),
        (_, true) => format!("host {name} would get the {what} {to}; nothing was changed"),
        (_, false) => format!("host {name} has the {what} {to} from now on; nothing on it was changed"),
    });
    page
}

pub(super) fn removed_page(name: &str, answer: &HostAnswer, dry_run: bool) -> Page {
    let mut page = Page::new();
    page.line(match (dry_run, answer.outcome) {
        (true, Outcome::Removed) => format!("host {name} would be forgotten; nothing was changed"),
        (false, Outcome::Removed) => format!("host {name} is forgotten; nothing on it was changed"),
        _ => format!("host {name} is not registered"),
    });
    page
}

pub(super) fn network_list_page(networks: &[Network], wide: bool, headers: bool) -> Page {
    let mut page = Page::with_headers(headers);
    write_networks(&mut page, networks, wide);
    page
}

fn tone_of_network(state: NetworkState) -> Tone {
    match state {
        NetworkState::Whole => Tone::Plain,
        NetworkState::Settling => Tone::Warn,
        NetworkState::Broken => Tone::Bad,
    }
}

fn finding_sentence(finding: &Finding) -> String {
    let to = finding.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
    format!("{} on {}{to}: {}", finding.what, finding.host, finding.evidence)
}

fn write_networks(page: &mut Page, networks: &[Network], wide: bool) {
    let row = |network: &Network| {
        let mut cells = vec![
            network.name.clone(),
            network.state.as_str().to_owned(),
            network.hosts.to_string(),
            network.wanted.to_string(),
            network.proven.to_string(),
        ];
        if wide {
            cells.push(network.since.clone());
        }
        cells.push(network.reason.as_ref().map(finding_sentence).unwrap_or_default());
        Row { cells, tone: tone_of_network(network.state) }
    };
    let mut header = vec!["NETWORK", "STATE", "HOSTS", "TUNNELS", "PROVEN"];
    if wide {
        header.push("SINCE");
    }
    header.push("WHAT IS WRONG");
    page.table(&header, &[2, 3, 4], networks.iter().map(row).collect());
}

pub(super) fn network_page(network: &Network) -> Page {
    let mut page = Page::new();
    let since = page.time(&network.since);
    let key = network.key.map_or_else(|| "no key yet".to_owned(), |key| format!("GRE key {key}"));
    let mut pairs = vec![
        ("Network", format!("{} ({key})", network.name)),
        ("State", format!("{} since {since}", network.state.as_str())),
        ("Tunnels", format!("{} wanted, {} proven", network.wanted, network.proven)),
    ];
    if let Some(record) = &network.record {
        pairs.push(("Recorded", format!("number {}, physical network {}", record.number, record.physical_network)));
        pairs.extend(record.ipv6.map(|policy| ("IPv6", policy.as_str().to_owned())));
        pairs.extend(record.mtu.map(|mtu| ("Guest MTU", mtu.to_string())));
        pairs.push(("NICs", record.nics.to_string()));
    }
    pairs.extend(network.kind.as_ref().map(|kind| ("Tunnel kind", show_kinds::progress_sentence(kind))));
    pairs.extend(network.cloudstack.as_ref().map(|known| ("CloudStack", cloudstack_text(known))));
    page.pairs(&pairs);
    network.disagreements.iter().for_each(|one| write_disagreement(&mut page, one));
    network.kind.iter().for_each(|kind| show_kinds::write_waits(&mut page, kind));
    if let Some(reason) = &network.reason {
        write_finding(&mut page, reason);
    }
    if let Some(members) = network.members.as_ref().filter(|members| !members.is_empty()) {
        page.line("");
        let row = |member: &ovstunnel_manager_api::Member| {
            let bridge = member.bridge.clone().unwrap_or_else(|| "-".to_owned());
            vec![member.host.clone(), bridge, member.vifs.to_string(), member.tunnels.to_string()]
        };
        page.table(&["HOST", "BRIDGE", "VIFS", "TUNNELS"], &[2, 3], members.iter().map(row).collect());
    }
    page
}

/// Whose network it is by CloudStack's word.
fn cloudstack_text(known: &CloudStackNetwork) -> String {
    let owners = [("account", &known.account), ("project", &known.project), ("domain", &known.domain)];
    let owners = owners.iter().filter_map(|(word, name)| Some(format!(", {word} {}", name.as_ref()?)));
    format!("{} ({}){}, {} NICs of VMs", known.name, known.id, owners.collect::<String>(), known.nics)
}

fn write_disagreement(page: &mut Page, one: &Disagreement) {
    let words: Vec<String> = one.says.iter().map(|word| format!("{} says {}", word.witness, word.says)).collect();
    page.verdict(Tone::Warn, "not agreed", &format!(" on {} for {} s: {}", one.host, one.lasts, words.join(", ")));
}

fn write_finding(page: &mut Page, finding: &Finding) {
    let to = finding.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
    page.verdict(Tone::Bad, &finding.what, &format!(" on {}{to}: {}", finding.host, finding.evidence));
    page.line(format!("  remedy: {}", finding.remedy));
}

pub(super) fn proof_page(proof: &Proof) -> Page {
    let mut page = Page::new();
    let tone = if proof.whole { Tone::Plain } else { Tone::Bad };
    let word = if proof.whole { "whole" } else { "not whole" };
    page.verdict(tone, word, &format!(": network {} of zone {}", proof.network, proof.zone));
    let oldest = proof.hosts.iter().map(|host| host.age).fold(0.0, f64::max);
    let at = page.time(&proof.at);
    page.pairs(&[
        ("Tunnels", format!("{} wanted, {} proven", proof.tunnels.wanted, proof.tunnels.proven)),
        ("Hosts", format!("{}, the oldest word {oldest:.1} s old", proof.hosts.len())),
        ("Made", at),
        ("Digest", proof.digest.clone()),
        ("Signed", proof.signature.as_ref().map_or_else(|| "no".to_owned(), |signature| signature.scheme.clone())),
    ]);
    proof.findings.iter().for_each(|finding| write_finding(&mut page, finding));
    let more = (proof.found as usize).saturating_sub(proof.findings.len());
    if more > 0 {
        page.line(format!("and {more} more"));
    }
    page
}

pub(super) fn plan_page(plan: &NetworkPlan) -> Page {
    let mut page = Page::new();
    write_plan(&mut page, plan);
    page
}

pub(super) fn write_plan(page: &mut Page, plan: &NetworkPlan) {
    if plan.requests.is_empty() {
        page.line(format!(
            "nothing {} sent: network {} is as it must be, or cannot be made so now",
            if plan.dry_run { "would be" } else { "is" },
            plan.network
        ));
    }
    for request in &plan.requests {
        page.line(format!("{} ({}): {} {}", request.host, request.stage, request.method, request.path));
        if let Some(body) = &request.body {
            page.line(format!("  {body}"));
        }
    }
    for blocked in &plan.blocked {
        page.verdict(
            Tone::Warn,
            &blocked.host,
            &format!(": nothing, or not everything, would be sent: {}", blocked.reason),
        );
    }
    if plan.withheld > 0 {
        let withheld = counted_noun(u64::from(plan.withheld), "superfluous tunnel stays", "superfluous tunnels stay");
        page.line(format!("{withheld} until each host of the network has said what it has"));
    }
}

pub(super) fn event_page(events: &[Event], wide: bool, headers: bool) -> Page {
    let mut page = Page::with_headers(headers);
    let row = |event: &Event| {
        let subject = event.network.as_ref().or(event.host.as_ref()).cloned().unwrap_or_else(|| "-".to_owned());
        let mut cells = vec![event.at.clone(), event.kind.clone(), subject];
        if wide {
            cells.insert(0, event.id.to_string());
            cells.push(event.actor.clone().unwrap_or_else(|| "-".to_owned()));
        }
        cells.push(event.text.clone());
        Row { cells, tone: Tone::Plain }
    };
    let header: &[&str] = match wide {
        true => &["ID", "AT", "KIND", "SUBJECT", "ACTOR", "WHAT HAPPENED"],
        false => &["AT", "KIND", "SUBJECT", "WHAT HAPPENED"],
    };
    page.table(header, &[], events.iter().map(row).collect());
    page
}
