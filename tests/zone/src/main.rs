//! `ovstunnel-zone`: a zone of thousands of hosts, simulated. Must not do more than read the command line and report.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use ovstunnel_zone::cli::Cli;
use ovstunnel_zone::{growth, report};

fn main() -> ExitCode {
    match simulate(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ovstunnel-zone: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// True where nothing was wrong.
fn simulate(cli: &Cli) -> Result<bool> {
    let scenario = cli.scenario()?;
    eprintln!("{} hosts, seed {}", scenario.hosts, scenario.seed);
    let everything = growth::everything(&scenario, !cli.no_growth)?;
    report::print(&everything, &mut std::io::stdout().lock())?;
    if let Some(file) = &cli.json {
        report::json(&everything, file)?;
    }
    if let Some(folder) = &cli.out {
        report::draw(&everything, folder)?;
    }
    Ok(everything.outcomes().all(|outcome| outcome.is_good()))
}
