//! `zone open`: a link for a browser without a certificate.
//!
//! What it must not do: start a browser; the link may be for somebody else's.

use clap::{Args, ValueEnum};
use ovstunnel_manager_api::{Link, LinkRole};

use crate::cli::show::Page;
use crate::cli::{Failure, Report};
use crate::client::Manager;

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct OpenArgs {
    /// What the browser may; what you may where it is not given, but no more than an operator.
    #[arg(long, value_enum)]
    role: Option<RoleWord>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleWord {
    /// Look.
    Viewer,
    /// Act.
    Operator,
    /// Everything.
    Admin,
}

impl From<RoleWord> for LinkRole {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Viewer => LinkRole::Viewer,
            RoleWord::Operator => LinkRole::Operator,
            RoleWord::Admin => LinkRole::Admin,
        }
    }
}

pub(super) async fn open_page(manager: &Manager, args: OpenArgs, json: bool) -> Result<Report, Failure> {
    let mut link = manager.link(args.role.map(Into::into)).await?;
    // The name by which the manager was reached from here is the one that works.
    if manager.peer().starts_with("https://") {
        link.url = format!("{}{}", manager.peer().trim_end_matches('/'), link.path);
    }
    Report::new(json, &link, link_page)
}

fn link_page(link: &Link) -> Page {
    let mut page = Page::new();
    page.line(&link.url);
    page.line(format!(
        "lets one browser in, once, within {} min; role: {}. Whoever has it can follow it.",
        link.ends_in / 60,
        link.role
    ));
    page
}
