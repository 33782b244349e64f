//! Sends frames and pings, and counts what came where.
//!
//! Every number comes from the sniffers inside the VMs. What should have come is worked out here from the networks alone,
//! not asked of the switches. Nothing here prints.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_lab::{Delivery, Kind, Lab, Patience, Probe, Vm};

use crate::report::{FrameCount, FrameKind, PingCount};
use crate::stage::{Stage, Tenant, milliseconds};

/// Echo requests to each VM.
const PINGS: u64 = 3;

/// VMs that ping at the same time.
const PINGERS: usize = 16;

/// Where all copies are to come: much time for a slow machine, for none is needed if nothing is lost.
const ARRIVING: Patience =
    Patience { quiet: Duration::from_secs(2), settled: Duration::from_millis(100), at_most: Duration::from_secs(10) };

/// Where none is to come, one has to wait anyway.
const NOT_ARRIVING: Patience = Patience {
    quiet: Duration::from_millis(400),
    settled: Duration::from_millis(400),
    at_most: Duration::from_secs(3),
};

/// A frame to send, and what is known of it.
struct Shot<'a> {
    tenant: &'a Tenant,
    kind: FrameKind,
    from: &'a Vm,
    to: Option<&'a Vm>,
}

/// Whether a network's dropping of IPv6 is tried: it cannot be while the switch has no flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv6Drop {
    Tried,
    LeftOut,
}

/// One frame of each kind from each VM of each network.
pub fn frames(stage: &Stage, ipv6_drop: Ipv6Drop) -> Result<Vec<FrameCount>> {
    let flooded: Vec<Shot<'_>> = stage.tenants.iter().flat_map(flooded).collect();
    let (dropped, forwarded): (Vec<_>, Vec<_>) = flooded.into_iter().partition(Shot::is_dropped);
    let mut counts = send(stage, forwarded, ARRIVING)?;
    // Every VM has sent something by now, so that all switches know where it is.
    counts.extend(send(stage, stage.tenants.iter().flat_map(known).collect(), ARRIVING)?);
    if ipv6_drop == Ipv6Drop::Tried {
        counts.extend(send(stage, dropped, NOT_ARRIVING)?);
    }
    Ok(counts)
}

/// One broadcast frame from the first VM, counted for a moment only.
pub fn one_broadcast(stage: &Stage, at_most: Duration) -> Result<Vec<FrameCount>> {
    let shots = stage.tenants.iter().take(1).flat_map(flooded).take(1).collect();
    send(stage, shots, Patience { quiet: at_most, settled: at_most, at_most })
}

/// Pings between every pair of VMs of each network, in both directions.
pub fn pings(stage: &Stage) -> Result<Vec<PingCount>> {
    let mut counts = Vec::new();
    for tenant in &stage.tenants {
        for some in tenant.vms.chunks(PINGERS) {
            let rows: Result<Vec<Vec<PingCount>>> = thread::scope(|scope| {
                let pinging: Vec<_> = some.iter().map(|from| scope.spawn(move || ping_all(tenant, from))).collect();
                pinging.into_iter().map(|row| row.join().map_err(|_| anyhow!("a pinging thread panicked"))?).collect()
            });
            counts.extend(rows?.into_iter().flatten());
        }
    }
    Ok(counts)
}

fn ping_all(tenant: &Tenant, from: &Vm) -> Result<Vec<PingCount>> {
    let ping = |to: &Vm| {
        let report = from.ping(to.ip(), PINGS)?;
        Ok(PingCount {
            network: tenant.name.to_owned(),
            from: from.name().to_owned(),
            to: to.name().to_owned(),
            sent: report.sent,
            received: report.received,
            duplicates: report.duplicates,
            rtt_min_ms: milliseconds(report.rtt_min),
            rtt_mean_ms: milliseconds(report.rtt_mean),
            rtt_max_ms: milliseconds(report.rtt_max),
        })
    };
    tenant.vms.iter().filter(|to| to.name() != from.name()).map(ping).collect()
}

