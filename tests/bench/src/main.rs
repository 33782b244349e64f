//! The benchmark: `ovstunneld` on real switches beside all that could do its work, each in turn on the same switch.
//!
//! It is a user of the programs as they are built; it must not know how they work inside. Standard output has the table,
//! standard error the progress. See `cli.rs` for options and exit status.

mod cli;
mod compare;
mod contender;
mod control;
mod database;
mod docs;
mod ground;
mod machine;
mod page;
mod plot;
mod process;
mod report;
mod rows;
mod scale;
mod scenario;
mod stats;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use ovstunnel_lab::{Interrupt, Lab};

use cli::Cli;
use report::Report;
use scale::Scale;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let interrupt = match Interrupt::install() {
        Ok(interrupt) => interrupt,
        Err(error) => return failed(&error),
    };
    if let (None, Err(missing)) = (&cli.from, Lab::requirements()) {
        interrupt.give_way(true);
        eprintln!("bench: {missing:#}");
        return ExitCode::from(2);
    }
    let result = run(&cli);
    // A signal's consequences are no failure: what is in the way of its end, waits here.
    interrupt.give_way(result.is_err());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("bench: {error:#}");
    ExitCode::FAILURE
}

/// Tells on standard error what is being done.
pub fn progress(what: &str) {
    eprintln!("bench: {what}");
}

fn run(cli: &Cli) -> Result<()> {
    // Before a long run, not after it.
    let old = cli.compare.as_deref().map(read).transpose()?;
    let report = match &cli.from {
        Some(file) => read(file)?,
        None => measure(cli)?,
    };
    if let Some(file) = &cli.json {
        let text = serde_json::to_string_pretty(&report).context("the report as JSON")? + "\n";
        if file.as_os_str() == "-" {
            return std::io::stdout().write_all(text.as_bytes()).context("standard output");
        }
        std::fs::write(file, text).with_context(|| file.display().to_string())?;
    }
    if let Some(folder) = &cli.out {
        plot::draw(&report, folder)?;
    }
    if cli.update_docs {
        docs::update(&report)?;
    }
    let compared = old.map(|old| compare::text(&old, &report)).unwrap_or_default();
    // Not `print!`: that panics where the reader has gone.
    std::io::stdout().write_all((page::terminal(&report) + &compared).as_bytes()).context("standard output")
}

fn read(file: &Path) -> Result<Report> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    serde_json::from_str(&text).with_context(|| file.display().to_string())
}

fn measure(cli: &Cli) -> Result<Report> {
    let (start, machine) = (Instant::now(), machine::describe()?);
    let scale = if cli.quick { Scale::quick() } else { Scale::full().percent(cli.percent) };
    let scale = Scale { nic_seconds: cli.nic_seconds.unwrap_or(scale.nic_seconds), ..scale };
    let (mut lines, mut curves) = (Vec::new(), Vec::new());
    for scenario in cli.scenarios() {
        let found = scenario::run(scenario, &scale).with_context(|| format!("{scenario:?}"))?;
        lines.extend(found.lines);
        curves.extend(found.curves);
    }
    Ok(Report { machine, quick: cli.quick, seconds: start.elapsed().as_secs_f64(), lines, curves })
}
