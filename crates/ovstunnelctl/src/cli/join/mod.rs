//! `join`: a new host gets its certificate from the zone's manager by a token, is registered there, and its daemon listens by it.
//!
//! What it does: judges all that can be judged here before the token is shown to anybody; makes the key, which never leaves the host.
//! What it must not do: overwrite a file, or change a setting that somebody has made.

pub(super) mod keeps;
pub(super) mod programs;
mod settings;

use std::io::{self, Read};
use std::net::{IpAddr, ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use ovstunnel_api::Code;
use ovstunnel_manager_api::{Host, PostJoin, TokenText};
use serde::Serialize;

use super::show::{Page, quoted};
use super::{Failure, Report, values};
use crate::client::{ClientError, Endpoint, Joining, Url};
use crate::pki::{Name, Request};
use settings::Settings;

/// Longest text that is read from standard input, bytes.
const LONGEST: u64 = 4096;

/// The port of a manager whose URL names none.
const MANAGER_PORT: u16 = 8444;

#[derive(Args, Clone, Debug)]
pub(super) struct Join {
    /// Where the zone's manager listens: https://HOST:8444.
    #[arg(long, value_name = "URL", value_parser = Endpoint::parse_url)]
    manager: Url,
    /// The token, as `zone token create` told it; - reads it from standard input, where no list of processes shows it.
    #[arg(long, value_name = "TOKEN|-")]
    token: String,
    /// Its name; without, that of the host.
    #[arg(long)]
    name: Option<Name>,
    /// The address at which the manager reaches its daemon; without, the one from which this host reaches the manager.
    #[arg(long, value_name = "IP", value_parser = values::ip)]
    address: Option<IpAddr>,
    /// The port at which its daemon listens.
    #[arg(long, default_value_t = 8443, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Its number; without, the next free one.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=i64::MAX as u64))]
    number: Option<u64>,
    /// Where its key and certificates go.
    #[arg(long, default_value = "/etc/ovstunnel/tls")]
    dir: PathBuf,
    /// The daemon's configuration, where they are named.
    #[arg(long, value_name = "FILE", default_value = "/etc/ovstunnel/ovstunneld.toml")]
    config: PathBuf,
    /// Leave the daemon running as it is.
    #[arg(long)]
    no_restart: bool,
}

/// The JSON of `join`.
#[derive(Debug, Serialize)]
struct Done<'a> {
    host: &'a Host,
    certificate: &'a Path,
    key: &'a Path,
    ca: &'a Path,
    /// When the certificate expires: RFC 3339, UTC.
    expires: &'a str,
    config: &'a Path,
    /// Settings that are new in it.
    set: &'a [String],
    /// The daemon runs with it.
    restarted: bool,
}

pub(super) async fn join_zone(args: &Join, timeout: Duration, json: bool) -> Result<Report, Failure> {
    let token = read_token(&args.token)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => own_name()?,
    };
    let address = match args.address {
        Some(address) => address,
        None => own_address(&args.manager)?,
    };
    let settings = Settings::plan_settings(&args.config, &args.dir, &name, address, args.port)?;
    let fingerprint = TokenText::parse_token(&token).map_or("", |parts| parts.fingerprint);
    let joining = Joining::fetch_ca(&args.manager, fingerprint, timeout).await.map_err(Failure::Manager)?;
    let request = Request::for_host(&args.dir, &name, &[address], joining.ca())?;
    let api = match address {
        IpAddr::V4(address) => format!("https://{address}:{}", args.port),
        IpAddr::V6(address) => format!("https://[{address}]:{}", args.port),
    };
    let csr = request.text().to_owned();
    let body = PostJoin { token, name: name.to_string(), csr, api, number: args.number };
    let joined = match joining.join(&body).await {
        Ok(joined) => joined,
        Err(source) if may_have_joined(&source) => return Err(Failure::Unanswered { source, key: request.keep_key() }),
        Err(refused) => return Err(Failure::Manager(refused)),
    };
    let files = request.write_certificate(&joined.certificate, &joined.ca)?;
    let after = |what: String| Failure::Joined { name: name.to_string(), what };
    keeps::write(&args.dir, std::slice::from_ref(&args.manager)).map_err(after)?;
    settings.write_checked().map_err(after)?;
    let restarted = !args.no_restart && programs::has_systemd();
    if restarted {
        programs::restart_daemon().map_err(after)?;
    }
    let [certificate, key, ca] = &files;
    let (expires, config, set) = (joined.expires.as_str(), args.config.as_path(), settings.new_settings());
    Report::new(json, &Done { host: &joined.host, certificate, key, ca, expires, config, set, restarted }, joined_page)
}

