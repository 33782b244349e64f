//! Values of options, as far as their shape goes. Rules about keys, names and addresses are the daemon's.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use ovstunnel_api::{Id, PutNeighbour, PutTunnel};

/// A host's id: digits that a number would print again are one, anything else is text.
pub(super) fn id(text: &str) -> Result<Id, String> {
    if text.is_empty() {
        return Err("an id is not empty".to_owned());
    }
    Ok(match text.parse::<u64>() {
        Ok(number) if number.to_string() == text => Id::Number(number),
        _ => Id::Text(text.to_owned()),
    })
}

/// `TO=IP`. An address has no `=`, an id may have one.
pub(super) fn tunnel(text: &str) -> Result<PutTunnel, String> {
    match text.rsplit_once('=') {
        Some((to, ip)) if !to.is_empty() && !ip.is_empty() => {
            Ok(PutTunnel { to: id(to)?, remote_ip: ip.to_owned(), from: None })
        }
        _ => Err("expected TO=IP, for example 2=192.0.2.12".to_owned()),
    }
}

/// `IP=MAC`.
pub(super) fn neighbour(text: &str) -> Result<PutNeighbour, String> {
    match text.split_once('=') {
        Some((ip, mac)) if !ip.is_empty() && !mac.is_empty() => {
            Ok(PutNeighbour { ip: ip.to_owned(), mac: mac.to_owned() })
        }
        _ => Err("expected IP=MAC, for example 10.1.1.7=02:00:4c:1d:00:07".to_owned()),
    }
}

/// Longest name of a network device, and so of a bridge: 15 bytes in Linux.
const NAME_MAX: usize = 15;

/// A bridge's name, by the daemon's rule: checked before a URL is made of it.
pub(super) fn bridge(text: &str) -> Result<String, String> {
    match text.len() <= NAME_MAX && is_plain(text) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "a bridge's name has 1 to {NAME_MAX} characters: letters, digits, '.', '_', '-', the first one a letter, a digit or '_'"
        )),
    }
}

/// The name of a tunnel's port. Those of the Python plugin may be longer than a device's.
pub(super) fn port(text: &str) -> Result<String, String> {
    match is_plain(text) {
        true => Ok(text.to_owned()),
        false => {
            Err("a port's name has letters, digits, '.', '_', '-', the first one a letter, a digit or '_'".to_owned())
        }
    }
}

fn is_plain(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(first) && name.chars().all(|c| first(c) || matches!(c, '.' | '-'))
}

/// The name of a device or network: any text that a line can show.
pub(super) fn label(text: &str) -> Result<String, String> {
    match text.is_empty() || text.chars().any(char::is_control) {
        true => Err("a name has 1 character at least, and no control characters".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// A name of the zone, by the manager's rule: checked before a URL is made of it.
pub(super) fn zone_name(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    match plain && (1..=63).contains(&text.len()) && !matches!(text, "." | "..") {
        true => Ok(text.to_owned()),
        false => Err("a name has 1 to 63 characters: letters, digits, '.', '_' and '-'".to_owned()),
    }
}

/// A packet as a person says it: its protocol, and the port to which it goes where that has ports.
pub(super) fn packet(text: &str) -> Result<(String, Option<u16>), String> {
    let port = |port: &str| port.parse().ok().filter(|port| *port > 0);
    match text.split_once(':') {
        None if text == "icmp" => Ok((text.to_owned(), None)),
        Some((protocol @ ("tcp" | "udp"), number)) if port(number).is_some() => Ok((protocol.to_owned(), port(number))),
        _ => Err("a packet is icmp, tcp:PORT or udp:PORT, with a port of 1 to 65535".to_owned()),
    }
}

/// A GRE key in a path: checked before a URL is made of it, as far as it is a number.
pub(super) fn key(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(key @ 1..=2_147_483_647) => Ok(key),
        _ => Err("a GRE key is a whole number from 1 to 2147483647".to_owned()),
    }
}

/// A whole number; its range is the daemon's to judge.
pub(super) fn whole(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| "expected a whole number".to_owned())
}

/// A number of things, 0 among them.
pub(super) fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "expected a whole number, not negative".to_owned())
}

