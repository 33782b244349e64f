//! Who may do what, how that changes while connections are open, and what the audit tells of it.

use crate::common;

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{Daemon, Identity, Session, request};
use nix::sys::signal::Signal;
use rcgen::DnValue;

const ROLES: &str =
    "[[tls.clients]]\nname = \"ops\"\nrole = \"operator\"\n[[tls.clients]]\nname = \"graphs\"\nrole = \"viewer\"\n";
const PUT: &str = "PUT /v1/bridges/xapi1";
const BODY: &str = r#"{"key": 7}"#;

/// Status and code, if any, of one request on a connection of its own.
async fn once(daemon: &Daemon, identity: &Identity, line: &str, body: &str) -> (u16, String) {
    Session::open(daemon, identity).await.unwrap().ask(line, body).await.unwrap()
}

/// The lines of the audit so far.
fn audit(daemon: &Daemon) -> Vec<String> {
    daemon.file("log").lines().filter(|line| line.contains(" INFO audit: ")).map(str::to_owned).collect()
}

/// Waits for so many lines of the audit, and gives the last one.
fn audited(daemon: &Daemon, lines: usize, parts: &[&str]) {
    daemon.wait_for_log(" INFO audit: ", lines);
    let all = audit(daemon);
    assert_eq!(all.len(), lines, "{all:#?}");
    for part in parts {
        assert!(all[lines - 1].contains(part), "{part} is not in {}", all[lines - 1]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_does_what_it_may_and_is_audited() {
    let daemon = Daemon::simulated(ROLES);
    let identities = ["ops", "graphs", "stranger"].map(|name| daemon.ca.issue(name));
    let [ops, graphs, stranger] = &identities;

    let (status, body) = once(&daemon, ops, PUT, BODY).await;
    assert_eq!(status, 201, "{body}");
    let address = "address=127.0.0.1:";
    let done = [
        "done who=\"ops\"",
        address,
        "method=PUT",
        "path=\"/v1/bridges/xapi1\"",
        "status=201",
        "outcome=\"created\"",
        "id=\"",
        "ms=",
    ];
    audited(&daemon, 1, &done);

    assert_eq!(once(&daemon, graphs, "GET /v1/bridges", "").await.0, 200);
    for line in
        [PUT, "PUT /v1/bridges/xapi1?dry_run=true", "DELETE /v1/bridges/xapi1", "POST /v1/reconcile", "PUT /v1/log"]
    {
        let (status, body) = once(&daemon, graphs, line, BODY).await;
        assert_eq!(status, 403, "{line}: {body}");
        assert!(body.contains("graphs is a viewer in [[tls.clients]] and may only read"), "{body}");
    }
    audited(&daemon, 6, &["refused who=\"graphs\"", "path=\"/v1/log\"", "status=403", "outcome=\"forbidden\""]);

    // Not even a route that is not there.
    for line in ["GET /v1/bridges", "GET /healthz", "GET /nowhere", PUT] {
        let (status, body) = once(&daemon, stranger, line, BODY).await;
        assert_eq!(status, 403, "{line}: {body}");
        assert!(body.contains("is in [[tls.clients]]: stranger, stranger"), "{body}");
    }
    audited(&daemon, 10, &["refused who=\"stranger\"", "method=PUT"]);

    let root = daemon.ask_socket(&request("DELETE /v1/bridges/xapi1", &[("x-request-id", "mine")], b"")).await;
    assert_eq!(root.status, 200, "{root:?}");
    let pid = format!("pid={}", std::process::id());
    audited(&daemon, 11, &["done who=\"root\"", &pid, "id=\"mine\"", "outcome=\"removed\""]);
    let bad = daemon.ask_socket(&request(PUT, &[("content-type", "application/json")], b"{}")).await;
    assert_eq!(bad.status, 400);
    audited(&daemon, 12, &["failed who=\"root\"", "status=400", "outcome=\"invalid_request\""]);
    let dry = daemon.ask_socket(&request("POST /v1/reconcile?dry_run=true", &[], b"")).await;
    assert_eq!(dry.status, 200);
    audited(&daemon, 13, &["done who=\"root\"", "outcome=\"dry run: unchanged\""]);
}

/// To say that it acts changes what the plugin's calls do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_may_watch_but_not_say_that_it_acts() {
    let daemon = Daemon::simulated(ROLES);
    let epoch = "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90:4";
    let acts = [("ovstunnel-epoch", epoch), ("ovstunnel-controller", "on")];
    let graphs = daemon.ca.issue("graphs");
    let watch = daemon.ask(Some(&graphs), &request("GET /v1/watch", &acts, b"")).await.unwrap();
    let problem = watch.problem();
    let detail = problem["detail"].as_str().unwrap();
    assert!(watch.status == 403 && detail.contains("graphs is a viewer in [[tls.clients]]"), "{problem}");
    // Else who may is told by field and rule what is wrong.
    let alone = [("ovstunnel-controller", "on")];
    let watch = daemon.ask(Some(&daemon.ca.issue("ops")), &request("GET /v1/watch", &alone, b"")).await.unwrap();
    assert_eq!((watch.status, &watch.problem()["field"]), (400, &"ovstunnel-controller".into()));
}

/// A certificate may have several common names, in whatever order: else its owner would choose the role.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_names_count_and_a_nameless_certificate_is_nobodys() {
    let text = |name: &str| DnValue::Utf8String(name.to_owned());
    let refused = async |daemon: &Daemon, identity: &Identity, why: &str| {
        let (status, body) = once(daemon, identity, PUT, BODY).await;
        assert_eq!(status, 403, "{body}");
        assert!(body.contains(why), "{body}");
    };
    let daemon = Daemon::simulated(ROLES);
    for names in [["ops", "graphs"], ["graphs", "ops"]] {
        let both = daemon.ca.issue_with(names.map(text).into());
        refused(&daemon, &both, &format!("{} is a viewer in [[tls.clients]]", names.join(" + "))).await;
        assert_eq!(once(&daemon, &both, "GET /v1/bridges", "").await.0, 200);
    }
    let first_unknown = daemon.ca.issue_with(vec![text("unknown"), text("ops")]);
    assert_eq!(once(&daemon, &first_unknown, PUT, BODY).await.0, 201);
    let unread = daemon.ca.issue_with(vec![text("ops"), DnValue::BmpString("graphs".try_into().unwrap())]);
    refused(&daemon, &unread, "a common name of ops cannot be read").await;
    let nameless = daemon.ca.issue_with(Vec::new());
    refused(&daemon, &nameless, "the client's certificate has no name").await;
    daemon.wait_for_log("refused who=\"ops + graphs\"", 1);

    let open_to_all = Daemon::simulated("");
    let nameless = open_to_all.ca.issue_with(Vec::new());
    refused(&open_to_all, &nameless, "the client's certificate has no name").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_taken_away_is_gone_on_open_connections() {
    let daemon = Daemon::simulated(ROLES);
    let ops = daemon.ca.issue("ops");
    let mut session = Session::open(&daemon, &ops).await.unwrap();
    assert_eq!(session.ask(PUT, BODY).await.unwrap().0, 201);
    daemon.edit("role = \"operator\"", "role = \"viewer\"");
    daemon.reload();
    assert_eq!(session.ask(PUT, BODY).await.unwrap().0, 403);
    assert_eq!(session.ask("GET /v1/bridges/xapi1", "").await.unwrap().0, 200);
    daemon.edit("name = \"ops\"", "name = \"others\"");
    daemon.reload();
    assert_eq!(session.ask("GET /v1/bridges/xapi1", "").await.unwrap().0, 403);
    daemon.edit("name = \"others\"\nrole = \"viewer\"", "name = \"ops\"\nrole = \"operator\"");
    daemon.reload();
    assert_eq!(session.ask(PUT, BODY).await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_client_is_refused_on_open_connections_too() {
    let daemon = Daemon::simulated("");
    let (good, lost) = (daemon.ca.issue("good"), daemon.ca.issue("lost"));
    let list = daemon.dir.path().join("crl.pem");
    std::fs::write(&list, daemon.ca.revoke(&[])).unwrap();
    daemon.edit("client_ca = ", &format!("client_crl = \"{}\"\nclient_ca = ", list.display()));
    daemon.reload();
    let mut session = Session::open(&daemon, &lost).await.unwrap();
    assert_eq!(session.ask(PUT, BODY).await.unwrap().0, 201);

    std::fs::write(&list, daemon.ca.revoke(&[&lost])).unwrap();
    daemon.reload();
    let (status, body) = session.ask(PUT, BODY).await.unwrap();
    assert_eq!(status, 403, "{body}");
    assert!(
        body.contains("the certificate of lost is not accepted any more")
            && body.contains("the certificate is revoked (client_crl)"),
        "{body}"
    );
    daemon.ask(Some(&lost), &request("GET /healthz", &[], b"")).await.expect_err("was let in");
    daemon.wait_for_log("refused a TLS client", 1);
    assert!(daemon.file("log").contains("why=\"the certificate is revoked (client_crl)\""));
    assert_eq!(once(&daemon, &good, PUT, BODY).await.0, 200);

    // A list of another CA of the same name would lock everybody out, and garbage would let everybody in.
    for (bad, why) in [
        (common::Authority::new("test CA").revoke(&[]), "is not signed by the authority CN=test CA"),
        ("garbage".to_owned(), "no X509 CRL in it"),
    ] {
        std::fs::write(&list, bad).unwrap();
        daemon.signal(Signal::SIGHUP);
        daemon.wait_for_log(why, 1);
        assert_eq!(once(&daemon, &good, PUT, BODY).await.0, 200);
        assert_eq!(session.ask(PUT, BODY).await.unwrap().0, 403);
    }
}

/// Every client asks again and again, on new connections and on an open one, while the host's certificate is replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_swapped_under_load_and_no_request_is_lost() {
    const SWAPS: usize = 8;
    let daemon = Daemon::simulated("");
    let list = daemon.dir.path().join("crl.pem");
    let identities = ["good", "lost"].map(|name| daemon.ca.issue(name));
    let [good, lost] = &identities;
    std::fs::write(&list, daemon.ca.revoke(&[lost])).unwrap();
    daemon.edit("client_ca = ", &format!("client_crl = \"{}\"\nclient_ca = ", list.display()));
    daemon.reload();
    let (swaps, answers, refusals) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let going_on = || swaps.load(Ordering::Relaxed) < SWAPS;
    let new_connections = async {
        while going_on() {
            assert_eq!(once(&daemon, good, "GET /v1/bridges", "").await.0, 200);
            answers.fetch_add(1, Ordering::Relaxed);
        }
    };
    let open_connection = async {
        let mut session = Session::open(&daemon, good).await.unwrap();
        while going_on() {
            let (status, body) = session.ask(PUT, BODY).await.unwrap();
            assert!(matches!(status, 200 | 201), "{status}: {body}");
            answers.fetch_add(1, Ordering::Relaxed);
        }
    };
    let intruder = async {
        while going_on() {
            daemon.ask(Some(lost), &request("GET /healthz", &[], b"")).await.expect_err("was let in");
            refusals.fetch_add(1, Ordering::Relaxed);
        }
    };
    let swapping = async {
        for _ in 0..SWAPS {
            let before = answers.load(Ordering::Relaxed);
            let host = daemon.ca.issue("host");
            std::fs::write(daemon.dir.path().join("cert.pem"), &host.certificate).unwrap();
            std::fs::write(daemon.dir.path().join("key.pem"), &host.key).unwrap();
            tokio::task::block_in_place(|| daemon.reload());
            // The others get on between two swaps.
            while answers.load(Ordering::Relaxed) < before + 4 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            swaps.fetch_add(1, Ordering::Relaxed);
        }
    };
    tokio::join!(new_connections, open_connection, intruder, swapping);
    assert!(refusals.load(Ordering::Relaxed) > 0);
    assert_eq!(daemon.file("stderr"), "");
}
