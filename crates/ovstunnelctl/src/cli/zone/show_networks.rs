//! Networks, NICs, physical networks and keys for people. Must not say anything by colour alone.

use ovstunnel_api::Outcome;
use ovstunnel_manager_api::{Key, KeyList, NetworkAnswer, Nic, NicAnswer, NicOutcome, NicReleased, PhysicalNetwork};

use super::show;
use crate::cli::show::{Page, Row, Tone};

fn or_dash(text: Option<&String>) -> String {
    text.cloned().unwrap_or_else(|| "-".to_owned())
}

/// What became of a thing; `more` reads on from that.
pub(super) fn outcome_page(what: &str, name: &str, outcome: Outcome, dry_run: bool, more: String) -> Page {
    let mut page = Page::new();
    page.line(match dry_run {
        true => format!("{what} {name} would be {}; nothing was changed", outcome.as_str()),
        false => format!("{what} {name} {}{more}", outcome.as_str()),
    });
    page
}

pub(super) fn recorded_page(name: &str, answer: &NetworkAnswer, dry_run: bool) -> Page {
    let record = answer.network.as_ref().and_then(|network| Some((network, network.record.as_ref()?)));
    let more = record.map(|(network, record)| {
        let key = network.key.map_or_else(|| "no key yet".to_owned(), |key| format!("key {key}"));
        format!(", number {}, {key}", record.number)
    });
    outcome_page("network", name, answer.outcome, dry_run, more.unwrap_or_default())
}

pub(super) fn removed_page(what: &str, name: &str, outcome: Outcome, dry_run: bool) -> Page {
    let mut page = Page::new();
    page.line(match (dry_run, outcome) {
        (true, Outcome::Removed) => format!("{what} {name} would be forgotten; nothing was changed"),
        (false, Outcome::Removed) => format!("{what} {name} is forgotten; nothing on any host was changed"),
        _ => format!("{what} {name} is not recorded"),
    });
    page
}

pub(super) fn nic_list_page(nics: &[Nic], wide: bool, headers: bool) -> Page {
    let mut page = Page::with_headers(headers);
    let row = |nic: &Nic| {
        let mut cells =
            vec![nic.id.clone(), nic.host.clone(), or_dash(nic.moving_to.as_ref()), or_dash(nic.vm.as_ref())];
        if wide {
            cells.extend([or_dash(nic.mac.as_ref()), or_dash(nic.ip.as_ref())]);
        }
        Row { cells, tone: if nic.moving_to.is_some() { Tone::Warn } else { Tone::Plain } }
    };
    let header: &[&str] = match wide {
        true => &["NIC", "HOST", "MOVING TO", "VM", "MAC", "ADDRESS"],
        false => &["NIC", "HOST", "MOVING TO", "VM"],
    };
    page.table(header, &[], nics.iter().map(row).collect());
    page
}

/// Where a NIC is, as it reads on.
fn nic_place(nic: &Nic) -> String {
    match &nic.moving_to {
        Some(to) => format!("moving from host {} to host {to}", nic.host),
        None => format!("on host {}", nic.host),
    }
}

pub(super) fn prepared_page(network: &str, answer: &NicAnswer, dry_run: bool) -> Page {
    let mut page = Page::new();
    let nic = &answer.nic;
    let verb = if dry_run { "would be recorded" } else { "is recorded" };
    let is_sent = answer.outcome != NicOutcome::Disabled && !dry_run;
    let sent = if is_sent { "" } else { "; nothing was sent to any host" };
    let tone = if answer.outcome == NicOutcome::Partial { Tone::Warn } else { Tone::Plain };
    page.verdict(
        tone,
        answer.outcome.as_str(),
        &format!(": NIC {} of network {network} {verb}, {}{sent}", nic.id, nic_place(nic)),
    );
    let number = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    page.pairs(&[
        ("Key", answer.key.map_or_else(|| "none yet".to_owned(), |key| key.to_string())),
        ("Bridge", or_dash(answer.bridge.as_ref())),
        ("Guest MTU", number(answer.mtu)),
        ("Tunnels", format!("{} wanted, {} up", answer.tunnels.wanted, answer.tunnels.up)),
    ]);
    for failed in &answer.tunnels.failed {
        let again = format!(": {}; tried again in {} s", failed.reason, failed.retry_in);
        page.verdict(Tone::Warn, &failed.host, &again);
    }
    if answer.outcome != NicOutcome::Ready || dry_run {
        show::write_plan(&mut page, &answer.plan);
    }
    page
}

