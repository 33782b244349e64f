//! What is wrong with the files of `[tls]`, in words and with a remedy: for a check of the configuration, the start, a reload and a diagnosis.
//!
//! What it does: reads all of them as the service would, and looks at what TLS itself never says of its own certificate: whether
//! clients will take it. What it must not do: keep or show anything of a key, or refuse a start for what is no more than bad.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ovstunnel_api::Level;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;

use super::form::{self, Certificate};
use super::seen::Counts;
use super::{TlsError, crl, load_tls};
use crate::config::Tls;
use crate::fault::Fault;

/// So many days before its end a certificate is spoken of.
const SOON: i64 = 30;

/// The section that names the files.
const SECTION: &str = "tls";

/// How this host is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Its name, in small letters.
    pub name: String,
    /// The addresses that clients may come by.
    pub addresses: BTreeSet<IpAddr>,
}

impl Host {
    /// As the kernel tells it. Where it listens on itself alone, that is where clients come.
    pub fn from_kernel(listen: SocketAddr) -> Self {
        let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
        let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
        let address = |storage: nix::sys::socket::SockaddrStorage| -> Option<IpAddr> {
            let four = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            four.or_else(|| Some(IpAddr::V6(storage.as_sockaddr_in6()?.ip())))
        };
        let addresses = interfaces.filter_map(|interface| address(interface.address?));
        let reached = |address: &IpAddr| !address.is_loopback() || *address == listen.ip();
        Host { name: name.to_lowercase(), addresses: addresses.filter(reached).collect() }
    }

    /// Whether a certificate has one of its names or addresses. Of names the first part counts: how the host is called beyond it
    /// is known to the name service alone.
    fn is_in(&self, certificate: &Certificate) -> bool {
        let first = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
        let own = first(&self.name);
        let named = |name: &String| {
            let below_own = |below: &str| self.name.split_once('.').is_none_or(|(_, zone)| below == zone);
            first(name) == own || name.strip_prefix("*.").is_some_and(below_own)
        };
        certificate.addresses.iter().any(|address| self.addresses.contains(address))
            || certificate.names.iter().any(named)
    }
}

/// All that is wrong, the worst of each file first. `seen` are the clients of a service that runs, `unit` is its name for systemd.
pub fn judge_files(files: &Tls, host: &Host, seen: Option<&Counts>, now: OffsetDateTime, unit: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut unread = BTreeSet::new();
    if let Err(TlsError { key, file, reason, remedy }) = load_tls(files) {
        unread.insert(key);
        faults.push(Fault { section: SECTION, key, file, level: Level::Fail, reason, remedy: remedy.to_owned() });
    }
    let read = |key: &'static str, file: &Path| -> Vec<Certificate> {
        // What cannot be read is told already, or else once what is told is mended.
        if unread.contains(key) { Vec::new() } else { of_file(file) }
    };
    let (own, authorities) = (read("certificate", &files.certificate), read("client_ca", &files.client_ca));
    faults.extend(of_dates("certificate", &files.certificate, &own, now, unit));
    faults.extend(own.first().and_then(|own| of_own(&files.certificate, own, host, seen, unit)));
    faults.extend(of_chain(&files.certificate, &own));
    if !unread.contains("key") {
        faults.extend(of_key(&files.key));
    }
    faults.extend(of_dates("client_ca", &files.client_ca, &authorities, now, unit));
    faults.extend(authorities.iter().filter_map(|one| of_authority(&files.client_ca, one)));
    faults.extend(seen.and_then(|seen| of_clients(&files.client_ca, seen, &authorities, unit)));
    if let Some(file) = files.client_crl.as_ref().filter(|_| !unread.contains("client_crl")) {
        let concerns = crl::crl_concerns(file, &read_ders(&files.client_ca), now);
        faults.extend(concerns.into_iter().map(|concern| {
            warn_fault(
                "client_crl",
                file,
                concern,
                "put a list there that is newer: `ovstunnelctl pki revoke` makes one",
            )
        }));
    }
    faults
}

fn read_ders(file: &Path) -> Vec<CertificateDer<'static>> {
    let text = std::fs::read(file).unwrap_or_default();
    CertificateDer::pem_slice_iter(&text).flatten().collect()
}

fn of_file(file: &Path) -> Vec<Certificate> {
    read_ders(file).iter().filter_map(|der| form::read_der(der).ok()).collect()
}

fn new_fault(key: &'static str, file: &Path, level: Level, reason: String, remedy: &str) -> Fault {
    Fault { section: SECTION, key, file: file.to_owned(), level, reason, remedy: remedy.to_owned() }
}

fn fail_fault(key: &'static str, file: &Path, reason: String, remedy: &str) -> Fault {
    new_fault(key, file, Level::Fail, reason, remedy)
}

