//! What changing requests would do, asked of the daemon. Must not change anything.

use ovstunnel_api::{
    PlanAnswer, PostKind, PostTunnel, PutBfd, PutBridge, PutXapiNetwork, TakeoverPlan, TakeoverRequest,
};

use super::{Client, ClientError, call};

/// The changing requests with `?dry_run=true`: each answers with its plan, and nothing is changed.
#[derive(Clone, Copy, Debug)]
pub struct DryRun<'a>(pub(crate) &'a Client);

impl DryRun<'_> {
    /// The plan of [`Client::put_bridge`].
    ///
    /// # Errors
    /// See [`ClientError`]; this holds for each request below.
    pub async fn put_bridge(&self, bridge: &str, body: &PutBridge) -> Result<PlanAnswer, ClientError> {
        self.0.send_call(call::put_bridge(bridge, body)?.dry_run()).await
    }

    /// The plan of [`Client::delete_bridge`].
    pub async fn delete_bridge(&self, bridge: &str) -> Result<PlanAnswer, ClientError> {
        self.0.send_call(call::delete_bridge(bridge)?.dry_run()).await
    }

    /// The plan of [`Client::post_kind`].
    pub async fn post_kind(&self, bridge: &str, body: &PostKind) -> Result<PlanAnswer, ClientError> {
        self.0.send_call(call::post_kind(bridge, body)?.dry_run()).await
    }

    /// The plan of [`Client::put_bfd`].
    pub async fn put_bfd(&self, bridge: &str, body: &PutBfd) -> Result<PlanAnswer, ClientError> {
        self.0.send_call(call::put_bfd(bridge, body)?.dry_run()).await
    }

    /// The plan of [`Client::put_network`].
    pub async fn put_network(&self, key: u32, body: &PutXapiNetwork) -> Result<PlanAnswer, ClientError> {
        self.0.send_call(call::put_network(key, body)?.dry_run()).await
    }

    /// The plan of [`Client::clear_epoch`].
    pub async fn clear_epoch(&self) -> Result<PlanAnswer, ClientError> {
        self.0.send_call(call::delete_epoch().dry_run()).await
    }

    /// The plan of [`Client::release_bridge`].
    pub async fn release_bridge(&self, bridge: &str) -> Result<PlanAnswer, ClientError> {
        self.0.send_call(call::release_bridge(bridge)?.dry_run()).await
    }

    /// The plan of [`Client::takeover`].
    pub async fn takeover(&self, bridges: &[String]) -> Result<TakeoverPlan, ClientError> {
        self.0.send_call(call::post_takeover(&TakeoverRequest { bridges: bridges.to_vec() })?.dry_run()).await
    }

    /// The plan of [`Client::post_tunnel`].
    pub async fn post_tunnel(&self, bridge: &str, body: &PostTunnel) -> Result<PlanAnswer, ClientError> {
        self.0.send_call(call::post_tunnel(bridge, body)?.dry_run()).await
    }

    /// The plan of [`Client::delete_tunnel`].
    pub async fn delete_tunnel(&self, bridge: &str, port: &str) -> Result<PlanAnswer, ClientError> {
        self.0.send_call(call::delete_tunnel(bridge, port)?.dry_run()).await
    }

    /// The plan of [`Client::reconcile`].
    pub async fn reconcile(&self) -> Result<PlanAnswer, ClientError> {
        self.0.send_call(call::post_reconcile().dry_run()).await
    }
}
