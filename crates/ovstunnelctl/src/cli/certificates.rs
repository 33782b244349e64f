//! `pki renew` and `pki show`: from options to certificates, and what they say as a page or JSON.

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::pki_args::Renew;
use super::show::Page;
use super::{Failure, Report};
use crate::pki::{self, Authority, Details, Key, Name, Purpose, Renewed};

/// A time as text.
pub(super) fn format_rfc3339(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_else(|_| at.to_string())
}

/// The JSON of `pki renew`.
#[derive(Debug, Serialize)]
struct RenewedList {
    renewed: Vec<RenewedOne>,
}

#[derive(Debug, Serialize)]
struct RenewedOne {
    certificate: String,
    key: String,
    new_key: bool,
    names: Vec<String>,
    /// RFC 3339, UTC.
    not_after: String,
    /// It expires together with its CA, earlier than asked for.
    shortened: bool,
    /// Where the old files are now.
    kept: Vec<String>,
}

pub(super) fn renew_certificate(renew: &Renew, now: OffsetDateTime, json: bool) -> Result<Report, Failure> {
    let renewed = match renew.authority {
        true => vec![Authority::renew_authority(&renew.dir, renew.days.unwrap_or(pki::CA_DAYS), now)?],
        false => renew_leaves(renew, now)?,
    };
    let list = RenewedList { renewed: renewed.iter().map(renewed_report).collect() };
    Report::new(json, &list, |list| renewed_page(list, renew.authority))
}

fn renew_leaves(renew: &Renew, now: OffsetDateTime) -> Result<Vec<Renewed>, Failure> {
    let days = renew.days.unwrap_or(pki::LEAF_DAYS);
    if days > pki::LEAF_DAYS {
        let most = pki::LEAF_DAYS;
        return Err(Failure::Usage(format!(
            "--days {days}: a host's or client's certificate lives {most} days at most"
        )));
    }
    let authority = Authority::open(&renew.dir)?;
    let names = match renew.due {
        Some(due) => names_due(renew, due, now)?,
        None => renew.names.clone(),
    };
    let key = if renew.new_key { Key::New } else { Key::Same };
    Ok(names.iter().map(|name| authority.renew_certificate(name, key, days, now)).collect::<Result<_, _>>()?)
}

/// The names of those that expire within `due` days.
fn names_due(renew: &Renew, due: u32, now: OffsetDateTime) -> Result<Vec<Name>, Failure> {
    let all = pki::read_details(&renew.dir)?;
    let due = all.iter().filter(|one| one.purpose != Purpose::Ca && one.days_left(now) < i64::from(due));
    // Files of other names than `pki issue` gives are not its own.
    Ok(due.filter_map(|one| one.file.file_name()?.to_str()?.strip_suffix(".crt")?.parse().ok()).collect())
}

fn renewed_report(renewed: &Renewed) -> RenewedOne {
    let written = &renewed.written;
    RenewedOne {
        certificate: written.certificate.display().to_string(),
        key: written.key.display().to_string(),
        new_key: renewed.key == Key::New,
        names: written.names.clone(),
        not_after: format_rfc3339(written.not_after),
        shortened: written.shortened,
        kept: renewed.kept.iter().map(|file| file.display().to_string()).collect(),
    }
}

fn renewed_page(list: &RenewedList, ca: bool) -> Page {
    let mut page = Page::default();
    for one in &list.renewed {
        page.line(format!(
            "Renewed: {} (valid until {})",
            one.certificate,
            &one.not_after[..10.min(one.not_after.len())]
        ));
        if one.new_key {
            page.line(format!("         {} (new private key, readable by its owner only)", one.key));
        }
        page.line(format!("Kept:    {}", one.kept.join(", ")));
        if one.shortened {
            page.line("It expires earlier than asked for: together with its CA.");
        }
    }
    match (list.renewed.is_empty(), ca) {
        (true, _) => page.line("None is due."),
        (false, true) => {
            page.line("");
            page.line("Copy ca.crt in the old one's place to every host and every client, then `systemctl reload ovstunneld`.");
        }
        (false, false) => {
            page.line("");
            page.line("Copy each into the old one's place, then `systemctl reload ovstunneld` on a host.");
        }
    }
    page
}

