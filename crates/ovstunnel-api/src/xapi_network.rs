//! A network of xapi's, on XenServer and XCP-ng: what is asked for, and what is there.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Changed, Id, Outcome};

/// Body of `PUT /v1/networks/{key}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!(crate::example::put_xapi_network()))]
pub struct PutXapiNetwork {
    /// Id of this host in the management server, to be noted in the network's `other-config:ovs-host-setup`. When absent, no host is
    /// noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<Id>,
}

/// Answer to its set-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::xapi_network_answer()))]
pub struct XapiNetworkAnswer {
    /// `created`, `updated` where something was missing that a network needs, or `unchanged`.
    pub outcome: Outcome,
    /// GRE key of the network, whose name-label in xapi is `OVSTunnel` and the key.
    pub key: u32,
    /// UUID of the network in xapi.
    pub network_uuid: String,
    /// Name of its bridge, the same on all hosts of the pool. Whether it is there on this one, `GET /v1/bridges/{bridge}` tells.
    pub bridge: String,
    /// What was changed, each thing with what it was and what it is.
    #[serde(default)]
    pub changes: Vec<Changed>,
}

/// Answer of `GET /v1/networks/{key}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::xapi_network()))]
pub struct XapiNetwork {
    /// GRE key of the network, whose name-label in xapi is `OVSTunnel` and the key.
    pub key: u32,
    /// UUID of the network in xapi.
    pub network_uuid: String,
    /// Name of its bridge, the same on all hosts of the pool.
    pub bridge: String,
    /// Ids of the hosts on which it is set up, as its `other-config:ovs-host-setup` lists them.
    pub hosts: Vec<String>,
    /// Whether it says all that it needs on every host; else a `PUT` completes it.
    pub ready: bool,
}
