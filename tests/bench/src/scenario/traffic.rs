//! From VM to VM over a tunnel: throughput and packets a second, with our flows and on a plain bridge without any.
//!
//! Both networks are on the same two hosts, each with a VM on each, and send in turn.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_api::{Ipv6Policy, TunnelKind};
use ovstunnel_e2e::{Cloud, Network, NodeConfig};
use ovstunnel_lab::{Vm, VmSpec};

use crate::ground::config;
use crate::report::{Found, Goal, Line, Unit, Who};
use crate::scale::Scale;
use crate::stats::Samples;

const PORT: u16 = 5201;

/// Bytes of what is sent in each packet when packets are counted.
const SMALL: usize = 64;

/// How long a VM may hear nothing before it is taken for cut off.
const SILENCE: Duration = Duration::from_secs(10);

/// How long after the last packet was sent one may still be on its way.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// A VM on each host.
type Pair = (Vm, Vm);

pub fn run(scale: &Scale) -> Result<Found> {
    let cloud = Cloud::with_config("traffic", 2, config())?;
    let (ours, plain) = (our_pair(&cloud)?, plain_pair(&cloud, TunnelKind::Gre)?);
    let duration = Duration::from_millis(scale.traffic_millis);
    let kinds = [
        (
            "throughput from VM to VM over GRE (TCP)",
            Unit::BitsPerSecond,
            throughput as fn(&Pair, Duration) -> Result<f64>,
        ),
        ("packets from VM to VM over GRE (64 bytes)", Unit::PacketsPerSecond, packets),
    ];
    let mut lines = Vec::new();
    for (what, unit, send) in kinds {
        crate::progress(what);
        lines.push(compare(&ours, &plain, scale, what, unit, |pair| send(pair, duration))?);
    }
    Ok(Found { lines, curves: vec![] })
}

/// Throughput by tunnels of another kind, beside a plain bridge with one of the same kind.
pub fn line_of_kind(scale: &Scale, kind: TunnelKind, label: &str) -> Result<Line> {
    let of_kind = NodeConfig { tunnel: format!("kind = \"{}\"", kind.interface_type()), ..config() };
    let cloud = Cloud::with_config(&format!("t{}", kind.interface_type()), 2, of_kind)?;
    let (ours, plain) = (our_pair(&cloud)?, plain_pair(&cloud, kind)?);
    let what = format!("throughput from VM to VM over {label} (TCP)");
    crate::progress(&what);
    let duration = Duration::from_millis(scale.traffic_millis);
    compare(&ours, &plain, scale, &what, Unit::BitsPerSecond, |pair| throughput(pair, duration))
}

fn compare(
    ours: &Pair,
    plain: &Pair,
    scale: &Scale,
    what: &str,
    unit: Unit,
    send: impl Fn(&Pair) -> Result<f64>,
) -> Result<Line> {
    // The first packets find nothing learnt, neither by the VMs nor by the switches.
    for pair in [ours, plain] {
        send(pair)?;
    }
    let (mut with, mut without, mut ratios) = (Samples::default(), Samples::default(), Samples::default());
    for round in 0..scale.traffic_rounds {
        // Who is first alternates: what the machine does beside it drifts.
        let (a, b) = if round % 2 == 0 {
            let first = send(ours)?;
            (first, send(plain)?)
        } else {
            let first = send(plain)?;
            (send(ours)?, first)
        };
        with.push(a);
        without.push(b);
        ratios.push(a / b);
    }
    let line = Line::new("traffic", what, unit, with.median(), with.len());
    let line = line.beside(Who::Command, without.median(), without.len(), Some("plain NORMAL bridge"));
    Ok(line.goal(Goal::at_least(ratios.median(), 0.98, "×", "that of a plain bridge, by pairs")))
}

