//! A typed client of a manager's API.
//!
//! What it does: one method for each route. What it must not do: what the daemon's client must not either.

mod enrolment;
mod networks;
mod sent_on;

use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use ovstunnel_api::{DoctorAnswer, Position, SupportAnswer};
use ovstunnel_manager_api::{
    CloudStackState, EventList, FaultList, Hold, HoldList, Host, HostAnswer, HostList, HostTunnelList, Link, LinkRole,
    Matrix, MatrixBy, Network, NetworkList, NetworkPlan, Overview, Path, PostLink, PostMaintenance, PostName,
    PostNumber, PostPath, Proof, PutHost, Ready, Redelivered, Sweep, UpgradePlan, WebhookList, ZoneEvent,
};
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::{Client, ClientError, Endpoint, Watch};

/// The manager's Unix socket as configured unless told otherwise.
pub const DEFAULT_MANAGER_SOCKET: &str = "/run/ovstunnel/manager.sock";

/// A connection to one manager. Cheap to clone; requests may run side by side.
#[derive(Clone, Debug)]
pub struct Manager(Client);

/// Which networks are wanted, and which page of them.
#[derive(Clone, Debug, Default)]
pub struct NetworksWanted {
    /// Only those in one of these states: `whole`, `settling`, `broken`.
    pub states: Vec<String>,
    /// Only those that this host has something of.
    pub host: Option<String>,
    /// From 1; the first page where there is none.
    pub page: Option<u32>,
    /// Networks of a page.
    pub limit: Option<u32>,
}

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
pub struct EventsWanted {
    /// So many at most.
    pub limit: Option<u32>,
    /// Only older ones.
    pub before: Option<u64>,
    /// Only those from this time on: RFC 3339.
    pub since: Option<String>,
    /// Only those that concern this host.
    pub host: Option<String>,
    /// Only those that concern this network.
    pub network: Option<String>,
    /// Only those of this kind.
    pub kind: Option<String>,
}

/// Which faults are wanted.
#[derive(Clone, Debug, Default)]
pub struct FaultsWanted {
    /// So many at most.
    pub limit: Option<u32>,
    /// Only those at this host, or at its tunnels.
    pub host: Option<String>,
    /// Only those that concern this network.
    pub network: Option<String>,
    /// Only those of this kind.
    pub kind: Option<String>,
}

impl Manager {
    /// Gets ready to ask the manager at `endpoint`; nothing is sent yet. `timeout` bounds each request as a whole.
    ///
    /// # Errors
    /// When a certificate or key file cannot be read or used.
    pub fn new(endpoint: &Endpoint, timeout: Duration) -> Result<Manager, ClientError> {
        Ok(Manager(Client::new(endpoint, timeout)?.for_manager()))
    }

    /// The manager of this host, on its Unix socket.
    pub fn unix(socket: impl Into<PathBuf>, timeout: Duration) -> Manager {
        Manager(Client::unix(socket, timeout).for_manager())
    }

    /// Where the manager is, for a person: the socket's path or the URL.
    pub fn peer(&self) -> &str {
        self.0.peer()
    }

    /// `GET /v1/overview`: the zone in a few numbers.
    ///
    /// # Errors
    /// See [`ClientError`]; this holds for each request below.
    pub async fn overview(&self) -> Result<Overview, ClientError> {
        self.get(&["v1", "overview"], &[]).await
    }

    /// `GET /v1/watch`: the zone in numbers, then each network and host that changes. With the position of the last event that was
    /// read it goes on there, where that is possible. The client's time-out bounds the wait for the answer's beginning.
    pub async fn watch(&self, last: Option<&Position>) -> Result<Watch<ZoneEvent>, ClientError> {
        self.0.open_stream(Call::new(Method::GET, &["v1", "watch"]), last).await
    }

    /// `GET /v1/hosts`: the registered hosts.
    pub async fn hosts(&self) -> Result<HostList, ClientError> {
        self.get(&["v1", "hosts"], &[]).await
    }

    /// `GET /v1/hosts/{host}`.
    pub async fn host(&self, name: &str) -> Result<Host, ClientError> {
        self.get(&["v1", "hosts", Call::path_segment("host", name)?], &[]).await
    }

    /// `GET /v1/hosts/{host}/tunnels`: those that it has, as it told of them last.
    pub async fn host_tunnels(&self, name: &str) -> Result<HostTunnelList, ClientError> {
        self.get(&["v1", "hosts", Call::path_segment("host", name)?, "tunnels"], &[]).await
    }

    /// `PUT /v1/hosts/{host}`: registers it, or changes what is registered of it.
    pub async fn put_host(&self, name: &str, body: &PutHost, dry_run: bool) -> Result<HostAnswer, ClientError> {
        let call = Call::new(Method::PUT, &["v1", "hosts", Call::path_segment("host", name)?]).with_json(body)?;
        self.0.send_call(if dry_run { call.dry_run() } else { call }).await
    }

