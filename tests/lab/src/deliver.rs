//! Sends frames and counts how often each VM got each of them.
//!
//! This is what split horizon is measured with. It waits for the copies that are expected, then for quiet, so that a copy
//! too many is seen as well. It reports; the `expect_…` methods judge, and say what came instead.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{
    frame::{Kind, Token},
    lab::Lab,
    vm::Vm,
    wait::{unhurried, wait_until},
};

/// Copies that are under way at the same time. More could overflow the receive buffer of a switch's packet socket, which
/// holds some 250 frames, or the kernel's queue for all veths of a processor, which holds 1,000: then a loss in the lab
/// would look like a loss in the network.
const COPIES_UNDER_WAY: usize = 256;

/// How long the frames of a window may make no progress before the next window is sent.
const STALL: Duration = Duration::from_millis(30);

/// How long to wait for copies.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Time without a new copy after which those still missing are taken as lost.
    pub quiet: Duration,
    /// Time without a new copy after which it is over, once every VM has what it should.
    pub settled: Duration,
    /// Time after which it is over even if copies still come, as in a storm.
    pub at_most: Duration,
}

impl Default for Patience {
    /// 150 ms, 40 ms and 2 s.
    fn default() -> Self {
        let [quiet, settled, at_most] = [150, 40, 2000].map(Duration::from_millis);
        Self { quiet, settled, at_most }
    }
}

/// One frame to send.
#[derive(Clone, Debug)]
pub struct Probe {
    from: Vm,
    kind: Kind,
}

impl Probe {
    /// A frame of this kind from this VM.
    pub fn new(from: &Vm, kind: Kind) -> Self {
        Self { from: from.clone(), kind }
    }
}

/// How often each VM got one frame.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The VM that sent it.
    pub from: Arc<str>,
    /// The kind of frame.
    pub kind: Kind,
    /// Copies by the name of the VM: every VM of the lab but the sender.
    pub copies: BTreeMap<Arc<str>, u32>,
    /// Frames that sniffers lost in their life so far. If it is not 0, counts are lower bounds.
    pub lost_by_sniffers: u32,
    /// The VMs that should have got it.
    expected: Vec<Arc<str>>,
}

impl Delivery {
    /// How often this VM got it.
    pub fn copies_at(&self, vm: &Vm) -> u32 {
        self.copies.get(vm.name()).copied().unwrap_or(0)
    }

    /// The most copies that any VM got.
    pub fn max_copies(&self) -> u32 {
        self.copies.values().copied().max().unwrap_or(0)
    }

    /// An error unless it came exactly once where it should and nowhere else: at every other VM of the sender's network,
    /// or for known unicast at its target.
    ///
    /// # Errors
    /// What came where instead; also when a sniffer has lost frames, because then nobody knows.
    pub fn expect_once(&self) -> Result<()> {
        self.expect(&self.expected)
    }

    /// An error unless it came exactly once at each of these VMs and nowhere else.
    ///
    /// # Errors
    /// As for [`Delivery::expect_once`].
    pub fn expect_once_at(&self, vms: &[&Vm]) -> Result<()> {
        self.expect(&vms.iter().map(|vm| vm.shared_name()).collect::<Vec<_>>())
    }

    /// An error if it came anywhere.
    ///
    /// # Errors
    /// As for [`Delivery::expect_once`].
    pub fn expect_nowhere(&self) -> Result<()> {
        self.expect(&[])
    }

    fn expect(&self, where_to: &[Arc<str>]) -> Result<()> {
        let wrong: Vec<String> = self
            .copies
            .iter()
            .map(|(vm, copies)| (vm, *copies, u32::from(where_to.contains(vm))))
            .filter(|(_, copies, wanted)| copies != wanted)
            .map(|(vm, copies, wanted)| format!("{vm} got {copies}, not {wanted}"))
            .collect();
        if !wrong.is_empty() {
            bail!("{self}: {}", wrong.join("; "));
        }
        if self.lost_by_sniffers > 0 {
            bail!("{self}: the counts are not exact, sniffers have lost {} frames", self.lost_by_sniffers);
        }
        Ok(())
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.kind, self.from)
    }
}

impl Lab {
    /// Sends one frame and returns how often each VM got it, after quiet or 2 s.
    ///
    /// # Errors
    /// When it cannot be sent or counted.
    pub fn deliver(&self, from: &Vm, kind: Kind) -> Result<Delivery> {
        let mut deliveries = self.deliver_all(&[Probe::new(from, kind)])?;
        deliveries.pop().ok_or_else(|| anyhow::anyhow!("a frame without a delivery"))
    }

    /// Sends many frames and waits for quiet once: thousands take little longer than one. The answers are in the order of
    /// the probes.
    ///
    /// # Errors
    /// When one cannot be sent or counted.
    pub fn deliver_all(&self, probes: &[Probe]) -> Result<Vec<Delivery>> {
        self.deliver_with(probes, Patience::default())
    }