fn warn_fault(key: &'static str, file: &Path, reason: String, remedy: &str) -> Fault {
    new_fault(key, file, Level::Warn, reason, remedy)
}

/// That a certificate is over, or will be within 30 days.
pub fn expiry_notice(one: &Certificate, now: OffsetDateTime) -> Option<(Level, String)> {
    let (name, left) = (&one.subject, (one.not_after - now).whole_days());
    if now > one.not_after {
        return Some((Level::Fail, format!("{name} expired on {}", one.not_after.date())));
    }
    (left < SOON).then(|| (Level::Warn, format!("{name} expires in {left} days, on {}", one.not_after.date())))
}

/// Over, not begun, or over soon.
fn of_dates(key: &'static str, file: &Path, all: &[Certificate], now: OffsetDateTime, unit: &str) -> Vec<Fault> {
    let steps = match key {
        "client_ca" => "`ovstunnelctl pki renew --ca` where the CA is; copy ca.crt to every host and client",
        _ => "`ovstunnelctl pki renew` where the CA is; copy the new file here",
    };
    let renew = format!("{steps}, then `systemctl reload {unit}`");
    let of = |one: &Certificate| {
        if now < one.not_before {
            let reason = format!("{} is not valid before {}: it is {now} now", one.subject, one.not_before);
            let remedy = "if that time is past, set this host's clock (`timedatectl`, `chronyc tracking`); else wait, or issue it again";
            return Some(fail_fault(key, file, reason, remedy));
        }
        expiry_notice(one, now).map(|(level, reason)| new_fault(key, file, level, reason, &renew))
    };
    all.iter().filter_map(of).collect()
}

/// Whether clients will take this service's certificate.
fn of_own(file: &Path, own: &Certificate, host: &Host, seen: Option<&Counts>, unit: &str) -> Option<Fault> {
    let Certificate { subject, names, addresses, usage, .. } = own;
    let issue = &format!(
        "issue one with `ovstunnelctl pki issue --host NAME --address ADDRESS`, then `systemctl reload {unit}`"
    );
    if !usage.serves() {
        let what = match usage.allows_any() {
            true => "anyExtendedKeyUsage, which stands for no purpose: it lacks serverAuth",
            false => "for others than servers: it lacks serverAuth",
        };
        return Some(fail_fault(
            "certificate",
            file,
            format!("the extended key usage of {subject} is {what}; clients will refuse this service"),
            issue,
        ));
    }
    // Who was let in had taken this certificate before.
    if seen.is_some_and(|seen| seen.let_in > 0) || host.is_in(own) {
        return None;
    }
    let called = |names: &[String]| match names {
        [] => "no name".to_owned(),
        names => names.join(", "),
    };
    let all: Vec<String> = names.iter().cloned().chain(addresses.iter().map(ToString::to_string)).collect();
    if all.is_empty() {
        let reason = format!(
            "{subject} has no alternative name (subjectAltName): clients do not go by the common name and will refuse this service"
        );
        return Some(fail_fault("certificate", file, reason, issue));
    }
    let reason = format!(
        "{subject} is for {}, and neither the name of this host, {}, nor one of its addresses is among them: clients that come by those will refuse this service",
        called(&all),
        host.name
    );
    let unless = format!("{issue}; if clients come by another name that is in it, this goes once one has come");
    Some(warn_fault("certificate", file, reason, &unless))
}

/// Whether each certificate has signed the one before it, as far as names tell.
fn of_chain(file: &Path, all: &[Certificate]) -> Option<Fault> {
    let broken = all.windows(2).find(|pair| pair[0].issuer != pair[1].subject)?;
    let reason = format!(
        "{} is followed by {}, which is not its issuer ({}): clients may not find their way to the CA",
        broken[0].subject, broken[1].subject, broken[0].issuer
    );
    let remedy = "put the host's certificate first, then that of its issuer, and so on; the CA's own need not be there";
    Some(warn_fault("certificate", file, reason, remedy))
}

/// Whether others can read the key.
fn of_key(file: &Path) -> Option<Fault> {
    let about = std::fs::metadata(file).ok()?;
    let (mode, owner) = (about.mode() & 0o777, about.uid());
    let shown = file.display();
    let mine = nix::unistd::geteuid().as_raw();
    if mode & 0o007 == 0 && mode & 0o020 == 0 && (owner == 0 || owner == mine) {
        return None;
    }
    let reason = match owner == 0 || owner == mine {
        true => format!("the private key can be read or changed by others than its owner (mode {mode:04o})"),
        false => format!("the private key is owned by uid {owner}, who can read it (mode {mode:04o})"),
    };
    let remedy = format!(
        "`chown root {shown} && chmod 600 {shown}`; if others may have read it: `ovstunnelctl pki renew --new-key`, and revoke the old certificate"
    );
    Some(warn_fault("key", file, reason, &remedy))
}

