//! When the certificate files run out. Must not read the key, or judge whom a client is.

use std::path::{Path, PathBuf};

use ovstunnel_api::Finding;
use time::OffsetDateTime;
use x509_parser::pem::Pem;
use x509_parser::prelude::X509Certificate;

use super::finding::{About, fail, ok, or_ok, warn};
use crate::config::Tls;
use crate::problem::words;

/// So many days before its end a certificate is spoken of.
const SOON: i64 = 30;

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub subject: String,
    pub issuer: String,
    pub not_before: OffsetDateTime,
    pub not_after: OffsetDateTime,
    /// It may be a server's.
    pub for_servers: bool,
}

/// A file of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateFile {
    /// Key of `[tls]`.
    pub key: &'static str,
    pub path: PathBuf,
    /// Those in it, or why there is none.
    pub content: Result<Vec<Certificate>, String>,
}

impl CertificateFile {
    /// Seconds until the first of them runs out; negative where one has. None where there is none.
    pub(crate) fn expires_in(&self, now: OffsetDateTime) -> Option<f64> {
        let ends = self.content.as_ref().ok()?.iter().map(|certificate| certificate.not_after);
        Some((ends.min()? - now).as_seconds_f64())
    }
}

/// Reads the files of `[tls]` that have certificates in them.
pub(crate) fn look(tls: Option<&Tls>) -> Vec<CertificateFile> {
    let Some(tls) = tls else { return Vec::new() };
    [("certificate", &tls.certificate), ("client_ca", &tls.client_ca)]
        .map(|(key, path)| CertificateFile { key, path: path.clone(), content: read(path) })
        .into()
}

fn read(path: &Path) -> Result<Vec<Certificate>, String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let blocks = Pem::iter_from_buffer(&text).collect::<Result<Vec<_>, _>>().map_err(|_| "not PEM".to_owned())?;
    let of_certificates = blocks.iter().filter(|block| block.label == "CERTIFICATE");
    let all =
        of_certificates.map(|block| block.parse_x509().map(|parsed| told(&parsed)).map_err(|error| error.to_string()));
    match all.collect::<Result<Vec<_>, _>>()? {
        none if none.is_empty() => Err("no certificate in it".to_owned()),
        all => Ok(all),
    }
}

fn told(certificate: &X509Certificate<'_>) -> Certificate {
    let usage = certificate.extended_key_usage().ok().flatten();
    Certificate {
        subject: words(&certificate.subject()),
        issuer: words(&certificate.issuer()),
        not_before: certificate.validity().not_before.to_datetime(),
        not_after: certificate.validity().not_after.to_datetime(),
        for_servers: usage.is_none_or(|usage| usage.value.server_auth || usage.value.any),
    }
}

pub(super) fn check(files: &[CertificateFile], now: OffsetDateTime) -> Vec<Finding> {
    let findings = files.iter().flat_map(|file| match &file.content {
        Ok(all) => all.iter().enumerate().filter_map(|(n, one)| of_one(file, n, one, now)).collect(),
        Err(error) => {
            let reason = format!("[tls] {} = {}: {error}", file.key, file.path.display());
            vec![
                fail("certificate", reason, "put the file there: `ovstunnelctl pki issue` makes it")
                    .about(file.path.display()),
            ]
        }
    });
    if files.is_empty() {
        return Vec::new();
    }
    or_ok(findings.collect(), || {
        let days = files.iter().filter_map(|file| file.expires_in(now)).fold(f64::INFINITY, f64::min) / 86400.0;
        ok("certificate", format!("the certificate files are valid for {} days more", days.floor()))
    })
}

fn of_one(file: &CertificateFile, n: usize, one: &Certificate, now: OffsetDateTime) -> Option<Finding> {
    let name = format!("{} ({}) in {}", one.subject, file.key, file.path.display());
    let remedy = match file.key {
        "client_ca" => {
            "`ovstunnelctl pki renew --ca` where the CA is; copy ca.crt to every host and client, then `systemctl reload ovstunneld`"
        }
        _ => "`ovstunnelctl pki renew` where the CA is; copy the new file here, then `systemctl reload ovstunneld`",
    };
    let left = (one.not_after - now).whole_days();
    let found = match one {
        _ if now > one.not_after => fail("certificate", format!("{name} ran out on {}", one.not_after.date()), remedy),
        _ if now < one.not_before => fail(
            "certificate",
            format!("{name} is not valid before {}: it is {} now", one.not_before, now),
            "if that time is past, set this host's clock (`timedatectl`, `chronyc tracking`); else wait, or issue it again",
        ),
        _ if file.key == "certificate" && n == 0 && !one.for_servers => fail(
            "certificate",
            format!("{name} is a client's certificate: clients will refuse this daemon"),
            "issue one with `ovstunnelctl pki issue --host`",
        ),
        _ if left < SOON => {
            warn("certificate", format!("{name} runs out in {left} days, on {}", one.not_after.date()), remedy)
        }
        _ => return None,
    };
    Some(found.about(file.path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use ovstunnel_api::Level;
    use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};
    use time::Duration;

    use super::*;

    fn tls(certificate: &Path, client_ca: &Path) -> Tls {
        let (certificate, client_ca) = (certificate.to_owned(), client_ca.to_owned());
        Tls { key: certificate.clone(), certificate, client_ca, client_crl: None, clients: vec![] }
    }

    fn file(dir: &Path, from: Duration, to: Duration, usage: ExtendedKeyUsagePurpose) -> Vec<CertificateFile> {
        let (mut params, now) = (CertificateParams::new(["host".to_owned()]).unwrap(), OffsetDateTime::now_utc());
        (params.not_before, params.not_after) = (now + from, now + to);
        params.extended_key_usages = vec![usage];
        let pem = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        let path = dir.join("cert.pem");
        std::fs::write(&path, pem).unwrap();
        look(Some(&tls(&path, &path)))
    }

    #[test]
    fn what_is_over_not_begun_or_ends_soon_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let server = || ExtendedKeyUsagePurpose::ServerAuth;
        let day = Duration::DAY;
        let level = |files: &[CertificateFile]| check(files, OffsetDateTime::now_utc())[0].level;
        assert_eq!(level(&file(dir.path(), -day, day * 31, server())), Level::Ok);
        assert_eq!(level(&file(dir.path(), -day, day * 29, server())), Level::Warn);
        assert_eq!(level(&file(dir.path(), -day * 2, -day, server())), Level::Fail);
        assert_eq!(level(&file(dir.path(), day, day * 99, server())), Level::Fail);
        assert_eq!(level(&file(dir.path(), -day, day * 99, ExtendedKeyUsagePurpose::ClientAuth)), Level::Fail);
        std::fs::write(dir.path().join("cert.pem"), "nonsense").unwrap();
        let tls = tls(&dir.path().join("cert.pem"), Path::new("/nonexistent"));
        let found = check(&look(Some(&tls)), OffsetDateTime::now_utc());
        assert_eq!(found.iter().map(|f| f.level).collect::<Vec<_>>(), [Level::Fail, Level::Fail]);
        assert_eq!(check(&look(None), OffsetDateTime::now_utc()), []);
    }

    #[test]
    fn the_first_end_counts() {
        let dir = tempfile::tempdir().unwrap();
        let files = file(dir.path(), -Duration::DAY, -Duration::HOUR, ExtendedKeyUsagePurpose::ServerAuth);
        let left = files[0].expires_in(OffsetDateTime::now_utc()).unwrap();
        assert!((-3700.0..-3500.0).contains(&left), "{left}");
    }
}
