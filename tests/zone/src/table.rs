//! Tables for a person. Must not compute what the JSON does not have.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

use crate::growth::{Everything, Series};
use crate::run::{Outcome, Times};

/// Everything that was found.
pub fn everything(everything: &Everything) -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = write!(text, "{}", zone(&everything.zone));
    for series in &everything.growth {
        let _ = writeln!(text, "\nMore {}:\n{}", series.title, growth(series));
    }
    if !everything.styles.is_empty() {
        let _ = writeln!(
            text,
            "\n{} hosts, by how the server calls:\n{}",
            everything.styles[0].scenario.hosts,
            styles(&everything.styles)
        );
    }
    let faults = everything.outcomes().flat_map(|outcome| &outcome.checks.words);
    for words in faults {
        let _ = writeln!(text, "WRONG: {words}");
    }
    let _ = writeln!(text, "{}", verdict(everything));
    text
}

fn verdict(everything: &Everything) -> String {
    let count = |of: fn(&Outcome) -> u64| everything.outcomes().map(of).sum::<u64>();
    let (networks, ports, faults) =
        (count(|o| o.checks.networks), count(|o| o.checks.ports), count(|o| o.checks.faults));
    let what = if faults == 0 { "nothing was wrong".to_owned() } else { format!("{faults} faults") };
    format!("checked: {networks} times a network, {ports} ports: {what}")
}

fn table(head: &[&str]) -> Table {
    let rule = LineStyle::none().fill('─').junction('─');
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(rule)).set_header(head.iter().map(ToString::to_string));
    table
}

fn right(mut table: Table) -> Table {
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

fn zone(outcome: &Outcome) -> String {
    let Outcome { scenario, size, worst, work, .. } = outcome;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Zone: {} hosts, {} networks, {} VMs; {} bridges and {} tunnel ports, at most {} and {} on a host; a network spans {:.1} \
         hosts, the largest {}. Set up in {:.1} s. {:.0} s of life, simulated in {:.0} s (seed {}).\n",
        scenario.hosts,
        size.networks,
        size.vms,
        size.bridges,
        size.tunnels,
        size.most_bridges,
        size.most_tunnels,
        size.mean_span,
        size.largest_span,
        outcome.set_up_seconds,
        outcome.seconds,
        outcome.real_seconds,
        scenario.seed,
    );
    let mut events = table(&["what happened", "times"]);
    for (what, times) in &outcome.events {
        events.add_row([what.to_string(), times.to_string()]);
    }
    let mut messages = table(&["message", "sent", "unanswered", "errors", "kB sent", "kB received"]);
    let all = [("all", outcome.all_messages)];
    for (kind, m) in outcome.messages.iter().map(|(kind, m)| (*kind, *m)).chain(all) {
        let kb = |bytes: u64| format!("{:.0}", bytes as f64 / 1000.0);
        messages.add_row([
            kind.to_owned(),
            m.sent.to_string(),
            m.unanswered.to_string(),
            m.errors.to_string(),
            kb(m.bytes_sent),
            kb(m.bytes_received),
        ]);
    }
    let mut hosts = table(&["in the switches", "all hosts", "a host, mean", "worst host"]);
    let count = scenario.hosts as f64;
    let rows = [
        ("transactions", work.transactions, worst.work.transactions),
        ("bundles of flows", work.bundles, worst.work.bundles),
        ("flows read", work.dumps, worst.work.dumps),
        ("bridges made", work.bridges_made, worst.work.bridges_made),
        ("bridges removed", work.bridges_removed, worst.work.bridges_removed),
        ("tunnels made", work.tunnels_made, worst.work.tunnels_made),
        ("tunnels removed", work.tunnels_removed, worst.work.tunnels_removed),
    ];
    for (what, all, worst) in rows {
        hosts.add_row([what.to_owned(), all.to_string(), format!("{:.1}", all as f64 / count), worst.to_string()]);
    }
    let percent = |part: f64| format!("{:.2} %", part * 100.0);
    hosts.add_row(["time in transactions".into(), String::new(), percent(worst.mean_writing), percent(worst.writing)]);
    let longest = |ms: f64| format!("{ms:.0} ms");
    let (all, worst) = (work.longest_transaction, worst.work.longest_transaction);
    hosts.add_row(["longest transaction".into(), longest(all), String::new(), longest(worst)]);
    let mut whole =
        table(&["network whole again after", "times", "median ms", "p99 ms", "longest ms", "of a network over"]);
    for (cause, times) in &outcome.whole {
        whole.add_row(whole_row(cause.words(), times));
    }
    whole.add_row(whole_row("all", &outcome.whole_all));
    for part in [events, messages, hosts, whole] {
        let _ = writeln!(text, "{}\n", right(part));
    }
    text
}

fn whole_row(words: &str, times: &Times) -> [String; 6] {
    let ms = |time: f64| format!("{time:.0}");
    [
        words.to_owned(),
        times.count.to_string(),
        ms(times.median),
        ms(times.p99),
        ms(times.longest),
        format!("{} hosts", times.spans),
    ]
}

/// What is compared between zones.
const COMPARED: [&str; 8] = [
    "networks",
    "tunnel ports",
    "most on a host",
    "messages / VM event",
    "transactions / VM event",
    "tunnels made / VM event",
    "whole p99 ms",
    "worst host writes",
];

fn compared(outcome: &Outcome) -> [String; 8] {
    let per = |number| format!("{:.1}", outcome.per_event(number));
    [
        outcome.size.networks.to_string(),
        outcome.size.tunnels.to_string(),
        outcome.size.most_tunnels.to_string(),
        per(outcome.all_messages.sent),
        per(outcome.work.transactions),
        per(outcome.work.tunnels_made),
        format!("{:.0}", outcome.whole_all.p99),
        format!("{:.2} %", outcome.worst.writing * 100.0),
    ]
}

fn growth(series: &Series) -> String {
    let mut table = table(&[&[series.title], COMPARED.as_slice()].concat());
    for (value, outcome) in &series.points {
        let cells = compared(outcome);
        table.add_row(std::iter::once(value.to_string()).chain(cells));
    }
    right(table).to_string()
}

fn styles(outcomes: &[Outcome]) -> String {
    let mut table = table(&[&["style"], COMPARED.as_slice()].concat());
    for outcome in outcomes {
        let style = format!("{:?}", outcome.scenario.style).to_lowercase();
        table.add_row(std::iter::once(style).chain(compared(outcome)));
    }
    right(table).to_string()
}