    /// `DELETE /v1/hosts/{host}`: forgets it; nothing on it is changed.
    pub async fn delete_host(&self, name: &str, dry_run: bool) -> Result<HostAnswer, ClientError> {
        let call = Call::new(Method::DELETE, &["v1", "hosts", Call::path_segment("host", name)?]);
        self.0.send_call(if dry_run { call.dry_run() } else { call }).await
    }

    /// `POST /v1/hosts/{host}/resync`: connects to it anew.
    pub async fn resync_host(&self, name: &str) -> Result<Host, ClientError> {
        self.0.send_call(Call::new(Method::POST, &["v1", "hosts", Call::path_segment("host", name)?, "resync"])).await
    }

    /// `POST /v1/hosts/{host}/rename`; with `dry_run` nothing is changed.
    pub async fn rename_host(&self, name: &str, to: &str, dry_run: bool) -> Result<HostAnswer, ClientError> {
        let call = Call::new(Method::POST, &["v1", "hosts", Call::path_segment("host", name)?, "rename"])
            .with_json(&PostName { name: to.to_owned() })?;
        self.0.send_call(if dry_run { call.dry_run() } else { call }).await
    }

    /// `POST /v1/hosts/{host}/renumber`; with `dry_run` nothing is changed.
    pub async fn renumber_host(&self, name: &str, number: u64, dry_run: bool) -> Result<HostAnswer, ClientError> {
        let call = Call::new(Method::POST, &["v1", "hosts", Call::path_segment("host", name)?, "renumber"])
            .with_json(&PostNumber { number })?;
        self.0.send_call(if dry_run { call.dry_run() } else { call }).await
    }

    /// `POST /v1/hosts/{host}/maintenance`: its faults are not told until then; without `until` they are told again.
    pub async fn set_maintenance(&self, name: &str, until: Option<String>) -> Result<Host, ClientError> {
        let call = Call::new(Method::POST, &["v1", "hosts", Call::path_segment("host", name)?, "maintenance"]);
        self.0.send_call(call.with_json(&PostMaintenance { until })?).await
    }

    /// `GET /v1/upgrade`: in which order daemons that are older than the manager are to be upgraded.
    pub async fn upgrade_plan(&self) -> Result<UpgradePlan, ClientError> {
        self.get(&["v1", "upgrade"], &[]).await
    }

    /// `GET /v1/networks`: the networks that are wanted, the worst first.
    pub async fn networks(&self, wanted: &NetworksWanted) -> Result<NetworkList, ClientError> {
        let states = Some(wanted.states.join(",")).filter(|states| !states.is_empty());
        let text = |number: Option<u32>| number.map(|number| number.to_string());
        let query = [
            ("state", states),
            ("host", wanted.host.clone()),
            ("page", text(wanted.page)),
            ("limit", text(wanted.limit)),
        ];
        self.get(&["v1", "networks"], &query).await
    }

    /// `GET /v1/networks/{network}`, with its hosts.
    pub async fn network(&self, name: &str) -> Result<Network, ClientError> {
        self.get(&["v1", "networks", Call::path_segment("network", name)?], &[]).await
    }

    /// `GET /v1/networks/{network}/proof`.
    pub async fn proof(&self, name: &str) -> Result<Proof, ClientError> {
        self.get(&["v1", "networks", Call::path_segment("network", name)?, "proof"], &[]).await
    }

    /// `GET /v1/networks/{network}/mesh`: each direction between its hosts, or between its racks.
    pub async fn mesh(&self, name: &str, by: MatrixBy) -> Result<Matrix, ClientError> {
        let by = [("by", Some(by.as_str().to_owned()))];
        self.get(&["v1", "networks", Call::path_segment("network", name)?, "mesh"], &by).await
    }

    /// `GET /v1/zone/matrix`: the same over all networks.
    pub async fn zone_matrix(&self, by: MatrixBy) -> Result<Matrix, ClientError> {
        self.get(&["v1", "zone", "matrix"], &[("by", Some(by.as_str().to_owned()))]).await
    }

    /// `POST /v1/networks/{network}/reconcile?dry_run=true`: what would be sent to whom.
    pub async fn plan(&self, name: &str) -> Result<NetworkPlan, ClientError> {
        let path = ["v1", "networks", Call::path_segment("network", name)?, "reconcile"];
        self.0.send_call(Call::new(Method::POST, &path).dry_run()).await
    }

    /// `POST /v1/networks/{network}/reconcile`: has it made whole now, and says what is sent to whom.
    pub async fn reconcile(&self, name: &str) -> Result<NetworkPlan, ClientError> {
        let path = ["v1", "networks", Call::path_segment("network", name)?, "reconcile"];
        self.0.send_call(Call::new(Method::POST, &path)).await
    }

