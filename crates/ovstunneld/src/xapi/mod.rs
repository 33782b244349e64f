//! xapi's side of a network: what XenServer's own database knows about it, and is to know about us.
//!
//! What it does: keeps the list of hosts that a network is set up on, which a management server reads before it calls us, has a
//! network there where it is asked for, and answers what only xapi knows. What it must not do: fail a change of the switch, for
//! which xapi is not needed.

mod edit;
mod hold;
mod label;
mod lock;
mod network;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ovstunnel_ovs::{CommandHook, Observer, Xe, XeError};
use ovstunnel_plan::{BridgeName, DesiredBridge, GreKey, HostId, NetworkUuid, View};
use ovstunnel_types::text::error_chain;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;
use uuid::Uuid;

use crate::config::{self, XapiMode};
use crate::host::{self, Interfaces};

pub(crate) use edit::Written;
use edit::{Edit, Wanted};
pub(crate) use hold::Permit;
use hold::{HoldError, PATIENCE};
use label::Labels;
use network::Making;
pub(crate) use network::{Made, NetworkError, Plan, Told};

/// What kind of network it is, by the key of `other-config` that says so to management servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkKind {
    /// A plain network.
    Plain,
    /// A distributed-routing VPC.
    Vpc,
}

impl NetworkKind {
    fn config_flag(self) -> &'static str {
        match self {
            NetworkKind::Plain => "is-ovs-tun-network",
            NetworkKind::Vpc => "is-ovs-vpc-distributed-vr-network",
        }
    }
}

