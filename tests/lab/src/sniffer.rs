//! Hears everything that reaches a VM and counts how often each token came.
//!
//! A thread for each VM reads a packet socket on `eth0`, which is promiscuous, so that frames to addresses nobody has are
//! heard too. Frames that the VM sends itself are not counted. Memory is bounded by the number of frames the lab has sent
//! (four bytes each), not by what arrives: a storm makes counts larger, nothing else. Where the kernel had to throw frames
//! away because they came too fast, that number is known, and counts are then lower bounds.

use std::{
    collections::BTreeMap,
    io::Write,
    ops::Range,
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::{Context, Result};
use macaddr::MacAddr6;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use crate::{
    frame::Token,
    netns::Namespace,
    packet::{PacketSocket, Received},
};

/// The most frames a lab can send in its life: 16 MiB of counters in each VM.
pub(crate) const MAX_FRAMES: u32 = 4 << 20;

/// Frames that are taken before the counters are visible to others.
const BATCH: usize = 256;

/// The EtherType of RARP.
const RARP: [u8; 2] = [0x80, 0x35];

/// The Ethernet address to which Open vSwitch sends BFD.
const TO_BFD: [u8; 6] = [0x00, 0x23, 0x20, 0x00, 0x00, 0x01];

/// The UDP port of BFD.
const BFD: [u8; 2] = 3784_u16.to_be_bytes();

/// The ears of one VM.
#[derive(Debug)]
pub(crate) struct Sniffer {
    tally: Arc<Mutex<Tally>>,
    /// Ends the thread when it is closed or written to.
    stop: UnixStream,
}

/// What one VM has heard since its sniffer was started.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Frames with one of the lab's tokens, copies included.
    pub frames: u64,
    /// Destination and source of the last such frame.
    pub last: Option<(MacAddr6, MacAddr6)>,
    /// Broadcasts of RARP by their sender: what is sent in a VM's name after its place has changed.
    pub announcements: BTreeMap<MacAddr6, u32>,
    /// Frames to the Ethernet address to which Open vSwitch sends BFD.
    pub to_bfd: u64,
    /// Packets of UDP to the port of BFD, to whichever Ethernet address.
    pub bfd: u64,
    /// The most copies of any one token. More than 1 means that a frame came twice at least.
    pub max_copies: u32,
    /// Frames that the kernel threw away because they came faster than they could be counted.
    pub lost: u32,
    /// Why the sniffer stopped, if it did so by itself.
    pub failure: Option<String>,
}

#[derive(Debug, Default)]
struct Tally {
    /// Copies by the number of the token.
    copies: Vec<u32>,
    heard: Heard,
}

impl Sniffer {
    /// Starts to listen on `device`, for tokens with the lab's `mark`.
    pub(crate) fn start(namespace: &Namespace, device: &str, mark: u64) -> Result<Self> {
        let socket = PacketSocket::listen(namespace, device)?;
        let (stop, stopped) = UnixStream::pair().context("socket pair")?;
        let tally = Arc::new(Mutex::new(Tally::default()));
        let sniffer = Self { tally: Arc::clone(&tally), stop };
        thread::Builder::new()
            .name("sniffer".to_owned())
            .spawn(move || {
                if let Err(error) = listen(&socket, &stopped, mark, &tally) {
                    lock(&tally).heard.failure = Some(format!("{error:#}"));
                }
            })
            .context("cannot start a sniffer")?;
        Ok(sniffer)
    }

    /// How often each token of a range has come.
    pub(crate) fn copies(&self, tokens: Range<u32>) -> Vec<u32> {
        let tally = lock(&self.tally);
        tokens.map(|number| tally.copies.get(number as usize).copied().unwrap_or(0)).collect()
    }

    /// The totals since the start.
    pub(crate) fn heard(&self) -> Heard {
        lock(&self.tally).heard.clone()
    }

    /// Stops listening and closes the socket soon after; the counts stay.
    pub(crate) fn stop(&self) {
        // The thread may have ended already.
        let _ = (&self.stop).write(&[0]);
    }
}

impl Drop for Sniffer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn listen(socket: &PacketSocket, stopped: &UnixStream, mark: u64, tally: &Mutex<Tally>) -> Result<()> {
    let mut buffer = [0; 2048];
    let mut numbers = Vec::with_capacity(BATCH);
    loop {
        let mut waiting =
            [PollFd::new(socket.as_fd(), PollFlags::POLLIN), PollFd::new(stopped.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waiting, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error).context("poll"),
        }
        if waiting[1].any().unwrap_or(true) {
            return Ok(());
        }
        let mut lost = lock(tally).heard.lost;
        numbers.clear();
        let (mut last, mut announced, mut to_bfd, mut bfd) = (None, Vec::new(), 0, 0);
        while numbers.len() < BATCH {
            match socket.receive(&mut buffer, &mut lost)? {
                Received::Nothing => break,
                Received::Own => {}
                Received::Frame(length) => match Token::of(&buffer[..length]) {
                    Some(token) if token.mark == mark && token.number < MAX_FRAMES => {
                        last = addresses(&buffer[..length]).or(last);
                        numbers.push(token.number);
                    }
                    _ => {
                        announced.extend(announcement(&buffer[..length]));
                        to_bfd += u64::from(buffer.starts_with(&TO_BFD));
                        bfd += u64::from(is_bfd(&buffer[..length]));
                    }
                },
            }
        }
        let mut tally = lock(tally);
        announced.into_iter().for_each(|sender| *tally.heard.announcements.entry(sender).or_default() += 1);
        tally.heard.last = last.or(tally.heard.last);
        tally.heard.to_bfd += to_bfd;
        tally.heard.bfd += bfd;
        tally.count(&numbers, lost);
    }
}

/// Destination and source of a frame.
fn addresses(frame: &[u8]) -> Option<(MacAddr6, MacAddr6)> {
    let (to, rest) = frame.split_first_chunk::<6>()?;
    Some((MacAddr6::from(*to), MacAddr6::from(*rest.first_chunk::<6>()?)))
}

/// The sender of a broadcast of RARP.
fn announcement(frame: &[u8]) -> Option<MacAddr6> {
    let (to, from) = addresses(frame)?;
    (to.is_broadcast() && frame.get(12..14)? == RARP).then_some(from)
}

/// Whether it is a packet of UDP to the port of BFD: IPv4 without options.
fn is_bfd(frame: &[u8]) -> bool {
    let at = |from: usize, bytes: &[u8]| frame.get(from..).is_some_and(|rest| rest.starts_with(bytes));
    at(12, &[0x08, 0x00, 0x45]) && at(23, &[17]) && at(36, &BFD)
}

impl Tally {
    fn count(&mut self, numbers: &[u32], lost: u32) {
        self.heard.lost = lost;
        for number in numbers {
            let index = *number as usize;
            if index >= self.copies.len() {
                self.copies.resize(index + 1, 0);
            }
            self.copies[index] = self.copies[index].saturating_add(1);
            self.heard.max_copies = self.heard.max_copies.max(self.copies[index]);
        }
        self.heard.frames += numbers.len() as u64;
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
