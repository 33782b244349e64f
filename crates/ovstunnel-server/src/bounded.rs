//! Texts of a bounded length: their beginning or their end, with a marker where something is left out.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// The beginning of a text.
pub fn keep_beginning(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        let mut at = longest;
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let left = text.len() - at;
        text.truncate(at);
        text.push_str(&format!("\n[{left} bytes are left out here]\n"));
    }
    text
}

/// The end of a file; where it cannot be read, why not.
pub fn end(file: &Path, longest: usize) -> String {
    read_end(file, longest).unwrap_or_else(|error| format!("{} cannot be read: {error}\n", file.display()))
}

fn read_end(file: &Path, longest: usize) -> io::Result<String> {
    let mut open = File::open(file)?;
    let length = open.metadata()?.len();
    let skipped = length.saturating_sub(longest as u64);
    open.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    // It may grow while it is read.
    open.take(longest as u64).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(match skipped {
        0 => text.into_owned(),
        skipped => format!("[{skipped} bytes are left out here]\n{text}"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn what_is_left_out_is_said() {
        assert_eq!(keep_beginning("abc".into(), 3), "abc");
        assert_eq!(keep_beginning("abécd".into(), 3), "ab\n[4 bytes are left out here]\n");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log");
        std::fs::write(&file, "0123456789").unwrap();
        assert_eq!(end(&file, 10), "0123456789");
        assert_eq!(end(&file, 4), "[6 bytes are left out here]\n6789");
        assert!(end(&dir.path().join("none"), 4).contains("cannot be read"));
    }
}
