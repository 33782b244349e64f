//! The program: reads the command line and the configuration, puts the daemon's parts together, and ends them in order.
//!
//! What it must not do: answer a request, or change the switch; it is the only room that knows all others.

mod kinds;
mod life;
mod once;
mod publisher;
mod reload;
mod service;
mod underlay;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use ovstunnel_server::access::Access;
use ovstunnel_server::logging::{self, Logging};

use self::reload::Reloader;
use self::service::Service;
use crate::cli::Cli;
use crate::config::{Config, DEFAULT_LOG, DEFAULT_PATH, check};
use crate::writer::lock::Seat;

pub use service::{assemble_forgetting, assemble_routes};

/// By which it speaks on standard error, and the crate whose modules `[log] level` names.
const PROGRAM: &str = "ovstunneld";

type Failure = Box<dyn std::error::Error>;

/// Requests mostly wait for Open vSwitch: a second thread is for handshakes while one plans a large change.
const WORKERS: usize = 2;

/// For reading certificates and the like; each costs memory only while it is needed.
const BLOCKING_THREADS: usize = 4;

/// Bytes of stack of each thread.
const STACK: usize = 1024 * 1024;

/// Runs the daemon by the command line of this process, until it is told to end.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run_command(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            logging::report_failure(PROGRAM, &e.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run_command(cli: &Cli) -> Result<(), Failure> {
    let config = Config::load(cli.config.as_deref()).inspect_err(|error| {
        // Without a configuration there is no log yet; whoever looks for the reason looks there.
        if !cli.check {
            let (file, usual) = match &cli.config {
                Some(file) => (file.as_path(), None),
                None => (Path::new(DEFAULT_PATH), Some(Path::new(DEFAULT_LOG))),
            };
            logging::last_words(PROGRAM, file, usual, &error.to_string());
        }
    })?;
    if cli.check {
        let checked = check::with_log(&config)?;
        println!("{}", checked.sentence);
        checked.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
        return Ok(());
    }
    let logging = Arc::new(logging::init_logging(PROGRAM, &config.log)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .event_interval(ovstunnel_server::listen::EVENT_INTERVAL)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_stack_size(STACK)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        match cli.once {
            true => once::reconcile_once(&config).await.map_err(Failure::from),
            false => run_service(&config, cli, Arc::clone(&logging)).await,
        }
    });
    runtime.shutdown_background();
    ended.inspect_err(log_start_failure)
    // `logging` goes last, and writes out what waits.
}

async fn run_service(config: &Config, cli: &Cli, logging: Arc<Logging>) -> Result<(), Failure> {
    let access = Access::open(config.https_listener().map(|(_, files)| files))?;
    check::tell_of_certificates(config);
    // Held to the end. Nobody shares a simulated switch.
    let _seat = if cli.simulate { None } else { Some(Seat::take_seat(&config.ovs.rundir)?) };
    let (app, service) =
        Service::start(config, cli.config.as_deref(), cli.simulate, access.clone(), Arc::clone(&logging)).await?;
    let (file, tuner) = (cli.config.clone(), service.tuner());
    let reloader = Reloader { file, config: config.clone(), access, logging, tuner };
    let settled = service.first_run_done();
    life::serve_until_signal(config, reloader, app, settled).await?;
    service.finish().await;
    Ok(())
}

/// Into the log too; standard error gets the sentence from `main`.
fn log_start_failure(e: &Failure) {
    tracing::error!(target: logging::LAST_WORDS, error = %e, "cannot run");
}
