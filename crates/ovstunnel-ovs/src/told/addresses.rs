//! The addresses that a bridge has learnt: the counters of `fdb/stats-show`, and what `fdb/show` lists.

use std::collections::{BTreeMap, HashMap};

/// The counters of a bridge's table of addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressCounts {
    /// Addresses in it.
    pub entries: u64,
    /// Addresses that it can hold.
    pub max: u64,
    /// Addresses that somebody has set by hand, where that is told: not before Open vSwitch 3.0.
    pub fixed: Option<u64>,
    /// Moves of an address from one port to another, ever.
    pub moved: u64,
}

impl AddressCounts {
    /// Reads what `fdb/stats-show` prints; nothing where a counter is missing.
    pub(crate) fn parse(printed: &str) -> Option<Self> {
        let value = |name: &str| {
            let line = printed.lines().map(str::trim).find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim())
        };
        let (entries, max) = value("Current/maximum MAC entries")?.split_once('/')?;
        Some(AddressCounts {
            entries: entries.trim().parse().ok()?,
            max: max.trim().parse().ok()?,
            fixed: value("Current static MAC entries").and_then(|count| count.parse().ok()),
            moved: value("Total number of port moved MAC entries")?.parse().ok()?,
        })
    }
}

/// Lines of `fdb/show`: port, VLAN with address, and its age, or `static` where it was set by hand.
fn table_entries(printed: &str) -> impl Iterator<Item = (&str, (&str, &str), &str)> {
    printed.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [port, vlan, mac, age] = words.as_slice() else { return None };
        let number = |text: &str| text.parse::<u32>().is_ok();
        let good = (*port == "LOCAL" || number(port)) && number(vlan) && mac.len() == 17;
        good.then_some((*port, (*vlan, *mac), *age))
    })
}

/// An address that a bridge knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// OpenFlow number of its port, or `LOCAL`.
    pub port: String,
    /// The VLAN in which it was learnt; 0 where the frames have no tag.
    pub vlan: u16,
    /// The address.
    pub mac: String,
    /// Seconds since a frame from it came; none where somebody has set it by hand.
    pub age: Option<u32>,
}

/// The addresses of what `fdb/show` has printed.
pub fn parse_addresses(printed: &str) -> Vec<Address> {
    let address = |(port, (vlan, mac), age): (&str, (&str, &str), &str)| Address {
        port: port.to_owned(),
        vlan: vlan.parse().unwrap_or_default(),
        mac: mac.to_owned(),
        age: age.parse().ok(),
    };
    table_entries(printed).map(address).collect()
}

/// The addresses that somebody has set by hand: port and address.
pub(crate) fn static_addresses(printed: &str) -> Vec<(String, String)> {
    let by_hand = table_entries(printed).filter(|(_, _, age)| *age == "static");
    by_hand.map(|(port, (_, mac), _)| (port.to_owned(), mac.to_owned())).collect()
}

/// The port with most addresses, and how many.
pub(crate) fn fullest_port(printed: &str) -> Option<(String, u64)> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    table_entries(printed).for_each(|(port, ..)| *counts.entry(port).or_default() += 1);
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(port, count)| (port.to_owned(), count))
}

/// The two ports between which most addresses have moved, by what `fdb/show` has printed before and after.
pub fn moved_between(before: &str, after: &str) -> Option<(String, String)> {
    let then: HashMap<_, _> = table_entries(before).map(|(port, address, _)| (address, port)).collect();
    let mut moves: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (port, address, _) in table_entries(after) {
        if let Some(earlier) = then.get(&address).filter(|earlier| **earlier != port) {
            *moves.entry((port.min(earlier), port.max(earlier))).or_default() += 1;
        }
    }
    moves.into_iter().max_by_key(|(_, count)| *count).map(|((a, b), _)| (a.to_owned(), b.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by 3.1.0.
    const STATISTICS: &str = "\
Statistics for bridge \"xapi1\":
  Current/maximum MAC entries in the table: 3/8192
  Current static MAC entries in the table : 1
  Total number of learned MAC entries     : 30
  Total number of expired MAC entries     : 0
  Total number of evicted MAC entries     : 0
  Total number of port moved MAC entries  : 597
";
    const SHOWN: &str = "\
 port  VLAN  MAC                Age
    4     0  da:9f:91:d3:b2:c7  191
LOCAL     0  be:34:8d:f0:83:40  123
    4     0  02:bb:00:00:00:09  static
    2     0  82:31:93:76:6e:23    0
";

    #[test]
    fn counters_are_read_with_and_without_that_of_fixed_ones() {
        let counts = AddressCounts { entries: 3, max: 8192, fixed: Some(1), moved: 597 };
        assert_eq!(AddressCounts::parse(STATISTICS), Some(counts));
        let older: Vec<&str> = STATISTICS.lines().filter(|line| !line.contains("static")).collect();
        assert_eq!(AddressCounts::parse(&older.join("\n")), Some(AddressCounts { fixed: None, ..counts }));
        assert_eq!(AddressCounts::parse(SHOWN), None);
    }

    #[test]
    fn fixed_addresses_and_the_fullest_port_are_found() {
        assert_eq!(static_addresses(SHOWN), [("4".to_owned(), "02:bb:00:00:00:09".to_owned())]);
        assert_eq!(fullest_port(SHOWN), Some(("4".to_owned(), 2)));
        assert_eq!((static_addresses(""), fullest_port("")), (vec![], None));
    }

    #[test]
    fn each_address_has_its_port_vlan_and_age() {
        let all = parse_addresses(&SHOWN.replace("    2     0", "    2     7"));
        let short: Vec<_> =
            all.iter().map(|a| (a.port.as_str(), a.vlan, a.mac.get(15..).unwrap_or_default(), a.age)).collect();
        assert_eq!(
            short,
            [("4", 0, "c7", Some(191)), ("LOCAL", 0, "40", Some(123)), ("4", 0, "09", None), ("2", 7, "23", Some(0))]
        );
    }

    #[test]
    fn a_move_names_both_ports() {
        let after = SHOWN.replace("    2     0  82:31", "    7     0  82:31");
        assert_eq!(moved_between(SHOWN, &after), Some(("2".to_owned(), "7".to_owned())));
        assert_eq!(moved_between(SHOWN, SHOWN), None);
    }
}
