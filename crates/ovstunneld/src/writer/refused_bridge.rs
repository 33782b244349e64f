//! A new bridge whose own device Open vSwitch refused or did not make, for example because a device of the host has its name, or
//! the kernel lacks the datapath: its row is there and its own port is not. It is taken away again. Must not touch a bridge that
//! this change did not make.

use ovstunnel_ovs::CommitError;
use ovstunnel_plan::{BridgeName, ObservedPort, Plan, Step, TunnelHealth, View};

use super::Executor;
use super::executed::Executed;

/// Where the kernel's modules are told that are loaded or built in.
const MODULE: &str = "/sys/module/openvswitch";

/// Why Open vSwitch has made no device for a bridge, as far as it can be told: it says so in its own log alone.
fn without_device(datapath_type: &str) -> String {
    let kernel = matches!(datapath_type, "" | "system");
    match (kernel, std::path::Path::new(MODULE).exists()) {
        (true, false) => format!(
            "it made no device: the kernel has no module `openvswitch` loaded ({MODULE} is missing), which datapath_type \
             '{datapath_type}' needs; `modprobe openvswitch`, a kernel that has it, or `[ovs] datapath_type = \"netdev\"`"
        ),
        _ => format!("it made no device for datapath_type '{datapath_type}'; ovs-vswitchd's log says why"),
    }
}

impl Executor {
    /// Takes away the new bridges that Open vSwitch refused, and notes its words.
    pub(super) async fn take_away_refused_bridges(&mut self, plan: &Plan, executed: &mut Executed) {
        let (refused, removals): (Vec<_>, Vec<_>) = self.refused_bridges(plan).into_iter().unzip();
        if removals.is_empty() {
            return;
        }
        for (bridge, words) in &refused {
            tracing::warn!(%bridge, error = words, "Open vSwitch refused a bridge");
        }
        match self.commit_steps(&removals).await {
            Ok(_) => executed.bridges_refused.extend(refused),
            Err(error) => {
                tracing::error!(%error, "refused bridges could not be taken away");
                let what = format!("refused bridges are still there, for they could not be taken away: {error}");
                executed.failed = Some(CommitError::Unknown(what));
            }
        }
    }

    /// New bridges that Open vSwitch refused: its words, and the step that takes each away.
    fn refused_bridges(&self, plan: &Plan) -> Vec<((BridgeName, String), Step)> {
        self.switch.observer().read(|db| {
            let view = db.view();
            let refused = plan.database_steps().filter_map(|step| {
                let Step::CreateBridge(spec) = step else { return None };
                let bridge = view.bridge(spec.name.as_str())?;
                match bridge.own_port().and_then(ObservedPort::interface)?.health() {
                    TunnelHealth::Refused(words) if bridge.own_port()?.interface()?.ofport == Some(-1) => {
                        let removal =
                            Step::DeleteBridge { bridge: spec.name.clone(), uuid: bridge.uuid, releases: vec![] };
                        Some(((spec.name.clone(), words), removal))
                    }
                    // It has taken up the whole configuration, and made no device.
                    TunnelHealth::Pending => {
                        let removal =
                            Step::DeleteBridge { bridge: spec.name.clone(), uuid: bridge.uuid, releases: vec![] };
                        Some(((spec.name.clone(), without_device(&spec.datapath_type)), removal))
                    }
                    _ => None,
                }
            });
            refused.collect()
        })
    }
}
