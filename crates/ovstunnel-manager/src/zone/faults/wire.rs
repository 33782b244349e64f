//! Faults with their names, words and commands. Must not find out where one comes from.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_manager_api::{Fault, FaultCommand, FaultPlace, Trouble};
use ovstunnel_mesh::Moment;
use ovstunnel_mesh::faults::{self, At, Place, Shape, Way};
use ovstunnel_mesh::proof::{Finding, What};
use ovstunnel_types::{GreKey, HostNumber};
use time::OffsetDateTime;

use super::{Found, Standing};
use crate::zone::wire::{format_time, saturating_u32};
use crate::zone::{Registered, State, Zone};

/// Networks for which commands are given; of more, the list says which they are.
const NAMED: usize = 3;

/// What a proof finds where a host says this of itself.
fn found_as(kind: &str) -> &'static [What] {
    match kind {
        "host_silent" | "certificate_refused" => &[What::HostSilent, What::HostUnseen],
        "openvswitch" => &[What::SwitchUnreachable],
        "label_unknown" | "no_address" | "address_taken" => &[What::AddressUnknown],
        "host_id_mismatch" => &[What::HostIdMismatch],
        "returned_empty" => &[What::BridgeMissing],
        "tunnel_error" => &[What::TunnelDown],
        "protected" => &[What::Unprotected],
        "drift" | "flows_unknown" => &[What::FlowsNotInSync],
        "stp" => &[What::SpanningTree],
        _ => &[],
    }
}

/// Whether a proof finds this where a host says that of itself.
fn is_of(trouble: &Trouble, cause: &faults::Fault) -> bool {
    found_as(&trouble.kind).contains(&cause.what)
}

/// Whether what the host says of itself tells more than the proof: it goes before it.
fn says_more(kind: &str) -> bool {
    matches!(
        kind,
        "host_silent" | "certificate_refused" | "label_unknown" | "no_address" | "address_taken" | "returned_empty"
    )
}

/// The hosts at a place; the one that sends first.
fn place_hosts(at: At) -> (Option<HostNumber>, Option<HostNumber>) {
    match at {
        At::Host(host) => (Some(host), None),
        At::Network(_) => (None, None),
        At::Place { place, .. } => match place {
            Place::Pair(one, other) | Place::Direction(one, other) | Place::Link(_, one, other) => {
                (Some(one), Some(other))
            }
            Place::Way(Way { from, to, .. }) => (Some(from), Some(to)),
            Place::HostOut(host) | Place::HostIn(host) | Place::Host(host) => (Some(host), None),
            Place::Network(_) | Place::RackPair(..) | Place::Rack(_) => (None, None),
        },
    }
}

fn place_racks(at: At, shape: &Shape) -> Vec<String> {
    match at {
        At::Place { place: Place::Rack(rack), .. } => vec![shape.rack_name(rack).to_owned()],
        At::Place { place: Place::RackPair(one, other), .. } => {
            vec![shape.rack_name(one).to_owned(), shape.rack_name(other).to_owned()]
        }
        _ => Vec::new(),
    }
}

/// Its words: how much of the place fails, where that is more than one tunnel.
fn fault_evidence(fault: &faults::Fault) -> String {
    match fault.at {
        At::Place { failed, of, .. } if of > 1 => format!("{failed} of {of} tunnels: {}", fault.evidence),
        _ => fault.evidence.clone(),
    }
}

/// Stable, and readable: kind and place.
fn fault_id(kind: &str, place: &FaultPlace) -> String {
    let parts = [&place.network, &place.host, &place.peer].into_iter().flatten().chain(&place.racks);
    std::iter::once(kind).chain(parts.map(String::as_str)).collect::<Vec<_>>().join(":")
}