/// All flooded kinds from all VMs, beginning with all kinds from the first.
fn flooded(tenant: &Tenant) -> impl Iterator<Item = Shot<'_>> {
    let each = move |from| FrameKind::FLOODED.map(move |kind| Shot { tenant, kind, from, to: None });
    tenant.vms.iter().flat_map(each)
}

/// Known unicast from each VM to one on another host: half of the VMs further on.
fn known(tenant: &Tenant) -> impl Iterator<Item = Shot<'_>> {
    let vms = &tenant.vms;
    let target = move |index: usize| &vms[(index + vms.len() / 2) % vms.len()];
    let shot = move |(index, from)| Shot { tenant, kind: FrameKind::KnownUnicast, from, to: Some(target(index)) };
    vms.iter().enumerate().map(shot)
}

fn send(stage: &Stage, shots: Vec<Shot<'_>>, patience: Patience) -> Result<Vec<FrameCount>> {
    if shots.is_empty() {
        return Ok(Vec::new());
    }
    let lab: &Lab = stage.cloud.lab();
    let probes: Vec<Probe> = shots.iter().map(|shot| Probe::new(shot.from, shot.lab_kind())).collect();
    let lost = || lab.vms().iter().map(|vm| vm.heard().lost).sum::<u32>();
    let lost_before = lost();
    let deliveries = lab.deliver_with(&probes, patience)?;
    let lost = lost() - lost_before;
    Ok(shots.iter().zip(deliveries).map(|(shot, delivery)| shot.count(&delivery, lost)).collect())
}

impl Shot<'_> {
    fn is_dropped(&self) -> bool {
        self.kind.is_ipv6() && self.tenant.network.ipv6 == Ipv6Policy::Drop
    }

    fn lab_kind(&self) -> Kind {
        match (self.kind, self.to) {
            (FrameKind::KnownUnicast, Some(to)) => to.as_target(),
            (FrameKind::LinkLocalMulticast, _) => Kind::LINK_LOCAL_MULTICAST,
            (FrameKind::Multicast, _) => Kind::SSDP_MULTICAST,
            (FrameKind::Ipv6Multicast, _) => Kind::IPV6_ALL_NODES,
            (FrameKind::UnknownUnicast, _) => Kind::UnknownUnicast,
            (FrameKind::Ipv6UnknownUnicast, _) => Kind::Ipv6UnknownUnicast,
            (FrameKind::OtherProtocol, _) => Kind::OtherProtocol,
            (FrameKind::Broadcast | FrameKind::KnownUnicast, _) => Kind::Broadcast,
        }
    }

    /// The VMs that are to get it once; all others are to get nothing.
    fn expected(&self) -> Vec<String> {
        let should = |vm: &&Vm| match self.to {
            _ if self.is_dropped() => false,
            Some(to) => vm.name() == to.name(),
            None => vm.name() != self.from.name(),
        };
        self.tenant.vms.iter().filter(should).map(|vm| vm.name().to_owned()).collect()
    }

    fn count(&self, delivery: &Delivery, lost_by_sniffers: u32) -> FrameCount {
        let copies: BTreeMap<String, u32> = delivery.copies.iter().map(|(vm, n)| (vm.to_string(), *n)).collect();
        let mut count = FrameCount {
            network: self.tenant.name.to_owned(),
            kind: self.kind,
            from: self.from.name().to_owned(),
            to: self.to.map(|to| to.name().to_owned()),
            copies,
            expected_once_at: self.expected(),
            lost_by_sniffers,
            ok: false,
        };
        // A VM that is missing in the copies has not been listened to.
        let heard = count.expected_once_at.iter().all(|vm| count.copies.contains_key(vm));
        let right = count.copies.iter().all(|(vm, copies)| *copies == count.expected_at(vm));
        count.ok = heard && right && count.lost_by_sniffers == 0;
        count
    }
}
