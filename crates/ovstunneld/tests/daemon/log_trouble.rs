//! What happens to the log file, and what does not happen to the daemon: it goes on, and says so once it can.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common::{Daemon, prepare, program, request, wait_for};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;

/// Has the daemon log one line, and be alive; gives the number of the line.
fn line(daemon: &Daemon) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(daemon.ask_socket(&request("POST /v1/reconcile", &[], b"")));
    assert_eq!(answer.status, 200, "{answer:?}");
    let metrics = runtime.block_on(daemon.ask_socket(&request("GET /metrics", &[], b"")));
    let lost = metrics.body.lines().find_map(|line| line.strip_prefix("ovstunnel_log_lines_lost ")).unwrap();
    lost.parse().unwrap()
}

/// Has it log lines until the file has `text`.
fn until_told(daemon: &Daemon, file: &Path, text: &str) -> String {
    wait_for(text, || {
        line(daemon);
        fs::read_to_string(file).ok().filter(|log| log.contains(text))
    })
}

const AUDIT: &str = "INFO audit: done who=\"root\"";

#[test]
fn a_file_that_is_deleted_moved_or_cut_comes_back() {
    let daemon = Daemon::simulated("");
    let (file, old) = (daemon.dir.path().join("log"), daemon.dir.path().join("old"));
    fs::remove_file(&file).unwrap();
    until_told(&daemon, &file, AUDIT);
    // As logrotate does it, with SIGHUP and with `copytruncate`.
    fs::rename(&file, &old).unwrap();
    daemon.signal(Signal::SIGHUP);
    until_told(&daemon, &file, AUDIT);
    assert!(fs::read_to_string(&old).unwrap().contains(AUDIT));
    fs::File::options().write(true).open(&file).unwrap().set_len(0).unwrap();
    let text = until_told(&daemon, &file, AUDIT);
    assert!(!text.contains('\0'), "lines go to the beginning of a file that was cut");
    assert_eq!((line(&daemon), daemon.file("stderr").as_str()), (0, ""));
}

#[test]
fn without_a_file_lines_go_to_stderr() {
    let daemon = Daemon::simulated("");
    let file = daemon.dir.path().join("log");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    wait_for("standard error", || {
        line(&daemon);
        daemon.file("stderr").contains(AUDIT).then_some(())
    });
    let told = daemon.file("stderr");
    assert_eq!(told.matches("cannot open the log file").count(), 1, "{told}");
    fs::remove_dir(&file).unwrap();
    let text = until_told(&daemon, &file, AUDIT);
    assert!(text.contains("WARN ovstunnel_server::logging: the log file can be opened again"), "{text}");
    assert_eq!(line(&daemon), 0);
}

#[test]
fn a_log_that_nobody_rotates_is_bounded() {
    let daemon = Daemon::simulated("max_size = \"64KiB\"\nlevel = \"trace\"");
    let (file, older) = (daemon.dir.path().join("log"), daemon.dir.path().join("log.1"));
    let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let mut renewed = 0;
    let mut last = size(&file);
    while renewed < 3 {
        line(&daemon);
        let now = size(&file);
        renewed += usize::from(now < last);
        last = now;
        assert!(now <= 64 << 10 && size(&older) <= 64 << 10, "{now} and {} bytes", size(&older));
    }
    assert!(size(&older) > 60 << 10);
    assert!(!PathBuf::from(format!("{}.1", older.display())).exists());
    assert_eq!(line(&daemon), 0, "nothing is lost by it");
}

/// On a disk of 128 KiB, which is seen by this thread and its children alone and goes with them. Needs root.
#[test]
fn a_full_disk_loses_lines_only_and_counts_them() {
    // It is removed from here, where nothing is mounted on it.
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let in_thread = Arc::clone(&dir);
    let on_small_disk = move || {
        let dir = in_thread;
        unshare(CloneFlags::CLONE_NEWNS).expect("needs root");
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        let disk = dir.path().join("disk");
        fs::create_dir(&disk).unwrap();
        mount(Some("tmpfs"), &disk, Some("tmpfs"), MsFlags::empty(), Some("size=128k")).unwrap();
        symlink(disk.join("log"), dir.path().join("log")).unwrap();
        let ca = prepare(dir.path(), "");
        let mut simulating = program(dir.path());
        simulating.arg("--simulate");
        let daemon = Daemon::run(dir, ca, simulating);
        fill(&disk);
        wait_for("lines are lost", || (line(&daemon) > 3).then_some(()));
        assert_eq!(daemon.file("stderr").matches("No space left on device").count(), 1, "{}", daemon.file("stderr"));
        fs::remove_file(disk.join("ballast")).unwrap();
        let text = until_told(&daemon, &disk.join("log"), "lost");
        let told = text.lines().find(|line| line.contains(" lost")).unwrap();
        let lost = line(&daemon);
        assert!(told.ends_with(&format!("WARN ovstunnel_server::logging: {lost} lines were lost")), "{told}");
        let last = line(&daemon);
        assert_eq!(last, lost, "no more are lost");
    };
    std::thread::spawn(on_small_disk).join().unwrap();
}

/// Fills a disk to the last byte.
fn fill(disk: &Path) {
    use std::io::Write;
    let mut ballast = fs::File::create(disk.join("ballast")).unwrap();
    while ballast.write_all(&[0; 4096]).is_ok() {}
    // What is left of the log's own last block is its own.
}