impl State {
    /// The causes that were found, and what hosts say of themselves beside these.
    pub(super) fn faults_on_the_wire(
        &self,
        causes: Vec<faults::Fault>,
        standing: &Standing,
        origin: OffsetDateTime,
    ) -> Vec<Found> {
        let mut said: BTreeMap<HostNumber, Vec<&Trouble>> = BTreeMap::new();
        for (host, trouble, _) in &standing.troubles {
            said.entry(*host).or_default().push(trouble);
        }
        let mut at: BTreeMap<HostNumber, Vec<&faults::Fault>> = BTreeMap::new();
        let (mut ids, mut all) = (BTreeSet::new(), Vec::new());
        for cause in &causes {
            let (one, other) = place_hosts(cause.at);
            one.into_iter().chain(other).for_each(|host| at.entry(host).or_default().push(cause));
            let of_host = one.filter(|_| matches!(cause.at, At::Host(_))).and_then(|host| said.get(&host));
            let more = of_host
                .into_iter()
                .flatten()
                .copied()
                .find(|trouble| says_more(&trouble.kind) && is_of(trouble, cause));
            let mut fault = self.fault_to_wire(cause, more, &standing.shape, origin);
            // Several needs of one bridge have one kind and place.
            let (first, mut n) = (fault.id.clone(), 1);
            while !ids.insert(fault.id.clone()) {
                n += 1;
                fault.id = format!("{first}:{n}");
            }
            all.push(Found { fault, keys: cause.keys.clone() });
        }
        let is_new = |host: &HostNumber, trouble: &Trouble| {
            let here = at.get(host).into_iter().flatten();
            !here.into_iter().any(|cause| is_of(trouble, cause) || cause.remedy == trouble.remedy)
        };
        all.extend(
            self.own_faults(standing.troubles.iter().filter(|(host, trouble, _)| is_new(host, trouble)), origin),
        );
        all
    }

