//! What must not be in one transaction, and in which order transactions follow each other. Must not drop or change a step.

use std::collections::{BTreeSet, VecDeque};

use crate::{PortEdit, PortName, Step, TunnelEndpoint};

/// Splits steps into groups that must not be in one transaction, in order.
///
/// Open vSwitch takes the ports of a transaction in an order of its own and refuses a tunnel while another port still has
/// its remote address and key (docs/ovs-facts.md). So what frees such a pair, or a port's name, goes before what takes it.
/// All else goes into the last group.
pub fn split_stages(mut steps: Vec<Step>) -> Vec<Vec<Step>> {
    let mut stages = VecDeque::new();
    while !steps.is_empty() {
        let (first, rest) = part_steps(steps);
        // Steps that all wait for each other are never planned: a swap removes and adds.
        let (stage, before) = if rest.is_empty() { (first, vec![]) } else { (rest, first) };
        stages.push_front(stage);
        steps = before;
    }
    stages.into()
}

/// The steps that must make way for others of them, and those others.
fn part_steps(steps: Vec<Step>) -> (Vec<Step>, Vec<Step>) {
    let claims: BTreeSet<TunnelEndpoint> = steps.iter().filter_map(Step::claims).collect();
    let added = |step: &Step| if let Step::AddTunnel { tunnel, .. } = step { Some(tunnel.port_name()) } else { None };
    let names: BTreeSet<PortName> = steps.iter().filter_map(added).collect();
    let makes_way = |step: &Step| {
        let name_freed = matches!(step, Step::RemoveTunnel { port, .. } if names.contains(port.as_str()));
        let detaches = matches!(step, Step::EditTunnel { edits, .. } if edits.contains(&PortEdit::Detach));
        name_freed || detaches || step.releases().iter().any(|identity| claims.contains(identity))
    };
    steps.into_iter().partition(makes_way)
}