/// The JSON of `pki show`.
#[derive(Debug, Serialize)]
struct Shown {
    certificates: Vec<ShownOne>,
}

#[derive(Debug, Serialize)]
struct ShownOne {
    file: String,
    /// `ca`, `host`, `client` or `other`.
    purpose: &'static str,
    /// Common name: what `[[tls.clients]] name` is compared with.
    name: Option<String>,
    subject: String,
    names: Vec<String>,
    issuer: String,
    serial: String,
    /// RFC 3339, UTC.
    not_before: String,
    /// RFC 3339, UTC.
    not_after: String,
    /// Negative where it has expired.
    days_left: i64,
    /// `valid`, `expired` or `not yet valid`.
    state: &'static str,
    key: String,
    /// SHA-256.
    fingerprint: String,
}

pub(super) fn show_certificates(
    paths: &[std::path::PathBuf],
    now: OffsetDateTime,
    json: bool,
) -> Result<Report, Failure> {
    let mut all = Vec::new();
    for path in paths {
        all.extend(pki::read_details(path)?);
    }
    let shown = Shown { certificates: all.iter().map(|one| shown_one(one, now)).collect() };
    let wrong = shown.certificates.iter().any(|one| one.state != "valid");
    Ok(Report::new(json, &shown, |shown| shown_page(&shown.certificates))?.wrong_if(wrong))
}

fn shown_one(one: &Details, now: OffsetDateTime) -> ShownOne {
    ShownOne {
        file: one.file.display().to_string(),
        purpose: one.purpose.as_str(),
        name: one.name.clone(),
        subject: one.subject.clone(),
        names: one.names.clone(),
        issuer: one.issuer.clone(),
        serial: one.serial.clone(),
        not_before: format_rfc3339(one.not_before),
        not_after: format_rfc3339(one.not_after),
        days_left: one.days_left(now),
        state: one.validity_state(now),
        key: one.key.clone(),
        fingerprint: one.fingerprint.clone(),
    }
}

/// All that one says, or a table of several.
fn shown_page(all: &[ShownOne]) -> Page {
    let mut page = Page::new();
    match all {
        [] => page.line("No certificates."),
        [one] => page.pairs(&[
            ("File", one.file.clone()),
            ("For", one.purpose.to_owned()),
            ("Name", one.name.clone().unwrap_or_default()),
            ("Subject", one.subject.clone()),
            ("Valid for", one.names.join(", ")),
            ("Issuer", one.issuer.clone()),
            ("Serial", one.serial.clone()),
            ("Validity", format!("{} to {}", one.not_before, one.not_after)),
            ("Days left", time_left(one)),
            ("Key", one.key.clone()),
            ("SHA-256", one.fingerprint.clone()),
        ]),
        several => {
            let header = ["FILE", "FOR", "NAME", "VALID FOR", "ISSUER", "UNTIL", "DAYS LEFT", "KEY", "SHA-256"];
            page.table(&header, &[6], several.iter().map(certificate_row).collect());
        }
    }
    page
}

fn certificate_row(one: &ShownOne) -> Vec<String> {
    let file = std::path::Path::new(&one.file).file_name().map(|name| name.to_string_lossy().into_owned());
    vec![
        file.unwrap_or_else(|| one.file.clone()),
        one.purpose.to_owned(),
        one.name.clone().unwrap_or_default(),
        one.names.join(","),
        one.issuer.clone(),
        one.not_after.chars().take(10).collect(),
        time_left(one),
        one.key.clone(),
        // Enough to tell two apart; all of it is in the JSON.
        one.fingerprint.chars().take(11).collect(),
    ]
}

fn time_left(one: &ShownOne) -> String {
    match one.state {
        "valid" => one.days_left.to_string(),
        state => format!("{} ({})", one.days_left, state.to_uppercase()),
    }
}
