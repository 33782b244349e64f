//! The built command over HTTPS with client certificates, on the loopback address: who is let in, and what is said to
//! one who is not.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::common::{Ran, Script, canned, ctl, run, runtime};
use axum::serve::Listener;
use ovstunnel_pki::{Authority, Leaf, Role};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier};
use serde_json::json;
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A CA that was made `ago`, with `host1` at 127.0.0.1 and the client `admin`, all for 30 days.
pub(crate) fn pki(ago: Duration) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let then = OffsetDateTime::now_utc() - ago;
    Authority::create(dir.path(), "test", 365, then).unwrap();
    let authority = Authority::open(dir.path()).unwrap();
    let host = Role::Host { addresses: vec!["127.0.0.1".parse().unwrap()] };
    for (name, role) in [("host1", host), ("admin", Role::Client)] {
        authority.issue_certificate(&Leaf { name: name.parse().unwrap(), role, days: 30 }, then).unwrap();
    }
    dir
}

/// Plays the script over TLS, for as long as the runtime lives.
pub(crate) fn serve_script(script: &Script, config: ServerConfig) -> (SocketAddr, Runtime) {
    let runtime = runtime();
    let tcp = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = tcp.local_addr().unwrap();
    let listener = TlsListener { tcp, acceptor: TlsAcceptor::from(Arc::new(config)), refused: Vec::new() };
    let router = script.router();
    runtime.spawn(async move { axum::serve(listener, router).await });
    (address, runtime)
}

/// A daemon with TLS that lets in the clients of one CA.
struct TlsDaemon {
    address: SocketAddr,
    _runtime: Runtime,
}

impl TlsDaemon {
    fn new(own: &Path, clients: &Path) -> Self {
        let ready = json!({"ready": true, "version": "0.1.0"});
        let script = Script::new(vec![
            canned("GET /readyz", 200, ready),
            canned("GET /v1/bridges", 200, json!({"bridges": []})),
        ]);
        let mut config = server_config(own, clients);
        // As the daemon does.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (address, runtime) = serve_script(&script, config);
        TlsDaemon { address, _runtime: runtime }
    }

    fn status(&self, host: &str, ca: &Path, identity: &Path) -> Ran {
        self.asked_for(&["status"], host, ca, identity)
    }

    fn asked_for(&self, command: &[&str], host: &str, ca: &Path, identity: &Path) -> Ran {
        let url = format!("https://{host}:{}", self.address.port());
        run(ctl()
            .args(["--url", &url, "--timeout", "20", "--ca"])
            .arg(ca.join("ca.crt"))
            .arg("--cert")
            .arg(identity.join("admin.crt"))
            .env("OVSTUNNEL_KEY", identity.join("admin.key"))
            .args(command))
    }
}

fn server_config(own: &Path, clients: &Path) -> ServerConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(clients.join("ca.crt")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let (chain, key) = own_certificate(own);
    builder().with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap()
}

pub(crate) fn builder() -> ConfigBuilder<ServerConfig, WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap()
}

/// Certificate and key of `host1`.
pub(crate) fn own_certificate(own: &Path) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let certificate = CertificateDer::from_pem_file(own.join("host1.crt")).unwrap();
    (vec![certificate], PrivateKeyDer::from_pem_file(own.join("host1.key")).unwrap())
}

/// Keeps the connections of refused clients, so that closing them cannot overtake the alert that says why.
struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    refused: Vec<TcpStream>,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.tcp.accept().await.unwrap();
            match self.acceptor.accept(stream).into_fallible().await {
                Ok(stream) => return (stream, address),
                Err((_, stream)) => self.refused.push(stream),
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

#[test]
fn a_client_of_the_ca_is_let_in() {
    let pki = pki(Duration::ZERO);
    let daemon = TlsDaemon::new(pki.path(), pki.path());
    let ran = daemon.status("127.0.0.1", pki.path(), pki.path());
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.out.contains("https://127.0.0.1:"), "{}", ran.out);
}

