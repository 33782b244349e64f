//! The examples of what a bridge does with frames. Must not be used for anything but the description of the API.

use super::{TUNNEL, some, text};
use crate::{AclDecision, AclDirection, AddressTable, FollowedFrame, FrameOut, KnownAddress, LimitCounted, VifLimit};

pub(crate) fn known_address() -> KnownAddress {
    KnownAddress { mac: text("02:00:4c:00:00:02"), port: some(TUNNEL), vlan: 0, age: Some(12) }
}

pub(crate) fn address_table() -> AddressTable {
    AddressTable { addresses: vec![known_address()], total: 1 }
}

pub(crate) fn way_out() -> FrameOut {
    FrameOut { port: text(TUNNEL), times: 1 }
}

pub(crate) fn followed_frame() -> FollowedFrame {
    FollowedFrame {
        frame: text("in_port=4,dl_src=02:00:4c:00:00:01,dl_dst=02:00:4c:00:00:02,dl_type=0x88b5"),
        outs: Some(vec![way_out()]),
        flooded: false,
        unresolved: vec![],
        evidence: text("forwarding to learned port"),
        acl: vec![],
    }
}

pub(crate) fn acl_decision() -> AclDecision {
    AclDecision { tier: 1002, direction: AclDirection::Ingress, acl: some("7"), item: Some(11), passes: false }
}

pub(crate) fn vif_limit() -> VifLimit {
    VifLimit { vif: text("vif1.0"), limit: Some(limit_counted()) }
}

pub(crate) fn limit_counted() -> LimitCounted {
    LimitCounted { pps: 50, seconds: 12.5, frames: 1200, dropped: 700 }
}
