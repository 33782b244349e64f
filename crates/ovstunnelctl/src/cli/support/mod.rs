//! `support-bundle`: one archive for a bug report.
//!
//! What it does: takes the daemon's parts, adds what can be read without it, leaves out what is secret, keeps the whole within
//! a limit, and writes one file for its owner only. What it must not do: overwrite a file, or read a key or any file but those
//! that are named here.

mod local;

use std::path::{Path, PathBuf};

use ovstunnel_bundle::{
    Part, create_archive, file_timestamp, host_name, host_versions, redact_and_bound, write_archive,
};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::doctor::{Asking, examine_host};
use super::show::Page;
use super::{Failure, Report};
use crate::client::{ClientError, Endpoint};

/// The JSON of `support-bundle`.
#[derive(Debug, Serialize)]
struct Bundle {
    file: PathBuf,
    /// Bytes of the file.
    size: u64,
    /// Names of what is in it.
    parts: Vec<String>,
    /// Why the daemon gave nothing, where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    without_daemon: Option<String>,
}

pub(super) async fn run(asking: Asking<'_>, output: Option<&Path>, json: bool) -> Result<Report, Failure> {
    if let Endpoint::Https { .. } = asking.endpoint {
        return Err(Failure::Usage("support-bundle is made on the host itself, as root: leave --url out".to_owned()));
    }
    let now = OffsetDateTime::now_utc();
    let name = format!("ovstunnel-support-{}-{}", host_name(), file_timestamp(now));
    let file = output.map_or_else(|| PathBuf::from(format!("{name}.tar.gz")), Path::to_owned);
    let failed = |source| Failure::File { action: "write", path: file.clone(), source };
    // Before anybody waits for the rest.
    let new = create_archive(&file).map_err(failed)?;
    let (parts, without_daemon) = collect_parts(asking, now).await;
    let names = parts.iter().map(|part| part.name.clone()).collect();
    let size = write_archive(new, &name, &parts, now).map_err(|error| {
        let _ = std::fs::remove_file(&file);
        failed(error)
    })?;
    let bundle = Bundle { file, size, parts: names, without_daemon };
    Report::new(json, &bundle, bundle_page)
}

/// All parts, without secrets and within the limit; and why the daemon's are missing.
async fn collect_parts(asking: Asking<'_>, now: OffsetDateTime) -> (Vec<Part>, Option<String>) {
    let (mut parts, error) = match asking.client.support().await {
        Ok(answer) => (answer.parts.into_iter().map(|part| Part::new(&part.name, part.text)).collect(), None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let without = error.as_ref().map(in_words);
    if without.is_some() {
        let found = examine_host(asking, false).await.map_err(|error| in_words(&error));
        let found = found.and_then(|found| serde_json::to_string_pretty(&found).map_err(|error| error.to_string()));
        parts.push(Part::new("doctor.json", found.unwrap_or_else(|error| error)));
        parts.push(Part::new("log.txt", local::log_end(asking.files.log)));
        parts.push(Part::new("audit.txt", local::log_end(&local::audit_beside(asking.files.log))));
    }
    parts.push(Part::new("configuration-file.txt", local::redacted_config(asking.files.config)));
    parts.push(Part::new("host.txt", host_versions(concat!("ovstunnelctl ", env!("CARGO_PKG_VERSION")))));
    parts.push(Part::new("README.txt", readme_text(now, without.as_deref())));
    (redact_and_bound(parts), without)
}

fn in_words(error: &ClientError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn readme_text(now: OffsetDateTime, without: Option<&str>) -> String {
    let at = now.format(&Rfc3339).unwrap_or_default();
    let daemon =
        without.map_or_else(|| "The daemon answered.".to_owned(), |why| format!("The daemon gave nothing: {why}"));
    format!(
        "Made by ovstunnelctl {} at {at}.\n{daemon}\n\nNo private key, password or token is in it; what looked like one is marked as left out.\n\
         There are addresses, names of hosts, networks and VIFs in it: look it through before it is given to anybody.\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn bundle_page(bundle: &Bundle) -> Page {
    let mut page = Page::default();
    if let Some(why) = &bundle.without_daemon {
        page.line(format!("The daemon gave nothing ({why}): what can be read without it is in the bundle."));
    }
    page.line(format!(
        "Wrote {} ({} KiB, {} parts), readable by its owner only.",
        bundle.file.display(),
        bundle.size.div_ceil(1024),
        bundle.parts.len()
    ));
    page.line("No key is in it, but addresses and names of hosts and networks are: look it through before it leaves your hands.");
    page
}
