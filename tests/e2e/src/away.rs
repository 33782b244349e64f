//! A conversation and floods over three hosts while `ovs-vswitchd` of the first is away and comes back: what is answered meanwhile,
//! what is lost, what comes twice. Must not end or start it: the test says how.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use ovstunnel_lab::{Datapath, Host, Pinger, Stream, unhurried, wait_until};

use crate::{NodeConfig, Place, no_frame_twice};

const SOON: Duration = Duration::from_secs(20);

/// Pings that are counted while it is away.
const MEANWHILE: u64 = 50;

/// Three hosts with traffic. The VM of the first pings that of the second.
#[derive(Debug)]
pub struct Away {
    /// The hosts.
    pub place: Place,
    known: Pinger,
    streams: Vec<Stream>,
}

impl Away {
    /// Everything in order, and traffic.
    ///
    /// # Errors
    /// When it cannot be made, or no ping is answered.
    pub fn begin(tag: &str) -> Result<Self> {
        let place = Place::new(tag, NodeConfig::default())?;
        let known = place.vms[0].start_ping(place.vms[1].ip(), unhurried(Duration::from_millis(10)))?;
        let streams = place.streams()?;
        let away = Away { place, known, streams };
        away.answered_of(10)?;
        Ok(away)
    }

    /// Waits until so many more pings were sent; how many of those were answered.
    fn answered_of(&self, count: u64) -> Result<u64> {
        let before = self.known.report();
        let after = wait_until("pings", SOON, || match self.known.report() {
            now if now.sent >= before.sent + count => Ok(now),
            now => Err(anyhow!("{} of {count} sent", now.sent - before.sent)),
        })?;
        Ok(after.received - before.received)
    }

    /// That the kernel goes on with the flows that it has, and that in userspace nothing is forwarded.
    ///
    /// # Errors
    /// When it is otherwise.
    pub fn expect_cached_flows_alone(&self, how: &str) -> Result<()> {
        let (answered, datapath) = (self.answered_of(MEANWHILE)?, self.place.cloud.lab().switch().datapath());
        println!("{datapath:?}, {how}: {answered} of {MEANWHILE} pings answered while ovs-vswitchd is away");
        match datapath {
            Datapath::Kernel => ensure!(answered >= MEANWHILE * 4 / 5, "cached flows did not go on"),
            Datapath::Userspace => ensure!(answered <= 1, "something was forwarded"),
        }
        Ok(())
    }

    /// Has it come back, waits until all is as it was, and says what was lost of the conversation until then.
    ///
    /// # Errors
    /// When it does not come back, or not all is as it was.
    pub fn comes_back(&self, start: impl FnOnce(&Host) -> Result<()>) -> Result<()> {
        let before = self.known.report();
        start(self.place.host()?)?;
        self.place.wait_until_healed()?;
        let after = self.known.report();
        let (sent, answered) = (after.sent - before.sent, after.received - before.received);
        println!("  {} of {sent} lost while it came back", sent.saturating_sub(answered));
        wait_until("pings to be answered", SOON, || match self.answered_of(10)? {
            // One may be under way.
            9.. => Ok(()),
            few => Err(anyhow!("{few} of 10")),
        })
    }

    /// Ends the traffic, of which nothing may have come twice.
    ///
    /// # Errors
    /// What came twice.
    pub fn end(self) -> Result<()> {
        println!("{}", no_frame_twice(self.streams)?);
        let report = self.known.stop()?;
        ensure!(report.duplicates == 0, "{report:?}");
        self.place.cloud.lab().expect_no_duplicates()
    }
}
