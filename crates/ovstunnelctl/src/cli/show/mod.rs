//! Answers for people: plain text that is read at 80 columns and cut with `awk`.
//!
//! What it does: tables without lines, one line for each row, no value cut. What it must not do: say anything by colour alone, or
//! let a name from the switch's database move the cursor.

mod page;
mod summary;
mod takeover;
mod things;
mod words;

pub(super) use page::{Page, Row, Tone, printable, quoted};
pub(super) use summary::{diagnosis, status};
pub(super) use takeover::{released, takeover, takeover_plan};
pub(super) use things::{bridge, bridge_answer, bridges, gone, interface, plan, reconcile, tunnel_answer, tunnels};

#[cfg(test)]
mod tests;
