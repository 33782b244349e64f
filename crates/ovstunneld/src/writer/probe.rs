//! Probes of tunnels: flows that count a probe's frames, and the frames.
//!
//! What it does: lays the flows and sends the frames, in the order of all writes and under the epoch of who asks. What it must not do: send
//! a frame of a probe that is not armed on the same bridge, for then it may not be armed anywhere.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ovstunnel_plan::{BridgeName, Epoch, Mac, PortName, Probe, Rejected, View};

use super::{Task, WriteError};

/// Of the time for which a probe is armed, the part in which frames are sent: the others are armed at about the same time, and a frame must
/// not arrive after that.
const SENDS: u32 = 2;

/// What is asked of a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probing {
    pub bridge: BridgeName,
    /// The address of its frames.
    pub nonce: Mac,
    /// Only these tunnels.
    pub tunnels: Option<Vec<PortName>>,
    pub act: ProbeAct,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeAct {
    /// Frames are counted for so many seconds.
    Arm { seconds: u32 },
    /// So many frames of so many bytes are sent into each tunnel.
    Send { size: u32, count: usize },
}

/// The probes that are armed here, and until when frames of each are sent.
#[derive(Debug, Default)]
pub(super) struct Armed(HashMap<(BridgeName, Mac), Instant>);

impl Armed {
    fn arm_probe(&mut self, asked: &Probing, seconds: u32, now: Instant) -> Result<(), Rejected> {
        // Longer than its flows are there, so that none is taken for another one's.
        self.0.retain(|_, until| *until + Duration::from_secs(seconds.into()) > now);
        let until = now + Duration::from_secs(seconds.into()) / SENDS;
        match self.0.insert((asked.bridge.clone(), asked.nonce), until) {
            None => Ok(()),
            Some(_) => Err(probe_conflict(asked, "is armed here already: draw another nonce for each probe")),
        }
    }

    fn may_send(&self, asked: &Probing, now: Instant) -> Result<(), Rejected> {
        match self.0.get(&(asked.bridge.clone(), asked.nonce)) {
            Some(until) if now < *until => Ok(()),
            Some(_) => {
                Err(probe_conflict(asked, "was armed here too long ago: frames are sent in the first half of its time"))
            }
            None => Err(probe_conflict(asked, "is not armed here: arm it on all bridges of the network, then send")),
        }
    }
}

fn probe_conflict(asked: &Probing, why: &str) -> Rejected {
    let in_the_way = asked.nonce.to_string();
    Rejected::Conflict { detail: format!("probe {in_the_way} of bridge {} {why}", asked.bridge), in_the_way }
}

impl Task {
    /// Arms a probe, or sends its frames. Gives the tunnels that it is of.
    pub(super) async fn run_probe(&mut self, asked: &Probing, epoch: Option<Epoch>) -> Result<Probe, WriteError> {
        let _turn = self.executor.ready_turn().await?;
        self.executor.admit_write(epoch).await?;
        let name = asked.bridge.as_str();
        let bridge = self.executor.switch.observer().read(|db| db.view().bridge(name));
        let bridge = bridge.ok_or_else(|| Rejected::NotFound(format!("there is no bridge {name}")))?;
        let probe = Probe::over_bridge(&bridge, asked.nonce, asked.tunnels.as_deref())?;
        let switch = self.executor.switch.clone();
        match asked.act {
            ProbeAct::Arm { seconds } => {
                self.armed.arm_probe(asked, seconds, Instant::now())?;
                switch.arm_probe(name, &probe, seconds).await?;
            }
            ProbeAct::Send { size, count } => {
                self.armed.may_send(asked, Instant::now())?;
                switch.send_probe(name, &probe, (size, count)).await?;
            }
        }
        Ok(probe)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn frames_go_in_the_first_half_of_a_probe_and_each_nonce_once() {
        let nonce = "0a:00:00:00:00:07".parse().unwrap();
        let act = ProbeAct::Arm { seconds: 10 };
        let here = Probing { bridge: "b".parse().unwrap(), nonce, tunnels: None, act };
        let there = Probing { bridge: "c".parse().unwrap(), ..here.clone() };
        let (mut armed, now) = (Armed::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        assert!(armed.may_send(&here, now).is_err());
        armed.arm_probe(&here, 10, now).unwrap();
        assert!(armed.may_send(&here, at(4)).is_ok() && armed.may_send(&there, at(4)).is_err());
        assert!(armed.may_send(&here, at(5)).unwrap_err().to_string().contains("too long ago"));
        assert!(armed.arm_probe(&here, 10, at(9)).unwrap_err().to_string().contains("another nonce"));
        armed.arm_probe(&there, 10, at(60)).unwrap();
        assert_eq!(armed.0.len(), 1, "what is over is forgotten");
    }
}
