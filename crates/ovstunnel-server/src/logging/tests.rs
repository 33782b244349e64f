//! What stands in the log file, on good days and bad ones.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::config::AUDIT;

const PROGRAM: &str = "ovstunneld";

fn config(file: PathBuf, level: &str, format: LogFormat) -> Log {
    Log { level: Level::parse(level).unwrap(), format, ..Log::at_file(file) }
}

/// The lines that `body` leaves in a log file of its own.
fn logged(level: &str, format: LogFormat, body: impl FnOnce(&Logging)) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log");
    let (dispatch, logging) = build_logging(PROGRAM, &config(file.clone(), level, format));
    tracing::dispatcher::with_default(&dispatch, || body(&logging));
    drop(logging);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_request_marks_each_of_its_lines_at_any_level() {
    let lines = logged("warn", LogFormat::Text, |_| {
        let span = tracing::error_span!("request", id = "abc123", method = "PUT", path = "/v1/bridges/x");
        span.in_scope(|| {
            tracing::info!("unseen");
            tracing::warn!(bridge = "xapi1", "seen");
        });
    });
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    let (time, rest) = line.split_once(' ').unwrap();
    assert_eq!((time.len(), &time[10..11], &time[19..20], &time[23..]), (24, "T", ".", "Z"), "{time}");
    assert!(rest.contains("WARN request{id=\"abc123\" method=\"PUT\" path=\"/v1/bridges/x\"}: "), "{rest}");
    assert!(rest.contains("seen") && rest.contains("bridge=\"xapi1\""), "{rest}");
}

/// Some of Open vSwitch's errors are of two lines; the second would be taken for one of ours.
#[test]
fn what_others_say_in_two_lines_is_one_line_of_the_text() {
    let said = "ovs-vsctl: x: database connection failed\n2026-01-02T03:04:05.678Z  INFO ovs: all is well";
    let lines = logged("info", LogFormat::Text, |_| tracing::error!(error = %said, "{said}"));
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(line.matches("failed\\n2026").count(), 2, "{line}");
}

#[test]
fn json_lines_are_objects_with_the_request_in_them() {
    let lines = logged("info", LogFormat::Json, |_| {
        tracing::error_span!("request", id = "abc123").in_scope(|| tracing::info!(n = 7, "two\nlines"));
    });
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    let json: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(json["message"], "two\nlines");
    assert_eq!((&json["level"], &json["n"]), (&"INFO".into(), &7.into()));
    assert_eq!(json["spans"][0]["id"], "abc123");
    assert!(json["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn the_audit_stands_beside_the_log_where_it_can() {
    let of = |file: &str| audit_file(&config(file.into(), "info", LogFormat::Text));
    assert_eq!(of("/var/log/ovstunnel.log"), Some("/var/log/ovstunnel-audit.log".into()));
    assert_eq!(of("/nonexistent/log"), Some("/nonexistent/log-audit".into()));
    assert_eq!(of("/dev/null"), None);
    let named = Log { audit_file: Some("/x/y".into()), ..config("/dev/null".into(), "info", LogFormat::Text) };
    assert_eq!(audit_file(&named), Some("/x/y".into()));
}

/// What is in the audit's file after one line of the audit and one other at each level.
#[test]
fn the_audits_file_has_its_lines_alone_at_every_level_but_off() {
    let audited = |level: &str| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log");
        let (dispatch, logging) = build_logging(PROGRAM, &config(file.clone(), level, LogFormat::Text));
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::error!("other");
            tracing::info!(target: AUDIT, "done");
        });
        drop(logging);
        let (log, audit) =
            (fs::read_to_string(file).unwrap(), fs::read_to_string(dir.path().join("log-audit")).unwrap());
        assert_eq!(log.contains("audit: done"), audit.contains("audit: done"), "{level}: {log}");
        assert!(!audit.contains("other"), "{audit}");
        audit.lines().count()
    };
    let levels = ["trace", "info", "error", "off,audit=info", "off", "info,audit=off"];
    assert_eq!(levels.map(audited), [1, 1, 1, 1, 0, 0]);
}

