//! How long it takes from plugging a VIF to its rule. It prints what it measures, for the guide; it judges only that each
//! rule came.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Cloud, Helper, Network, make_devices};
use ovstunnel_lab::{Host, wait_until};

const VIFS: usize = 40;

/// Tells at once of each flow of a VIF's that comes to a bridge.
struct Watch {
    child: Child,
    rules: Receiver<(Instant, String)>,
}

impl Watch {
    fn start(host: &Host, bridge: &str) -> Result<Self> {
        let mut command = host.command("ovs-ofctl");
        command.args(["monitor", bridge, "watch:!modify"]);
        // It prints what it watches on standard error, each line at once.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let stderr = child.stderr.take().context("standard error")?;
        let (tell, rules) = channel();
        thread::spawn(move || read(stderr, |line| tell.send((Instant::now(), line))));
        let watch = Watch { child, rules };
        // A flow of our own shows that the watch is on.
        wait_until("the watch of flows", Duration::from_secs(20), || {
            host.ofctl(["del-flows", bridge, "cookie=0x77/-1"])?;
            host.ofctl(["add-flow", bridge, "cookie=0x77,priority=1,in_port=7777,actions=drop"])?;
            let (_, line) = watch.rules.recv_timeout(Duration::from_millis(50))?;
            ensure!(line.contains("cookie=0x77"), "{line}");
            Ok(())
        })?;
        Ok(watch)
    }

    /// When the next rule of a VIF came.
    fn next(&self) -> Result<Instant> {
        loop {
            let (at, line) = self.rules.recv_timeout(Duration::from_secs(20)).context("no rule came")?;
            if line.contains("ADDED") && line.contains("in_port=") && line.contains("cookie=0x6f767374") {
                return Ok(at);
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read<E>(stderr: ChildStderr, tell: impl Fn(String) -> Result<(), E>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if tell(line).is_err() {
            return;
        }
    }
}

/// Median, 95th of a hundred, and the longest, in milliseconds.
fn shown(what: &str, mut times: Vec<Duration>) -> String {
    times.sort();
    let ms = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    format!("{what}: median {:.1} ms, 95% {:.1} ms, longest {:.1} ms ({} times)", ms(50), ms(95), ms(100), times.len())
}

#[test]
fn from_plug_to_rule() -> Result<()> {
    let cloud = Cloud::new("plugrule", 1)?;
    let (node, network) = (cloud.node(1)?, Network::numbered(1, Ipv6Policy::Drop));
    let (host, helper) = (node.host(), Helper::on(node)?);
    cloud.join(&network, 1, &[1])?;
    let names: Vec<String> = (0..VIFS).map(|n| format!("vif{n}.0")).collect();
    make_devices(host, &names)?;
    let watch = Watch::start(host, &network.bridge)?;
    let (mut from_start, mut from_end, mut helped) = (Vec::new(), Vec::new(), Vec::new());
    for vif in &names {
        let start = Instant::now();
        host.vsctl(["add-port", &network.bridge, vif])?;
        let plugged = Instant::now();
        let rule = watch.next()?;
        from_start.push(rule - start);
        from_end.push(rule.saturating_duration_since(plugged));
    }
    for vif in &names {
        let ofport = format!("in_port={}", host.wait_for_ofport(vif)?);
        host.ofctl(["del-flows", &network.bridge, &ofport])?;
        let start = Instant::now();
        helper.run(&["online", vif])?;
        watch.next()?;
        helped.push(start.elapsed());
    }
    println!("{}", shown("from the start of `ovs-vsctl add-port` to the rule", from_start));
    println!("{}", shown("from the end of `ovs-vsctl add-port` to the rule", from_end));
    println!("{}", shown("a rule deleted behind our back, from the start of the helper to its end", helped));
    Ok(())
}
