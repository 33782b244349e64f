//! The table, for a terminal and for the documentation. Must not judge: it shows what the report says.

use comfy_table::{ContentArrangement, Table, TableStyle};

use crate::report::{Beside, Goal, Line, Machine, Report, Unit, Who};

/// The table's columns beside the daemon's own.
const COLUMNS: [(Who, &str); 4] = [
    (Who::Command, "bare command"),
    (Who::Database, "bare JSON-RPC"),
    (Who::Plugin, "plugin's commands"),
    (Who::Ovsdbapp, "ovsdbapp"),
];

/// The scenario that is about the manager.
pub const MANAGER: &str = "manager";

/// The scenario in which each does the work in its own way, with rows of its own.
pub const PEERS: &str = "peers";

/// For a terminal.
pub fn terminal(report: &Report) -> String {
    let report = &judged(report);
    let mut text = format!("{}\n\n", machine(&report.machine));
    for (header, rows) in tables(report, "\n") {
        let mut table = Table::new();
        table.load_style(TableStyle::new().header_separator(comfy_table::LineStyle::none().fill('─').junction('─')));
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(header).add_rows(rows);
        text.push_str(&table.lines().map(|line| line.trim_end().to_owned() + "\n").collect::<String>());
        text.push('\n');
    }
    text.push_str(&goals(report));
    text.push_str(&format!("{}\n", verdict(report)));
    text
}

/// The report, without its goals where programs were built for debugging: they are many times as slow.
fn judged(report: &Report) -> Report {
    let mut report = report.clone();
    if report.machine.build == "debug" {
        report.lines.iter_mut().for_each(|line| line.goals.clear());
    }
    report
}

/// The goals, each by itself.
fn goals(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(comfy_table::LineStyle::none().fill('─').junction('─')));
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["goals: of", "measured, and the goal", "met"]);
    for line in report.lines.iter().filter(|_| !report.machine.slow) {
        for goal in &line.goals {
            table.add_row([line.what.as_str(), &goal.to_string(), if goal.met { "met" } else { "missed" }]);
        }
    }
    if table.is_empty() {
        return String::new();
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").chain(["\n".to_owned()]).collect()
}

/// For the documentation.
pub fn markdown(report: &Report) -> String {
    let mut text = format!("{}\n\n{}\n", machine(&report.machine), verdict(report));
    for (header, rows) in tables(report, "<br>") {
        text.push_str(&format!("\n| {} |\n|{}\n", header.join(" | "), "---|".repeat(header.len())));
        for row in rows {
            text.push_str(&format!("| {} |\n", row.join(" | ")));
        }
    }
    text
}

/// Head and body of each table that has lines.
fn tables(report: &Report, new_line: &str) -> Vec<(Vec<String>, Vec<Vec<String>>)> {
    let all = [rows(report, new_line), of_peers(report, new_line), of_manager(report, new_line)];
    all.into_iter().filter(|(_, rows)| !rows.is_empty()).collect()
}

/// The table's head and body.
fn rows(report: &Report, new_line: &str) -> (Vec<String>, Vec<Vec<String>>) {
    if report.machine.slow {
        return (strings(["what", "beside", "of ovstunneld's time"]), ratios(report));
    }
    let lines = report.lines.iter().filter(|line| ![MANAGER, PEERS].contains(&line.scenario.as_str()));
    (header(), lines.map(|line| row(line, new_line)).collect())
}

/// The same of those who do the work in their own way, of whom not all do each.
fn of_peers(report: &Report, new_line: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let lines = report.lines.iter().filter(|line| line.scenario == PEERS && !report.machine.slow);
    let row = |line: &Line| {
        let beside = line.beside.iter().map(|beside| format!("{}: {}", beside.who.label(), cell(line, beside)));
        vec![line.what.clone(), amount(line.daemon.value, line.unit), beside.collect::<Vec<_>>().join(new_line)]
    };
    (strings(["what", "ovstunneld", "others, each in its own way"]), lines.map(row).collect())
}

