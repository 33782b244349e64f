//! Certificates as the built command makes them: what they say, that they serve for TLS, and that nothing is lost.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common::{Ran, ctl, run};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use tempfile::TempDir;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A directory with a CA, a host's and a client's certificate.
struct Pki {
    dir: PathBuf,
    _temporary: TempDir,
}

impl Pki {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let pki = Pki { dir: temporary.path().join("pki"), _temporary: temporary };
        for args in ["init", "issue --host host1 --address 192.0.2.11 --address 2001:db8::11", "issue --client admin"] {
            let ran = pki.run(args);
            assert_eq!(ran.status, 0, "{}", ran.err);
        }
        pki
    }

    fn run(&self, args: &str) -> Ran {
        run(ctl().arg("pki").args(args.split(' ')).arg("--dir").arg(&self.dir))
    }

    fn certificate(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.dir.join(format!("{name}.crt"))).unwrap()
    }

    fn pair(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivateKeyDer::from_pem_file(self.dir.join(format!("{name}.key"))).unwrap();
        (vec![self.certificate(name)], key)
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate("ca")).unwrap();
        roots
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn days(certificate: &X509Certificate<'_>) -> i64 {
    let validity = certificate.validity();
    (validity.not_after.timestamp() - validity.not_before.timestamp()) / 86400
}

#[test]
fn keys_are_for_their_owner_only() {
    let pki = Pki::new();
    assert_eq!(mode(&pki.dir), 0o700);
    for name in ["ca", "host1", "admin"] {
        assert_eq!(mode(&pki.dir.join(format!("{name}.key"))), 0o600, "{name}");
    }
}

#[test]
fn certificates_say_what_they_are_for() {
    let pki = Pki::new();
    let (ca, host, client) = (pki.certificate("ca"), pki.certificate("host1"), pki.certificate("admin"));
    let parse = |der| X509Certificate::from_der(der).unwrap().1;
    let (ca, host, client) = (parse(&ca), parse(&host), parse(&client));
    let purpose = |c: &X509Certificate<'_>| {
        let usage = c.extended_key_usage().unwrap().unwrap().value.clone();
        (usage.server_auth, usage.client_auth)
    };
    assert!(ca.is_ca() && !host.is_ca() && !client.is_ca());
    assert_eq!((purpose(&host), purpose(&client)), ((true, false), (false, true)));
    let names = host.subject_alternative_name().unwrap().unwrap().value.general_names.clone();
    let v6 = "2001:db8::11".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let expected =
        [GeneralName::DNSName("host1"), GeneralName::IPAddress(&[192, 0, 2, 11]), GeneralName::IPAddress(&v6)];
    assert_eq!(names, expected);
    assert_eq!(client.subject().iter_common_name().next().unwrap().as_str(), Ok("admin"));
    assert_eq!((days(&ca), days(&host), days(&client)), (3650, 825, 825));
    assert!(host.verify_signature(Some(ca.public_key())).is_ok());
    let skew = host.validity().not_before.timestamp() + 3600 - x509_parser::time::ASN1Time::now().timestamp();
    assert!((-300..=0).contains(&skew), "valid since an hour ago: {skew}");
}

#[test]
fn they_serve_for_mutual_tls() {
    let (pki, other) = (Pki::new(), Pki::new());
    for name in ["host1", "192.0.2.11", "2001:db8::11"] {
        handshake(&pki, &pki, "admin", name).unwrap();
    }
    assert!(handshake(&pki, &pki, "admin", "host2").is_err(), "a name that the host does not have");
    assert!(handshake(&pki, &pki, "host1", "host1").is_err(), "a host's certificate is none for a client");
    assert!(handshake(&pki, &other, "admin", "host1").is_err(), "a client of another CA");
}

/// A handshake in memory: the server is `host1` of `pki`, the client trusts `pki` and is `client` of `theirs`.
fn handshake(pki: &Pki, theirs: &Pki, client: &str, name: &str) -> io::Result<()> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(pki.roots()), provider.clone());
    let (chain, key) = pki.pair("host1");
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    let (chain, key) = theirs.pair(client);
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(pki.roots())
        .with_client_auth_cert(chain, key)
        .unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire)?;
        server.read_tls(&mut wire.as_slice())?;
        server.process_new_packets().map_err(io::Error::other)?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire)?;
        client.read_tls(&mut wire.as_slice())?;
        client.process_new_packets().map_err(io::Error::other)?;
    }
    Ok(())
}

