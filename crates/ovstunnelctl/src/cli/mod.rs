//! The command line: what is typed becomes requests, their answers become text, and how it went the exit status.
//!
//! What it does: 0 when all is well, 1 when the daemon answered with an error or something is wrong, 2 when the command
//! line is or the daemon cannot be reached (`doctor`: 1 warnings, 2 failures). What it must not do: decide anything that the
//! daemon decides.

mod apply;
mod apply_args;
mod args;
mod bridge;
mod bridge_args;
mod certificates;
mod complete;
mod confirm;
mod connection;
mod doctor;
mod epoch;
mod examples;
mod failure;
mod hosts;
mod join;
mod log;
mod logs;
mod network;
mod pki;
mod pki_args;
mod removal;
mod renew;
mod report;
mod show;
mod status;
mod support;
mod takeover;
mod trace;
mod tunnel;
mod values;
mod version;
mod watch;
mod zone;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, error::ErrorKind};

pub use args::Cli;
use args::{Bundle, Command, Doctor};
use bridge_args::EndOfBridge;
use connection::Asked;
use doctor::Asking;
use failure::Failure;
use removal::Removal;
use report::Report;
use zone::{ProofArgs, ZoneCommand};

use crate::client::{Client, Endpoint, Manager};

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    complete::answer_shell(Cli::command);
    let cli = Cli::parse();
    let json = cli.json;
    match run_command(cli).and_then(|report| report.print()) {
        Ok(status) => ExitCode::from(status),
        Err(Failure::Usage(text)) => usage_error(&text),
        Err(failure) => {
            failure.print(json);
            ExitCode::from(failure.exit_status())
        }
    }
}

fn run_command(cli: Cli) -> Result<Report, Failure> {
    match &cli.command {
        Command::Pki(pki) => return pki::run(&pki.command, cli.json),
        Command::Completion { shell } => return complete::completion_script(*shell).map(Report::from_text),
        Command::Version { client: true } => return version::client_alone(cli.json),
        Command::Zone(ZoneCommand::Proof(ProofArgs { verify: Some(file), .. })) => {
            return zone::verify_proof(file, cli.connection.ca.as_ref(), cli.json);
        }
        _ => {}
    }
    // One request after the other: one thread is enough, and starts fastest.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    if let Command::Join(args) = &cli.command {
        return runtime.block_on(join::join_zone(args, cli.timeout, cli.json));
    }
    if let Command::Renew(args) = &cli.command {
        return runtime.block_on(renew::renew(args, cli.timeout, cli.json));
    }
    let who = if matches!(cli.command, Command::Zone(_)) { Asked::Manager } else { Asked::Daemon };
    let endpoint =
        connection::resolve_endpoint(who, &cli.connection, |name| std::env::var_os(name)).map_err(Failure::Usage)?;
    if let Command::Zone(command) = cli.command {
        let manager = Manager::new(&endpoint, cli.timeout)?;
        let first = runtime.block_on(zone::run(&manager, command.clone(), cli.json));
        return match first.as_ref().err().and_then(|failure| zone::leader_endpoint(failure, &endpoint)) {
            // Nothing was changed there: the one that leads is asked the same.
            Some(leader) => {
                let manager = Manager::new(&leader, cli.timeout)?;
                runtime.block_on(zone::run(&manager, command, cli.json))
            }
            None => first,
        };
    }
    let client = Client::new(&endpoint, cli.timeout)?;
    runtime.block_on(run_remote(&client, &endpoint, cli.command, cli.json))
}

async fn run_remote(client: &Client, endpoint: &Endpoint, command: Command, json: bool) -> Result<Report, Failure> {
    match command {
        Command::Status(status) => status::run(client, status, json).await,
        Command::Doctor(Doctor { probe_peers, all, files }) => {
            let asking = Asking { client, endpoint, files: files.as_ref() };
            doctor::run(asking, probe_peers, all, json).await
        }
        Command::SupportBundle(Bundle { output, files }) => {
            let asking = Asking { client, endpoint, files: files.as_ref() };
            support::run(asking, output.as_deref(), json).await
        }
        Command::Bridge(command) => bridge::run(client, command, json).await,
        Command::Tunnel(command) => tunnel::run(client, command, json).await,
        Command::Network(command) => network::run(client, command, json).await,
        Command::Apply(args) => apply::run(client, &args, json).await,
        Command::Export(args) => apply::export_bridges(client, &args, json).await,
        Command::Edit(args) => apply::edit(client, &args, json).await,
        Command::Interface { label } => Report::new(json, &client.interface(&label).await?, show::interface_page),
        Command::Trace(args) => trace::run(client, &args, json).await,
        Command::Reconcile { dry_run: true } => {
            Report::new(json, &client.dry_run().reconcile().await?, show::plan_page)
        }
        Command::Reconcile { dry_run: false } => {
            let answer = client.reconcile().await?;
            Ok(Report::new(json, &answer, show::reconcile_page)?.wrong_if(!answer.failed.is_empty()))
        }
        Command::Takeover { bridges, dry_run } => takeover::run(client, &bridges, dry_run, json).await,
        Command::Epoch(command) => epoch::run(client, command, json).await,
        Command::Log(command) => log::run(client, command, json).await,
        Command::Release(EndOfBridge { name, dry_run, yes, if_exists }) => {
            let removal = Removal { what: format!("bridge {name}"), if_exists, json };
            if dry_run {
                return removal.planned_report(&client.dry_run().release_bridge(&name).await?);
            }
            confirm::confirm_release(client, &name, yes).await?;
            removal.released_report(&name, &client.release_bridge(&name).await?)
        }
        Command::Logs(args) => logs::run(client, endpoint, &args).await,
        Command::Version { .. } => version::run(client, json).await,
        // They need no daemon and were run before there was a client.
        Command::Pki(pki) => pki::run(&pki.command, json),
        Command::Completion { shell } => complete::completion_script(shell).map(Report::from_text),
        Command::Zone(_) | Command::Join(_) | Command::Renew(_) => {
            Err(Failure::Usage("the zone is the manager's".to_owned()))
        }
    }
}

/// In the way of clap's own complaints, which it ends with status 2.
fn usage_error(text: &str) -> ExitCode {
    let error = Cli::command().error(ErrorKind::MissingRequiredArgument, text);
    let _ = error.print();
    ExitCode::from(2)
}
