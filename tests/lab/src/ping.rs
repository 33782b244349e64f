//! Pings without pause and says what was lost and for how long there was silence.
//!
//! One thread sends, one receives, on a raw ICMP socket inside the VM. It does not judge: whether a loss is bad is the
//! test's business.

use std::{
    collections::HashMap,
    fmt,
    io::{ErrorKind, Read},
    net::{Ipv4Addr, SocketAddrV4},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{frame::checksum, netns::Namespace, wait::wait_until};

/// How long answers may take to be counted, once the last request is sent.
const GRACE: Duration = Duration::from_secs(1);

/// How often the receiving thread looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

/// Tells the answers of one pinger from those of others in the same namespace.
static NEXT_ID: AtomicU16 = AtomicU16::new(1);

/// What became of a series of pings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PingReport {
    /// Requests sent.
    pub sent: u64,
    /// Requests that were answered.
    pub received: u64,
    /// Answers to a request that had been answered before.
    pub duplicates: u64,
    /// The shortest time from a request to its answer.
    pub rtt_min: Duration,
    /// The mean time from a request to its answer.
    pub rtt_mean: Duration,
    /// The longest time from a request to its answer.
    pub rtt_max: Duration,
    /// The longest time without an answer, from the first request on.
    pub longest_silence: Duration,
    /// For how long pings had been counted when each of those was sent that are not answered.
    pub lost_after: Vec<Duration>,
}

/// So many of the lost ones are named.
const NAMED: usize = 5;

impl PingReport {
    /// Requests without answer.
    pub fn lost(&self) -> u64 {
        self.sent - self.received
    }

    /// An error where a request was answered more than once.
    ///
    /// # Errors
    /// When something came twice: the report.
    pub fn expect_no_duplicates(&self) -> Result<()> {
        if self.duplicates > 0 || self.sent == 0 { bail!("{self}") } else { Ok(()) }
    }

    /// An error unless every request was answered, once.
    ///
    /// # Errors
    /// When something was lost or came twice: the report.
    pub fn expect_no_loss(&self) -> Result<()> {
        if self.lost() > 0 || self.duplicates > 0 || self.sent == 0 { bail!("{self}") } else { Ok(()) }
    }
}

impl fmt::Display for PingReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, received, duplicates, rtt_min, rtt_mean, rtt_max, longest_silence, lost_after } = self;
        write!(f, "{sent} pings sent, {received} answered, {} lost, {duplicates} duplicates, ", self.lost())?;
        write!(f, "rtt {rtt_min:.1?} / {rtt_mean:.1?} / {rtt_max:.1?}, longest silence {longest_silence:.1?}")?;
        match lost_after.is_empty() {
            true => Ok(()),
            false => write!(f, ", lost after {:.0?}", &lost_after[..lost_after.len().min(NAMED)]),
        }
    }
}

/// A running series of pings. Dropping it stops it.
#[derive(Debug)]
pub struct Pinger {
    state: Arc<Mutex<State>>,
    stop_sending: Arc<AtomicBool>,
    stop_receiving: Arc<AtomicBool>,
    sender: Option<JoinHandle<()>>,
    receiver: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    report: PingReport,
    /// The first request that counts, and the next that is sent.
    first: u32,
    next: u32,
    outstanding: HashMap<u32, Instant>,
    rtt_sum: Duration,
    last_answer: Instant,
    /// When counting began.
    begun: Instant,
}

impl Pinger {
    pub(crate) fn start(
        namespace: &Namespace,
        target: Ipv4Addr,
        interval: Duration,
        count: Option<u64>,
    ) -> Result<Self> {
        let socket = namespace.enter(|| open(target).with_context(|| format!("cannot ping {target}")))?;
        let socket = Arc::new(socket);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let state = Arc::new(Mutex::new(State::from(0)));
        let (stop_sending, stop_receiving) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let receiver = thread::spawn({
            let (socket, state, stop) = (Arc::clone(&socket), Arc::clone(&state), Arc::clone(&stop_receiving));
            move || receive(&socket, id, &state, &stop)
        });
        let sender = thread::spawn({
            let (state, stop) = (Arc::clone(&state), Arc::clone(&stop_sending));
            move || send(&socket, id, interval, count.unwrap_or(u64::MAX), &state, &stop)
        });
        Ok(Self { state, stop_sending, stop_receiving, sender: Some(sender), receiver: Some(receiver) })
    }

    /// What has been counted so far. Requests under way count as lost.
    pub fn report(&self) -> PingReport {
        lock(&self.state).report()
    }

    /// Counts from now on: what was sent before counts no more, whether it is answered or not.
    pub fn count_anew(&self) {
        let mut state = lock(&self.state);
        *state = State::from(state.next);
    }

    /// Stops sending, waits for the answers under way, 1 s at most, and returns what became of all.
    ///
    /// # Errors
    /// When one of its threads panicked.
    pub fn stop(self) -> Result<PingReport> {
        self.stop_sending.store(true, Ordering::Relaxed);
        self.finish()
    }