#[test]
fn nothing_is_ever_overwritten() {
    let pki = Pki::new();
    let before: Vec<_> =
        ["ca.crt", "ca.key", "admin.crt", "admin.key"].map(|f| fs::read(pki.dir.join(f)).unwrap()).into();
    for args in ["init", "issue --client admin", "issue --host admin"] {
        let ran = pki.run(args);
        assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{args}");
        assert!(ran.err.contains("already there") && ran.err.contains("never overwritten"), "{}", ran.err);
    }
    let after: Vec<_> =
        ["ca.crt", "ca.key", "admin.crt", "admin.key"].map(|f| fs::read(pki.dir.join(f)).unwrap()).into();
    assert_eq!(before, after);
}

#[test]
fn a_ca_that_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let issue = |dir: &Path| run(ctl().args(["pki", "issue", "--client", "c", "--dir"]).arg(dir));
    let ran = issue(dir.path());
    assert!(ran.status == 1 && ran.err.contains("no CA in") && ran.err.contains("pki init"), "{}", ran.err);

    let (one, two) = (Pki::new(), Pki::new());
    fs::copy(two.dir.join("ca.key"), one.dir.join("ca.key")).unwrap();
    let ran = issue(&one.dir);
    assert!(ran.status == 1 && ran.err.contains("is not the certificate of the key in ca.key"), "{}", ran.err);
    fs::copy(two.dir.join("admin.crt"), two.dir.join("ca.crt")).unwrap();
    let ran = issue(&two.dir);
    assert!(ran.status == 1 && ran.err.contains("is not the certificate of a CA"), "{}", ran.err);
    fs::write(two.dir.join("ca.crt"), "nonsense").unwrap();
    let ran = issue(&two.dir);
    assert!(ran.status == 1 && ran.err.contains("is not a certificate"), "{}", ran.err);
}

#[test]
fn no_certificate_outlives_its_ca() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki { dir: dir.path().join("pki"), _temporary: dir };
    assert_eq!(pki.run("init --days 30").status, 0);
    let ran = pki.run("issue --client admin");
    assert!(ran.status == 0 && ran.out.contains("earlier than asked"), "{}", ran.out);
    let (ca, client) = (pki.certificate("ca"), pki.certificate("admin"));
    let end = |der| X509Certificate::from_der(der).unwrap().1.validity().not_after;
    assert_eq!(end(&ca), end(&client));
}

#[test]
fn it_says_what_to_do_next() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki { dir: dir.path().join("with a space"), _temporary: dir };
    assert!(pki.run("init").out.contains("--dir '"), "a path is quoted for the shell");
    let host = pki.run("issue --host host1").out;
    assert!(host.contains("[tls]\ncertificate = \"/etc/ovstunnel/host1.crt\"\n"), "{host}");
    let json: serde_json::Value = serde_json::from_str(&pki.run("issue --client admin --json").out).unwrap();
    assert_eq!(json["names"], serde_json::json!(["admin"]));
    assert!(json["certificate"].as_str().unwrap().ends_with("/admin.crt"));
}

fn files(pki: &Pki) -> Vec<(String, Vec<u8>)> {
    let all = fs::read_dir(&pki.dir).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> =
        all.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())).collect();
    all.sort();
    all
}

fn file<'a>(all: &'a [(String, Vec<u8>)], name: &str) -> &'a [u8] {
    &all.iter().find(|(there, _)| there == name).unwrap_or_else(|| panic!("no {name}")).1
}

