//! `log …`: the daemon's log.

use ovstunnel_api::LogAnswer;

use super::args::LogCommand;
use super::show::Page;
use super::{Failure, Report};
use crate::client::Client;

pub(super) async fn run(client: &Client, command: LogCommand, json: bool) -> Result<Report, Failure> {
    let LogCommand::Level { level } = command;
    let answer = match level {
        Some(level) => client.set_log_level(&level).await?,
        None => client.log().await?,
    };
    Report::new(json, &answer, log_page)
}

fn log_page(log: &LogAnswer) -> Page {
    let mut page = Page::new();
    let level = match log.level == log.configured_level {
        true => log.level.clone(),
        false => format!("{} (until SIGHUP or a restart; configured: {})", log.level, log.configured_level),
    };
    let file = format!("{} ({}; a new one at {} KiB, and one older)", log.file, log.format, log.max_size / 1024);
    page.pairs(&[("Level", level), ("File", file), ("Lines lost", log.lines_lost.to_string())]);
    page
}
