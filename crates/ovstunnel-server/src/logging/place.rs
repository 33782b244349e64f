//! Whether the files of the log and of the audit can be written, for a check of the configuration.
//!
//! What it does: looks at the files, their folders and their file systems. What it must not do: make, change or wait for
//! anything: a check leaves no trace, and a pipe that nobody reads does not hold it up.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, eaccess};
use ovstunnel_api::Level;

use super::audit_file;
use crate::config::Log;
use crate::fault::Fault;

/// Less free space than this is too little, in bytes.
pub const LITTLE: u64 = 16 << 20;

/// What keeps these files from being written; one fault of a folder or file system is told once, not of both files.
pub fn log_faults(log: &Log) -> Vec<Fault> {
    let files = [Some(("file", log.file.clone())), audit_file(log).map(|file| ("audit_file", file))];
    let mut faults: Vec<Fault> = Vec::new();
    for (key, file) in files.into_iter().flatten() {
        let Some((level, reason, remedy)) = file_fault(&file) else { continue };
        if faults.iter().all(|told| told.reason != reason) {
            faults.push(Fault { section: "log", key, file, level, reason, remedy: remedy.to_owned() });
        }
    }
    faults
}

/// The rule that a file breaks, and what to do about it.
type Broken = (Level, String, &'static str);

const ROOM: &str =
    "make room, or name a file on another file system: the service runs without its log, but lines are lost";

fn file_fault(file: &Path) -> Option<Broken> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let there = match std::fs::metadata(file) {
        Ok(there) if !there.is_file() && !there.is_dir() => return special_file(file),
        there => there.is_ok(),
    };
    // Where there is a file its folder is there, and may be on another file system: the name may be a link.
    let broken = if there { appended_to(file) } else { made_in(folder) };
    broken.or_else(|| little_room(if there { file } else { folder }))
}

/// A device or a pipe, which is not waited for.
fn special_file(file: &Path) -> Option<Broken> {
    let error = eaccess(file, AccessFlags::W_OK).err()?;
    Some((
        Level::Fail,
        format!("it must be writable: {}", in_words(error.into())),
        "mend its rights, or name another file",
    ))
}

fn appended_to(file: &Path) -> Option<Broken> {
    let opened = OpenOptions::new().append(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(file);
    let error = in_words(opened.err()?);
    Some((
        Level::Fail,
        format!("it must be a file that can be written: {error}"),
        "mend it or its rights, or name another file",
    ))
}

fn made_in(folder: &Path) -> Option<Broken> {
    let shown = folder.display();
    match std::fs::metadata(folder) {
        Err(error) => {
            let reason = format!("its folder must be there: {shown}: {}", in_words(error));
            return Some((Level::Fail, reason, "make the folder, or name a file in one that is there"));
        }
        Ok(there) if !there.is_dir() => {
            let reason = format!("its folder must be one: {shown} is none");
            return Some((Level::Fail, reason, "name a file in a folder"));
        }
        Ok(_) => {}
    }
    let error = in_words(eaccess(folder, AccessFlags::W_OK | AccessFlags::X_OK).err()?.into());
    let remedy = "mend the folder's rights or the file system, or name a file in another folder";
    Some((Level::Fail, format!("its folder must be writable: {shown}: {error}"), remedy))
}

fn little_room(place: &Path) -> Option<Broken> {
    let about = statvfs(place).ok()?;
    if about.flags().contains(FsFlags::ST_RDONLY) {
        let reason = "its file system must be writable: it is mounted read-only".to_owned();
        return Some((Level::Fail, reason, "mount it for writing, or name a file on another file system"));
    }
    #[allow(clippy::useless_conversion, reason = "the fields' types differ by platform")]
    let (blocks, size) = (u64::from(about.blocks_available()), u64::from(about.fragment_size()));
    // Some file systems count nothing.
    if about.blocks() == 0 {
        return None;
    }
    match blocks.saturating_mul(size) {
        0 => Some((Level::Fail, "its file system must have room: it is full".to_owned(), ROOM)),
        free if free < LITTLE => {
            Some((Level::Warn, format!("its file system should have room: it has {} KiB left", free / 1024), ROOM))
        }
        _ => None,
    }
}

/// Without Rust's number of the error.
fn in_words(error: io::Error) -> String {
    let words = error.to_string();
    words.split(" (os error").next().unwrap_or(&words).to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::time::Duration;

    use super::*;

    fn told(log: &Log) -> Vec<String> {
        log_faults(log).iter().filter(|fault| fault.level == Level::Fail).map(ToString::to_string).collect()
    }

    #[test]
    fn good_places_have_no_fault_and_nothing_is_made_there() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(told(&Log::at_file(dir.path().join("log"))), Vec::<String>::new());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        std::fs::write(dir.path().join("log"), "old\n").unwrap();
        assert_eq!(told(&Log::at_file(dir.path().join("log"))), Vec::<String>::new());
        assert_eq!(std::fs::read_to_string(dir.path().join("log")).unwrap(), "old\n");
        assert_eq!(told(&Log::at_file("/dev/null")), Vec::<String>::new());
    }

    #[test]
    fn a_pipe_that_nobody_reads_does_not_hold_the_check_up() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (done, wait) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(told(&Log::at_file(pipe))));
        assert_eq!(wait.recv_timeout(Duration::from_secs(10)).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn each_bad_place_is_told_once_with_key_rule_and_value() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = dir.path().join("nowhere/ovstunnel.log");
        let said = told(&Log::at_file(&nowhere));
        assert_eq!(said.len(), 1, "the audit's file would be in the same folder: {said:?}");
        assert!(
            said[0].starts_with(&format!("[log] file: {}: its folder must be there: ", nowhere.display())),
            "{said:?}"
        );
        assert!(said[0].contains("No such file or directory\n  make the folder"), "{said:?}");
        let below_file = dir.path().join("file");
        std::fs::write(&below_file, "").unwrap();
        let said = told(&Log { audit_file: Some(below_file.join("audit")), ..Log::at_file(dir.path().join("log")) });
        assert!(said.len() == 1 && said[0].starts_with("[log] audit_file: "), "{said:?}");
        assert!(said[0].contains("its folder must be one"), "{said:?}");
        let said = told(&Log { audit_file: Some(dir.path().to_owned()), ..Log::at_file(dir.path().join("log")) });
        assert!(
            said.len() == 1 && said[0].contains("it must be a file that can be written: Is a directory"),
            "{said:?}"
        );
    }
}
