//! How ports are configured over OpenFlow. Must not set it; the writer does, on ports of ours.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use ovstunnel_ovs::PortsTold;
use ovstunnel_plan::ObservedBridge;
use uuid::Uuid;

use super::{Managed, Moved, Watch};
use crate::writer::{Suspicion, needed_settings, ports_of_ours};

/// Bridges that are asked in one second; each costs a command.
const IN_A_SECOND: usize = 16;

/// Without any sign of a change one bridge is asked in so many seconds, and where there are many one in so many seconds as there are
/// bridges by [`MANY`]: a command takes six rounds of a main loop that is as long as there are bridges, and only what is done with
/// fragments and a device that is set down move no counter.
const SELDOM: u64 = 10;
const MANY: u64 = 8;

/// What is remembered from second to second.
#[derive(Debug, Default)]
pub(super) struct Ports {
    /// Bridges that are to be asked.
    pub due: BTreeSet<Uuid>,
    /// Bridges of which a port was told as down that is up in the database.
    behind: BTreeSet<Uuid>,
    turn: usize,
}

/// Whether a port is told as down whose device is up: one of the two is older than the other.
fn is_behind(bridge: &ObservedBridge, told: &PortsTold) -> bool {
    let interfaces = bridge.ports.values().flat_map(|port| &port.interfaces);
    let mut up = interfaces.filter(|interface| interface.admin_up == Some(true));
    up.any(|interface| {
        let told = interface.openflow_port().and_then(|number| told.ports.get(&number));
        told.is_some_and(|config| config.down)
    })
}

impl Watch {
    /// Asks bridges whose ports may have been configured anew: those that the database says were touched; where it does not
    /// explain that the switch was configured anew, all.
    pub(super) async fn ask_ports(&mut self, moved: Moved, suspicion: &mut Suspicion) {
        if moved.counted && !moved.database {
            self.ports.due.extend(self.bridges.iter().map(|bridge| bridge.uuid));
        }
        if self.seconds.is_multiple_of(SELDOM) {
            self.ports.due.append(&mut self.ports.behind);
        }
        let bridges = u64::try_from(self.bridges.len()).unwrap_or(u64::MAX);
        if self.seconds.is_multiple_of(SELDOM.max(bridges / MANY)) {
            let next = self.bridges.get(self.ports.turn % self.bridges.len().max(1));
            self.ports.due.extend(next.map(|bridge| bridge.uuid));
            self.ports.turn = self.ports.turn.wrapping_add(1);
        }
        let due: Vec<Managed> = self
            .bridges
            .iter()
            .filter(|bridge| self.ports.due.contains(&bridge.uuid))
            .take(IN_A_SECOND)
            .cloned()
            .collect();
        if due.is_empty() {
            return self.ports.due.clear();
        }
        let real = &self.real;
        let asked = due.into_iter().map(|bridge| async move {
            let told = real.ports_told(bridge.name.as_str()).await;
            (bridge, told)
        });
        let told: Vec<_> = futures_util::stream::iter(asked).buffer_unordered(IN_A_SECOND).collect().await;
        for (bridge, told) in told {
            self.ports.due.remove(&bridge.uuid);
            let Ok(told) = told.inspect_err(|error| tracing::debug!(bridge = %bridge.name, %error, "ports not told"))
            else {
                continue;
            };
            let observed = self.observed_bridge(bridge.uuid).map(|(observed, _)| observed);
            let wrong = observed.as_ref().is_some_and(|observed| {
                let config = |number| told.ports.get(&number).copied().unwrap_or_default();
                ports_of_ours(observed).any(|(_, number)| !needed_settings(config(number), number).is_empty())
            });
            if observed.is_some_and(|observed| is_behind(&observed, &told)) {
                self.ports.behind.insert(bridge.uuid);
            }
            self.witnesses.edit_witness(bridge.uuid, |witness| {
                witness.ports = told.ports;
                witness.fragments = told.fragments;
            });
            if wrong {
                suspicion.ports.insert(bridge.name);
                // To see that it was repaired.
                self.ports.due.insert(bridge.uuid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ovstunnel_plan::{ObservedInterface, ObservedPort, PortConfig};

    use super::*;

    #[test]
    fn a_port_that_is_told_as_down_and_is_up_is_asked_again() {
        let bridge = |admin_up| {
            let vif = ObservedInterface { admin_up, ofport: Some(7), ..ObservedInterface::default() };
            let port = ObservedPort { name: "vif1.0".into(), interfaces: vec![vif], ..ObservedPort::default() };
            ObservedBridge { ports: [(port.name.clone(), port)].into(), ..ObservedBridge::default() }
        };
        let told = |down| {
            let config = PortConfig { down, ..PortConfig::default() };
            PortsTold { ports: [(7, config)].into(), ..PortsTold::default() }
        };
        assert!(is_behind(&bridge(Some(true)), &told(true)));
        assert!(!is_behind(&bridge(Some(false)), &told(true)), "both say so");
        assert!(!is_behind(&bridge(Some(true)), &told(false)) && !is_behind(&bridge(None), &told(true)));
    }
}
