//! The archive: texts of a bounded length, packed into a file that nobody else can read. Must not overwrite one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use time::OffsetDateTime;

/// A text of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Name of its file.
    pub name: String,
    /// The text.
    pub text: String,
}

impl Part {
    /// A part by the name that it is given, as far as it can be a file's.
    pub fn new(name: &str, text: impl Into<String>) -> Self {
        let fit = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
        let name: String = name.chars().map(fit).take(100).collect();
        Part { name: name.trim_start_matches('.').to_owned(), text: text.into() }
    }

    /// Cuts it to about `longest` bytes: of a log the beginning goes, of anything else the end.
    fn cut_to(&mut self, longest: usize) {
        let (length, keep_end) = (self.text.len(), self.name.starts_with("log"));
        let mut at = if keep_end { length - longest } else { longest };
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let (head, tail) = self.text.split_at(at);
        self.text = match keep_end {
            true => format!("[{} bytes are left out here]\n{tail}", head.len()),
            false => format!("{head}\n[{} bytes are left out here]\n", tail.len()),
        };
    }
}

/// Has all parts together be no longer than `limit` bytes, but for the markers: the longest are cut, to one length.
pub fn bound_total_size(parts: &mut [Part], limit: usize) {
    let mut lengths: Vec<usize> = parts.iter().map(|part| part.text.len()).collect();
    lengths.sort_unstable();
    let (mut left, mut count) = (limit, lengths.len());
    for length in lengths {
        let share = left / count;
        if length > share {
            parts.iter_mut().filter(|part| part.text.len() > share).for_each(|part| part.cut_to(share));
            return;
        }
        (left, count) = (left - length, count - 1);
    }
}

/// Makes the file, for its owner only.
///
/// # Errors
/// When it is there already, or cannot be made.
pub fn create_archive(file: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)
}

/// Packs the parts into a folder `name`; says how many bytes the file has.
///
/// # Errors
/// When it cannot be written.
pub fn write_archive(file: File, name: &str, parts: &[Part], now: OffsetDateTime) -> io::Result<u64> {
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    for part in parts {
        let mut header = tar::Header::new_gnu();
        header.set_size(part.text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(now.unix_timestamp()).unwrap_or(0));
        archive.append_data(&mut header, format!("{name}/{}", part.name), part.text.as_bytes())?;
    }
    let mut file = archive.into_inner()?.finish()?;
    file.flush()?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_are_cut_and_say_so() {
        let part = |name: &str, length: usize| Part::new(name, "x".repeat(length));
        let mut parts = [part("a.txt", 10), part("b.txt", 500), part("log.txt", 900), part("c.txt", 100)];
        parts[2].text.replace_range(899.., "E");
        bound_total_size(&mut parts, 410);
        assert_eq!((parts[0].text.len(), parts[3].text.len()), (10, 100));
        assert_eq!(parts[1].text, format!("{}\n[350 bytes are left out here]\n", "x".repeat(150)));
        assert!(parts[2].text.starts_with("[750 bytes are left out here]\nx") && parts[2].text.ends_with("xE"));
        let before = parts.clone();
        bound_total_size(&mut parts, 4000);
        assert_eq!(parts, before);
    }

    #[test]
    fn names_stay_in_the_folder() {
        assert_eq!(Part::new("../a/b c", "").name, "_a_b_c");
        assert_eq!(Part::new("flows-xapi1.txt", "").name, "flows-xapi1.txt");
    }
}
