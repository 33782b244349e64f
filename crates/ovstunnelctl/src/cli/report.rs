//! What a command has to say, in the form that was asked for, and how it is printed.
//!
//! What it does: turns an answer into a page, JSON, YAML or a list of names; colour goes to terminals only, and not where
//! `NO_COLOR` is set. What it must not do: know what an answer means.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::Failure;
use super::show::Page;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// One line for each, with the columns that are needed most.
    #[default]
    Table,
    /// The same with all columns.
    Wide,
    /// The API's own types as JSON.
    Json,
    /// The same as YAML.
    Yaml,
    /// The names alone, one a line.
    Name,
}

/// What a command has to say, and its exit status: not 0 where it found something wrong.
#[derive(Debug)]
pub(super) struct Report {
    text: String,
    /// The text is a page for people, and may have colours in it.
    page: bool,
    status: u8,
}

impl Report {
    /// `value` as JSON where that was asked for, else as a page for people.
    pub(super) fn new<T: Serialize>(json: bool, value: &T, page: impl FnOnce(&T) -> Page) -> Result<Self, Failure> {
        if json { Report::from_json(value) } else { Ok(Report::from_page(page(value))) }
    }

    /// `value` in the form that was asked for. `page` is told whether all columns are wanted, `names` are those of its rows.
    pub(super) fn for_list<T: Serialize>(
        format: Format,
        value: &T,
        page: impl FnOnce(&T, bool) -> Page,
        names: impl FnOnce(&T) -> Vec<String>,
    ) -> Result<Self, Failure> {
        match format {
            Format::Table | Format::Wide => Ok(Report::from_page(page(value, format == Format::Wide))),
            Format::Json => Report::from_json(value),
            Format::Yaml => Report::from_yaml(value),
            Format::Name => {
                let mut page = Page::default();
                names(value).iter().for_each(|name| page.line(name));
                Ok(Report::from_page(page))
            }
        }
    }

    pub(super) fn from_page(page: Page) -> Self {
        Report { text: page.styled(), page: true, status: 0 }
    }

    fn from_json<T: Serialize>(value: &T) -> Result<Self, Failure> {
        Ok(Report::from_text(serde_json::to_string_pretty(value).map_err(Failure::Json)?))
    }

    pub(super) fn from_yaml<T: Serialize>(value: &T) -> Result<Self, Failure> {
        Ok(Report::from_text(serde_saphyr::to_string(value).map_err(|error| Failure::Yaml(Box::new(error)))?))
    }

    /// A text for programs, as it is.
    pub(super) fn from_text(text: String) -> Self {
        Report { text, page: false, status: 0 }
    }

    /// The same, found wrong where `wrong` says so.
    pub(super) fn wrong_if(self, wrong: bool) -> Self {
        self.with_status(u8::from(wrong))
    }

    pub(super) fn with_status(self, status: u8) -> Self {
        Report { status, ..self }
    }

    /// Writes all at once, and gives the exit status. A reader that went away (`| head`) is no error.
    pub(super) fn print(&self) -> Result<u8, Failure> {
        match self.write("") {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
            _ => Ok(self.status),
        }
    }

    /// Writes `before`, which moves the cursor of a terminal, and the text.
    ///
    /// # Errors
    /// Those of standard output, a reader that went away among them.
    pub(super) fn write(&self, before: &str) -> io::Result<()> {
        let text = self.text.trim_end();
        let end = if text.is_empty() { "" } else { "\n" };
        if self.page {
            let mut out = anstream::stdout().lock();
            write!(out, "{before}{text}{end}")?;
            return out.flush();
        }
        let mut out = io::stdout().lock();
        write!(out, "{before}{text}{end}")?;
        out.flush()
    }

    /// Whether another one would look the same.
    pub(super) fn is_like(&self, other: &Report) -> bool {
        self.text == other.text
    }
}

/// Whether standard output is a terminal.
pub(super) fn at_a_terminal() -> bool {
    io::stdout().is_terminal()
}
