//! What a host's or a client's certificate says.

use std::net::IpAddr;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType, SerialNumber,
};
use time::OffsetDateTime;
use x509_parser::prelude::X509Certificate;

use crate::subject::{alternative_names, common_name_of};
use crate::{Name, SKEW};

/// Whom a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A daemon: a certificate for servers, valid for its name and these addresses.
    Host {
        /// Addresses under which clients call it, beside its name.
        addresses: Vec<IpAddr>,
    },
    /// One who calls daemons: a management server, an operator.
    Client,
    /// A zone's manager, which calls daemons and is called: a certificate for both, valid for its name and these addresses.
    Manager {
        /// Addresses under which clients call it, beside its name.
        addresses: Vec<IpAddr>,
    },
}

/// A certificate to be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its name, which names its files too. A host's may be an address.
    pub name: Name,
    /// Whom it is for.
    pub role: Role,
    /// Its lifetime in days; what is beyond the CA's own end is cut off.
    pub days: u32,
}

impl Leaf {
    /// Reads from a certificate what it was issued for; nothing where it is not as this CA issues them, or not `name`'s.
    pub(super) fn from_certificate(certificate: &X509Certificate<'_>, name: &Name, days: u32) -> Option<Leaf> {
        let usage = certificate.extended_key_usage().ok().flatten()?.value;
        let names = alternative_names(certificate);
        let addresses = || names.iter().filter_map(|name| name.parse().ok()).collect();
        let role = match (usage.server_auth, usage.client_auth) {
            (true, false) => Role::Host { addresses: addresses() },
            (false, true) => Role::Client,
            (true, true) => Role::Manager { addresses: addresses() },
            (false, false) => return None,
        };
        let leaf = Leaf { name: name.clone(), role, days };
        let same = common_name_of(certificate).as_deref() == Some(name.as_str()) && names == leaf.valid_names();
        (same && !certificate.is_ca()).then_some(leaf)
    }

    /// What the certificate is valid for, in words.
    pub(super) fn valid_names(&self) -> Vec<String> {
        if self.role == Role::Client {
            return vec![self.name.to_string()];
        }
        let dns = self.name.address().is_none().then(|| self.name.to_string());
        dns.into_iter().chain(self.all_addresses().iter().map(ToString::to_string)).collect()
    }

    pub(super) fn certificate_params(
        &self,
        now: OffsetDateTime,
        not_after: OffsetDateTime,
    ) -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(self.name.as_str());
        params.serial_number = Some(new_serial()?);
        params.not_before = now - SKEW;
        params.not_after = not_after;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = self.key_purposes();
        params.subject_alt_names = self.alternative_names()?;
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }

    fn key_purposes(&self) -> Vec<ExtendedKeyUsagePurpose> {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        match self.role {
            Role::Host { .. } => vec![ServerAuth],
            Role::Client => vec![ClientAuth],
            Role::Manager { .. } => vec![ServerAuth, ClientAuth],
        }
    }

    /// A client has its name here too, for programs that do not read common names any more.
    fn alternative_names(&self) -> Result<Vec<SanType>, rcgen::Error> {
        let addresses = self.all_addresses().into_iter().map(SanType::IpAddress);
        let dns = match (&self.role, self.name.address()) {
            (Role::Host { .. } | Role::Manager { .. }, Some(_)) => None,
            _ => Some(SanType::DnsName(self.name.as_str().try_into()?)),
        };
        Ok(dns.into_iter().chain(addresses).collect())
    }

    /// All addresses of a host or manager, its name included where that is one, each once.
    fn all_addresses(&self) -> Vec<IpAddr> {
        let (Role::Host { addresses } | Role::Manager { addresses }) = &self.role else { return Vec::new() };
        let mut all = Vec::new();
        for address in self.name.address().iter().chain(addresses) {
            if !all.contains(address) {
                all.push(*address);
            }
        }
        all
    }
}

/// A serial number of its own for each certificate, random: a list of revoked ones names them by it. Left out, it would be
/// made from the key, and a renewed certificate would have its predecessor's.
pub(super) fn new_serial() -> Result<SerialNumber, rcgen::Error> {
    let mut bytes = [0u8; 16];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| rcgen::Error::RingUnspecified)?;
    // Positive, and of full length.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

pub(super) fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, addresses: &[&str]) -> Leaf {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        Leaf { name: name.parse().unwrap(), role: Role::Host { addresses }, days: 1 }
    }

    #[test]
    fn a_host_is_known_by_its_name_and_addresses_each_once() {
        assert_eq!(
            host("host1", &["192.0.2.1", "192.0.2.1", "2001:db8::1"]).valid_names(),
            ["host1", "192.0.2.1", "2001:db8::1"]
        );
        assert_eq!(host("192.0.2.1", &["192.0.2.1"]).valid_names(), ["192.0.2.1"]);
    }
}
