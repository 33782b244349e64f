//! `renew`: a host that has joined gets its certificate renewed in its last third, by its key, and its daemon reads it, which moves no frame.
//!
//! What it does: asks the zone's manager, whom the CA vouches for that is kept here, and puts certificate and CA in the old ones' place.
//! What it must not do: make another key, or restart the daemon.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use ovstunnel_manager_api::{PostRenewal, Renewed};
use serde::Serialize;

use super::certificates::format_rfc3339;
use super::join::{keeps, programs};
use super::show::Page;
use super::{Failure, Report};
use crate::client::{ClientError, Endpoint, Joining, Url};
use crate::pki::{Rotation, replace_ca};

#[derive(Args, Clone, Debug)]
pub(super) struct Renew {
    /// Renew it also before its last third; not while more than two thirds of its time are left.
    #[arg(long)]
    force: bool,
    /// Where the zone's manager listens: https://HOST:8444; more than once for more of them. It is kept. Without, what `join` kept.
    #[arg(long, value_name = "URL", value_parser = Endpoint::parse_url)]
    manager: Vec<Url>,
    /// The daemon's configuration, where certificate, key and CA are named.
    #[arg(long, value_name = "FILE", default_value = "/etc/ovstunnel/ovstunneld.toml")]
    config: PathBuf,
    /// Leave the daemon with the certificate that it has.
    #[arg(long)]
    no_reload: bool,
}

/// The JSON of `renew`.
#[derive(Debug, Serialize)]
struct Done<'a> {
    certificate: &'a Path,
    ca: &'a Path,
    /// Whether the certificate is another one now.
    renewed: bool,
    /// Whether the CAs that are trusted are others now.
    ca_changed: bool,
    /// When it expires: RFC 3339, UTC.
    expires: String,
    /// From when on it will be renewed.
    due_from: String,
    /// The daemon has read them.
    reloaded: bool,
}

/// The files that the daemon's configuration names.
#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    ca: PathBuf,
}

pub(super) async fn renew(args: &Renew, timeout: Duration, json: bool) -> Result<Report, Failure> {
    let files = Files::read(&args.config)?;
    let folder = files.certificate.parent().unwrap_or(Path::new("/")).to_owned();
    let managers = if args.manager.is_empty() { keeps::managers(&folder)? } else { args.manager.clone() };
    let rotation = Rotation::of(&files.certificate, &files.key)?;
    let body = PostRenewal { csr: rotation.request()?, early: args.force };
    let path = files.ca.clone();
    let ca = std::fs::read_to_string(&path).map_err(|source| Failure::File { action: "read", path, source })?;
    let answer = ask_all(&managers, &ca, &body, timeout).await.map_err(Failure::Manager)?;

    let is_known = keeps::unread(&folder).exists();
    // First: what is written and then cannot be read by the daemon is found the next time.
    let note = keeps::note_unread(&folder)?;
    let ca_changed = replace_ca(&files.ca, &answer.ca)?.is_some();
    let renewed = rotation.finish(&answer.certificate, &answer.ca)?.is_some();
    let after = |what: String| Failure::Renewed { what };
    if !args.manager.is_empty() {
        keeps::write(&folder, &args.manager).map_err(after)?;
    }
    let is_new = ca_changed || renewed || is_known;
    let reloaded = is_new && !args.no_reload && programs::has_systemd() && programs::reload().map_err(after)?;
    let _ = std::fs::remove_file(note);
    let now = Rotation::of(&files.certificate, &files.key)?;
    let (expires, due_from) = (format_rfc3339(now.details().not_after), format_rfc3339(now.due_from()));
    let Files { certificate, ca, .. } = &files;
    Report::new(json, &Done { certificate, ca, renewed, ca_changed, expires, due_from, reloaded }, page)
}

/// Asks one manager after the other until one answers.
async fn ask_all(managers: &[Url], ca: &str, body: &PostRenewal, timeout: Duration) -> Result<Renewed, ClientError> {
    let mut last = None;
    for manager in managers {
        match Joining::by(manager, ca.to_owned(), timeout)?.renew(body).await {
            Err(error) if !error.was_answered() => last = Some(error),
            told => return told,
        }
    }
    // There is one at least.
    Err(last.unwrap_or_else(|| unreachable!("no manager was asked")))
}

impl Files {
    fn read(config: &Path) -> Result<Files, Failure> {
        let path = config.to_owned();
        let text = std::fs::read_to_string(config).map_err(|source| Failure::File { action: "read", path, source })?;
        let bad = |what: String| Failure::Document(format!("{}: {what}; nothing was changed", config.display()));
        let table: toml::Table = toml::from_str(&text).map_err(|e| bad(e.message().to_owned()))?;
        let file = |key: &str| {
            let found = table.get("tls").and_then(|tls| tls.get(key)).and_then(toml::Value::as_str);
            found
                .map(PathBuf::from)
                .ok_or_else(|| bad(format!("`{key}` in [tls] is missing: this host has not joined")))
        };
        Ok(Files { certificate: file("certificate")?, key: file("key")?, ca: file("client_ca")? })
    }
}

fn page(done: &Done) -> Page {
    let mut page = Page::new();
    match done.renewed {
        true => page.line(format!("Renewed: {} (until {})", done.certificate.display(), done.expires)),
        false => page.line(format!("{} is not due: until {}", done.certificate.display(), done.expires)),
    }
    if done.ca_changed {
        page.line(format!("Wrote:   {}, the CAs of the zone as they are now", done.ca.display()));
    }
    page.line(format!("It is renewed from {} on.", done.due_from));
    if (done.renewed || done.ca_changed) && !done.reloaded {
        page.line("The daemon takes it up when it is reloaded: systemctl reload ovstunneld");
    }
    page
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn no_certificates_configured_means_the_host_has_not_joined() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.toml");
        for (text, word) in [
            ("[api]\nlisten = \"off\"\n", "`certificate` in [tls] is missing: this host has not joined"),
            ("[tls]\ncertificate = \"/k/h1.crt\"\n", "`key` in [tls] is missing"),
            ("[tls", "nothing was changed"),
        ] {
            std::fs::write(&path, text).unwrap();
            let said = Files::read(&path).unwrap_err().to_string();
            assert!(said.contains(word), "{said}");
        }
        std::fs::write(&path, "[tls]\ncertificate = \"/k/h1.crt\"\nkey = \"/k/h1.key\"\nclient_ca = \"/k/ca.crt\"\n")
            .unwrap();
        assert_eq!(Files::read(&path).unwrap().ca, Path::new("/k/ca.crt"));
    }
}
