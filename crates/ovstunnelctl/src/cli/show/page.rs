//! A page of text: lines, pairs and tables.
//!
//! What it does: each row is one line, and each cell is whole, however wide the terminal is; what is wrong stands out by its words,
//! and by a colour that is taken away where there is no terminal. What it must not do: print.

use std::time::{Duration, SystemTime};

use anstyle::{AnsiColor, Style};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};

/// How a line is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum Tone {
    #[default]
    Plain,
    /// It works, but not as it should.
    Warn,
    /// Somebody has to act.
    Bad,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Tone::Plain => Style::new(),
            Tone::Warn => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default(),
        }
    }

    fn paint(self, text: &str) -> String {
        let style = self.style();
        format!("{style}{text}{style:#}")
    }
}

/// A row of a table.
#[derive(Debug, Default)]
pub(in crate::cli) struct Row {
    pub(in crate::cli) cells: Vec<String>,
    pub(in crate::cli) tone: Tone,
}

impl From<Vec<String>> for Row {
    fn from(cells: Vec<String>) -> Self {
        Row { cells, tone: Tone::Plain }
    }
}

/// Text for a person, line by line.
#[derive(Debug)]
pub(in crate::cli) struct Page {
    text: String,
    headers: bool,
    now: SystemTime,
}

impl Default for Page {
    fn default() -> Self {
        Page { text: String::new(), headers: true, now: SystemTime::now() }
    }
}

impl Page {
    pub(in crate::cli) fn new() -> Self {
        Page::default()
    }

    /// A page whose tables are rows alone where `headers` is false: without their first line, and without what explains them.
    pub(in crate::cli) fn with_headers(headers: bool) -> Self {
        Page { headers, ..Page::default() }
    }

    /// A page of another time, for tests.
    #[cfg(test)]
    pub(in crate::cli) fn at(now: SystemTime) -> Self {
        Page { now, ..Page::default() }
    }

    /// Whether tables have headers and explanations.
    pub(in crate::cli) fn has_headers(&self) -> bool {
        self.headers
    }

    pub(in crate::cli) fn line(&mut self, text: impl AsRef<str>) {
        self.text.push_str(&printable(text.as_ref()));
        self.text.push('\n');
    }

    /// A line that begins with a word for how it is meant.
    pub(in crate::cli) fn verdict(&mut self, tone: Tone, word: &str, text: &str) {
        self.text.push_str(&format!("{}{}\n", tone.paint(word), printable(text)));
    }

    /// A line of pieces, each with how it is meant.
    pub(in crate::cli) fn pieces(&mut self, pieces: &[(Tone, String)]) {
        let painted = pieces.iter().map(|(tone, text)| tone.paint(&printable(text)));
        self.text.extend(painted);
        self.text.push('\n');
    }

    /// Text of several lines, as it is.
    pub(in crate::cli) fn block(&mut self, text: &str) {
        text.lines().for_each(|line| self.line(line));
    }

    /// Names and values, one pair a line.
    pub(in crate::cli) fn pairs(&mut self, pairs: &[(&str, String)]) {
        let mut table = new_table();
        table.add_rows(pairs.iter().map(|(name, value)| vec![format!("{name}:"), printable(value)]));
        self.put(&table, &[]);
    }

    /// A table; the columns named in `right` are numbers.
    pub(in crate::cli) fn table<R: Into<Row>>(&mut self, header: &[&str], right: &[usize], rows: Vec<R>) {
        let mut table = new_table();
        let mut tones = Vec::new();
        if self.headers {
            table.set_header(header);
            tones.push(Tone::Plain);
        }
        for row in rows {
            let Row { cells, tone } = row.into();
            table.add_row(cells.iter().map(|cell| printable(cell)).collect::<Vec<_>>());
            tones.push(tone);
        }
        for index in right {
            if let Some(column) = table.column_mut(*index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        self.put(&table, &tones);
    }

    fn put(&mut self, table: &Table, tones: &[Tone]) {
        for (n, line) in table.lines().enumerate() {
            // Each cell has one space at both sides; the page begins at the first column.
            let line = line.strip_prefix(' ').unwrap_or(&line).trim_end();
            self.text.push_str(&tones.get(n).copied().unwrap_or_default().paint(line));
            self.text.push('\n');
        }
    }

    /// `2026-05-01T03:20:00Z (12s ago)`: to the second, and without an age where the clocks differ or it is no time.
    pub(in crate::cli) fn time(&self, at: &str) -> String {
        let seconds = at.split_once('.').map_or_else(|| at.to_owned(), |(seconds, _)| format!("{seconds}Z"));
        let age = humantime::parse_rfc3339(at).ok().and_then(|then| self.now.duration_since(then).ok());
        match age {
            Some(age) => format!("{seconds} ({} ago)", age_word(age)),
            None => seconds,
        }
    }

    /// The text with the signs that colour it on a terminal.
    pub(in crate::cli) fn styled(self) -> String {
        self.text
    }
}

/// Without a width: a cell that does not fit is for the terminal to wrap, and whole for whoever searches.
fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// The largest unit of which there are two at least.
fn age_word(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

impl From<Page> for String {
    /// The text without colours.
    fn from(page: Page) -> Self {
        anstream::adapter::strip_str(&page.text).to_string()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        let words = [0, 119, 120, 7_199, 7_200, 172_799, 172_800].map(|n| age_word(Duration::from_secs(n)));
        assert_eq!(words, ["0s", "119s", "2m", "119m", "2h", "47h", "2d"]);
    }

    #[test]
    fn a_time_has_its_age_where_that_can_be_told() {
        let page = Page::at(humantime::parse_rfc3339("2026-05-01T03:21:00Z").unwrap());
        assert_eq!(page.time("2026-05-01T03:20:00.75Z"), "2026-05-01T03:20:00Z (59s ago)");
        assert_eq!(page.time("2026-05-01T04:00:00Z"), "2026-05-01T04:00:00Z", "another clock");
        assert_eq!(page.time("soon"), "soon");
    }

    #[test]
    fn a_cell_is_never_split_and_colours_do_not_move_columns() {
        let mut page = Page::new();
        let long = "x".repeat(300);
        let bad = Row { cells: vec![long.clone(), "FAILED".to_owned()], tone: Tone::Bad };
        page.table(&["NAME", "STATE"], &[], vec![Row::from(vec!["a".to_owned(), "ok".to_owned()]), bad]);
        assert!(page.text.contains('\u{1b}'));
        let text = String::from(page);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[2]), (3, format!("{long}  FAILED").as_str()));
        assert_eq!(lines[1].find("ok"), lines[2].find("FAILED"));
    }
}
