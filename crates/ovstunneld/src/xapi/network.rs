//! A plain network of xapi's, found or made, with what a management server and the plugin write into it
//! (docs/adr/0038-xapi-networks-by-the-api.md).
//!
//! What it does: finds the network by its name-label, makes it under a lock of the pool, and has its `other-config` say what it is to
//! say. What it must not do: choose among several of one name-label, make a bridge (the writer does), or take anything away.

use ovstunnel_ovs::{Command, Xe, XeChange, XeError, XeObject};
use ovstunnel_plan::{GreKey, HostId, NetworkUuid, Outcome};

use super::edit::{Edit, Wanted, Written, listed_hosts};
use super::hold::{Config, Held, HoldError, Lock, Permit, change_error, retry_while_locked};

/// How the keys begin of the lock under which a network is made: in the pool's `other-config`, for there is no network yet. The GRE
/// key follows.
const MAKING: &str = "ovstunnel-network-";

/// The name-label of a plain network, as management servers make it.
fn network_label(key: GreKey) -> String {
    format!("OVSTunnel{key}")
}

/// What a person reads of it in xapi, as management servers write it.
fn network_description(key: GreKey) -> String {
    format!("tunnel network id# {}", network_label(key))
}

/// Why a network is not ready, or not told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    /// Several networks have the name-label: which of them is meant nobody knows.
    #[error("{} networks of xapi have the name-label {label}: {}", networks.len(), joined_uuids(networks))]
    Doubled {
        /// The name-label.
        label: String,
        /// Their UUIDs.
        networks: Vec<NetworkUuid>,
    },
    /// Whoever asked may not write any more. What was made before that stays.
    #[error("who asked for it may not write any more")]
    Forbidden,
    /// Nothing is known to be half done, and it was not carried out: xapi does not answer, or others are at it.
    #[error("{0}")]
    Undone(String),
    /// It is not known how much of it was done.
    #[error("{0}")]
    Unknown(String),
}

fn joined_uuids(networks: &[NetworkUuid]) -> String {
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl From<HoldError> for NetworkError {
    fn from(error: HoldError) -> Self {
        let words = ovstunnel_types::text::error_chain(&error);
        match error {
            HoldError::Forbidden => NetworkError::Forbidden,
            HoldError::Doubt(_) => NetworkError::Unknown(format!("xapi does not answer: {words}")),
            HoldError::Xe(_) => NetworkError::Undone(format!("xapi does not answer: {words}")),
            HoldError::Busy | HoldError::Crowded => {
                NetworkError::Undone(format!("the network is not ready in xapi: {words}"))
            }
        }
    }
}

impl From<XeError> for NetworkError {
    fn from(error: XeError) -> Self {
        HoldError::Xe(error).into()
    }
}

/// A network as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub network: NetworkUuid,
    pub bridge: String,
    pub hosts: Vec<String>,
    /// Whether it says all that is needed on any host.
    pub ready: bool,
}

/// A network that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub network: NetworkUuid,
    pub bridge: String,
    pub outcome: Outcome,
    pub written: Vec<Written>,
}

/// What would be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub outcome: Outcome,
    pub changes: Vec<String>,
    pub commands: Vec<Command>,
}

/// One network, on its way to be ready.
#[derive(Clone, Debug)]
pub(super) struct Making {
    pub xe: Xe,
    pub key: GreKey,
    /// The id of this host, to be noted there; none to note none.
    pub host: Option<HostId>,
    pub permit: Permit,
}

/// What is found, or was made.
enum Found {
    There(NetworkUuid),
    Made(NetworkUuid),
    Several(Vec<NetworkUuid>),
}

impl Making {
    /// Has the network ready. Where this ends early, what was done stays, and the next one goes on from there.
    pub async fn carry_out(&self) -> Result<Made, NetworkError> {
        let (network, made) = match self.find_or_make().await? {
            Found::There(network) => (network, false),
            Found::Made(network) => (network, true),
            Found::Several(networks) => return Err(NetworkError::Doubled { label: network_label(self.key), networks }),
        };
        let (xe, wanted, permit) = (self.xe.clone(), self.wanted_pairs(), self.permit.clone());
        let written = Edit { xe, network, wanted, permit }.carry_out().await?;
        let outcome = match made {
            true => Outcome::Created,
            false if written.is_empty() => Outcome::Unchanged,
            false => Outcome::Updated,
        };
        Ok(Made { network, bridge: self.bridge_of(network).await?, outcome, written })
    }

    /// Says what that would do.
    pub async fn plan_network(&self) -> Result<Plan, NetworkError> {
        let Some(network) = self.only_network().await? else { return self.plan_new().await };
        let config = self.xe.other_config(XeObject::Network(network)).await?;
        let (edits, changes) = self.plan_edit(XeObject::Network(network), &network.to_string(), &config);
        let outcome = if edits.is_empty() { Outcome::Unchanged } else { Outcome::Updated };
        Ok(Plan { outcome, changes, commands: self.print_steps(&edits) })
    }