#[test]
fn the_level_changes_while_running() {
    let lines = logged("info", LogFormat::Text, |logging| {
        tracing::debug!("before");
        logging.set_level(&Level::parse("debug").unwrap()).unwrap();
        assert_eq!(logging.level().as_str(), "debug");
        tracing::debug!("after");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("after"));
}

#[test]
fn every_line_is_in_the_file_when_the_log_has_ended() {
    let lines = logged("info", LogFormat::Text, |_| {
        for n in 0..5000 {
            tracing::info!(n, "line");
        }
    });
    assert_eq!(lines.len(), 5000);
    assert!(lines[4999].contains("n=4999"));
}

fn open(path: &Path) -> (LogFile, Arc<Control>) {
    let control = Arc::new(Control::new(Kind::Log, &config(path.to_owned(), "info", LogFormat::Text)));
    (LogFile::open(PROGRAM, Arc::clone(&control)), control)
}

/// Writes lines until the file is as it should be, and gives what is in it then.
fn write_until(log: &mut LogFile, path: &Path, good: impl Fn(&str) -> bool) -> String {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        log.write_all(b"line\n").unwrap();
        let text = fs::read_to_string(path).unwrap_or_default();
        if good(&text) {
            return text;
        }
        assert!(std::time::Instant::now() < end, "{text}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn after_a_rotation_lines_go_to_the_new_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (dir.path().join("log"), dir.path().join("log.1"));
    let (mut log, control) = open(&path);
    log.write_all(b"one\n").unwrap();
    fs::rename(&path, &old).unwrap();
    control.ask_reopen();
    log.write_all(b"two\n").unwrap();
    assert_eq!(fs::read_to_string(old).unwrap(), "one\n");
    assert_eq!(fs::read_to_string(path).unwrap(), "two\n");
}

#[test]
fn a_deleted_file_comes_back_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (mut log, _) = open(&path);
    fs::remove_file(&path).unwrap();
    assert_eq!(write_until(&mut log, &path, |text| !text.is_empty()), "line\n");
}

#[test]
fn a_file_that_cannot_be_opened_is_taken_up_once_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("missing/log");
    let (mut log, control) = open(&path);
    assert!(control.all_to_stderr());
    log.write_all(b"to standard error\n").unwrap();
    fs::create_dir(path.parent().unwrap()).unwrap();
    let text = write_until(&mut log, &path, |text| !text.is_empty());
    assert!(!control.all_to_stderr());
    let (first, rest) = text.split_once('\n').unwrap();
    assert!(first.contains("WARN ovstunnel_server::logging: the log file can be opened again"), "{text}");
    assert_eq!((rest, control.lost_lines()), ("line\n", 0));
}

#[test]
fn a_folder_in_the_logs_place_sends_lines_to_stderr() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (mut log, control) = open(&path);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    write_until(&mut log, &path, |_| control.all_to_stderr());
    fs::remove_dir(&path).unwrap();
    let text = write_until(&mut log, &path, |text| !text.is_empty());
    assert!(text.contains("can be opened again") && text.ends_with("\nline\n"), "{text}");
}

/// A log of 64 KiB that has had `lines` of 1 KiB.
fn filled(dir: &Path, lines: usize) -> (PathBuf, LogFile) {
    let path = dir.join("log");
    let small = Log { max_size: bytesize::ByteSize::kib(64), ..config(path.clone(), "info", LogFormat::Text) };
    let mut log = LogFile::open(PROGRAM, Arc::new(Control::new(Kind::Log, &small)));
    for n in 0..lines {
        log.write_all(format!("{n:<1023}\n").as_bytes()).unwrap();
    }
    (path, log)
}

fn numbers(path: &Path) -> Vec<usize> {
    fs::read_to_string(path).unwrap().lines().map(|line| line.trim().parse().unwrap()).collect()
}

#[test]
fn a_full_file_is_kept_as_the_older_one_and_no_more_than_one() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _log) = filled(dir.path(), 150);
    let older = dir.path().join("log.1");
    assert_eq!((numbers(&older), numbers(&path)), ((64..128).collect(), (128..150).collect()));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn a_link_stays_a_link_and_a_file_that_was_cut_is_not_full() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let real = elsewhere.path().join("real");
    symlink(&real, dir.path().join("log")).unwrap();
    let (path, mut log) = filled(dir.path(), 64);
    fs::File::options().write(true).open(&real).unwrap().set_len(0).unwrap();
    log.write_all(b"64\n").unwrap();
    assert!(!elsewhere.path().join("real.1").exists(), "after copytruncate there is room");
    assert_eq!(numbers(&path), [64]);
    drop(log);
    filled(dir.path(), 65);
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert_eq!(numbers(&elsewhere.path().join("real.1")).len(), 64);
}

/// Whoever else writes has begun a new file: it must not be renamed as if it were the full one.
#[test]
fn a_file_that_another_has_begun_anew_is_not_rotated() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut log) = filled(dir.path(), 64);
    fs::rename(&path, dir.path().join("log.1")).unwrap();
    fs::write(&path, "1000\n").unwrap();
    log.write_all(b"1001\n").unwrap();
    assert_eq!((numbers(&path), numbers(&dir.path().join("log.1")).len()), (vec![1000, 1001], 64));
}

#[test]
fn a_full_file_that_cannot_be_renamed_is_emptied_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("log.1/full")).unwrap();
    let (path, _log) = filled(dir.path(), 65);
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    assert!(lines[0].contains("could not be renamed") && lines[0].contains("it was emptied"), "{text}");
    assert_eq!(&lines[1..], ["64"]);
}