/// Whether the manager may have let the host in all the same.
fn may_have_joined(error: &ClientError) -> bool {
    match error {
        ClientError::NoAnswer { .. } | ClientError::BrokenOff { .. } | ClientError::Unexpected { .. } => true,
        ClientError::Problem(problem) => problem.code == Code::Internal,
        _ => false,
    }
}

/// The token; what is wrong with one is told without it.
fn read_token(given: &str) -> Result<String, Failure> {
    let mut text = given.to_owned();
    if given == "-" {
        text.clear();
        let read = io::stdin().take(LONGEST).read_to_string(&mut text);
        read.map_err(|source| Failure::File { action: "read", path: "standard input".into(), source })?;
    }
    let text = text.trim().to_owned();
    if TokenText::parse_token(&text).is_none() {
        return Err(Failure::Usage(format!(
            "--token must be ID.SECRET.FINGERPRINT, of 8, 40 and 64 lower hexadecimal digits, as `zone token create` told it; it has {} \
             characters",
            text.len()
        )));
    }
    Ok(text)
}

fn own_name() -> Result<Name, Failure> {
    let path = PathBuf::from("/proc/sys/kernel/hostname");
    let text = std::fs::read_to_string(&path).map_err(|source| Failure::File { action: "read", path, source })?;
    let unfit =
        |why| Failure::Usage(format!("--name is missing, and the host's own, `{}`, is none: {why}", text.trim()));
    text.trim().parse().map_err(unfit)
}

/// The address from which this host reaches the manager. Nothing is sent.
fn own_address(manager: &Url) -> Result<IpAddr, Failure> {
    let missing = |why: String| {
        Failure::Usage(format!("--address is missing, and cannot be told by the way to {manager}: {why}"))
    };
    let host = manager.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let mut found =
        (host, manager.port().unwrap_or(MANAGER_PORT)).to_socket_addrs().map_err(|e| missing(e.to_string()))?;
    let to = found.next().ok_or_else(|| missing("it has no address".to_owned()))?;
    let from = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })
        .and_then(|socket| socket.connect(to).and_then(|()| socket.local_addr()));
    let address = from.map_err(|e| missing(e.to_string()))?.ip();
    if address.is_loopback() {
        return Err(missing(format!("{address} is of this host alone")));
    }
    Ok(address)
}

fn joined_page(done: &Done) -> Page {
    let mut page = Page::new();
    page.line(format!(
        "{} has joined: number {}, mode {}, {}",
        done.host.name,
        done.host.number,
        done.host.mode.as_str(),
        done.host.api
    ));
    let zone = done.certificate.with_file_name(keeps::FILE);
    for path in [done.certificate, done.key, done.ca, &zone] {
        page.line(format!("Wrote:   {}", path.display()));
    }
    page.line(format!("Expires: {}", done.expires));
    page.line(format!("Set in {}: {}", done.config.display(), done.set.join(", ")));
    if !done.restarted {
        page.line("The daemon takes it up at its next start: systemctl restart ovstunneld");
    }
    page.line("");
    page.line("Nothing on it is changed until an admin says so:");
    page.line(format!(
        "  ovstunnelctl zone host add {} --api {} --mode manage",
        quoted(&done.host.name),
        quoted(&done.host.api)
    ));
    page
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_token_that_is_none_is_told_without_it() {
        let good = format!("{}.{}.{}", "0a".repeat(4), "1b".repeat(20), "2c".repeat(32));
        assert_eq!(read_token(&format!(" {good}\n")).unwrap(), good);
        for bad in [&good[1..], &good.to_uppercase(), &format!("{good}.00"), "", "secret"] {
            let said = read_token(bad).unwrap_err().to_string();
            assert!(said.starts_with("--token must be ID.SECRET.FINGERPRINT"), "{said}");
            assert!(bad.is_empty() || !said.contains(bad), "{said}");
        }
    }

    #[test]
    fn the_key_stays_where_the_answer_was_lost_and_only_there() {
        let peer = crate::client::Peer::daemon_at("https://manager:8444");
        let source = ClientError::NoAnswer { peer: peer.clone(), timeout: Duration::from_secs(9) };
        assert!(may_have_joined(&source) && !may_have_joined(&ClientError::OtherCa { peer }));
        let failure = Failure::Unanswered { source, key: "/k/h1.key.asked".into() };
        assert_eq!(failure.exit_status(), 2);
        let said = failure.to_string();
        assert!(said.starts_with("no answer from"), "{said}");
    }

    #[test]
    fn the_address_is_that_of_the_way_to_the_manager() {
        let said = own_address(&Endpoint::parse_url("https://127.0.0.1:8444").unwrap()).unwrap_err().to_string();
        assert!(said.contains("--address is missing") && said.ends_with("127.0.0.1 is of this host alone"), "{said}");
    }
}
