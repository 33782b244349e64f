//! A daemon to test: the real program, with certificates and files of its own, on a port of 127.0.0.1.

pub mod host;
pub mod pool;

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, DnValue, IsCa,
    Issuer, KeyIdMethod, KeyPair, RevokedCertParams,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long anything may take that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A certificate authority.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, in PEM.
pub struct Identity {
    pub certificate: String,
    pub key: String,
    serial: u64,
}

impl Identity {
    /// One that was made elsewhere.
    pub fn new(certificate: String, key: String) -> Self {
        Identity { certificate, key, serial: 0 }
    }
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    pub fn issue(&self, name: &str) -> Identity {
        self.issue_for(name, 2000, 2100)
    }

    /// A certificate that begins and ends with the beginning of these years.
    pub fn issue_for(&self, name: &str, from: i32, until: i32) -> Identity {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned(), name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        self.sign(params)
    }

    /// A certificate with these common names and no other names.
    pub fn issue_with(&self, common_names: Vec<DnValue>) -> Identity {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let kinds = [DnType::CommonName, DnType::CustomDnType(vec![2, 5, 4, 3])];
        kinds.into_iter().zip(common_names).for_each(|(kind, name)| params.distinguished_name.push(kind, name));
        self.sign(params)
    }

    /// A certificate for everything that these settings say.
    pub fn sign(&self, mut params: CertificateParams) -> Identity {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        params.serial_number = Some(serial.into());
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { certificate, key: key.serialize_pem(), serial }
    }

