//! How the daemon starts: what it refuses, and what it tells systemd.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::common::{Daemon, prepare, program, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A folder with an `ovs-vsctl` of the given version, and the configuration's section that names it.
fn tools(dir: &Path, version: &str) -> String {
    let script = format!("#!/bin/sh\necho 'ovs-vsctl (Open vSwitch) {version}'\n");
    std::fs::write(dir.join("script"), script).unwrap();
    // A program that this process has open for writing is busy in each child that another test forks meanwhile.
    let copied = Command::new("install").args(["-m", "755", "script", "ovs-vsctl"]).current_dir(dir).status();
    assert!(copied.unwrap().success());
    format!("[ovs]\nbin_dir = \"{d}\"\nrundir = \"{d}\"\n", d = dir.display())
}

#[test]
fn open_vswitch_without_protected_ports_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path(), &tools(dir.path(), "2.5.3"));
    let status = program(dir.path()).status().unwrap();
    let stderr = std::fs::read_to_string(dir.path().join("stderr")).unwrap();
    assert_eq!(status.code(), Some(1));
    for words in ["Open vSwitch 2.5 is too old", "needs 2.7 or newer", "`Port.protected`"] {
        assert!(stderr.contains(words), "{stderr}");
    }
    assert!(!dir.path().join("run/o.sock").exists(), "it never listened");
}

#[test]
fn open_vswitch_that_is_not_there_is_told_within_two_seconds() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let ca = prepare(dir.path(), &tools(dir.path(), "3.1.0"));
    let begun = std::time::Instant::now();
    let daemon = Daemon::start_in(dir, ca);
    daemon.wait_for_log("Open vSwitch cannot be reached; waiting for it reason=", 1);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(daemon.file("log").lines().any(|line| line.contains(" WARN ") && line.contains("db.sock")));
}

#[test]
fn tools_that_hang_keep_nobody_from_asking_the_daemon() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let more = tools(dir.path(), "3.1.0\'; exec sleep 1000; echo \'") + "timeout = \"300s\"\n";
    let ca = prepare(dir.path(), &more);
    let daemon = Daemon::start_in(dir, ca);
    daemon.wait_for_log("did not run to its end command=", 1);
}

/// Its last words, in the log as on standard error, where each stands once.
#[test]
fn a_failed_starts_reason_is_the_logs_last_line() {
    type Spoil = fn(&Path);
    let cases: [(Spoil, &str); 3] = [
        (|dir| std::fs::remove_file(dir.join("key.pem")).unwrap(), "[tls] key"),
        (|dir| append(dir, "[reconcile]\nintervall = \"7s\"\n"), "unknown field `intervall`"),
        (|dir| std::fs::write(dir.join("run"), "in the way").unwrap(), "[api] socket"),
    ];
    for (spoil, words) in cases {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path(), &tools(dir.path(), "3.1.0"));
        spoil(dir.path());
        assert_eq!(program(dir.path()).status().unwrap().code(), Some(1));
        let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
        let last = log.lines().last().unwrap_or_default();
        assert!(last.contains(" ERROR ") && last.contains("cannot run") && last.contains(words), "{log}");
        let stderr = std::fs::read_to_string(dir.path().join("stderr")).unwrap();
        assert_eq!(stderr.matches(words).count(), 1, "{stderr}");
    }
}

fn append(dir: &Path, text: &str) {
    let file = dir.join("o.toml");
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + text).unwrap();
}

/// What each of the daemon's locks is, and who may open it.
fn locks(dir: &Path) -> Vec<(String, u32)> {
    let folders = [dir.to_owned(), dir.join("run")];
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().map(Result::unwrap);
    let locks = files.filter(|file| file.file_name().to_string_lossy().ends_with(".lock"));
    let name = |file: &std::fs::DirEntry| file.file_name().to_string_lossy().into_owned();
    locks.map(|file| (name(&file), file.metadata().unwrap().permissions().mode() & 0o777)).collect()
}

#[test]
fn two_daemons_on_one_switch_share_a_lock() {
    let (dir, link) = (Arc::new(tempfile::tempdir().unwrap()), tempfile::tempdir().unwrap());
    let ca = prepare(dir.path(), &tools(dir.path(), "3.1.0"));
    let first = Daemon::start_in(Arc::clone(&dir), ca);
    // The same folder by another name, and all else another's.
    let other = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(dir.path(), link.path().join("ovs")).unwrap();
    let ovs = format!(
        "[ovs]\nbin_dir = \"{}\"\nrundir = \"{}/ovs\"\ntimeout = \"200ms\"\n",
        dir.path().display(),
        link.path().display()
    );
    prepare(other.path(), &ovs);
    let status = program(other.path()).status().unwrap();
    let stderr = std::fs::read_to_string(other.path().join("stderr")).unwrap();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("already running for the switch of [ovs] rundir"), "{stderr}");
    assert!(!other.path().join("run/o.sock").exists(), "it never listened");

    // Nor does a look by hand write beside it.
    let lock = ovstunneld::testing::WriterLock::for_config(&configuration(dir.path()), Duration::ZERO);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let turn = runtime.block_on(lock.take_turn()).unwrap();
    let looked = program(other.path()).arg("--once").status().unwrap();
    let stderr = std::fs::read_to_string(other.path().join("stderr")).unwrap();
    assert!(!looked.success() && stderr.contains("another ovstunneld has been writing"), "{stderr}");
    drop(turn);
    let locks = locks(dir.path());
    assert!(locks.len() >= 4 && locks.iter().all(|(_, mode)| *mode == 0o600), "{locks:?}");

    drop(first);
    let ca = prepare(other.path(), &ovs);
    Daemon::start_in(Arc::new(other), ca);
}

/// The configuration of a folder that was prepared.
fn configuration(dir: &Path) -> ovstunneld::config::Config {
    ovstunneld::config::Config::load(Some(&dir.join("o.toml"))).unwrap()
}

#[test]
fn systemd_is_told_of_readiness_of_life_and_of_the_end() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path(), &tools(dir.path(), "3.1.0"));
    let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut command = program(dir.path());
    command.env("NOTIFY_SOCKET", dir.path().join("notify")).env("WATCHDOG_USEC", "300000");
    let mut child = command.spawn().unwrap();
    let mut buffer = [0; 4096];
    let mut wait_for_word = |word: &str| {
        loop {
            let length = socket.recv(&mut buffer).expect(word);
            if String::from_utf8_lossy(&buffer[..length]).contains(word) {
                return;
            }
        }
    };
    wait_for_word("READY=1");
    wait_for_word("WATCHDOG=1");
    wait_for_word("WATCHDOG=1");
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    wait_for_word("STOPPING=1");
    assert!(wait_for("the daemon ends", || child.try_wait().unwrap()).success());
}
