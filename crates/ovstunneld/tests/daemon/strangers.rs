//! Whoever has no good certificate, and those who may only look: what they can make the daemon write, and what they cannot.

use std::fs;
use std::path::Path;

use crate::common::{Daemon, Session, request};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PUT: &str = "PUT /v1/bridges/xapi1";
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// The first bytes of a TLS client that asks for a server of this name, which need not be one.
fn hello(name: &[u8]) -> Vec<u8> {
    let u16s = |n: usize| u16::try_from(n).unwrap().to_be_bytes();
    let entry = [&[0], &u16s(name.len())[..], name].concat();
    let list = [&u16s(entry.len())[..], &entry].concat();
    let extensions = [&[0, 0], &u16s(list.len())[..], &list].concat();
    let (version, random) = ([3, 3], [7; 32]);
    let fixed: &[u8] = &[&version[..], &random, &[0], &[0, 2, 0x13, 1], &[1, 0]].concat();
    let body = [fixed, &u16s(extensions.len()), &extensions].concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[1], &length[1..], &body].concat();
    message.chunks(16_000).flat_map(|part| [&[0x16, 3, 1], &u16s(part.len())[..], part].concat()).collect()
}

/// Bytes of the log and the older one together.
fn log_size(daemon: &Daemon) -> u64 {
    ["log", "log.1"].iter().filter_map(|name| fs::metadata(daemon.dir.path().join(name)).ok()).map(|m| m.len()).sum()
}