pub(super) fn moved_page(id: &str, answer: &NicReleased, dry_run: bool) -> Page {
    let mut page = Page::new();
    let would = if dry_run { " would be" } else { " is" };
    page.line(match (&answer.nic, answer.outcome) {
        (_, Outcome::Removed) => format!("NIC {id}{would} released"),
        (Some(nic), Outcome::Unchanged) => format!("NIC {id} is {} already", nic_place(nic)),
        (Some(nic), _) => format!("NIC {id}{would} {}", nic_place(nic)),
        (None, _) => format!("NIC {id} is not there"),
    });
    page
}

pub(super) fn physical_networks(networks: &[PhysicalNetwork], wide: bool, headers: bool) -> Page {
    let mut page = Page::with_headers(headers);
    let row = |network: &PhysicalNetwork| {
        let keys = &network.keys;
        let counts = [keys.size, keys.in_use, keys.quarantined, keys.withdrawn, keys.free].map(|n| n.to_string());
        let mut cells = vec![network.name.clone(), network.isolation.as_str().to_owned(), network.vnet.clone()];
        cells.extend(counts);
        if wide {
            let labels = [&network.label, &network.label_xen, &network.label_kvm];
            cells.extend(labels.map(|label| or_dash(label.as_ref())));
        }
        cells.push(if keys.warned { "nearly used up".to_owned() } else { String::new() });
        Row { cells, tone: if keys.warned { Tone::Warn } else { Tone::Plain } }
    };
    let mut header =
        vec!["PHYSICAL NETWORK", "ISOLATION", "RANGES", "KEYS", "IN USE", "QUARANTINED", "WITHDRAWN", "FREE"];
    if wide {
        header.extend(["LABEL", "LABEL XEN", "LABEL KVM"]);
    }
    header.push("WHAT IS WRONG");
    page.table(&header, &[3, 4, 5, 6, 7], networks.iter().map(row).collect());
    page
}

pub(super) fn key_list_page(list: &KeyList, wide: bool, headers: bool) -> Page {
    let mut page = Page::with_headers(headers);
    let row = |key: &Key| {
        let mut cells = vec![
            key.key.to_string(),
            key.state.as_str().to_owned(),
            or_dash(key.network.as_ref()),
            key.hosts.join(","),
        ];
        if wide {
            cells.push(or_dash(key.since.as_ref()));
        }
        cells.push(
            key.troubles.first().map_or_else(String::new, |trouble| format!("{}: {}", trouble.kind, trouble.evidence)),
        );
        Row { cells, tone: if key.troubles.is_empty() { Tone::Plain } else { Tone::Bad } }
    };
    let mut header = vec!["KEY", "STATE", "NETWORK", "HOSTS"];
    if wide {
        header.push("SINCE");
    }
    header.push("WHAT IS WRONG");
    page.table(&header, &[0], list.keys.iter().map(row).collect());
    if headers {
        for network in &list.physical_networks {
            let keys = &network.keys;
            let warning = if keys.warned { ", which is nearly all" } else { "" };
            let taken = keys.size - keys.free;
            page.line(format!(
                "physical network {}: {taken} of {} keys cannot be given{warning} ({} in use, {} quarantined, {} withdrawn)",
                network.name, keys.size, keys.in_use, keys.quarantined, keys.withdrawn
            ));
        }
    }
    page
}
