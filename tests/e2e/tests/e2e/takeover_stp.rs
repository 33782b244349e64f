//! Take-over from the Python plugin where STP runs on all hosts, as the plugin leaves it: in the order that the daemon
//! tells, with its announcements, nothing is lost and nothing comes twice.
//!
//! Before anything is taken over, two hosts that are not the root of the tree reach each other by way of it, and what they
//! flood to each other is lost (docs/ovs-facts.md). So of that only is asked that it never comes twice.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_api::{Outcome, SpanningTree, TakeoverState};
use ovstunnel_e2e::{NodeConfig, Old, expect_state};
use ovstunnel_lab::{Kind, Pinger, Stream, Vm, wait_until};

/// The hosts by the part that they have in the tree.
struct Tree {
    /// Its root, which comes last.
    root: usize,
    /// Those between which it has no way of their own; the one with the higher id first.
    leaves: [usize; 2],
}

/// Reads from dry runs, as an operator does, in which order the hosts have their turn.
fn tree(old: &Old) -> Result<Tree> {
    let of = |number: usize| -> Result<(SpanningTree, usize)> {
        let plan = old.cloud.call(number, |client| async move { client.dry_run().takeover(&[]).await })??;
        Ok((plan.bridges[0].spanning_tree.clone().context("no spanning tree")?, number))
    };
    let mut hosts: Vec<(SpanningTree, usize)> = Old::HOSTS.into_iter().map(of).collect::<Result<_>>()?;
    hosts.sort_by(|a, b| b.0.bridge_id.cmp(&a.0.bridge_id));
    let root = &hosts[2].0;
    ensure!(root.root_port.is_none() && root.bridge_id == root.root_id, "{hosts:?}");
    for (leaf, number) in &hosts[..2] {
        let to_root = format!("t1001-{number}-{}", hosts[2].1);
        ensure!(leaf.root_port.as_ref() == Some(&to_root) && leaf.root_id == root.root_id, "{hosts:?}");
    }
    Ok(Tree { root: hosts[2].1, leaves: [hosts[0].1, hosts[1].1] })
}

/// All that gets through before, and what the leaves flood to each other, which does not.
struct Traffic {
    pingers: Vec<Pinger>,
    whole: Vec<Stream>,
    lost_before: Vec<Stream>,
}

impl Traffic {
    /// VM 1 of the first leaf never sends anything: it is only sent to.
    fn start(old: &Old, Tree { root, leaves: [a, b] }: &Tree) -> Result<Self> {
        let vm = |host: &usize, number| old.vm(*host, number);
        let (a0, a1, b0, b1, r0, r1) = (vm(a, 0), vm(a, 1), vm(b, 0), vm(b, 1), vm(root, 0), vm(root, 1));
        let ping = |(from, to): (&Vm, &Vm)| from.start_ping(to.ip(), Duration::from_millis(2));
        let pairs = [(r0, a0), (b0, r0), (a0, b0), (b0, a0), (b1, b0)];
        let stream = |from: &Vm, kind, to: &[&Vm]| {
            let to = to.iter().map(|vm| (*vm).clone()).collect();
            old.cloud.lab().stream_to(from, &[kind], Duration::from_millis(10), to)
        };
        let traffic = Traffic {
            pingers: pairs.into_iter().map(ping).collect::<Result<_>>()?,
            whole: vec![
                stream(r0, Kind::Broadcast, &[r1, a0, a1, b0, b1])?,
                stream(a0, Kind::Broadcast, &[a1, r0, r1])?,
                stream(b1, Kind::Broadcast, &[b0, r0, r1])?,
                stream(b1, a1.as_target(), &[a1])?,
                stream(r1, a1.as_target(), &[a1])?,
            ],
            lost_before: vec![stream(a0, Kind::Broadcast, &[b0, b1])?, stream(b1, Kind::Broadcast, &[a0, a1])?],
        };
        wait_until("answers", Old::PATIENCE, || {
            let all = traffic.pingers.iter().all(|pinger| pinger.report().received > 50);
            if all { Ok(()) } else { Err(anyhow!("not all are answered")) }
        })?;
        Ok(traffic)
    }

