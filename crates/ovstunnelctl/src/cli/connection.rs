//! Which daemon is meant: the command line before the environment before the default.
//!
//! What it must not do: guess. Half of what HTTPS needs is an error that names the other half.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::hosts::{self, Hosts, Known};
use crate::client::{DEFAULT_MANAGER_SOCKET, Endpoint, Identity, Url};

/// Heading of the options that each command has.
pub(super) const GENERAL: &str = "General options";

const REMOTE: &str = "Another host, over HTTPS";

/// Which daemon is asked: each of these may stand anywhere on the line.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Connection {
    /// The daemon's Unix socket; for root on the same host [default: /run/ovstunnel/ovstunneld.sock, for `zone` the manager's,
    /// /run/ovstunnel/manager.sock] [env: OVSTUNNEL_SOCKET, for `zone` OVSTUNNEL_MANAGER_SOCKET].
    #[arg(long, global = true, value_name = "PATH", help_heading = GENERAL)]
    pub(super) socket: Option<PathBuf>,

    /// The daemon of another host, by its name in hosts.toml or its own; port 8443 unless the file says another [env:
    /// OVSTUNNEL_HOST].
    #[arg(long, global = true, value_name = "NAME", help_heading = REMOTE, add = ArgValueCandidates::new(hosts::host_candidates))]
    pub(super) host: Option<String>,

    /// The daemon of another host, as https://HOST:8443, for `zone` the manager, as https://HOST:8444 [env: OVSTUNNEL_URL, for
    /// `zone` OVSTUNNEL_MANAGER_URL].
    #[arg(long, global = true, value_parser = Endpoint::parse_url, help_heading = REMOTE)]
    pub(super) url: Option<Url>,

    /// Certificate of the CA that the daemon's certificate must come from, PEM [env: OVSTUNNEL_CA].
    #[arg(long, global = true, value_name = "FILE", help_heading = REMOTE)]
    pub(super) ca: Option<PathBuf>,

    /// Client certificate, PEM [env: OVSTUNNEL_CERT].
    #[arg(long, global = true, value_name = "FILE", help_heading = REMOTE)]
    pub(super) cert: Option<PathBuf>,

    /// Private key of the client certificate, PEM [env: OVSTUNNEL_KEY].
    #[arg(long, global = true, value_name = "FILE", help_heading = REMOTE)]
    pub(super) client_key: Option<PathBuf>,

    /// What `--client-key` was called. Behind a command it is the GRE key.
    #[arg(long = "key", hide = true, conflicts_with = "client_key")]
    pub(super) old_key: Option<PathBuf>,
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A host's daemon.
    Daemon,
    /// The zone's manager.
    Manager,
}

impl Asked {
    /// The variables that say where it is: socket, URL, name of a host.
    fn variables(self) -> [&'static str; 3] {
        match self {
            Asked::Daemon => ["OVSTUNNEL_SOCKET", "OVSTUNNEL_URL", "OVSTUNNEL_HOST"],
            Asked::Manager => ["OVSTUNNEL_MANAGER_SOCKET", "OVSTUNNEL_MANAGER_URL", "OVSTUNNEL_MANAGER_HOST"],
        }
    }

    /// Where it listens unless it is configured otherwise.
    fn default_port(self) -> u16 {
        match self {
            Asked::Daemon => 8443,
            Asked::Manager => 8444,
        }
    }

    fn default(self) -> Endpoint {
        match self {
            Asked::Daemon => Endpoint::default(),
            Asked::Manager => Endpoint::Unix(DEFAULT_MANAGER_SOCKET.into()),
        }
    }
}

