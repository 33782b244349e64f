//! TLS to the servers, each started here so that it takes nothing else over TCP: who is trusted, why another one is not, and that nobody goes on
//! in clear text.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ovstunnel_store::{OpenOptions, OwnFiles, Store, StoreError, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use sqlx::{AssertSqlSafe, Executor};
use tempfile::TempDir;

use crate::servers::{Server, connected, postgres_programs, run, start};

/// Which is to stand in no error.
const PASSWORD: &str = "geheim";

/// A server's certificate for 127.0.0.1 alone, its authority, and one that has nothing to do with it.
struct Files {
    ca: PathBuf,
    other_ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    /// The authority that the server takes clients' certificates of.
    client_ca: PathBuf,
    folder: PathBuf,
}

impl Files {
    fn new(folder: &Path) -> Files {
        let at = |name: &str| folder.join(name);
        let (certificate, key, client_ca) = (at("db.crt"), at("db.key"), at("clients.crt"));
        let (ca, other_ca, folder) = (at("ca.crt"), at("other.crt"), folder.to_owned());
        let files = Files { ca, other_ca, certificate, key, client_ca, folder };
        let issuer = authority(&files.ca);
        authority(&files.other_ca);
        let mut leaf = CertificateParams::default();
        leaf.subject_alt_names = vec![SanType::IpAddress("127.0.0.1".parse().unwrap())];
        let key = KeyPair::generate().unwrap();
        std::fs::write(&files.certificate, leaf.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        run("chmod", &["600".into(), shown(&files.key)]);
        let clients = authority(&files.client_ca);
        files.make_client("crt", &clients);
        files.make_client("somebody", &clients);
        files.make_client("stranger", &authority(&files.folder.join("unknown.crt")));
        files
    }

    /// A client's certificate with this common name.
    fn make_client(&self, name: &str, issuer: &Issuer<'static, KeyPair>) {
        let mut leaf = CertificateParams::default();
        leaf.distinguished_name.push(DnType::CommonName, if name == "stranger" { "crt" } else { name });
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (key, own) = (KeyPair::generate().unwrap(), self.client(name));
        std::fs::write(&own.certificate, leaf.signed_by(&key, issuer).unwrap().pem()).unwrap();
        std::fs::write(&own.key, key.serialize_pem()).unwrap();
    }

    fn client(&self, name: &str) -> OwnFiles {
        let at = |ending: &str| self.folder.join(format!("client-{name}.{ending}"));
        OwnFiles { certificate: at("crt"), key: at("key") }
    }
}

fn authority(file: &Path) -> Issuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // One of the same name and another key would be found, and its signature bad.
    params.distinguished_name.push(DnType::CommonName, shown(file));
    let key = KeyPair::generate().unwrap();
    std::fs::write(file, params.self_signed(&key).unwrap().pem()).unwrap();
    Issuer::new(params, key)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn text(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn open(url: &str, ca: Option<&Path>) -> Result<Store, StoreError> {
    open_as(url, ca, None).await
}

async fn open_as(url: &str, ca: Option<&Path>, own: Option<OwnFiles>) -> Result<Store, StoreError> {
    let tls = TlsFiles { ca: ca.map(Path::to_owned), own };
    Store::open(url, "dc1", OpenOptions { tls, ..OpenOptions::default() }).await
}

/// Why the database cannot be used; without the password.
async fn refusal(url: &str, ca: Option<&Path>) -> String {
    let error = open(url, ca).await.expect_err("the server is to be refused").to_string();
    assert!(!error.contains(PASSWORD), "{error}");
    error
}

/// What holds on each server. `url` is the zone's at a host of this name, with what follows `?`; `clear` is what asks for no TLS, and what the
/// server says of that.
async fn only_the_right_server_is_trusted(files: &Files, url: impl Fn(&str, &str) -> String, clear: (&str, &str)) {
    let (no_tls, said) = clear;
    let store = open(&url("127.0.0.1", ""), Some(&files.ca)).await.expect("the right authority");
    assert_eq!(store.zone().await.unwrap().name, "dc1");
    store.close().await;
    let in_clear = refusal(&url("127.0.0.1", no_tls), None).await;
    assert!(in_clear.contains(said), "the server takes the same user by TLS alone: {in_clear}");
    // An authority that is named asks for TLS, whatever else the address says.
    open(&url("127.0.0.1", no_tls), Some(&files.ca)).await.expect("the right authority").close().await;

    for ending in ["", no_tls] {
        let stranger = refusal(&url("127.0.0.1", ending), Some(&files.other_ca)).await;
        let why = "the database cannot be used: the certificate of the database server is of an authority that neither [database] ca has";
        assert!(stranger.starts_with(why), "{stranger}");
    }
    let elsewhere = refusal(&url("localhost", ""), Some(&files.ca)).await;
    assert!(elsewhere.contains(r#"is for other names than "localhost""#), "{elsewhere}");
    // A file without an authority, and one that is not there, are no reason to wait for the server.
    for no_ca in [files.key.clone(), files.ca.with_extension("gone")] {
        let error = open(&url("127.0.0.1", ""), Some(&no_ca)).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Invalid { field: "[database] ca", value, .. } if *value == shown(&no_ca)),
            "{error}"
        );
    }
}

/// What holds of a user who must show a certificate of its own name. `missing` is what the server says where there is none, `others` where it is
/// another client's.
async fn only_the_right_client_is_taken(files: &Files, url: &str, missing: &str, others: Option<&str>) {
    let ask = async |own: Option<OwnFiles>| open_as(url, Some(&files.ca), own).await;
    let store = ask(Some(files.client("crt"))).await.expect("the right certificate");
    assert_eq!(store.zone().await.unwrap().name, "dc1");
    store.close().await;
    let stranger =
        "does not take the certificate of [database] certificate: it is of an authority that the server does not trust";
    let of_other = files.client("somebody");
    let cases =
        [(None, Some(missing)), (Some(files.client("stranger")), Some(stranger)), (Some(of_other.clone()), others)];
    for (own, words) in cases {
        let Some(words) = words else { continue };
        let error = ask(own).await.expect_err(words);
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        let error = error.to_string();
        assert!(error.contains(words) && !error.contains(PASSWORD), "{error}");
    }
    // Files that can never do are no reason to wait for the server.
    let own = files.client("crt");
    for (certificate, key, field, rule) in [
        (own.certificate.clone(), of_other.key, "[database] key", "must be the key of [database] certificate"),
        (own.certificate.clone(), own.certificate.clone(), "[database] key", "must be a file with a private key"),
        (own.key.clone(), own.key.clone(), "[database] certificate", "must be a file with a certificate"),
        (own.key.with_extension("gone"), own.key, "[database] certificate", "must be a file with a certificate"),
    ] {
        let error = ask(Some(OwnFiles { certificate, key })).await.unwrap_err();
        assert!(matches!(&error, StoreError::Invalid { field: of, .. } if *of == field), "{error:?}");
        assert!(error.to_string().contains(rule), "{error}");
    }
}

/// A server without TLS is told nothing where an authority is named.
async fn nobody_goes_on_in_clear_text(files: &Files, url: &str) {
    let refused = refusal(url, Some(&files.ca)).await;
    assert!(refused.contains("TLS is asked for and was not possible: server does not support TLS"), "{refused}");
    // That was why: it is there, and takes who asks for none.
    let until = Instant::now() + Duration::from_secs(60);
    while let Err(error) = open(url, None).await {
        assert!(Instant::now() < until, "{error}");
    }
}

#[tokio::test]
async fn mariadb_is_trusted_by_its_certificate_alone() {
    let folder = TempDir::new().unwrap();
    let files = Files::new(folder.path());
    let (data, socket) = (format!("--datadir={}", shown(&folder.path().join("data"))), folder.path().join("s"));
    let tmpdir = format!("--tmpdir={}", shown(folder.path()));
    let install = ["--no-defaults", "--user=root", &data, &tmpdir, "--auth-root-authentication-method=normal"];
    run("mariadb-install-db", &text(&install));
    let (port, at) = (free_port(), format!("--socket={}", shown(&socket)));
    let spawn = |tls: &[String]| {
        let listen = format!("--port={port}");
        let mut all = text(&["--no-defaults", "--user=root", &data, &tmpdir, &at, &listen, "--bind-address=127.0.0.1"]);
        all.push("--skip-name-resolve".into());
        all.extend_from_slice(tls);
        start("mariadbd", &all, TempDir::new().unwrap())
    };
    let encrypted = spawn(&[
        "--require-secure-transport=ON".into(),
        format!("--ssl-cert={}", shown(&files.certificate)),
        format!("--ssl-key={}", shown(&files.key)),
        format!("--ssl-ca={}", shown(&files.client_ca)),
    ]);
    let by_socket = format!("mysql://root@localhost/?socket={}", shown(&socket));
    let options: sqlx::mysql::MySqlConnectOptions = by_socket.parse().unwrap();
    let user = format!("CREATE USER ovs@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'");
    let by_certificate = format!("CREATE USER crt@'127.0.0.1' IDENTIFIED BY '{PASSWORD}' REQUIRE X509");
    let grants = ["GRANT ALL ON zone.* TO ovs@'127.0.0.1'", "GRANT ALL ON shown.* TO crt@'127.0.0.1'"];
    for statement in ["CREATE DATABASE zone", "CREATE DATABASE shown", &user, &by_certificate].iter().chain(&grants) {
        connected(&options).await.execute(AssertSqlSafe((*statement).to_owned())).await.unwrap();
    }
    let url = |host: &str, query: &str| format!("mysql://ovs:{PASSWORD}@{host}:{port}/zone{query}");
    only_the_right_server_is_trusted(&files, url, ("?ssl-mode=DISABLED", "Access denied")).await;
    // Whose certificate it is, MariaDB asks only where the user's SUBJECT says so.
    let as_client = format!("mysql://crt:{PASSWORD}@127.0.0.1:{port}/shown");
    only_the_right_client_is_taken(&files, &as_client, "Access denied", None).await;

    drop(encrypted);
    let _clear = spawn(&["--skip-ssl".into()]);
    connected(&options).await;
    nobody_goes_on_in_clear_text(&files, &url("127.0.0.1", "")).await;
}

/// PostgreSQL on a port of loopback, which takes TCP as `rules` (of `pg_hba.conf`) say.
fn start_postgres(folder: &Path, port: u16, rules: &str, tls: &[String]) -> Server {
    let data = folder.join("data");
    std::fs::write(data.join("pg_hba.conf"), format!("local all all trust\n{rules}\n")).unwrap();
    let program = shown(&postgres_programs().join("postgres"));
    let (listen, place) = (format!("port={port}"), shown(folder));
    let mut all = text(&["--reuid=postgres", "--regid=postgres", "--clear-groups", &program, "-D", &shown(&data)]);
    all.extend(text(&["-k", &place, "-c", "listen_addresses=127.0.0.1", "-c", &listen]));
    all.extend_from_slice(tls);
    start("setpriv", &all, TempDir::new().unwrap())
}

#[tokio::test]
async fn postgresql_is_trusted_by_its_certificate_alone() {
    let folder = TempDir::new().unwrap();
    let files = Files::new(folder.path());
    run("chown", &text(&["-R", "postgres", &shown(folder.path())]));
    let (init, data) = (shown(&postgres_programs().join("initdb")), shown(&folder.path().join("data")));
    let install =
        ["--reuid=postgres", "--regid=postgres", "--clear-groups", &init, "-D", &data, "-A", "trust", "--no-sync"];
    run("setpriv", &text(&install));
    let port = free_port();
    let tls = text(&["-c", "ssl=on", "-c"]).into_iter();
    let tls = tls.chain([
        format!("ssl_cert_file={}", shown(&files.certificate)),
        "-c".into(),
        format!("ssl_key_file={}", shown(&files.key)),
        "-c".into(),
        format!("ssl_ca_file={}", shown(&files.client_ca)),
    ]);
    let only_tls =
        "hostssl all crt 127.0.0.1/32 scram-sha-256 clientcert=verify-full\nhostssl all all 127.0.0.1/32 scram-sha-256";
    let encrypted = start_postgres(folder.path(), port, only_tls, &tls.collect::<Vec<_>>());
    let by_socket = format!("postgres://postgres@localhost:{port}/postgres?host={}", shown(folder.path()));
    let options: sqlx::postgres::PgConnectOptions = by_socket.parse().unwrap();
    let user = format!("CREATE USER ovs PASSWORD '{PASSWORD}'");
    let by_certificate = format!("CREATE USER crt PASSWORD '{PASSWORD}'");
    let database =
        |name: &str, owner: &str| format!("CREATE DATABASE {name} OWNER {owner} ENCODING 'UTF8' TEMPLATE template0");
    for statement in [&user, &by_certificate, &database("zone", "ovs"), &database("shown", "crt")] {
        connected(&options).await.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
    }
    let url = |host: &str, query: &str| format!("postgres://ovs:{PASSWORD}@{host}:{port}/zone{query}");
    only_the_right_server_is_trusted(&files, url, ("?sslmode=disable", "no encryption")).await;
    let as_client = format!("postgres://crt:{PASSWORD}@127.0.0.1:{port}/shown");
    // It does not tell it from a wrong password; its log does.
    let others = Some("password authentication failed");
    only_the_right_client_is_taken(&files, &as_client, "requires a valid client certificate", others).await;

    drop(encrypted);
    let _clear = start_postgres(folder.path(), port, "host all all 127.0.0.1/32 scram-sha-256", &[]);
    connected(&options).await;
    nobody_goes_on_in_clear_text(&files, &url("127.0.0.1", "")).await;
}
