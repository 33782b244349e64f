//! What a meter has counted, by what `ovs-ofctl meter-stats` prints. Must not guess: where something is not understood there is no answer.

use std::time::Duration;

/// What a meter of one band has counted since it was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metered {
    /// How long it has been set.
    pub set_for: Duration,
    /// Frames that came to it.
    pub frames: u64,
    /// Frames that its band has dropped.
    pub dropped: u64,
}

impl Metered {
    /// Reads what is printed of one meter; nothing where the switch has none of that number, or it is not understood.
    pub(crate) fn parse(printed: &str) -> Option<Metered> {
        let (_, of_meter) = printed.split_once("meter:")?;
        let (head, bands) = of_meter.split_once("bands:")?;
        let value = |text: &str, name: &str| {
            let (_, rest) = text.split_once(name)?;
            Some(rest.split([' ', '\n', ',']).next().unwrap_or(rest).to_owned())
        };
        let seconds: f64 = value(head, "duration:")?.trim_end_matches('s').parse().ok()?;
        Some(Metered {
            set_for: Duration::try_from_secs_f64(seconds).ok()?,
            frames: value(head, "packet_in_count:")?.parse().ok()?,
            dropped: value(bands, "packet_count:")?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by 3.1.0.
    const PRINTED: &str = "\
OFPST_METER reply (OF1.4) (xid=0x2):
meter:4 flow_count:1 packet_in_count:1200 byte_in_count:72000 duration:12.503s bands:
0: packet_count:700 byte_count:42000
";

    #[test]
    fn what_a_meter_has_dropped_is_read() {
        let set_for = Duration::from_millis(12_503);
        assert_eq!(Metered::parse(PRINTED), Some(Metered { set_for, frames: 1200, dropped: 700 }));
    }

    #[test]
    fn what_is_not_understood_is_no_count() {
        for odd in ["", "OFPST_METER reply (OF1.4) (xid=0x2):\n", "meter:4 flow_count:x bands:\n0: packet_count:x\n"] {
            assert_eq!(Metered::parse(odd), None, "{odd}");
        }
        let cut = PRINTED.replace("packet_count:700", "packet_count:many");
        assert_eq!(Metered::parse(&cut), None);
    }
}