/// The same of the manager, whom nobody is compared with.
fn of_manager(report: &Report, new_line: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let lines = report.lines.iter().filter(|line| line.scenario == MANAGER && !report.machine.slow);
    let row = |line: &Line| {
        let mut row = row(line, new_line);
        row.drain(2..2 + COLUMNS.len());
        row
    };
    (strings(["what", "ovstunnel-manager", "against the goal", "met"]), lines.map(row).collect())
}

fn strings<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).into()
}

/// Of a slow machine: how many times as long as the daemon others take.
fn ratios(report: &Report) -> Vec<Vec<String>> {
    let compared = report.lines.iter().flat_map(|line| line.beside.iter().map(move |beside| (line, beside)));
    let row = |(line, beside): (&Line, &Beside)| {
        let who = beside.note.clone().unwrap_or_else(|| beside.who.label().to_owned());
        let times = if line.daemon.value > 0.0 { factor(beside.reading.value / line.daemon.value) } else { "?".into() };
        vec![line.what.clone(), who, format!("{times} ×")]
    };
    compared.map(row).collect()
}

fn header() -> Vec<String> {
    let mut header = vec!["what".to_owned(), "ovstunneld".to_owned()];
    header.extend(COLUMNS.map(|(_, name)| name.to_owned()));
    header.extend(["against the goal".to_owned(), "met".to_owned()]);
    header
}

fn row(line: &Line, new_line: &str) -> Vec<String> {
    let mut row = vec![line.what.clone(), amount(line.daemon.value, line.unit)];
    row.extend(COLUMNS.map(|(who, _)| {
        let mine = line.beside.iter().filter(|beside| beside.who == who);
        mine.map(|beside| cell(line, beside)).collect::<Vec<_>>().join(new_line)
    }));
    row.push(line.goals.iter().map(ToString::to_string).collect::<Vec<_>>().join(new_line));
    let met = |goal: &Goal| if goal.met { "yes" } else { "**no**" };
    row.push(line.goals.iter().map(met).collect::<Vec<_>>().join(new_line));
    row
}

/// A figure, and how many times the daemon's it is.
fn cell(line: &Line, beside: &Beside) -> String {
    let mut cell = amount(beside.reading.value, line.unit);
    if line.daemon.value > 0.0 {
        cell.push_str(&format!(" ({} ×)", factor(beside.reading.value / line.daemon.value)));
    }
    if let Some(note) = &beside.note {
        cell.push_str(&format!(", {note}"));
    }
    cell
}

fn factor(factor: f64) -> String {
    match factor {
        factor if factor >= 100.0 => format!("{factor:.0}"),
        factor if factor >= 10.0 => format!("{factor:.1}"),
        _ => format!("{factor:.2}"),
    }
}

/// A figure with its unit.
fn amount(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds if value < 0.01 => format!("{:.2} ms", value * 1e3),
        Unit::Seconds if value < 0.1 => format!("{:.1} ms", value * 1e3),
        Unit::Seconds if value < 1.0 => format!("{:.0} ms", value * 1e3),
        Unit::Seconds => format!("{value:.2} s"),
        Unit::Bytes => format!("{:.1} MB", value / 1e6),
        Unit::Percent => format!("{value:.3} %"),
        Unit::Flows => format!("{value:.0} flows"),
        Unit::Number => format!("{value:.0}"),
        Unit::BitsPerSecond => format!("{:.0} Mbit/s", value / 1e6),
        Unit::PacketsPerSecond => format!("{:.1} k/s", value / 1e3),
    }
}

fn machine(machine: &Machine) -> String {
    let Machine { cores, cpu, memory_mb, kernel, open_vswitch, datapath, build, date, slow: _ } = machine;
    format!(
        "{date}; {cores} cores, {cpu}, {memory_mb} MB of memory; Linux {kernel}; Open vSwitch {open_vswitch}, {datapath} \
         datapath; {build} build"
    )
}

