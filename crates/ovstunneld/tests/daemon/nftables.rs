//! What the doctor says of rules of nftables, held against what the kernel does by them: each is loaded by the real `nft` in a network namespace, into
//! which another one sends a packet, and counted is what has passed all chains. What is told as dropped is dropped.

use std::process::{Command, Stdio};

use ovstunnel_api::Level;
use ovstunneld::testing::{TunnelPacket, check_nftables};

/// Two namespaces with a cable between them. On standard input the rules; it prints what `nft` has of them, and how many packets to UDP port 4789 have come
/// to the host and through all its chains.
const STAGE: &str = r#"
set -eu
unshare -n sleep 30 &
peer=$!
trap 'kill $peer' EXIT
until [ "$(readlink /proc/$peer/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
ip link set lo up
ip link add here type veth peer name there netns $peer
in_peer() { nsenter -t $peer -n "$@"; }
ip address add 192.0.2.1/24 dev here && ip link set here up
in_peer ip address add 192.0.2.2/24 dev there && in_peer ip link set there up
in_peer ip neighbour replace 192.0.2.1 dev there lladdr "$(cat /sys/class/net/here/address 2>/dev/null || ip -br link show here | awk '{ print $3 }')"
nft -f -
nft -j list ruleset | tr -d '\n'
echo
nft -f - <<'END'
table ip counted {
    chain come { type filter hook prerouting priority -1000; udp dport 4789 counter; }
    chain passed { type filter hook input priority 1000; udp dport 4789 counter; }
}
END
in_peer bash -c 'echo frame > /dev/udp/192.0.2.1/4789'
packets() { nft list chain ip counted "$1" | sed -n 's/.*packets \([0-9]*\) .*/\1/p'; }
for _ in $(seq 100); do [ "$(packets come)" = 0 ] || break; sleep 0.02; done
echo "$(packets come) $(packets passed)"
"#;

/// What nft prints of these rules, and whether a VXLAN packet from 192.0.2.2 passes.
fn played(rules: &str) -> (String, bool) {
    let mut command = Command::new("unshare");
    command.args(["--net", "--map-root-user", "bash", "-c", STAGE]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("util-linux is there");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), rules.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let (printed, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    let mut lines = printed.lines();
    let (json, counted) = (lines.next().unwrap_or_default().to_owned(), lines.next().unwrap_or_default());
    assert!(output.status.success() && counted.starts_with("1 "), "{rules}: {counted:?} {said}");
    (json, counted == "1 1")
}

fn chain(policy: &str, rules: &str) -> String {
    format!(
        "table inet filter {{\n chain input {{\n type filter hook input priority 0; policy {policy};\n{rules}\n}}\n}}\n"
    )
}

/// The reason that is told of packets of this protocol from 192.0.2.2, where they are dropped.
fn told(json: &str, protocol: u8, port: Option<u16>) -> Option<String> {
    let packets = [TunnelPacket { protocol, port, from: [192, 0, 2, 2].into() }].into();
    let findings = check_nftables(&packets, &Ok(Some(json.to_owned())));
    assert!(findings.iter().all(|found| found.check == "firewall"), "{findings:?}");
    findings.into_iter().find(|found| found.level == Level::Warn).map(|found| found.reason)
}

/// Rules that drop it, each with where.
const DROPS: [(&str, &str, &str); 12] = [
    ("drop", "", "the policy of chain input"),
    (
        "drop",
        "ct state established,related accept\niifname \"lo\" accept\ntcp dport 22 accept\nicmp type echo-request accept",
        "policy",
    ),
    (
        "drop",
        "ct state vmap { established : accept, related : accept, invalid : drop }\nmeta l4proto { icmp, igmp } accept",
        "policy",
    ),
    ("drop", "udp dport { 53, 67-69 } accept\nip protocol gre accept\nip6 nexthdr udp accept", "policy"),
    ("drop", "ip saddr { 10.0.0.0/8, 192.0.2.3-192.0.2.9 } accept\nip saddr != 192.0.2.0/24 accept", "policy"),
    ("accept", "udp dport 4789 drop", "the rule of chain input with handle"),
    ("accept", "udp dport 4700-4800 counter log reject", "the rule of chain input with handle"),
    ("accept", "ip saddr 192.0.2.0/24 th dport { 1, 4789 } drop", "the rule of chain input with handle"),
    (
        "accept",
        "udp dport 53 accept\nlimit rate 1/second drop\nmeta nfproto ipv4 drop",
        "the rule of chain input with handle",
    ),
    (
        "accept",
        "udp sport 1-65535 drop\nmeta l4proto udp reject with icmpx type admin-prohibited",
        "the rule of chain input with handle",
    ),
    ("accept", "ip ttl 1-255 drop\nudp dport != 53 drop", "the rule of chain input with handle"),
    ("accept", "udp dport vmap { 4789 : drop, 53 : accept }", "the rule of chain input with handle"),
];

#[test]
fn what_is_told_as_dropped_is_dropped() {
    for (policy, rules, place) in DROPS {
        let (json, passes) = played(&chain(policy, rules));
        let reason = told(&json, 17, Some(4789)).unwrap_or_else(|| panic!("not told: {policy} {rules}: {json}"));
        assert!(
            !passes && reason.contains(place) && reason.contains("192.0.2.2 to UDP port 4789"),
            "{rules}: {passes} {reason}"
        );
    }
    // In chains of their own, and in the one before.
    let sub = "table ip filter {\n chain a { jump b; }\n chain b { udp dport 53 return; goto c; }\n chain c { udp dport 4789 drop; }\n\
               chain INPUT { type filter hook prerouting priority 0; tcp dport 22 jump d; jump a; }\n chain d { accept; }\n}\n";
    let (json, passes) = played(sub);
    let reason = told(&json, 17, Some(4789)).unwrap();
    assert!(
        !passes && reason.contains("the rule of chain c with handle") && reason.ends_with("ip filter INPUT"),
        "{reason}"
    );
}

/// Rules that let it in, and rules of which that cannot be told, the second with whether it passes.
const TELLS_NOTHING: [(&str, &str, bool); 14] = [
    ("accept", "", true),
    ("accept", "tcp dport 4789 drop\nudp sport 1 drop\nudp dport 53 drop", true),
    ("accept", "iifname \"lo\" drop\nip saddr 10.0.0.0/8 drop\nct state established drop", true),
    ("drop", "udp dport 4789 accept", true),
    ("drop", "ip saddr 192.0.2.2 accept", true),
    ("drop", "iifname \"here\" accept", true),
    ("drop", "ct state new accept", true),
    ("drop", "iifname != \"lo\" accept", true),
    ("drop", "limit rate 100/second accept", true),
    ("drop", "ip daddr 192.0.2.1 accept", true),
    ("drop", "udp dport vmap { 4789 : accept, 53 : drop }", true),
    ("drop", "meta mark 7 accept", false),
    ("drop", "ip daddr 192.0.2.9 accept", false),
    ("accept", "ip daddr 192.0.2.1 drop", false),
];

#[test]
fn where_it_may_pass_nothing_is_told() {
    for (policy, rules, is_let_in) in TELLS_NOTHING {
        let (json, passes) = played(&chain(policy, rules));
        assert_eq!((told(&json, 17, Some(4789)), passes), (None, is_let_in), "{policy}: {rules}");
    }
    // A set with a name is not looked into, nor what is sent elsewhere and may not come back.
    let named = "table inet filter {\n set friends { type ipv4_addr; elements = { 192.0.2.7 }; }\n chain other { accept; }\n\
                 chain input { type filter hook input priority 0; policy drop; ip saddr @friends jump other; }\n}\n";
    let (json, passes) = played(named);
    assert_eq!((told(&json, 17, Some(4789)), passes), (None, false));
    // Only those of what is sent on, and of the other family.
    let others = "table inet a {\n chain f { type filter hook forward priority 0; policy drop; }\n}\ntable ip6 b {\n chain i { type filter hook input priority 0; policy drop; }\n}\n";
    let (json, passes) = played(others);
    assert_eq!((told(&json, 17, Some(4789)), passes), (None, true));
}

#[test]
fn gre_is_told_apart_from_udp() {
    let (json, _) = played(&chain("accept", "meta l4proto gre drop\nudp dport 4789 accept"));
    let reason = told(&json, 47, None).unwrap();
    assert!(reason.contains("of IP protocol 47") && told(&json, 17, Some(4789)).is_none(), "{reason}");
    let (json, _) = played(&chain("drop", "udp dport 4789 accept\ntcp dport 22 accept"));
    assert!(told(&json, 47, None).is_some());
    // GRE has no ports, so what comes in may be the answer to what went out.
    let (json, _) = played(&chain("drop", "ct state established,related accept"));
    assert_eq!((told(&json, 47, None), told(&json, 17, Some(4789)).is_some()), (None, true));
}

#[test]
fn what_cannot_be_read_is_no_fault() {
    let packets = [TunnelPacket { protocol: 47, port: None, from: [192, 0, 2, 2].into() }].into();
    assert!(check_nftables(&packets, &Ok(None)).is_empty());
    for printed in [Err("Operation not permitted".to_owned()), Ok(Some("{".to_owned()))] {
        let found = check_nftables(&packets, &printed);
        assert!(
            found.len() == 1 && found[0].level == Level::Ok && found[0].reason.contains("not looked at"),
            "{found:?}"
        );
    }
    for odd in ["{}", "[]", "{\"nftables\": [7, {\"chain\": {}}, {\"rule\": {\"expr\": 3}}]}"] {
        assert!(check_nftables(&packets, &Ok(Some(odd.to_owned()))).is_empty(), "{odd}");
    }
}