/// A whole number of a range.
pub(super) fn within(range: RangeInclusive<i64>) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync {
    move |text| {
        let number = text.parse::<i64>().ok().filter(|number| range.contains(number));
        let number = number.and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| format!("expected a whole number from {} to {}", range.start(), range.end()))
    }
}

/// A number of seconds, or a number with a unit; more than nothing.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    let parsed = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => humantime::parse_duration(text).map_err(|_| {
            "expected a number of seconds, or a number with a unit, such as 500ms, 40s or 2m".to_owned()
        })?,
    };
    if parsed.is_zero() { Err("expected more than 0".to_owned()) } else { Ok(parsed) }
}

/// An IP address.
/// A time that was: how long ago, or by RFC 3339.
pub(super) fn past(text: &str) -> Result<SystemTime, String> {
    let now = SystemTime::now();
    let time = match humantime::parse_duration(text) {
        Ok(ago) => now.checked_sub(ago),
        Err(_) => humantime::parse_rfc3339(text).ok().filter(|time| *time <= now),
    };
    let after_1970 = time.filter(|time| *time >= SystemTime::UNIX_EPOCH);
    after_1970.ok_or_else(|| {
        "must be how long ago, such as 2h, or a time that has been, such as 2026-01-31T13:00:00Z".to_owned()
    })
}

pub(super) fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "expected an IPv4 or IPv6 address".to_owned())
}

/// The common name of a CA: what X.509 allows, and what a terminal can show.
pub(super) fn common_name(text: &str) -> Result<String, String> {
    match text.chars().count() {
        1..=64 if !text.chars().any(char::is_control) => Ok(text.to_owned()),
        _ => Err("expected 1 to 64 printable characters".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbers_where_nothing_is_lost() {
        assert_eq!(id("17"), Ok(Id::Number(17)));
        for text in ["007", "host-1", "+7", "99999999999999999999"] {
            assert_eq!(id(text), Ok(Id::Text(text.to_owned())));
        }
        assert!(id("").is_err());
    }

    #[test]
    fn tunnels_are_an_id_and_an_address() {
        let got = tunnel("2=192.0.2.12").unwrap();
        assert_eq!((got.to, got.remote_ip.as_str(), got.from), (Id::Number(2), "192.0.2.12", None));
        assert_eq!(tunnel("a=b=192.0.2.12").unwrap().to, Id::Text("a=b".to_owned()));
        for bad in ["", "2", "=192.0.2.12", "2=", "="] {
            assert!(tunnel(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_those_that_the_daemon_takes() {
        for good in ["xapi12", "_a", "9.x-y", "a-bridge-of-15c"] {
            assert_eq!(bridge(good), Ok(good.to_owned()));
        }
        for bad in ["", ".", "..", "-a", "n\n2", "a b", "a/b", "a?x", "é", "a-bridge-of-16ch"] {
            assert!(bridge(bad).is_err(), "{bad:?}");
        }
        assert!(port("t1001-a-name-of-a-host-that-is-long").is_ok());
        assert!(port("n\t").is_err() && port("a/b").is_err());
        assert!(label("Pool-wide eth0").is_ok() && label("n\n2").is_err() && label("").is_err());
    }

    #[test]
    fn timeouts_have_seconds_or_a_unit() {
        assert_eq!(timeout("40"), Ok(Duration::from_secs(40)));
        assert_eq!(timeout("40s"), Ok(Duration::from_secs(40)));
        assert_eq!(timeout("200ms"), Ok(Duration::from_millis(200)));
        for bad in ["", "0", "0s", "-1", "soon"] {
            assert!(timeout(bad).is_err(), "{bad}");
        }
    }
}