    /// As [`Lab::deliver_all`], with a patience of its own.
    ///
    /// # Errors
    /// When a frame cannot be sent or counted.
    pub fn deliver_with(&self, probes: &[Probe], patience: Patience) -> Result<Vec<Delivery>> {
        let tokens = self.shared().reserve_tokens(probes.len())?;
        let vms = self.vms();
        let watch = Watch { vms: &vms, first: tokens.start, expected: expected(&vms, probes) };
        let numbered: Vec<(u32, &Probe)> = tokens.clone().zip(probes).collect();
        let window = (COPIES_UNDER_WAY / vms.len().max(1)).clamp(4, 64);
        for window in numbered.chunks(window) {
            for (number, probe) in window {
                let token = Token { mark: self.shared().mark(), number: *number };
                probe.from.send(&probe.kind.frame(probe.from.sender(), token))?;
            }
            let first = window[0].0;
            let patience = Patience { quiet: STALL, settled: Duration::ZERO, ..patience };
            watch.wait(first..first + window.len() as u32, patience);
        }
        watch.wait(tokens.clone(), patience);
        watch.deliveries(probes, tokens)
    }

    /// Every kind of flooded frame from every VM, once.
    pub fn every_flooded_kind(&self) -> Vec<Probe> {
        let each = |vm: Vm| Kind::FLOODED.map(|kind| Probe::new(&vm, kind));
        self.vms().into_iter().flat_map(each).collect()
    }

    /// Has every VM announce itself, and waits for quiet: from then on unicast among them is known to all switches.
    ///
    /// # Errors
    /// When a frame cannot be sent.
    pub fn announce_all(&self) -> Result<()> {
        let probes: Vec<Probe> = self.vms().iter().map(|vm| Probe::new(vm, Kind::Broadcast)).collect();
        self.deliver_all(&probes).map(drop)
    }

    /// An error if in the life of the lab any frame came to any VM more than once. For the end of a test.
    ///
    /// # Errors
    /// Which VM got how many copies of one frame; also when a sniffer failed or lost frames, because then nobody knows.
    pub fn expect_no_duplicates(&self) -> Result<()> {
        for vm in self.vms() {
            let heard = vm.heard();
            if heard.max_copies > 1 || heard.lost > 0 || heard.failure.is_some() {
                bail!("{vm}: {heard:?}");
            }
        }
        Ok(())
    }
}

/// The VMs that should get each probe, as indices of `vms`.
fn expected(vms: &[Vm], probes: &[Probe]) -> Vec<Vec<usize>> {
    let should_get = |probe: &Probe, vm: &Vm| match probe.kind {
        Kind::KnownUnicast { mac, .. } => vm.mac() == mac,
        Kind::Routed(packet) => vm.ip() == packet.to,
        _ => vm.network() == probe.from.network() && vm.name() != probe.from.name(),
    };
    probes.iter().map(|probe| (0..vms.len()).filter(|index| should_get(probe, &vms[*index])).collect()).collect()
}

/// The sniffers of all VMs, and what they should hear.
struct Watch<'a> {
    vms: &'a [Vm],
    /// The token of the first probe.
    first: u32,
    /// For each probe.
    expected: Vec<Vec<usize>>,
}

impl Watch<'_> {
    /// Waits until the tokens of this range are where they should be and no further copy comes, or patience ends.
    fn wait(&self, tokens: Range<u32>, patience: Patience) {
        let (mut seen, mut last_change) = (0, Instant::now());
        let look = || {
            let copies = self.copies(tokens.clone());
            let total: u64 = copies.iter().flatten().map(|copies| u64::from(*copies)).sum();
            if total != seen {
                (seen, last_change) = (total, Instant::now());
            }
            let quiet = if self.is_complete(&copies, tokens.clone()) { patience.settled } else { patience.quiet };
            if last_change.elapsed() >= unhurried(quiet) { Ok(()) } else { Err("copies still come") }
        };
        // Copies that never stop are a result, not an error: the counts tell.
        let _ = wait_until("quiet", patience.at_most, look);
    }

    fn copies(&self, tokens: Range<u32>) -> Vec<Vec<u32>> {
        self.vms.iter().map(|vm| vm.sniffer().copies(tokens.clone())).collect()
    }

    /// Whether each VM has at least one copy of each frame it should get.
    fn is_complete(&self, copies: &[Vec<u32>], tokens: Range<u32>) -> bool {
        let offset = (tokens.start - self.first) as usize;
        let expected = self.expected[offset..].iter().take(tokens.len()).enumerate();
        expected
            .flat_map(|(index, vms)| vms.iter().map(move |vm| (index, *vm)))
            .all(|(index, vm)| copies[vm][index] > 0)
    }

    fn deliveries(&self, probes: &[Probe], tokens: Range<u32>) -> Result<Vec<Delivery>> {
        let mut lost_by_sniffers = 0;
        for vm in self.vms {
            let heard = vm.heard();
            if let Some(failure) = heard.failure {
                bail!("the sniffer of {vm} has failed: {failure}");
            }
            lost_by_sniffers += heard.lost;
        }
        let copies = self.copies(tokens);
        let delivery = |(index, probe): (usize, &Probe)| Delivery {
            from: probe.from.shared_name(),
            kind: probe.kind,
            copies: (self.vms.iter().zip(&copies))
                .filter(|(vm, _)| vm.name() != probe.from.name())
                .map(|(vm, copies)| (vm.shared_name(), copies[index]))
                .collect(),
            lost_by_sniffers,
            expected: self.expected[index].iter().map(|vm| self.vms[*vm].shared_name()).collect(),
        };
        Ok(probes.iter().enumerate().map(delivery).collect())
    }
}
