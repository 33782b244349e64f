//! What a host's daemon answers about one bridge while a way is looked at. Must not judge it.

use std::time::Duration;

use ovstunnel_api::FollowedFrame;
use ovstunnel_client::{Client, ClientError};

use crate::hosts::Hosts;
use crate::zone::Side;

/// A frame that is followed.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Ethernet address of its sender.
    pub source: String,
    /// Ethernet address of its receiver.
    pub destination: String,
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
}

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
        let nothing = |why: String| Asked { client: None, bridge: None, vifs: Vec::new(), learnt: Err(why) };
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
        let vifs = there.vifs.into_iter().filter(|vif| vif.ofport.is_some()).map(|vif| vif.name).collect();
        Asked { client: Some(client), bridge: Some(bridge.clone()), vifs, learnt }
    }

    /// The VIF by which frames of the end come in: where its address was learnt; of a host, the first one.
    pub fn entry_vif(&self) -> Option<&str> {
        match &self.learnt {
            Ok(Learnt::At(port, _)) => self.vifs.iter().find(|vif| *vif == port).map(String::as_str),
            Ok(Learnt::NoAddress) => self.vifs.first().map(String::as_str),
            _ => None,
        }
    }

    /// Where a frame comes out that comes in by this port, or why that is not known.
    pub async fn trace_frame(&self, in_port: &str, frame: &Frame) -> Result<FollowedFrame, String> {
        let (Some(client), Some(bridge)) = (&self.client, &self.bridge) else {
            return Err("the host was not asked".to_owned());
        };
        let followed = client.trace(bridge, in_port, &frame.source, &frame.destination).await;
        followed.map_err(|error| error_reason(&error))
    }
}
