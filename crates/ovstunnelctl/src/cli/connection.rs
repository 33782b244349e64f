//! Which daemon is meant: the command line before the environment before the default.
//!
//! What it must not do: guess. Half of what HTTPS needs is an error that names the other half.

use std::ffi::OsString;
use std::path::PathBuf;

use super::args::Connection;
use crate::client::{Endpoint, Identity};

/// Decides between socket and URL, and completes the files of HTTPS. `env` looks a variable up; an empty one counts as
/// not set. The error is a complaint about the command line.
pub(super) fn resolve(args: &Connection, env: impl Fn(&str) -> Option<OsString>) -> Result<Endpoint, String> {
    let env = |name: &str| env(name).filter(|value| !value.is_empty());
    if let Some(socket) = &args.socket {
        return Ok(Endpoint::Unix(socket.clone()));
    }
    let url = match (&args.url, env("OVSTUNNEL_URL"), env("OVSTUNNEL_SOCKET")) {
        (Some(url), _, _) => url.clone(),
        (None, Some(_), Some(_)) => {
            return Err(
                "OVSTUNNEL_URL and OVSTUNNEL_SOCKET are both set; unset one, or give --url or --socket".to_owned()
            );
        }
        (None, Some(text), None) => {
            Endpoint::parse_url(&text.to_string_lossy()).map_err(|e| format!("OVSTUNNEL_URL: {e}"))?
        }
        (None, None, socket) => return local(args, socket),
    };
    let file = |option: &Option<PathBuf>, name: &str| option.clone().or_else(|| env(name).map(PathBuf::from));
    let files = (file(&args.ca, "OVSTUNNEL_CA"), file(&args.cert, "OVSTUNNEL_CERT"), file(&args.key, "OVSTUNNEL_KEY"));
    match files {
        (Some(ca), Some(cert), Some(key)) => Ok(Endpoint::Https { url, identity: Identity { ca, cert, key } }),
        (ca, cert, key) => {
            let given = [("--ca", ca), ("--cert", cert), ("--key", key)];
            let missing: Vec<_> = given.iter().filter(|(_, file)| file.is_none()).map(|(option, _)| *option).collect();
            Err(format!(
                "HTTPS also needs {} (before the command), or the environment variables of the same names: OVSTUNNEL_CA, …",
                missing.join(", ")
            ))
        }
    }
}

fn local(args: &Connection, socket: Option<OsString>) -> Result<Endpoint, String> {
    if args.ca.is_some() || args.cert.is_some() || args.key.is_some() {
        return Err("--ca, --cert and --key are for HTTPS: --url https://HOST:8443 is missing".to_owned());
    }
    Ok(socket.map(|path| Endpoint::Unix(path.into())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(args: &Connection, env: &[(&str, &str)]) -> Result<String, String> {
        let look = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        resolve(args, look).map(|endpoint| endpoint.to_string())
    }

    fn url() -> Option<reqwest::Url> {
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
        assert!(with(&none, &env).unwrap_err().contains("both set"));
        assert_eq!(with(&none, &[&FILES[..], &[("OVSTUNNEL_URL", "https://env")]].concat()).unwrap(), "https://env");
        assert_eq!(with(&none, &[("OVSTUNNEL_URL", "")]).unwrap(), crate::client::DEFAULT_SOCKET);
    }

    #[test]
    fn half_of_https_names_the_other_half() {
        let half = Connection { url: url(), ca: Some("a".into()), ..Connection::default() };
        let error = with(&half, &[]).unwrap_err();
        assert!(error.contains("--cert, --key") && !error.contains("--ca"), "{error}");
        let files = Connection { key: Some("c".into()), ..Connection::default() };
        assert!(with(&files, &[]).unwrap_err().contains("--url"));
        assert!(with(&Connection::default(), &[("OVSTUNNEL_URL", "host")]).unwrap_err().starts_with("OVSTUNNEL_URL"));
    }
}
