//! Faults of a host's files: each is planted once on a host that is well, and found by one finding, with its cause and a remedy.
//! A host that is well has none. The table is the guide's as well.

use crate::faults_table;

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::common::host::Host;
use crate::common::{Authority, Identity, client, wait_for};
use crate::faults_table::{FILES, SWITCH};
use rcgen::{
    CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, KeyIdMethod, KeyPair,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const RULE: &str = "SUBSYSTEM==\"net\", RUN+=\"/usr/lib/ovstunnel/ovstunnel-vif $env{ACTION} %k\"\n";
const OLD_RULE: &str = "SUBSYSTEM==\"xen-backend\", RUN+=\"/opt/cloud/bin/ovs-vif-flows.py $env{ACTION}\"\n";

/// A host of XCP-ng that is well.
fn healthy(more: &str) -> Host {
    let host = Host::start_with(more);
    host.put("usr/lib/ovstunnel/ovstunnel-vif", "");
    host.put("usr/lib/ovstunnel/ovstunnel", "\u{7f}ELF");
    host.put("usr/lib/udev/rules.d/zz-ovstunnel.rules", RULE);
    host.put("etc/xensource-inventory", "");
    host.put("etc/xensource/network.conf", "openvswitch\n");
    host.put("etc/xapi.d/plugins/ovstunnel", "\u{7f}ELF");
    host
}

fn put(host: &Host, identity: &Identity) {
    fs::write(host.path().join("cert.pem"), &identity.certificate).unwrap();
    fs::write(host.path().join("key.pem"), &identity.key).unwrap();
}

fn put_file(host: &Host, name: &str, file: &str) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemon/certificates").join(file);
    fs::write(host.path().join(name), fs::read(from).unwrap()).unwrap();
}

fn issue(host: &Host, names: &[&str], usage: &[ExtendedKeyUsagePurpose]) -> Identity {
    let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "host");
    params.extended_key_usages = usage.to_vec();
    host.ca.sign(params)
}

fn remove(host: &Host, path: &str) {
    fs::remove_file(host.path().join(path)).unwrap();
}

fn edit(host: &Host, old: &str, new: &str) {
    let file = host.path().join("o.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(old), "{text}");
    fs::write(&file, text.replace(old, new)).unwrap();
}

fn append(host: &Host, text: &str) {
    let file = host.path().join("o.toml");
    fs::write(&file, fs::read_to_string(&file).unwrap() + text).unwrap();
}

/// A list of revoked certificates by a CA of this host, that was good until 2021.
fn old_list(host: &Host) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "listing CA");
    let certificate = params.self_signed(&key).unwrap().pem();
    let list = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2020, 1, 1),
        next_update: rcgen::date_time_ymd(2021, 1, 1),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&rcgen::Issuer::new(params, key)).unwrap().pem().unwrap();
    let (ca, crl) = (host.path().join("ca.pem"), host.path().join("crl.pem"));
    fs::write(&ca, fs::read_to_string(&ca).unwrap() + &certificate).unwrap();
    fs::write(crl, list).unwrap();
}

/// Has a client come whose certificate another CA has signed.
fn come(host: &Host, identity: &Identity) {
    let log =
        wait_for("the port", || fs::read_to_string(host.path().join("log")).ok().filter(|log| log.contains("https=")));
    let port = log.split("https=\"127.0.0.1:").nth(1).unwrap().split('"').next().unwrap().parse::<u16>().unwrap();
    let config = client(&host.ca, Some(identity));
    let mut connection = rustls::ClientConnection::new(config.into(), "127.0.0.1".try_into().unwrap()).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    while connection.complete_io(&mut stream).is_ok_and(|(read, written)| read + written > 0) {}
    wait_for("the refusal", || {
        fs::read_to_string(host.path().join("log")).ok().filter(|log| log.contains("refused a TLS client"))
    });
}

/// More of the configuration that a fault needs from the start.
fn more(planted: &str) -> &'static str {
    match planted {
        "the list of revoked certificates is damaged" | "the list of revoked certificates is old" => {
            "[tls]\nclient_crl = \"DIR/crl.pem\"\n"
        }
        _ => "",
    }
}

