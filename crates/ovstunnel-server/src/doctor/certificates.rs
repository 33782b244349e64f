//! The certificate files: when they expire, and what is wrong with them as a finding. Must not judge them itself.

use std::path::{Path, PathBuf};

use ovstunnel_api::Finding;
use time::OffsetDateTime;
use x509_parser::pem::Pem;

use super::finding::{About, fail, ok, or_ok};
use crate::config::Tls;
use crate::fault::Fault;
use crate::tls::{Certificate, unreadable_message};

/// A file of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFile {
    /// Section of the configuration that names it.
    pub section: &'static str,
    /// Key in that section.
    pub key: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Those in it, or why there is none.
    pub content: Result<Vec<Certificate>, String>,
}

impl CertificateFile {
    /// Seconds until the first of them expires; negative where one has. None where there is none.
    pub fn expires_in(&self, now: OffsetDateTime) -> Option<f64> {
        let ends = self.content.as_ref().ok()?.iter().map(|certificate| certificate.not_after);
        Some((ends.min()? - now).as_seconds_f64())
    }
}

/// Reads the files of `[tls]` that have certificates in them.
pub fn collect_files(tls: Option<&Tls>) -> Vec<CertificateFile> {
    let Some(tls) = tls else { return Vec::new() };
    let files = [("certificate", &tls.certificate), ("client_ca", &tls.client_ca)];
    files.map(|(key, path)| look_at("tls", key, path)).into()
}

/// Reads one file that has certificates in it, which this key of this section names.
pub fn look_at(section: &'static str, key: &'static str, path: &Path) -> CertificateFile {
    CertificateFile { section, key, path: path.to_owned(), content: read_certificates(path) }
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate>, String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let blocks = Pem::iter_from_buffer(&text).collect::<Result<Vec<_>, _>>().map_err(|_| "not PEM".to_owned())?;
    let of_certificates = blocks.iter().filter(|block| block.label == "CERTIFICATE");
    let all = of_certificates.map(|block| {
        block.parse_x509().map(|parsed| Certificate::from_parsed(&parsed)).map_err(|e| unreadable_message(&e))
    });
    match all.collect::<Result<Vec<_>, _>>()? {
        none if none.is_empty() => Err("no certificate in it".to_owned()),
        all => Ok(all),
    }
}

/// What is wrong with the files, and until when they hold.
pub fn check_certificates(files: &[CertificateFile], faults: &[Fault], now: OffsetDateTime) -> Vec<Finding> {
    if files.is_empty() {
        return Vec::new();
    }
    let findings = faults.iter().map(|fault| {
        let file = fault.file.display();
        let reason = format!("[{}] {} = {file}: {}", fault.section, fault.key, fault.reason);
        Finding { level: fault.level, ..fail("certificate", reason, &fault.remedy) }.about(file)
    });
    or_ok(findings.collect(), || {
        let days = files.iter().filter_map(|file| file.expires_in(now)).fold(f64::INFINITY, f64::min) / 86400.0;
        ok("certificate", format!("the certificate files are good, for {} days more", days.floor()))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
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
        collect_files(Some(&tls(&path, &path)))
    }

    #[test]
    fn the_first_end_counts() {
        let dir = tempfile::tempdir().unwrap();
        let files = file(dir.path(), -Duration::DAY, -Duration::HOUR, ExtendedKeyUsagePurpose::ServerAuth);
        let left = files[0].expires_in(OffsetDateTime::now_utc()).unwrap();
        assert!((-3700.0..-3500.0).contains(&left), "{left}");
        assert_eq!(check_certificates(&files, &[], OffsetDateTime::now_utc())[0].level, ovstunnel_api::Level::Ok);
        assert_eq!(check_certificates(&collect_files(None), &[], OffsetDateTime::now_utc()), []);
    }
}