fn verdict(report: &Report) -> String {
    let goals = report.lines.iter().flat_map(|line| &line.goals);
    let (met, all) = (goals.clone().filter(|goal| goal.met).count(), goals.count());
    let minutes = report.seconds / 60.0;
    if report.machine.slow {
        return format!(
            "A virtual machine without acceleration, ten times as slow: ratios only; measured in {minutes:.1} minutes."
        );
    }
    let quick = if report.quick { " This was a smoke run: its figures say nothing." } else { "" };
    if all == 0 {
        return format!("No goals are judged here; measured in {minutes:.1} minutes.{quick}");
    }
    format!("{met} of {all} goals are met; measured in {minutes:.1} minutes.{quick}")
}

/// `1,999`.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1999, 1_999_000].map(grouped), ["0", "999", "1,999", "1,999,000"]);
        assert_eq!(amount(0.0123, Unit::Seconds), "12.3 ms");
        assert_eq!(amount(1.234, Unit::Seconds), "1.23 s");
        assert_eq!(amount(12_345_678.0, Unit::Bytes), "12.3 MB");
    }

    #[test]
    fn of_a_slow_machine_only_ratios_are_told() {
        let line = Line::new("s", "one", Unit::Seconds, 0.01, 3).beside(Who::Command, 0.008, 3, None);
        let alone = Line::new("s", "two", Unit::Seconds, 5.0, 1).goal(Goal::at_most(5.0, 1.0, "s", "at most"));
        let text = r#"{"cores": 2, "cpu": "c", "memory_mb": 1, "kernel": "6.1", "open_vswitch": "3.1.0",
            "datapath": "kernel (system)", "slow": true, "build": "release", "date": "2026-01-01"}"#;
        let machine: Machine = serde_json::from_str(text).unwrap();
        let report = Report { machine, quick: false, seconds: 60.0, lines: vec![line, alone], curves: vec![] };
        let shown = markdown(&report);
        assert!(shown.ends_with("|\n| one | bare command | 0.80 × |\n"), "{shown}");
        assert!(!shown.contains("goals") && !shown.contains("ms"), "{shown}");
    }

    #[test]
    fn goals_are_not_judged_by_what_was_built_for_debugging() {
        let text = |build: &str| {
            let text = format!(
                r#"{{"cores": 2, "cpu": "c", "memory_mb": 1, "kernel": "6.1", "open_vswitch": "3.1.0",
                "datapath": "userspace (netdev)", "build": "{build}", "date": "2026-01-01"}}"#
            );
            let line = Line::new("s", "one", Unit::Seconds, 5.0, 1).goal(Goal::at_most(5.0, 1.0, "s", "at most"));
            let machine: Machine = serde_json::from_str(&text).unwrap();
            terminal(&Report { machine, quick: false, seconds: 60.0, lines: vec![line], curves: vec![] })
        };
        assert!(text("release").contains("missed") && text("release").contains("0 of 1 goals are met"));
        assert!(!text("debug").contains("missed") && text("debug").contains("No goals are judged here"));
    }

    #[test]
    fn a_line_shows_everybody_as_a_multiple_of_ours() {
        let line = Line::new("s", "one", Unit::Seconds, 0.01, 3).beside(Who::Command, 0.008, 3, None);
        let line = line.beside(Who::Plugin, 0.2, 1, Some("of 2")).at_most_times(Who::Command, 1.2, "the bare command");
        let shown = ["one", "10.0 ms", "8.00 ms (0.80 ×)", "", "200 ms (20.0 ×), of 2", ""];
        assert_eq!(row(&line, "\n")[..6], shown);
        assert_eq!(row(&line, "\n")[6..], ["1.25 × the bare command (≤ 1.2 ×)", "**no**"]);
    }
}
