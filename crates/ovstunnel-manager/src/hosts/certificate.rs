//! Certificates that end: of the daemons, as they show them, and the manager's own, as they stand in its files. Must not refuse any: TLS does that.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ovstunnel_client::Client;
use ovstunnel_manager_api::Trouble;
use ovstunnel_server::tls::judge::expiry_notice;
use ovstunnel_server::tls::{Certificate, read_certificate};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;

use crate::zone::{CERTIFICATE_EXPIRES, Shown, Zone};

/// How often the manager's own certificates are looked at.
const OWN: Duration = Duration::from_secs(60);

/// The certificate that a daemon has shown on its last connection.
pub(super) fn of_daemon(client: &Client, now: OffsetDateTime) -> Shown {
    let remedy = "`ovstunnelctl renew` on the host, where it has joined by a token; else `ovstunnelctl pki renew` where the CA is, copy the new certificate to \
                  the host, then `systemctl reload ovstunneld` there";
    // What cannot be read TLS has refused.
    let Some(one) = client.daemon_certificate().and_then(|der| read_certificate(&der).ok()) else {
        return Shown::default();
    };
    Shown { expires: Some(one.not_after), trouble: certificate_trouble("its daemon's certificate", &one, remedy, now) }
}

fn certificate_trouble(whose: &str, one: &Certificate, remedy: &str, now: OffsetDateTime) -> Option<Trouble> {
    let (_, text) = expiry_notice(one, now)?;
    Some(Trouble {
        kind: CERTIFICATE_EXPIRES.to_owned(),
        evidence: format!("{whose}: {text}"),
        remedy: remedy.to_owned(),
    })
}

/// What is wrong with the manager's own certificates in these files.
pub fn own_troubles(files: &[PathBuf], now: OffsetDateTime) -> Vec<Trouble> {
    let of = |file: &PathBuf| {
        let remedy = "`ovstunnelctl pki renew` where the CA is; copy the new files here, then `systemctl reload ovstunnel-manager`";
        let whose = format!("the manager's certificate {}", file.display());
        certificate_trouble(&whose, &read_certificate(&first_certificate(file)?).ok()?, remedy, now)
    };
    files.iter().filter_map(of).collect()
}

fn first_certificate(file: &Path) -> Option<Vec<u8>> {
    CertificateDer::from_pem_file(file).ok().map(|der| der.to_vec())
}

/// Looks at the manager's own certificates again and again. Ends with the task that it runs in.
pub async fn keep_looking(zone: Zone, files: Vec<PathBuf>) {
    let mut tick = tokio::time::interval(OWN);
    loop {
        tick.tick().await;
        zone.own_certificates(own_troubles(&files, OffsetDateTime::now_utc()));
    }
}
