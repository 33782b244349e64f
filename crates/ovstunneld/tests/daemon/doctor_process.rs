//! `GET /v1/doctor`, `/v1/support` and the certificates' metrics of the real program, over the simulated switch: what is wrong
//! with files of the host.

use crate::common;

use crate::common::host::Host;
use crate::common::request;
use serde_json::Value;

#[tokio::test]
async fn certificates_that_run_out_are_told_of() {
    let host = Host::start();
    host.expect("certificate", "ok", "days more").await;
    assert!(host.seconds("certificate").await.unwrap() > 86400.0 * 365.0);
    assert!(host.seconds("client_ca").await.unwrap() > 86400.0 * 365.0);
    let files =
        ["cert.pem", "key.pem"].map(|name| (host.path().join(name), std::fs::read(host.path().join(name)).unwrap()));
    let expired = host.ca.issue_for("host", 2000, 2001);
    std::fs::write(&files[0].0, expired.certificate).unwrap();
    std::fs::write(&files[1].0, expired.key).unwrap();
    host.expect("certificate", "fail", "expired on 2001-01-01").await;
    assert!(host.seconds("certificate").await.unwrap() < -86400.0 * 365.0);
    std::fs::remove_file(&files[0].0).unwrap();
    host.expect("certificate", "fail", "cert.pem").await;
    assert_eq!(host.seconds("certificate").await, None);
    files.iter().for_each(|(file, good)| std::fs::write(file, good).unwrap());
    host.expect("certificate", "ok", "days more").await;
}

#[tokio::test]
async fn what_is_wrong_with_the_host_s_files_is_found_and_goes() {
    let host = Host::start();
    let rule = "SUBSYSTEM==\"net\", RUN+=\"/usr/lib/ovstunnel/ovstunnel-vif $env{ACTION} %k\"\n";
    host.expect("udev_rule", "warn", "no udev rule").await;
    host.put("usr/lib/ovstunnel/ovstunnel-vif", "");
    host.put("usr/lib/udev/rules.d/zz-ovstunnel.rules", rule);
    host.expect("udev_rule", "ok", "").await;
    host.put("etc/udev/rules.d/zz-ovstunnel.rules", "");
    host.expect("udev_rule", "fail", "shadows the one in /usr/lib/udev/rules.d").await;
    std::fs::remove_file(host.path().join("root/etc/udev/rules.d/zz-ovstunnel.rules")).unwrap();
    host.expect("udev_rule", "ok", "").await;

    host.put("etc/xensource/network.conf", "bridge\n");
    host.expect("network_conf", "fail", "xe-switch-network-backend openvswitch").await;
    host.put("etc/xensource/network.conf", "openvswitch\n");
    host.expect("network_conf", "ok", "").await;

    host.put("etc/xapi.d/plugins/ovstunnel", "#!/usr/bin/python\n");
    host.expect("xapi_plugin", "fail", "Python plugin is still active").await;
    host.put("etc/xapi.d/plugins/ovstunnel", "\u{7f}ELF");
    host.expect("xapi_plugin", "ok", "").await;

    host.expect("log", "ok", "").await;
    std::fs::rename(host.path().join("log"), host.path().join("log.1")).unwrap();
    host.expect("log", "warn", "moved or deleted").await;
    std::fs::rename(host.path().join("log.1"), host.path().join("log")).unwrap();
    host.expect("log", "ok", "").await;
    host.expect("clock", "ok", "").await;
}

#[tokio::test]
async fn what_a_bug_report_needs_has_no_key_in_it() {
    let host = Host::start();
    std::fs::write(host.path().join("token"), "tok-5f2c9a7e").unwrap();
    let answer = host.get("/v1/support").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let parts: Value = serde_json::from_str(&answer.body).unwrap();
    let parts = parts["parts"].as_array().unwrap();
    let text = |name: &str| parts.iter().find(|part| part["name"] == name).unwrap()["text"].as_str().unwrap();
    assert!(text("configuration.txt").contains("key.pem"), "where the key is, is no secret");
    assert!(text("certificates.txt").contains("CN=host") && text("log.txt").contains("serving"));
    for name in
        ["versions.txt", "ready.json", "bridges.json", "database.json", "routes.txt", "doctor.json", "metrics.txt"]
    {
        assert!(!text(name).is_empty(), "{name}");
    }
    let key = std::fs::read_to_string(host.path().join("key.pem")).unwrap();
    let lines = key.lines().filter(|line| line.len() > 20 && !line.starts_with('-')).chain(["tok-5f2c9a7e"]);
    for secret in lines {
        assert!(!answer.body.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_bug_report_is_not_made_over_the_network() {
    let daemon = common::Daemon::start("");
    let operator = daemon.ca.issue("operator");
    let answer = daemon.ask(Some(&operator), &request("GET /v1/support", &[], b"")).await.unwrap();
    assert_eq!((answer.status, answer.problem()["code"].as_str()), (403, Some("forbidden")));
    let answer = daemon.ask(Some(&operator), &request("GET /v1/doctor", &[], b"")).await.unwrap();
    let findings: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status, &findings["level"]), (200, &"fail".into()), "there is no Open vSwitch");
}
