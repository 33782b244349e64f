//! Puts what was found where it was asked for: terminal, JSON, plot. Must not judge.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::growth::Everything;
use crate::{plot, table};

/// Name of the plot.
pub const PLOT: &str = "zone.svg";

/// Writes the tables.
///
/// # Errors
/// When the output is closed.
pub fn print(everything: &Everything, out: &mut impl Write) -> Result<()> {
    write!(out, "{}", table::everything(everything)).context("the report")
}

/// Writes everything as JSON.
///
/// # Errors
/// When the file cannot be written.
pub fn json(everything: &Everything, file: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(everything)?;
    std::fs::write(file, text + "\n").with_context(|| format!("{} cannot be written", file.display()))
}

/// Draws how things grow.
///
/// # Errors
/// When the file cannot be written.
pub fn draw(everything: &Everything, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let file = folder.join(PLOT);
    std::fs::write(&file, plot::growth(&everything.growth)?)
        .with_context(|| format!("{} cannot be written", file.display()))
}
