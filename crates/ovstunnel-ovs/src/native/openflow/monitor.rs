//! Flow monitors of OpenFlow 1.4: what the switch tells, unasked, of each change of a bridge's flows.
//!
//! What it does: the request, and the reading of updates. Changes that were made on the connection of the monitor are told
//! abbreviated and are no news. What it must not do: say what the flows are now.

use ovstunnel_plan::Cookie;

use super::wire::{ANY, Bytes, FLOW_MONITOR, Reader};

/// Tell of flows that come, go and are modified, and not of those that are there; without instructions; own changes abbreviated.
const FLAGS: u16 = 1 << 1 | 1 << 2 | 1 << 3;

/// Kinds of updates.
mod event {
    pub const ADDED: u16 = 1;
    pub const REMOVED: u16 = 2;
    pub const MODIFIED: u16 = 3;
    pub const ABBREVIATED: u16 = 4;
    pub const PAUSED: u16 = 5;
    pub const RESUMED: u16 = 6;
}

/// The body of the request for a monitor of all tables.
pub(super) fn monitor_request_body() -> Vec<u8> {
    let mut body = Bytes::default();
    body.u16(FLOW_MONITOR).u16(0).zeros(4);
    // Its number, any port, any group; all tables; it is added, for each match.
    body.u32(1).u32(ANY).u32(ANY).u16(FLAGS).u8(0xff).u8(0).u16(1).u16(4).zeros(4);
    body.0
}

/// What updates say together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// A flow of ours came, went or was modified, or may have been: a new flow takes the place of an equal one, whosever it is.
    pub ours: bool,
    /// A flow of somebody else's came, went or was modified.
    pub others: bool,
    /// Nothing more is told until it is resumed: the switch could not send what it had to tell.
    pub paused: bool,
    /// What was held back has been told.
    pub resumed: bool,
}

impl Told {
    fn add_update(&mut self, mut update: Reader<'_>) -> Option<()> {
        match update.u16()? {
            event::ABBREVIATED => {}
            event::PAUSED => self.paused = true,
            event::RESUMED => self.resumed = true,
            kind @ (event::ADDED | event::REMOVED | event::MODIFIED) => {
                // Table, reason, time-outs and priority.
                update.take_bytes(1 + 1 + 2 + 2 + 2 + 4)?;
                let cookie = Cookie(update.u64()?);
                let is_ours = cookie.0 & Cookie::MASK.0 == Cookie::OURS.0;
                if cookie.0 & Cookie::MASK.0 == Cookie::TEMPORARY.0 {
                    // It ends by itself.
                    return Some(());
                }
                self.ours |= is_ours || kind != event::REMOVED;
                self.others |= !is_ours;
            }
            // The flows that are there were not asked for.
            _ => return None,
        }
        Some(())
    }
}

/// What a message of a monitor says; where it is not understood that anything may have changed.
pub(super) fn parse_updates(body: &[u8]) -> Told {
    let mut told = Told::default();
    let mut updates = Reader(body.get(8..).unwrap_or_default());
    let mut read = || {
        while !updates.0.is_empty() {
            let length = usize::from(Reader(updates.0).u16()?);
            let mut update = Reader(updates.take_bytes(length)?);
            update.u16()?;
            told.add_update(update)?;
        }
        Some(())
    };
    match read() {
        Some(()) => told,
        None => Told { ours: true, others: true, ..told },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(event: u16, cookie: u64) -> Vec<u8> {
        let mut update = Bytes::default();
        update.u16(32).u16(event).zeros(8).zeros(4).u64(cookie).u16(1).u16(4).zeros(4);
        update.0
    }

    fn told(updates: &[Vec<u8>]) -> Told {
        let mut body = Bytes::default();
        body.u16(FLOW_MONITOR).u16(0).zeros(4).bytes(&updates.concat());
        parse_updates(&body.0)
    }

    #[test]
    fn updates_tell_whose_flows_changed() {
        let (ours, others) = (0x6f76_7374_0100_0000, 0x77);
        let expected = |ours, others| Told { ours, others, ..Told::default() };
        let abbreviated = vec![0, 8, 0, 4, 0, 0, 0, 9];
        assert_eq!(told(&[]), Told::default());
        assert_eq!(told(std::slice::from_ref(&abbreviated)), Told::default(), "our own change");
        for event in [1, 2, 3] {
            assert_eq!(told(&[full(event, ours)]), expected(true, false), "{event}");
        }
        // A new flow takes the place of an equal one, and a modified one may have been ours.
        assert_eq!(told(&[full(1, others)]), expected(true, true));
        assert_eq!(told(&[full(3, others)]), expected(true, true));
        assert_eq!(told(&[full(2, others)]), expected(false, true));
        assert_eq!(told(&[full(1, 0x6f76_7362_0000_0003)]), Told::default(), "a probe's");
        assert_eq!(told(&[abbreviated, full(2, ours)]), expected(true, false));
    }

    #[test]
    fn pauses_are_told_and_what_is_not_understood_is_news() {
        let (paused, resumed) = (vec![0, 8, 0, 5, 0, 0, 0, 0], vec![0, 8, 0, 6, 0, 0, 0, 0]);
        assert!(told(std::slice::from_ref(&paused)).paused);
        assert!(told(&[resumed]).resumed);
        for odd in [vec![0, 8, 0, 9, 0, 0, 0, 0], vec![0, 0], vec![0, 200, 0, 1], vec![7], full(2, 1)[..20].to_vec()] {
            let told = told(&[paused.clone(), odd.clone()]);
            assert!(told.ours && told.paused, "{odd:?}");
        }
    }
}