fn plant_certificate(host: &Host, planted: &str) -> bool {
    let at = |name: &str| host.path().join(name);
    match planted {
        "the key is that of another certificate" => fs::write(at("key.pem"), host.ca.issue("other").key).unwrap(),
        "the key's file is missing" => remove(host, "key.pem"),
        "the key can be read by others" => {
            fs::set_permissions(at("key.pem"), PermissionsExt::from_mode(0o644)).unwrap()
        }
        "the key has a passphrase" => put_file(host, "key.pem", "encrypted.key"),
        "the key is on a curve that TLS does not take" => put_file(host, "key.pem", "p521.key"),
        "the certificate is for clients only" => {
            put(host, &issue(host, &["127.0.0.1"], &[ExtendedKeyUsagePurpose::ClientAuth]));
        }
        "the certificate is for anyExtendedKeyUsage" => {
            put(host, &issue(host, &["127.0.0.1"], &[ExtendedKeyUsagePurpose::Any]));
        }
        "the certificate has no alternative names" => put(host, &issue(host, &[], &[])),
        "the certificate is for another host" => put(host, &issue(host, &["192.0.2.77"], &[])),
        "the certificate expired" => put(host, &host.ca.issue_for("host", 2000, 2001)),
        "the certificate is not valid yet" => put(host, &host.ca.issue_for("host", 2090, 2091)),
        "the certificate expires soon" => {
            let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
            params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(9) + time::Duration::HOUR;
            put(host, &host.ca.sign(params));
        }
        "the certificate is of version 1" => {
            put_file(host, "cert.pem", "v1.crt");
            put_file(host, "key.pem", "v1.key");
        }
        "the certificate's key is on P-521" => {
            put_file(host, "cert.pem", "p521.crt");
            put_file(host, "key.pem", "p521.key");
        }
        "the certificate's file is missing" => remove(host, "cert.pem"),
        "the certificate's file is damaged" => {
            fs::write(at("cert.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        }
        "the chain is out of order" => {
            let mut chain = fs::read_to_string(at("cert.pem")).unwrap();
            chain.push_str(&Authority::new("another CA").pem);
            fs::write(at("cert.pem"), chain).unwrap();
        }
        _ => return plant_authority(host, planted),
    }
    true
}

fn plant_authority(host: &Host, planted: &str) -> bool {
    let at = |name: &str| host.path().join(name);
    match planted {
        "the clients' CA is missing" => remove(host, "ca.pem"),
        "the clients' CA has a key on P-521" => put_file(host, "ca.pem", "p521.crt"),
        "the clients' CA expired" => {
            let mut params = CertificateParams::default();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
            fs::write(at("ca.pem"), params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()).unwrap();
        }
        "a client's certificate in place of its CA" => {
            fs::write(at("ca.pem"), host.ca.issue("client").certificate).unwrap()
        }
        "the CA signed none of the clients that came" => come(host, &Authority::new("elsewhere").issue("stranger")),
        "the list of revoked certificates is damaged" => fs::write(at("crl.pem"), "nothing").unwrap(),
        "the list of revoked certificates is old" => old_list(host),
        _ => return false,
    }
    true
}

fn plant_configuration(host: &Host, planted: &str) -> bool {
    let at = |name: &str| host.path().join(name);
    match planted {
        "the configuration was changed and not loaded" => append(host, "[reconcile]\ninterval = \"7s\"\n"),
        "the configuration needs a restart" => edit(host, "[ovs]\n", "[ovs]\ntimeout = \"31s\"\n"),
        "the configuration is not TOML" => append(host, "\n[log\n"),
        "the configuration has an unknown key" => append(host, "[reconcile]\nintervall = \"7s\"\n"),
        "the configuration's file is gone" => remove(host, "o.toml"),
        "the configuration names a certificate that is missing" => edit(host, "/cert.pem", "/gone.pem"),
        "certificates were replaced and not loaded" => put(host, &host.ca.issue("host")),
        "a file has the name of the Unix socket" => {
            // The daemon is asked before it looks: by the connection that is open.
            fs::rename(at("run/o.sock"), at("run/moved.sock")).unwrap();
            fs::write(at("run/o.sock"), "text").unwrap();
        }
        "the log was moved away" => fs::rename(at("log"), at("log.1")).unwrap(),
        "the log cannot be written: its disk is full" => {
            fs::rename(at("log"), at("log.1")).unwrap();
            symlink("/dev/full", at("log")).unwrap();
        }
        "the audit's file was deleted" => remove(host, "log-audit"),
        _ => return plant_host(host, planted),
    }
    true
}

fn plant_host(host: &Host, planted: &str) -> bool {
    match planted {
        "udev's rule is missing" => remove(host, "root/usr/lib/udev/rules.d/zz-ovstunnel.rules"),
        "udev's rule is switched off by an empty file" => host.put("etc/udev/rules.d/zz-ovstunnel.rules", ""),
        "an old copy of udev's rule comes first" => host.put("etc/udev/rules.d/zz-ovstunnel.rules", RULE),
        "udev's helper is missing" => remove(host, "root/usr/lib/ovstunnel/ovstunnel-vif"),
        "udev's helper cannot be executed" => {
            let helper = host.path().join("root/usr/lib/ovstunnel/ovstunnel-vif");
            fs::set_permissions(helper, PermissionsExt::from_mode(0o644)).unwrap();
        }
        "another rule runs the helper as well" => host.put("etc/udev/rules.d/60-ovstunnel.rules", RULE),
        "the Python plugin's udev rule is in force" => host.put("etc/udev/rules.d/xen-ovs-vif-flows.rules", OLD_RULE),
        "the same under another name" => host.put("etc/udev/rules.d/80-cloud.rules", OLD_RULE),
        "a script of the Python plugin is left" => host.put("opt/cloud/bin/ovs-vif-flows.py", ""),
        "the Python plugin took the place of xapi's plugin" => {
            host.put("etc/xapi.d/plugins/ovstunnel", "#!/usr/bin/python\n");
        }
        "xapi's plugin is a link that leads nowhere" => {
            remove(host, "root/etc/xapi.d/plugins/ovstunnel");
            symlink("/nowhere", host.path().join("root/etc/xapi.d/plugins/ovstunnel")).unwrap();
        }
        "xapi's plugin is another program" => host.put("etc/xapi.d/plugins/ovstunnel", "\u{7f}ELF of old"),
        "ovs-vswitchd logs packets that no tunnel is for" => {
            let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap();
            let words =
                "|00007|tunnel(handler1)|WARN|receive tunnel port not found (arp,tun_id=0x7cf,tun_src=192.0.2.9)\n";
            host.put("var/log/openvswitch/ovs-vswitchd.log", &format!("{now}{words}"));
        }
        "XenServer's networking is by Linux bridges" => host.put("etc/xensource/network.conf", "bridge\n"),
        _ => return false,
    }
    true
}

/// A host with `[tls]` twice is none: what a fault needs there is put into the one that is there.
fn host_for(planted: &str) -> Host {
    match more(planted) {
        "" => healthy(""),
        _ => {
            // The list is there and good while the daemon starts.
            let host = healthy("");
            fs::write(host.path().join("crl.pem"), host.ca.revoke(&[])).unwrap();
            let file = host.path().join("crl.pem");
            edit(&host, "[tls]\n", &format!("[tls]\nclient_crl = \"{}\"\n", file.display()));
            host.reload("client_crl");
            host
        }
    }
}

#[tokio::test]
async fn each_fault_of_files_has_one_finding_a_good_host_none() {
    assert_eq!(healthy("").unwell().await, Vec::<[String; 4]>::new());
    let mut missed = Vec::new();
    for fault in FILES {
        let host = host_for(fault.planted);
        assert!(
            plant_certificate(&host, fault.planted) || plant_configuration(&host, fault.planted),
            "nothing plants: {}",
            fault.planted
        );
        // That a line cannot be written is known once one is.
        if fault.planted.contains("its disk is full") {
            tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
            host.have_a_line_logged().await;
        }
        let found = host.unwell().await;
        let right = match found.as_slice() {
            [[check, level, reason, remedy]] => {
                check == fault.check && level == fault.level && reason.contains(fault.cause) && !remedy.is_empty()
            }
            _ => false,
        };
        if !right {
            missed.push(format!("{}: {found:?}", fault.planted));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// `UPDATE_DOCS=1` writes the table.
#[test]
fn the_guide_has_the_same_table() {
    const HEAD: &str = "| planted | `check` | level | the reason says |\n|---|---|---|---|\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operators-guide/doctor.md");
    let page = fs::read_to_string(&file).unwrap();
    let (before, after) = page.split_once(HEAD).expect("the table's head");
    let rest = &after[after.find("\n\n").unwrap()..];
    let lines: Vec<String> = FILES.iter().chain(&SWITCH).map(faults_table::Fault::line).collect();
    assert!(lines.len() >= 60, "{}", lines.len());
    let expected = format!("{before}{HEAD}{}{rest}", lines.join("\n"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &expected).unwrap();
    }
    assert!(
        page == expected || std::env::var_os("UPDATE_DOCS").is_some(),
        "doctor.md differs: UPDATE_DOCS=1 writes it"
    );
}
