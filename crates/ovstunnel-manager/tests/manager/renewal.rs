//! Hosts' certificates that are renewed for who has the key, and that stay their host's under another name.

use std::path::PathBuf;

use crate::common::Bench;
use crate::common::web::Browser;
use crate::enrol::{body, ca, enrolling, events, join, request, root, token};
use ovstunnel_pki::{Authority, Key, Leaf, Purpose, Role, Rotation, read_details};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

fn pki(bench: &Bench) -> PathBuf {
    bench.dir.path().join("pki")
}

fn authority(bench: &Bench) -> Authority {
    Authority::open(&pki(bench)).unwrap()
}

/// Has the certificate of this name in the CA's folder be one for 30 days that was signed so many days ago.
fn age(bench: &Bench, name: &str, days: i64) {
    let then = OffsetDateTime::now_utc() - Duration::days(days);
    authority(bench).renew_certificate(&name.parse().unwrap(), Key::Same, 30, then).unwrap();
}

/// Has a host join, with its files in a folder of its own.
fn joins(bench: &Bench, token: &str, name: &str, address: &str) {
    let asked = request(bench.dir.path(), name, address, &ca(bench));
    let (status, answer) = join(bench, &body(token, name, asked.text(), &format!("https://{address}:8443")));
    assert_eq!(status, 201, "{answer}");
    asked.write_certificate(answer["certificate"].as_str().unwrap(), &ca(bench)).unwrap();
}

/// What somebody without a certificate is answered who sends this request: status and body.
fn renew(bench: &Bench, csr: &str) -> (u16, Value) {
    ask(bench, &json!({"csr": csr}))
}

