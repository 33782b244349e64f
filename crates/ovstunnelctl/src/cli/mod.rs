//! The command line: what is typed becomes requests, their answers become text, and how it went the exit status.
//!
//! What it does: 0 when all is well, 1 when the daemon answered with an error or something is wrong, 2 when the command
//! line is or the daemon cannot be reached (`doctor`: 1 warnings, 2 failures). What it must not do: decide anything that the
//! daemon decides.

mod args;
mod bridge;
mod certificates;
mod confirm;
mod connection;
mod doctor;
mod failure;
mod log;
mod pki;
mod pki_args;
mod show;
mod status;
mod support;
mod takeover;
mod values;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, error::ErrorKind};

pub use args::Cli;
use args::{Bundle, Command, Doctor};
use doctor::Asking;
use failure::Failure;
use show::Page;

use crate::client::{Client, Endpoint};

/// What a command has to say, and its exit status: not 0 where it found something wrong.
#[derive(Debug)]
struct Report {
    text: String,
    status: u8,
}

impl Report {
    /// `value` as JSON where that was asked for, else as a page for people.
    fn new<T: serde::Serialize>(json: bool, value: &T, page: impl FnOnce(&T) -> Page) -> Result<Self, Failure> {
        let text = if json { serde_json::to_string_pretty(value).map_err(Failure::Json)? } else { page(value).into() };
        Ok(Report { text, status: 0 })
    }

    /// The same, found wrong where `wrong` says so.
    fn wrong_if(self, wrong: bool) -> Self {
        self.with_status(u8::from(wrong))
    }

    fn with_status(self, status: u8) -> Self {
        Report { status, ..self }
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.json;
    match run(cli).and_then(|report| print(&report)) {
        Ok(status) => ExitCode::from(status),
        Err(Failure::Usage(text)) => usage(&text),
        Err(failure) => {
            failure.print(json);
            ExitCode::from(failure.exit_status())
        }
    }
}

fn run(cli: Cli) -> Result<Report, Failure> {
    if let Command::Pki(command) = &cli.command {
        return pki::run(command, cli.json);
    }
    let endpoint = connection::resolve(&cli.connection, |name| std::env::var_os(name)).map_err(Failure::Usage)?;
    let client = Client::new(&endpoint, cli.timeout)?;
    // One request after the other: one thread is enough, and starts fastest.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    runtime.block_on(ask(&client, &endpoint, cli.command, cli.json))
}

async fn ask(client: &Client, endpoint: &Endpoint, command: Command, json: bool) -> Result<Report, Failure> {
    match command {
        Command::Status => status::run(client, json).await,
        Command::Doctor(Doctor { probe_peers, all, files }) => {
            let asking = Asking { client, endpoint, files: files.as_ref() };
            doctor::run(asking, probe_peers, all, json).await
        }
        Command::SupportBundle(Bundle { output, files }) => {
            let asking = Asking { client, endpoint, files: files.as_ref() };
            support::run(asking, output.as_deref(), json).await
        }
        Command::Bridge(command) => bridge::run(client, command, json).await,
        Command::Tunnel(command) => bridge::run_tunnel(client, command, json).await,
        Command::Interface { label } => Report::new(json, &client.interface(&label).await?, show::interface),
        Command::Reconcile { dry_run: true } => Report::new(json, &client.dry_run().reconcile().await?, show::plan),
        Command::Reconcile { dry_run: false } => {
            let answer = client.reconcile().await?;
            Ok(Report::new(json, &answer, show::reconcile)?.wrong_if(!answer.failed.is_empty()))
        }
        Command::Takeover { bridges, dry_run } => takeover::run(client, &bridges, dry_run, json).await,
        Command::Log(command) => log::run(client, command, json).await,
        Command::Release { name, dry_run: true, .. } => {
            Report::new(json, &client.dry_run().release_bridge(&name).await?, show::plan)
        }
        Command::Release { name, dry_run: false, yes } => {
            confirm::release(client, &name, yes).await?;
            let answer = client.release_bridge(&name).await?;
            Report::new(json, &answer, |a| show::released(&name, a.outcome))
        }
        // Needs no daemon and was run before there was a client.
        Command::Pki(command) => pki::run(&command, json),
    }
}

/// Writes all at once. A reader that went away (`| head`) is no error.
fn print(report: &Report) -> Result<u8, Failure> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", report.text.trim_end()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(e)),
        _ => Ok(report.status),
    }
}

/// In the way of clap's own complaints, which it ends with status 2.
fn usage(text: &str) -> ExitCode {
    let error = Cli::command().error(ErrorKind::MissingRequiredArgument, text);
    let _ = error.print();
    ExitCode::from(2)
}
