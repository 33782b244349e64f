//! Commands whose outcome is not known: killed half-way, or a database that does not answer. Must not tell what became of a
//! transaction before somebody asks by a new connection.

use ovstunnel_plan::{FlowsSeen, Step};

use super::SimulatedSwitch;
use crate::CommitError;

/// What becomes of a transaction whose command is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Becomes {
    /// It never takes effect.
    Nothing,
    /// It has taken effect.
    Done,
    /// It takes effect a moment later; only a new connection sees it for certain.
    DoneLater,
}

/// What is not known yet.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    kill: Option<Becomes>,
    later: Vec<Step>,
    silent: bool,
    /// The newest connection that was asked for.
    waiting: bool,
}

impl SimulatedSwitch {
    /// Has every command that changes the database killed from now on; with nothing they live.
    pub fn kill_commits(&self, becomes: Option<Becomes>) {
        self.lock_state().outcomes.kill = becomes;
    }

    /// Has the database say nothing on new connections, or answer again.
    pub fn set_silent(&self, silent: bool) {
        self.lock_state().outcomes.silent = silent;
        if !silent && self.lock_state().outcomes.waiting {
            self.begin_anew();
        }
    }

    /// Has `ovs-vswitchd` hang, or answer again; all that is in it stays.
    pub fn set_hanging(&self, hangs: bool) {
        self.observer.set_health(|health| {
            let words = "ovs-vswitchd hangs: no answer for 3 s, nothing computed for 2 s".to_owned();
            health.vswitchd = if hangs { Err(words) } else { Ok(()) };
            health.vswitchd_silent = hangs.then(std::time::Instant::now);
        });
    }

    /// Has changes of a bridge's flows end well and do nothing, or do what they say again.
    pub fn ignore_flows(&self, bridge: &str, ignore: bool) {
        let mut state = self.lock_state();
        state.ignored_flows.retain(|other| other != bridge);
        state.ignored_flows.extend(ignore.then(|| bridge.to_owned()));
    }

    /// Has the switch refuse meters, as an old kernel's datapath does.
    pub fn refuse_meters(&self) {
        self.lock_state().no_meters = true;
    }

    /// A meter is refused, and remembered to be.
    pub(super) fn without_meters(&self) -> CommitError {
        let words = "OFPT_ERROR (OF1.4) (xid=0x2): OFPMMFC_OUT_OF_METERS".to_owned();
        self.observer.set_health(|health| health.no_meters = Some(words.clone()));
        CommitError::Refused(words)
    }

    pub(crate) fn database_answers(&self) -> Result<(), CommitError> {
        self.check_health()?;
        match self.lock_state().outcomes.silent {
            true => Err(CommitError::Unavailable("its database does not answer (timed out)".into())),
            false => Ok(()),
        }
    }

    /// A new connection, whose first answer has all that was written before.
    pub(crate) fn begin_anew(&self) {
        self.lock_state().outcomes.waiting = true;
        if self.lock_state().outcomes.silent {
            return;
        }
        let later = std::mem::take(&mut self.lock_state().outcomes.later);
        self.lock_state().outcomes.waiting = false;
        let number = *self.observer.watch_connection().borrow();
        if !later.is_empty() {
            self.carry_out(&later);
        }
        self.observer.write(|db| (db.connection, db.next_cfg_at_first) = (number, db.next_cfg));
    }

    /// A transaction whose command is killed, if it is.
    pub(super) fn commit_killed(&self, steps: &[Step]) -> Result<(), CommitError> {
        let Some(becomes) = self.lock_state().outcomes.kill.filter(|_| !steps.is_empty()) else { return Ok(()) };
        match becomes {
            Becomes::Nothing => {}
            Becomes::Done => self.carry_out(steps),
            Becomes::DoneLater => self.lock_state().outcomes.later.extend(steps.iter().cloned()),
        }
        Err(CommitError::Unknown("ovs-vsctl was ended by signal 9".into()))
    }

    pub(crate) fn printed_flows(&self, bridge: &str) -> Result<String, CommitError> {
        self.check_health()?;
        let state = self.lock_state();
        let Some(FlowsSeen::Known { flows, .. }) = state.flows.get(bridge) else { return Ok(String::new()) };
        let line = |flow: &ovstunnel_plan::Flow| {
            let text = flow.to_string();
            let behind_cookie = text.split_once(',').map_or("", |(_, rest)| rest);
            format!("duration=0s, n_packets=0, n_bytes=0, {}\n", behind_cookie.replacen("table=", "table_id=", 1))
        };
        Ok(flows.iter().map(line).collect())
    }
}
