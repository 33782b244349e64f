//! What the switch itself tells of a bridge, asked for.
//!
//! What it does: questions on the control socket and by `ovs-ofctl show`; the repair of a port's configuration. What it must not
//! do: change anything by asking.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ovstunnel_plan::{Followed, Frame, Learnt};

use tokio::sync::watch;

use super::RealSwitch;
use super::unknown::Unknown;
use crate::control::Control;
use crate::told::{AddressCounts, DatapathPorts, Metered, PortsTold, Tables, addresses};
use crate::{CommitError, Health, Observer, ofctl};

/// What the switch counts of itself: where a counter stays the same, nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Changes of flows of any bridge.
    Flows,
    /// Changes of bridges and ports, by the database or by OpenFlow.
    Configuration,
}

impl Counter {
    fn name(self) -> &'static str {
        match self {
            Counter::Flows => "rev_flow_table",
            Counter::Configuration => "rev_reconfigure",
        }
    }
}

/// Connections that are kept for questions, and for how long without one.
const KEPT: usize = 64;
const UNUSED: Duration = Duration::from_secs(30);

/// What all questions of a switch share.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// Connections that nobody asks on at this moment, and since when; the one that was used last is the last.
    idle: Mutex<Vec<(Instant, Questions)>>,
    /// What the switch cannot be asked.
    unknown: Unknown,
}

/// Asks one `ovs-vswitchd` again and again on one connection.
#[derive(Debug)]
pub struct Questions {
    control: Control,
    unknown: Unknown,
}

impl Questions {
    async fn try_ask(&mut self, method: &str, parameters: &[&str]) -> io::Result<String> {
        let answer = self.control.send_command(method, parameters).await;
        answer.inspect_err(|error| {
            self.unknown.note_answer(method, parameters, error);
        })
    }

    async fn ask_socket(&mut self, method: &str, parameters: &[&str]) -> Option<String> {
        let answer = self.try_ask(method, parameters).await;
        answer.inspect_err(|error| tracing::trace!(method, ?parameters, %error, "no answer")).ok()
    }

    /// A counter; nothing where this Open vSwitch cannot tell it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn read_counter(&mut self, counter: Counter) -> io::Result<Option<u64>> {
        match self.try_ask("coverage/read-counter", &[counter.name()]).await {
            Ok(text) => Ok(text.trim().parse().ok()),
            Err(error) if error.kind() == io::ErrorKind::Other => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The flow tables of a bridge; nothing where they are not told or not understood.
    pub async fn read_tables(&mut self, bridge: &str) -> Option<Tables> {
        let before = Instant::now();
        let printed = self.ask_socket("bridge/dump-flows", &[bridge]).await?;
        Tables::parse(&printed, (before, Instant::now()))
    }

    /// The counters of a bridge's table of addresses.
    pub async fn address_counts(&mut self, bridge: &str) -> Option<AddressCounts> {
        AddressCounts::parse(&self.ask_socket("fdb/stats-show", &[bridge]).await?)
    }

    /// The addresses that a bridge knows, as they are printed. That can be long.
    pub async fn print_addresses(&mut self, bridge: &str) -> Option<String> {
        self.ask_socket("fdb/show", &[bridge]).await
    }

    /// The addresses that somebody has set by hand, of what was printed: port and address.
    pub fn fixed_addresses(printed: &str) -> Vec<(String, String)> {
        addresses::static_addresses(printed)
    }

    /// The port with most addresses, of what was printed, and how many.
    pub fn fullest_port(printed: &str) -> Option<(String, u64)> {
        addresses::fullest_port(printed)
    }

    /// The addresses that a bridge has learnt.
    pub async fn learnt_addresses(&mut self, bridge: &str) -> Vec<Learnt> {
        self.print_addresses(bridge).await.map(|printed| Learnt::parse(&printed)).unwrap_or_default()
    }

    /// The ports of all bridges by their numbers in the datapath.
    pub async fn datapath_ports(&mut self) -> Option<BTreeMap<String, DatapathPorts>> {
        Some(DatapathPorts::parse(&self.ask_socket("dpif/show", &[]).await?))
    }

    /// From where to where tunnels' packets come in at present: the other host's address, and that of this one. That can be long.
    pub async fn tunnel_ends(&mut self) -> BTreeSet<(IpAddr, IpAddr)> {
        let mut ends = BTreeSet::new();
        let datapaths = self.ask_socket("dpctl/dump-dps", &[]).await.unwrap_or_default();
        for datapath in datapaths.split_whitespace() {
            let printed = self.ask_socket("dpctl/dump-flows", &[datapath]).await.unwrap_or_default();
            ends.extend(crate::told::ends::parse_tunnel_ends(&printed));
        }
        ends
    }

    /// What is printed of a frame that is followed through a bridge's tables. Has no side effects.
    pub async fn print_trace(&mut self, bridge: &str, flow: &str) -> Option<String> {
        self.ask_socket("ofproto/trace", &[bridge, flow]).await
    }

    /// Follows a frame through a bridge's tables; nothing where what is printed is not understood. Has no side effects.
    pub async fn trace_frame(&mut self, bridge: &str, frame: &Frame, ports: &DatapathPorts) -> Option<Followed> {
        ports.parse_trace(&self.print_trace(bridge, &frame.flow).await?)
    }
}

impl RealSwitch {
    /// The live mirror of its database.
    pub fn observer(&self) -> &Observer {
        &self.observer
    }

