//! Doors to the parsers of foreign text, for tests/fuzz only. Must not be used by the product.
#![doc(hidden)]

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;
use tokio_util::codec::Decoder;

use crate::mirror::{JsonFrames, take};
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
    pub fn take(&self, message: &[u8]) -> Result<Option<String>, String> {
        take(&self.0, &message.to_vec().into(), 0).map_err(|error| error.to_string())
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
pub fn messages(stream: &[u8], piece: usize) -> Result<Vec<Vec<u8>>, String> {
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

/// Major and minor version in what `ovs-vsctl --version` prints.
pub fn version(printed: &str) -> Option<(u32, u32)> {
    crate::vsctl::parse_version(printed)
}