    /// Waits until all is sent, then as [`Pinger::stop`].
    pub(crate) fn finish(mut self) -> Result<PingReport> {
        join(self.sender.take())?;
        // When the grace is over, what is outstanding is lost: that is a result, not an error.
        let _ = wait_until("the answers to all pings", GRACE, || match lock(&self.state).outstanding.len() {
            0 => Ok(()),
            missing => Err(format!("{missing} missing")),
        });
        let report = lock(&self.state).report();
        self.stop_receiving.store(true, Ordering::Relaxed);
        join(self.receiver.take())?;
        Ok(report)
    }
}

impl Drop for Pinger {
    fn drop(&mut self) {
        self.stop_sending.store(true, Ordering::Relaxed);
        self.stop_receiving.store(true, Ordering::Relaxed);
    }
}

impl State {
    /// Nothing sent yet of what counts, which begins with this request.
    fn from(first: u32) -> Self {
        let report = PingReport { rtt_min: Duration::MAX, ..PingReport::default() };
        let now = Instant::now();
        let (outstanding, rtt_sum) = (HashMap::new(), Duration::ZERO);
        State { report, first, next: first, outstanding, rtt_sum, last_answer: now, begun: now }
    }

    fn answer(&mut self, number: u32) {
        if number < self.first {
            return;
        }
        let now = Instant::now();
        let Some(sent) = self.outstanding.remove(&number) else {
            self.report.duplicates += 1;
            return;
        };
        let rtt = now - sent;
        self.report.longest_silence = self.report.longest_silence.max(now - self.last_answer);
        self.last_answer = now;
        self.report.received += 1;
        self.rtt_sum += rtt;
        self.report.rtt_min = self.report.rtt_min.min(rtt);
        self.report.rtt_max = self.report.rtt_max.max(rtt);
    }

    fn report(&self) -> PingReport {
        let mut report = self.report.clone();
        match u32::try_from(report.received) {
            Ok(0) | Err(_) => report.rtt_min = Duration::ZERO,
            Ok(received) => report.rtt_mean = self.rtt_sum / received,
        }
        report.lost_after = self.outstanding.values().map(|sent| *sent - self.begun).collect();
        report.lost_after.sort();
        if !self.outstanding.is_empty() {
            report.longest_silence = report.longest_silence.max(self.last_answer.elapsed());
        }
        report
    }
}

fn open(target: Ipv4Addr) -> Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
    // Only what comes from there.
    socket.connect(&SocketAddrV4::new(target, 0).into())?;
    socket.set_read_timeout(Some(LOOK))?;
    Ok(socket)
}

fn send(socket: &Socket, id: u16, interval: Duration, count: u64, state: &Mutex<State>, stop: &AtomicBool) {
    let start = Instant::now();
    let mut next = start;
    for number in 0_u32.. {
        if u64::from(number) >= count || stop.load(Ordering::Relaxed) {
            return;
        }
        thread::sleep(next.saturating_duration_since(Instant::now()));
        next += interval;
        {
            let mut state = lock(state);
            state.report.sent += 1;
            state.next = number + 1;
            state.outstanding.insert(number, Instant::now());
        }
        // No route, no neighbour: then this one is lost, which the report will say.
        let _ = socket.send(&echo_request(id, number));
    }
}

fn receive(socket: &Socket, id: u16, state: &Mutex<State>, stop: &AtomicBool) {
    let mut buffer = [0; 2048];
    let mut socket: &Socket = socket;
    while !stop.load(Ordering::Relaxed) {
        match socket.read(&mut buffer) {
            Ok(length) => {
                if let Some(number) = echo_reply(&buffer[..length], id) {
                    lock(state).answer(number);
                }
            }
            // Nothing in time, or word that an earlier request met no neighbour.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => thread::yield_now(),
        }
    }
}

/// An ICMP echo request with its whole number in the data: the sequence number in the header has 16 bits only.
fn echo_request(id: u16, number: u32) -> Vec<u8> {
    let (id, number) = (id.to_be_bytes(), number.to_be_bytes());
    let mut packet = [&[8, 0, 0, 0][..], &id, &number[2..], &number, &[0; 52]].concat();
    let sum = checksum(&packet);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// The number of the request that this IPv4 packet answers, if it answers one of ours.
fn echo_reply(packet: &[u8], id: u16) -> Option<u32> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    let icmp = packet.get(header..)?;
    let ours = icmp.first()? == &0 && icmp.get(4..6)? == id.to_be_bytes();
    let number = icmp.get(8..12)?.try_into().ok()?;
    ours.then(|| u32::from_be_bytes(number))
}

fn join(thread: Option<JoinHandle<()>>) -> Result<()> {
    thread.map_or(Ok(()), |thread| thread.join().map_err(|_| anyhow!("a thread that pings panicked")))
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