    /// Whether it can be worked with, now and from now on.
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.observer.watch_health()
    }

    /// A connection for questions, made with the first one.
    pub fn new_questions(&self) -> Questions {
        Questions {
            control: Control::new(&self.tools.rundir, self.tools.timeout),
            unknown: self.asking.unknown.clone(),
        }
    }

    /// A connection for questions that is there already, or a new one. The switch takes ten new ones in a round of its main loop.
    pub fn lend_questions(&self) -> Questions {
        let kept = self.asking.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.map_or_else(|| self.new_questions(), |(_, questions)| questions)
    }

    /// Keeps a connection that has answered for the next question.
    pub fn give_back(&self, questions: Questions) {
        let mut idle = self.asking.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push((Instant::now(), questions));
        }
    }

    /// Closes connections that were not used for a while: as many are made as were once needed at the same instant.
    pub fn close_unused(&self) {
        let mut idle = self.asking.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let unused = idle.partition_point(|(since, _)| since.elapsed() > UNUSED);
        idle.drain(..unused);
        drop(idle);
        self.native.iter().for_each(|native| native.bridges.forget_ended());
    }

    /// The flow tables of a bridge, as they are printed.
    pub(super) async fn print_tables(&self, bridge: &str) -> io::Result<String> {
        let mut questions = self.lend_questions();
        let mut printed = questions.try_ask("bridge/dump-flows", &[bridge]).await;
        if printed.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Other) {
            // One that was kept may be to a switch that has ended.
            questions = self.new_questions();
            printed = questions.try_ask("bridge/dump-flows", &[bridge]).await;
        }
        if printed.is_ok() {
            self.give_back(questions);
        }
        printed
    }

    /// The flow tables of a bridge; nothing where they are not told or not understood.
    pub async fn read_tables(&self, bridge: &str) -> Option<Tables> {
        let mut questions = self.lend_questions();
        let mut told = questions.read_tables(bridge).await;
        if told.is_none() {
            // One that was kept may be to a switch that has ended.
            questions = self.new_questions();
            told = questions.read_tables(bridge).await;
        }
        if told.is_some() {
            self.give_back(questions);
        }
        told
    }

    /// How a bridge's ports are configured over OpenFlow.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ports_told(&self, bridge: &str) -> Result<PortsTold, CommitError> {
        self.check_health()?;
        Ok(PortsTold::parse(&self.run_ofctl(&self.tools.show_command(bridge)).await?.stdout))
    }

    /// What a meter has counted; nothing where the bridge has none of that number.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metered(&self, bridge: &str, meter: u32) -> Result<Option<Metered>, CommitError> {
        self.check_health()?;
        let command = self.tools.ofctl_command(ofctl::meter_stats(&self.tools, bridge, meter), None);
        Ok(Metered::parse(&self.run_ofctl(&command).await?.stdout))
    }

    /// Sets one part of a port's configuration, as `ovs-ofctl mod-port` takes it.
    pub(crate) async fn set_port(&self, bridge: &str, port: u32, how: &str) -> Result<(), CommitError> {
        let args = ofctl::mod_port(&self.tools, bridge, &port.to_string(), how);
        self.run_ofctl(&self.tools.ofctl_command(args, None)).await.map(drop)
    }
}