#[test]
fn a_renewed_certificate_keeps_names_and_key() {
    let pki = Pki::new();
    // A host's key need not be where its certificate is renewed.
    let key = fs::read(pki.dir.join("host1.key")).unwrap();
    fs::remove_file(pki.dir.join("host1.key")).unwrap();
    let before = files(&pki);
    let ran = pki.run("renew host1 --days 100");
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.out.contains("Renewed: ") && ran.out.contains("host1.crt.old1"), "{}", ran.out);
    let after = files(&pki);
    assert_eq!(after.len(), before.len() + 1, "one file more: the old certificate");
    assert_eq!(file(&after, "host1.crt.old1"), file(&before, "host1.crt"));
    for (name, content) in before.iter().filter(|(name, _)| name != "host1.crt") {
        assert_eq!(file(&after, name), content, "{name}");
    }
    let (old, new) = (CertificateDer::from_pem_slice(file(&before, "host1.crt")).unwrap(), pki.certificate("host1"));
    let (old, new) = (X509Certificate::from_der(&old).unwrap().1, X509Certificate::from_der(&new).unwrap().1);
    assert_eq!(new.subject_alternative_name().unwrap().unwrap(), old.subject_alternative_name().unwrap().unwrap());
    assert_eq!((new.subject(), new.public_key()), (old.subject(), old.public_key()));
    assert_ne!(new.raw_serial(), old.raw_serial(), "else a list of revoked ones would mean both");
    assert_eq!(days(&new), 100);
    fs::write(pki.dir.join("host1.key"), key).unwrap();
    handshake(&pki, &pki, "admin", "2001:db8::11").unwrap();
}

#[test]
fn a_new_key_is_closed_to_others_and_the_old_pair_is_kept() {
    let pki = Pki::new();
    let before = files(&pki);
    for n in [1, 2] {
        assert_eq!(pki.run("renew admin --new-key").status, 0);
        assert_eq!(mode(&pki.dir.join(format!("admin.key.old{n}"))), 0o600);
    }
    assert_eq!(mode(&pki.dir.join("admin.key")), 0o600);
    let after = files(&pki);
    assert_eq!(file(&after, "admin.key.old1"), file(&before, "admin.key"));
    assert_ne!(file(&after, "admin.key"), file(&before, "admin.key"));
    assert!(!after.iter().any(|(name, _)| name.contains(".new")), "nothing is left over");
    handshake(&pki, &pki, "admin", "host1").unwrap();
}

#[test]
fn a_renewed_ca_and_the_old_one_trust_each_other() {
    let pki = Pki::new();
    let old = pki.certificate("ca");
    assert_eq!(pki.run("renew --ca --days 5000").status, 0);
    let new = pki.certificate("ca");
    assert_ne!(old, new);
    assert_eq!(days(&X509Certificate::from_der(&new).unwrap().1), 5000);
    handshake(&pki, &pki, "admin", "host1").unwrap();
    // One that is issued by the new is taken by who has only the old.
    assert_eq!(pki.run("issue --client late").status, 0);
    fs::write(pki.dir.join("ca.crt"), fs::read(pki.dir.join("ca.crt.old1")).unwrap()).unwrap();
    handshake(&pki, &pki, "late", "host1").unwrap();
}

#[test]
fn those_that_are_due_are_renewed_and_no_other() {
    let pki = Pki::new();
    assert_eq!(pki.run("issue --host soon --days 20").status, 0);
    let before = files(&pki);
    let json: serde_json::Value = serde_json::from_str(&pki.run("renew --due 30 --json").out).unwrap();
    let renewed = json["renewed"].as_array().unwrap();
    assert_eq!((renewed.len(), &renewed[0]["names"]), (1, &serde_json::json!(["soon"])));
    assert!(pki.run("renew --due 30").out.contains("None is due."));
    let after = files(&pki);
    assert_eq!(file(&after, "host1.crt"), file(&before, "host1.crt"));
    assert_eq!(after.len(), before.len() + 1);
}

#[test]
fn what_cannot_be_renewed_is_left_alone() {
    let (pki, other) = (Pki::new(), Pki::new());
    fs::copy(other.dir.join("admin.crt"), pki.dir.join("foreign.crt")).unwrap();
    fs::copy(pki.dir.join("admin.crt"), pki.dir.join("copy.crt")).unwrap();
    let before = files(&pki);
    for (args, status, words) in [
        ("renew nobody", 1, "cannot read"),
        ("renew foreign", 1, "is not a certificate of the CA beside it"),
        ("renew copy", 1, "has other names or uses"),
        ("renew admin --days 0", 2, "--days"),
        ("renew admin --days 900", 2, "825 days at most"),
        ("renew admin --ca", 2, "cannot be used with"),
        ("renew", 2, "required"),
    ] {
        let ran = pki.run(args);
        assert!(ran.status == status && ran.err.contains(words), "{args}: {} {}", ran.status, ran.err);
    }
    assert_eq!(files(&pki), before);
}

