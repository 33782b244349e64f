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
pub(super) use summary::{doctor_page, status_page};
pub(super) use takeover::{released_page, takeover_page, takeover_plan};
pub(super) use things::{
    bridge_answer, bridge_list_page, bridge_page, interface_page, plan_page, reconcile_page, removed_page,
    tunnel_answer, tunnel_list_page,
};

#[cfg(test)]
mod tests;
