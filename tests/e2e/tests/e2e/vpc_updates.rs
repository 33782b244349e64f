//! A VPC that is told something new: under traffic, out of order, stale, on a switch that refuses, and again after that.

use std::time::Duration;

use anyhow::{Result, ensure};
use ovstunnel_e2e::{Mode, NodeConfig, Toolbox, VpcCloud, open_policies, policies, topology, whole_topology};
use ovstunnel_lab::{Kind, Payload};

/// Between two frames of a stream.
const INTERVAL: Duration = Duration::from_millis(2);

const TOPOLOGY: &str = "network_topology";
const POLICIES: &str = "routing_policies";

#[test]
fn updates_under_a_stream_of_packets_lose_none() -> Result<()> {
    let vpc = VpcCloud::new("stream", NodeConfig::default())?;
    vpc.tell_all(POLICIES, 1, &open_policies())?;
    let lab = vpc.cloud().lab();
    let (from, near, far, within) = (vpc.vm(1, 1)?, vpc.vm(2, 1)?, vpc.vm(2, 2)?, vpc.vm(1, 3)?);
    let to = |to| vpc.packet((1, 1), to, Payload::Udp(53));
    // Each way carries something before, so that what is lost is lost by an update.
    for target in [(2, 1), (2, 2), (1, 3)] {
        lab.deliver(from, to(target)?)?.expect_once()?;
    }
    let streams = [(near, to((2, 1))?), (far, to((2, 2))?), (within, to((1, 3))?)]
        .map(|(vm, kind)| lab.stream_to(from, &[kind], INTERVAL, vec![vm.clone()]));
    // Host 1 learns of VMs that come, and each time the item that lets the streams pass is another one.
    let mut more: Vec<(u8, u8, u8)> = (1..=3).flat_map(|tier| (1..=3).map(move |host| (tier, host, host))).collect();
    for round in 2..12_u8 {
        more.push((3, 100 + round, 2));
        vpc.tell(1, TOPOLOGY, round.into(), &topology(&[1, 2, 3], &more))?;
        let item = format!("9 allow ingress udp {round}-1000 10.1.1.0/24");
        let acls = policies(&[(2, &[&item]), (1, &["1 allow ingress all - 0.0.0.0/0"]), (3, &[&item])]);
        ensure!(vpc.tell(1, POLICIES, round.into(), &acls)?.ends_with("was applied"));
    }
    for stream in streams {
        stream?.stop()?.expect_once()?;
    }
    lab.expect_no_duplicates()
}

#[test]
fn a_stale_topology_bounces_nothing_back_into_the_mesh() -> Result<()> {
    let vpc = VpcCloud::new("stale", NodeConfig::default())?;
    vpc.tell_all(POLICIES, 1, &open_policies())?;
    let lab = vpc.cloud().lab();
    // Each host believes that the VM of tier 1 made on host 3 is on the next host: 1 -> 2 -> 3 -> 1.
    vpc.vm(1, 3)?.unplug()?;
    for (host, believed) in [(1, 2), (2, 3), (3, 1)] {
        let vms = [(1, 1, 1), (1, 2, 2), (1, 3, believed), (2, 1, 1), (2, 2, 2), (2, 3, 3)];
        ensure!(vpc.tell(host, TOPOLOGY, 2, &topology(&[1, 2, 3], &vms))?.ends_with("was applied"));
        vpc.settle(host)?;
    }
    // It comes to the host that the sender believes in, which floods it among its own VMs, and goes no further.
    let lost = vpc.vm(1, 3)?.as_target();
    lab.deliver(vpc.vm(1, 1)?, lost)?.expect_once_at(&[vpc.vm(1, 2)?])?;
    lab.deliver(vpc.vm(1, 2)?, lost)?.expect_nowhere()?;
    lab.deliver(vpc.vm(2, 1)?, vpc.packet((2, 1), (1, 3), Payload::Icmp)?)?.expect_once_at(&[vpc.vm(1, 2)?])?;
    for kind in Kind::FLOODED.into_iter().filter(|kind| !kind.is_ipv6()) {
        lab.deliver(vpc.vm(1, 1)?, kind)?.expect_once_at(&[vpc.vm(1, 2)?])?;
    }
    lab.expect_no_duplicates()
}

