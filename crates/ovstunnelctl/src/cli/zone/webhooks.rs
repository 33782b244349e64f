//! `zone webhooks`: who is told of what happens, and how far each receiver is. Must not send anything itself: the manager does.

use ovstunnel_manager_api::WebhookState;

use crate::cli::show::{Page, Row, Tone};
use crate::cli::{Failure, Report};
use crate::client::Manager;

pub(super) async fn run_webhooks(manager: &Manager, redeliver: Option<String>, json: bool) -> Result<Report, Failure> {
    let Some(name) = redeliver else {
        return Report::new(json, &manager.webhooks().await?, |list| webhook_page(&list.webhooks));
    };
    let done = manager.redeliver_webhook(&name).await?;
    let is_left = !done.webhook.dead.is_empty();
    let report = Report::new(json, &done, |done| {
        let mut page = Page::new();
        page.line(format!("webhook {name}: {} events taken, {} not", done.taken, done.webhook.dead.len()));
        done.webhook.dead.iter().for_each(|dead| page.line(format!("  event {}: {}", dead.event, dead.why)));
        page
    })?;
    Ok(report.wrong_if(is_left))
}

fn webhook_page(webhooks: &[WebhookState]) -> Page {
    let mut page = Page::new();
    if webhooks.is_empty() {
        page.line("No webhook is configured: see [[webhooks]] in manager.toml.");
        return page;
    }
    let row = |hook: &WebhookState| {
        let dash = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let tone = match (hook.waiting, hook.dead.is_empty()) {
            (None, true) => Tone::Plain,
            (Some(_), _) => Tone::Bad,
            (None, false) => Tone::Warn,
        };
        let cells = vec![
            hook.name.clone(),
            hook.receiver.clone(),
            dash(hook.done),
            dash(hook.waiting),
            hook.dead.len().to_string(),
            hook.error.clone().unwrap_or_else(|| "-".to_owned()),
        ];
        Row { cells, tone }
    };
    let header = ["NAME", "RECEIVER", "DONE", "WAITING", "NOT TAKEN", "LAST ERROR"];
    page.table(&header, &[], webhooks.iter().map(row).collect());
    page
}
