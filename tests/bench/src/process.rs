//! What processes cost: CPU time and memory of a daemon with all that it has started, from `/proc`. Must not change them.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

/// Clock ticks of `/proc` in a second: the same on every Linux that people use.
const TICKS: f64 = 100.0;

/// Time between two looks at a daemon's memory.
const INTERVAL: Duration = Duration::from_millis(2);

/// CPU time in seconds of a process, of all its threads, and of the children that it has reaped.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    Ok(own_seconds(pid)? + children_seconds(&pid.to_string())?)
}

/// CPU time of the children that this process has reaped.
pub fn own_children_seconds() -> Result<f64> {
    children_seconds("self")
}

/// By the scheduler's own clock, which counts nanoseconds where `stat` counts hundredths of a second.
fn own_seconds(pid: u32) -> Result<f64> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        nanoseconds += text.split(' ').next().and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    }
    Ok(Duration::from_nanos(nanoseconds).as_secs_f64())
}

fn children_seconds(pid: &str) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the command in parentheses; cutime and cstime are fields 16 and 17.
    let (_, rest) = stat.rsplit_once(") ").context("/proc/…/stat")?;
    let ticks: f64 = rest.split(' ').skip(13).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS)
}

/// Resident memory in bytes of a process and of all its descendants.
pub fn memory(pid: u32) -> u64 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let others = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of_threads = others.filter(|task| task.file_name().to_string_lossy() != pid.to_string());
    let of_threads = of_threads.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    let all = of_threads.fold(children, |all, more| format!("{all} {more}"));
    let below: u64 = all.split_whitespace().filter_map(|child| child.parse().ok()).map(memory).sum();
    resident(pid) + below
}

fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: u64 = line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or_default();
    kilobytes * 1024
}

/// The most memory that a process and its descendants have at any moment of a piece of work.
pub struct Peak {
    stop: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
    watcher: Option<JoinHandle<()>>,
}

impl Peak {
    /// Begins to look.
    pub fn of(pid: u32) -> Self {
        let (stop, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let watch = {
            let (stop, most) = (Arc::clone(&stop), Arc::clone(&most));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    most.fetch_max(memory(pid), Ordering::Relaxed);
                    thread::sleep(INTERVAL);
                }
            }
        };
        Peak { stop, most, watcher: Some(thread::spawn(watch)) }
    }

    /// Ends looking, and tells in bytes what was the most.
    pub fn finish(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            // It cannot panic; and what it has seen until then counts.
            let _ = watcher.join();
        }
        self.most.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_has_used_time() {
        let pid = std::process::id();
        assert!(memory(pid) > 1 << 20);
        assert!(cpu_seconds(pid).unwrap() > 0.0);
        assert!(Peak::of(pid).finish() < 1 << 40);
    }

    #[test]
    fn children_count_once_they_are_reaped() {
        let before = own_children_seconds().unwrap();
        let script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        assert!(std::process::Command::new("sh").args(["-c", script]).status().unwrap().success());
        assert!(own_children_seconds().unwrap() > before);
    }
}
