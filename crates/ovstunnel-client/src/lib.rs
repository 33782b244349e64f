//! A typed client of a daemon's API, for every program that asks one.
//!
//! What it does: one method for each route, on the Unix socket or over HTTPS; errors keep the daemon's [`Problem`] as it
//! was. What it must not do: repeat a request (only the caller knows whether that is wanted), follow a redirect, use a
//! proxy, or check what the daemon checks.

mod call;
mod clock;
mod dry_run;
mod endpoint;
mod error;
#[cfg(feature = "https")]
mod https;
#[cfg(all(feature = "https", feature = "manager"))]
mod joining;
#[cfg(feature = "manager")]
mod manager;
mod packet;
mod peer;
#[cfg(feature = "https")]
mod refused;
#[cfg(feature = "https")]
mod tls;
mod transport;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use ovstunnel_api::{
    AddressTable, Bridge, BridgeAnswer, BridgeList, CONTROLLER_HEADER, CountersAnswer, DoctorAnswer, EPOCH_HEADER,
    Epoch, EpochAnswer, EpochState, FollowedFrame, Interface, LogAnswer, OutcomeAnswer, PluginAnswer, PluginArguments,
    Position, PostKind, PostProbe, PostTunnel, ProbeAnswer, Problem, PutBfd, PutBridge, PutEpoch, PutLog,
    PutXapiNetwork, Ready, ReconcileAnswer, SupportAnswer, TakeoverAnswer, TakeoverRequest, TunnelAnswer, VifLimit,
    XapiNetwork, XapiNetworkAnswer,
};
use serde::de::DeserializeOwned;

use call::Call;
pub use clock::Clock;
pub use dry_run::DryRun;
#[cfg(feature = "https")]
pub use endpoint::Identity;
pub use endpoint::{DEFAULT_SOCKET, Endpoint};
pub use error::{Cause, ClientError};
#[cfg(all(feature = "https", feature = "manager"))]
pub use joining::Joining;
#[cfg(feature = "manager")]
pub use manager::{DEFAULT_MANAGER_SOCKET, EventsWanted, FaultsWanted, Manager, NetworksWanted};
pub use packet::Packet;
pub use peer::{Peer, Service};
#[cfg(feature = "https")]
pub use tls::TlsFault;
use transport::{Streamed, Transport};
#[cfg(feature = "https")]
pub use url::Url;
pub use watch::{DEFAULT_SILENCE, Event, Watch};

/// How long a request may take unless told otherwise: longer than the 30 s that the daemon gives its own commands, so
/// that the daemon's explanation arrives before the client gives up.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(40);

/// The header with the id of a request.
const REQUEST_ID: &str = "x-request-id";

/// The header that says where a request stands in a trace.
const TRACE_PARENT: &str = "traceparent";

/// A connection to one daemon. Cheap to clone; requests may run side by side.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Transport,
    /// The epoch under which it writes.
    epoch: Option<Epoch>,
    /// The id that its requests have in the log of whoever is asked.
    request_id: Option<Arc<str>>,
    /// Where its requests stand in a trace.
    trace_parent: Option<Arc<str>>,
}

impl Client {
    /// Gets ready to ask the daemon at `endpoint`; nothing is sent yet. `timeout` bounds each request as a whole.
    ///
    /// # Errors
    /// When a certificate or key file cannot be read or used.
    pub fn new(endpoint: &Endpoint, timeout: Duration) -> Result<Self, ClientError> {
        match endpoint {
            Endpoint::Unix(socket) => Ok(Client::unix(socket, timeout)),
            #[cfg(feature = "https")]
            Endpoint::Https { url, identity } => {
                Ok(Client::with_transport(https::https_transport(url, tls::client_config(identity)?, timeout)))
            }
        }
    }

    /// Gets ready to ask the daemon of this host on its Unix socket. A program that asks in no other way has nothing of TLS
    /// in it.
    pub fn unix(socket: impl Into<PathBuf>, timeout: Duration) -> Self {
        Client::with_transport(Transport::unix(socket.into(), timeout))
    }

    fn with_transport(transport: Transport) -> Self {
        Client { transport, epoch: None, request_id: None, trace_parent: None }
    }

    /// The same for a zone's manager that leads under `epoch`: every request that changes something says so, and is refused with
    /// `stale_epoch` once the daemon has seen a newer one. A watch says that this manager acts, so that removals by the xapi plugin are left
    /// to it.
    #[must_use]
    pub fn under_epoch(&self, epoch: Epoch) -> Self {
        Client { epoch: Some(epoch), ..self.clone() }
    }

