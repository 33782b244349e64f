//! The program as an operator meets it: check, start, signals, log, Unix socket.

use crate::common;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use crate::common::{Daemon, answer, exchange, prepare, program, request};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

#[test]
fn check_looks_at_the_configuration_and_at_the_certificates() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path(), "");
    let check = || {
        let done = program(dir.path()).arg("--check").output().unwrap();
        let stderr = std::fs::read_to_string(dir.path().join("stderr")).unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap(), stderr)
    };
    let (status, stdout, _) = check();
    assert_eq!(status, Some(0));
    assert!(stdout.contains("are good: HTTPS on 127.0.0.1:0"), "{stdout}");
    assert!(!dir.path().join("run").exists() && !dir.path().join("log").exists(), "a check changes nothing");

    std::fs::write(dir.path().join("key.pem"), "x").unwrap();
    let (status, _, stderr) = check();
    assert!(status == Some(1) && stderr.contains("key.pem: no PRIVATE KEY in it"), "{stderr}");

    std::fs::write(dir.path().join("o.toml"), "[api]\nlisten = \"off\"\nsocket = 5\n").unwrap();
    let (status, _, stderr) = check();
    assert!(status == Some(1) && stderr.contains("o.toml:3:10: api.socket: "), "{stderr}");
}

#[test]
fn check_looks_at_where_log_and_audit_are_written() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path(), "");
    let config = dir.path().join("o.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    let with = |log: &str| std::fs::write(&config, good.replace("[log]\n", &format!("[log]\n{log}\n"))).unwrap();
    let check = || {
        let _ = std::fs::remove_file(dir.path().join("stderr"));
        let done = program(dir.path()).arg("--check").output().unwrap();
        (done.status.code(), std::fs::read_to_string(dir.path().join("stderr")).unwrap())
    };
    assert_eq!(check().0, Some(0));
    std::fs::write(dir.path().join("key.pem"), "x").unwrap();
    with(&format!("audit_file = \"{}/nowhere/audit.log\"", dir.path().display()));
    let (status, said) = check();
    assert!(status == Some(1) && said.contains("[log] audit_file: "), "{said}");
    assert!(said.contains("nowhere/audit.log: its folder must be there"), "{said}");
    assert!(said.contains("key.pem: no PRIVATE KEY in it"), "both are told: {said}");
}

/// On disks of their own, which are seen by this thread and its children alone and go with them. Needs root.
#[test]
fn check_finds_a_full_and_a_read_only_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let on_small_disk = move || {
        unshare(CloneFlags::CLONE_NEWNS).expect("needs root");
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        let disk = path.join("disk");
        std::fs::create_dir(&disk).unwrap();
        mount(Some("tmpfs"), &disk, Some("tmpfs"), MsFlags::empty(), Some("size=128k")).unwrap();
        prepare(&path, "");
        let config = std::fs::read_to_string(path.join("o.toml")).unwrap();
        let log = path.join("log").display().to_string();
        assert!(config.contains(&log), "{config}");
        std::fs::write(path.join("o.toml"), config.replace(&log, &disk.join("log").display().to_string())).unwrap();
        let check = || {
            let _ = std::fs::remove_file(path.join("stderr"));
            let status = program(&path).arg("--check").output().unwrap().status;
            (status.code(), std::fs::read_to_string(path.join("stderr")).unwrap())
        };
        let (status, said) = check();
        assert!(status == Some(0) && said.contains("warning: [log] file: ") && said.contains(" KiB left"), "{said}");
        while std::fs::File::options()
            .create(true)
            .append(true)
            .open(disk.join("ballast"))
            .unwrap()
            .write_all(&[0; 4096])
            .is_ok()
        {}
        let (status, said) = check();
        assert!(status == Some(1) && said.contains("its file system must have room: it is full"), "{said}");
        assert_eq!(said.matches("[log]").count(), 1, "{said}");
        mount(None::<&str>, &disk, None::<&str>, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, None::<&str>).unwrap();
        let (status, said) = check();
        assert!(
            status == Some(1)
                && said.contains("its folder must be writable: ")
                && said.contains("Read-only file system"),
            "{said}"
        );
    };
    // A namespace of mounts is a thread's own.
    std::thread::spawn(on_small_disk).join().unwrap();
}

