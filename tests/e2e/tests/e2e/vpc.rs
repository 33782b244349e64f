//! What the VMs of a distributed-routing VPC see: three tiers over three hosts, every frame counted at every VM.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use ovstunnel_e2e::{NodeConfig, VPC_BRIDGE, VpcCloud, gateway, open_policies, policies};
use ovstunnel_lab::{DEADLINE, Kind, Packet, Payload, Probe, run};

const ALL: [u8; 3] = [1, 2, 3];

#[test]
fn frames_reach_their_tier_once_and_other_tiers_straight() -> Result<()> {
    let vpc = VpcCloud::new("vpc", NodeConfig::default())?;
    let lab = vpc.cloud().lab();
    // Every kind of frame that is flooded: once at each other VM of its tier, at no other VM at all. IPv6 is dropped.
    for delivery in lab.deliver_all(&lab.every_flooded_kind())? {
        if delivery.kind.is_ipv6() { delivery.expect_nowhere()? } else { delivery.expect_once()? }
    }
    // Without policies nothing passes between tiers, within a tier everything does.
    let mut probes = Vec::new();
    for (from, to) in ALL.iter().flat_map(|a| ALL.map(|b| ((1, *a), (2, b)))) {
        probes.push(Probe::new(vpc.vm(from.0, from.1)?, vpc.packet(from, to, Payload::Icmp)?));
    }
    lab.deliver_all(&probes)?.iter().try_for_each(|delivery| delivery.expect_nowhere())?;
    let within = ALL.iter().flat_map(|tier| [((*tier, 1), (*tier, 3)), ((*tier, 2), (*tier, 1))]);
    for (from, to) in within {
        lab.deliver(vpc.vm(from.0, from.1)?, vpc.packet(from, to, Payload::Tcp(80))?)?.expect_once()?;
    }

    vpc.tell_all("routing_policies", 1, &open_policies())?;
    for (tier, other) in [(1, 2), (2, 3), (3, 1), (2, 1)] {
        for (here, there) in ALL.iter().flat_map(|here| ALL.map(|there| (*here, there))) {
            let (from, to) = ((tier, here), (other, there));
            // Straight: no VM of a third host hears anything of it, for it comes once, and at its target only.
            lab.deliver(vpc.vm(tier, here)?, vpc.packet(from, to, Payload::Udp(53))?)?.expect_once()?;
            let target = vpc.vm(other, there)?;
            let (mac, source) = target.heard().last.context("it has heard nothing")?;
            ensure!((mac, source) == (target.mac(), gateway(other)), "{from:?} -> {to:?}: from {source} to {mac}");
        }
    }
    // And on one host nothing of it goes by a tunnel.
    let trace = |dst: Ipv4Addr| {
        let flow = format!(
            "in_port=vif1.0,icmp,dl_src=02:00:00:00:01:01,dl_dst=02:00:00:00:01:fe,nw_src=10.1.1.1,nw_dst={dst},nw_ttl=64"
        );
        vpc.cloud().node(1)?.host().appctl(["ofproto/trace", VPC_BRIDGE, &flow])
    };
    let local = trace(vpc.vm(2, 1)?.ip())?;
    ensure!(
        !local.contains("tnl") && local.contains("set(eth(src=02:00:00:00:02:fe,dst=02:00:00:00:02:01))"),
        "{local}"
    );
    ensure!(trace(vpc.vm(2, 2)?.ip())?.contains("tnl"), "to another host by a tunnel");
    lab.expect_no_duplicates()
}

/// What is sent, whether it passes, and why that is so.
type Case = ((u8, u8), (u8, u8), Payload, bool);

