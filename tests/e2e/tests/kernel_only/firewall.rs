//! The host's own nftables, which a userspace datapath passes by: rules that keep tunnels out are named by the doctor, and what it says lets them in.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_api::{Finding, Level, TunnelKind};
use ovstunnel_e2e::{NodeConfig, Place};
use ovstunnel_lab::wait_until;

use crate::needs_the_kernel_datapath;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn rules_that_drop_tunnels_are_named_and_the_remedy_helps() -> Result<()> {
    for (kind, rules, subject) in [
        (TunnelKind::Vxlan, "policy drop; meta l4proto != udp accept", "4789"),
        (TunnelKind::Gre, "policy accept; ip saddr 192.0.2.0/24 ip protocol gre drop", "protocol 47"),
    ] {
        let tunnel = format!("kind = \"{kind}\"");
        let place = Place::new(&format!("nft{kind}"), NodeConfig { tunnel, ..NodeConfig::default() })?;
        needs_the_kernel_datapath(place.host()?)?;
        ensure!(firewall(&place)?.is_empty(), "{:?}", firewall(&place));
        let chain = format!("type filter hook input priority 0; {rules}");
        shell(&place, &format!("nft 'table inet filter {{ chain input {{ {chain}\n}}\n}}'"))?;
        ensure!(place.expect_frames_once().is_err(), "the rules drop nothing");
        let named = wait_until("the doctor to name the rules", SOON, || {
            let found = place.cloud.call_on_host(1, |client| async move { client.doctor(false).await })??.findings;
            let named = found.iter().find(|one| one.check == "firewall" && one.level == Level::Warn).cloned();
            named.ok_or_else(|| anyhow!("{found:#?}"))
        })?;
        let says = |word: &str| named.reason.contains(word);
        ensure!(named.subject.as_deref() == Some(subject) && says("192.0.2.2") && says("192.0.2.3"), "{named:?}");
        let remedy = named.remedy.clone().unwrap_or_default();
        shell(&place, remedy.split('`').nth(1).context("a command")?)?;
        wait_until("frames to come again", SOON, || place.expect_frames_once())?;
        ensure!(firewall(&place)?.is_empty(), "{:?}", firewall(&place));
    }
    Ok(())
}

/// What the first host's doctor says of firewalls.
fn firewall(place: &Place) -> Result<Vec<Finding>> {
    let found = place.cloud.call_on_host(1, |client| async move { client.doctor(false).await })??;
    Ok(found.findings.into_iter().filter(|one| one.check == "firewall" && one.level == Level::Warn).collect())
}

fn shell(place: &Place, command: &str) -> Result<()> {
    place.host()?.run("sh", ["-ec", command]).map(drop)
}
