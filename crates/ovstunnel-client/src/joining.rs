//! How a host joins a zone that it does not know yet: by a token that has the fingerprint of the zone's CA.
//!
//! What it does: asks the manager for the CA's certificate without trusting it, compares the fingerprint, and speaks from then on only
//! with whom that CA vouches for. What it must not do: send anything, or give anything away but that CA's certificate, before.

use std::time::Duration;

use http::Method;
use ovstunnel_manager_api::{EnrolmentCa, Joined, PostJoin, to_hex};
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use url::Url;

use crate::call::Call;
use crate::{Client, ClientError, Peer, Service, https, tls};

/// The way to a manager whose CA is the one of a token. It has no certificate of its own yet.
#[derive(Clone, Debug)]
pub struct Joining {
    client: Client,
    ca: String,
}

impl Joining {
    /// Asks the manager at `url` for the CA, whose certificate has this SHA-256 in lower hexadecimal digits. `timeout` bounds each request.
    ///
    /// # Errors
    /// There is no answer, or it is another CA: [`ClientError::OtherCa`].
    pub async fn fetch_ca(url: &Url, fingerprint: &str, timeout: Duration) -> Result<Joining, ClientError> {
        let stranger = manager_client(url, tls::for_anybody()?, timeout)?;
        let answer: EnrolmentCa = stranger.send_call(Call::new(Method::GET, &["v1", "enrolment", "ca"])).await?;
        let found = CertificateDer::from_pem_slice(answer.certificate.as_bytes());
        if found.ok().is_none_or(|found| to_hex(Sha256::digest(&found).as_slice()) != fingerprint) {
            let at = stranger.peer().to_owned();
            return Err(ClientError::OtherCa { peer: Peer { at, service: Service::Manager } });
        }
        let client = manager_client(url, tls::trusting_only(&answer.certificate)?, timeout)?;
        Ok(Joining { client, ca: answer.certificate })
    }

    /// The same with another manager of the zone.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn at_manager(&self, url: &Url) -> Result<Joining, ClientError> {
        let client = manager_client(url, tls::trusting_only(&self.ca)?, self.client.transport.timeout)?;
        Ok(Joining { client, ca: self.ca.clone() })
    }

    /// The CA's certificate, PEM.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// `POST /v1/enrolment/join`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn join(&self, body: &PostJoin) -> Result<Joined, ClientError> {
        self.client.send_call(Call::new(Method::POST, &["v1", "enrolment", "join"]).with_json(body)?).await
    }
}

fn manager_client(url: &Url, config: ClientConfig, timeout: Duration) -> Result<Client, ClientError> {
    Ok(Client::with_transport(https::https_transport(url, config, timeout)).for_manager())
}
