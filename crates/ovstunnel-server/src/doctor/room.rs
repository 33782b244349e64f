//! How much may still be written to a file system. Must not write to it.

use std::path::Path;

/// Bytes that may still be written where this file or folder is; none where that cannot be told.
pub fn free_bytes(place: &Path) -> Option<u64> {
    let about = nix::sys::statvfs::statvfs(place).ok()?;
    // Some file systems count nothing.
    if about.blocks() == 0 {
        return None;
    }
    #[allow(clippy::useless_conversion, reason = "the fields' types differ by platform")]
    Some(u64::from(about.blocks_available()).saturating_mul(u64::from(about.fragment_size())))
}
