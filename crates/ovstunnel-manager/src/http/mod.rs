//! The routes of the API, version 1.
//!
//! What it does: takes a request apart, reads the zone or has what is recorded changed, and puts the answer on the wire. What
//! it must not do: ask a host, but for the number of one that is being registered.

mod cloudstack;
mod diagnosis;
mod enrolment;
pub(crate) mod events;
pub(crate) mod faults;
mod fixups;
pub(crate) mod holds;
pub(crate) mod hosts;
mod identity;
mod kinds;
mod leading;
mod links;
mod maintenance;
mod matrix;
mod metrics;
pub(crate) mod networks;
mod nics;
mod openapi;
pub(crate) mod path;
pub(crate) mod physical;
mod query;
mod recorded;
mod renewal;
mod roles;
mod sending_on;
mod sweep;
mod watch;
mod webhooks;
mod zone;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use ovstunnel_api::Code;
use ovstunnel_pki::PkiError;
use ovstunnel_server::problem::ApiError;
use ovstunnel_store::StoreError;

use crate::cloudstack::CloudStack;
use crate::config::OnFailure;
use crate::doctor::Doctor;
use crate::document::Signer;
use crate::enrolment::Enrolment;
use crate::hosts::Hosts;
use crate::inventory::{Inventory, InventoryError};
use crate::reconciler::Reconciler;
use crate::records::Records;
use crate::replica::Replica;
use crate::sessions::Sessions;
use crate::sweep::Sweeper;
use crate::watch::Watched;
use crate::webhooks::Webhooks;
use crate::zone::Zone;

pub use leading::only_where_it_leads;
pub use roles::Roles;
pub(crate) use roles::is_page;
pub use sending_on::SendingOn;
pub use zone::overview_of;
pub(crate) use zone::zone_overview;

/// What all handlers share.
#[derive(Clone, Debug)]
pub struct State {
    /// The zone as its hosts tell of it.
    pub zone: Zone,
    /// What listens to the hosts.
    pub hosts: Hosts,
    /// The database.
    pub records: Records,
    /// What is recorded of networks and NICs.
    pub inventory: Inventory,
    /// What keeps meshes whole; none where the manager changes no host.
    pub reconciler: Option<Reconciler>,
    /// What sends frames into tunnels; none where the manager changes no host.
    pub sweeper: Option<Sweeper>,
    /// This manager among those of its zone.
    pub replica: Replica,
    /// Name and UUID of the zone.
    pub identity: Arc<Identity>,
    /// What signs proofs; none without a key.
    pub signer: Option<Arc<Signer>>,
    /// Those who watch.
    pub watched: Watched,
    /// What looks for what is wrong.
    pub doctor: Arc<Doctor>,
    /// Links and sessions of browsers without a certificate.
    pub sessions: Sessions,
    /// Who is told of what happens.
    pub webhooks: Webhooks,
    /// CloudStack's API, as far as it is read.
    pub cloudstack: CloudStack,
    /// Where hosts join by a token; none where they cannot.
    pub enrolment: Option<Arc<Enrolment>>,
    /// What the page's address begins with, for links that are asked for on this machine; none without HTTPS.
    pub address: Option<String>,
    /// After how long a silent host is taken for dead.
    pub dead_after: Duration,
    /// What a NIC's preparation does while a tunnel is missing.
    pub on_failure: OnFailure,
}

/// Which zone this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
}

/// All routes, described in `/openapi.json`.
pub fn router(state: State) -> Router {
    openapi::router().with_state(state)
}

/// What the database says: 400 and 409 of what it was given, 503 where it does not do what it must.
fn database_error(error: &StoreError) -> ApiError {
    match error {
        StoreError::Invalid { field, rule, value } => {
            ApiError::invalid(field.split_once('.').map_or(*field, |(_, field)| field), rule, Some(value))
        }
        StoreError::Conflict { value, .. } => ApiError::conflict(value.clone(), error.to_string()),
        StoreError::InUse { by, .. } => ApiError::conflict(by.clone(), error.to_string()),
        _ => ApiError::new(Code::Unavailable, format!("the database: {error}")),
    }
}

/// The CA in the folder of `[enrolment]` cannot be used as it is.
fn pki_error(error: PkiError) -> ApiError {
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    ApiError::new(Code::Unavailable, format!("[enrolment] authority: {error}{cause}"))
}

/// Why what is recorded was not changed.
fn inventory_error(error: InventoryError) -> ApiError {
    let detail = error.to_string();
    match error {
        InventoryError::NotFound(detail) => ApiError::not_found(detail),
        InventoryError::Invalid { field, rule, value } => ApiError::invalid(field, &rule, Some(&value)),
        InventoryError::Conflict { in_the_way, detail } => ApiError::conflict(in_the_way, detail),
        InventoryError::Migrating { to: in_the_way, .. } => refusal_error(Code::Migrating, in_the_way, detail),
        InventoryError::KeysExhausted(detail) => ApiError::new(Code::KeysExhausted, detail),
        InventoryError::BridgeMissing { host, .. } => refusal_error(Code::BridgeMissing, host, detail),
        InventoryError::Draining { host } => refusal_error(Code::Draining, host, detail),
        InventoryError::Store(error) => database_error(&error),
    }
}

fn refusal_error(code: Code, in_the_way: String, detail: String) -> ApiError {
    let mut error = ApiError::new(code, detail);
    error.problem_mut().in_the_way = Some(in_the_way);
    error
}
