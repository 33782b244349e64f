//! A running network of three hosts as the Python plugin left it, with traffic that is counted while they are taken over.
//! Must not judge what may be lost: the test says so.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use ovstunnel_api::{Ipv6Policy, Outcome, TakeoverAnswer, TakeoverState};
use ovstunnel_lab::{Host, Kind, Pinger, Stream, Vm, unhurried, wait_until};

/// A VM's network card.
const CARD: &str = "eth0";

use crate::{
    Cloud, Dice, Network, NodeConfig, flow, flows_of_others, plugin_plugs, plugin_sets_up, wait_for_exact_rules,
};

/// The cookie of flows that stay for minutes on hosts that were in a spanning tree.
const UNLEARNT: &str = "cookie=0x6f76736200000002";

/// Flows that are not the plugin's, one of them at its priority.
const FOREIGN: [&str; 4] = [
    "priority=5000,in_port=98,ip,nw_src=10.9.9.9,actions=normal",
    "cookie=0x77,priority=6,ip,actions=NORMAL",
    "priority=1100,dl_vlan=7,dl_dst=ff:ff:ff:ff:ff:ff,actions=normal",
    "priority=65000,ipv6,in_port=98,actions=drop",
];

/// Three hosts as the plugin left them, as many VMs on each.
#[derive(Debug)]
pub struct Old {
    /// The hosts.
    pub cloud: Cloud,
    /// Their network.
    pub network: Network,
    /// Those of the first host, those of the second, those of the third.
    pub vms: Vec<Vm>,
}

impl Old {
    /// Its hosts.
    pub const HOSTS: [usize; 3] = [1, 2, 3];
    /// How long is waited for anything.
    pub const PATIENCE: Duration = Duration::from_secs(60);

    /// Sets it up, with STP on these hosts, and has all VMs reach each other.
    ///
    /// # Errors
    /// When it cannot be set up, or some do not reach each other.
    pub fn new(tag: &str, stp: &[usize], config: NodeConfig) -> Result<Self> {
        Self::with_vms(tag, 2, stp, config)
    }

    /// The same with so many VMs on each host.
    ///
    /// # Errors
    /// As [`Old::new`].
    pub fn with_vms(tag: &str, each: u16, stp: &[usize], config: NodeConfig) -> Result<Self> {
        let old = Self::plugged(tag, each, stp, config)?;
        for number in Self::HOSTS {
            FOREIGN.iter().try_for_each(|line| flow(old.host(number)?, &old.network.bridge, line))?;
        }
        if stp.len() == Self::HOSTS.len() {
            old.vms.iter().try_for_each(|vm| old.know_all(vm))?;
        }
        stp.iter().try_for_each(|number| old.shorten_stp(*number))?;
        stp.iter().try_for_each(|number| old.wait_for_forwarding(*number))?;
        if !stp.is_empty() {
            // For 10 s after the last port has begun to forward the root has all forget what they have learnt, itself too.
            old.let_hellos_pass(12)?;
        }
        // Every switch learns where each VM is, and each VM the others' addresses; unicast to an address that nobody knows
        // would go round for ever.
        old.cloud.lab().announce_all()?;
        for a in &old.vms {
            for b in old.vms.iter().filter(|b| b.name() != a.name()) {
                wait_until(format!("{a} reaches {b}"), Self::PATIENCE, || a.ping(b.ip(), 2)?.expect_no_loss())?;
            }
        }
        if stp.len() < Self::HOSTS.len() {
            Self::HOSTS.into_iter().try_for_each(|number| old.learn_the_direct_way(number))?;
        }
        Ok(old)
    }

    fn plugged(tag: &str, each: u16, stp: &[usize], config: NodeConfig) -> Result<Self> {
        let cloud = Cloud::with_config(tag, Self::HOSTS.len(), config)?;
        let network = Network::numbered(1, Ipv6Policy::Drop);
        let mut vms = Vec::new();
        for number in Self::HOSTS {
            plugin_sets_up(&cloud, &network, number, &Self::HOSTS, stp.contains(&number))?;
        }
        for (number, vm) in Self::HOSTS.into_iter().flat_map(|number| (0..each).map(move |vm| (number, vm))) {
            vms.push(plugin_plugs(&cloud, &network, number, u16::try_from(number * 2)? * 10 + 10 + vm)?);
        }
        Ok(Old { cloud, network, vms })
    }

