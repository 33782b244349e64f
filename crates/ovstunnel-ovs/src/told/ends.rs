//! From where to where tunnels' packets come in, by the datapath's flows as `dpctl/dump-flows` prints them.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// The two addresses of each tunnel whose packets come in: that of the other host, and that of this one.
pub(crate) fn parse_tunnel_ends(printed: &str) -> BTreeSet<(IpAddr, IpAddr)> {
    printed.lines().filter_map(line_ends).collect()
}

fn line_ends(line: &str) -> Option<(IpAddr, IpAddr)> {
    // What is sent has its addresses among the actions.
    let matched = line.split("actions:").next()?;
    let tunnel = matched.split_once("tunnel(")?.1;
    let address = |key: &str| {
        let value = tunnel.split([',', ')']).find_map(|part| part.strip_prefix(key))?;
        value.split('/').next()?.parse().ok()
    };
    let either = |four: &str, six: &str| address(four).or_else(|| address(six));
    Some((either("src=", "ipv6_src=")?, either("dst=", "ipv6_dst=")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_is_told_from_what_goes_out() {
        let printed = "\
flow-dump from the main thread:
recirc_id(0),tunnel(tun_id=0x3e9,src=192.0.2.2,dst=192.0.2.101,flags(-df-csum+key)),in_port(2),eth(),eth_type(0x0806), packets:1, actions:4
recirc_id(0),tunnel(tun_id=0x3e9,src=192.0.2.3/255.255.255.255,dst=192.0.2.1,ttl=0/0),in_port(2), packets:1, actions:drop
recirc_id(0),tunnel(tun_id=0x3e9,ipv6_src=2001:db8::2,ipv6_dst=2001:db8::1,flags(-df-csum+key)),in_port(2), packets:1, actions:4
recirc_id(0),in_port(4),eth(), packets:0, actions:set(tunnel(tun_id=0x3e9,src=192.0.2.9,dst=192.0.2.2,ttl=64)),2
recirc_id(0),tunnel(tun_id=0x3e9),in_port(2), actions:drop
";
        let two = |text: [&str; 2]| (text[0].parse().unwrap(), text[1].parse().unwrap());
        let expected =
            [["192.0.2.2", "192.0.2.101"], ["192.0.2.3", "192.0.2.1"], ["2001:db8::2", "2001:db8::1"]].map(two);
        assert_eq!(parse_tunnel_ends(printed), expected.into());
    }
}
