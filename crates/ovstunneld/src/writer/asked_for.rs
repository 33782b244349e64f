//! To which hosts somebody has asked for tunnels lately, and removals that such a request forestalls.
//!
//! What it does: notes each request before it waits for the writer, so that a removal that comes behind it is not carried out. What it must
//! not do: keep anything while nobody wants to know.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ovstunnel_plan::{BridgeName, Change, PortName};
use tracing::Span;

use super::{Done, Message, Wanted, WriteError, Writer};

/// The hosts to which tunnels were asked for. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct AskedFor(Arc<Mutex<Option<BTreeSet<IpAddr>>>>);

impl AskedFor {
    fn lock_remotes(&self) -> MutexGuard<'_, Option<BTreeSet<IpAddr>>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what a change asks for.
    pub(super) fn note_request(&self, change: &Change) {
        let mut asked_for = self.lock_remotes();
        let Some(remotes) = asked_for.as_mut() else { return };
        match change.without_claim() {
            Change::CreateTunnel(create) => drop(remotes.insert(create.remote_ip.get())),
            Change::SetupBridge(setup) => {
                remotes.extend(setup.tunnels.iter().flatten().map(|tunnel| tunnel.remote_ip.get()));
            }
            _ => {}
        }
    }

    /// From now on it is noted, until what is returned is dropped.
    pub fn start_noting(&self) -> impl Drop + use<> {
        *self.lock_remotes() = Some(BTreeSet::new());
        Keeping(self.clone())
    }

    /// Those since the last time that somebody took them.
    pub fn take_requested(&self) -> BTreeSet<IpAddr> {
        self.lock_remotes().replace(BTreeSet::new()).unwrap_or_default()
    }

    fn has_remote(&self, remote: IpAddr) -> bool {
        self.lock_remotes().as_ref().is_some_and(|remotes| remotes.contains(&remote))
    }
}

struct Keeping(AskedFor);

impl Drop for Keeping {
    fn drop(&mut self) {
        *self.0.lock_remotes() = None;
    }
}

/// What must not have been asked for when a request's turn comes.
#[derive(Clone, Debug)]
pub(super) struct Unless {
    asked_for: AskedFor,
    remote: IpAddr,
}

impl Unless {
    /// Whether it has been.
    pub fn is_forestalled(&self) -> bool {
        self.asked_for.has_remote(self.remote)
    }
}

impl Writer {
    /// To which hosts tunnels are asked for.
    pub(crate) fn asked_for(&self) -> &AskedFor {
        &self.asked_for
    }

    /// Has a tunnel taken away, unless somebody asks for one to that host before the removal's turn comes: then nothing is returned.
    ///
    /// # Errors
    /// As of each change.
    pub(crate) async fn remove_unless_asked_for(
        &self,
        bridge: BridgeName,
        port: PortName,
        remote: IpAddr,
        id: String,
    ) -> Result<Option<Done>, WriteError> {
        let (span, change) = (Span::current(), Change::DestroyTunnel { bridge, port });
        let unless = Unless { asked_for: self.asked_for.clone(), remote };
        let forestalled = unless.clone();
        let removed = self.ask_writer(|ticket, reply| {
            let wanted = Wanted::Execution(ticket.unless_requested(unless), reply);
            Message::Change { change, id, span, wanted }
        });
        match removed.await {
            Err(WriteError::Ended) if forestalled.is_forestalled() => Ok(None),
            removed => removed.map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use ovstunnel_plan::CreateTunnel;

    use super::super::Ticket;
    use super::*;

    fn create(remote: &str) -> Change {
        Change::CreateTunnel(CreateTunnel {
            bridge: "b1".parse().unwrap(),
            from: "1".parse().unwrap(),
            to: "2".parse().unwrap(),
            remote_ip: remote.parse().unwrap(),
            key: None,
            network_uuid: None,
            renumbers: false,
        })
    }

    #[test]
    fn a_queued_removal_is_dropped_if_the_host_is_requested_first() {
        let asked_for = AskedFor::default();
        asked_for.note_request(&create("192.0.2.2"));
        let kept = asked_for.start_noting();
        let remote = IpAddr::from([192, 0, 2, 2]);
        let removal = || Ticket::default().unless_requested(Unless { asked_for: asked_for.clone(), remote });
        asked_for.note_request(&create("192.0.2.3"));
        assert!(removal().try_begin(), "what was asked for before, or is of another host, forestalls nothing");
        asked_for.note_request(&Change::Claimed(Box::new(create("192.0.2.2")), "in".to_owned()));
        assert!(!removal().try_begin());
        assert_eq!(asked_for.take_requested(), BTreeSet::from([remote, IpAddr::from([192, 0, 2, 3])]));
        assert!(removal().try_begin());
        drop(kept);
        asked_for.note_request(&create("192.0.2.2"));
        assert_eq!(*asked_for.lock_remotes(), None, "nobody wants to know");
    }
}
