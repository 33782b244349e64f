//! The manager's API as a client sees it: hosts of the zone are daemons on simulated switches, asked over HTTPS.

use std::path::Path;
use std::time::Duration;

use crate::common::{bench, client, host, host_with, put, refused, set_up, until};
use ovstunnel_api::{Code, Outcome, PutBridge};
use ovstunnel_client::{ClientError, EventsWanted, NetworksWanted};
use ovstunnel_manager_api::{HostState, PutHost};
use ovstunnel_pki::{Authority, Leaf, Role};
use ovstunnel_server::config::{Role as ClientRole, TlsClient};
use ovstunnel_server::tls;
use time::OffsetDateTime;

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_watched_and_their_networks_proved() {
    let bench = bench().await;
    let hosts = [host(bench.dir.path(), 1).await, host(bench.dir.path(), 2).await];
    set_up(&hosts[0], 1, &[2]).await;
    set_up(&hosts[1], 2, &[1]).await;
    for (n, host) in hosts.iter().enumerate() {
        // The number is the one that its bridges have.
        let answer = bench.manager.put_host(&format!("h{}", n + 1), &put(&host.url, None), false).await.unwrap();
        assert_eq!((answer.outcome, answer.host.unwrap().number), (Outcome::Created, n as u64 + 1));
    }
    until("the network to be whole", async || bench.manager.proof("key-1001").await.ok().filter(|proof| proof.whole))
        .await;
    let overview = bench.manager.overview().await.unwrap();
    assert_eq!((overview.zone.as_str(), overview.tunnels.proven, overview.hosts.ok), ("dc1", 2, 2));
    assert!(!overview.controller);

    let tunnels = bench.manager.host_tunnels("h1").await.unwrap();
    let told: Vec<_> = tunnels.tunnels.iter().flatten().map(|t| (t.port.as_str(), t.key, t.to.as_str())).collect();
    assert_eq!((told, tunnels.age.is_some()), (vec![("t1001-1-2", 1001, "2")], true));
    assert_eq!(refused(bench.manager.host_tunnels("h9").await).0, Code::NotFound);

    let proof = bench.manager.proof("key-1001").await.unwrap();
    assert_eq!(proof.compute_digest(), proof.digest);
    assert!(proof.signature.is_some());
    hosts[0].client.delete_tunnel("xapi1", "t1001-1-2").await.unwrap();
    let reason = until("the missing tunnel", async || bench.manager.proof("key-1001").await.unwrap().reason).await;
    assert!(reason.starts_with("tunnel_missing on h1 to h2"), "{reason}");

    let plan = bench.manager.plan("key-1001").await.unwrap();
    assert_eq!(plan.requests.len(), 1, "{plan:?}");
    let request = &plan.requests[0];
    assert_eq!((request.host.as_str(), request.method.as_str()), ("h1", "PUT"));
    assert_eq!(request.body.as_ref().unwrap()["tunnels"][0]["remote_ip"], "192.0.2.2");
    // What was planned makes it whole, and nothing was sent before.
    let body: PutBridge = serde_json::from_value(request.body.clone().unwrap()).unwrap();
    hosts[0].client.put_bridge("xapi1", &body).await.unwrap();
    until("the network to be whole again", async || {
        bench.manager.proof("key-1001").await.ok().filter(|proof| proof.whole)
    })
    .await;
    let wanted = EventsWanted { network: Some("key-1001".into()), ..EventsWanted::default() };
    let kinds = until("the events", async || {
        let events = bench.manager.events(&wanted).await.unwrap().events;
        events.first().is_some_and(|event| event.kind == "network_whole").then_some(events)
    })
    .await;
    assert!(kinds.iter().any(|event| event.text.contains("tunnel_missing on h1 to h2")), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrongly_registered_host_is_renumbered_and_renamed() {
    let bench = bench().await;
    let hosts = [host(bench.dir.path(), 1).await, host(bench.dir.path(), 2).await];
    set_up(&hosts[0], 1, &[2]).await;
    set_up(&hosts[1], 2, &[1]).await;
    bench.manager.put_host("h1", &PutHost { number: Some(7), ..put(&hosts[0].url, None) }, false).await.unwrap();
    bench.manager.put_host("h2", &put(&hosts[1].url, None), false).await.unwrap();
    let troubles = async |name: &str| -> Vec<String> {
        bench.manager.host(name).await.unwrap().troubles.into_iter().map(|trouble| trouble.kind).collect()
    };
    until("the wrong number", async || troubles("h1").await.contains(&"host_id_mismatch".to_owned()).then_some(()))
        .await;

    let before = bench.manager.hosts().await.unwrap().hosts;
    for (host, number, code, in_the_way) in [
        ("h1", 2, Code::Conflict, Some("h2")),
        ("h1", 8, Code::Conflict, Some("1")),
        ("h9", 8, Code::NotFound, None),
        ("h1", 0, Code::InvalidRequest, None),
    ] {
        let error = bench.manager.renumber_host(host, number, false).await.unwrap_err();
        let problem = error.problem().expect("an answer");
        assert_eq!((problem.code, problem.in_the_way.as_deref()), (code, in_the_way), "{problem:?}");
    }
    assert_eq!(bench.manager.renumber_host("h1", 1, true).await.unwrap().outcome, Outcome::Updated);
    assert_eq!(bench.manager.rename_host("h1", "xen-1", true).await.unwrap().outcome, Outcome::Updated);
    assert_eq!(refused(bench.manager.rename_host("h1", "h2", false).await).0, Code::Conflict);
    let after: Vec<_> =
        bench.manager.hosts().await.unwrap().hosts.into_iter().map(|host| (host.name, host.number)).collect();
    assert_eq!(
        after,
        before.into_iter().map(|host| (host.name, host.number)).collect::<Vec<_>>(),
        "nothing is changed"
    );

    let answer = bench.manager.renumber_host("h1", 1, false).await.unwrap();
    assert_eq!((answer.outcome, answer.host.unwrap().number), (Outcome::Updated, 1));
    until("the network to be whole", async || bench.manager.proof("key-1001").await.ok().filter(|proof| proof.whole))
        .await;
    assert!(troubles("h1").await.is_empty());
    let answer = bench.manager.rename_host("h1", "xen-1", false).await.unwrap();
    assert_eq!((answer.outcome, answer.host.unwrap().name.as_str()), (Outcome::Updated, "xen-1"));
    assert_eq!(refused(bench.manager.host("h1").await).0, Code::NotFound);
    assert_eq!(bench.manager.renumber_host("xen-1", 1, false).await.unwrap().outcome, Outcome::Unchanged);
    until("the host under its new name", async || {
        let proof = bench.manager.proof("key-1001").await.ok()?;
        (proof.whole && proof.hosts.iter().any(|host| host.host == "xen-1")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_end_or_are_refused_are_told() {
    let bench = bench().await;
    let (dir, now) = (bench.dir.path(), OffsetDateTime::now_utc());
    let issue = |pki: &Path, name: &str, days| {
        let role = Role::Host { addresses: vec!["127.0.0.1".parse().unwrap()] };
        let leaf = Leaf { name: name.parse().unwrap(), role, days };
        Authority::open(pki).unwrap().issue_certificate(&leaf, now).unwrap();
        pki.join(name)
    };
    Authority::create(&dir.join("other"), "other", 90, now).unwrap();
    let soon = host_with(dir, 1, &issue(&dir.join("pki"), "soon", 10)).await;
    let strange = host_with(dir, 2, &issue(&dir.join("other"), "strange", 90)).await;
    let well = host(dir, 3).await;
    for (number, host) in (1..).zip([&soon, &strange, &well]) {
        bench.manager.put_host(&format!("h{number}"), &put(&host.url, Some(number)), false).await.unwrap();
    }
    let trouble = async |name: &'static str, state| {
        until(name, async || {
            let host = bench.manager.host(name).await.unwrap();
            host.troubles.into_iter().next().filter(|_| host.state == state)
        })
        .await
    };
    let ends = trouble("h1", HostState::Degraded).await;
    assert_eq!(ends.kind, "certificate_expires");
    assert!(ends.evidence.contains("CN=soon") && ends.evidence.contains("days, on "), "{ends:?}");
    let expires = bench.manager.host("h1").await.unwrap().certificate_expires.unwrap();
    let day = (now + time::Duration::days(10)).date();
    assert!(expires.starts_with(&day.to_string()), "{expires} is not on {day}");
    let refused = trouble("h2", HostState::Silent).await;
    assert_eq!(refused.kind, "certificate_refused");
    assert!(refused.evidence.contains("an authority that is not trusted"), "{refused:?}");
    assert!(refused.remedy.contains("`ca` of the manager's [hosts]"), "{refused:?}");
    assert_eq!(bench.manager.host("h2").await.unwrap().certificate_expires, None, "it was not taken");
    until("the third host", async || {
        let host = bench.manager.host("h3").await.unwrap();
        (host.state == HostState::Ok && host.troubles.is_empty()).then_some(())
    })
    .await;
    for (kind, name) in [("certificate_expires", "h1"), ("certificate_refused", "h2")] {
        let wanted = EventsWanted { kind: Some(kind.into()), ..EventsWanted::default() };
        let events = until(kind, async || {
            let events = bench.manager.events(&wanted).await.unwrap().events;
            (!events.is_empty()).then_some(events)
        })
        .await;
        assert_eq!(events.iter().filter_map(|event| event.host.as_deref()).collect::<Vec<_>>(), [name], "{events:?}");
    }
    assert_eq!(bench.manager.overview().await.unwrap().troubles, [], "the manager's own certificate is good");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_a_viewer_or_the_host_of_its_name() {
    let bench = bench().await;
    let (anybody, of_host) = (client(&bench, "anybody"), client(&bench, "h1"));
    let body = put("https://127.0.0.1:1", Some(1));
    let forbidden = |answer: Result<_, ClientError>| {
        let (code, detail) = refused(answer);
        assert_eq!(code, Code::Forbidden, "{detail}");
        detail
    };
    let detail = forbidden(anybody.put_host("h1", &body, false).await);
    assert_eq!(detail, "anybody is a viewer and may only read: PUT is for operators and admins");
    // Nobody of that name is registered yet; root on the Unix socket may register it.
    assert_eq!(of_host.hosts().await.unwrap().hosts, []);
    for name in ["h1", "h2"] {
        let body = if name == "h1" { body.clone() } else { put("https://127.0.0.1:2", Some(2)) };
        bench.manager.put_host(name, &body, false).await.unwrap();
    }
    assert_eq!(anybody.hosts().await.unwrap().hosts.len(), 2);
    assert_eq!(of_host.host("h1").await.unwrap().number, 1);
    let detail = forbidden(of_host.host("h2").await.map(|_| panic!("an answer")));
    assert_eq!(detail, "h1 is a host and may only read /v1/hosts/h1, and prepare and release NICs on itself");
    forbidden(of_host.put_host("h1", &body, false).await);
    forbidden(of_host.delete_host("h2", false).await);
    assert_eq!(bench.manager.hosts().await.unwrap().hosts.len(), 2);
    bench.manager.delete_host("h1", false).await.unwrap();
    assert_eq!(of_host.hosts().await.unwrap().hosts.len(), 1, "it is a viewer again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_ends_is_silent_and_is_connected_to_again() {
    let bench = bench().await;
    let one = host(bench.dir.path(), 1).await;
    bench.manager.put_host("h1", &put(&one.url, Some(1)), false).await.unwrap();
    let state = async |wanted| {
        until("the host's state", async || {
            let host = bench.manager.host("h1").await.unwrap();
            (host.state == wanted).then_some(host)
        })
        .await
    };
    state(HostState::Ok).await;
    one.serving.shutdown(Duration::ZERO).await;
    let silent = state(HostState::Silent).await;
    assert_eq!(silent.troubles[0].kind, "host_silent");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_planned_by_what_daemons_say() {
    let bench = bench().await;
    let hosts = [host(bench.dir.path(), 1).await, host(bench.dir.path(), 2).await];
    set_up(&hosts[0], 1, &[2]).await;
    set_up(&hosts[1], 2, &[1]).await;
    for (n, host) in hosts.iter().enumerate() {
        bench.manager.put_host(&format!("h{}", n + 1), &put(&host.url, None), false).await.unwrap();
    }
    let plan = until("both to be known", async || {
        let plan = bench.manager.upgrade_plan().await.unwrap();
        (plan.done == 2).then_some(plan)
    })
    .await;
    // A simulated switch sends no frames, which is no matter of the daemon's age.
    let lacks: Vec<String> =
        bench.manager.host("h1").await.unwrap().cannot.into_iter().map(|lacks| lacks.capability).collect();
    assert_eq!(
        (lacks, plan.waves.len(), plan.version.as_str()),
        (vec!["probe".to_owned()], 0, env!("CARGO_PKG_VERSION"))
    );
    let [_, second] = hosts;
    second.serving.shutdown(Duration::ZERO).await;
    let plan = until("the second to be silent", async || {
        let plan = bench.manager.upgrade_plan().await.unwrap();
        (!plan.waiting.is_empty()).then_some(plan)
    })
    .await;
    let waiting: Vec<(&str, &str)> = plan.waiting.iter().map(|w| (w.host.as_str(), w.reason.as_str())).collect();
    assert_eq!(waiting, [("h2", "it does not answer: which version it has is not known")]);
    assert_eq!(plan.done, 1, "nothing is to be done on the first");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_registrations_name_field_and_rule_and_change_nothing() {
    let bench = bench().await;
    let one = host(bench.dir.path(), 1).await;
    let m = &bench.manager;
    let invalid = |answer| {
        let (code, detail) = refused(answer);
        assert_eq!(code, Code::InvalidRequest, "{detail}");
        detail
    };
    assert!(
        invalid(m.put_host("h1", &put("http://h1", Some(1)), false).await).starts_with("api must be https://HOST:8443")
    );
    assert!(invalid(m.put_host("h 1", &put(&one.url, Some(1)), false).await).starts_with("host must be 1 to 63"));
    assert!(invalid(m.put_host("h1", &put(&one.url, Some(0)), false).await).starts_with("number must be"));
    let rack = PutHost { rack: Some("a/b".into()), ..put(&one.url, Some(1)) };
    assert!(invalid(m.put_host("h1", &rack, false).await).starts_with("rack must be"));
    let label = PutHost { label: Some("x".repeat(46)), ..put(&one.url, Some(1)) };
    assert!(invalid(m.put_host("h1", &label, false).await).starts_with("label must be 1 to 45"));
    let long = format!("https://{}:8443", "h".repeat(600));
    assert!(invalid(m.put_host("h1", &put(&long, Some(1)), false).await).starts_with("api must have at most 512"));
    assert_eq!(m.hosts().await.unwrap().hosts, []);

    // A dry run says what would be, and nothing is.
    assert_eq!(m.put_host("h1", &put(&one.url, Some(1)), true).await.unwrap().outcome, Outcome::Created);
    assert_eq!(m.hosts().await.unwrap().hosts, []);
    assert_eq!(m.put_host("h1", &put(&one.url, Some(1)), false).await.unwrap().outcome, Outcome::Created);
    assert_eq!(m.put_host("h1", &put(&one.url, Some(1)), false).await.unwrap().outcome, Outcome::Unchanged);
    let (code, detail) = refused(m.put_host("h1", &put(&one.url, Some(7)), false).await);
    assert_eq!((code, detail.contains("has the number 1")), (Code::Conflict, true), "{detail}");
    let (code, detail) = refused(m.put_host("h2", &put(&one.url, Some(2)), false).await);
    assert_eq!((code, detail.contains("host h1 has the address")), (Code::Conflict, true), "{detail}");
    let (code, detail) = refused(m.put_host("h2", &put("https://192.0.2.9:8443", Some(1)), false).await);
    assert_eq!((code, detail.contains("host h1 has number 1")), (Code::Conflict, true), "{detail}");
    let (code, detail) = refused(m.put_host("h3", &put("https://127.0.0.1:1", None), false).await);
    assert_eq!((code, detail.contains("give its `number`")), (Code::Unavailable, true), "{detail}");

    assert_eq!(refused(m.host("h9").await).0, Code::NotFound);
    assert_eq!(refused(m.proof("key-7").await).0, Code::NotFound);
    let state = NetworksWanted { states: vec!["nice".into()], ..NetworksWanted::default() };
    assert!(invalid(m.networks(&state).await.map(|_| panic!("an answer"))).starts_with("state must be"));
    assert_eq!(m.delete_host("h9", false).await.unwrap().outcome, Outcome::Unchanged);
    assert_eq!(m.delete_host("h1", true).await.unwrap().outcome, Outcome::Removed);
    assert_eq!(m.hosts().await.unwrap().hosts.len(), 1);
    assert_eq!(m.delete_host("h1", false).await.unwrap().outcome, Outcome::Removed);
    assert_eq!(m.hosts().await.unwrap().hosts, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_does_not_let_the_manager_in_any_more_is_told() {
    let bench = bench().await;
    let one = host(bench.dir.path(), 1).await;
    bench.manager.put_host("h1", &put(&one.url, Some(1)), false).await.unwrap();
    let state = async |wanted| {
        until("the host's state", async || {
            let host = bench.manager.host("h1").await.unwrap();
            (host.state == wanted).then_some(host)
        })
        .await
    };
    let lets_in = |name: &str| {
        let clients = vec![TlsClient { name: name.to_owned(), role: ClientRole::Viewer }];
        let files = ovstunnel_server::config::Tls { clients, ..one.tls.clone() };
        one.access.tls_store().unwrap().replace(tls::load_tls(&files).unwrap());
    };
    state(HostState::Ok).await;
    lets_in("somebody");
    let refused = state(HostState::Silent).await;
    assert_eq!(refused.troubles[0].kind, "certificate_refused", "{refused:?}");
    lets_in("zone");
    state(HostState::Ok).await;
}