    fn expect_once(self) -> Result<()> {
        self.lost_before.iter().for_each(Stream::end);
        let once = Old::expect_once((self.pingers, self.whole), true);
        let never_twice = Old::expect_once((vec![], self.lost_before), false);
        once.and(never_twice)
    }
}

/// What a host shows of its tree.
fn states(old: &Old, number: usize) -> Result<String> {
    old.host(number)?.appctl(["stp/show", &old.network.bridge])
}

#[test]
fn a_spanning_tree_is_taken_over_without_loss() -> Result<()> {
    let old = Old::new("old5", &Old::HOSTS, NodeConfig::default())?;
    let foreign = old.foreign()?;
    let tree = tree(&old)?;
    let [first, second] = tree.leaves;

    let traffic = Traffic::start(&old, &tree)?;
    expect_state(&old.take_over(first)?, Outcome::Updated, TakeoverState::TakenOver)?;
    Old::let_pass(&traffic.pingers, 300)?;
    traffic.expect_once()?;

    // Nobody misses the host with the highest id, however long the next one takes. Another would be missed after 6 s.
    let before = (states(&old, second)?, states(&old, tree.root)?);
    old.let_hellos_pass(9)?;
    assert_eq!((states(&old, second)?, states(&old, tree.root)?), before);

    let traffic = Traffic::start(&old, &tree)?;
    expect_state(&old.take_over(second)?, Outcome::Updated, TakeoverState::TakenOver)?;
    for leaf in tree.leaves {
        Old::let_pass(&traffic.pingers, 100)?;
        let answer = old.take_over(leaf)?;
        expect_state(&answer, Outcome::Unchanged, TakeoverState::Unchanged)?;
        assert_eq!(answer.bridges[0].announced, 2, "{answer:#?}");
        expect_unlearnt(&old, &tree, leaf)?;
    }
    Old::let_pass(&traffic.pingers, 100)?;
    let answer = old.take_over(tree.root)?;
    expect_state(&answer, Outcome::Updated, TakeoverState::TakenOver)?;
    assert_eq!(answer.bridges[0].announced, 2, "by each tunnel: {answer:#?}");
    Old::let_pass(&traffic.pingers, 300)?;
    traffic.expect_once()?;
    expect_announcements(&old, &tree)?;
    old.expect_taken_over(&foreign)
}

/// That a leaf hands a frame that comes by way of the root to its VM and does not learn from it.
fn expect_unlearnt(old: &Old, Tree { root, .. }: &Tree, leaf: usize) -> Result<()> {
    let port = old.host(leaf)?.wait_for_ofport(&format!("t1001-{leaf}-{root}"))?;
    let (from, to) = (old.vm(*root, 0), old.vm(leaf, 0));
    let frame = format!("in_port={port},tun_id=1001,dl_src={},dl_dst={}", from.mac(), to.mac());
    let traced = old.host(leaf)?.appctl(["ofproto/trace", &old.network.bridge, &frame])?;
    let vif = format!("output:{}", old.host(leaf)?.wait_for_ofport(&to.vif())?);
    ensure!(traced.contains(&vif) && !traced.contains("NORMAL"), "{traced}");
    Ok(())
}

/// That each VM on the leaves was announced twice, and each announcement came once to each other VM that it could reach:
/// of the first leaf's first ones the second leaf, not taken over then, heard too, for its tunnel to the first was open.
fn expect_announcements(old: &Old, Tree { leaves, .. }: &Tree) -> Result<()> {
    for announced in leaves.iter().flat_map(|leaf| [old.vm(*leaf, 0), old.vm(*leaf, 1)]) {
        for hearer in old.vms.iter().filter(|vm| vm.name() != announced.name()) {
            let heard = hearer.heard().announcements.get(&announced.mac()).copied();
            ensure!(heard == Some(2), "{hearer} heard {heard:?} announcements of {announced}");
        }
    }
    Ok(())
}
