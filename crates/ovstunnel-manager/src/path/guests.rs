//! Where a VM itself is seen, and what its own VIF does to its frames. Must not ask anybody but by [`Asked`].

use ovstunnel_manager_api::{PathStep, StepResult};
use ovstunnel_store::NicRow;

use super::asked::{Asked, Learnt};
use super::step::{host_command, new_step, with_remedy};
use crate::zone::Side;

/// Where the VM itself is seen.
pub(super) fn vif_step(side: &Side, asked: &Asked, nic: Option<&NicRow>) -> Option<PathStep> {
    let of = |result, evidence| Some(new_step(Some(side), "vif", result, evidence));
    let mac = nic.and_then(|nic| nic.mac).map(|mac| mac.to_string()).unwrap_or_default();
    match &asked.learnt {
        Err(_) if side.bridge.is_none() || !side.is_connected => None,
        Err(why) => of(StepResult::Unknown, why.clone()),
        Ok(Learnt::NoAddress) if asked.vifs.is_empty() => {
            let unknown = of(StepResult::Unknown, "no VIF with a device is on the bridge".to_owned())?;
            Some(with_remedy(
                unknown,
                "start a VM of the network on the host",
                vec![host_command(side, "ovstunnelctl bridge list -o wide")],
            ))
        }
        Ok(_) if asked.vif_down().is_some() => {
            let reason = asked.vif_down()?;
            let failed = of(StepResult::Fail, format!("{}: {}", reason.what, reason.evidence))?;
            Some(with_remedy(failed, &reason.remedy, vec![host_command(side, "ovstunnelctl doctor")]))
        }
        Ok(Learnt::NoAddress) => of(StepResult::Ok, format!("VIFs on the bridge: {}", asked.vifs.join(", "))),
        Ok(Learnt::At(port, age)) if asked.vifs.contains(port) => {
            let age = age.map(|age| format!(" {age} s ago")).unwrap_or_default();
            of(StepResult::Ok, format!("{mac} was heard of{age} behind {port}"))
        }
        Ok(Learnt::At(port, _)) => {
            let evidence = format!("{mac} was learnt behind {port}, which is no VIF of this host: the VM is elsewhere");
            let failed = of(StepResult::Fail, evidence)?;
            Some(with_remedy(failed, "say where the NIC is now: `ovstunnelctl zone nic prepare`", Vec::new()))
        }
        // Its flows know where each address is.
        Ok(Learnt::Nowhere) if asked.is_vpc && asked.entry_vif().is_some() => {
            of(StepResult::Ok, format!("{mac} is the card of {}", asked.entry_vif()?))
        }
        Ok(Learnt::Nowhere) => {
            let unknown = of(StepResult::Unknown, format!("nothing was heard from {mac} on this bridge lately"))?;
            Some(with_remedy(
                unknown,
                "see whether the VM runs and its interface is up, and have it send something",
                Vec::new(),
            ))
        }
    }
}

/// Whether the limit of the VIF's broadcast drops what it sends, at this moment; nothing where it has none.
pub(super) async fn limit_step(side: &Side, asked: &Asked) -> Option<PathStep> {
    let (vif, before) = (asked.entry_vif()?, asked.limit.as_ref()?);
    let (after, watched) = asked.limit_again().await?;
    let (pps, dropped) = (after.pps, after.dropped.saturating_sub(before.dropped));
    if dropped == 0 {
        let evidence = format!(
            "{vif} is within its limit of {pps} broadcast and multicast frames a second; {} of {} were dropped in the {:.0} s since it was set",
            after.dropped, after.frames, after.seconds
        );
        return Some(new_step(Some(side), "limit", StepResult::Ok, evidence));
    }
    let evidence = format!(
        "{vif} sends more than its limit of {pps} broadcast and multicast frames a second: {dropped} of {} were dropped within {} ms, and what the VM asks for by ARP or \
         DHCP may be among them",
        after.frames.saturating_sub(before.frames),
        watched.as_millis()
    );
    let failed = new_step(Some(side), "limit", StepResult::Fail, evidence);
    let see = host_command(side, &format!("tcpdump -nei {vif} -c 50 'ether multicast'"));
    let remedy =
        "see what the VM floods and end that in the VM, or allow more: `[network] vif_broadcast_pps` on the host";
    Some(with_remedy(failed, remedy, vec![see]))
}
