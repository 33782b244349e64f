//! What the tests of the packages share: the packages that `./scripts/package` has built, and machines to install them on.
//!
//! What it does: boots systemd on a host of the lab, over a copy of this machine's files that is thrown away. What it must not
//! do: build anything, or change a file of this machine.

mod built;
mod cloud;
mod machine;
mod site;

pub use built::{Built, read, repository, script};
pub use cloud::{BRIDGE, Cloud, Traffic, data_plane};
pub use machine::Machine;
pub use site::{Played, Site, cache};
