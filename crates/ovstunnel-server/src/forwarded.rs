//! A request that a service of the same kind sends on for its client.
//!
//! What it does: writes the client's certificate and address into headers (`Client-Cert` and `Client-Cert-Chain` of RFC 9440, `Forwarded` of RFC
//! 7239), and reads them. What it must not do: decide from whom they are taken: a header proves nothing ([`crate::access`]).

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use rustls_pki_types::CertificateDer;

use crate::listen::PeerCertificate;

/// The header with the client's own certificate.
pub const CLIENT_CERT: &str = "client-cert";

const CLIENT_CERT_CHAIN: &str = "client-cert-chain";
const FORWARDED: &str = "forwarded";

/// Intermediate authorities of a client at most.
const CHAIN_MAX: usize = 8;

/// The headers that say for which client a request is sent on; none for one that has no certificate, or too many of them.
pub fn client_headers(client: &PeerCertificate) -> Option<Vec<(&'static str, String)>> {
    let binary = |der: &CertificateDer<'_>| format!(":{}:", STANDARD.encode(der));
    let (own, others) = client.chain.split_first().filter(|(_, others)| others.len() <= CHAIN_MAX)?;
    let mut headers = vec![(CLIENT_CERT, binary(own)), (FORWARDED, format!("for=\"{}\"", client.address))];
    if !others.is_empty() {
        headers.push((CLIENT_CERT_CHAIN, others.iter().map(binary).collect::<Vec<_>>().join(", ")));
    }
    Some(headers)
}

/// For which client the service of this name says that it sends a request on; nothing where it does not say so.
///
/// # Errors
/// Which header cannot be read.
pub fn read_client(headers: &HeaderMap, by: &str) -> Option<Result<PeerCertificate, String>> {
    headers.contains_key(CLIENT_CERT).then(|| {
        let own = the_only(headers, CLIENT_CERT).and_then(binary).ok_or_else(|| unreadable(CLIENT_CERT))?;
        let mut chain = vec![own];
        if headers.contains_key(CLIENT_CERT_CHAIN) {
            let others = the_only(headers, CLIENT_CERT_CHAIN)
                .and_then(|all| all.split(',').map(|one| binary(one.trim())).collect::<Option<Vec<_>>>());
            chain.extend(others.filter(|all| all.len() <= CHAIN_MAX).ok_or_else(|| unreadable(CLIENT_CERT_CHAIN))?);
        }
        let address = the_only(headers, FORWARDED).and_then(address).ok_or_else(|| unreadable(FORWARDED))?;
        Ok(PeerCertificate { via: Some(by.to_owned()), ..PeerCertificate::from_chain(&chain, address) })
    })
}

fn unreadable(header: &str) -> String {
    format!("sends a request on whose header {header} cannot be read")
}

/// Of two one cannot know which is meant.
fn the_only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(first)
}

fn binary(text: &str) -> Option<CertificateDer<'static>> {
    let text = text.strip_prefix(':')?.strip_suffix(':')?;
    STANDARD.decode(text).ok().map(CertificateDer::from)
}

fn address(text: &str) -> Option<SocketAddr> {
    text.strip_prefix("for=\"")?.strip_suffix('"')?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn client(intermediates: usize) -> PeerCertificate {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "ops");
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone();
        PeerCertificate::from_chain(&vec![der; 1 + intermediates], "[2001:db8::1]:9".parse().unwrap())
    }

    fn headers(client: &PeerCertificate) -> HeaderMap {
        let all = client_headers(client).unwrap().into_iter();
        all.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_client_is_read_as_it_was_written() {
        for intermediates in [0, 2] {
            let client = client(intermediates);
            let read = read_client(&headers(&client), "m2").unwrap().unwrap();
            assert_eq!(read, PeerCertificate { via: Some("m2".into()), ..client });
            assert_eq!(read.name(), "ops");
        }
        assert!(client_headers(&client(CHAIN_MAX + 1)).is_none());
        assert!(read_client(&HeaderMap::new(), "m2").is_none());
    }

    #[test]
    fn headers_that_say_two_things_or_nothing_are_refused() {
        let good = headers(&client(1));
        for name in [CLIENT_CERT, CLIENT_CERT_CHAIN, FORWARDED] {
            let mut twice = good.clone();
            twice.append(name, good[name].clone());
            let mut junk = good.clone();
            junk.insert(name, "x".parse().unwrap());
            for bad in [twice, junk] {
                assert!(read_client(&bad, "m2").unwrap().unwrap_err().contains(name), "{bad:?}");
            }
        }
    }
}