    /// The list that revokes these.
    pub fn revoke(&self, identities: &[&Identity]) -> String {
        let revoked = |identity: &&Identity| RevokedCertParams {
            serial_number: identity.serial.into(),
            revocation_time: rcgen::date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(2100, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: identities.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// A client's TLS: trusts `server_ca`, shows `identity`, if any.
pub fn client(server_ca: &Authority, identity: Option<&Identity>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(server_ca.pem.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

/// A running daemon. Killed when dropped.
pub struct Daemon {
    pub dir: Arc<TempDir>,
    pub ca: Authority,
    pub address: SocketAddr,
    child: Child,
}

/// Writes good certificate files and a configuration with `more` at its end; returns the authority.
pub fn prepare(dir: &Path, more: &str) -> Authority {
    let ca = Authority::new("test CA");
    let host = ca.issue("host");
    std::fs::write(dir.join("ca.pem"), &ca.pem).unwrap();
    std::fs::write(dir.join("cert.pem"), &host.certificate).unwrap();
    std::fs::write(dir.join("key.pem"), &host.key).unwrap();
    std::fs::set_permissions(dir.join("key.pem"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    // Never the Open vSwitch of the machine that the test runs on.
    let ovs = if more.contains("[ovs]") { String::new() } else { format!("[ovs]\nrundir = \"{}\"\n", dir.display()) };
    let config = format!(
        "{ovs}[api]\nlisten = \"127.0.0.1:0\"\nsocket = \"{d}/run/o.sock\"\n[tls]\ncertificate = \"{d}/cert.pem\"\nkey = \
         \"{d}/key.pem\"\nclient_ca = \"{d}/ca.pem\"\n[log]\nfile = \"{d}/log\"\n{more}\n",
        d = dir.display()
    );
    std::fs::write(dir.join("o.toml"), config).unwrap();
    ca
}

/// The program with its configuration, standard error going to a file.
pub fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ovstunneld"));
    let stderr = std::fs::File::options().append(true).create(true).open(dir.join("stderr")).unwrap();
    command.arg("--config").arg(dir.join("o.toml")).stdin(Stdio::null()).stderr(stderr);
    command
}

impl Daemon {
    /// Starts one; `more` is added under `[log]` and may open further sections.
    pub fn start(more: &str) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let ca = prepare(dir.path(), more);
        Self::start_in(dir, ca)
    }

    /// Starts one on the simulated switch.
    pub fn simulated(more: &str) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let ca = prepare(dir.path(), more);
        let mut program = program(dir.path());
        program.arg("--simulate");
        Self::run(dir, ca, program)
    }

    /// Starts one in a folder that was prepared before.
    pub fn start_in(dir: Arc<TempDir>, ca: Authority) -> Self {
        let program = program(dir.path());
        Self::run(dir, ca, program)
    }

    /// Starts one in a folder that was prepared before, by a command of the caller's.
    pub fn run(dir: Arc<TempDir>, ca: Authority, mut program: Command) -> Self {
        let log = dir.path().join("log");
        let before = std::fs::read_to_string(&log).unwrap_or_default().len();
        let child = program.spawn().unwrap();
        // Ended also where it never serves.
        let mut daemon = Daemon { dir, ca, address: SocketAddr::from(([0; 4], 0)), child };
        daemon.address = wait_for("the daemon serves", || {
            let text = std::fs::read_to_string(&log).ok()?;
            let line = text.get(before..)?.lines().find(|line| line.contains("serving"))?;
            line.split_once("https=\"")?.1.split_once('"')?.0.parse().ok()
        });
        daemon
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("run/o.sock")
    }

    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    /// Replaces a piece of the configuration file.
    pub fn edit(&self, old: &str, new: &str) {
        let text = self.file("o.toml");
        assert!(text.contains(old), "{old} is not in {text}");
        std::fs::write(self.dir.path().join("o.toml"), text.replace(old, new)).unwrap();
    }

    /// Has it read everything again, and waits until it has.
    pub fn reload(&self) {
        let done = "SIGHUP: log reopened, configuration and certificates read again";
        let before = self.file("log").matches(done).count();
        self.signal(Signal::SIGHUP);
        self.wait_for_log(done, before + 1);
    }

    /// Bytes of memory that it has.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// How many files the daemon has open.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits until the log has a line with `text` in it, `times` times.
    pub fn wait_for_log(&self, text: &str, times: usize) {
        wait_for(text, || (self.file("log").matches(text).count() >= times).then_some(()));
    }

    pub fn wait(&mut self) -> ExitStatus {
        wait_for("the daemon ends", || self.child.try_wait().unwrap())
    }

    /// A TLS connection as `identity`. With TLS 1.3 a refusal may only be seen when reading.
    pub async fn connect(&self, identity: Option<&Identity>) -> std::io::Result<TlsStream<TcpStream>> {
        self.connect_from([127, 0, 0, 1].into(), identity).await
    }

    /// The same from another address of this host.
    pub async fn connect_from(
        &self,
        from: IpAddr,
        identity: Option<&Identity>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let tcp = socket.connect(self.address).await?;
        self.tls(tcp, client(&self.ca, identity)).await
    }

    async fn tls(&self, tcp: TcpStream, client: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(client)).connect(name, tcp).await
    }

    /// A connection for HTTP/2, of which nothing is said yet.
    pub async fn connect_http2(&self, from: IpAddr, identity: &Identity) -> TlsStream<TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let mut client = client(&self.ca, Some(identity));
        client.alpn_protocols = vec![b"h2".to_vec()];
        self.tls(socket.connect(self.address).await.unwrap(), client).await.unwrap()
    }

    /// One request as `identity`.
    pub async fn ask(&self, identity: Option<&Identity>, request: &[u8]) -> std::io::Result<Answer> {
        exchange(self.connect(identity).await?, request).await
    }

    /// One request as `identity`, from this address.
    pub async fn ask_from(&self, from: IpAddr, identity: &Identity, request: &[u8]) -> std::io::Result<Answer> {
        exchange(self.connect_from(from, Some(identity)).await?, request).await
    }

    /// One request over the Unix socket.
    pub async fn ask_socket(&self, request: &[u8]) -> Answer {
        exchange(UnixStream::connect(self.socket()).await.unwrap(), request).await.unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that stays open from one request to the next.
pub struct Session(TlsStream<TcpStream>);

impl Session {
    pub async fn open(daemon: &Daemon, identity: &Identity) -> std::io::Result<Self> {
        Ok(Session(daemon.connect(Some(identity)).await?))
    }

    pub async fn from_address(daemon: &Daemon, from: IpAddr, identity: &Identity) -> std::io::Result<Self> {
        Ok(Session(daemon.connect_from(from, Some(identity)).await?))
    }

    /// One request with a JSON body, if any; status and body of the answer.
    pub async fn ask(&mut self, line: &str, body: &str) -> std::io::Result<(u16, String)> {
        let length = body.len();
        let head = "host: test\r\ncontent-type: application/json";
        let request = format!("{line} HTTP/1.1\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}");
        self.0.write_all(request.as_bytes()).await?;
        self.0.flush().await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tokio::time::timeout(PATIENCE, self.0.read_u8()).await.expect("no answer")?);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let length = head.split_once("content-length: ").unwrap().1.split_once("\r\n").unwrap().0.parse().unwrap();
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        Ok((head.split(' ').nth(1).unwrap().parse().unwrap(), String::from_utf8(body).unwrap()))
    }
}

/// Looks again and again until there is something.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match look() {
            Some(found) => return found,
            None if Instant::now() > end => panic!("waited in vain: {what}"),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// An answer, as text.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|l| l.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v))
    }

    /// The body as a problem with the status of the answer.
    pub fn problem(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], self.status);
        problem
    }
}

/// Text of a request after whose answer the connection ends.
pub fn request(line: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{line} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    if !body.is_empty() {
        write!(head, "content-length: {}\r\n", body.len()).unwrap();
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// Sends all of the request, then reads to the end.
pub async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, request: &[u8]) -> std::io::Result<Answer> {
    stream.write_all(request).await?;
    stream.flush().await?;
    answer(stream).await
}

/// Reads an answer to the end of the connection.
pub async fn answer<S: AsyncRead + Unpin>(mut stream: S) -> std::io::Result<Answer> {
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("no end of the answer")?;
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}
