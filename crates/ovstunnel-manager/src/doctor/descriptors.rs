//! Whether the manager may have as many connections open as it has hosts. Must not change the limit.

use std::path::Path;

use ovstunnel_api::Finding;
use ovstunnel_server::doctor::finding::{fail, ok, warn};

/// What the manager needs beside a connection to each host: listeners, clients, files, the database.
const BESIDE: usize = 256;

/// So few that are left are too few.
const LITTLE: usize = 16;

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Most file descriptors that the process may have; none where that is not bounded, or not known.
    limit: Option<usize>,
    /// How many it has.
    open: usize,
}

/// `process` is the folder of a process under `/proc`.
pub(super) fn collect_facts(process: &Path) -> Facts {
    let limits = std::fs::read_to_string(process.join("limits")).unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let limit = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    let open = std::fs::read_dir(process.join("fd")).map_or(0, Iterator::count);
    Facts { limit, open }
}

pub(super) fn check_descriptors(facts: &Facts, hosts: usize) -> Finding {
    const RAISE: &str = "`systemctl edit ovstunnel-manager`: LimitNOFILE=65536 under [Service], then `systemctl restart ovstunnel-manager`";
    let Some(limit) = facts.limit else { return ok("descriptors", "the number of open files is not bounded") };
    let (open, needed) = (facts.open, hosts + BESIDE);
    if open + LITTLE >= limit {
        let reason = format!("{open} of {limit} file descriptors are in use: hosts and clients cannot connect");
        return fail("descriptors", reason, RAISE);
    }
    if limit < needed {
        let reason = format!("the manager may have {limit} files open, and needs {needed} for {hosts} hosts");
        return warn("descriptors", reason, RAISE);
    }
    ok("descriptors", format!("{open} of {limit} file descriptors are in use; {hosts} hosts need {needed}"))
}

#[cfg(test)]
mod tests {
    use ovstunnel_api::Level;

    use super::*;

    #[test]
    fn a_limit_that_is_too_small_for_the_zone_is_found() {
        let level = |limit, open, hosts| check_descriptors(&Facts { limit, open }, hosts).level;
        assert_eq!(level(Some(65536), 2100, 2000), Level::Ok);
        assert_eq!(level(None, 2100, 2000), Level::Ok);
        assert_eq!(level(Some(1024), 300, 2000), Level::Warn);
        assert_eq!(level(Some(1024), 1020, 10), Level::Fail);
        let own = collect_facts(Path::new("/proc/self"));
        assert!(own.limit.is_some() && own.open > 2, "{own:?}");
    }
}
