//! Asks other hosts for an answer, by a TCP connection to their daemon's port. Only where that is asked for: it is the one
//! check that sends packets. What it must not do: say anything about GRE, which a firewall can treat otherwise.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt;
use ovstunnel_api::Finding;
use tokio::net::TcpStream;

use super::finding::{About, fail, ok, or_ok, warn};

/// How long a host may take to answer.
const DEADLINE: Duration = Duration::from_secs(3);

/// Hosts that are asked at the same time.
const AT_ONCE: usize = 32;

/// How a host answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Something listens there.
    Open,
    /// The host is there, and nothing listens.
    Refused,
    /// Nothing came back.
    Nothing,
}

/// Tries each of them; `port` is that of this daemon's own HTTPS.
pub(super) async fn probe_hosts(hosts: Vec<IpAddr>, port: u16) -> Vec<(IpAddr, Answer)> {
    let each = hosts.into_iter().map(async |ip| (ip, probe_host(ip, port).await));
    futures_util::stream::iter(each).buffered(AT_ONCE).collect().await
}

async fn probe_host(ip: IpAddr, port: u16) -> Answer {
    match tokio::time::timeout(DEADLINE, TcpStream::connect((ip, port))).await {
        Ok(Ok(_)) => Answer::Open,
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Answer::Refused,
        Ok(Err(_)) | Err(_) => Answer::Nothing,
    }
}

/// What the answers mean.
pub(super) fn check_answers(answers: &[(IpAddr, Answer)], port: u16) -> Vec<Finding> {
    let findings = answers.iter().filter_map(|(ip, answer)| {
        let found = match answer {
            Answer::Open => return None,
            Answer::Refused => warn(
                "peer_probe",
                format!("{ip} is there, but nothing listens on TCP port {port}"),
                "start ovstunneld there; if its `[api] listen` has another port or is off, this says nothing",
            ),
            Answer::Nothing => fail(
                "peer_probe",
                format!("{ip} does not answer on TCP port {port} within {} s", DEADLINE.as_secs()),
                "see that the host is up, and the network and firewalls between the two; where its API has another address, this says nothing",
            ),
        };
        Some(found.about(ip))
    });
    or_ok(findings.collect(), || {
        ok("peer_probe", format!("each of {} other hosts answers on TCP port {port}", answers.len()))
    })
}

#[cfg(test)]
mod tests {
    use ovstunnel_api::Level;

    use super::*;

    #[tokio::test]
    async fn who_listens_is_told_from_who_does_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers = probe_hosts(vec![IpAddr::from([127, 0, 0, 1]), [127, 0, 0, 2].into()], port).await;
        assert_eq!(answers.iter().map(|(_, answer)| *answer).collect::<Vec<_>>(), [Answer::Open, Answer::Refused]);
        let found = check_answers(&answers, port);
        assert_eq!((found.len(), found[0].level, found[0].subject.as_deref()), (1, Level::Warn, Some("127.0.0.2")));
        assert_eq!(check_answers(&[(IpAddr::from([127, 0, 0, 1]), Answer::Nothing)], port)[0].level, Level::Fail);
        assert_eq!(check_answers(&answers[..1], port)[0].level, Level::Ok);
    }
}