/// Decides between socket, URL and a host's name, and completes the files of HTTPS. `env` looks a variable up; an empty one counts
/// as not set. The error is a complaint about the command line, the environment or the file of hosts.
pub(super) fn resolve_endpoint(
    who: Asked,
    args: &Connection,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Endpoint, String> {
    let env = |name: &str| env(name).filter(|value| !value.is_empty());
    match resolve_place(who, args, &env)? {
        Place::Socket(socket) => Ok(Endpoint::Unix(socket)),
        Place::Default if has_tls_files(args) => {
            let files = "--ca, --cert and --client-key are for HTTPS";
            let port = who.default_port();
            Err(format!("{files}: --url https://HOST:{port} or --host NAME is missing"))
        }
        Place::Default => Ok(who.default()),
        Place::Url(url) => https_endpoint(args, &env, Known { url, ca: None, cert: None, key: None }),
        Place::Host(name) => https_endpoint(args, &env, Hosts::load(&env)?.find_host(&name)?),
    }
}

/// Where the daemon is said to be.
enum Place {
    Socket(PathBuf),
    Url(Url),
    Host(String),
    Default,
}

/// What the command line says, else what the environment says: one thing.
fn resolve_place(who: Asked, args: &Connection, env: &impl Fn(&str) -> Option<OsString>) -> Result<Place, String> {
    let one = |mut places: Vec<Place>, all: &str| match places.len() {
        0 => Ok(None),
        1 => Ok(places.pop()),
        _ => Err(format!("more than one of {all} says whom to ask; leave all but one out")),
    };
    let socket = args.socket.clone().map(Place::Socket);
    let line = [socket, args.url.clone().map(Place::Url), args.host.clone().map(Place::Host)];
    if let Some(place) = one(line.into_iter().flatten().collect(), "--socket, --url and --host")? {
        return Ok(place);
    }
    let text = |name: &str| env(name).map(|value| value.to_string_lossy().into_owned());
    let [socket_name, url_name, host_name] = who.variables();
    let url = text(url_name).map(|url| Endpoint::parse_url(&url).map_err(|e| format!("{url_name}: {e}")));
    let socket = env(socket_name).map(|path| Place::Socket(path.into()));
    let places = [socket, url.transpose()?.map(Place::Url), text(host_name).map(Place::Host)];
    let all = format!("{socket_name}, {url_name} and {host_name}");
    let place = one(places.into_iter().flatten().collect(), &all)?;
    Ok(match place {
        // Files on the command line say that the socket of the environment is not meant.
        Some(Place::Socket(_)) if has_tls_files(args) => Place::Default,
        place => place.unwrap_or(Place::Default),
    })
}

/// Whether files of HTTPS are on the command line.
fn has_tls_files(args: &Connection) -> bool {
    [&args.ca, &args.cert, &args.client_key, &args.old_key].iter().any(|file| file.is_some())
}

/// Completes the files: the command line before the environment before the file of hosts.
fn https_endpoint(
    args: &Connection,
    env: &impl Fn(&str) -> Option<OsString>,
    known: Known,
) -> Result<Endpoint, String> {
    let file = |option: &Option<PathBuf>, name: &str, known: Option<PathBuf>| {
        option.clone().or_else(|| env(name).map(PathBuf::from)).or(known)
    };
    let key = args.client_key.clone().or_else(|| args.old_key.clone());
    let files = (
        file(&args.ca, "OVSTUNNEL_CA", known.ca),
        file(&args.cert, "OVSTUNNEL_CERT", known.cert),
        file(&key, "OVSTUNNEL_KEY", known.key),
    );
    match files {
        (Some(ca), Some(cert), Some(key)) => {
            Ok(Endpoint::Https { url: known.url, identity: Identity { ca, cert, key } })
        }
        (ca, cert, key) => {
            let given = [("--ca", ca), ("--cert", cert), ("--client-key", key)];
            let missing: Vec<_> = given.iter().filter(|(_, file)| file.is_none()).map(|(option, _)| *option).collect();
            let missing = missing.join(", ");
            Err(format!(
                "HTTPS also needs {missing}, or OVSTUNNEL_CA, OVSTUNNEL_CERT and OVSTUNNEL_KEY, or hosts.toml with `ca`, `cert` and `key`"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(args: &Connection, env: &[(&str, &str)]) -> Result<String, String> {
        let look = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        resolve_endpoint(Asked::Daemon, args, look).map(|endpoint| endpoint.to_string())
    }

    fn url() -> Option<crate::client::Url> {
        Some(Endpoint::parse_url("https://host2:8443").unwrap())
    }

    const FILES: [(&str, &str); 3] = [("OVSTUNNEL_CA", "a"), ("OVSTUNNEL_CERT", "b"), ("OVSTUNNEL_KEY", "c")];

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let none = Connection::default();
        let socket = Connection { socket: Some("/x".into()), ..Connection::default() };
        let https = Connection { url: url(), ..Connection::default() };
        let mut env = FILES.to_vec();
        assert_eq!(with(&none, &env).unwrap(), crate::client::DEFAULT_SOCKET);
        env.push(("OVSTUNNEL_SOCKET", "/env"));
        assert_eq!(with(&none, &env).unwrap(), "/env");
        assert_eq!(with(&https, &env).unwrap(), "https://host2:8443");
        env.push(("OVSTUNNEL_URL", "https://env"));
        assert_eq!(with(&socket, &env).unwrap(), "/x");
        assert!(with(&none, &env).unwrap_err().contains("more than one"));
        assert_eq!(with(&none, &[&FILES[..], &[("OVSTUNNEL_URL", "https://env")]].concat()).unwrap(), "https://env");
        assert_eq!(with(&none, &[("OVSTUNNEL_URL", "")]).unwrap(), crate::client::DEFAULT_SOCKET);
    }

    #[test]
    fn a_host_is_in_the_file_or_called_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hosts.toml");
        std::fs::write(&file, "ca = 'a'\ncert = 'b'\nkey = 'c'\n[hosts.host2]\naddress = '192.0.2.2'\n").unwrap();
        let hosts = ("OVSTUNNEL_HOSTS", file.to_str().unwrap());
        let host = |name: &str| Connection { host: Some(name.to_owned()), ..Connection::default() };
        assert_eq!(with(&host("host2"), &[hosts]).unwrap(), "https://192.0.2.2:8443");
        assert_eq!(with(&host("other"), &[hosts]).unwrap(), "https://other:8443");
        assert_eq!(
            with(&Connection::default(), &[hosts, ("OVSTUNNEL_HOST", "host2")]).unwrap(),
            "https://192.0.2.2:8443"
        );
        std::fs::write(&file, "[hosts.host2]\nwhere = '192.0.2.2'\n").unwrap();
        let error = with(&host("host2"), &[hosts]).unwrap_err();
        assert!(error.contains("hosts.toml") && error.contains("where") && !error.contains('\n'), "{error}");
        assert!(with(&host("host2"), &[("OVSTUNNEL_HOSTS", "/none")]).unwrap_err().contains("/none"));
    }

    #[test]
    fn half_of_https_names_the_other_half() {
        let half = Connection { url: url(), ca: Some("a".into()), ..Connection::default() };
        let error = with(&half, &[]).unwrap_err();
        assert!(error.contains("--cert, --client-key,") && !error.contains("--ca"), "{error}");
        let files = Connection { client_key: Some("c".into()), ..Connection::default() };
        assert!(with(&files, &[]).unwrap_err().contains("--url"));
        assert!(with(&files, &[("OVSTUNNEL_SOCKET", "/x")]).unwrap_err().contains("--url"));
        let both = Connection { url: url(), host: Some("h".into()), ..Connection::default() };
        assert!(with(&both, &FILES).unwrap_err().contains("--socket, --url and --host"));
        assert!(with(&Connection::default(), &[("OVSTUNNEL_URL", "host")]).unwrap_err().starts_with("OVSTUNNEL_URL"));
    }
}
