//! `zone token`: by what hosts join. Must not keep a token's text: it is told once.

use std::time::Duration;

use clap::Subcommand;
use ovstunnel_manager_api::{NewToken, PostToken, Token};

use super::examples;
use crate::cli::show::{Page, Row, Tone};
use crate::cli::{Failure, Report, values};
use crate::client::Manager;

#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum TokenCommand {
    /// Make a token by which so many hosts may join within a time. Its text is told this once.
    #[command(after_help = examples::TOKEN_CREATE)]
    Create {
        /// How many hosts may join by it: 1 to 1000.
        #[arg(long, value_parser = values::within(1..=1000))]
        hosts: u32,
        /// For how long, such as 1h or 2days; at most 7 days.
        #[arg(long, value_name = "TIME", value_parser = lifetime)]
        ttl: Duration,
    },
    /// List the tokens that are kept, without their text.
    #[command(after_help = examples::TOKEN_LIST)]
    List,
    /// Take a token away: nobody joins by it any more. Hosts that have joined stay.
    #[command(after_help = examples::TOKEN_REMOVE)]
    Remove {
        /// Its id: what its text begins with.
        #[arg(value_parser = values::zone_name)]
        id: String,
    },
}

/// Whole seconds, 1 s to 7 days.
fn lifetime(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|e| format!("{e}; expected a time such as 1h"))?;
    let allowed = Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 3600);
    match allowed.contains(&time) {
        true => Ok(time),
        false => Err("must be 1 s to 7 days".to_owned()),
    }
}

pub(super) async fn run_tokens(manager: &Manager, command: TokenCommand, json: bool) -> Result<Report, Failure> {
    match command {
        TokenCommand::Create { hosts, ttl } => {
            let ttl = u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX);
            let made = manager.post_token(&PostToken { hosts, ttl }).await?;
            let peer = manager.peer().to_owned();
            Report::new(json, &made, |made| created_page(made, &peer))
        }
        TokenCommand::List => Report::new(json, &manager.tokens().await?, |list| token_page(&list.tokens)),
        TokenCommand::Remove { id } => Report::new(json, &manager.delete_token(&id).await?, |token| {
            let mut page = Page::new();
            page.line(format!(
                "token {}: removed; {} of {} hosts had joined by it",
                token.id,
                token.hosts - token.left,
                token.hosts
            ));
            page
        }),
    }
}

fn created_page(made: &NewToken, peer: &str) -> Page {
    let url = if peer.starts_with("https://") { peer.trim_end_matches('/') } else { "https://MANAGER:8444" };
    let (mut page, token) = (Page::new(), &made.token);
    page.line(&made.text);
    page.line(format!(
        "lets {} hosts in until {}. It is told this once; whoever has it can join. On each host, as root:",
        token.hosts, token.ends
    ));
    page.line(format!("  ovstunnelctl join --manager {url} --token -"));
    page
}

fn token_page(tokens: &[Token]) -> Page {
    let mut page = Page::new();
    if tokens.is_empty() {
        page.line("No token is kept: `ovstunnelctl zone token create` makes one.");
        return page;
    }
    let row = |token: &Token| {
        let cells = vec![
            token.id.clone(),
            token.state.clone(),
            format!("{} of {}", token.left, token.hosts),
            token.ends.clone(),
            token.by.clone(),
        ];
        Row { cells, tone: Tone::Plain }
    };
    page.table(&["ID", "STATE", "HOSTS LEFT", "ENDS", "MADE BY"], &[], tokens.iter().map(row).collect());
    page
}