    /// What hosts say of themselves and no proof has found; what a host says several times of one kind is one fault.
    fn own_faults<'a>(
        &self,
        troubles: impl Iterator<Item = &'a (HostNumber, Trouble, Moment)>,
        origin: OffsetDateTime,
    ) -> Vec<Found> {
        let mut own: BTreeMap<(HostNumber, &str), (&Trouble, Moment, u32)> = BTreeMap::new();
        for (host, trouble, since) in troubles {
            own.entry((*host, &trouble.kind)).and_modify(|(.., more)| *more += 1).or_insert((trouble, *since, 0));
        }
        let found = own.into_iter().map(|((host, _), (trouble, since, hides))| {
            let place = FaultPlace { host: Some(self.name_of(host)), ..FaultPlace::default() };
            let fault = Fault {
                id: fault_id(&trouble.kind, &place),
                kind: trouble.kind.clone(),
                what: None,
                since: format_time(origin + since.0),
                networks: 0,
                hides,
                evidence: trouble.evidence.clone(),
                remedy: trouble.remedy.clone(),
                commands: self.see_host(&place),
                place,
            };
            Found { fault, keys: BTreeSet::new() }
        });
        found.collect()
    }

    fn fault_to_wire(
        &self,
        cause: &faults::Fault,
        said: Option<&Trouble>,
        shape: &Shape,
        origin: OffsetDateTime,
    ) -> Fault {
        let (host, peer) = place_hosts(cause.at);
        let only = cause.keys.first().filter(|_| cause.keys.len() == 1);
        let place = FaultPlace {
            host: host.map(|host| self.name_of(host)),
            peer: peer.map(|peer| self.name_of(peer)),
            network: only.map(|key| self.network_name(*key)),
            racks: place_racks(cause.at, shape),
        };
        let kind = said.map_or(cause.kind(), |trouble| &trouble.kind);
        // A host is the same fault, whatever networks it comes to have.
        let told = match cause.at {
            At::Host(_) if said.is_some() => FaultPlace { network: None, ..place.clone() },
            _ => place.clone(),
        };
        Fault {
            id: fault_id(kind, &told),
            kind: kind.to_owned(),
            what: Some(cause.what.as_str().to_owned()),
            since: format_time(origin + cause.since.0),
            networks: saturating_u32(cause.keys.len()),
            hides: saturating_u32(cause.hides),
            evidence: said.map_or_else(|| fault_evidence(cause), |trouble| trouble.evidence.clone()),
            remedy: said.map_or_else(|| self.fault_remedy(&cause.remedy), |trouble| trouble.remedy.clone()),
            commands: self.fault_commands(cause.what, &cause.keys, &place),
            place,
        }
    }

    /// What takes it away; where nobody reconciles, that does not.
    fn fault_remedy(&self, remedy: &str) -> String {
        match remedy {
            "reconcile the network" if !self.acts => {
                "the plan says what is missing; the management server, or whoever sets up tunnels, has to send it: \
                 `sdn.ovs.controller` is off"
                    .to_owned()
            }
            remedy => remedy.to_owned(),
        }
    }

    fn fault_commands(&self, what: What, keys: &BTreeSet<GreKey>, place: &FaultPlace) -> Vec<FaultCommand> {
        let here = |run: String| FaultCommand { host: None, run };
        let names = || keys.iter().take(NAMED).map(|key| self.network_name(*key));
        match what {
            What::BridgeMissing
            | What::TunnelMissing
            | What::TunnelTwice
            | What::WrongAddress
            | What::WrongKey
            | What::TunnelTooMany => {
                let plan = names().map(|name| here(format!("ovstunnelctl zone plan {name}")));
                let reconcile = names().filter(|_| self.acts);
                plan.chain(reconcile.map(|name| here(format!("ovstunnelctl zone reconcile {name}")))).collect()
            }
            What::BfdDown => {
                let hosts = [&place.peer, &place.host].into_iter().flatten();
                let show =
                    |host: &String| FaultCommand { host: Some(host.clone()), run: "ovs-appctl bfd/show".to_owned() };
                hosts.map(show).collect()
            }
            What::FramesLost | What::FramesCut => self.send_frames(place, names()),
            What::Counters if self.acts => self.send_frames(place, names()),
            What::Counters => {
                let why = |(from, to): (&String, &String), name: String| {
                    here(format!("ovstunnelctl zone why {from} {to} --network {name}"))
                };
                let ends = place.host.as_ref().zip(place.peer.as_ref());
                ends.into_iter().flat_map(|ends| names().map(move |name| why(ends, name))).collect()
            }
            What::FramesUnexpected => {
                let run = "grep 'tunnel port not found' /var/log/openvswitch/ovs-vswitchd.log".to_owned();
                let log = FaultCommand { host: place.host.clone(), run };
                names().map(|name| here(format!("ovstunnelctl zone plan {name}"))).chain([log]).collect()
            }
            What::Ipv6Mixed | What::KindMixed | What::MtuMixed | What::MtuSmall | What::SeveralBridges => {
                names().map(|name| here(format!("ovstunnelctl zone network show {name}"))).collect()
            }
            _ => self.see_host(place),
        }
    }

    /// What shows where frames end: frames from the one host to the other, where these are known, else into all tunnels.
    fn send_frames(&self, place: &FaultPlace, names: impl Iterator<Item = String>) -> Vec<FaultCommand> {
        let run = |name: String| match (&place.host, &place.peer) {
            (Some(host), Some(peer)) => format!("ovstunnelctl zone why {host} {peer} --network {name} --send"),
            _ => format!("ovstunnelctl zone sweep {name} --mtu"),
        };
        names.map(|name| FaultCommand { host: None, run: run(name) }).collect()
    }

    /// What shows how a host is: on the host, where it can be asked.
    fn see_host(&self, place: &FaultPlace) -> Vec<FaultCommand> {
        let Some(name) = &place.host else { return Vec::new() };
        let is_connected = self.names.get(name).and_then(|number| self.hosts.get(number));
        let is_connected = is_connected.is_some_and(Registered::is_connected);
        let there = if is_connected { "ovstunnelctl doctor" } else { "systemctl status ovstunneld" };
        vec![
            FaultCommand { host: None, run: format!("ovstunnelctl zone host show {name}") },
            FaultCommand { host: Some(name.clone()), run: there.to_owned() },
        ]
    }
}

impl Zone {
    /// What takes a finding of the network with this key away, and the commands for it.
    pub fn finding_help(&self, key: GreKey, finding: &Finding) -> (String, Vec<FaultCommand>) {
        let state = self.lock_state();
        let place = FaultPlace { host: Some(state.name_of(finding.host)), ..FaultPlace::default() };
        (state.fault_remedy(&finding.remedy), state.fault_commands(finding.what, &BTreeSet::from([key]), &place))
    }
}
