//! `ovstunnel-manager`: reads the command line and the configuration, then runs the manager. Must not do more than that.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use ovstunnel_api::Level;
use ovstunnel_manager::cli::{Cli, Command, Doctor, Export, Import, Rebuild};
use ovstunnel_manager::config::{Config, DEFAULT_LOG, DEFAULT_PATH};
use ovstunnel_manager::doctor::{local, text};
use ovstunnel_manager::export::{self, Wanted};
use ovstunnel_manager::import::{ImportError, compare_zone};
use ovstunnel_manager::rebuild;
use ovstunnel_manager::reload::Reloader;
use ovstunnel_manager::service::{Service, Surroundings};
use ovstunnel_manager::{bundle, check, store};
use ovstunnel_server::access::Access;
use ovstunnel_server::life::Life;
use ovstunnel_server::logging::{self, Logging};

/// By which it speaks on standard error, and the crate whose modules `[log] level` names.
const PROGRAM: &str = "ovstunnel_manager";

/// How `doctor` ends where it could not look.
const NOT_KNOWN: u8 = 3;

/// How `import` and `export` end where something differs and was not written.
const DIFFERS: u8 = 3;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run_command(&cli) {
        Ok(code) => code,
        Err(error) => {
            logging::report_failure("ovstunnel-manager", &error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run_command(cli: &Cli) -> Result<ExitCode, Failure> {
    if cli.check && cli.command.is_some() {
        return Err("--check and a command exclude each other: give one of them".into());
    }
    if let Some(Command::Doctor(wanted)) = &cli.command {
        return build_runtime()?.block_on(run_doctor(cli.config.as_deref(), *wanted));
    }
    if let Some(Command::SupportBundle(wanted)) = &cli.command {
        let written =
            build_runtime()?.block_on(bundle::write_bundle(cli.config.as_deref(), wanted.output.as_deref()))?;
        std::io::stdout().write_all(written.summary_text().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::load(cli.config.as_deref()).inspect_err(|error| {
        // Without a configuration there is no log yet; whoever looks for the reason looks there.
        if !cli.check && cli.command.is_none() {
            let (file, usual) = match &cli.config {
                Some(file) => (file.as_path(), None),
                None => (Path::new(DEFAULT_PATH), Some(Path::new(DEFAULT_LOG))),
            };
            logging::last_words("ovstunnel-manager", file, usual, &error.to_string());
        }
    })?;
    let runtime = build_runtime()?;
    if let Some(Command::Import(wanted)) = &cli.command {
        return runtime.block_on(run_import(&config, wanted));
    }
    if let Some(Command::Export(wanted)) = &cli.command {
        return runtime.block_on(run_export(&config, wanted));
    }
    if let Some(Command::Backup(wanted)) = &cli.command {
        runtime.block_on(store::backup_zone(&config, &wanted.to))?;
        println!("written: {}", wanted.to.display());
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(Command::Restore(wanted)) = &cli.command {
        let before = runtime.block_on(store::restore_zone(&config, &wanted.from))?;
        println!("restored: {}", wanted.from.display());
        before.iter().for_each(|before| println!("the database before is {}", before.display()));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(Command::Rebuild(wanted)) = &cli.command {
        let Rebuild { hosts, without, apply } = wanted;
        let wanted = rebuild::Wanted { hosts, without, apply: *apply };
        let page = runtime.block_on(rebuild::rebuild_zone(&config, wanted))?.to_text();
        std::io::stdout().write_all(page.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    if cli.check {
        let checked = runtime.block_on(check::check_config(&config))?;
        println!("{}", checked.sentence);
        checked.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
        return Ok(ExitCode::SUCCESS);
    }
    let logging = Arc::new(logging::init_logging(PROGRAM, &config.log)?);
    let ended = runtime.block_on(run_service(&config, cli.config.as_deref(), Arc::clone(&logging)));
    runtime.shutdown_background();
    // Into the log too; standard error gets the sentence from `main`.
    ended.inspect_err(|error| tracing::error!(target: logging::LAST_WORDS, %error, "cannot run"))?;
    Ok(ExitCode::SUCCESS)
}

fn build_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).event_interval(ovstunnel_server::listen::EVENT_INTERVAL).enable_all().build()
}

async fn run_doctor(file: Option<&Path>, wanted: Doctor) -> Result<ExitCode, Failure> {
    let found = match local::examine_manager(file).await {
        Ok(found) => found,
        Err(error) => {
            logging::report_failure("ovstunnel-manager", &error.to_string());
            return Ok(ExitCode::from(NOT_KNOWN));
        }
    };
    let page =
        if wanted.json { serde_json::to_string_pretty(&found)? + "\n" } else { text::render_page(&found, wanted.all) };
    std::io::stdout().write_all(page.as_bytes())?;
    Ok(ExitCode::from(match found.level {
        Level::Ok => 0,
        Level::Warn => 1,
        Level::Fail => 2,
    }))
}

async fn run_import(config: &Config, wanted: &Import) -> Result<ExitCode, Failure> {
    if !wanted.dry_run {
        return Err(ImportError::OnlyDry.into());
    }
    let report = compare_zone(config, wanted.zone.as_deref()).await?;
    let page = if wanted.json { report.to_json()? + "\n" } else { report.to_text() };
    std::io::stdout().write_all(page.as_bytes())?;
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}

async fn run_export(config: &Config, wanted: &Export) -> Result<ExitCode, Failure> {
    let Export { apply, ref zone, states } = *wanted;
    let wanted = Wanted { zone: zone.as_deref(), states, apply, patience: export::PATIENCE };
    let done = export::export(config, wanted).await?;
    std::io::stdout().write_all(done.sql()?.as_bytes())?;
    let is_as_told = done.is_written || done.plan.items.is_empty();
    Ok(if is_as_told { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}

async fn run_service(config: &Config, file: Option<&Path>, logging: Arc<Logging>) -> Result<(), Failure> {
    let https = config.https_listener();
    let files = https.as_ref().map(|(_, files)| files);
    let access = if config.lets_visitors_in() { Access::open_to_visitors(files)? } else { Access::open(files)? };
    if https.is_none() {
        tracing::warn!(
            socket = %config.api.socket.display(),
            "HTTPS is off: neither [tls] nor certificate, key and ca under [hosts] are named; serving the Unix socket only"
        );
    }
    check::tell_of_certificates(config);
    let store = store::open_patiently(config).await?;
    let surroundings = Surroundings { file: file.map(Path::to_owned), logging: Some(Arc::clone(&logging)) };
    let (app, service) = Service::start_with(config, store, Some(access.clone()), surroundings).await?;
    let (files, signer, watched) = (https.map(|(_, files)| files), service.signer(), service.watched());
    let reloader = Reloader { files, access: access.clone(), signer, watched, logging };
    let life = Life {
        api: &config.api,
        tls: access.tls_store(),
        version: env!("CARGO_PKG_VERSION"),
        settled: std::future::ready(()),
        count: |_| {},
        reload: || reloader.reload(),
    };
    life.run(app, || {}).await?;
    service.finish().await;
    Ok(())
}