    /// `POST /v1/networks/{network}/sweep`: sends frames into each of its tunnels, and says by which none arrives.
    pub async fn sweep(&self, name: &str, mtu: bool) -> Result<Sweep, ClientError> {
        let path = ["v1", "networks", Call::path_segment("network", name)?, "sweep"];
        self.0.send_call(Call::new(Method::POST, &path).with_query(&[("mtu", mtu.then(|| "true".to_owned()))])).await
    }

    /// `GET /v1/holds`: the removals that wait for somebody's word.
    pub async fn holds(&self) -> Result<HoldList, ClientError> {
        self.get(&["v1", "holds"], &[]).await
    }

    /// `POST /v1/holds/{id}/approve` or `refuse`: lets what a hold is about go, or stay.
    pub async fn decide_hold(&self, id: u64, approve: bool) -> Result<Hold, ClientError> {
        let word = if approve { "approve" } else { "refuse" };
        self.0.send_call(Call::new(Method::POST, &["v1", "holds", &id.to_string(), word])).await
    }

    /// `POST /v1/links`: a link to the page that lets one browser in, once.
    pub async fn link(&self, role: Option<LinkRole>) -> Result<Link, ClientError> {
        self.0.send_call(Call::new(Method::POST, &["v1", "links"]).with_json(&PostLink { role })?).await
    }

    /// `GET /v1/events`: the newest first.
    pub async fn events(&self, wanted: &EventsWanted) -> Result<EventList, ClientError> {
        let query = [
            ("limit", wanted.limit.map(|limit| limit.to_string())),
            ("before", wanted.before.map(|id| id.to_string())),
            ("since", wanted.since.clone()),
            ("host", wanted.host.clone()),
            ("network", wanted.network.clone()),
            ("kind", wanted.kind.clone()),
        ];
        self.get(&["v1", "events"], &query).await
    }

    /// `GET /v1/cloudstack`: how far the manager is with reading CloudStack's API.
    pub async fn cloudstack(&self) -> Result<CloudStackState, ClientError> {
        self.get(&["v1", "cloudstack"], &[]).await
    }

    /// `GET /v1/webhooks`: who is told of what happens, and how far each is.
    pub async fn webhooks(&self) -> Result<WebhookList, ClientError> {
        self.get(&["v1", "webhooks"], &[]).await
    }

    /// `POST /v1/webhooks/{webhook}/redeliver`: sends again what it has not taken.
    pub async fn redeliver_webhook(&self, name: &str) -> Result<Redelivered, ClientError> {
        let path = ["v1", "webhooks", Call::path_segment("webhook", name)?, "redeliver"];
        self.0.send_call(Call::new(Method::POST, &path)).await
    }

    /// `GET /v1/faults`: what is wrong, each cause once, the worst first.
    pub async fn faults(&self, wanted: &FaultsWanted) -> Result<FaultList, ClientError> {
        let query = [
            ("limit", wanted.limit.map(|limit| limit.to_string())),
            ("host", wanted.host.clone()),
            ("network", wanted.network.clone()),
            ("kind", wanted.kind.clone()),
        ];
        self.get(&["v1", "faults"], &query).await
    }

    /// `GET /v1/path`: whether frames pass between two hosts or NICs, step by step.
    pub async fn path(&self, from: &str, to: &str, network: Option<&str>) -> Result<Path, ClientError> {
        self.path_of(from, to, network, None).await
    }

    /// The same of a packet, as `tcp:443`, where the two are in tiers of a VPC.
    pub async fn path_of(
        &self,
        from: &str,
        to: &str,
        network: Option<&str>,
        packet: Option<&str>,
    ) -> Result<Path, ClientError> {
        let (from, to) = (Some(from.to_owned()), Some(to.to_owned()));
        let (network, packet) = (network.map(str::to_owned), packet.map(str::to_owned));
        let query = [("from", from), ("to", to), ("network", network), ("packet", packet)];
        self.get(&["v1", "path"], &query).await
    }

    /// `POST /v1/path`: the same; with `send`, real frames are sent between the two hosts.
    pub async fn post_path(&self, body: &PostPath) -> Result<Path, ClientError> {
        self.0.send_call(Call::new(Method::POST, &["v1", "path"]).with_json(body)?).await
    }

    /// `GET /v1/doctor`: what is wrong with the manager and its zone.
    pub async fn doctor(&self) -> Result<DoctorAnswer, ClientError> {
        self.get(&["v1", "doctor"], &[]).await
    }

    /// `GET /v1/support`: what a bug report needs; on the Unix socket only.
    pub async fn support(&self) -> Result<SupportAnswer, ClientError> {
        self.get(&["v1", "support"], &[]).await
    }

    /// `GET /readyz`. Not being ready is an answer, not an error.
    pub async fn readyz(&self) -> Result<Ready, ClientError> {
        self.0.ask_with_any_status(Call::new(Method::GET, &["readyz"])).await
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, Option<String>)],
    ) -> Result<T, ClientError> {
        self.0.send_call(Call::new(Method::GET, path).with_query(query)).await
    }
}
