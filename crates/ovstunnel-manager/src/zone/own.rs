//! What is wrong with the manager itself, and with the zone's keys, and what of it is news. Must not find it out.

use ovstunnel_manager_api::Trouble;
use time::OffsetDateTime;

use super::{CERTIFICATE_EXPIRES, Happened, Zone};

impl Zone {
    /// What is wrong with the zone's keys.
    pub fn keys_judged(&self, troubles: Vec<Trouble>) {
        let before = std::mem::replace(&mut self.lock_state().key_troubles, troubles.clone());
        for trouble in troubles
            .into_iter()
            .filter(|new| !before.iter().any(|old| old.kind == new.kind && old.remedy == new.remedy))
        {
            self.send_event(Happened::new(OffsetDateTime::now_utc(), "keys_scarce", trouble.evidence));
        }
    }

    /// What is wrong with the manager's own certificates.
    pub fn own_certificates(&self, troubles: Vec<Trouble>) {
        let is_news = {
            let before = std::mem::replace(&mut self.lock_state().own_troubles, troubles.clone());
            before.len() < troubles.len()
        };
        for trouble in troubles.into_iter().filter(|_| is_news) {
            self.send_event(Happened::new(OffsetDateTime::now_utc(), CERTIFICATE_EXPIRES, trouble.evidence));
        }
    }
}