#[test]
fn format_file_and_level_change_while_running() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let (dispatch, logging) = build_logging(PROGRAM, &config(one.clone(), "info", LogFormat::Text));
    tracing::dispatcher::with_default(&dispatch, || {
        let span = tracing::error_span!("old", id = 1);
        span.in_scope(|| tracing::info!("first"));
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while fs::read_to_string(&one).unwrap().is_empty() && std::time::Instant::now() < end {
            std::thread::yield_now();
        }
        logging.set_level(&Level::parse("debug").unwrap()).unwrap();
        logging.configure(&config(two.clone(), "info", LogFormat::Json)).unwrap();
        // The level that was set by hand is gone; and what began before the change is told after it.
        tracing::debug!("unseen");
        span.in_scope(|| tracing::info!("second"));
        tracing::error_span!("new", id = 2).in_scope(|| tracing::info!("third"));
    });
    drop(logging);
    let (one, two) = (fs::read_to_string(one).unwrap(), fs::read_to_string(two).unwrap());
    assert!(one.lines().count() == 1 && one.contains("old{id=1}: ") && one.contains("first"), "{one}");
    let lines: Vec<serde_json::Value> = two.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["message"], &lines[1]["message"]), (2, &"second".into(), &"third".into()));
    assert_eq!(lines[1]["spans"][0]["id"], 2);
}

#[test]
fn lost_lines_are_counted_in_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    symlink("/dev/full", &path).unwrap();
    let (mut log, control) = open(&path);
    for _ in 0..3 {
        log.write_all(b"lost\n").unwrap();
    }
    assert_eq!(control.lost_lines(), 3);
    fs::remove_file(&path).unwrap();
    control.ask_reopen();
    log.write_all(b"kept\n").unwrap();
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].ends_with("WARN ovstunnel_server::logging: 3 lines were lost"), "{text}");
    assert_eq!(&lines[1..], ["kept"]);
}

/// What `body` gives for a folder that is a disk of 64 KiB: needs root for the mount, and fails without.
fn on_a_small_disk<T: Send + 'static>(body: impl FnOnce(&Path) -> T + Send + 'static) -> T {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_owned();
    // The mount lives in a mount namespace of this thread alone and goes with it.
    let there = move || {
        unshare(CloneFlags::CLONE_NEWNS).expect("needs root");
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        mount(Some("tmpfs"), &at, Some("tmpfs"), MsFlags::empty(), Some("size=64k")).unwrap();
        body(&at)
    };
    std::thread::spawn(there).join().unwrap()
}

#[test]
fn a_full_disk_loses_whole_lines_and_says_how_many() {
    let (lost, text) = on_a_small_disk(|at| {
        let (path, ballast) = (at.join("log"), at.join("ballast"));
        fs::write(&ballast, vec![0; 32 * 1024]).unwrap();
        let (mut log, control) = open(&path);
        let line = format!("{}\n", "x".repeat(999));
        for _ in 0..50 {
            log.write_all(line.as_bytes()).unwrap();
        }
        let lost = control.lost_lines();
        assert!((10..50).contains(&lost), "{lost}");
        fs::remove_file(ballast).unwrap();
        log.write_all(b"after\n").unwrap();
        (lost, fs::read_to_string(path).unwrap())
    });
    let lines: Vec<_> = text.lines().collect();
    let whole = lines.iter().filter(|l| l.len() == 999).count() as u64;
    assert_eq!(whole + lost, 50);
    assert!(lines[lines.len() - 2].ends_with(&format!("{lost} lines were lost")), "{:?}", &lines[lines.len() - 2..]);
    assert_eq!(lines.last(), Some(&"after"));
}

/// Nothing can be made read-only while it is open for writing, so the log finds it so: at the start, or after a SIGHUP.
#[test]
fn a_read_only_disk_sends_lines_to_stderr() {
    let text = on_a_small_disk(|at| {
        let (path, elsewhere) = (at.join("log"), tempfile::tempdir().unwrap());
        fs::write(&path, "before\n").unwrap();
        let remount = |flags| mount(None::<&str>, at, None::<&str>, MsFlags::MS_REMOUNT | flags, None::<&str>).unwrap();
        remount(MsFlags::MS_RDONLY);
        let (mut log, control) = open(&path);
        log.write_all(b"to standard error\n").unwrap();
        assert!(control.all_to_stderr() && control.lost_lines() == 0);

        let moved = config(elsewhere.path().join("log"), "info", LogFormat::Text);
        control.ask_move(&moved);
        log.write_all(b"elsewhere\n").unwrap();
        assert!(!control.all_to_stderr());
        control.ask_move(&config(path.clone(), "info", LogFormat::Text));
        log.write_all(b"to the old one\n").unwrap();
        assert!(fs::read_to_string(&moved.file).unwrap().ends_with("elsewhere\nto the old one\n"));

        remount(MsFlags::empty());
        write_until(&mut log, &path, |text| text.ends_with("line\n"))
    });
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0] == "before" && lines[1].contains("can be opened again"), "{text}");
}
