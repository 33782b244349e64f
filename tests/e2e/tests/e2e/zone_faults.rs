//! What others do to a switch, at either end of a mesh: the manager's proof fails by name, its remedy heals, and the network is whole.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::Severity;
use ovstunnel_e2e::{NodeConfig, OF_BRIDGE, OF_HOST, Place, SwitchFault, Zone};
use ovstunnel_lab::wait_until;
use ovstunnel_manager_api::{Finding, PathStep, StepResult};

const NETWORK: &str = "key-1001";

const PATIENCE: Duration = Duration::from_secs(30);

/// Told of a host for its operator to look at, though each frame still reaches each VM once.
const HARMLESS: [&str; 3] = ["fail_mode", "controller", "vif_down"];

fn findings(place: &Place, zone: &Zone) -> Result<Vec<Finding>> {
    let proof = zone.ask(&place.cloud, |client| async move { client.proof(NETWORK).await })?;
    ensure!(!proof.whole, "it is whole");
    Ok(proof.findings)
}

/// The remedy of this fault on a host, once the proof has it.
fn wait_for(place: &Place, zone: &Zone, fault: &SwitchFault, number: usize) -> Result<String> {
    let (on_host, subject) = (format!("h{number}"), own(fault.subject, number));
    wait_until(format!("{} of host {number}", fault.what), PATIENCE, || {
        let findings = findings(place, zone)?;
        let is_it = |finding: &&Finding| {
            finding.what == "unhealthy" && finding.host == on_host && finding.evidence.contains(&subject)
        };
        let found = findings.iter().find(is_it).with_context(|| format!("{findings:?}"))?;
        Ok::<String, anyhow::Error>(found.remedy.clone())
    })
}

/// Whoever asks why the one host does not reach the other is told of this host first.
fn expect_why(place: &Place, zone: &Zone, number: usize) -> Result<()> {
    let path = zone.ask(&place.cloud, |client| async move { client.path("h1", "h2", None).await })?;
    let first = path.steps.iter().find(|step| step.result == StepResult::Fail);
    let host = first.and_then(|step| step.host.as_deref());
    ensure!(host == Some(&format!("h{number}")) && first.is_some_and(|step| step.remedy.is_some()), "{path:#?}");
    Ok(())
}

/// The same where the manager may hear of that host no more: then the way is not known, and it is that host that is named.
fn expect_why_host(place: &Place, zone: &Zone, number: usize) -> Result<()> {
    let path = zone.ask(&place.cloud, |client| async move { client.path("h1", "h2", None).await })?;
    let of_host = |step: &&PathStep| step.host.as_deref() == Some(&format!("h{number}"));
    let told = path.steps.iter().filter(of_host).find(|step| step.result != StepResult::Ok && step.remedy.is_some());
    ensure!(path.reachable != Some(true) && told.is_some(), "{path:#?}");
    Ok(())
}

/// The same of a fault of the network below, by which the manager may hear of the host no more. The host's daemon knows the remedy.
fn wait_for_host(place: &Place, zone: &Zone, fault: &SwitchFault, number: usize) -> Result<String> {
    let on_host = format!("h{number}");
    wait_until(format!("{} of host {number}", fault.what), PATIENCE, || {
        let findings = findings(place, zone)?;
        let is_it = |finding: &Finding| {
            ["host_silent", "unhealthy"].contains(&finding.what.as_str()) && finding.host == on_host
        };
        ensure!(findings.iter().any(is_it), "{findings:?}");
        let ready = place.cloud.call_on_host(number, |client| async move { client.readyz().await })??;
        let reasons = ready.health.context("nothing is said of the host's health")?.reasons;
        let reason = reasons.iter().find(|reason| reason.what == fault.what).with_context(|| format!("{reasons:?}"))?;
        Ok::<String, anyhow::Error>(reason.remedy.clone())
    })
}

/// The same text, of this host's own VIF.
fn own(text: &str, number: usize) -> String {
    text.replace("vif1.0", &format!("vif{number}.0"))
}

fn plant(place: &Place, fault: &SwitchFault, number: usize) -> Result<()> {
    let other = place.vms[number % 2].mac().to_string();
    fault.commands.iter().try_for_each(|command| shell(place, number, &own(command, number).replace("MAC2", &other)))
}

fn shell(place: &Place, number: usize, command: &str) -> Result<()> {
    let host = place.cloud.node(number)?.host();
    host.run("sh", ["-ec", command]).map(drop).with_context(|| command.to_owned())
}

/// Does what a remedy says, and waits until the network is whole.
fn mend(place: &Place, zone: &Zone, remedy: &str, number: usize) -> Result<()> {
    shell(place, number, remedy.split('`').nth(1).with_context(|| format!("no command: {remedy}"))?)?;
    zone.wait_until_whole(&place.cloud, NETWORK)
}

#[test]
#[ignore = "takes long: scripts/test --long"]
fn what_others_do_to_either_end_is_named_by_the_proof() -> Result<()> {
    let config = NodeConfig { reconcile_interval: "2s".into(), ..NodeConfig::default() };
    let place = Place::new("zfault", config)?;
    let zone = Zone::new(&place.cloud)?;
    zone.add_all(&place.cloud)?;
    zone.wait_until_whole(&place.cloud, NETWORK)?;
    let is_meant = |fault: &&SwitchFault| fault.severity == Severity::Failed || !HARMLESS.contains(&fault.what);
    for (fault, number) in OF_BRIDGE.iter().filter(is_meant).flat_map(|fault| [(fault, 1), (fault, 2)]) {
        plant(&place, fault, number)?;
        let remedy = wait_for(&place, &zone, fault, number)?;
        expect_why(&place, &zone, number)?;
        mend(&place, &zone, &remedy, number).with_context(|| fault.commands.join("; "))?;
    }
    for (fault, number) in OF_HOST.iter().flat_map(|fault| [(fault, 1), (fault, 2)]) {
        plant(&place, fault, number)?;
        let remedy = wait_for_host(&place, &zone, fault, number)?;
        expect_why_host(&place, &zone, number)?;
        mend(&place, &zone, &remedy, number).with_context(|| fault.commands.join("; "))?;
    }
    place.expect_frames_once()?;
    zone.expect_untouched(&place.cloud)
}
