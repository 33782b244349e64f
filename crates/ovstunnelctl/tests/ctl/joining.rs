//! `join` against a manager that shows more than one CA: the token goes to nobody but whom the CA vouches for whose fingerprint it has.

use std::net::SocketAddr;
use std::path::Path;

use ovstunnel_pki::sha256_fingerprint;
use rustls::ServerConfig;
use serde_json::json;
use time::Duration;
use tokio::runtime::Runtime;

use crate::common::{Ran, Script, canned, ctl, problem, run};
use crate::https::{builder, own_certificate, pki, serve_script};

/// A manager with the certificate of the CA in a folder, which says that these are its CAs, and takes nobody in.
struct FakeManager {
    address: SocketAddr,
    script: Script,
    _runtime: Runtime,
}

impl FakeManager {
    fn new(own: &Path, shown: &str) -> Self {
        let script = Script::new(vec![
            canned("GET /v1/enrolment/ca", 200, json!({"certificate": shown})),
            canned("POST /v1/enrolment/join", 404, problem()),
        ]);
        let (chain, key) = own_certificate(own);
        let config: ServerConfig = builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let (address, runtime) = serve_script(&script, config);
        FakeManager { address, script, _runtime: runtime }
    }

    /// What a new host says that joins by a token with this fingerprint.
    fn joined_by(&self, dir: &Path, fingerprint: &str) -> Ran {
        let token = format!("{}.{}.{fingerprint}", "a".repeat(8), "b".repeat(40));
        let manager = format!("https://{}", self.address);
        let asked = ["join", "--manager", &manager, "--token", &token, "--name", "h1", "--address", "192.0.2.1"];
        let mut command = ctl();
        command.args(asked).arg("--no-restart").arg("--dir").arg(dir.join("tls"));
        run(command.arg("--config").arg(dir.join("ovstunneld.toml")))
    }

    /// The paths that were asked for.
    fn asked(&self) -> Vec<String> {
        self.script.asked().into_iter().map(|asked| asked.line).collect()
    }
}

const CA: &str = "GET /v1/enrolment/ca";
const JOIN: &str = "POST /v1/enrolment/join";

#[test]
fn a_ca_that_the_token_does_not_name_is_not_trusted() {
    let (named, other) = (pki(Duration::ZERO), pki(Duration::ZERO));
    let text = |of: &Path| std::fs::read_to_string(of.join("ca.crt")).unwrap();
    let (named_ca, other_ca) = (text(named.path()), text(other.path()));
    let fingerprint = sha256_fingerprint(&named_ca).unwrap();
    let both = [named_ca.clone() + &other_ca, other_ca + &named_ca];
    let joined_at = |own: &Path, shown: &str| {
        let (manager, host) = (FakeManager::new(own, shown), tempfile::tempdir().unwrap());
        let ran = manager.joined_by(host.path(), &fingerprint);
        assert_ne!(ran.status, 0, "{}", ran.out);
        let left: Vec<_> = std::fs::read_dir(host.path().join("tls")).into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "left on the host: {left:?}");
        (manager.asked(), ran.err)
    };
    // It has the named CA's certificate to show, and is itself of the one beside it.
    let (asked, said) = joined_at(other.path(), &both[0]);
    assert_eq!(asked, [CA], "{said}");
    assert!(said.contains("no TLS with the manager"), "{said}");
    // What counts is the first one.
    let (asked, said) = joined_at(other.path(), &both[1]);
    assert_eq!(asked, [CA], "{said}");
    assert!(said.contains("is not the one that the token names; the token was not sent"), "{said}");
    // Whom the named one vouches for is sent the token, with another one beside it, too.
    assert_eq!(joined_at(named.path(), &both[0]).0, [CA, JOIN]);
}
