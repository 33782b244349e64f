//! A model of hosts that do what they are told, as far as a daemon would, and of what is known of them. Must not plan.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use ovstunnel_mesh::difference::{Circumstances, Difference, mesh_difference};
use ovstunnel_mesh::kind_change::Answered;
use ovstunnel_mesh::membership::Attachment;
use ovstunnel_mesh::observed::{Bridge, Carries, Host, Mode, Snapshot, Tunnel};
use ovstunnel_mesh::{Brakes, Earlier, Endpoints, Mesh, Moment, Plan, Request, Sending, plan_requests};
use ovstunnel_types::{
    FlowsState, GreKey, HealthState, HostId, HostNumber, Ipv6Policy, KindStep, PortName, RemoteIp, TunnelKind,
    TunnelState,
};

pub fn host(number: u64) -> HostNumber {
    number.try_into().unwrap()
}

pub fn ip(last: u64) -> RemoteIp {
    format!("192.0.{}.{}", 2 + last / 250, last % 250 + 1).parse().unwrap()
}

pub fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

pub fn key() -> GreKey {
    GreKey::try_from(1001).unwrap()
}

/// A host of the model.
#[derive(Clone)]
pub struct Machine {
    pub is_up: bool,
    pub snapshot_given: bool,
    pub mode: Mode,
    pub has_xapi: bool,
    pub is_vpc: bool,
    pub host_id: Option<HostId>,
    pub vifs: usize,
    /// By which kind its bridge sends, and by which it receives too.
    pub kind: TunnelKind,
    pub second: Option<TunnelKind>,
    /// The UDP ports of the one and of the other.
    pub ports: [Option<u16>; 2],
    /// The network's bridge, with port, other end and address of each tunnel.
    pub bridge: Option<Vec<(PortName, HostId, RemoteIp)>>,
}

impl Machine {
    pub fn empty() -> Machine {
        Machine {
            is_up: true,
            snapshot_given: true,
            mode: Mode::Manage,
            has_xapi: false,
            is_vpc: false,
            host_id: None,
            vifs: 0,
            kind: TunnelKind::Gre,
            second: None,
            ports: [None; 2],
            bridge: None,
        }
    }

    /// Another tunnel on its bridge, by a free port name.
    pub fn add(&mut self, to: HostId, remote_ip: RemoteIp) {
        let tunnels = self.bridge.get_or_insert_default();
        let names = std::iter::once(format!("p{to}")).chain((2..).map(|n| format!("p{to}.{n}")));
        let mut free = names.map(|name| name.parse::<PortName>().unwrap());
        let port = free.find(|name| tunnels.iter().all(|(other, ..)| other != name)).unwrap();
        tunnels.push((port, to, remote_ip));
    }

    /// Does what a daemon does; a set is taken whole or not at all.
    pub fn take(&mut self, request: &Request) -> Result<(), String> {
        if !self.is_up {
            return Err("silent".into());
        }
        let mut next = self.clone();
        match request {
            Request::PutBridge { tunnels: set, kind, .. } => {
                next.kind = kind.unwrap_or(next.kind);
                next.bridge.get_or_insert_default().retain(|(_, to, ip)| set.get(to) == Some(ip));
                let there: Vec<HostId> = next.bridge.iter().flatten().map(|(_, to, _)| to.clone()).collect();
                for (to, ip) in set.iter().filter(|(to, _)| !there.contains(to)) {
                    next.add(to.clone(), *ip);
                }
            }
            Request::PostTunnel { to, remote_ip, .. } => {
                let to = HostId::from(*to);
                next.bridge.as_mut().ok_or("no bridge")?.retain(|(_, other, _)| *other != to);
                next.add(to, *remote_ip);
            }
            Request::DeleteTunnel { port, .. } => {
                next.bridge.as_mut().ok_or("no bridge")?.retain(|(other, ..)| other != port);
            }
            Request::DeleteBridge { .. } if self.vifs > 0 => return Err("a VIF is on it".into()),
            Request::DeleteBridge { .. } => next.bridge = None,
            Request::ChangeKind { to, step, .. } => next.change_kind(*to, *step)?,
        }
        let mut addresses: Vec<RemoteIp> = next.bridge.iter().flatten().map(|(_, _, ip)| *ip).collect();
        addresses.sort_unstable();
        if addresses.windows(2).any(|two| two[0] == two[1]) {
            return Err("two tunnels of one key to one address".into());
        }
        *self = next;
        Ok(())
    }

