//! What a host is told things by: its daemon's client, or a twin in memory.
//!
//! What it must not do: decide what is told, or when.

use std::fmt;

use futures_util::future::BoxFuture;
use ovstunnel_api::{Id, PostProbe, ProbeAnswer, PutXapiNetwork};
use ovstunnel_client::{Client, ClientError};
use ovstunnel_server::trace;
use ovstunnel_types::{Epoch, GreKey, HostNumber};
use tracing::Span;

use super::NETWORK_TIMEOUT;
use crate::sending::Wire;

/// In whose name a host is told something.
#[derive(Clone, Debug)]
pub struct By {
    /// The epoch under which the manager leads.
    pub epoch: Epoch,
    /// The id that the request has in both logs.
    pub request_id: String,
}

impl By {
    /// The same way to a host, for a request in this name, as a part of what is being done.
    fn client(&self, client: &Client) -> Client {
        let parent = trace::parent_of(&Span::current());
        client.under_epoch(self.epoch).with_request_id(&self.request_id).with_trace_parent(parent.as_deref())
    }
}

/// Writes to one host.
pub trait HostClient: fmt::Debug + Send + Sync {
    /// Has the host carry out a request.
    ///
    /// # Errors
    /// It refuses, or it is not known what came of it.
    fn send_request<'a>(&'a self, by: &'a By, wire: &'a Wire) -> BoxFuture<'a, Result<(), ClientError>>;

    /// Has xapi make the network with this key on the host, which has this number. Gives its bridge.
    ///
    /// # Errors
    /// As [`HostClient::send_request`].
    fn make_network<'a>(
        &'a self,
        by: &'a By,
        key: GreKey,
        host: HostNumber,
    ) -> BoxFuture<'a, Result<String, ClientError>>;

    /// Arms a probe of a bridge's tunnels, sends its frames, or reads what has come.
    ///
    /// # Errors
    /// As [`HostClient::send_request`].
    fn probe_tunnels<'a>(
        &'a self,
        by: &'a By,
        bridge: &'a str,
        body: &'a PostProbe,
    ) -> BoxFuture<'a, Result<ProbeAnswer, ClientError>>;
}

impl HostClient for Client {
    fn send_request<'a>(&'a self, by: &'a By, wire: &'a Wire) -> BoxFuture<'a, Result<(), ClientError>> {
        let client = by.client(self);
        Box::pin(async move {
            match wire {
                Wire::PutBridge(bridge, body) => client.put_bridge(bridge, body).await.map(drop),
                Wire::PostTunnel(bridge, body) => client.post_tunnel(bridge, body).await.map(drop),
                Wire::DeleteTunnel(bridge, port) => client.delete_tunnel(bridge, port).await.map(drop),
                Wire::DeleteBridge(bridge) => client.delete_bridge(bridge).await.map(drop),
                Wire::PutBfd(bridge, body) => client.put_bfd(bridge, body).await.map(drop),
                Wire::ChangeKind(bridge, body) => client.post_kind(bridge, body).await.map(drop),
            }
        })
    }

    fn make_network<'a>(
        &'a self,
        by: &'a By,
        key: GreKey,
        host: HostNumber,
    ) -> BoxFuture<'a, Result<String, ClientError>> {
        let client = by.client(self).with_timeout(NETWORK_TIMEOUT);
        let body = PutXapiNetwork { host_id: Some(Id::Text(host.to_string())) };
        Box::pin(async move { client.put_network(key.get(), &body).await.map(|answer| answer.bridge) })
    }

    fn probe_tunnels<'a>(
        &'a self,
        by: &'a By,
        bridge: &'a str,
        body: &'a PostProbe,
    ) -> BoxFuture<'a, Result<ProbeAnswer, ClientError>> {
        let client = by.client(self);
        Box::pin(async move { client.probe(bridge, body).await })
    }
}
