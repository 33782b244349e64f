//! A page of text: lines, pairs and tables.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};

/// Text for a person, line by line.
#[derive(Debug, Default)]
pub(in crate::cli) struct Page {
    text: String,
    width: Option<u16>,
}

impl Page {
    /// A page for standard output: its tables are as wide as the terminal, if it is one.
    pub(in crate::cli) fn new() -> Self {
        let width = terminal_size::terminal_size().map(|(width, _)| width.0);
        Page { text: String::new(), width }
    }

    /// A page of a given width, for tests.
    #[cfg(test)]
    pub(in crate::cli) fn of_width(width: Option<u16>) -> Self {
        Page { text: String::new(), width }
    }

    pub(in crate::cli) fn line(&mut self, text: impl AsRef<str>) {
        self.text.push_str(&printable(text.as_ref()));
        self.text.push('\n');
    }

    /// Text of several lines, as it is.
    pub(in crate::cli) fn block(&mut self, text: &str) {
        text.lines().for_each(|line| self.line(line));
    }

    /// Names and values, one pair a line.
    pub(in crate::cli) fn pairs(&mut self, pairs: &[(&str, String)]) {
        let mut table = self.new_table();
        table.add_rows(pairs.iter().map(|(name, value)| vec![format!("{name}:"), printable(value)]));
        self.put(&table);
    }

    /// A table; the columns named in `right` are numbers.
    pub(in crate::cli) fn table(&mut self, header: &[&str], right: &[usize], rows: Vec<Vec<String>>) {
        let mut table = self.new_table();
        table.set_header(header);
        table.add_rows(rows.into_iter().map(|row| row.iter().map(|cell| printable(cell)).collect::<Vec<_>>()));
        for index in right {
            if let Some(column) = table.column_mut(*index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        self.put(&table);
    }

    fn new_table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(NOTHING);
        match self.width {
            Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        table
    }

    fn put(&mut self, table: &Table) {
        for line in table.lines() {
            // Each cell has one space at both sides; the page begins at the first column.
            self.text.push_str(line.strip_prefix(' ').unwrap_or(&line).trim_end());
            self.text.push('\n');
        }
    }
}

impl From<Page> for String {
    fn from(page: Page) -> Self {
        page.text
    }
}

/// `text` with control characters written out, so that nothing on the way can play with the terminal.
pub(in crate::cli) fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => clean.push('\t'),
            c if c.is_control() => clean.extend(c.escape_default()),
            c => clean.push(c),
        }
    }
    clean
}

/// `text` as one word of a shell.
pub(in crate::cli) fn quoted(text: &str) -> String {
    // The only text that cannot be quoted has a NUL in it, which no argument of a process has.
    shlex::try_quote(text).map_or_else(|_| printable(text), |word| word.into_owned())
}
