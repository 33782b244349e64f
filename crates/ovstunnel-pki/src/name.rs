//! Names of hosts and clients, which become file names, common names and, for hosts, DNS names or addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The longest common name that X.509 allows, in characters.
const LONGEST: usize = 64;

/// A name that is safe in a path and in a certificate: 1 to 64 of `A-Z a-z 0-9 . _ -`, the first and the last a letter
/// or digit, no two dots in a row, and not `ca` in any case, which is the CA's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address that the name is, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if text.is_empty() || text.len() > LONGEST {
            return Err(format!("a name has 1 to {LONGEST} characters"));
        }
        if !text.chars().all(allowed) || text.contains("..") {
            return Err("a name has only letters, digits, `_`, `-` and single dots".to_owned());
        }
        if !ends(text.chars().next()) || !ends(text.chars().next_back()) {
            return Err("a name begins and ends with a letter or digit".to_owned());
        }
        if text.eq_ignore_ascii_case("ca") {
            return Err("`ca` is the name of the CA's own files".to_owned());
        }
        Ok(Name(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_pass() {
        for good in ["host1", "host-1.example.org", "192.0.2.11", "a", "cloud_stack", &"x".repeat(64)] {
            assert_eq!(good.parse::<Name>().map(|n| n.to_string()), Ok(good.to_owned()));
        }
    }

    #[test]
    fn path_tricks_do_not() {
        let long = "x".repeat(65);
        for bad in
            ["", ".", "..", "../x", "a/b", "a..b", "-x", "x-", ".x", "x.", "ca", "CA", "a b", "a\0", "é", "a\n", &long]
        {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }
}