#[test]
fn show_tells_what_a_certificate_says() {
    let pki = Pki::new();
    let show = |what: &Path, args: &[&str]| run(ctl().args(["pki", "show"]).arg(what).args(args));
    let json = |ran: Ran| serde_json::from_str::<serde_json::Value>(&ran.out).unwrap()["certificates"].clone();
    let all = json(show(&pki.dir, &["--json"]));
    let told: Vec<_> =
        all.as_array().unwrap().iter().map(|one| (&one["purpose"], &one["name"], &one["state"])).collect();
    let expected = [("client", "admin"), ("ca", "ovstunnel CA"), ("host", "host1")];
    assert_eq!(told.len(), 3);
    for (told, (purpose, name)) in told.iter().zip(expected) {
        assert_eq!((told.0.as_str(), told.1.as_str(), told.2.as_str()), (Some(purpose), Some(name), Some("valid")));
    }
    let host = &all[2];
    assert_eq!(host["names"], serde_json::json!(["host1", "192.0.2.11", "2001:db8::11"]));
    assert_eq!((&host["issuer"], &host["key"]), (&"CN=ovstunnel CA".into(), &"ECDSA P-256".into()));
    assert!((823..=825).contains(&host["days_left"].as_i64().unwrap()), "{host}");
    assert_eq!(host["fingerprint"].as_str().unwrap().len(), 64 + 31);
    let page = show(&pki.dir.join("host1.crt"), &[]).out;
    assert!(page.contains("Valid for:  host1, 192.0.2.11, 2001:db8::11\n") && page.contains("ECDSA P-256"), "{page}");
    let ran = show(&pki.dir.join("admin.key"), &[]);
    assert!(ran.status == 1 && ran.err.contains("a file with a certificate"), "{}", ran.err);
    assert!(!ran.err.contains("PRIVATE"));
}

#[test]
fn show_says_what_has_run_out() {
    let dir = tempfile::tempdir().unwrap();
    let (old, file) = (time::OffsetDateTime::now_utc() - time::Duration::days(50), dir.path().join("ca.crt"));
    ovstunnel_pki::Authority::create(dir.path(), "old", 40, old).unwrap();
    let ran = run(ctl().args(["pki", "show"]).arg(&file));
    assert!(ran.status == 1 && ran.out.contains("-10 (EXPIRED)"), "{}", ran.out);
}

#[test]
fn the_ca_gets_another_key_in_steps_that_say_what_is_next() {
    let pki = Pki::new();
    let refused = |args: &str, words: &str| {
        let ran = pki.run(args);
        assert!(ran.status != 0 && ran.err.contains(words), "{args}: {} {}", ran.status, ran.err);
    };
    refused("rotate switch", "no change of the CA's key was begun; nothing was changed");
    refused("rotate switch --name x", "only `begin` makes a CA");
    let ran = pki.run("rotate begin --days 400");
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(
        ran.out.contains("(ovstunnel CA, ovstunnel CA 2)") && ran.out.contains("`pki rotate switch`"),
        "{}",
        ran.out
    );
    assert_eq!(mode(&pki.dir.join("ca.key.next")), 0o600);
    refused("rotate begin", "is being changed already");
    refused("renew --ca", "is to be finished first");
    let ran = pki.run("rotate switch");
    assert!(ran.status == 0 && ran.out.contains("Signs:    ovstunnel CA 2"), "{} {}", ran.out, ran.err);
    refused("rotate finish", "admin, host1 are of the CA before");
    for args in ["renew host1 admin", "rotate finish"] {
        let ran = pki.run(args);
        assert_eq!(ran.status, 0, "{args}: {}", ran.err);
    }
    // What it issues now is of the new one, and its key is where the one before was.
    assert_eq!(pki.run("issue --client later").status, 0);
    assert_eq!(mode(&pki.dir.join("ca.key")), 0o600);
    assert!(pki.dir.join("ca.key.old1").exists() && !pki.dir.join("ca.key.next").exists());
}
