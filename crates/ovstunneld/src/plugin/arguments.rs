//! The arguments of a call, read into values that are valid. Must not echo more of a value than a line of a log takes.

use std::collections::BTreeMap;
use std::str::FromStr;

use ovstunnel_plan::{GreKey, Invalid, PortName};
use ovstunnel_types::text::excerpt;

use super::{Failure, Reason};

/// The name that newer servers send instead of a plain network's GRE key, before that key.
pub(super) const PLAIN: &str = "OVSTunnel";

/// The name of a distributed-routing VPC's network, before the VPC's id.
const VPC: &str = "OVS-DR-VPC-Bridge";

/// All arguments of one call: every one is a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arguments<'a>(&'a BTreeMap<String, String>);

impl<'a> Arguments<'a> {
    pub fn new(arguments: &'a BTreeMap<String, String>) -> Self {
        Arguments(arguments)
    }

    /// That there is no argument but these.
    pub fn allow_only(&self, names: &[&str]) -> Result<(), Failure> {
        let Some(other) = self.0.keys().find(|name| !names.contains(&name.as_str())) else { return Ok(()) };
        let words = format!("there is no option --{}; there are --{}", excerpt(other), names.join(", --"));
        Err(Failure::new(Reason::InvalidArgument, words))
    }

    /// An argument's text, where it is there and not empty.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// An argument that may be missing: old servers leave some out.
    pub fn optional_value<T: FromStr<Err = Invalid>>(&self, name: &str) -> Result<Option<T>, Failure> {
        self.text(name).map(|text| text.parse().map_err(|error| invalid_argument(name, &error))).transpose()
    }

    /// An argument that must be there.
    pub fn required_value<T: FromStr<Err = Invalid>>(&self, name: &str) -> Result<T, Failure> {
        self.optional_value(name)?.ok_or_else(|| Failure::new(Reason::InvalidArgument, format!("{name} is required")))
    }

    /// The argument `key` of a set-up: which network it is.
    pub fn network_key(&self, name: &str) -> Result<NetworkKey, Failure> {
        match self.text(name) {
            Some(text) => NetworkKey::parse(text).ok_or_else(|| {
                let rule = format!("must be a GRE key from 1 to 2147483647, {PLAIN}<GRE key> or {VPC}<VPC id>");
                Failure::new(Reason::InvalidArgument, format!("{name} {rule}; got `{}`", excerpt(text)))
            }),
            None => Err(Failure::new(Reason::InvalidArgument, format!("{name} is required"))),
        }
    }
}

fn invalid_argument(name: &str, error: &Invalid) -> Failure {
    Failure::new(Reason::InvalidArgument, format!("{name} {}; got `{}`", error.rule, excerpt(&error.value)))
}

/// Which network a set-up is for. Servers up to 4.2 send the GRE key, newer ones the network's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NetworkKey {
    /// A plain network, by its GRE key.
    Plain(GreKey),
    /// A distributed-routing VPC, by its id.
    Vpc(u64),
}

impl NetworkKey {
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(id) = text.strip_prefix(VPC) {
            let digits = id.bytes().all(|b| b.is_ascii_digit());
            return id.parse().ok().filter(|_| digits).map(NetworkKey::Vpc);
        }
        text.strip_prefix(PLAIN).unwrap_or(text).parse().ok().map(NetworkKey::Plain)
    }
}

/// The port that stands for a tunnel of ours whose name `t<key>-<from>-<to>` would be too long: an older plugin answered the long
/// one, and the server has it in its database.
pub(super) fn port_of_long_name(name: &PortName) -> Option<PortName> {
    let mut parts = name.as_str().strip_prefix('t')?.split('-');
    let (key, from, to) = (parts.next()?, parts.next()?, parts.next()?);
    let none_left = parts.next().is_none();
    none_left.then(|| Some(PortName::tunnel_port(key.parse().ok()?, &from.parse().ok()?, &to.parse().ok()?))).flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use ovstunnel_plan::{BridgeName, HostId};

    use super::*;

    #[test]
    fn a_network_is_named_by_key_or_by_name() {
        let plain = |key: i64| Some(NetworkKey::Plain(GreKey::try_from(key).unwrap()));
        for (text, network) in [
            ("1001", plain(1001)),
            ("OVSTunnel1001", plain(1001)),
            ("OVSTunnel2147483647", plain(2_147_483_647)),
            ("OVS-DR-VPC-Bridge7", Some(NetworkKey::Vpc(7))),
            ("OVSTunnel", None),
            ("OVSTunnel0", None),
            ("OVSTunnel2147483648", None),
            ("OVSTunnel-1", None),
            ("OVSTunnel1;x", None),
            ("OVSTunnelOVSTunnel1", None),
            ("OVS-DR-VPC-Bridge", None),
            ("OVS-DR-VPC-Bridge+7", None),
            ("OVS-DR-VPC-Bridge7\n", None),
            ("0x3e9", None),
            (" 1001", None),
        ] {
            assert_eq!(NetworkKey::parse(text), network, "{text:?}");
        }
    }

    #[test]
    fn a_too_long_port_name_means_its_stand_in() {
        let id = |text: &str| text.parse::<HostId>().unwrap();
        let port = |name: &str| port_of_long_name(&name.parse().unwrap()).map(|port| port.to_string());
        assert_eq!(port("t1001-1-2").as_deref(), Some("t1001-1-2"));
        let real = PortName::tunnel_port("1234567".parse().unwrap(), &id("123"), &id("4567")).to_string();
        assert_eq!(port("t1234567-123-4567"), Some(real.clone()));
        assert_eq!(port(&real), None);
        for bad in ["", "t1234567-123-4567-8901", "t12345678901-1-2", "x1234567-123-45678", "t1234567-123-;;;;;;;"] {
            assert!(bad.parse::<PortName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_missing_empty_or_wrong_is_named() {
        let given = BTreeMap::from([("bridge", ""), ("to", "a b")].map(|(k, v)| (k.to_owned(), v.to_owned())));
        let arguments = Arguments::new(&given);
        let told = |failure: Failure| failure.to_string();
        assert_eq!(arguments.optional_value::<BridgeName>("bridge"), Ok(None));
        let missing = told(arguments.required_value::<BridgeName>("bridge").unwrap_err());
        assert_eq!(missing, "FAILURE:INVALID_ARGUMENT bridge is required");
        let wrong = told(arguments.required_value::<HostId>("to").unwrap_err());
        assert!(
            wrong.starts_with("FAILURE:INVALID_ARGUMENT to must have") && wrong.ends_with("; got `a b`"),
            "{wrong}"
        );
        let long = BTreeMap::from([("to".to_owned(), "x".repeat(65_536))]);
        let wrong = told(Arguments::new(&long).required_value::<HostId>("to").unwrap_err());
        assert!(wrong.len() < 500, "{wrong}");
    }
}
