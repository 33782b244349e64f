//! The last changes, each as the text that readers get. Must not grow.

use std::collections::VecDeque;

use bytes::Bytes;
use ovstunnel_api::Position;

/// Bytes of changes, the newest aside, that a reader may be behind; so many are kept, too.
pub(super) const BEHIND: u64 = 1 << 20;

/// The changes since a version.
#[derive(Debug)]
pub(super) struct Log {
    instance: String,
    /// The version after the last change.
    pub version: u64,
    /// Bytes of all changes ever.
    pub end: u64,
    entries: VecDeque<Entry>,
    bytes: u64,
}

#[derive(Debug)]
struct Entry {
    text: Bytes,
    /// Bytes of all changes up to and with this one.
    end: u64,
}

impl Log {
    pub fn new(instance: String) -> Self {
        Log { instance, version: 1, end: 0, entries: VecDeque::new(), bytes: 0 }
    }

    /// The position after the last change.
    pub fn position(&self) -> Position {
        self.position_at(self.version)
    }

    pub fn position_at(&self, version: u64) -> Position {
        Position { instance: self.instance.clone(), version }
    }

    /// Takes in a change.
    pub fn push(&mut self, name: &str, data: &str) {
        self.version += 1;
        let text = event_bytes(name, data, &self.position());
        // One that is as far behind as it may be still finds all that it lacks.
        while let Some(first) = self.entries.front().map(|first| first.text.len() as u64)
            && self.bytes - first >= BEHIND
        {
            self.bytes -= first;
            self.entries.pop_front();
        }
        self.bytes += text.len() as u64;
        self.end += text.len() as u64;
        self.entries.push_back(Entry { text, end: self.end });
    }

    /// Forgets all changes: no position from before is known any more.
    pub fn clear(&mut self) {
        self.version += 1;
        self.entries.clear();
        self.bytes = 0;
    }

    /// Whether every change since a version is still there.
    pub fn has_all_since(&self, version: u64) -> bool {
        version <= self.version && version >= self.oldest_version()
    }

    fn oldest_version(&self) -> u64 {
        self.version - self.entries.len() as u64
    }

    /// The change after a version, and the bytes of all changes up to and with it; nothing where it is the last, or where changes
    /// after it are gone.
    pub fn change_after(&self, version: u64) -> Option<(Bytes, u64)> {
        let index = usize::try_from(version.checked_sub(self.oldest_version())?).ok()?;
        self.entries.get(index).map(|entry| (entry.text.clone(), entry.end))
    }

    /// The bytes of all changes up to and with that of a version.
    pub fn end_of(&self, version: u64) -> u64 {
        match version.checked_sub(self.oldest_version() + 1).and_then(|index| usize::try_from(index).ok()) {
            Some(index) => self.entries.get(index).map_or(self.end, |entry| entry.end),
            None => self.end - self.bytes,
        }
    }
}

/// An event as it is sent: WHATWG HTML, 9.2.6. JSON as it is written here has no line breaks.
pub(super) fn event_bytes(name: &str, data: &str, position: &Position) -> Bytes {
    format!("event: {name}\nid: {position}\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_log_is_bounded_and_serves_the_slowest() {
        let mut log = Log::new("a".into());
        for _ in 0..100 {
            log.push("bridge_gone", &"x".repeat(100_000));
            assert!(log.bytes < BEHIND + 300_000, "{}", log.bytes);
            let kept = |version: u64| log.end - log.end_of(version);
            let oldest = log.oldest_version();
            assert!(oldest == 1 || kept(oldest) >= BEHIND, "{oldest} {}", kept(oldest));
        }
        assert!(!log.has_all_since(log.oldest_version() - 1) && log.has_all_since(log.oldest_version()));
        assert!(log.change_after(log.version).is_none() && log.change_after(0).is_none());
        assert_eq!(log.change_after(log.version - 1).map(|(_, end)| end), Some(log.end));
        log.clear();
        assert!(log.has_all_since(102) && !log.has_all_since(101), "what was cleared cannot be told any more");
    }
}