/// The log before these strangers, and after them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_sixty_kilobytes_fill_no_log_and_push_no_audit_out() {
    let daemon = Daemon::simulated("max_size = \"1MiB\"");
    let done = daemon.ask_socket(&request(PUT, &[JSON[0], ("x-request-id", "the-first")], br#"{"key": 7}"#)).await;
    assert_eq!(done.status, 201);
    daemon.wait_for_log("audit: done", 1);
    let before = log_size(&daemon);
    let hello = hello(&[b'_'; 60_000]);
    for _ in 0..451 {
        let mut stream = TcpStream::connect(daemon.address).await.unwrap();
        stream.write_all(&hello).await.unwrap();
        // Until it is refused: then the daemon has said what it says.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    daemon.wait_for_log("refused a TLS client", 1);
    // Far less than a kilobyte each.
    let grown = log_size(&daemon) - before;
    println!("451 of them: {grown} bytes of log");
    assert!(grown < 60_000, "{grown} bytes");
    let log = daemon.file("log");
    assert!(log.contains("id=\"the-first\""), "{log}");
    let longest = log.lines().map(str::len).max().unwrap();
    assert!(longest < 1000, "{longest} bytes in a line");
    assert!(log.contains("rustls") && log.contains("SNI"), "they are told of all the same: {log}");
}

/// At the level `trace` each request writes more than is kept.
#[tokio::test]
async fn no_other_line_pushes_the_audit_out() {
    let daemon = Daemon::simulated("max_size = \"64KiB\"\nlevel = \"trace\"");
    let done = daemon.ask_socket(&request(PUT, &[JSON[0], ("x-request-id", "the-first")], br#"{"key": 7}"#)).await;
    assert_eq!(done.status, 201);
    let looks = request("GET /v1/bridges", &[], b"");
    let mut asked = 0;
    // In the moment between two files there is none.
    let file = |name: &str| fs::read_to_string(daemon.dir.path().join(name)).unwrap_or_default();
    while file("log").contains("the-first") || file("log.1").contains("the-first") || file("log.1").is_empty() {
        assert!(asked < 20_000, "the log does not turn");
        assert_eq!(daemon.ask_socket(&looks).await.status, 200);
        asked += 1;
    }
    let audit = daemon.file("log-audit");
    assert!(
        audit.lines().count() == 1 && audit.contains("done who=\"root\"") && audit.contains("id=\"the-first\""),
        "{audit}"
    );
    // As after a rotation of both.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    for name in ["log", "log-audit"] {
        // The log may be between two files.
        while let Err(error) = fs::rename(daemon.dir.path().join(name), daemon.dir.path().join(format!("{name}.old"))) {
            assert!(std::time::Instant::now() < end, "{name}: {error}");
            tokio::task::yield_now().await;
        }
    }
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    let file = daemon.dir.path().join("log-audit");
    let again = request(PUT, &[JSON[0], ("x-request-id", "the-second")], br#"{"key": 7}"#);
    // What is asked before the signal is taken up is still written to the file as it was.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !fs::read_to_string(&file).is_ok_and(|text| text.contains("id=\"the-second\"")) {
        assert!(std::time::Instant::now() < end, "the audit is not begun anew");
        assert_eq!(daemon.ask_socket(&again).await.status, 200);
    }
}

/// Each of them is written to the audit, and would push out what others did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_viewer_does_not_fill_the_audit() {
    let daemon = Daemon::simulated("[[tls.clients]]\nname = \"graphs\"\nrole = \"viewer\"\n");
    let graphs = daemon.ca.issue("graphs");
    let mut session = Session::open(&daemon, &graphs).await.unwrap();
    for n in 0..1000 {
        assert_eq!(session.ask(&format!("PUT /v1/bridges/b{n}"), "{}").await.unwrap().0, 403);
    }
    daemon.wait_for_log("audit: refused who=\"graphs\"", 100);
    let audit = daemon.file("log-audit");
    assert!(audit.lines().count() < 200, "{} lines", audit.lines().count());
    // Another one is told of all the same, and a look that fails leaves few lines, too.
    assert_eq!(daemon.ask(Some(&daemon.ca.issue("other")), &request(PUT, &[], b"")).await.unwrap().status, 403);
    daemon.wait_for_log("audit: refused who=\"other\"", 1);
    let before = daemon.file("log").lines().count();
    for n in 0..1000 {
        assert_eq!(session.ask(&format!("GET /v1/bridges/b{n}"), "").await.unwrap().0, 404);
    }
    let grown = daemon.file("log").lines().count() - before;
    assert!(grown < 200, "{grown} lines");
}

/// An `xe` that counts how many of it run, and knows no network.
fn xe(dir: &Path, end: &str) -> String {
    let runs = dir.join("runs");
    fs::create_dir(&runs).unwrap();
    let runs = runs.display();
    let script = format!(
        "#!/bin/sh\nmkdir {runs}/$$\nls {runs} | wc -l >> {}/seen\nsleep 0.05\nrmdir {runs}/$$\n{end}\n",
        dir.display()
    );
    fs::write(dir.join("script"), script).unwrap();
    // A program that this process has open for writing is busy in each child that another test forks meanwhile.
    let copied = std::process::Command::new("install").args(["-m755", "script", "xe"]).current_dir(dir).status();
    assert!(copied.unwrap().success());
    format!("[xapi]\nenabled = true\nxe = \"{}/xe\"\n", dir.display())
}

/// How many ran, and at most at the same time.
fn runs(dir: &Path) -> (usize, usize) {
    let seen = fs::read_to_string(dir.join("seen")).unwrap();
    let numbers: Vec<usize> = seen.lines().map(|line| line.trim().parse().unwrap()).collect();
    (numbers.len(), numbers.into_iter().max().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_start_few_xe_and_many_failures_are_few_lines() {
    let viewer = "[[tls.clients]]\nname = \"graphs\"\nrole = \"viewer\"\n";
    let ask_all = async |daemon: &Daemon, labels: Vec<String>| {
        let graphs = daemon.ca.issue("graphs");
        let asked = labels.iter().map(async |label| {
            let line = format!("GET /v1/interfaces/a%20network%20{label}");
            Session::open(daemon, &graphs).await.unwrap().ask(&line, "").await.unwrap().0
        });
        join_all(asked).await
    };
    let (good, bad) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let daemon = Daemon::simulated(&format!("{viewer}{}", xe(good.path(), "exit 0")));
    let different = ask_all(&daemon, (0..50).map(|n| n.to_string()).collect()).await;
    assert!(different.iter().all(|status| *status == 404), "{different:?}");
    let (ran, together) = runs(good.path());
    assert!((ran, together.min(3)) == (50, 2), "{ran} runs, {together} together");
    let equal = ask_all(&daemon, vec!["x".to_owned(); 200]).await;
    assert!(equal.iter().all(|status| *status == 404), "{equal:?}");
    assert!(runs(good.path()).0 <= 50 + 4, "{:?}", runs(good.path()));

    let daemon = Daemon::simulated(&format!("{viewer}{}", xe(bad.path(), "echo no such host >&2; exit 1")));
    let failed = ask_all(&daemon, (0..50).map(|n| n.to_string()).collect()).await;
    assert!(failed.iter().all(|status| *status == 503), "{failed:?}");
    daemon.wait_for_log("xapi does not tell which bridge a network has", 1);
    let told = daemon.file("log").lines().filter(|line| line.contains("no such host")).count();
    assert!(told <= 10, "{told} lines for 50 failures");
}
