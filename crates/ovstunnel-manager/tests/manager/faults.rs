//! Faults, maintenance and the way between two hosts, as a client of the API sees them. Switches are simulated.

use crate::common::{Bench, Host, bench, host, put, refused, set_up, until};
use ovstunnel_api::Code;
use ovstunnel_client::FaultsWanted;
use ovstunnel_manager_api::StepResult;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

fn after(time: Duration) -> Option<String> {
    Some((OffsetDateTime::now_utc() + time).format(&Rfc3339).unwrap())
}

/// Two hosts with a tunnel from the first to the second, and none back.
async fn one_sided() -> (Bench, [Host; 2]) {
    let bench = bench().await;
    let hosts = [host(bench.dir.path(), 1).await, host(bench.dir.path(), 2).await];
    set_up(&hosts[0], 1, &[2]).await;
    set_up(&hosts[1], 2, &[]).await;
    for (n, host) in hosts.iter().enumerate() {
        bench.manager.put_host(&format!("h{}", n + 1), &put(&host.url, None), false).await.unwrap();
    }
    (bench, hosts)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_names_its_place_and_is_silent_during_maintenance() {
    let (bench, _hosts) = one_sided().await;
    let all = FaultsWanted::default();
    let ids = async |wanted: &FaultsWanted| {
        let list = bench.manager.faults(wanted).await.unwrap();
        (list.faults.into_iter().map(|fault| fault.id).collect::<Vec<_>>(), list.silenced)
    };
    let missing = vec!["one_sided:key-1001:h2:h1".to_owned()];
    until("the fault", async || (ids(&all).await == (missing.clone(), 0)).then_some(())).await;
    assert_eq!(bench.manager.overview().await.unwrap().faults, 1);
    let of = |host: Option<&str>, network: Option<&str>, kind: Option<&str>| FaultsWanted {
        host: host.map(Into::into),
        network: network.map(Into::into),
        kind: kind.map(Into::into),
        limit: Some(1),
    };
    assert_eq!(ids(&of(Some("h1"), Some("key-1001"), Some("one_sided"))).await.0, missing);
    assert!(ids(&of(None, None, Some("pair"))).await.0.is_empty());
    assert_eq!(refused(bench.manager.faults(&of(Some("h9"), None, None)).await).0, Code::NotFound);
    assert_eq!(refused(bench.manager.faults(&of(None, Some("nothing"), None)).await).0, Code::NotFound);

    let until_then = after(Duration::hours(2));
    let answer = bench.manager.set_maintenance("h1", until_then.clone()).await.unwrap();
    assert!(answer.maintenance.is_some(), "{answer:?}");
    until("silence", async || (ids(&all).await == (vec![], 1)).then_some(())).await;
    for bad in [after(Duration::days(31)), after(Duration::seconds(-5)), Some("tomorrow".to_owned())] {
        let (code, detail) = refused(bench.manager.set_maintenance("h1", bad.clone()).await);
        assert_eq!(code, Code::InvalidRequest);
        assert!(detail.contains("30 days"), "{bad:?}: {detail}");
    }
    assert!(bench.manager.host("h1").await.unwrap().maintenance.is_some(), "what is refused changes nothing");
    assert_eq!(refused(bench.manager.set_maintenance("h9", until_then).await).0, Code::NotFound);
    bench.manager.set_maintenance("h1", None).await.unwrap();
    until("the fault again", async || (ids(&all).await == (missing.clone(), 0)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_names_the_failing_step_and_refuses_an_ambiguous_question() {
    let (bench, _hosts) = one_sided().await;
    let (path, step) = until("the step", async || {
        let path = bench.manager.path("h1", "h2", None).await.ok()?;
        let step = path.steps[path.first_failure? as usize].clone();
        // What hosts have just set up may settle.
        (step.check == "tunnel").then_some((path, step))
    })
    .await;
    assert_eq!((path.reachable, step.host.as_deref(), step.check.as_str()), (Some(false), Some("h2"), "tunnel"));
    assert!(step.evidence.starts_with("tunnel_missing"), "{step:?}");
    assert!(
        path.steps.iter().filter(|step| step.check.starts_with("frame")).all(|step| step.result != StepResult::Fail)
    );
    // No VM runs there: no frame is followed to a place that it cannot come out of.
    let told = path.steps.iter().any(|step| step.check == "frame_in" && step.evidence.contains("no VIF with a device"));
    assert!(told, "{path:#?}");
    let (code, detail) = refused(bench.manager.path("h1", "web", None).await);
    assert!(code == Code::NotFound && detail.contains("VM, MAC or IP address web"), "{detail}");
    assert_eq!(refused(bench.manager.path("", "h2", None).await).0, Code::InvalidRequest);
    assert_eq!(refused(bench.manager.path("h1", "h2", Some("nothing")).await).0, Code::NotFound);
}