    /// The network as it is; nothing where there is none.
    pub async fn current_network(&self) -> Result<Option<Told>, NetworkError> {
        let Some(network) = self.only_network().await? else { return Ok(None) };
        let config = self.xe.other_config(XeObject::Network(network)).await?;
        let (ready, hosts) =
            (self.wanted_pairs().missing_pairs(&config).is_empty(), listed_hosts(&config).map(str::to_owned).collect());
        Ok(Some(Told { network, bridge: self.bridge_of(network).await?, hosts, ready }))
    }

    fn wanted_pairs(&self) -> Wanted {
        Wanted::Ready(self.host.clone())
    }

    async fn bridge_of(&self, network: NetworkUuid) -> Result<String, XeError> {
        let text = self.xe.network_param(network, "bridge").await?;
        match text.is_empty() {
            true => Err(XeError::Unreadable { command: "network-param-get", text }),
            false => Ok(text),
        }
    }

    /// The one network with the label.
    async fn only_network(&self) -> Result<Option<NetworkUuid>, NetworkError> {
        match self.find_network().await? {
            None => Ok(None),
            Some(Found::There(network) | Found::Made(network)) => Ok(Some(network)),
            Some(Found::Several(networks)) => Err(NetworkError::Doubled { label: network_label(self.key), networks }),
        }
    }

    async fn find_network(&self) -> Result<Option<Found>, XeError> {
        let networks = self.xe.networks_of_label(&network_label(self.key)).await?;
        Ok(match networks.as_slice() {
            [] => None,
            [network] => Some(Found::There(*network)),
            _ => Some(Found::Several(networks)),
        })
    }

    /// xapi takes any number of networks of one name-label, so hosts that make one at the same time do so one after the other.
    async fn find_or_make(&self) -> Result<Found, HoldError> {
        retry_while_locked(&self.xe, || self.find_or_make_now()).await
    }

    async fn find_or_make_now(&self) -> Result<Found, HoldError> {
        if let Some(found) = self.find_network().await? {
            return Ok(found);
        }
        self.permit.check_permit()?;
        let (on, prefix) = (XeObject::Pool(self.xe.pool_uuid().await?), self.lock_prefix());
        let lock = Lock { xe: &self.xe, on, prefix: &prefix };
        let (held, _) = lock.take_lock(&self.xe.other_config(on).await?).await?;
        let found = self.make_network(&lock, &held).await;
        lock.release_lock(&held).await;
        found
    }

    async fn make_network(&self, lock: &Lock<'_>, held: &Held) -> Result<Found, HoldError> {
        if let Some(found) = self.find_network().await? {
            return Ok(found);
        }
        lock.in_time(held)?;
        self.permit.check_permit()?;
        let made = self
            .xe
            .create_network(&network_label(self.key), &network_description(self.key))
            .await
            .map_err(change_error)?;
        tracing::info!(network = %made, key = %self.key, "made a network in xapi");
        Ok(Found::Made(made))
    }

    fn lock_prefix(&self) -> String {
        format!("{MAKING}{}-lock-", self.key)
    }

    async fn plan_new(&self) -> Result<Plan, NetworkError> {
        let prefix = self.lock_prefix();
        let lock = Lock { xe: &self.xe, on: XeObject::Pool(self.xe.pool_uuid().await?), prefix: &prefix };
        let (take, release) = lock.lock_commands(TICKET);
        let create =
            XeChange::CreateNetwork { label: network_label(self.key), description: network_description(self.key) };
        let (edits, words) = self.plan_edit(XeObject::NewNetwork, &network_label(self.key), &Config::new());
        let changes =
            [format!("create network {} in xapi", network_label(self.key))].into_iter().chain(words).collect();
        let steps: Vec<XeChange> = [take, create, release].into_iter().chain(edits).collect();
        Ok(Plan { outcome: Outcome::Created, changes, commands: self.print_steps(&steps) })
    }

    /// The changes of an edit with its lock, and in words without it.
    fn plan_edit(&self, on: XeObject, name: &str, config: &Config) -> (Vec<XeChange>, Vec<String>) {
        let missing = self.wanted_pairs().missing_pairs(config);
        if missing.is_empty() {
            return (vec![], vec![]);
        }
        let (take, release) = Edit::network_lock(&self.xe, on).lock_commands(TICKET);
        let words =
            missing.iter().map(|pair| format!("set other-config:{}={} of network {name}", pair.key, pair.after));
        let words = words.collect();
        let edits = missing.iter().map(|pair| pair.write_change(on));
        (std::iter::once(take).chain(edits).chain([release]).collect(), words)
    }

    fn print_steps(&self, steps: &[XeChange]) -> Vec<Command> {
        steps.iter().map(|step| self.xe.change_command(step)).collect()
    }
}

/// In place of what makes each lock unlike any other.
const TICKET: &str = "<ticket>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_named_as_a_management_server_names_it() {
        let key = "1001".parse().unwrap();
        assert_eq!(
            (network_label(key).as_str(), network_description(key).as_str()),
            ("OVSTunnel1001", "tunnel network id# OVSTunnel1001")
        );
    }
}
