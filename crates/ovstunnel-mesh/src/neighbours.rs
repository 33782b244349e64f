//! For which addresses of VMs the switches of a network's hosts are to answer, so that a request for one of them is not flooded.
//!
//! What it does: picks, of what is known of a network's NICs, the addresses that one card alone has. What it must not do: guess an address,
//! or know whether a switch answers; that its daemon's configuration says (docs/adr/0063-answers-at-the-source-host.md).

use std::collections::BTreeMap;
use std::net::IpAddr;

use ovstunnel_types::{Mac, NEIGHBOURS_MAX, can_be_of_a_vm};

/// The addresses of a network's NICs that a switch can answer for, each with its card. An address that two cards are said to have is
/// left out; of more than a bridge takes, the highest are.
pub fn known_addresses(nics: impl IntoIterator<Item = (IpAddr, Mac)>) -> BTreeMap<IpAddr, Mac> {
    let mut cards: BTreeMap<IpAddr, Option<Mac>> = BTreeMap::new();
    for (ip, mac) in nics {
        cards.entry(ip).and_modify(|card| *card = card.filter(|card| *card == mac)).or_insert(Some(mac));
    }
    let alone = cards.into_iter().filter_map(|(ip, mac)| Some((ip, mac?)));
    alone.filter(|(ip, _)| can_be_of_a_vm(ip)).take(NEIGHBOURS_MAX).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn nic(ip: &str, card: u32) -> (IpAddr, Mac) {
        let [_, a, b, c] = card.to_be_bytes();
        (ip.parse().unwrap(), format!("02:00:00:{a:02x}:{b:02x}:{c:02x}").parse().unwrap())
    }

    fn known(nics: &[(IpAddr, Mac)]) -> Vec<String> {
        known_addresses(nics.iter().copied()).into_keys().map(|ip| ip.to_string()).collect()
    }

    #[test]
    fn an_address_is_told_where_one_card_alone_has_it() {
        let nics = [nic("10.1.1.2", 1), nic("10.1.1.3", 2), nic("10.1.1.3", 3), nic("10.1.1.3", 2), nic("10.1.1.4", 4)];
        assert_eq!(known(&nics), ["10.1.1.2", "10.1.1.4"]);
        assert_eq!(known(&[nic("10.1.1.2", 1), nic("10.1.1.2", 1)]), ["10.1.1.2"], "one card, said twice");
        assert_eq!(
            known(&[nic("2001:db8::7", 1), nic("fd00::7", 1), nic("10.1.1.2", 1)]),
            ["10.1.1.2", "2001:db8::7", "fd00::7"]
        );
    }

    #[test]
    fn what_no_daemon_would_take_is_left_out() {
        let bad = [
            "0.0.0.0",
            "127.0.0.1",
            "224.0.0.5",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "ff02::1",
            "::ffff:10.1.1.2",
        ];
        let bad = bad.map(|ip| nic(ip, 1));
        assert_eq!(known(&bad), [""; 0]);
        let many: Vec<_> =
            (0..1500_u32).map(|n| nic(&std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string(), n)).collect();
        let told = known(&many);
        assert_eq!((told.len(), told[0].as_str(), told[999].as_str()), (1000, "10.0.0.0", "10.0.3.231"));
    }
}
