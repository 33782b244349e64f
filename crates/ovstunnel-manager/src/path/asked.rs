//! What a host's daemon answers about one bridge while a way is looked at. Must not judge it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ovstunnel_api::{FollowedFrame, LimitCounted, Reason, Tier, Vif};
use ovstunnel_client::{Client, ClientError, Packet};
use ovstunnel_types::{GreKey, Mac};

use crate::hosts::Hosts;
use crate::zone::Side;

/// A frame that is followed.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Ethernet address of its sender.
    pub source: String,
    /// Ethernet address of its receiver.
    pub destination: String,
    /// The packet in it, where it passes from one tier of a VPC to another.
    pub packet: Option<Packet>,
    /// Ethernet addresses that it has behind the host that has routed it.
    pub behind: Option<(String, String)>,
}

impl Frame {
    /// As it comes to the other host.
    pub fn routed(&self) -> Frame {
        let Some((source, destination)) = self.behind.clone() else { return self.clone() };
        Frame { source, destination, ..self.clone() }
    }
}

/// Where an address was learnt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Learnt {
    /// The address is not known.
    NoAddress,
    /// Behind this port of the bridge; seconds since a frame from it came.
    At(String, Option<u32>),
    /// Nowhere: nothing was heard of it within the time that the bridge remembers addresses.
    Nowhere,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Asked {
    client: Option<Client>,
    bridge: Option<String>,
    /// The VIFs of the bridge that have a device.
    pub vifs: Vec<String>,
    /// Where the end's own address was learnt; or why that is not known.
    pub learnt: Result<Learnt, String>,
    /// The VIF that the hypervisor has noted the end's address at.
    noted: Option<String>,
    /// Whether the bridge is of a VPC: it learns no addresses.
    pub is_vpc: bool,
    /// Ethernet addresses of the gateways of a VPC's tiers.
    pub gateways: BTreeMap<GreKey, String>,
    /// VIFs whose device is not there or not up, with what is said of it.
    down: BTreeMap<String, Reason>,
    /// What the limit of the end's VIF had counted, where it has one.
    pub limit: Option<LimitCounted>,
    /// When that was.
    looked: Instant,
}

/// The requirement that a VIF's own device is there and up.
const VIF_DOWN: &str = "vif_down";

/// For how long it is watched what a limit drops.
const WATCHED: Duration = Duration::from_millis(100);

/// Why a daemon has not answered; its own words, where it has some.
fn error_reason(error: &ClientError) -> String {
    match error {
        ClientError::Problem(problem) => problem.detail.clone(),
        error => ovstunnel_types::text::error_chain(error),
    }
}

impl Asked {
    /// Asks a host; one that cannot be asked is not.
    pub async fn ask_host(hosts: &Hosts, side: &Side, mac: Option<String>, patience: Duration) -> Asked {
        let nothing = |why: String| Asked {
            client: None,
            bridge: None,
            vifs: Vec::new(),
            learnt: Err(why),
            noted: None,
            is_vpc: false,
            gateways: BTreeMap::new(),
            down: BTreeMap::new(),
            limit: None,
            looked: Instant::now(),
        };
        let (Some(bridge), Some(api), true) = (&side.bridge, &side.api, side.is_connected) else {
            return nothing("it was not asked: it has no bridge, or cannot be asked".to_owned());
        };
        let client = match hosts.daemon_client(api) {
            Ok(client) => client.with_timeout(patience),
            Err(error) => return nothing(error.to_line()),
        };
        let there = match client.bridge(bridge).await {
            Ok(there) => there,
            Err(error) => return nothing(error_reason(&error)),
        };
        let learnt = match &mac {
            None => Ok(Learnt::NoAddress),
            Some(mac) => match client.addresses(bridge, Some(mac)).await {
                Ok(table) => Ok(table.addresses.into_iter().next().map_or(Learnt::Nowhere, |known| {
                    Learnt::At(known.port.unwrap_or_else(|| "a port that is gone".to_owned()), known.age)
                })),
                Err(error) => Err(error_reason(&error)),
            },
        };
        let of_tier = |tier: &Tier| Some((GreKey::try_from(i64::from(tier.key)).ok()?, tier.gateway_mac.clone()?));
        let gateways = there.vpc.iter().flat_map(|vpc| vpc.tiers.iter().filter_map(of_tier)).collect();
        let is_it = |vif: &&Vif| {
            vif.ofport.is_some()
                && vif.mac.is_some()
                && vif.mac.as_deref().map(str::parse::<Mac>) == mac.as_deref().map(str::parse::<Mac>)
        };
        let noted = there.vifs.iter().find(is_it).map(|vif| vif.name.clone());
        let down = there.health.reasons.into_iter().filter(|reason| reason.what == VIF_DOWN);
        let mut asked = Asked {
            client: Some(client),
            bridge: Some(bridge.clone()),
            vifs: there.vifs.into_iter().filter(|vif| vif.ofport.is_some()).map(|vif| vif.name).collect(),
            learnt,
            noted,
            is_vpc: there.vpc.is_some(),
            gateways,
            down: down.map(|reason| (reason.subject.clone(), reason)).collect(),
            limit: None,
            looked: Instant::now(),
        };
        if side.knows_packets {
            asked.limit = asked.ask_limit().await;
            asked.looked = Instant::now();
        }
        asked
    }

    /// The VIF by which frames of the end come in: where its address was learnt, else that at which the hypervisor has noted it; of a host, the
    /// first one, of which nothing is known to be wrong where there is such a one.
    pub fn entry_vif(&self) -> Option<&str> {
        let up = || self.vifs.iter().find(|vif| !self.down.contains_key(*vif));
        let vif = match &self.learnt {
            Ok(Learnt::At(port, _)) => self.vifs.iter().find(|vif| *vif == port),
            Ok(Learnt::NoAddress) => up().or(self.vifs.first()),
            Ok(Learnt::Nowhere) => self.noted.as_ref(),
            Err(_) => None,
        };
        vif.map(String::as_str)
    }

    /// Whether the host was asked and has no VIF with a device there.
    pub fn has_no_vif(&self) -> bool {
        self.learnt.is_ok() && self.vifs.is_empty()
    }

    /// What is said of the end's VIF, where its device is not there or not up.
    pub fn vif_down(&self) -> Option<&Reason> {
        self.down.get(self.entry_vif()?)
    }

    /// What the limit of the end's VIF has counted by now; nothing where it has none, or that is not known.
    async fn ask_limit(&self) -> Option<LimitCounted> {
        let (client, bridge) = (self.client.as_ref()?, self.bridge.as_ref()?);
        client.limit(bridge, self.entry_vif()?).await.ok()?.limit
    }

    /// The same once it was watched for a while, and for how long that was.
    pub async fn limit_again(&self) -> Option<(LimitCounted, Duration)> {
        tokio::time::sleep(WATCHED.saturating_sub(self.looked.elapsed())).await;
        let watched = self.looked.elapsed();
        Some((self.ask_limit().await?, watched))
    }

    /// Where a frame comes out that comes in by this port, or why that is not known.
    pub async fn trace_frame(&self, in_port: &str, frame: &Frame) -> Result<FollowedFrame, String> {
        let (Some(client), Some(bridge)) = (&self.client, &self.bridge) else {
            return Err("the host was not asked".to_owned());
        };
        let (source, destination) = (frame.source.as_str(), frame.destination.as_str());
        let followed = match &frame.packet {
            None => client.trace(bridge, in_port, source, destination).await,
            Some(packet) => client.trace_packet(bridge, in_port, (source, destination), packet).await,
        };
        followed.map_err(|error| error_reason(&error))
    }
}