#[tokio::test]
async fn the_socket_serves_root_and_answers_errors_as_problems() {
    let daemon = Daemon::start("");
    assert_eq!(std::fs::metadata(daemon.socket()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(daemon.ask_socket(&request("GET /healthz", &[], b"")).await.status, 200);
    let answer = daemon.ask_socket(&request("GET /nowhere", &[("x-request-id", "mine-1")], b"")).await;
    let problem = answer.problem();
    assert_eq!((&problem["code"], &problem["request_id"]), (&"not_found".into(), &"mine-1".into()));
    assert_eq!(answer.header("x-request-id"), Some("mine-1"));
    let answer = daemon.ask_socket(&request("DELETE /healthz", &[], b"")).await;
    assert_eq!((answer.status, &answer.problem()["code"]), (405, &"method_not_allowed".into()));
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
}

#[tokio::test]
async fn each_line_of_a_request_has_its_id() {
    // Simulated: that there is no switch would be told on standard error, too, on a machine where all this takes long.
    let mut daemon = Daemon::simulated("level = \"debug\"");
    for n in 0..500 {
        let id = format!("number-{n}");
        assert_eq!(daemon.ask_socket(&request("GET /healthz", &[("x-request-id", &id)], b"")).await.status, 200);
    }
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait().code(), Some(0));
    let log = daemon.file("log");
    for n in 0..500 {
        let mark = format!("request{{id=number-{n} method=GET path=/healthz}}");
        assert_eq!(log.lines().filter(|l| l.contains(&mark) && l.contains("status=200")).count(), 1, "{mark}");
    }
    assert!(log.lines().last().unwrap().contains("ended"));
    assert!(!daemon.socket().exists());
    assert_eq!(daemon.file("stderr"), "", "standard error is for trouble only");
}

#[tokio::test]
async fn at_the_end_requests_finish_and_none_begins() {
    let mut daemon = Daemon::start("");
    let manager = daemon.ca.issue("manager");
    // Over TLS and over the socket: half a body is sent, so the daemon is in the middle of the request.
    let all = request("POST /healthz", &[("x-request-id", "in-flight")], b"0123456789");
    let (first, rest) = all.split_at(all.len() - 5);
    let mut tls = daemon.connect(Some(&manager)).await.unwrap();
    tls.write_all(first).await.unwrap();
    let mut unix = UnixStream::connect(daemon.socket()).await.unwrap();
    unix.write_all(first).await.unwrap();
    // An answer on a later connection shows that the daemon has had time to read the earlier ones.
    daemon.ask(Some(&manager), &request("GET /healthz", &[], b"")).await.unwrap();
    daemon.ask_socket(&request("GET /healthz", &[], b"")).await;
    daemon.signal(Signal::SIGTERM);
    daemon.wait_for_log("SIGTERM", 1);
    common::wait_for("the socket is gone", || (!daemon.socket().exists()).then_some(()));
    daemon.connect(Some(&manager)).await.expect_err("no new connection");

    tls.write_all(rest).await.unwrap();
    unix.write_all(rest).await.unwrap();
    assert_eq!(answer(tls).await.unwrap().status, 405);
    assert_eq!(answer(unix).await.unwrap().status, 405);
    assert_eq!(daemon.wait().code(), Some(0));
    assert_eq!(daemon.file("log").matches("request{id=in-flight ").count(), 2);
}

#[test]
fn a_second_daemon_is_refused_and_one_after_kill_9_is_not() {
    let mut daemon = Daemon::start("");
    let second = program(daemon.dir.path()).status().unwrap();
    assert_eq!(second.code(), Some(1));
    assert!(daemon.file("stderr").contains("already running"), "{}", daemon.file("stderr"));
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
    assert!(daemon.socket().exists());
    let dir = Arc::clone(&daemon.dir);
    let ca = prepare(dir.path(), "");
    Daemon::start_in(dir, ca);
}

#[tokio::test]
async fn an_unopenable_log_goes_to_stderr_until_it_opens() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path(), "");
    let config = std::fs::read_to_string(dir.path().join("o.toml")).unwrap().replace("/log\"", "/logs/log\"");
    std::fs::write(dir.path().join("o.toml"), config).unwrap();
    let mut child = program(dir.path()).spawn().unwrap();
    let stderr = || std::fs::read_to_string(dir.path().join("stderr")).unwrap();
    common::wait_for("it serves all the same", || stderr().contains("serving").then_some(()));
    assert!(stderr().contains("cannot open the log file") && stderr().contains("No such file"), "{}", stderr());
    std::fs::create_dir(dir.path().join("logs")).unwrap();
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, Signal::SIGHUP).unwrap();
    let log = dir.path().join("logs/log");
    common::wait_for("the file is taken up", || std::fs::read_to_string(&log).ok()?.contains("SIGHUP").then_some(()));
    let stream = UnixStream::connect(dir.path().join("run/o.sock")).await.unwrap();
    assert_eq!(exchange(stream, &request("GET /healthz", &[], b"")).await.unwrap().status, 200);
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_rotated_log_goes_on_in_the_new_file() {
    let daemon = Daemon::start("format = \"text\"");
    let (log, old) = (daemon.dir.path().join("log"), daemon.dir.path().join("log.1"));
    std::fs::rename(&log, &old).unwrap();
    daemon.signal(Signal::SIGHUP);
    common::wait_for("the new file", || std::fs::read_to_string(&log).ok()?.contains("SIGHUP").then_some(()));
    assert!(std::fs::read_to_string(&old).unwrap().contains("serving"));
    assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o640);
}