/// A VM on each host in a network of ours.
fn our_pair(cloud: &Cloud) -> Result<Pair> {
    let network = Network::numbered(1, Ipv6Policy::Drop);
    cloud.mesh(&network, &[1, 2])?;
    Ok((cloud.plug(&network, 1, 1)?, cloud.plug(&network, 2, 2)?))
}

/// A VM on each host on bridges without any flow but Open vSwitch's own, with a tunnel between them.
fn plain_pair(cloud: &Cloud, kind: TunnelKind) -> Result<Pair> {
    let kind = format!("type={}", kind.interface_type());
    let (first, second) = (cloud.node(1)?.host(), cloud.node(2)?.host());
    for (host, other) in [(first, second), (second, first)] {
        let remote = format!("options:remote_ip={}", other.ip());
        host.vsctl(["add-br", "plain", "--", "set", "Bridge", "plain", "datapath_type=netdev"])?;
        let set = ["--", "set", "Interface", "tplain", &kind, "options:key=77", &remote];
        host.vsctl(["add-port", "plain", "tplain"].iter().chain(&set))?;
        host.wait_for_ofport("tplain")?;
    }
    let spec = |number| VmSpec::numbered(number).network("plain");
    Ok((first.plug_vm("plain", "vif11.0", spec(11))?, second.plug_vm("plain", "vif12.0", spec(12))?))
}

/// Bits a second by one TCP connection.
fn throughput((from, to): &Pair, duration: Duration) -> Result<f64> {
    let listener = to.enter(|| Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?))?;
    let mut sender = from.enter(|| Ok(TcpStream::connect_timeout(&(to.ip(), PORT).into(), SILENCE)?))?;
    let (mut receiver, _) = listener.accept()?;
    receiver.set_read_timeout(Some(SILENCE))?;
    sender.set_write_timeout(Some(SILENCE))?;
    let start = Instant::now();
    let received = thread::scope(|scope| -> Result<u64> {
        let reader = scope.spawn(move || -> Result<u64> {
            let (mut buffer, mut count) = (vec![0; 1 << 18], 0);
            loop {
                match receiver.read(&mut buffer).context("the receiving VM")? {
                    0 => return Ok(count),
                    some => count += some as u64,
                }
            }
        });
        let buffer = vec![0; 1 << 17];
        while start.elapsed() < duration {
            sender.write_all(&buffer).context("the sending VM")?;
        }
        drop(sender);
        reader.join().map_err(|_| anyhow!("the receiver panicked"))?
    })?;
    ensure!(received > 0, "nothing came");
    // Well below 2^53.
    #[allow(clippy::cast_precision_loss)]
    Ok(received as f64 * 8.0 / start.elapsed().as_secs_f64())
}

/// Small UDP packets a second that arrive while as many as possible are sent.
fn packets((from, to): &Pair, duration: Duration) -> Result<f64> {
    let receiver = to.enter(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))?))?;
    let sender = from.enter(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?))?;
    sender.connect((to.ip(), PORT))?;
    receiver.set_read_timeout(Some(ON_ITS_WAY))?;
    let done = AtomicBool::new(false);
    let count = thread::scope(|scope| -> Result<u64> {
        let reader = scope.spawn(|| {
            let (mut buffer, mut count) = ([0; 2048], 0);
            loop {
                match receiver.recv(&mut buffer) {
                    Ok(_) => count += 1,
                    // After the last one was sent, the first silence is the end.
                    Err(_) if done.load(Ordering::Relaxed) => return count,
                    Err(_) => {}
                }
            }
        });
        let (start, payload) = (Instant::now(), [0; SMALL]);
        while start.elapsed() < duration {
            // A full queue is what is wanted here.
            let _ = sender.send(&payload);
        }
        done.store(true, Ordering::Relaxed);
        reader.join().map_err(|_| anyhow!("the receiver panicked"))
    })?;
    ensure!(count > 0, "nothing came");
    // Well below 2^53.
    #[allow(clippy::cast_precision_loss)]
    Ok(count as f64 / duration.as_secs_f64())
}
