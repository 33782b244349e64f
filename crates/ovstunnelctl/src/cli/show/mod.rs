//! Answers for people: plain text that is read at 80 columns and cut with `awk`.
//!
//! What it does: tables without lines; as wide as the terminal where there is one, else one line for each row. What it
//! must not do: colour (standard output is often a file), or let a name from the switch's database move the cursor.

mod page;
mod summary;
mod takeover;
mod things;

pub(super) use page::{Page, printable, quoted};
pub(super) use summary::{diagnosis, status};
pub(super) use takeover::{released, takeover, takeover_plan};
pub(super) use things::{bridge, bridge_answer, bridges, gone, interface, plan, reconcile, tunnel_answer, tunnels};

#[cfg(test)]
mod tests;
