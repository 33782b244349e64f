//! Names of labs: who made one, so that what is left of a dead one can be told from what is in use.
//!
//! A lab is called `ovlab-<pid>-<start>-<number>-<tag>`: process id and start time (clock ticks since boot, hexadecimal)
//! of its owner, then its number within that process. Its namespaces and its directory carry that name in front. There is
//! no list of labs on disk: the names tell all. Nothing here changes anything.

use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result};

/// What the name of every namespace and directory of a lab starts with.
pub(crate) const PREFIX: &str = "ovlab-";

/// Longest part of a tag that goes into names.
const TAG_LENGTH: usize = 12;

static NUMBER: AtomicU32 = AtomicU32::new(1);

/// A name for a new lab of this process, unlike any other on this machine.
pub(crate) fn new_lab(tag: &str) -> Result<String> {
    let pid = std::process::id();
    let start = start_time(pid).context("cannot read this process's start time from /proc")?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let tag: String = tag.chars().filter(char::is_ascii_alphanumeric).take(TAG_LENGTH).collect();
    Ok(format!("{PREFIX}{pid}-{start:x}-{number}-{tag}"))
}

/// The lab that something called `name` belongs to, if its owner is dead. `None` also for what is no lab's.
pub(crate) fn dead_lab_of(name: &str) -> Option<String> {
    let mut parts = name.strip_prefix(PREFIX)?.splitn(5, '-');
    let (pid, start, number, tag) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let pid: u32 = pid.parse().ok()?;
    let start_ticks = u64::from_str_radix(start, 16).ok()?;
    let _: u32 = number.parse().ok()?;
    let alive = start_time(pid) == Some(start_ticks);
    (!alive).then(|| format!("{PREFIX}{pid}-{start}-{number}-{tag}"))
}

/// When a process started, in clock ticks since boot: field 22 of `/proc/<pid>/stat`. `None` if there is no such process.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in parentheses and may contain blanks and parentheses itself.
    let (_, after_command) = stat.rsplit_once(") ")?;
    after_command.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_living_are_not_dead() {
        let name = new_lab("a tag, long and odd").unwrap();
        assert!(name.ends_with("-ataglongando"), "{name}");
        assert_eq!(dead_lab_of(&format!("{name}-h1")), None);
    }

    #[test]
    fn the_dead_are_known_by_their_start_time() {
        let pid = std::process::id();
        let name = format!("{PREFIX}{pid}-1-7-tag-vm-a");
        assert_eq!(dead_lab_of(&name), Some(format!("{PREFIX}{pid}-1-7-tag")));
    }

    #[test]
    fn others_are_not_ours() {
        for name in ["ovlab", "ovlab-x-1-1-t", "ovlab-1-1-x-t", "cni-12", "ovlab-1-1-1"] {
            assert_eq!(dead_lab_of(name), None, "{name}");
        }
    }
}