    fn change_kind(&mut self, to: TunnelKind, step: KindStep) -> Result<(), String> {
        self.bridge.as_ref().ok_or("no bridge")?;
        let turned = (self.second.unwrap_or(self.kind), Some(self.kind));
        let next = match (step, self.kind == to, self.second) {
            (KindStep::Prepare, false, None) => (self.kind, Some(to)),
            (KindStep::Prepare, true, Some(_)) => turned,
            (KindStep::Switch, false, Some(second)) if second == to => turned,
            (KindStep::Prepare, false, Some(second)) if second == to => (self.kind, self.second),
            (KindStep::Finish, true, _) => (to, None),
            (KindStep::Switch | KindStep::Prepare, true, _) => (self.kind, self.second),
            (step, ..) => return Err(format!("{step} does not follow on {} {:?}", self.kind, self.second)),
        };
        (self.kind, self.second) = next;
        Ok(())
    }

    pub fn bridge_seen(&self, number: u64) -> Option<Bridge> {
        let tunnels = self.bridge.as_ref()?.iter().map(|(port, to, remote_ip)| Tunnel {
            port: port.clone(),
            to: to.clone(),
            remote_ip: *remote_ip,
            key: key(),
            state: TunnelState::Up,
            protected: true,
            bfd: None,
            error: None,
        });
        let carries = if self.is_vpc { Carries::Vpc(vec![key()]) } else { Carries::Network(key()) };
        Some(Bridge {
            name: "ovt1001".parse().unwrap(),
            carries,
            host_id: self.host_id.clone().or(Some(host(number).into())),
            ipv6: Ipv6Policy::Drop,
            kind: self.kind,
            second: self.second,
            ports: self.ports,
            tunnels: tunnels.collect(),
            last_call: None,
            vifs: self.vifs,
            live_vifs: self.vifs,
            flows: FlowsState::InSync,
            health: HealthState::Ok,
            unmet: Vec::new(),
            neighbours: BTreeMap::new(),
            max_guest_mtu: Some(1458),
        })
    }

    fn seen(&self, number: u64) -> Host {
        let snapshot = || Snapshot::new("i", 1, self.bridge_seen(number));
        Host {
            mode: self.mode,
            has_xapi: self.has_xapi,
            snapshot: self.snapshot_given.then(snapshot),
            heard: at(0),
            is_connected: self.is_up,
            has_told_address: true,
            switch_fault: None,
        }
    }
}

/// One network in a zone.
pub struct Zone {
    pub hosts: BTreeMap<u64, Machine>,
    pub attachments: BTreeMap<HostNumber, Attachment>,
    pub endpoints: Endpoints,
    pub with: Circumstances,
    pub brakes: Brakes,
    pub kind: Option<TunnelKind>,
    pub now: Moment,
}

impl Zone {
    pub fn empty() -> Zone {
        Zone {
            hosts: BTreeMap::new(),
            attachments: BTreeMap::new(),
            endpoints: Endpoints::new(),
            with: Circumstances { dead_after: Duration::from_secs(600), ..Circumstances::default() },
            brakes: Brakes::default(),
            kind: None,
            now: at(1),
        }
    }

    /// A whole mesh of these hosts.
    pub fn meshed(hosts: RangeInclusive<u64>) -> Zone {
        let mut zone = Zone::empty();
        hosts.for_each(|number| zone.join(number));
        zone.settle();
        zone
    }

