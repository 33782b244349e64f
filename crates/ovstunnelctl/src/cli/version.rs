//! `version`: of this command, of the daemon, and of the switch that it drives.

use serde::Serialize;

use super::show::{Page, Tone};
use super::{Failure, Report};
use crate::client::Client;

/// The version of this command.
const OURS: &str = env!("CARGO_PKG_VERSION");

/// The JSON of `version`.
#[derive(Debug, Serialize)]
struct Versions {
    ovstunnelctl: &'static str,
    /// Absent with `--client`.
    #[serde(skip_serializing_if = "Option::is_none")]
    ovstunneld: Option<String>,
    /// Of Open vSwitch; absent where the daemon does not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    ovs: Option<String>,
    /// Socket or URL of the daemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    daemon: Option<String>,
}

/// Of this command alone.
pub(super) fn client_alone(json: bool) -> Result<Report, Failure> {
    Report::new(json, &Versions { ovstunnelctl: OURS, ovstunneld: None, ovs: None, daemon: None }, version_page)
}

pub(super) async fn run(client: &Client, json: bool) -> Result<Report, Failure> {
    match client.readyz().await {
        Ok(ready) => {
            let (daemon, ovs) = (Some(client.peer().to_owned()), ready.ovs_version);
            Report::new(
                json,
                &Versions { ovstunnelctl: OURS, ovstunneld: Some(ready.version), ovs, daemon },
                version_page,
            )
        }
        Err(error) => {
            // What can be told without the daemon comes before its silence.
            if !json {
                client_alone(false)?.print()?;
            }
            Err(error.into())
        }
    }
}

fn version_page(versions: &Versions) -> Page {
    let Versions { ovstunnelctl, ovstunneld, ovs, daemon } = versions;
    let mut page = Page::new();
    let mut pairs = vec![("ovstunnelctl", (*ovstunnelctl).to_owned())];
    if let (Some(version), Some(peer)) = (ovstunneld, daemon) {
        pairs.push(("ovstunneld", format!("{version} ({peer})")));
        pairs.push(("Open vSwitch", ovs.clone().unwrap_or_else(|| "unknown".to_owned())));
    }
    page.pairs(&pairs);
    if ovstunneld.as_ref().is_some_and(|version| version != ovstunnelctl) {
        page.verdict(Tone::Warn, "WARN", "  they differ: restart the daemon after an upgrade; no VM notices");
    }
    page
}