/// Why xapi has no answer.
#[derive(Debug, thiserror::Error)]
pub enum XapiError {
    /// `xe` has none.
    #[error(transparent)]
    Xe(#[from] XeError),
    /// The file that says which host this is cannot be read.
    #[error("cannot read {}", file.display())]
    Inventory {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It does not say which host this is.
    #[error("{} has no INSTALLATION_UUID that is a UUID", file.display())]
    NoUuid {
        /// The file.
        file: PathBuf,
    },
    /// Too many ask at the same time.
    #[error("too many questions wait for `xe` already; ask again")]
    Busy,
    /// What was said to another who has just asked the same.
    #[error("{0}")]
    Said(String),
    /// The host's devices cannot be looked at.
    #[error(transparent)]
    Devices(#[from] host::Error),
}

/// Edits that run `xe` at the same time: a host that sets up a hundred networks at once has more to do than that.
const EDITS: usize = 8;

/// The longest that xapi can be waited for in one request, `timeout` being the deadline of one command: a question, the turn
/// among all edits, and an edit with its last command.
pub(crate) fn wait_budget(timeout: Duration) -> Duration {
    timeout * (1 + PATIENCE + PATIENCE + 1)
}

/// xapi of this host's pool.
#[derive(Debug)]
pub struct Xapi {
    xe: Xe,
    inventory: PathBuf,
    edits: Arc<Semaphore>,
    labels: Labels,
}

impl Xapi {
    /// As the configuration says; nothing where xapi is not used.
    pub fn new(config: &config::Xapi, hook: CommandHook) -> Option<Arc<Self>> {
        let used = match config.enabled {
            XapiMode::On => true,
            XapiMode::Off => false,
            XapiMode::Auto => config.xe.exists(),
        };
        let xe = Xe::new(config.xe.clone(), config.timeout, hook);
        let (inventory, edits) = (config.inventory.clone(), Semaphore::new(EDITS).into());
        used.then(|| Arc::new(Xapi { xe, inventory, edits, labels: Labels::new() }))
    }

    /// Notes that a network is set up on this host. What goes wrong is in the log: the server then calls set-up again.
    pub async fn note_set_up(&self, network: NetworkUuid, kind: NetworkKind, host: &HostId) {
        self.note_network(network, Wanted::SetUp(kind, host.clone()), host).await;
    }

    /// Notes that a network is not set up on this host any more. The network is told by its UUID, or by its bridge.
    async fn note_destroyed(&self, network: Option<NetworkUuid>, bridge: &BridgeName, host: &HostId) {
        let networks = match network {
            Some(network) => Ok(vec![network]),
            None => self.xe.networks_of_bridge(bridge).await,
        };
        match networks {
            Ok(networks) => {
                for network in networks {
                    self.note_network(network, Wanted::Destroyed(host.clone()), host).await;
                }
            }
            Err(error) => {
                tracing::warn!(%bridge, error = error_chain(&error), "xapi does not tell which network this is")
            }
        }
    }

    /// Notes of a bridge that has gone from our hands, of which `record` is what it was, that its network is not set up here any
    /// more. A record without the host's id is that of a bridge without tunnels; then all other bridges know it.
    pub async fn note_left(
        &self,
        bridge: &BridgeName,
        record: Option<DesiredBridge>,
        host: Option<HostId>,
        observer: &Observer,
    ) {
        let (network, known) = record.map(|record| (record.network_uuid, record.host_id)).unwrap_or_default();
        match host.or(known).or_else(|| host_id_of_others(observer)) {
            Some(host) => self.note_destroyed(network, bridge, &host).await,
            None => tracing::warn!(%bridge, "it is not known under which id xapi lists this host"),
        }
    }

    /// In a task of its own: a caller that goes away must not leave an edit half done.
    async fn note_network(&self, network: NetworkUuid, wanted: Wanted, host: &HostId) {
        let edit = Edit { xe: self.xe.clone(), network, wanted, permit: Permit::default() };
        let (edits, host) = (Arc::clone(&self.edits), host.clone());
        let task = async move {
            let edited = match wait_turn(edits, edit.xe.timeout()).await {
                Ok(_turn) => edit.carry_out().await,
                Err(crowded) => Err(crowded),
            };
            if let Err(error) = edited {
                let error = error_chain(&error);
                tracing::warn!(%network, %host, error, "the list of hosts that xapi keeps was not edited");
            }
        };
        // It ends with nothing but a panic, which is in the log.
        let _ = tokio::spawn(task.in_current_span()).await;
    }

    /// Has the plain network with this key ready in xapi, for as long as `permit` says that this may go on: there, open to all hosts
    /// of the pool, marked, and listing this host where its id is given.
    ///
    /// In a task of its own: a caller that goes away, or is answered at the deadline, does not leave it half done.
    ///
    /// # Errors
    /// Why it is not ready, or that it is not known whether it will be.
    pub async fn make_network(&self, key: GreKey, host: Option<HostId>, permit: Permit) -> Result<Made, NetworkError> {
        let (making, edits) = (self.network_making(key, host, permit), Arc::clone(&self.edits));
        let task = async move {
            let _turn = wait_turn(edits, making.xe.timeout()).await?;
            let made = making.carry_out().await;
            if let Err(error) = &made {
                tracing::warn!(%key, %error, "a network is not ready in xapi");
            }
            made
        };
        let (limit, task) = (wait_budget(self.xe.timeout()), tokio::spawn(task.in_current_span()));
        match tokio::time::timeout(limit, task).await {
            Ok(Ok(made)) => made,
            Ok(Err(_)) => {
                Err(NetworkError::Unknown("xapi was asked for this, and it has failed; the log has more".to_owned()))
            }
            Err(_) => {
                let words = format!("xapi was asked for this, which is not finished after {limit:?}; it goes on");
                Err(NetworkError::Unknown(words))
            }
        }
    }

    /// What that would do.
    ///
    /// # Errors
    /// Why it would not be made ready, or when xapi does not tell.
    pub async fn plan_network(&self, key: GreKey, host: Option<HostId>) -> Result<Plan, NetworkError> {
        let _turn = wait_turn(Arc::clone(&self.edits), self.xe.timeout()).await?;
        self.network_making(key, host, Permit::default()).plan_network().await
    }

    /// The plain network with this key, as it is in xapi; nothing where there is none. For whoever may only read, too, so few ask at
    /// the same time.
    ///
    /// # Errors
    /// When xapi does not tell, or has several.
    pub async fn find_network(&self, key: GreKey) -> Result<Option<Told>, NetworkError> {
        let turn = self.labels.wait_turn(&self.xe).await;
        let _turn = turn.map_err(|busy| NetworkError::Undone(format!("xapi is not asked: {busy}")))?;
        self.network_making(key, None, Permit::default()).current_network().await
    }

    fn network_making(&self, key: GreKey, host: Option<HostId>, permit: Permit) -> Making {
        Making { xe: self.xe.clone(), key, host, permit }
    }

    /// The bridge of the network with this name-label, where there is exactly one.
    ///
    /// # Errors
    /// When xapi does not tell.
    pub async fn bridge_of_label(&self, label: &str) -> Result<Option<String>, XapiError> {
        self.labels.bridge_of(&self.xe, label).await
    }

    /// The name-labels of the networks that have a bridge: one, as a rule.
    ///
    /// # Errors
    /// When xapi does not tell.
    pub async fn labels_of_bridge(&self, bridge: &BridgeName) -> Result<Vec<String>, XapiError> {
        let mut labels = Vec::new();
        for network in self.xe.networks_of_bridge(bridge).await? {
            labels.push(self.xe.network_param(network, "name-label").await?);
        }
        Ok(labels)
    }

    /// The name-label of the network of this host's first PIF whose bridge has an IPv4 address.
    ///
    /// # Errors
    /// When xapi or the kernel does not tell.
    pub async fn first_label(&self, interfaces: &Interfaces) -> Result<Option<String>, XapiError> {
        for network in self.xe.pif_networks(host_uuid(&self.inventory)?).await? {
            let bridge = self.xe.network_param(network, "bridge").await?;
            if interfaces.by_label(&bridge, None).await?.is_some_and(|device| has_ipv4(&device)) {
                return Ok(Some(self.xe.network_param(network, "name-label").await?));
            }
        }
        Ok(None)
    }

    /// What platform this host is: `XCP` for XCP and XCP-ng.
    ///
    /// # Errors
    /// When xapi does not tell.
    pub async fn platform(&self) -> Result<String, XapiError> {
        Ok(self.xe.platform_name(host_uuid(&self.inventory)?).await?)
    }
}

/// CloudStack knows no other addresses of hosts.
fn has_ipv4(device: &ovstunnel_api::Interface) -> bool {
    device.ip.as_deref().is_some_and(|ip| ip.parse::<std::net::Ipv4Addr>().is_ok())
}

/// Waits for the turn among all edits of this host; while `xe` hangs that may be never.
async fn wait_turn(edits: Arc<Semaphore>, timeout: Duration) -> Result<OwnedSemaphorePermit, HoldError> {
    let turn = tokio::time::timeout(timeout * PATIENCE, edits.acquire_owned()).await;
    turn.ok().and_then(Result::ok).ok_or(HoldError::Crowded)
}

/// The id that all managed bridges know this host by; nothing where they differ.
fn host_id_of_others(observer: &Observer) -> Option<HostId> {
    let ids: BTreeSet<HostId> = observer.read(|db| {
        let view = db.view();
        let bridges = db.bridge_names().into_iter().filter_map(|name| view.bare_bridge(&name));
        bridges.filter_map(|bridge| DesiredBridge::from_record(&bridge)?.host_id).collect()
    });
    ids.first().filter(|_| ids.len() == 1).cloned()
}

/// This host's UUID, from lines such as `INSTALLATION_UUID='…'`.
fn host_uuid(file: &Path) -> Result<Uuid, XapiError> {
    let text =
        std::fs::read_to_string(file).map_err(|source| XapiError::Inventory { file: file.to_owned(), source })?;
    let value = text.lines().find_map(|line| line.trim().strip_prefix("INSTALLATION_UUID="));
    let uuid = value.and_then(|value| value.trim_matches(['\'', '"']).parse().ok());
    uuid.ok_or_else(|| XapiError::NoUuid { file: file.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inventory_names_this_host() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("inventory");
        let told = |text: &str| {
            std::fs::write(&file, text).unwrap();
            host_uuid(&file).map(|uuid| uuid.to_string()).map_err(|error| error.to_string())
        };
        let uuid = "2b0f6c1e-1111-4000-8000-00000000abcd";
        assert_eq!(told(&format!("A='x'\nINSTALLATION_UUID='{uuid}'\nB=''\n")).as_deref(), Ok(uuid));
        assert_eq!(told(&format!("INSTALLATION_UUID={uuid}")).as_deref(), Ok(uuid));
        for bad in [
            "",
            "INSTALLATION_UUID='x'",
            "INSTALLATION_UUID=",
            "OLD_INSTALLATION_UUID='2b0f6c1e-1111-4000-8000-00000000abcd'",
        ] {
            assert!(told(bad).unwrap_err().contains("INSTALLATION_UUID"), "{bad}");
        }
        assert!(host_uuid(Path::new("/nonexistent/i")).unwrap_err().to_string().contains("/nonexistent/i"));
    }
}
