//! Where a NIC is: on one host, or on two while it migrates.
//!
//! What it does: what becomes of a NIC by a word about it, as a pure function. What it must not do: know the zone or the database.

use ovstunnel_store::NicRow;
use ovstunnel_types::HostNumber;

/// How a NIC gets to another host than it is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Move {
    /// Both hosts have it until it is said how the migration ended.
    #[default]
    Migrate,
    /// The other host has it, and nobody else: the VM was started anew there.
    Replace,
}

/// It is moving between two other hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moving {
    /// Where it is.
    pub from: HostNumber,
    /// Where it goes.
    pub to: HostNumber,
}

/// A NIC that is prepared on a host. What is not said of it stays as it was.
///
/// # Errors
/// It is moving, and the host is neither of the two.
pub fn place_nic(before: Option<&NicRow>, wanted: NicRow, how: Move) -> Result<NicRow, Moving> {
    let Some(before) = before else { return Ok(wanted) };
    let to = wanted.host;
    let (host, moving_to) = match (before.moving_to, how) {
        (_, Move::Replace) => (to, None),
        (None, Move::Migrate) if before.host == to => (to, None),
        (None, Move::Migrate) => (before.host, Some(to)),
        (moving, Move::Migrate) if before.is_on(to) => (before.host, moving),
        (Some(other), Move::Migrate) => return Err(Moving { from: before.host, to: other }),
    };
    Ok(NicRow {
        network: before.network,
        id: before.id.clone(),
        vm: wanted.vm.or_else(|| before.vm.clone()),
        mac: wanted.mac.or(before.mac),
        ip: wanted.ip.or(before.ip),
        host,
        moving_to,
    })
}

/// A NIC whose migration has ended well.
pub fn after_migration(before: &NicRow) -> NicRow {
    NicRow { host: before.moving_to.unwrap_or(before.host), moving_to: None, ..before.clone() }
}

/// A NIC whose migration was given up.
pub fn rolled_back(before: &NicRow) -> NicRow {
    NicRow { moving_to: None, ..before.clone() }
}

/// A NIC of which one host, or everybody, lets go; none where nobody has it any more.
pub fn after_release(before: &NicRow, on: Option<HostNumber>) -> Option<NicRow> {
    match (on, before.moving_to) {
        (None, _) => None,
        (Some(host), Some(_)) if host == before.host => Some(after_migration(before)),
        (Some(host), Some(to)) if host == to => Some(rolled_back(before)),
        (Some(host), None) if host == before.host => None,
        (Some(_), _) => Some(before.clone()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn host(n: u64) -> HostNumber {
        n.try_into().unwrap()
    }

    fn nic(at: u64, moving_to: Option<u64>) -> NicRow {
        let (vm, moving_to) = (Some("i-2-3-VM".to_owned()), moving_to.map(host));
        NicRow { network: 7.try_into().unwrap(), id: "n1".into(), vm, mac: None, ip: None, host: host(at), moving_to }
    }

    /// Where it is, and where it goes.
    fn places(nic: &NicRow) -> (u64, Option<u64>) {
        (nic.host.get(), nic.moving_to.map(HostNumber::get))
    }

    #[test]
    fn a_nic_is_on_two_hosts_while_it_migrates_and_nowhere_else() {
        let on = |n| NicRow { vm: None, ..nic(n, None) };
        let prepared =
            |before: Option<NicRow>, to, how| place_nic(before.as_ref(), on(to), how).map(|nic| places(&nic));
        let cases = [
            (None, 1, Move::Migrate, Ok((1, None))),
            (Some(nic(1, None)), 1, Move::Migrate, Ok((1, None))),
            (Some(nic(1, None)), 2, Move::Migrate, Ok((1, Some(2)))),
            (Some(nic(1, Some(2))), 2, Move::Migrate, Ok((1, Some(2)))),
            (Some(nic(1, Some(2))), 1, Move::Migrate, Ok((1, Some(2)))),
            (Some(nic(1, Some(2))), 3, Move::Migrate, Err(Moving { from: host(1), to: host(2) })),
            (Some(nic(1, None)), 2, Move::Replace, Ok((2, None))),
            (Some(nic(1, Some(2))), 3, Move::Replace, Ok((3, None))),
        ];
        for (before, to, how, after) in cases {
            assert_eq!(prepared(before.clone(), to, how), after, "{before:?} to {to} by {how:?}");
        }
        assert_eq!(place_nic(Some(&nic(1, None)), on(2), Move::Migrate).unwrap().vm.as_deref(), Some("i-2-3-VM"));
    }

    #[test]
    fn a_migration_ends_at_either_end_and_one_or_all_are_released() {
        assert_eq!(places(&after_migration(&nic(1, Some(2)))), (2, None));
        assert_eq!(places(&rolled_back(&nic(1, Some(2)))), (1, None));
        assert_eq!(
            (places(&after_migration(&nic(1, None))), places(&rolled_back(&nic(1, None)))),
            ((1, None), (1, None))
        );
        let released = |nic, on: Option<u64>| after_release(&nic, on.map(host)).map(|nic| places(&nic));
        assert_eq!(released(nic(1, Some(2)), None), None);
        assert_eq!(released(nic(1, None), Some(1)), None);
        assert_eq!(released(nic(1, Some(2)), Some(1)), Some((2, None)), "the source lets go: it has migrated");
        assert_eq!(released(nic(1, Some(2)), Some(2)), Some((1, None)), "the destination lets go: it was rolled back");
        assert_eq!(released(nic(1, None), Some(2)), Some((1, None)), "it was not there");
    }
}