    /// The same without STP, where nobody was taught anything: VMs talk to each other in a random order, and each host learns from
    /// what it hears, by way of a third one too.
    ///
    /// # Errors
    /// When it cannot be set up, or some do not reach each other.
    pub fn by_nature(tag: &str, dice: &mut Dice) -> Result<Self> {
        let old = Self::plugged(tag, 2, &[], NodeConfig::default())?;
        let mut pairs: Vec<(&Vm, &Vm)> = old.vms.iter().flat_map(|a| old.vms.iter().map(move |b| (a, b))).collect();
        pairs.retain(|(a, b)| a.name() != b.name());
        while !pairs.is_empty() {
            let (a, b) = pairs.swap_remove(usize::try_from(dice.below(u64::try_from(pairs.len())?))?);
            // What is learnt first is learnt from copies.
            wait_until(format!("{a} reaches {b}"), Self::PATIENCE, || match a.ping(b.ip(), 1)?.received {
                0 => Err(anyhow!("not yet")),
                _ => Ok(()),
            })?;
        }
        Ok(old)
    }

    /// How many addresses of VMs of another host each host has learnt behind the tunnel to a third.
    ///
    /// # Errors
    /// When a switch does not answer.
    pub fn learnt_by_a_third(&self) -> Result<usize> {
        let mut count = 0;
        for (number, other) in Self::HOSTS.into_iter().flat_map(|n| Self::HOSTS.map(|other| (n, other))) {
            if number == other {
                continue;
            }
            let ofport = self.tunnel_number(number, other)?;
            let shown = self.host(number)?.appctl(["fdb/show", &self.network.bridge])?;
            let behind = shown.lines().filter(|line| line.split_whitespace().next() == Some(&ofport));
            let theirs: Vec<String> = self.vms_of(other).iter().map(|vm| vm.mac().to_string().to_lowercase()).collect();
            count += behind.filter(|line| theirs.iter().all(|mac| !line.contains(mac))).count();
        }
        Ok(count)
    }

    /// Has a host know the others' VMs by the tunnels to them. It may have learnt some by way of the third host, from a flood that
    /// this one passed on, and would be cut off from them when it is taken over (docs/adr/0012-take-over.md).
    fn learn_the_direct_way(&self, number: usize) -> Result<()> {
        for other in Self::HOSTS.into_iter().filter(|other| *other != number) {
            self.vms_of(other).iter().try_for_each(|vm| self.learn_behind(number, vm, other))?;
        }
        Ok(())
    }

    /// Has a host know a VM by its tunnel to another host, whether the VM is there or not.
    ///
    /// # Errors
    /// When its switch refuses.
    pub fn learn_behind(&self, number: usize, vm: &Vm, other: usize) -> Result<()> {
        // To a VM of the host: a frame to itself would go to where it was known before, which learns from it, too.
        let [from, to] = [vm, self.vm(number, 0)].map(|vm| vm.mac().to_string().replace(':', ""));
        let frame = format!("{to}{from}88b5{}", "00".repeat(46));
        let out = format!("in_port={},packet={frame},actions=NORMAL", self.tunnel_number(number, other)?);
        self.host(number)?.ofctl(["packet-out", &self.network.bridge, &out]).map(drop)
    }

    /// Whether a host knows a VM by its tunnel to another host.
    ///
    /// # Errors
    /// When its switch does not answer.
    pub fn knows_behind(&self, number: usize, vm: &Vm, other: usize) -> Result<bool> {
        let (port, mac) = (self.tunnel_number(number, other)?, vm.mac().to_string().to_lowercase());
        let shown = self.host(number)?.appctl(["fdb/show", &self.network.bridge])?;
        Ok(shown.lines().any(|line| line.contains(&mac) && line.split_whitespace().next() == Some(&port)))
    }

    /// The OpenFlow number of a host's tunnel to another.
    fn tunnel_number(&self, number: usize, other: usize) -> Result<String> {
        let tunnel = format!("t{}-{number}-{other}", self.network.key);
        Ok(self.host(number)?.vsctl(["get", "Interface", &tunnel, "ofport"])?.trim().to_owned())
    }

    /// Has a VM know the others' addresses for good: where STP runs on all hosts, no question of its for them gets through.
    fn know_all(&self, vm: &Vm) -> Result<()> {
        for other in self.vms.iter().filter(|other| other.name() != vm.name()) {
            let args = ["neigh", "replace", &other.ip().to_string(), "lladdr", &other.mac().to_string(), "dev", CARD];
            let status = vm.command("ip").args(args).args(["nud", "permanent"]).status()?;
            ensure!(status.success(), "{vm}: {status}");
        }
        Ok(())
    }

