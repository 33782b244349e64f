//! Streams frames while a test does something else, and says afterwards what each VM got of them.
//!
//! For what must hold at every moment: while tunnels are added, while a switch restarts.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};

use crate::{
    deliver::Patience,
    frame::{Kind, Token},
    lab::Lab,
    vm::Vm,
    wait::{unhurried, wait_until},
};

/// A running stream of frames from one VM. Dropping it stops it.
#[derive(Debug)]
pub struct Stream {
    from: Vm,
    receivers: Vec<Vm>,
    stop: Arc<AtomicBool>,
    sender: Option<JoinHandle<Result<Vec<u32>>>>,
}

/// What one VM got of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Frames that came exactly once.
    pub once: u64,
    /// Frames that did not come.
    pub missed: u64,
    /// Frames that came more than once.
    pub repeated: u64,
    /// The most copies of one frame.
    pub max_copies: u32,
}

/// What became of a stream.
#[derive(Clone, Debug)]
pub struct StreamReport {
    /// Frames sent.
    pub sent: u64,
    /// By the name of the VM: those that it was to be looked for at.
    pub shares: BTreeMap<Arc<str>, Share>,
}

impl StreamReport {
    /// An error if any frame came to any VM more than once. Lost ones are accepted: a switch that restarts loses frames.
    ///
    /// # Errors
    /// Who got how many.
    pub fn expect_no_duplicates(&self) -> Result<()> {
        if self.shares.values().any(|share| share.repeated > 0) { bail!("{self}") } else { Ok(()) }
    }

    /// Frames that did not come, of each VM that they were to come to.
    pub fn missed(&self) -> u64 {
        self.shares.values().map(|share| share.missed).sum()
    }

    /// An error unless every frame came to every VM exactly once.
    ///
    /// # Errors
    /// Who got how many.
    pub fn expect_once(&self) -> Result<()> {
        if self.sent == 0 || self.shares.values().any(|share| share.once != self.sent) {
            bail!("{self}")
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for StreamReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames sent", self.sent)?;
        for (vm, Share { once, missed, repeated, max_copies }) in &self.shares {
            write!(f, "; {vm}: {once} once, {missed} never, {repeated} more than once (up to {max_copies} times)")?;
        }
        Ok(())
    }
}

impl Lab {
    /// Sends frames of these kinds from this VM in turn, one at each interval, until the returned value is told to stop.
    ///
    /// # Errors
    /// When there is no kind.
    pub fn stream(&self, from: &Vm, kinds: &[Kind], interval: Duration) -> Result<Stream> {
        let others = |vm: &Vm| vm.network() == from.network() && vm.name() != from.name();
        self.stream_to(from, kinds, interval, self.vms().into_iter().filter(others).collect())
    }

    /// The same, to be looked for at these VMs.
    ///
    /// # Errors
    /// When there is no kind.
    pub fn stream_to(&self, from: &Vm, kinds: &[Kind], interval: Duration, receivers: Vec<Vm>) -> Result<Stream> {
        if kinds.is_empty() {
            bail!("a stream needs at least one kind of frame");
        }
        let stop = Arc::new(AtomicBool::new(false));
        let sender = thread::spawn({
            let (vm, kinds, stop) = (from.clone(), kinds.to_vec(), Arc::clone(&stop));
            move || send(&vm, &kinds, interval, &stop)
        });
        Ok(Stream { from: from.clone(), receivers, stop, sender: Some(sender) })
    }
}

impl Stream {
    /// Stops sending. Of several streams each is to end before the first is asked: frames of others keep it from quiet.
    pub fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Stops sending, waits for quiet, and returns what each VM got.
    ///
    /// # Errors
    /// When a frame could not be sent, or a sniffer lost frames or failed.
    pub fn stop(mut self) -> Result<StreamReport> {
        self.end();
        let sender = self.sender.take().ok_or_else(|| anyhow!("a stream without a sender"))?;
        let tokens = sender.join().map_err(|_| anyhow!("the sender of a stream panicked"))?;
        let tokens = tokens.with_context(|| format!("stream from {}", self.from))?;
        self.wait_for_quiet();
        let mut shares = BTreeMap::new();
        for vm in &self.receivers {
            let heard = vm.heard();
            if heard.lost > 0 || heard.failure.is_some() {
                bail!("the counts of {vm} are not exact: {heard:?}");
            }
            shares.insert(vm.shared_name(), share(vm, &tokens));
        }
        Ok(StreamReport { sent: tokens.len() as u64, shares })
    }

    fn wait_for_quiet(&self) {
        let patience = Patience::default();
        let (mut seen, mut last_change) = (0, Instant::now());
        // Other frames of the lab may go on: then this ends after the longest time.
        let _ = wait_until("quiet", patience.at_most, || {
            let heard: u64 = self.receivers.iter().map(|vm| vm.heard().frames).sum();
            if heard != seen {
                (seen, last_change) = (heard, Instant::now());
            }
            if last_change.elapsed() >= unhurried(patience.quiet) { Ok(()) } else { Err("copies still come") }
        });
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end();
    }
}

fn send(from: &Vm, kinds: &[Kind], interval: Duration, stop: &AtomicBool) -> Result<Vec<u32>> {
    let host = from.host();
    let lab = host.lab();
    let mut tokens = Vec::new();
    let mut next = Instant::now();
    for kind in kinds.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        thread::sleep(next.saturating_duration_since(Instant::now()));
        next += interval;
        let number = lab.reserve_tokens(1)?.start;
        from.send(&kind.frame(from.sender(), Token { mark: lab.mark(), number }))?;
        tokens.push(number);
    }
    Ok(tokens)
}

fn share(vm: &Vm, tokens: &[u32]) -> Share {
    let mut share = Share::default();
    let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return share };
    let copies = vm.sniffer().copies(*first..last + 1);
    for token in tokens {
        let count = copies[(token - first) as usize];
        match count {
            0 => share.missed += 1,
            1 => share.once += 1,
            _ => share.repeated += 1,
        }
        share.max_copies = share.max_copies.max(count);
    }
    share
}
