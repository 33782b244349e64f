//! A range of port numbers as masks: the fewest blocks of which each is aligned to its own size.
//!
//! What it does: at most 30 for any range, where one flow for each port would be 65,536. What it must not do: overlap.

use super::PortRange;
use crate::PortMask;

/// The masks that together match exactly the ports of a range.
pub fn range_masks(range: PortRange) -> Vec<PortMask> {
    let mut masks = Vec::new();
    let (mut next, end) = (u32::from(range.start()), u32::from(range.end()));
    while next <= end {
        // The largest block that begins here and does not reach beyond the end.
        let aligned = if next == 0 { 16 } else { next.trailing_zeros() };
        let fitting = (end - next + 1).ilog2();
        let size = 1_u32 << aligned.min(fitting);
        let block = |number: u32| u16::try_from(number).ok();
        if let (Some(value), Some(mask)) = (block(next), block(0x1_0000 - size)) {
            masks.push(PortMask { value, mask });
        }
        next += size;
    }
    masks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_worst_range_takes_thirty() {
        assert_eq!(range_masks(PortRange::new(1, 65534).unwrap()).len(), 30);
        assert_eq!(range_masks(PortRange::new(0, 65535).unwrap()), [PortMask { value: 0, mask: 0 }]);
        assert_eq!(range_masks(PortRange::new(80, 80).unwrap()), [PortMask::one_port(80)]);
        assert_eq!(range_masks(PortRange::new(65535, 65535).unwrap()), [PortMask::one_port(65535)]);
    }

    proptest! {
        #[test]
        fn each_port_of_a_range_is_matched_once_and_no_other(a in any::<u16>(), b in any::<u16>()) {
            let (start, end) = (a.min(b), a.max(b));
            let masks = range_masks(PortRange::new(start, end).unwrap());
            prop_assert!(masks.len() <= 30);
            for port in 0..=u16::MAX {
                let matching = masks.iter().filter(|mask| mask.contains(port)).count();
                prop_assert_eq!(matching, usize::from((start..=end).contains(&port)), "port {}", port);
            }
        }
    }
}
