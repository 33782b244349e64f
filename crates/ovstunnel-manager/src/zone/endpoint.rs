//! At which address the tunnels of each host end.
//!
//! What it does: takes in what was found of it, and says what is news. What it must not do: let two hosts have one address.

use ovstunnel_api::Interface;
use ovstunnel_manager_api::Trouble;
use ovstunnel_types::{HostNumber, RemoteIp};

use super::State;
use super::host;

/// Why it is not known at which address a host's tunnels end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointFault {
    /// Its label names nothing there.
    LabelUnknown(String),
    /// What it names has no address of the family that tunnels of the zone end at.
    NoAddress(String),
    /// It could not be asked: what was known before still holds.
    NotAsked(String),
}

impl State {
    /// Takes in at which address a host's tunnels end. Gives what is to be told of that: kind, name, sentence.
    pub(super) fn take_endpoint(
        &mut self,
        number: HostNumber,
        found: Result<Interface, EndpointFault>,
    ) -> Option<(&'static str, String, String)> {
        let name = self.hosts.get(&number)?.row.name.clone();
        let (trouble, interface, moved) = match found {
            Err(EndpointFault::NotAsked(_)) => return None,
            Err(EndpointFault::LabelUnknown(evidence)) => (Some(("label_unknown", evidence)), None, None),
            Err(EndpointFault::NoAddress(evidence)) => (Some(("no_address", evidence)), None, None),
            Ok(interface) => match self.take_address(number, &interface) {
                Ok(moved) => (None, Some(interface), moved),
                Err((kind, evidence)) => (Some((kind, evidence)), Some(interface), None),
            },
        };
        let is_first = self.seen.get(&number).is_some_and(|seen| !seen.has_told_address);
        self.seen_as(number, |seen| seen.has_told_address = true);
        let is_lost = trouble.is_some() && self.endpoints.address_of(number).is_some();
        if is_lost {
            self.endpoints.remove(number);
        }
        if is_first || is_lost {
            self.changed_of(number);
        }
        let host = self.hosts.get_mut(&number)?;
        host.interface = interface;
        let remedy = "set the host's `label` to the device, bridge or network whose address its tunnels end at";
        let kind = |trouble: &Option<Trouble>| trouble.as_ref().map(|trouble| trouble.kind.clone());
        let new = trouble.map(|(kind, evidence)| host::new_trouble(kind, evidence, remedy));
        let is_news = kind(&new) != kind(&host.endpoint_trouble);
        host.endpoint_trouble.clone_from(&new);
        match (new, moved) {
            (Some(trouble), _) if is_news => {
                Some(("endpoint_unknown", name.clone(), format!("host {name}: {}", trouble.evidence)))
            }
            (None, Some(text)) => Some(("address_changed", name, text)),
            _ => None,
        }
    }

    /// Gives a sentence where the address is another one than before.
    fn take_address(
        &mut self,
        number: HostNumber,
        interface: &Interface,
    ) -> Result<Option<String>, (&'static str, String)> {
        let device = &interface.device;
        let ip = interface.ip.as_deref().unwrap_or_default();
        let ip: RemoteIp = ip.parse().map_err(|_| ("no_address", format!("{device} has no address for tunnels")))?;
        let is_new = self.endpoints.address_of(number).is_none_or(|before| before != ip);
        let name = |state: &State, number| {
            state.hosts.get(&number).map_or_else(|| format!("number {number}"), |host| host.row.name.clone())
        };
        match self.endpoints.set(number, ip) {
            Ok(before) => {
                if is_new {
                    self.changed_of(number);
                }
                let name = name(self, number);
                Ok(before.map(|before| format!("the address of host {name} is {ip} and was {before}")))
            }
            Err(taken) => {
                let by = name(self, taken.taken_by);
                Err(("address_taken", format!("{ip} on {device} is also the address of host {by}")))
            }
        }
    }
}
