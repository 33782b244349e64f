//! `pki …`: makes certificates, and says what to do with them.

use std::path::Path;

use serde::Serialize;
use time::OffsetDateTime;

use super::certificates::{self, format_rfc3339};
use super::pki_args::{Issue, PkiCommand, Rotate, RotateStep};
use super::show::{Page, printable, quoted};
use super::{Failure, Report};
use crate::pki::{Authority, Leaf, Revoked, Role, Succession, Written, readable_by_others};

/// The JSON of `pki init` and `pki issue`.
#[derive(Debug, Serialize)]
struct Issued<'a> {
    certificate: &'a Path,
    key: &'a Path,
    ca: &'a Path,
    /// DNS names and addresses of a host, the name of a client or of the CA.
    names: &'a [String],
    /// RFC 3339, UTC.
    not_before: String,
    /// RFC 3339, UTC.
    not_after: String,
}

/// The JSON of `pki revoke`.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    list: &'a Path,
    name: &'a str,
    /// Hexadecimal digits.
    serial: &'a str,
    /// Certificates on the list.
    revoked: usize,
    /// `updated`, or `unchanged` where it was on the list already.
    outcome: &'static str,
}

impl<'a> Listed<'a> {
    fn from_revoked(revoked: &'a Revoked) -> Self {
        let outcome = if revoked.already { "unchanged" } else { "updated" };
        Listed { list: &revoked.list, name: &revoked.name, serial: &revoked.serial, revoked: revoked.count, outcome }
    }
}

pub(super) fn run(command: &PkiCommand, json: bool) -> Result<Report, Failure> {
    // Certificates count whole seconds.
    let now = OffsetDateTime::now_utc();
    let now = now.replace_nanosecond(0).unwrap_or(now);
    match command {
        PkiCommand::Init { dir, name, days } => {
            let written = Authority::create(dir, name, *days, now)?;
            let ca = written.certificate.clone();
            written_report(json, &written, &ca, || init_page(&written, dir))
        }
        PkiCommand::Issue(issue) => {
            let authority = Authority::open(&issue.dir)?;
            let Some(leaf) = requested_leaf(issue) else {
                return Err(Failure::Usage("--host, --client or --manager is missing".to_owned()));
            };
            let written = authority.issue_certificate(&leaf, now)?;
            written_report(json, &written, authority.certificate(), || {
                issue_page(&leaf, &written, authority.certificate())
            })
        }
        PkiCommand::Renew(renew) => certificates::renew_certificate(renew, now, json),
        PkiCommand::Rotate(rotate) => rotate_authority(rotate, now, json),
        PkiCommand::Show { paths } => certificates::show_certificates(paths, now, json),
        PkiCommand::Revoke { dir, certificate } => {
            let revoked = Authority::open(dir)?.revoke_certificate(certificate, now)?;
            Report::new(json, &Listed::from_revoked(&revoked), |_| revoke_page(&revoked))
        }
    }
}

/// The JSON of `pki rotate`.
#[derive(Debug, Serialize)]
struct Rotated<'a> {
    /// `updated`, or `unchanged` where the step was done before.
    outcome: &'static str,
    /// The file with the CAs that are trusted now, the one that signs first.
    ca: &'a Path,
    names: &'a [String],
}

fn rotate_authority(rotate: &Rotate, now: OffsetDateTime, json: bool) -> Result<Report, Failure> {
    let Rotate { step, dir, name, days } = rotate;
    if name.is_some() && *step != RotateStep::Begin {
        return Err(Failure::Usage("--name: only `begin` makes a CA".to_owned()));
    }
    let done = match step {
        RotateStep::Begin => Succession::begin(dir, name.as_deref(), *days, now)?,
        RotateStep::Switch => Succession::switch(dir, now)?,
        RotateStep::Finish => Succession::finish(dir, now)?,
    };
    let outcome = if done.changed { "updated" } else { "unchanged" };
    let rotated = Rotated { outcome, ca: &done.certificate, names: &done.names };
    Report::new(json, &rotated, |rotated| rotated_page(*step, rotated))
}

fn rotated_page(step: RotateStep, rotated: &Rotated<'_>) -> Page {
    let mut page = Page::default();
    let names: Vec<String> = rotated.names.iter().map(|name| printable(name)).collect();
    page.line(format!("Trusted:  {} ({})", rotated.ca.display(), names.join(", ")));
    page.line(format!("Signs:    {}", names.first().cloned().unwrap_or_default()));
    page.line("");
    page.line(match step {
        RotateStep::Begin => {
            "Copy ca.crt, and ca.crl where it is used, to every host, manager and client, and reload them. Then `pki rotate switch`."
        }
        RotateStep::Switch => {
            "Copy both again, renew the managers' and clients' certificates and those of hosts that did not join by a token. Then `pki rotate finish`."
        }
        RotateStep::Finish => "Copy ca.crt, and ca.crl where it is used, to every host, manager and client once more, and reload them.",
    });
    page
}