    pub fn join(&mut self, number: u64) {
        self.join_at(number, number);
    }

    pub fn join_at(&mut self, number: u64, last: u64) {
        self.hosts.entry(number).or_insert_with(Machine::empty);
        self.endpoints.set(host(number), ip(last)).unwrap();
        self.attachments.insert(host(number), Attachment::In);
    }

    pub fn leave(&mut self, number: u64) {
        self.attachments.insert(host(number), Attachment::Out);
    }

    /// Nobody has judged this host.
    pub fn forget(&mut self, number: u64) {
        self.attachments.remove(&host(number));
    }

    pub fn mesh(&self) -> Mesh {
        let mut mesh = Mesh::new(1.try_into().unwrap(), key(), None, &self.attachments, &self.endpoints);
        mesh.kind = self.kind;
        mesh
    }

    pub fn seen(&self) -> BTreeMap<HostNumber, Host> {
        self.hosts.iter().map(|(number, machine)| (host(*number), machine.seen(*number))).collect()
    }

    pub fn difference(&self) -> Difference {
        mesh_difference(&self.mesh(), &self.seen(), &Circumstances { now: self.now, ..self.with.clone() })
    }

    pub fn plan(&self) -> Plan {
        self.plan_with(&Answered::new())
    }

    /// The plan of whoever has been answered this of a change of kind.
    pub fn plan_with(&self, answered: &Answered) -> Plan {
        let difference = self.difference();
        let holds = self.brakes.hold_back(std::slice::from_ref(&difference), 100_000, &Earlier::default());
        plan_requests(&difference, &holds, answered)
    }

    pub fn send(&mut self, sending: &Sending) -> Result<(), String> {
        self.hosts.get_mut(&sending.host.get()).unwrap().take(&sending.request)
    }

    /// Plans and sends until there is nothing more to send.
    pub fn settle(&mut self) {
        for _ in 0..5 {
            let plan = self.plan();
            if plan.is_empty() {
                return;
            }
            plan.sendings().for_each(|sending| self.send(sending).unwrap());
        }
        panic!("it never rests: {:?}", self.plan());
    }

    /// Whether the hosts have what the mesh wants, and nothing else.
    pub fn is_exactly_the_mesh(&self) -> bool {
        let mesh = self.mesh();
        self.hosts.iter().all(|(number, machine)| {
            let wanted: Vec<_> = mesh.tunnels_of(host(*number)).map(|t| (HostId::from(t.to), t.remote_ip)).collect();
            let mut there: Vec<_> = machine.bridge.iter().flatten().map(|(_, to, ip)| (to.clone(), *ip)).collect();
            there.sort_by_key(|(to, _)| HostNumber::try_from(to).ok());
            machine.bridge.is_some() == mesh.has_member(host(*number)) && there == wanted
        })
    }

    pub fn said(&self) -> Vec<String> {
        Zone::text(&self.plan().sendings().cloned().collect::<Vec<_>>())
    }

    pub fn text(sendings: &[Sending]) -> Vec<String> {
        sendings.iter().map(|sending| format!("{} {}", sending.host, request_text(&sending.request))).collect()
    }
}

fn request_text(request: &Request) -> String {
    match request {
        Request::PutBridge { bridge, tunnels, .. } => {
            let ends: Vec<&str> = tunnels.keys().map(HostId::as_str).collect();
            format!("PUT {bridge}: {}", ends.join(" "))
        }
        Request::PostTunnel { bridge, to, .. } => format!("POST {bridge} {to}"),
        Request::DeleteTunnel { bridge, port } => format!("DELETE {bridge} {port}"),
        Request::DeleteBridge { bridge } => format!("DELETE {bridge}"),
        Request::ChangeKind { bridge, to, step, .. } => format!("{step} {bridge} {to}"),
    }
}
