//! Packets of tunnels that came in and that no tunnel is for, as `ovs-vswitchd` tells in its log: `receive tunnel port not found`.
//!
//! What it does: reads the end of that log, and of the one before it was rotated, for lines of the last two minutes. What it must not do:
//! take a log that is not there, or cannot be read, for one without such lines: it says nothing then, either way.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ovstunnel_ovs::Switch;
use ovstunnel_server::bounded::end;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::host::Root;

/// The log as all packages have it, after what was it before the last rotation.
const LOGS: [&str; 2] = ["/var/log/openvswitch/ovs-vswitchd.log.1", "/var/log/openvswitch/ovs-vswitchd.log"];

/// How much of each is read, in bytes. Open vSwitch logs at most 60 such lines a minute, of some 400 bytes.
const TAIL: usize = 256 * 1024;

/// How old lines may be. While packets come, Open vSwitch tells of them again and again.
const RECENT: Duration = Duration::from_secs(120);

/// Open vSwitch's words.
const WORDS: &str = "receive tunnel port not found (";

/// Packets of one key from one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unexpected {
    /// Their GRE key; 0 where they have none.
    pub key: u64,
    /// Where they came from.
    pub from: IpAddr,
    /// When the log last told of them.
    pub last: OffsetDateTime,
    /// How often it did.
    pub lines: u32,
}

/// What the logs under this root tell of the last two minutes, without what has a tunnel by now.
pub(crate) async fn unexpected_now(root: &Root, switch: &Switch) -> Vec<Unexpected> {
    let root = root.clone();
    let read = tokio::task::spawn_blocking(move || read_unexpected(&root, OffsetDateTime::now_utc()));
    let mut all = read.await.unwrap_or_default();
    switch.observer().read(|db| all.retain(|one| !db.has_tunnel(one.key, one.from)));
    all
}

/// What they tell, whatever has a tunnel. Reads files.
fn read_unexpected(root: &Root, now: OffsetDateTime) -> Vec<Unexpected> {
    // What stands for one that is not there has none of our words in it.
    let logs = LOGS.map(|log| end(&root.host_path(log.as_ref()), TAIL));
    told_in(logs.iter().flat_map(|log| log.lines()), now)
}

fn told_in<'a>(lines: impl Iterator<Item = &'a str>, now: OffsetDateTime) -> Vec<Unexpected> {
    let mut found: BTreeMap<(u64, IpAddr), Unexpected> = BTreeMap::new();
    for (at, key, from) in lines.filter_map(parse_line) {
        let age = now - at;
        if age > RECENT || age.is_negative() {
            continue;
        }
        let entry = found.entry((key, from)).or_insert(Unexpected { key, from, last: at, lines: 0 });
        entry.last = at.max(entry.last);
        entry.lines += 1;
    }
    found.into_values().collect()
}

/// When a line was written, the key and the sender, where it is one of those.
fn parse_line(line: &str) -> Option<(OffsetDateTime, u64, IpAddr)> {
    let (before, flow) = line.split_once(WORDS)?;
    let at = OffsetDateTime::parse(before.split('|').next()?, &Rfc3339).ok()?;
    let field = |name: &str| flow.split([',', ')']).find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    let key = field("tun_id").map_or(Some(0), |id| match id.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => id.parse().ok(),
    })?;
    // Of a packet over IPv6 the other stands for nothing.
    let source = |name| field(name)?.parse::<IpAddr>().ok().filter(|ip| !ip.is_unspecified());
    Some((at, key, source("tun_src").or_else(|| source("tun_ipv6_src"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-03-01T12:02:00Z";

    fn told(log: &str) -> Vec<(u64, String, u32)> {
        let now = OffsetDateTime::parse(NOW, &Rfc3339).unwrap();
        let of = |one: Unexpected| (one.key, one.from.to_string(), one.lines);
        told_in(log.lines(), now).into_iter().map(of).collect()
    }

    #[test]
    fn recent_lines_count_by_key_and_sender_and_others_are_skipped() {
        // As 3.1 writes it.
        let of = |at: &str, key: &str, from: &str| {
            format!(
                "{at}|00071|tunnel(handler1)|WARN|receive tunnel port not found (arp,{key}tun_src={from},tun_dst=192.0.2.1,\
                 tun_ipv6_src=::,tun_gbp_id=0,in_port=2,dl_src=02:00:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff)\n"
            )
        };
        let log = [
            of("2026-03-01T11:59:59.000Z", "tun_id=0x3e9,", "192.0.2.2"),
            of("2026-03-01T12:00:01.123Z", "tun_id=0x3e9,", "192.0.2.2"),
            of("2026-03-01T12:01:59.999Z", "tun_id=0x3e9,", "192.0.2.2"),
            of("2026-03-01T12:01:00Z", "tun_id=0x3ea,", "192.0.2.3"),
            of("2026-03-01T12:01:00Z", "", "192.0.2.3"),
            of("2026-03-01T12:03:00Z", "tun_id=0x3eb,", "192.0.2.3"),
            of("yesterday", "tun_id=0x3eb,", "192.0.2.3"),
            of("2026-03-01T12:01:00Z", "tun_id=0xx,", "192.0.2.3"),
            "2026-03-01T12:01:30Z|00071|tunnel(handler1)|WARN|receive tunnel port not found (arp,tun_id=0x3e9,tun_src=0.0.0.0,tun_dst=0.0.0.0,\
             tun_ipv6_src=2001:db8::2,tun_ipv6_dst=2001:db8::1,tun_gbp_id=0,in_port=2,dl_src=02:00:00:00:00:01)\n".to_owned(),
            "2026-03-01T12:01:00Z|00072|bridge|INFO|bridge xapi1: added interface t1001-1-2 on port 2\n".to_owned(),
        ];
        let ip = |n: u8| format!("192.0.2.{n}");
        assert_eq!(
            told(&log.concat()),
            [(0, ip(3), 1), (0x3e9, ip(2), 2), (0x3e9, "2001:db8::2".to_owned(), 1), (0x3ea, ip(3), 1)]
        );
    }

    #[test]
    fn a_rotated_log_counts_and_one_that_is_not_there_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let now = OffsetDateTime::now_utc();
        let root = Root::at_folder(dir.path());
        assert_eq!(read_unexpected(&root, now), []);
        let folder = dir.path().join("var/log/openvswitch");
        std::fs::create_dir_all(&folder).unwrap();
        let at = now.format(&Rfc3339).unwrap();
        let line = format!("{at}|1|tunnel|WARN|{WORDS}tun_id=0x5,tun_src=192.0.2.9)\n");
        std::fs::write(folder.join("ovs-vswitchd.log.1"), &line).unwrap();
        std::fs::write(folder.join("ovs-vswitchd.log"), &line).unwrap();
        assert_eq!(read_unexpected(&root, now).iter().map(|one| (one.key, one.lines)).collect::<Vec<_>>(), [(5, 2)]);
    }
}