/// What was asked for; clap has seen to it that there is one of the three.
fn requested_leaf(issue: &Issue) -> Option<Leaf> {
    let host = issue.for_host.clone().map(|name| (name, Role::Host { addresses: issue.addresses.clone() }));
    let manager = || issue.manager.clone().map(|name| (name, Role::Manager { addresses: issue.addresses.clone() }));
    let client = || issue.client.clone().map(|name| (name, Role::Client));
    let (name, role) = host.or_else(manager).or_else(client)?;
    Some(Leaf { name, role, days: issue.days })
}

fn written_report(json: bool, written: &Written, ca: &Path, page: impl FnOnce() -> Page) -> Result<Report, Failure> {
    let issued = Issued {
        certificate: &written.certificate,
        key: &written.key,
        ca,
        names: &written.names,
        not_before: format_rfc3339(written.not_before),
        not_after: format_rfc3339(written.not_after),
    };
    Report::new(json, &issued, |_| page())
}

fn init_page(written: &Written, dir: &Path) -> Page {
    let mut page = Page::default();
    list_written(&mut page, written);
    if readable_by_others(dir) {
        page.line(format!("Others can look into {}: chmod 700 {}", dir.display(), quoted_path(dir)));
    }
    page.line("");
    page.line("Keep ca.key secret and away from the hosts. Next, for each host and each client:");
    page.line(format!("  ovstunnelctl pki issue --dir {} --host NAME --address IP", quoted_path(dir)));
    page.line(format!("  ovstunnelctl pki issue --dir {} --client NAME", quoted_path(dir)));
    page.line("and where the zone has a manager:");
    page.line(format!("  ovstunnelctl pki issue --dir {} --manager NAME --address IP", quoted_path(dir)));
    page
}

fn issue_page(leaf: &Leaf, written: &Written, ca: &Path) -> Page {
    let mut page = Page::default();
    list_written(&mut page, written);
    page.line(format!("For:   {}", written.names.join(", ")));
    if written.shortened {
        page.line("It expires earlier than asked for: together with its CA.");
    }
    page.line("");
    match leaf.role {
        Role::Host { .. } => host_advice(&mut page, leaf),
        Role::Manager { .. } => manager_advice(&mut page, leaf),
        Role::Client => {
            page.line("Use it with:");
            page.line(format!(
                "  ovstunnelctl --url https://HOST:8443 --ca {} --cert {} --client-key {} status",
                quoted_path(ca),
                quoted_path(&written.certificate),
                quoted_path(&written.key)
            ));
        }
    }
    page
}

fn revoke_page(revoked: &Revoked) -> Page {
    let (name, list) = (printable(&revoked.name), revoked.list.display());
    let mut page = Page::default();
    page.line(match revoked.already {
        true => format!("On the list already: {name}, serial number {}", revoked.serial),
        false => format!("Revoked: {name}, serial number {}", revoked.serial),
    });
    let what = if revoked.already { "List:  " } else { "Wrote: " };
    page.line(format!("{what}  {list} ({} on it)", revoked.count));
    page.line("");
    page.line("Copy it to each host, where /etc/ovstunnel/ovstunneld.toml has");
    page.line("");
    page.line("[tls]");
    page.line("client_crl = \"/etc/ovstunnel/ca.crl\"");
    page.line("");
    page.line("and reload the daemon there: systemctl reload ovstunneld");
    page
}

fn host_advice(page: &mut Page, leaf: &Leaf) {
    let name = &leaf.name;
    page.line(format!("Copy {name}.crt, {name}.key and ca.crt to /etc/ovstunnel on {name}, and put"));
    page.line("into /etc/ovstunnel/ovstunneld.toml there:");
    page.line("");
    page.line("[tls]");
    page.line(format!("certificate = \"/etc/ovstunnel/{name}.crt\""));
    page.line(format!("key = \"/etc/ovstunnel/{name}.key\""));
    page.line("client_ca = \"/etc/ovstunnel/ca.crt\"");
}

fn manager_advice(page: &mut Page, leaf: &Leaf) {
    let name = &leaf.name;
    page.line(format!("Copy {name}.crt, {name}.key and ca.crt to /etc/ovstunnel on the manager's machine, and put"));
    page.line("into /etc/ovstunnel/manager.toml there:");
    page.line("");
    page.line("[hosts]");
    page.line(format!("certificate = \"/etc/ovstunnel/{name}.crt\""));
    page.line(format!("key = \"/etc/ovstunnel/{name}.key\""));
    page.line("ca = \"/etc/ovstunnel/ca.crt\"");
}

fn list_written(page: &mut Page, written: &Written) {
    page.line(format!("Wrote: {} (valid until {})", written.certificate.display(), written.not_after.date()));
    page.line(format!("       {} (private key, readable by its owner only)", written.key.display()));
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}
