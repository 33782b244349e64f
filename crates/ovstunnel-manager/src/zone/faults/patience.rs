//! For how long what a proof found must stand before it is a fault, and from when on that counts.
//!
//! What it does: leaves the manager, and daemons that start anew, the time in which they mend it themselves. What it must not do: keep back
//! what nobody mends.

use std::time::Duration;

use ovstunnel_mesh::Moment;
use ovstunnel_mesh::proof::{Finding, What};
use ovstunnel_types::{GreKey, HostNumber};

use super::super::{FIRST_PICTURE, Registered, SETTLING, State};

/// For how long a finding must stand before it is a fault where the manager keeps meshes whole itself. Where the cloud does, call by
/// call, that takes longer: [`SETTLING`].
pub(super) const STANDS: Duration = Duration::from_millis(700);

/// The same for a host that does not answer: a daemon that is started anew does not do so for a moment.
const SILENT: Duration = Duration::from_secs(3);

impl State {
    /// How long this must stand.
    pub(super) fn settling_time(&self, is_silence: bool) -> Duration {
        match (is_silence, self.acts) {
            (true, _) => SILENT,
            (false, true) => STANDS,
            (false, false) => SETTLING,
        }
    }

    /// How long a finding of a proof must stand, and from when on that counts, by when it was found; nothing while the manager waits itself before
    /// it mends it.
    pub(super) fn patience_with(&self, key: GreKey, finding: &Finding, found: Moment) -> Option<(Duration, Moment)> {
        let (mut is_silence, mut since) = (matches!(finding.what, What::HostSilent | What::HostUnseen), found);
        if self.acts {
            since = since.max(self.faults.pictured?);
        }
        if finding.what == What::TunnelTooMany {
            // What a silent host has left over it said long ago: its silence is told, also where it is of no mesh any more.
            self.hosts.get(&finding.host).is_none_or(Registered::is_connected).then_some(())?;
            if self.acts {
                since = since.max(self.all_spoke(key)?);
            }
        }
        // While one of its hosts cannot be asked nothing can be mended there.
        for number in [Some(finding.host), finding.to].into_iter().flatten() {
            let Some(host) = self.hosts.get(&number) else { continue };
            is_silence |= !host.is_connected();
            since = since.max(host.reached_since());
        }
        Some((self.settling_time(is_silence), since))
    }

    /// Since when all hosts of a network have said what they have; nothing before, when nothing is removed from it.
    fn all_spoke(&self, key: GreKey) -> Option<Moment> {
        let mesh = &self.networks.get(&key)?.mesh;
        let numbers: Vec<HostNumber> = mesh.members().chain(mesh.left_hosts()).collect();
        let mut since = Moment::default();
        for host in numbers.iter().filter_map(|number| Some((self.seen.get(number)?, self.hosts.get(number)?))) {
            host.0.snapshot.as_ref()?;
            since = since.max(host.1.reached_since());
        }
        Some(since)
    }

    /// Notes when the manager had its first picture: each host was tried, or it does not wait for that any longer.
    pub(super) fn note_first_picture(&mut self, now: Moment) {
        let has_it = || now.0 >= FIRST_PICTURE || !self.hosts.values().any(Registered::is_untried);
        if self.faults.pictured.is_none() && has_it() {
            self.faults.pictured = Some(now);
        }
    }
}