#[test]
fn acls_let_pass_what_they_say_and_nothing_else() -> Result<()> {
    let vpc = VpcCloud::new("acl", NodeConfig::default())?;
    let tier_1: &[&str] = &["5 deny egress tcp 25-25 0.0.0.0/0", "6 deny egress all - 10.1.3.3/32"];
    let tier_2: &[&str] = &[
        "10 allow ingress tcp 80-443 10.1.1.0/24",
        "11 deny ingress tcp 100-199 10.1.1.0/24",
        "12 allow ingress udp 53-53 10.1.1.2/32,10.1.3.0/24",
        "13 allow ingress icmp - 10.1.3.0/24",
        "14 allow ingress 47 - 0.0.0.0/0",
        "15 allow ingress tcp 1025-65535 10.1.1.0/24",
    ];
    let tier_3: &[&str] = &["1 allow ingress all - 0.0.0.0/0"];
    vpc.tell_all("routing_policies", 1, &policies(&[(1, tier_1), (2, tier_2), (3, tier_3)]))?;
    use Payload::{Icmp, Other, Tcp, Udp};
    let mut cases: Vec<Case> = Vec::new();
    // A range, with a range in it that is denied, on the same host and on another.
    for (port, passes) in
        [(79, false), (80, true), (99, true), (100, false), (199, false), (200, true), (443, true), (444, false)]
    {
        cases.extend([((1, 1), (2, 1), Tcp(port), passes), ((1, 1), (2, 3), Tcp(port), passes)]);
    }
    for (port, passes) in [(1024, false), (1025, true), (32768, true), (65535, true)] {
        cases.push(((1, 2), (2, 2), Tcp(port), passes));
    }
    // Source networks, of which there are several; UDP, ICMP, a protocol number.
    cases.extend([
        ((1, 1), (2, 1), Udp(53), false),
        ((1, 2), (2, 1), Udp(53), true),
        ((3, 1), (2, 1), Udp(53), true),
        ((3, 1), (2, 2), Udp(54), false),
        ((3, 1), (2, 1), Tcp(80), false),
        ((1, 1), (2, 1), Icmp, false),
        ((3, 2), (2, 1), Icmp, true),
        ((1, 1), (2, 2), Other(47), true),
        ((1, 1), (2, 2), Other(50), false),
    ]);
    // What leaves: by port, by where it goes; tier 2 has items about what comes in only, and may leave.
    cases.extend([
        ((1, 1), (3, 1), Tcp(25), false),
        ((1, 1), (3, 1), Tcp(26), true),
        ((1, 1), (3, 2), Udp(25), true),
        ((1, 1), (3, 3), Icmp, false),
        ((1, 3), (3, 3), Tcp(80), false),
        ((2, 1), (3, 3), Icmp, true),
    ]);
    // Tier 1 has no item about what comes in. Within a tier no ACL applies.
    cases.extend([((2, 1), (1, 1), Icmp, false), ((2, 1), (2, 2), Tcp(444), true), ((1, 1), (1, 2), Tcp(25), true)]);
    let probe =
        |(from, to, payload, _): &Case| Ok(Probe::new(vpc.vm(from.0, from.1)?, vpc.packet(*from, *to, *payload)?));
    let probes = cases.iter().map(probe).collect::<Result<Vec<_>>>()?;
    for (case, delivery) in cases.iter().zip(vpc.cloud().lab().deliver_all(&probes)?) {
        let told = if case.3 { delivery.expect_once() } else { delivery.expect_nowhere() };
        told.with_context(|| format!("{case:?}"))?;
    }
    // A source address that is not the VM's own network's does not get around the ACLs.
    let forged = Packet { mac: gateway(1), from: Ipv4Addr::new(10, 1, 3, 9), to: vpc.vm(2, 1)?.ip(), payload: Icmp };
    vpc.cloud().lab().deliver(vpc.vm(1, 1)?, Kind::Routed(forged))?.expect_once_at(&[vpc.vm(1, 2)?, vpc.vm(1, 3)?])
}

#[test]
fn guests_talk_to_each_other_over_their_gateways() -> Result<()> {
    let vpc = VpcCloud::new("guest", NodeConfig::default())?;
    vpc.tell_all("routing_policies", 1, &open_policies())?;
    for (tier, host) in [(1, 1), (2, 1), (2, 2)] {
        let vm = vpc.vm(tier, host)?;
        // No router answers for the gateway in this lab.
        let commands = [
            format!("neigh replace 10.1.{tier}.254 lladdr {} dev eth0", gateway(tier)),
            format!("route add 10.1.0.0/16 via 10.1.{tier}.254"),
        ];
        for words in commands {
            let mut command = vm.command("ip");
            command.args(words.split(' '));
            run(command, DEADLINE)?;
        }
    }
    let (client, near, far) = (vpc.vm(1, 1)?, vpc.vm(2, 1)?, vpc.vm(2, 2)?);
    client.ping(near.ip(), 20)?.expect_no_loss()?;
    client.ping(far.ip(), 1)?;
    client.ping(far.ip(), 20)?.expect_no_loss()
}