    /// Has STP come to a tree as fast as it can: in 8 s and not in 30.
    fn shorten_stp(&self, number: usize) -> Result<()> {
        let times = ["stp-hello-time=1", "stp-max-age=6", "stp-forward-delay=4"];
        let times = times.map(|time| format!("other_config:{time}"));
        let set = ["set", "Bridge", &self.network.bridge];
        self.host(number)?.vsctl(set.into_iter().chain(times.iter().map(String::as_str))).map(drop)
    }

    /// One of its hosts.
    ///
    /// # Errors
    /// When there is none of this number.
    pub fn host(&self, number: usize) -> Result<&Host> {
        Ok(self.cloud.node(number)?.host())
    }

    /// Waits until each port of a host forwards or is blocked by STP.
    ///
    /// # Errors
    /// When that does not come about.
    pub fn wait_for_forwarding(&self, number: usize) -> Result<()> {
        wait_until(format!("STP of host {number} forwards"), Self::PATIENCE, || {
            let shown = self.host(number)?.appctl(["stp/show", &self.network.bridge])?;
            let ports = self.host(number)?.vsctl(["list-ports", &self.network.bridge])?.lines().count();
            let settled = shown.matches(" forwarding").count() + shown.matches(" blocking").count();
            ensure!(settled == ports, "{settled} of {ports} forward or block");
            Ok::<(), anyhow::Error>(())
        })
    }

    /// Waits while each host sends its first VM so many more of STP's frames: one each second, for as long as it is in a tree.
    ///
    /// # Errors
    /// When they do not come.
    pub fn let_hellos_pass(&self, count: u64) -> Result<()> {
        let sent = |number: usize| -> Result<u64> {
            let port = self.vms_of(number)[0].vif();
            Ok(self.host(number)?.vsctl(["get", "Port", &port, "statistics:stp_tx_count"])?.trim().parse()?)
        };
        let sent = || -> Result<Vec<u64>> { self.in_trees()?.into_iter().map(sent).collect() };
        let mut before = None;
        wait_until(format!("{count} hellos"), Self::PATIENCE, || {
            let now = sent()?;
            let before: &Vec<u64> = before.get_or_insert(now.clone());
            ensure!(now.iter().zip(before).all(|(now, before)| *now >= before + count), "{now:?} after {before:?}");
            Ok::<(), anyhow::Error>(())
        })
    }

    /// The hosts on which STP is on.
    fn in_trees(&self) -> Result<Vec<usize>> {
        let mut found = Vec::new();
        for number in Self::HOSTS {
            let on = self.host(number)?.vsctl(["get", "Bridge", &self.network.bridge, "stp_enable"])?;
            found.extend((on.trim() == "true").then_some(number));
        }
        Ok(found)
    }

    /// Has a host's daemon take over what it finds.
    ///
    /// # Errors
    /// When it answers with an error.
    pub fn take_over(&self, number: usize) -> Result<TakeoverAnswer> {
        Ok(self.cloud.call(number, |client| async move { client.takeover(&[]).await })??)
    }

    /// Pings between all hosts and, where there are two VMs on each, on one, and broadcast from each host.
    ///
    /// # Errors
    /// When a ping is never answered.
    pub fn traffic(&self) -> Result<(Vec<Pinger>, Vec<Stream>)> {
        let (vm, each) = (|n: usize| &self.vms[n], self.each());
        let mut pairs = vec![(0, each), (each, 2 * each), (2 * each, 0)];
        pairs.extend([(0, 1), (3, 5), (5, 1)].into_iter().filter(|_| each > 1));
        let ping = |(a, b): (usize, usize)| vm(a).start_ping(vm(b).ip(), unhurried(Duration::from_millis(2)));
        let pingers: Vec<Pinger> = pairs.into_iter().map(ping).collect::<Result<_>>()?;
        let stream = |n: usize| self.cloud.lab().stream(vm(n), &[Kind::Broadcast], unhurried(Duration::from_millis(5)));
        let streams: Vec<Stream> = [0, each, 2 * each].into_iter().map(stream).collect::<Result<_>>()?;
        wait_until("answers", Self::PATIENCE, || match pingers.iter().all(|pinger| pinger.report().received > 50) {
            true => Ok(()),
            false => Err(anyhow!("not all are answered")),
        })?;
        Ok((pingers, streams))
    }

    /// The same, counted only once each pair talks. Before a take-over: in the plugin's mesh hosts learn where a VM is from copies, and
    /// two VMs that begin to talk may be silent for seconds.
    ///
    /// # Errors
    /// As [`Old::traffic`].
    pub fn settled_traffic(&self) -> Result<(Vec<Pinger>, Vec<Stream>)> {
        let traffic = self.traffic()?;
        traffic.0.iter().for_each(Pinger::count_anew);
        Ok(traffic)
    }