#[test]
fn each_failure_has_its_hint() {
    let (ours, theirs, old) = (pki(Duration::ZERO), pki(Duration::ZERO), pki(Duration::days(100)));
    let (ours, theirs, old) = (ours.path(), theirs.path(), old.path());
    let cases = [
        (
            "a daemon of another CA",
            TlsDaemon::new(ours, ours).status("127.0.0.1", theirs, ours),
            "not issued by the CA in --ca",
        ),
        (
            "a name that it does not have",
            TlsDaemon::new(ours, ours).status("localhost", ours, ours),
            "--host NAME --address IP",
        ),
        ("its certificate expired", TlsDaemon::new(old, ours).status("127.0.0.1", old, ours), "compare the clocks"),
        ("a client of another CA", TlsDaemon::new(ours, ours).status("127.0.0.1", ours, theirs), "client_ca"),
        ("ours expired", TlsDaemon::new(ours, old).status("127.0.0.1", ours, old), "pki issue --client"),
    ];
    for (what, ran, hint) in cases {
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{what}");
        assert!(!ran.err.contains("UnknownIssuer") && !ran.err.contains("OtherError"), "{what}: {}", ran.err);
        assert!(ran.err.contains("no TLS") && ran.err.contains(hint), "{what}: {}", ran.err);
    }
}

#[test]
fn what_is_wrong_with_a_manager_is_not_told_of_a_daemon() {
    let (ours, theirs) = (pki(Duration::ZERO), pki(Duration::ZERO));
    let (ours, theirs) = (ours.path(), theirs.path());
    let zone = |ca, identity| TlsDaemon::new(ours, ours).asked_for(&["zone", "hosts"], "127.0.0.1", ca, identity);
    let of_another_ca = zone(theirs, ours);
    assert!(of_another_ca.err.contains("no TLS with the manager at https://127.0.0.1:"), "{}", of_another_ca.err);
    assert!(of_another_ca.err.contains("the manager's certificate was not issued"), "{}", of_another_ca.err);
    let refused = zone(ours, theirs);
    assert!(refused.err.contains("the manager says: ") && refused.err.contains("manager.toml"), "{}", refused.err);
    for ran in [of_another_ca, refused] {
        assert!(ran.status == 2 && !ran.err.contains("daemon"), "{}", ran.err);
    }
}

#[test]
fn a_port_without_tls_is_named_as_such() {
    let pki = pki(Duration::ZERO);
    let daemon = TlsDaemon::new(pki.path(), pki.path());
    let plain = runtime();
    let tcp = plain.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = tcp.local_addr().unwrap();
    let router = Script::new(Vec::new()).router();
    plain.spawn(async move { axum::serve(tcp, router).await });
    let ran = TlsDaemon { address, ..daemon }.status("127.0.0.1", pki.path(), pki.path());
    assert!(ran.status == 2 && ran.err.contains("HTTPS port"), "{}", ran.err);
}

#[test]
fn files_that_are_of_no_use_are_named() {
    let (ours, theirs) = (pki(Duration::ZERO), pki(Duration::ZERO));
    let (a, b) = (ours.path(), theirs.path());
    let status = |ca: &Path, cert: &Path, key: &Path| {
        run(ctl()
            .args(["--url", "https://127.0.0.1:1", "--ca"])
            .arg(ca)
            .arg("--cert")
            .arg(cert)
            .arg("--key")
            .arg(key)
            .arg("status"))
    };
    let (ca, cert, key) = (a.join("ca.crt"), a.join("admin.crt"), a.join("admin.key"));
    let cases = [
        (status(&a.join("none"), &cert, &key), "--ca", "No such file"),
        (status(&key, &cert, &key), "--ca", "no certificate"),
        (status(&ca, &key, &key), "--cert", "no certificate"),
        (status(&ca, &cert, &cert), "--client-key", "no private key"),
        (status(&ca, &cert, &b.join("admin.key")), "--client-key", "the key does not belong to the certificate"),
    ];
    for (ran, option, reason) in cases {
        assert_eq!(ran.status, 2);
        assert!(ran.err.contains(&format!("cannot use {option}")) && ran.err.contains(reason), "{}", ran.err);
    }
    let ran = status(&ca, &cert, &key);
    assert!(ran.status == 2 && ran.err.contains("Connection refused") && ran.err.contains("listen"), "{}", ran.err);
}
