//! Doors to the parsers of foreign text, for tests/fuzz only. Must not be used by the product.
#![doc(hidden)]

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;
use tokio_util::codec::Decoder;

use crate::mirror::{JsonFrames, take_message};
use crate::{Db, Health, Observer};

/// A mirror that is fed by hand.
#[derive(Debug)]
pub struct Mirror(Observer);

impl Mirror {
    /// An empty one.
    pub fn empty() -> Self {
        let never = || Err("not looked at".to_owned());
        let health = Health {
            database: never(),
            vswitchd: never(),
            generation: 0,
            version: None,
            database_silent: None,
            vswitchd_silent: None,
            no_meters: None,
        };
        Mirror(Observer::new(health))
    }

    /// Takes in one message of the database; gives the answer where one is due.
    ///
    /// # Errors
    /// Why it ends the connection.
    pub fn take_message(&self, message: &[u8]) -> Result<Option<String>, String> {
        take_message(&self.0, &message.to_vec().into(), 0).map_err(|error| error.to_string())
    }

    /// The mirror as it is.
    pub fn read<R>(&self, read: impl FnOnce(&Db) -> R) -> R {
        self.0.read(read)
    }

    /// What does not fit together in it.
    pub fn inconsistency(&self) -> Option<String> {
        self.read(|db| {
            let has =
                |port: &uuid::Uuid, owner: &uuid::Uuid| db.bridges.get(owner).is_some_and(|b| b.ports.contains(port));
            let port = db.bridge_of.iter().find(|(port, owner)| !has(port, owner));
            let has = |item: &uuid::Uuid, owner: &uuid::Uuid| {
                db.ports.get(owner).is_some_and(|p| p.interfaces.contains(item))
            };
            let interface = db.port_of.iter().find(|(item, owner)| !has(item, owner));
            port.or(interface).map(|(item, owner)| format!("{owner} does not have {item}"))
        })
    }
}

/// The messages of a stream that comes in pieces of this many bytes.
///
/// # Errors
/// What is wrong with the stream.
pub fn split_messages(stream: &[u8], piece: usize) -> Result<Vec<Vec<u8>>, String> {
    let (mut frames, mut buffer, mut found) = (JsonFrames::default(), BytesMut::new(), Vec::new());
    for piece in stream.chunks(piece.max(1)) {
        buffer.extend_from_slice(piece);
        while let Some(message) = frames.decode(&mut buffer).map_err(|error| error.to_string())? {
            found.push(message.to_vec());
        }
    }
    Ok(found)
}

/// What `xe` prints of a map.
pub fn xe_map(printed: &str) -> BTreeMap<String, String> {
    crate::xe::parse_map(printed)
}

/// The ports that `ovs-ofctl show` says are not flooded to.
pub fn no_flood(printed: &str) -> BTreeSet<u32> {
    crate::ofctl::parse_no_flood(printed)
}

/// What is made of what the control socket prints of flow tables: how many hidden ones, how many of others, and whether there is
/// nothing but Open vSwitch's own.
pub fn parse_tables(printed: &str) -> Option<(usize, usize, bool)> {
    let now = std::time::Instant::now();
    let tables = crate::Tables::parse(printed, (now, now))?;
    Some((tables.hidden.len(), tables.foreign_flows(&ovstunnel_plan::FlowsSeen::none()).len(), tables.bare))
}

/// The ports of which `ovs-ofctl show` says something.
pub fn ports_told(printed: &str) -> usize {
    crate::PortsTold::parse(printed).ports.len()
}

/// What is made of what the control socket prints of addresses: those set by hand, those on the fullest port, and whether any
/// has moved since the same was printed.
pub fn parse_addresses(printed: &str) -> (usize, u64, bool) {
    let _ = crate::AddressCounts::parse(printed);
    let fixed = crate::Questions::fixed_addresses(printed);
    let fullest = crate::Questions::fullest_port(printed);
    (fixed.len(), fullest.map_or(0, |(_, count)| count), crate::moved_between(printed, printed).is_some())
}

/// How many tunnels' ends are found in what the control socket prints of a datapath's flows.
pub fn tunnel_ends(printed: &str) -> usize {
    crate::told::ends::parse_tunnel_ends(printed).len()
}

/// Where a frame came out, with the ports of the last bridge that the text itself tells of.
pub fn parse_trace(printed: &str) -> Option<ovstunnel_plan::Followed> {
    let ports = crate::DatapathPorts::parse(printed).into_values().next_back().unwrap_or_default();
    ports.parse_trace(printed)
}

/// Major and minor version in what `ovs-vsctl --version` prints.
pub fn parse_version(printed: &str) -> Option<(u32, u32)> {
    crate::vsctl::parse_version(printed)
}

/// Between how many addresses there are keys, by what `ip xfrm state` prints.
pub fn parse_states(printed: &str) -> usize {
    crate::xfrm::parse_states(printed).len()
}

/// What is made of what `ovs-ofctl meter-stats` prints: frames that came, and those of them that were dropped.
pub fn parse_meter(printed: &str) -> Option<(u64, u64)> {
    crate::Metered::parse(printed).map(|metered| (metered.frames, metered.dropped))
}

/// Cookie and priority of each flow that `ofproto/trace` says has matched.
pub fn matched_flows(printed: &str) -> Vec<(u64, u16)> {
    crate::matched_flows(printed).into_iter().map(|(cookie, priority)| (cookie.0, priority)).collect()
}
