//! Callers without a good certificate, and those who do not speak TLS: refused before anything of theirs is read.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use ovstunnel_api::{Code, Ipv6Policy, Outcome};
use ovstunnel_e2e::{Body, Caller, Cloud, Network, Snapshot};
use ovstunnel_pki::{Authority, Leaf, Role};
use time::{Duration, OffsetDateTime};

const BODY: Body<'static> = Body::Json(r#"{"key":5}"#);

/// Certificates that must not open the door: what is wrong with each, and where it is.
fn strangers(cloud: &Cloud) -> Result<Vec<(&'static str, Option<PathBuf>)>> {
    let (pki, other, now) = (cloud.pki(), cloud.lab().dir().join("other-pki"), OffsetDateTime::now_utc());
    let name = |text: &str| text.parse().map_err(|error| anyhow::anyhow!("{error}"));
    let client = |text: &str| -> Result<Leaf> { Ok(Leaf { name: name(text)?, role: Role::Client, days: 1 }) };
    // A CA of the same name, and a client of the same name as the good ones.
    Authority::create(&other, "ovstunnel lab", 30, now)?;
    Authority::open(&other)?.issue_certificate(&client("manager")?, now)?;
    let ours = Authority::open(pki)?;
    ours.issue_certificate(&client("expired")?, now - Duration::days(3))?;
    ours.issue_certificate(&client("early")?, now + Duration::days(2))?;
    Ok(vec![
        ("no certificate", None),
        ("one of another CA", Some(other.join("manager"))),
        ("an expired one", Some(pki.join("expired"))),
        ("one that is not valid yet", Some(pki.join("early"))),
        ("one for servers", Some(pki.join("host1"))),
        ("the other CA's own", Some(other.join("ca"))),
    ])
}

#[test]
fn who_has_no_good_certificate_is_refused_and_changes_nothing() -> Result<()> {
    let cloud = Cloud::new("badtls", 1)?;
    let node = cloud.node(1)?;
    let before = Snapshot::of(node.host())?;
    for (what, identity) in strangers(&cloud)? {
        let caller = Caller::new(&cloud, 1)?.with_identity(identity);
        let refusals = || node.log().matches("refused a TLS client").count();
        let earlier = refusals();
        match caller.ask(&cloud, "PUT", "/v1/bridges/xapi5", BODY) {
            Ok(answer) => bail!("{what}: answered {answer}"),
            Err(error) => ensure!(format!("{error:#}").contains("alert"), "{what}: no word why: {error:#}"),
        }
        ovstunnel_lab::wait_until(what, ovstunnel_lab::DEADLINE, || match refusals() > earlier {
            true => Ok(()),
            false => Err("the log does not tell"),
        })?;
    }
    before.expect_same(&Snapshot::of(node.host())?)?;
    let answer = cloud.join(&Network::numbered(5, Ipv6Policy::Drop), 1, &[1])?;
    assert_eq!(answer.outcome, Outcome::Created);
    Ok(())
}

#[test]
fn plain_http_and_nonsense_on_the_tls_port_are_told_so() -> Result<()> {
    let cloud = Cloud::new("plain", 1)?;
    let node = cloud.node(1)?;
    let before = Snapshot::of(node.host())?;
    let caller = Caller::new(&cloud, 1)?.with_scheme("http");
    for (method, path, body) in [("GET", "/healthz", Body::None), ("PUT", "/v1/bridges/xapi5", BODY)] {
        let answer = caller.ask(&cloud, method, path, body)?;
        ensure!((answer.status, answer.content_type.as_str()) == (400, "application/problem+json"), "{answer}");
        let problem: ovstunnel_api::Problem = serde_json::from_str(&answer.body)?;
        assert_eq!(problem.code, Code::InvalidRequest);
        ensure!(problem.detail.contains("speaks HTTPS only"), "{answer}");
    }
    // Neither TLS nor HTTP; and the beginning of TLS with nothing good behind it.
    for bytes in [&b"\x00\x01\x02\xff\r\n\r\n"[..], b"\x16\x03\x01\xff\xff junk"] {
        cloud.lab().fabric().enter(|| {
            use std::io::{Read, Write};
            let mut stream = std::net::TcpStream::connect((node.host().ip(), 8443))?;
            stream.set_read_timeout(Some(std::time::Duration::from_secs(20)))?;
            stream.write_all(bytes)?;
            stream.shutdown(std::net::Shutdown::Write)?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(())
        })?;
    }
    before.expect_same(&Snapshot::of(node.host())?)?;
    cloud.join(&Network::numbered(5, Ipv6Policy::Drop), 1, &[1])?;
    Ok(())
}
