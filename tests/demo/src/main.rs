//! The demo: hosts with `ovstunneld` in network namespaces, and a count of every frame that their VMs get.
//!
//! It is a user of the programs as they are built, by HTTPS or the plugin and by the operator's command; it must not know how
//! they work inside. Standard output has the result, standard error the progress. See `cli.rs` for options and exit status.

mod acting;
mod cli;
mod count;
mod door;
mod plug;
mod progress;
mod replicas;
mod report;
mod scenario;
mod show;
mod stage;
mod verdict;
mod zone;

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use ovstunnel_lab::{Interrupt, Lab};

use cli::Cli;
use progress::Progress;
use report::Report;
use stage::Stage;

fn main() -> ExitCode {
    let cli = Cli::read();
    let interrupt = match Interrupt::install() {
        Ok(interrupt) => interrupt,
        Err(error) => return failed(&error),
    };
    if let Err(missing) = Lab::requirements() {
        interrupt.give_way(true);
        eprintln!("demo: {missing:#}");
        return ExitCode::from(2);
    }
    let result = run(&cli, &interrupt);
    // A signal's consequences are no failure: what is in the way of its end, waits here.
    interrupt.give_way(result.is_err());
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("demo: {error:#}");
    ExitCode::FAILURE
}

/// Plays it through and prints it; whether every count was right.
fn run(cli: &Cli, interrupt: &Interrupt) -> Result<bool> {
    if cli.zone {
        return zone::play(cli.keep, cli.pictures.as_deref(), interrupt).map(|()| true);
    }
    if let Some(count) = cli.replicas {
        return replicas::play(count.into()).map(|()| true);
    }
    let start = Instant::now();
    let progress = Progress::new();
    let played = play(cli, &progress);
    progress.finish();
    let (stage, mut report) = played?;
    interrupt.give_way(false);
    report.seconds = start.elapsed().as_secs_f64();
    verdict::judge(&mut report);
    let text = if cli.json {
        serde_json::to_string_pretty(&report).context("the report as JSON")? + "\n"
    } else {
        show::report(&report)
    };
    // Not `print!`: that panics where the reader has gone.
    std::io::stdout().write_all(text.as_bytes()).context("standard output")?;
    if cli.keep {
        eprint!("{}", show::how_to_look_around(&stage));
        Interrupt::wait_for_ever();
    }
    Ok(report.ok)
}

fn play(cli: &Cli, progress: &Progress) -> Result<(Stage, Report)> {
    let stage = scenario::set_up(cli, progress)?;
    let report = scenario::play(&stage, cli.broken, progress)?;
    Ok((stage, report))
}