fn ask(bench: &Bench, body: &Value) -> (u16, Value) {
    let browser = Browser::stranger(bench).with(&["-H", "content-type: application/json"]);
    let answer = browser.with(&["--data", &body.to_string()]).get("/v1/enrolment/renew");
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

/// A request by the key of the host `name`, for what its certificate in the CA's folder has.
fn csr(bench: &Bench, name: &str) -> String {
    let key = bench.dir.path().join("hosts").join(name).join(format!("{name}.key"));
    Rotation::of(&pki(bench).join(format!("{name}.crt")), &key).unwrap().request().unwrap()
}

fn serial(file: &str, bench: &Bench) -> String {
    read_details(&pki(bench).join(file)).unwrap().remove(0).serial
}

/// Whether the certificate in a file of the CA's folder is on the list of revoked ones.
fn is_revoked(file: &str, bench: &Bench) -> bool {
    let copy = tempfile::tempdir().unwrap();
    for name in ["ca.crt", "ca.key", "ca.crl"] {
        let _ = std::fs::copy(pki(bench).join(name), copy.path().join(name));
    }
    let now = OffsetDateTime::now_utc();
    Authority::open(copy.path()).unwrap().revoke_certificate(&pki(bench).join(file), now).unwrap().already
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_certificate_is_renewed_once_and_all_end_with_the_host() {
    let bench = enrolling().await;
    let (text, _) = token(&bench, 1, 3600);
    joins(&bench, &text, "h1", "127.0.0.2");
    let fresh = std::fs::read_to_string(pki(&bench).join("h1.crt")).unwrap();
    let (status, answer) = renew(&bench, &csr(&bench, "h1"));
    assert_eq!((status, &answer["outcome"], &answer["certificate"]), (200, &"unchanged".into(), &fresh.into()));

    // In its second third only where it is asked for.
    age(&bench, "h1", 15);
    let (_, answer) = renew(&bench, &csr(&bench, "h1"));
    assert_eq!(answer["outcome"], "unchanged");
    for outcome in ["updated", "unchanged"] {
        let (_, answer) = ask(&bench, &json!({"csr": csr(&bench, "h1"), "early": true}));
        assert_eq!(answer["outcome"], outcome, "{answer}");
    }
    // In its last third, and also where its time is over for five days.
    for days in [25, 35] {
        age(&bench, "h1", days);
        let before = serial("h1.crt", &bench);
        let (status, answer) = renew(&bench, &csr(&bench, "h1"));
        assert_eq!(
            (status, &answer["outcome"], &answer["ca"]),
            (200, &"updated".into(), &ca(&bench).into()),
            "{answer}"
        );
        let now = std::fs::read_to_string(pki(&bench).join("h1.crt")).unwrap();
        assert_eq!(answer["certificate"], now.as_str());
        let details = read_details(&pki(&bench).join("h1.crt")).unwrap().remove(0);
        assert_eq!((details.purpose, &details.names), (Purpose::Host, &vec!["h1".into(), "127.0.0.2".into()]));
        assert!(details.serial != before && details.not_after > OffsetDateTime::now_utc() + Duration::days(60));
        // The same again makes nothing.
        let (_, again) = renew(&bench, &csr(&bench, "h1"));
        assert_eq!((&again["outcome"], &again["certificate"]), (&"unchanged".into(), &answer["certificate"]));
    }
    assert_eq!(std::fs::read_dir(pki(&bench)).unwrap().count(), 2 + 4 + 7, "seven of h1");
    let told = events(&bench.manager, "certificate_renewed").await;
    assert!(told.len() == 3 && told[0].contains("the certificate h1 of host h1 is renewed until"), "{told:?}");

    assert_eq!(root(&bench, "DELETE", "/v1/hosts/h1", None)["outcome"], "removed");
    assert!(!pki(&bench).join("h1.crt").exists());
    // All but the one that is over.
    let ended = (1..=7).filter(|number| is_revoked(&format!("h1.crt.old{number}"), &bench)).count();
    assert_eq!(ended, 6);
    assert_eq!(events(&bench.manager, "certificate_revoked").await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_its_host_gets_no_other_certificate() {
    let bench = enrolling().await;
    let (text, _) = token(&bench, 3, 3600);
    let dir = bench.dir.path().to_owned();
    for (name, address) in [("h1", "127.0.0.2"), ("gone", "127.0.0.3"), ("late", "127.0.0.4")] {
        joins(&bench, &text, name, address);
        age(&bench, name, 25);
    }
    let gone = csr(&bench, "gone");
    assert_eq!(root(&bench, "DELETE", "/v1/hosts/gone", None)["outcome"], "removed");
    // For 10 days, 25 days ago: over for longer than it lived.
    let then = OffsetDateTime::now_utc() - Duration::days(25);
    authority(&bench).renew_certificate(&"late".parse().unwrap(), Key::Same, 10, then).unwrap();
    // By hand, for a host that nobody has registered; and a client's.
    let now = OffsetDateTime::now_utc();
    let role = Role::Host { addresses: vec!["127.0.0.5".parse().unwrap()] };
    for (name, role) in [("byhand", role), ("op", Role::Client)] {
        authority(&bench).issue_certificate(&Leaf { name: name.parse().unwrap(), role, days: 9 }, now).unwrap();
    }
    let by = |name: &str| Rotation::of(&pki(&bench).join("byhand.crt"), &pki(&bench).join(format!("{name}.key")));
    let asked = |name: &str, address: &str| request(&dir.join("try"), name, address, &ca(&bench)).text().to_owned();
    let less = {
        // The key of h1, for its name alone.
        let waiting = dir.join("less");
        std::fs::create_dir(&waiting).unwrap();
        std::fs::copy(dir.join("hosts/h1/h1.key"), waiting.join("h1.key.asked")).unwrap();
        let name = "h1".parse().unwrap();
        ovstunnel_pki::Request::for_host(&waiting, &name, &[], "ca").unwrap().text().to_owned()
    };
    let files = || std::fs::read_dir(pki(&bench)).unwrap().count();
    let before = files();
    let none = "there is no certificate of this name and key that can be renewed";
    for (asked, status, word) in [
        (asked("h1", "127.0.0.2"), 403, none),
        (asked("nobody", "127.0.0.2"), 403, none),
        (asked("op", "127.0.0.2"), 403, none),
        (asked("zone", "127.0.0.1"), 403, none),
        (gone, 403, "the certificate gone was revoked"),
        (by("byhand").unwrap().request().unwrap(), 403, "no host that has the certificate byhand is registered"),
        (csr(&bench, "late"), 403, "too long ago"),
        (less, 400, "csr must name h1 and 127.0.0.2, as its certificate does"),
        ("garbage".to_owned(), 400, "csr must be a PKCS #10 request"),
    ] {
        let (got, answer) = renew(&bench, &asked);
        assert_eq!(got, status, "{word}: {answer}");
        assert!(answer["detail"].as_str().unwrap().contains(word), "{word}: {answer}");
    }
    assert_eq!(files(), before, "a refusal has written something");
    let refusals = events(&bench.manager, "renewal_refused").await;
    assert_eq!(refusals.len(), 8, "{refusals:?}");
    // Who operates reads what a stranger is not told.
    assert!(refusals.iter().any(|told| told.contains("h1 was not renewed from 127.0.0.1: asked for with another key")));
    assert!(events(&bench.manager, "certificate_renewed").await.is_empty());
    // And the host itself gets its own.
    assert_eq!(renew(&bench, &csr(&bench, "h1")).1["outcome"], "updated");
}

fn put(bench: &Bench, name: &str, address: &str, number: u64) {
    let body = json!({"api": format!("https://{address}:8443"), "number": number});
    assert_eq!(root(bench, "PUT", &format!("/v1/hosts/{name}"), Some(body))["outcome"], "created");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_host_and_a_new_one_of_its_old_name_keep_their_own() {
    let bench = enrolling().await;
    let (text, _) = token(&bench, 2, 3600);
    joins(&bench, &text, "h1", "127.0.0.2");
    // One whose certificate was made by hand, before anything of it was kept.
    let role = Role::Host { addresses: vec!["127.0.0.7".parse().unwrap()] };
    let leaf = Leaf { name: "hand".parse().unwrap(), role, days: 9 };
    authority(&bench).issue_certificate(&leaf, OffsetDateTime::now_utc()).unwrap();
    put(&bench, "hand", "127.0.0.7", 77);
    for (from, to) in [("h1", "h2"), ("hand", "foot")] {
        let answer = root(&bench, "POST", &format!("/v1/hosts/{from}/rename"), Some(json!({"name": to})));
        assert_eq!(answer["outcome"], "updated", "{answer}");
    }
    // Under its new name and number it still has its certificate renewed.
    let answer = root(&bench, "GET", "/v1/hosts/h2", None);
    assert_eq!(answer["number"], 1);
    age(&bench, "h1", 25);
    assert_eq!(renew(&bench, &csr(&bench, "h1")).1["outcome"], "updated");
    let told = events(&bench.manager, "certificate_renewed").await;
    assert!(told[0].contains("the certificate h1 of host h2 is renewed"), "{told:?}");

    // New hosts of the old names, without certificates of this CA: they go, and nothing is revoked.
    for (name, address, number) in [("h1", "127.0.0.3", 9), ("hand", "127.0.0.8", 78)] {
        put(&bench, name, address, number);
        assert_eq!(root(&bench, "DELETE", &format!("/v1/hosts/{name}"), None)["outcome"], "removed");
        assert!(pki(&bench).join(format!("{name}.crt")).exists() && !is_revoked(&format!("{name}.crt"), &bench));
    }
    // The old one's certificate out of the way, a new host gets the name; the old one goes, and the new one keeps its own.
    let moved = pki(&bench).join("h1.crt.moved");
    std::fs::rename(pki(&bench).join("h1.crt"), &moved).unwrap();
    std::fs::remove_dir_all(bench.dir.path().join("hosts")).unwrap();
    joins(&bench, &text, "h1", "127.0.0.6");
    for name in ["h2", "foot"] {
        assert_eq!(root(&bench, "DELETE", &format!("/v1/hosts/{name}"), None)["outcome"], "removed");
    }
    assert!(is_revoked("h1.crt.moved", &bench), "by its serial number");
    assert!(is_revoked("hand.crt.old1", &bench) && !is_revoked("h1.crt", &bench));
    assert_eq!(renew(&bench, &csr(&bench, "h1")).1["outcome"], "unchanged");
    assert_eq!(root(&bench, "DELETE", "/v1/hosts/h1", None)["outcome"], "removed");
    assert!(!pki(&bench).join("h1.crt").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_may_not_be_removed_keeps_its_certificate() {
    let bench = enrolling().await;
    let (text, _) = token(&bench, 1, 3600);
    joins(&bench, &text, "h1", "127.0.0.2");
    let physical = crate::common::physical(ovstunnel_manager_api::Isolation::Gre, "1000-1999");
    bench.manager.put_physical_network("p1", &physical, false).await.unwrap();
    for (path, body) in
        [("/v1/networks/web", json!({"physical_network": "p1"})), ("/v1/networks/web/nics/n1", json!({"host": "h1"}))]
    {
        let answer = root(&bench, "PUT", path, Some(body));
        // Of a NIC the outcome tells of its tunnels.
        assert_eq!(*answer.get("recorded").unwrap_or(&answer["outcome"]), "created", "{answer}");
    }
    let refused = root(&bench, "DELETE", "/v1/hosts/h1", None);
    assert_eq!(refused["status"], 409, "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("has NIC n1 of network web"), "{refused}");
    assert!(!is_revoked("h1.crt", &bench));
    age(&bench, "h1", 25);
    assert_eq!(renew(&bench, &csr(&bench, "h1")).1["outcome"], "updated");
    // And without the NIC it goes, and its certificate with it.
    let asked = csr(&bench, "h1");
    root(&bench, "DELETE", "/v1/networks/web/nics/n1", None);
    let removed = root(&bench, "DELETE", "/v1/hosts/h1", None);
    assert_eq!(removed["outcome"], "removed", "{removed}");
    let (status, answer) = renew(&bench, &asked);
    assert!(status == 403 && answer["detail"].as_str().unwrap().contains("was revoked"), "{answer}");
}
