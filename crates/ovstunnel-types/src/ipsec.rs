//! Encryption of tunnels by IPsec: what `ovs-monitor-ipsec` reads of it in Open vSwitch's database. Must not read files, show a
//! pre-shared key, or know where that is configured.

use std::fmt;
use std::sync::Arc;

use crate::RemoteIp;

/// `Interface.options`: the key that both ends have. Its value is shown nowhere.
const PSK: &str = "psk";

/// `Interface.options`: the mark of packets that may leave only encrypted.
const EGRESS_MARK: (&str, &str) = ("egress_pkt_mark", "1");

/// `Open_vSwitch.other_config`: packets with this mark, of this mask, are refused as long as there are no keys.
const GUARD: (&str, &str) = ("ipsec_skb_mark", "1/1");

/// What stands in place of a secret.
const NOT_SHOWN: &str = "(not shown)";

/// The value of an option of an interface as it is shown: a secret is not.
pub fn shown_option<'a>(key: &str, value: &'a str) -> &'a str {
    if key == PSK { NOT_SHOWN } else { value }
}

/// A pre-shared key. Neither `Debug` nor anything else but [`Ipsec::interface_options`] tells it.
#[derive(Clone, PartialEq, Eq)]
pub struct Psk(Arc<str>);

impl Psk {
    /// What a key has to be: it stands between quotes in the configuration of the IKE daemon.
    pub const RULE: &'static str = "20 to 255 characters of A-Z, a-z, 0-9, `+`, `/`, `=`, `-`, `_` and `.`, as `openssl rand -base64 33` prints them";

    /// A text as a key, where it is one.
    pub fn from_text(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=-_.".contains(&byte);
        ((20..=255).contains(&text.len()) && text.bytes().all(plain)).then(|| Psk(text.into()))
    }
}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NOT_SHOWN)
    }
}

/// Files by which hosts know each other: certificates of one CA, each in the name of its host's tunnel address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpsecFiles {
    /// This host's certificate.
    pub certificate: String,
    /// Its private key.
    pub private_key: String,
    /// The CA's certificate.
    pub ca_cert: String,
}

/// How the tunnels of a host are encrypted: all of them, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ipsec {
    /// They are not.
    #[default]
    Off,
    /// All hosts have one key.
    Psk(Psk),
    /// Each host has a certificate.
    Certificates(Arc<IpsecFiles>),
}

impl Ipsec {
    /// Bytes that ESP takes at most, in transport mode with AES-GCM: SPI, number and IV are 16, padding up to 3, its length and the next
    /// header 2, the check value 16.
    const OVERHEAD: u32 = 37;

    /// Whether tunnels are encrypted.
    pub fn is_on(&self) -> bool {
        *self != Ipsec::Off
    }

    /// Bytes of a packet that it takes at most.
    pub fn overhead(&self) -> u32 {
        if self.is_on() { Ipsec::OVERHEAD } else { 0 }
    }

    /// `Interface.options` of a tunnel to this address. A host's certificate is in the name of the address by which the others know it.
    pub fn interface_options(&self, remote_ip: RemoteIp) -> Vec<(&'static str, String)> {
        let by = match self {
            Ipsec::Off => return Vec::new(),
            Ipsec::Psk(psk) => (PSK, psk.0.as_ref().to_owned()),
            Ipsec::Certificates(_) => ("remote_name", remote_ip.to_string()),
        };
        vec![by, (EGRESS_MARK.0, EGRESS_MARK.1.to_owned())]
    }

    /// `Open_vSwitch.other_config`.
    pub fn switch_config(&self) -> Vec<(&'static str, String)> {
        let guard = (GUARD.0, GUARD.1.to_owned());
        match self {
            Ipsec::Off => Vec::new(),
            Ipsec::Psk(_) => vec![guard],
            Ipsec::Certificates(files) => vec![
                guard,
                ("certificate", files.certificate.clone()),
                ("private_key", files.private_key.clone()),
                ("ca_cert", files.ca_cert.clone()),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "swordfish-swordfish-1";

    #[test]
    fn a_key_is_told_to_the_switch_alone() {
        let ipsec = Ipsec::Psk(Psk::from_text(KEY).unwrap());
        let options = ipsec.interface_options("192.0.2.2".parse().unwrap());
        assert_eq!(options, [("psk", KEY.to_owned()), ("egress_pkt_mark", "1".to_owned())]);
        assert_eq!(ipsec.switch_config(), [("ipsec_skb_mark", "1/1".to_owned())]);
        assert!(!format!("{ipsec:?}").contains(KEY), "{ipsec:?}");
        assert_eq!([shown_option("psk", KEY), shown_option("key", "7")], ["(not shown)", "7"]);
    }

    #[test]
    fn what_no_ike_daemon_could_read_is_no_key() {
        let bad = ["", "with a blank in it ....", "a\"quote-in-it-of-it-all", "Schlüssel-mit-Umlaut-ü"];
        assert!(bad.iter().all(|text| Psk::from_text(text).is_none()));
        assert!(Psk::from_text(&"x".repeat(256)).is_none() && Psk::from_text(&"x".repeat(19)).is_none());
        assert!(Psk::from_text(&"x".repeat(20)).is_some() && Psk::from_text(&"x".repeat(255)).is_some());
    }

    #[test]
    fn certificates_name_the_address_of_the_other_end() {
        let file = |name: &str| format!("/etc/ipsec/{name}");
        let files = IpsecFiles { certificate: file("c"), private_key: file("k"), ca_cert: file("a") };
        let ipsec = Ipsec::Certificates(files.into());
        let options = ipsec.interface_options("192.0.2.2".parse().unwrap());
        assert_eq!(options[0], ("remote_name", "192.0.2.2".to_owned()));
        let keys: Vec<_> = ipsec.switch_config().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["ipsec_skb_mark", "certificate", "private_key", "ca_cert"]);
        assert_eq!((Ipsec::Off.interface_options("192.0.2.2".parse().unwrap()), Ipsec::Off.overhead()), (vec![], 0));
    }
}
