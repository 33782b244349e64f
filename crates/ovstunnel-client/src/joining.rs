//! How a host joins a zone that it does not know yet: by a token that has the fingerprint of the zone's CA; and how it has its certificate
//! renewed, by the CA that it keeps.
//!
//! What it does: asks the manager for the CA's certificate without trusting it, compares the fingerprint, and speaks from then on only
//! with whom that CA vouches for. What it must not do: send anything, or give anything away but that CA's certificate, before.

use std::time::Duration;

use http::Method;
use ovstunnel_api::Code;
use ovstunnel_manager_api::{EnrolmentCa, Joined, PostJoin, PostRenewal, Renewed, to_hex};
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use url::Url;

use crate::call::Call;
use crate::{Client, ClientError, Endpoint, Peer, Service, https, tls};

/// The way to a manager whose CA is the one of a token, or one that is kept. It shows no certificate of its own.
#[derive(Clone, Debug)]
pub struct Joining {
    client: Client,
    ca: String,
    roots: Vec<CertificateDer<'static>>,
}

impl Joining {
    /// Asks the manager at `url` for the CA, whose certificate has this SHA-256 in lower hexadecimal digits. `timeout` bounds each request.
    ///
    /// # Errors
    /// There is no answer, or it is another CA: [`ClientError::OtherCa`].
    pub async fn fetch_ca(url: &Url, fingerprint: &str, timeout: Duration) -> Result<Joining, ClientError> {
        let stranger = manager_client(url, tls::for_anybody()?, timeout)?;
        let answer: EnrolmentCa = stranger.send_call(Call::new(Method::GET, &["v1", "enrolment", "ca"])).await?;
        // What follows the first is vouched for by nobody yet.
        let found = CertificateDer::from_pem_slice(answer.certificate.as_bytes()).ok();
        let Some(found) = found.filter(|found| to_hex(Sha256::digest(found).as_slice()) == fingerprint) else {
            let at = stranger.peer().to_owned();
            return Err(ClientError::OtherCa { peer: Peer { at, service: Service::Manager } });
        };
        Joining::trusting(url, answer.certificate, vec![found], timeout)
    }

    /// The way to the manager at `url`, by the CAs whose certificates these are, PEM.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn by(url: &Url, ca: String, timeout: Duration) -> Result<Joining, ClientError> {
        let roots = tls::authorities(&ca)?;
        Joining::trusting(url, ca, roots, timeout)
    }

    fn trusting(
        url: &Url,
        ca: String,
        roots: Vec<CertificateDer<'static>>,
        timeout: Duration,
    ) -> Result<Joining, ClientError> {
        Ok(Joining { client: manager_client(url, tls::trusting_only(&roots)?, timeout)?, ca, roots })
    }

    /// The CA's certificate as it was answered or given, PEM.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// `POST /v1/enrolment/renew`, at the manager that leads where this one says which.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn renew(&self, body: &PostRenewal) -> Result<Renewed, ClientError> {
        self.ask_leader("renew", body).await
    }

    /// `POST /v1/enrolment/join`, at the manager that leads where this one says which.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn join(&self, body: &PostJoin) -> Result<Joined, ClientError> {
        self.ask_leader("join", body).await
    }

    async fn ask_leader<T: DeserializeOwned>(&self, what: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let call = || Call::new(Method::POST, &["v1", "enrolment", what]).with_json(body);
        let first = self.client.send_call(call()?).await;
        let leader = match &first {
            Err(ClientError::Problem(problem)) if problem.code == Code::NotLeader => problem.leader.as_deref(),
            _ => None,
        };
        let Some(leader) = leader.and_then(|leader| Endpoint::parse_url(leader).ok()) else { return first };
        let timeout = self.client.transport.timeout;
        let there = Joining::trusting(&leader, self.ca.clone(), self.roots.clone(), timeout)?;
        there.client.send_call(call()?).await
    }
}

fn manager_client(url: &Url, config: ClientConfig, timeout: Duration) -> Result<Client, ClientError> {
    Ok(Client::with_transport(https::https_transport(url, config, timeout)).for_manager())
}
