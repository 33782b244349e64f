//! A page of text: headings, lines, tables. Must not know what they are about.

use std::io::IsTerminal;

use comfy_table::{CellAlignment, ContentArrangement, Table, TableStyle};

/// Text, line by line.
#[derive(Debug)]
pub struct Page {
    text: String,
    sections: u32,
    /// Whether escape sequences are understood where it will be read.
    styled: bool,
}

const BOLD: &str = "1";
const BOLD_GREEN: &str = "1;32";
const BOLD_RED: &str = "1;31";

impl Page {
    /// A page for standard output: with styles if that is a terminal and `NO_COLOR` is not set.
    pub fn for_standard_output() -> Self {
        let styled =
            std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { styled, ..Self::plain() }
    }

    /// A page without styles.
    pub fn plain() -> Self {
        Self { text: String::new(), sections: 0, styled: false }
    }

    pub fn into_text(self) -> String {
        self.text
    }

    /// The beginning of a section, with its number.
    pub fn heading(&mut self, text: &str) {
        self.sections += 1;
        let text = format!("{}. {text}", self.sections);
        self.blank();
        self.styled_line(BOLD, &text);
        self.blank();
    }

    pub fn line(&mut self, text: impl AsRef<str>) {
        self.text.push_str(text.as_ref().trim_end());
        self.text.push('\n');
    }

    pub fn blank(&mut self) {
        self.text.push('\n');
    }

    pub fn good(&mut self, text: impl AsRef<str>) {
        self.styled_line(BOLD_GREEN, text.as_ref());
    }

    pub fn bad(&mut self, text: impl AsRef<str>) {
        self.styled_line(BOLD_RED, text.as_ref());
    }

    fn styled_line(&mut self, style: &str, text: &str) {
        match self.styled {
            true => self.line(format!("\x1b[{style}m{text}\x1b[0m")),
            false => self.line(text),
        }
    }

    /// A table: the first `left` columns hold words, the others numbers.
    pub fn table(&mut self, header: Vec<String>, left: usize, rows: Vec<Vec<String>>) {
        let mut table = Table::new();
        let rule = comfy_table::LineStyle::none().fill('─').junction('─');
        table.load_style(TableStyle::new().header_separator(rule));
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(header).add_rows(rows);
        for (index, column) in table.column_iter_mut().enumerate() {
            // And a character of the table's own.
            column.set_padding((0, 1));
            column.set_cell_alignment(if index < left { CellAlignment::Left } else { CellAlignment::Right });
        }
        table.lines().for_each(|line| self.line(format!("  {line}")));
    }
}

/// A time in milliseconds, with three digits or so.
pub fn milliseconds(time: f64) -> String {
    match time {
        time if time < 10.0 => format!("{time:.2} ms"),
        time if time < 100.0 => format!("{time:.1} ms"),
        time if time < 1000.0 => format!("{time:.0} ms"),
        time => format!("{:.1} s", time / 1000.0),
    }
}

/// `1 copy`, `2 copies`, `3 frames`.
pub fn plural(count: u64, what: &str) -> String {
    match (count, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_times_are_readable() {
        assert_eq!([plural(1, "copy"), plural(0, "copy"), plural(2, "ping")], ["1 copy", "0 copies", "2 pings"]);
        let times = [0.123, 12.345, 123.4, 1234.5].map(milliseconds);
        assert_eq!(times, ["0.12 ms", "12.3 ms", "123 ms", "1.2 s"]);
    }

    #[test]
    fn numbers_stand_under_each_other() {
        let mut page = Page::plain();
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        page.table(row("kind", "r1"), 1, vec![row("a", "1"), row("long", "100")]);
        assert_eq!(page.into_text(), "  kind   r1\n  ──────────\n  a       1\n  long  100\n");
    }
}