    /// The same, whose requests may take so long, each as a whole.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        let mut client = self.clone();
        client.transport.timeout = timeout;
        client
    }

    /// The same, whose requests have this id in the log of whoever is asked: 1 to 64 characters of `A-Za-z0-9._-`.
    #[must_use]
    pub fn with_request_id(&self, id: &str) -> Self {
        Client { request_id: Some(id.into()), ..self.clone() }
    }

    /// The same, whose requests stand there in a trace: the header `traceparent` of W3C Trace Context.
    #[must_use]
    pub fn with_trace_parent(&self, parent: Option<&str>) -> Self {
        Client { trace_parent: parent.map(Into::into), ..self.clone() }
    }

    /// The same way to a zone's manager: what goes wrong is told of that.
    #[cfg(feature = "manager")]
    pub(crate) fn for_manager(mut self) -> Self {
        self.transport.peer.service = Service::Manager;
        self
    }

    /// Where the daemon is, for a person: the socket's path or the URL.
    pub fn peer(&self) -> &str {
        &self.transport.peer.at
    }

    /// The certificate that the daemon has shown on the last connection, DER; none before the first one, and on a Unix socket.
    #[cfg(feature = "https")]
    pub fn daemon_certificate(&self) -> Option<Vec<u8>> {
        self.transport.shown.get()
    }

    /// How far the daemon's clock is ahead of the one here, by its last answer; nothing before the first, and where that did not tell.
    pub fn clock(&self) -> Option<Clock> {
        self.transport.clocks.last_clock()
    }

    /// The same changing requests, answered with their plan; nothing is changed.
    pub fn dry_run(&self) -> DryRun<'_> {
        DryRun(self)
    }

    /// `PUT /v1/bridges/{bridge}`: sets the bridge up; with `tunnels`, they are the complete set.
    ///
    /// # Errors
    /// See [`ClientError`]; this holds for each request below.
    pub async fn put_bridge(&self, bridge: &str, body: &PutBridge) -> Result<BridgeAnswer, ClientError> {
        self.send_call(call::put_bridge(bridge, body)?).await
    }

    /// `PUT /v1/bridges/{bridge}/bfd`: BFD runs on exactly these tunnels of the bridge.
    pub async fn put_bfd(&self, bridge: &str, body: &PutBfd) -> Result<BridgeAnswer, ClientError> {
        self.send_call(call::put_bfd(bridge, body)?).await
    }

    /// `POST /v1/bridges/{bridge}/kind`: a step of the change of its tunnels' kind.
    pub async fn post_kind(&self, bridge: &str, body: &PostKind) -> Result<BridgeAnswer, ClientError> {
        self.send_call(call::post_kind(bridge, body)?).await
    }

    /// `GET /v1/bridges`: all managed bridges.
    pub async fn bridges(&self) -> Result<BridgeList, ClientError> {
        self.send_call(call::get_bridges()).await
    }

    /// `GET /v1/counters`: what all tunnels of the host have counted.
    pub async fn counters(&self) -> Result<CountersAnswer, ClientError> {
        self.send_call(call::get_counters()).await
    }

    /// `GET /v1/watch`: what is there, and then each change; after `last`, where the daemon still knows all changes since. The
    /// client's time-out bounds the wait for the answer's beginning, [`Watch::with_silence`] that for each event.
    pub async fn watch(&self, last: Option<&Position>) -> Result<Watch, ClientError> {
        let call = match self.epoch {
            Some(epoch) => call::get_watch()
                .with_header(EPOCH_HEADER, epoch.to_string())
                .with_header(CONTROLLER_HEADER, "on".to_owned()),
            None => call::get_watch(),
        };
        self.open_stream(call, last).await
    }

    async fn open_stream<E: Event>(&self, call: Call, last: Option<&Position>) -> Result<Watch<E>, ClientError> {
        match self.transport.open_stream(call, last.map(ToString::to_string)).await? {
            Streamed::Body(body) => Ok(Watch::new(body, &self.transport.peer)),
            Streamed::Refused(status, body) => Err(self.refusal_error(status, &body)),
        }
    }

    /// `GET /v1/bridges/{bridge}`: one managed bridge.
    pub async fn bridge(&self, bridge: &str) -> Result<Bridge, ClientError> {
        self.send_call(call::get_bridge(bridge)?).await
    }

    /// `GET /v1/bridges/{bridge}/fdb`: the addresses that it has learnt; only this one, where it is given.
    pub async fn addresses(&self, bridge: &str, mac: Option<&str>) -> Result<AddressTable, ClientError> {
        self.send_call(call::get_fdb(bridge, mac)?).await
    }

    /// `GET /v1/bridges/{bridge}/trace`: where a frame comes out that comes in by this port.
    pub async fn trace(
        &self,
        bridge: &str,
        in_port: &str,
        source: &str,
        destination: &str,
    ) -> Result<FollowedFrame, ClientError> {
        self.send_call(call::get_trace(bridge, in_port, source, destination)?).await
    }

    /// The same of a frame with an IPv4 packet: what the ACLs of a VPC decide is told, too. Only where the daemon's `capabilities` say `packets`.
    pub async fn trace_packet(
        &self,
        bridge: &str,
        in_port: &str,
        ends: (&str, &str),
        packet: &Packet,
    ) -> Result<FollowedFrame, ClientError> {
        self.send_call(call::get_packet_trace(bridge, in_port, ends, packet)?).await
    }

    /// `GET /v1/bridges/{bridge}/limit`: what the limit of a VIF's broadcast has counted. Only where the daemon's `capabilities` say `packets`.
    pub async fn limit(&self, bridge: &str, vif: &str) -> Result<VifLimit, ClientError> {
        self.send_call(call::get_limit(bridge, vif)?).await
    }

    /// `POST /v1/bridges/{bridge}/probe`: arms a probe of its tunnels, sends its frames, or reads what has come. Only where the daemon's
    /// `capabilities` say `probe`.
    pub async fn probe(&self, bridge: &str, body: &PostProbe) -> Result<ProbeAnswer, ClientError> {
        self.send_call(call::post_probe(bridge, body)?).await
    }

    /// `DELETE /v1/bridges/{bridge}`: takes the bridge away, or only what is ours where it was adopted.
    pub async fn delete_bridge(&self, bridge: &str) -> Result<OutcomeAnswer, ClientError> {
        self.send_call(call::delete_bridge(bridge)?).await
    }

    /// `POST /v1/bridges/{bridge}/release`: leaves a plain bridge behind, with its VIFs.
    pub async fn release_bridge(&self, bridge: &str) -> Result<OutcomeAnswer, ClientError> {
        self.send_call(call::release_bridge(bridge)?).await
    }

    /// `POST /v1/takeover`: takes bridges over from the Python plugin; all that are found where none is named.
    pub async fn takeover(&self, bridges: &[String]) -> Result<TakeoverAnswer, ClientError> {
        self.send_call(call::post_takeover(&TakeoverRequest { bridges: bridges.to_vec() })?).await
    }

    /// `POST /v1/bridges/{bridge}/tunnels`: makes one tunnel, leaves the others.
    pub async fn post_tunnel(&self, bridge: &str, body: &PostTunnel) -> Result<TunnelAnswer, ClientError> {
        self.send_call(call::post_tunnel(bridge, body)?).await
    }

    /// `DELETE /v1/bridges/{bridge}/tunnels/{port}`: takes one tunnel away.
    pub async fn delete_tunnel(&self, bridge: &str, port: &str) -> Result<OutcomeAnswer, ClientError> {
        self.send_call(call::delete_tunnel(bridge, port)?).await
    }

    /// `GET /v1/interfaces/{label}`: the device that a device's, bridge's or network's name stands for.
    pub async fn interface(&self, label: &str) -> Result<Interface, ClientError> {
        self.send_call(call::get_interface(label)?).await
    }

    /// `GET /v1/networks/{key}`: the network with this GRE key as it is in xapi.
    pub async fn network(&self, key: u32) -> Result<XapiNetwork, ClientError> {
        self.send_call(call::get_network(key)).await
    }

    /// `PUT /v1/networks/{key}`: has the network in xapi, which gives it its bridge. Only where the daemon's `capabilities` say
    /// `networks`. It runs `xe` some twenty times for a new network, so it takes seconds.
    pub async fn put_network(&self, key: u32, body: &PutXapiNetwork) -> Result<XapiNetworkAnswer, ClientError> {
        self.send_call(call::put_network(key, body)?).await
    }

    /// `POST /v1/kvm/{function}`: a function of CloudStack's KVM agent, whose failures are answers, too.
    pub async fn kvm(&self, function: &str, arguments: &PluginArguments) -> Result<PluginAnswer, ClientError> {
        self.send_call(call::post_kvm(function, arguments)?).await
    }

    /// `POST /v1/plugin/{function}`: a function of the xapi plugin, whose failures are answers, too.
    pub async fn plugin(&self, function: &str, arguments: &PluginArguments) -> Result<PluginAnswer, ClientError> {
        self.send_call(call::post_plugin(function, arguments)?).await
    }

    /// `POST /v1/reconcile`: looks and repairs now.
    pub async fn reconcile(&self) -> Result<ReconcileAnswer, ClientError> {
        self.send_call(call::post_reconcile()).await
    }

    /// `GET /v1/doctor`: what is wrong with the daemon's host; with `probe_peers` it also asks the other hosts.
    pub async fn doctor(&self, probe_peers: bool) -> Result<DoctorAnswer, ClientError> {
        self.send_call(call::get_doctor(probe_peers)).await
    }

    /// `GET /v1/support`: what a bug report needs; on the Unix socket only.
    pub async fn support(&self) -> Result<SupportAnswer, ClientError> {
        self.send_call(call::get_support()).await
    }

    /// `GET /v1/log`: how the daemon's log is set.
    pub async fn log(&self) -> Result<LogAnswer, ClientError> {
        self.send_call(call::get_log()).await
    }

    /// `PUT /v1/log`: sets its level, until the daemon reads its configuration again.
    pub async fn set_log_level(&self, level: &str) -> Result<LogAnswer, ClientError> {
        self.send_call(call::put_log(&PutLog { level: level.to_owned() })?).await
    }

    /// `GET /v1/epoch`: the epoch that is recorded.
    pub async fn epoch(&self) -> Result<EpochState, ClientError> {
        self.send_call(call::get_epoch()).await
    }

    /// `PUT /v1/epoch`: records one; what is written under an older one is refused from then on.
    pub async fn record_epoch(&self, epoch: Epoch) -> Result<EpochAnswer, ClientError> {
        self.send_call(call::put_epoch(&PutEpoch { zone: epoch.zone().to_string(), epoch: epoch.number() })?).await
    }

    /// `DELETE /v1/epoch`: any zone's manager may record one again.
    pub async fn clear_epoch(&self) -> Result<OutcomeAnswer, ClientError> {
        self.send_call(call::delete_epoch()).await
    }

    /// `GET /healthz`: the daemon is alive. The answer has no content that matters.
    pub async fn healthz(&self) -> Result<(), ClientError> {
        let (status, body) = self.transport.send_request(call::get_healthz()).await?;
        if status.is_success() { Ok(()) } else { Err(self.refusal_error(status, &body)) }
    }

    /// `GET /readyz`: whether the switch can be reached and was reconciled. Not being ready is an answer, not an error.
    pub async fn readyz(&self) -> Result<Ready, ClientError> {
        self.ask_with_any_status(call::get_readyz()).await
    }

    /// For an answer that is the same whatever its status: not ready comes with 503, so that a load balancer understands it too.
    async fn ask_with_any_status<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        let (status, body) = self.transport.send_request(call).await?;
        match serde_json::from_slice(&body) {
            Ok(ready) => Ok(ready),
            Err(e) if status.is_success() => Err(self.unexpected_answer(status, &body, Some(e))),
            Err(_) => Err(self.refusal_error(status, &body)),
        }
    }

    async fn send_call<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        let call = match self.epoch {
            Some(epoch) if call.method != http::Method::GET => call.with_header(EPOCH_HEADER, epoch.to_string()),
            _ => call,
        };
        let headers = [(REQUEST_ID, &self.request_id), (TRACE_PARENT, &self.trace_parent)];
        let call = headers.into_iter().fold(call, |call, (name, value)| match value {
            Some(value) => call.with_header(name, value.to_string()),
            None => call,
        });
        let (status, body) = self.transport.send_request(call).await?;
        if !status.is_success() {
            return Err(self.refusal_error(status, &body));
        }
        serde_json::from_slice(&body).map_err(|e| self.unexpected_answer(status, &body, Some(e)))
    }

    fn refusal_error(&self, status: StatusCode, body: &[u8]) -> ClientError {
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => ClientError::Problem(Box::new(problem)),
            Err(e) => self.unexpected_answer(status, body, Some(e)),
        }
    }

    fn unexpected_answer(&self, status: StatusCode, body: &[u8], source: Option<serde_json::Error>) -> ClientError {
        ClientError::unexpected_answer(&self.transport.peer, status.as_u16(), body, source)
    }
}
