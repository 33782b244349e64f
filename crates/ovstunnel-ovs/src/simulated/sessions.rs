//! BFD of a simulated switch, as its peers would have it: tests play them. Must not be more than Open vSwitch notes.

use super::SimulatedSwitch;
use super::rows::set_pair;

impl SimulatedSwitch {
    /// Has BFD on a tunnel be in this state, after so many changes between up and down. Where it does not run nothing happens.
    pub fn set_bfd(&self, port: &str, state: &str, flaps: u32) {
        self.observer.write(|db| {
            let sessions = db.interfaces.values_mut().filter(|row| row.name == port).filter_map(|row| row.bfd.as_mut());
            for session in sessions.filter(|session| !session.status.is_empty()) {
                let forwarding = if state == "up" { "true" } else { "false" };
                let flaps = flaps.to_string();
                for (key, value) in [("state", state), ("forwarding", forwarding), ("flap_count", &flaps)] {
                    set_pair(&mut session.status, key, Some(value));
                }
            }
        });
    }
}
