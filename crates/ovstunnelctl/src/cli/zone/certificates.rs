//! `zone certificates`: when what daemons show expires. Must not judge: `zone doctor` does.

use std::time::{SystemTime, UNIX_EPOCH};

use ovstunnel_manager_api::{Host, HostList};

use crate::cli::bridge_args::Listing;
use crate::cli::show::{Page, Row, Tone};
use crate::cli::{Failure, Report, watch};
use crate::client::Manager;

pub(super) async fn list_certificates(manager: &Manager, listing: Listing, json: bool) -> Result<Report, Failure> {
    let view = listing.resolve_view(json)?;
    watch::repeat_report(watch::Source::Manager(manager), view.watch, async || {
        let mut list = manager.hosts().await?;
        // RFC 3339 in UTC sorts as text does. Those that have shown none are last.
        list.hosts.sort_by_key(|host| (host.certificate_expires.is_none(), host.certificate_expires.clone()));
        let page = |list: &HostList, wide| certificate_page(&list.hosts, wide, view.headers);
        Report::for_list(view.format, &list, page, |list| list.hosts.iter().map(|host| host.name.clone()).collect())
    })
    .await
}

fn certificate_page(hosts: &[Host], wide: bool, headers: bool) -> Page {
    let now = SystemTime::now();
    let mut page = Page::with_headers(headers);
    let row = |host: &Host| {
        let expires = host.certificate_expires.as_deref();
        let days = expires.and_then(|text| days_left(text, now));
        let mut cells = vec![
            host.name.clone(),
            expires.unwrap_or("-").to_owned(),
            days.map_or_else(|| "-".to_owned(), |days| days.to_string()),
        ];
        if wide {
            cells.push(host.api.clone());
        }
        let ends_soon = host.troubles.iter().any(|trouble| trouble.kind == "certificate_expires");
        let tone = match days {
            Some(..0) => Tone::Bad,
            _ if ends_soon => Tone::Warn,
            _ => Tone::Plain,
        };
        Row { cells, tone }
    };
    let mut header = vec!["HOST", "CERTIFICATE EXPIRES", "DAYS LEFT"];
    if wide {
        header.push("API");
    }
    page.table(&header, &[2], hosts.iter().map(row).collect());
    page
}

/// Whole days, less than none where it is over.
fn days_left(expires: &str, now: SystemTime) -> Option<i64> {
    let seconds = |at: SystemTime| i64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok();
    Some((seconds(humantime::parse_rfc3339(expires).ok()?)? - seconds(now)?).div_euclid(86_400))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_certificate_expired_an_hour_ago_has_negative_days_left() {
        let now = UNIX_EPOCH + Duration::from_secs(20_000 * 86_400);
        let of = |text| days_left(text, now);
        assert_eq!(of("2024-10-04T00:00:00Z"), Some(0));
        assert_eq!(of("2024-10-03T23:00:00Z"), Some(-1));
        assert_eq!(of("2024-11-03T12:00:00Z"), Some(30));
        assert_eq!(of("soon"), None);
    }
}
