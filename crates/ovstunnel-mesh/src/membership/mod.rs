//! Whether a host has VMs of a network: what witnesses say, and what follows.
//!
//! What it does: turns facts into what a witness says, and that into the attachment of a host to a network. What it must not do: take
//! silence for a word.

mod attachment;
mod witness;

pub use attachment::{Attachment, Because, Judgement, Rules, contradicting, judge_attachment};
pub use witness::{
    BridgeSeen, Call, LastCall, Says, TUNNEL_CALL_LASTS, Testimony, Witness, by_api, by_bridges, by_cloudstack, by_vifs,
};