    /// A VM of a host, from number 0.
    pub fn vm(&self, host: usize, number: usize) -> &Vm {
        &self.vms_of(host)[number]
    }

    /// The VMs of a host.
    pub fn vms_of(&self, host: usize) -> &[Vm] {
        &self.vms[self.each() * (host - 1)..self.each() * host]
    }

    /// How many VMs each host has.
    fn each(&self) -> usize {
        self.vms.len() / Self::HOSTS.len()
    }

    /// Lets traffic go on for some frames more.
    ///
    /// # Errors
    /// When it does not.
    pub fn let_pass(pingers: &[Pinger], count: u64) -> Result<()> {
        let before: Vec<u64> = pingers.iter().map(|pinger| pinger.report().sent).collect();
        let passed = || pingers.iter().zip(&before).all(|(pinger, before)| pinger.report().sent >= before + count);
        wait_until("more frames", Self::PATIENCE, || if passed() { Ok(()) } else { Err(anyhow!("not yet")) })
    }

    /// That nothing of it came twice and, where it says so, nothing was lost.
    ///
    /// # Errors
    /// What was lost or came twice.
    pub fn expect_once((pingers, streams): (Vec<Pinger>, Vec<Stream>), none_lost: bool) -> Result<()> {
        streams.iter().for_each(Stream::end);
        let mut wrong = Vec::new();
        for (n, pinger) in pingers.into_iter().enumerate() {
            let report = pinger.stop()?;
            let good = report.duplicates == 0 && (!none_lost || report.lost() == 0);
            wrong.extend((!good).then(|| format!("ping {n}: {report}")));
        }
        for stream in streams {
            let report = stream.stop()?;
            let result = if none_lost { report.expect_once() } else { report.expect_no_duplicates() };
            wrong.extend(result.err().map(|error| format!("broadcast: {error}")));
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    }

    /// That every kind of flooded frame comes exactly once, the dropped IPv6 nowhere, and no other flow of theirs is left
    /// than those that are nobody's.
    ///
    /// # Errors
    /// What is not so.
    pub fn expect_taken_over(&self, foreign: &[Vec<String>]) -> Result<()> {
        let probes = self.cloud.lab().every_flooded_kind();
        for delivery in self.cloud.lab().deliver_all(&probes)? {
            match delivery.kind {
                Kind::Ipv6Multicast(_) | Kind::Ipv6UnknownUnicast => delivery.expect_nowhere()?,
                _ => delivery.expect_once()?,
            }
        }
        for number in Self::HOSTS {
            wait_for_exact_rules(self.host(number)?, &self.network)?;
            wait_until("the temporary flows to end", Self::PATIENCE, || {
                let mut left = flows_of_others(self.host(number)?, &self.network.bridge)?;
                left.retain(|line| !line.contains(UNLEARNT));
                ensure!(left == foreign[number - 1], "host {number}: {left:?}");
                Ok::<(), anyhow::Error>(())
            })?;
        }
        self.cloud.lab().expect_no_duplicates()
    }

    /// How many flows of the plugin's each host has: for IPv6, for each tunnel, for each VM, and for all VMs of it.
    pub fn plugin_flows(&self) -> usize {
        let groups = 2;
        1 + groups * (Self::HOSTS.len() - 1 + self.each() + 1)
    }

    /// The flows of each host that are not the plugin's.
    ///
    /// # Errors
    /// When there are fewer or more.
    pub fn foreign(&self) -> Result<Vec<Vec<String>>> {
        let of = |number: usize| {
            let all = flows_of_others(self.host(number)?, &self.network.bridge)?;
            let plugins = |line: &str| {
                let priority =
                    ["1000", "1100", "1200", "65000"].iter().any(|p| line.contains(&format!("priority={p},")));
                priority && !line.contains("dl_vlan") && !line.contains("in_port=98")
            };
            let foreign: Vec<String> = all.iter().filter(|line| !plugins(line)).cloned().collect();
            let plugins = all.len() - foreign.len();
            ensure!((foreign.len(), plugins) == (FOREIGN.len() + 1, self.plugin_flows()), "{all:?}");
            Ok(foreign)
        };
        Self::HOSTS.into_iter().map(of).collect()
    }
}

/// That an answer is about one bridge, and has this outcome and state.
///
/// # Errors
/// The answer, when it is another.
pub fn expect_state(answer: &TakeoverAnswer, outcome: Outcome, state: TakeoverState) -> Result<()> {
    let states: Vec<TakeoverState> = answer.bridges.iter().map(|bridge| bridge.state).collect();
    ensure!((answer.outcome, states.as_slice()) == (outcome, &[state][..]), "{answer:#?}");
    Ok(())
}
