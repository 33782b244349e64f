//! A CloudStack database to read: as a dump of MySQL, in the two layouts that there are, and rewritten for SQLite.
//!
//! The tables have the columns that concern tunnels, of the types that the published schemas give them: apache/cloudstack
//! `setup/db/create-schema.sql`, `setup/db/db/schema-302to40.sql` (which begins the endpoints' ids at 5),
//! `engine/schema/src/main/resources/META-INF/db/schema-481to490-cleanup.sql` (which makes `id` the primary key), and the dump of 4.8's tables in
//! MissionCriticalCloud/cosmic, `V1__baseline.sql`.
#![allow(dead_code, reason = "tests of two crates use a part each")]

use ovstunnel_store::cloudstack::{Member, Setting, Tables};

/// Which layout.
#[derive(Clone, Copy, Debug)]
pub enum Layout {
    /// 4.0 to 4.8, brought there from 3.0: the lock row of the endpoints has the id 5.
    Before49,
    /// From 4.9 on.
    Since49,
}

/// All that both layouts have.
const COMMON: &str = include_str!("common.sql");
const BEFORE_49: &str = include_str!("before49.sql");
const SINCE_49: &str = include_str!("since49.sql");

/// The statements that make the database, for MySQL.
pub fn for_mysql(layout: Layout) -> String {
    let tunnels = match layout {
        Layout::Before49 => BEFORE_49,
        Layout::Since49 => SINCE_49,
    };
    format!("{COMMON}\n{tunnels}")
}

/// The same for SQLite: keys that are only for speed go, and what names an engine.
pub fn for_sqlite(layout: Layout) -> String {
    let dump = for_mysql(layout);
    let mut out: Vec<String> = Vec::new();
    for line in dump.lines() {
        let part = line.trim();
        if part.starts_with("KEY ") {
            continue;
        }
        if part.starts_with(") ENGINE") {
            let last = out.last_mut().unwrap();
            *last = last.trim_end_matches(',').to_owned();
            out.push(");".to_owned());
            continue;
        }
        let unique =
            part.strip_prefix("UNIQUE KEY ").map(|rest| format!("UNIQUE {}", &rest[rest.find('(').unwrap()..]));
        out.push(unique.unwrap_or_else(|| line.replace(" AUTO_INCREMENT", "")));
    }
    out.join("\n")
}

/// What must be read of it.
pub fn check(tables: &Tables, layout: Layout) {
    assert_eq!(tables.missing, Vec::<&str>::new());
    let zones: Vec<_> = tables.zones.iter().map(|zone| (zone.id, zone.name.as_str())).collect();
    assert_eq!(zones, [(1, "dc1"), (2, "dc2")]);
    assert_eq!((&tables.controller, &tables.default_label), (&Setting::Value("true".into()), &Setting::Default));
    let hosts: Vec<_> =
        tables.hosts.iter().map(|host| (host.id, host.name.as_str(), host.zone, host.is_removed)).collect();
    assert_eq!(hosts, [(1, "xen1", Some(1), false), (2, "xen2", Some(1), false), (3, "old", Some(1), true)]);
    let networks: Vec<_> = tables.networks.iter().map(|n| (n.id, n.uri.as_deref(), n.is_removed)).collect();
    let uris = [(204, Some("vs://1001"), false), (205, Some("vs://7.1002"), false), (206, None, true)];
    assert_eq!(networks, uris);
    let physical = &tables.physical_networks[0];
    assert_eq!((physical.id, physical.vnet.as_deref(), tables.physical_networks.len()), (200, Some("1001-1010"), 1));
    assert_eq!(physical.methods, ["GRE"]);
    assert_eq!((physical.label_xen.as_deref(), physical.label_kvm.as_deref()), (Some("cloud-guest"), None));
    let taken: Vec<_> = tables.taken.iter().map(|key| (key.vnet.as_deref(), key.physical_network)).collect();
    assert_eq!(taken, [(Some("1001"), Some(200)), (Some("1002"), Some(200))]);
    // The source of a migration counts, and its destination; what is stopped or removed does not.
    let members: Vec<_> = tables.members.iter().map(|Member { network, host }| (*network, *host)).collect();
    assert_eq!(members, [(204, 1), (204, 2), (205, 1)]);

    let endpoints: Vec<_> = tables.endpoints.iter().map(|e| (e.id, e.ip.as_deref(), e.host)).collect();
    let mut tunnels: Vec<_> = tables.tunnels.iter().map(|t| (t.from, t.to, t.network, t.key)).collect();
    tunnels.sort_unstable();
    assert_eq!(tunnels, [(0, 0, 0, 0), (1, 2, 204, 1001), (2, 1, 204, 1001)]);
    let of = |from: u64| tables.tunnels.iter().find(|tunnel| tunnel.from == from).unwrap();
    match layout {
        Layout::Before49 => {
            assert_eq!(endpoints, [(5, Some("0"), Some(0)), (6, Some("192.0.2.1"), Some(1))]);
            assert_eq!((of(1).state.as_deref(), of(1).port.as_deref()), (Some("SUCCESS"), Some("t1001-1-2")));
            assert_eq!((of(2).state.as_deref(), of(2).port.as_deref()), (Some("FAILED"), Some("[]")));
        }
        Layout::Since49 => {
            assert_eq!(endpoints, [(1, Some("0"), Some(0)), (2, None, Some(2))]);
            assert_eq!((of(1).state.as_deref(), of(1).port.as_deref()), (Some("Established"), Some("t1001-1-2")));
            assert_eq!((of(2).state.as_deref(), of(2).port.as_deref()), (Some("Created"), None));
        }
    }
}
