//! On which tunnels of a bridge BFD runs.
//!
//! What it must not do: choose them.

use super::ChangeSet;
use super::rules::not_managed;
use crate::change::invalid;
use crate::{Rejected, SetBfd, View};

impl ChangeSet<'_> {
    /// Has BFD run on exactly these tunnels of the bridge.
    pub(super) fn set_bfd(&mut self, view: &dyn View, set: &SetBfd) -> Result<(), Rejected> {
        let name = &set.bridge;
        let touched = self.touched_bridge(view, name);
        let Some(desired) = touched.desired.as_mut() else {
            return Err(match &touched.observed {
                Some(observed) => not_managed(name, observed),
                None => Rejected::NotFound(format!("there is no bridge {name}; set it up first")),
            });
        };
        let unknown = set.ports.iter().enumerate().find(|(_, port)| !desired.tunnels.contains_key(*port));
        if let Some((n, port)) = unknown {
            return Err(invalid(format!("ports[{n}]"), format!("must be the port of a tunnel of bridge {name}"), port));
        }
        for (port, tunnel) in &mut desired.tunnels {
            tunnel.bfd = set.ports.contains(port).then_some(set.interval);
        }
        Ok(())
    }
}
