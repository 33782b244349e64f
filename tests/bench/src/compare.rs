//! What two runs have measured, one beside the other. Must not judge: a machine with other work makes ratios of its own.

use comfy_table::{ContentArrangement, Table, TableStyle};

use crate::report::{Line, Reading, Report};

/// For each line that both have: how many times as much the new one says, of the daemon and of whoever was measured beside it.
pub fn text(old: &Report, new: &Report) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(comfy_table::LineStyle::none().fill('─').junction('─')));
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["what", "whose", "new / old", "spread"]);
    let (mut only_old, mut only_new) = (Vec::new(), Vec::new());
    for line in &new.lines {
        match find(old, line) {
            Some(before) => drop(table.add_rows(rows(before, line))),
            None => only_new.push(line.what.as_str()),
        }
    }
    only_old.extend(old.lines.iter().filter(|line| find(new, line).is_none()).map(|line| line.what.as_str()));
    let mut text = format!("\ncompared with the run of {}, {} build:\n\n", old.machine.date, old.machine.build);
    text.extend(table.lines().map(|line| line.trim_end().to_owned() + "\n"));
    for (which, lines) in [("only then", only_old), ("only now", only_new)] {
        lines.iter().for_each(|what| text.push_str(&format!("{which}: {what}\n")));
    }
    text
}

fn find<'a>(report: &'a Report, line: &Line) -> Option<&'a Line> {
    report.lines.iter().find(|other| (&other.scenario, &other.what) == (&line.scenario, &line.what))
}

fn rows(old: &Line, new: &Line) -> Vec<[String; 4]> {
    let mut rows = vec![row(&new.what, "ovstunneld", &old.daemon, &new.daemon)];
    for beside in &new.beside {
        let same = |other: &&crate::report::Beside| (other.who, &other.note) == (beside.who, &beside.note);
        if let Some(before) = old.beside.iter().find(same) {
            rows.push(row("", beside.who.label(), &before.reading, &beside.reading));
        }
    }
    rows
}

fn row(what: &str, whose: &str, old: &Reading, new: &Reading) -> [String; 4] {
    let spread = match (old.spread, new.spread) {
        (Some((old_low, old_high)), Some((new_low, new_high))) => {
            format!("{} to {}", ratio(new_low, old_high), ratio(new_high, old_low))
        }
        _ => "not measured".to_owned(),
    };
    [what.to_owned(), whose.to_owned(), ratio(new.value, old.value), spread]
}

fn ratio(new: f64, old: f64) -> String {
    if old > 0.0 { format!("{:.2}", new / old) } else { "?".to_owned() }
}