#[test]
fn old_and_repeated_updates_are_ignored_and_a_later_one_is_not() -> Result<()> {
    let vpc = VpcCloud::new("order", NodeConfig::default())?;
    ensure!(vpc.tell(1, TOPOLOGY, 9, &whole_topology())?.ends_with("was applied"));
    let before = vpc.flows(1)?;
    for old in [9, 8, 1] {
        let answer = vpc.tell(1, TOPOLOGY, old, &topology(&[1], &[]))?;
        ensure!(answer.starts_with("SUCCESS: ") && answer.contains("was ignored"), "{answer}");
    }
    ensure!(vpc.flows(1)? == before, "an old update has changed flows");
    for (config, words) in [("{}", "vpc is required"), ("{\"vpc\":{\"tiers\":[],\"vms\":[]}}", "vpc.cidr is required")]
    {
        let answer = vpc.tell(1, TOPOLOGY, 10, &serde_json::from_str(config)?)?;
        ensure!(answer.starts_with("FAILURE:IMPROPER_JSON_CONFG_FILE ") && answer.contains(words), "{answer}");
    }
    ensure!(vpc.flows(1)? == before, "a bad update has changed flows");
    let answer = vpc.tell(1, TOPOLOGY, 10, &topology(&[1], &[(1, 1, 1), (1, 2, 2)]))?;
    ensure!(answer.ends_with("was applied"), "the number of a bad update counts for nothing: {answer}");
    ensure!(vpc.flows(1)?.len() < before.len());
    Ok(())
}

/// What a tool does in the middle of an update, what the update may answer, and whether it has taken effect then.
type Fault = (&'static str, Mode, &'static str);

const FAULTS: [Fault; 5] = [
    ("ovs-ofctl", Mode::Fails, "FAILURE:REFUSED "),
    ("ovs-ofctl", Mode::Killed, "FAILURE:UNAVAILABLE "),
    ("ovs-ofctl", Mode::Hangs, "FAILURE:UNAVAILABLE "),
    ("ovs-vsctl", Mode::Fails, "FAILURE:REFUSED "),
    ("ovs-vsctl", Mode::Killed, "FAILURE:UNAVAILABLE "),
];

#[test]
fn a_failed_update_is_undone_and_can_be_sent_again() -> Result<()> {
    let tools = Toolbox::new()?;
    let config = NodeConfig { bin_dir: tools.path().into(), timeout: "2s".into(), ..NodeConfig::default() };
    let vpc = VpcCloud::new("fault", config)?;
    let number = |key: &str| -> Result<String> {
        let host = vpc.cloud().node(1)?.host();
        Ok(host.vsctl(["--if-exists", "get", "Bridge", "xapi7", &format!("other_config:{key}")])?.trim().to_owned())
    };
    let small = topology(&[1, 2], &[(1, 1, 1), (1, 2, 2), (2, 1, 1)]);
    let mut sequence = 1;
    for (tool, mode, words) in FAULTS {
        let before = vpc.flows(1)?;
        sequence += 1;
        tools.set(tool, mode)?;
        let next = if sequence % 2 == 0 { &small } else { &whole_topology() };
        let answer = vpc.tell(1, TOPOLOGY, sequence, next)?;
        ensure!(answer.starts_with(words), "{tool} {mode:?}: {answer}");
        tools.set(tool, Mode::Works)?;
        vpc.settle(1)?;
        ensure!(number("topology-update-sequence-number")? == format!("\"{}\"", sequence - 1), "{tool} {mode:?}");
        ensure!(vpc.flows(1)? == before, "{tool} {mode:?}: the flows are not those of what is recorded");
        let answer = vpc.tell(1, TOPOLOGY, sequence, next)?;
        ensure!(answer.ends_with("was applied"), "{tool} {mode:?}: {answer}");
        ensure!(vpc.flows(1)? != before, "{tool} {mode:?}: nothing has changed");
    }
    // What was carried out although the tool was killed is seen, and is a success.
    for (number, tool) in [(1, "ovs-vsctl"), (2, "ovs-ofctl")] {
        tools.set(tool, Mode::KilledAfter)?;
        let answer = vpc.tell(1, POLICIES, number, &open_policies())?;
        ensure!(answer.ends_with("was applied"), "{tool}: {answer}");
        tools.set(tool, Mode::Works)?;
    }
    Ok(())
}