/// Whether a certificate of `client_ca` can be anybody's authority.
fn of_authority(file: &Path, one: &Certificate) -> Option<Fault> {
    let put = "put the certificate of the CA there that signs the clients' certificates, in PEM";
    if let Some(kind) = &one.strange_key {
        let reason = format!(
            "the key of {} is {kind}, which the TLS library does not take: no client whose certificate it signed gets in",
            one.subject
        );
        return Some(fail_fault("client_ca", file, reason, &format!("use a CA whose key is {}", form::TAKEN)));
    }
    (!one.authority).then(|| {
        let reason = format!("{} is no CA's certificate (basic constraints), so it has signed nobody's", one.subject);
        warn_fault("client_ca", file, reason, put)
    })
}

/// Whether the authorities have signed any of those who came.
fn of_clients(file: &Path, seen: &Counts, authorities: &[Certificate], unit: &str) -> Option<Fault> {
    let (issuer, from) = seen.last.as_ref().filter(|_| seen.let_in == 0)?;
    let known: Vec<String> = authorities.iter().map(|one| one.subject.clone()).collect();
    let reason = format!(
        "none of the {} clients that came has a certificate that this CA signed: the last one, from {from}, has one by {issuer}; in the file: {}",
        seen.of_no_authority,
        known.join("; ")
    );
    let remedy =
        format!("put the certificate of that CA there, then `systemctl reload {unit}`, unless those were strangers");
    Some(warn_fault("client_ca", file, reason, &remedy))
}

/// The files by which a service shows itself to other services, whom it asks.
#[derive(Clone, Copy, Debug)]
pub struct ClientFiles<'a> {
    /// Section of the configuration that names them as `certificate`, `key` and `ca`.
    pub section: &'static str,
    /// Its certificate.
    pub certificate: &'a Path,
    /// Its key.
    pub key: &'a Path,
    /// Whom it trusts.
    pub ca: &'a Path,
    /// The command that makes certificate and key.
    pub issue: &'static str,
}

/// All that is wrong with them.
pub fn judge_client(files: &ClientFiles<'_>, now: OffsetDateTime, unit: &str) -> Vec<Fault> {
    let ClientFiles { section, certificate, key, ca, issue } = *files;
    let as_tls = Tls {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        client_ca: ca.to_owned(),
        client_crl: None,
        clients: Vec::new(),
    };
    let put = format!("put a certificate for clients and its key there: `{issue}` makes both");
    let (mut faults, mut unread) = (Vec::new(), None);
    if let Err(TlsError { key, file, reason, remedy }) = load_tls(&as_tls) {
        unread = Some(key);
        let remedy = if key == "client_ca" { remedy.to_owned() } else { put.clone() };
        faults.push(Fault { section, key, file, level: Level::Fail, reason, remedy });
    }
    let read = |key: &'static str, file: &Path| if unread == Some(key) { Vec::new() } else { of_file(file) };
    let (own, authorities) = (read("certificate", certificate), read("client_ca", ca));
    faults.extend(of_dates("certificate", certificate, &own, now, unit));
    faults.extend(own.first().filter(|own| !own.usage.asks()).map(|own| {
        let reason = format!("the extended key usage of {} lacks clientAuth: daemons will refuse it", own.subject);
        fail_fault("certificate", certificate, reason, &put)
    }));
    faults.extend(of_chain(certificate, &own));
    if unread != Some("key") {
        faults.extend(of_key(key));
    }
    faults.extend(of_dates("client_ca", ca, &authorities, now, unit));
    faults.extend(authorities.iter().filter(|one| !one.authority).map(|one| {
        let reason = format!("{} is no CA's certificate (basic constraints), so it has signed nobody's", one.subject);
        warn_fault(
            "client_ca",
            ca,
            reason,
            "put the certificate of the CA there that signs the daemons' certificates, in PEM",
        )
    }));
    let called = |key| if key == "client_ca" { "ca" } else { key };
    faults.into_iter().map(|fault| Fault { section, key: called(fault.key), ..fault }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_host_is_known_by_first_name_or_wildcard() {
        let is_in = |host: &str, name: &str| {
            let own = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
            Host { name: host.into(), ..Host::default() }.is_in(&form::read_der(own.cert.der()).unwrap())
        };
        assert!(is_in("h1.example.org", "h1.other.org") && is_in("h1.example.org", "*.example.org"));
        assert!(is_in("h1", "*.example.org"), "its zone is not known");
        // A star alone stands for no host.
        for name in ["h2.example.org", "*.other.org", "*"] {
            assert!(!is_in("h1.example.org", name), "{name}");
        }
    }
}
