//! Puts the manager's inner parts together: database, zone, hosts, routes.
//!
//! What it does: starts them from a configuration. What it must not do: listen, or handle signals.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use ovstunnel_client::Identity as Files;
use ovstunnel_server::access::Access;
use ovstunnel_server::logging::Logging;
use ovstunnel_server::middleware;
use ovstunnel_store::{Store, StoreError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::cloudstack::{CloudStack, CloudStackError};
use crate::config::Config;
use crate::counters;
use crate::doctor::{Doctor, Subjects};
use crate::document::{Signer, SignerError};
use crate::enrolment::Enrolment;
use crate::hosts::{Ends, Hosts, certificate};
use crate::http::{self, Identity, Roles, State};
use crate::inventory::{Inventory, Times, physical};
use crate::leader::Leader;
use crate::reconciler::{Reconciler, Rules};
use crate::records::Records;
use crate::replica::{Parts, Replica};
use crate::rows::Rows;
use crate::sessions::{NoRandom, Sessions};
use crate::sweep::Sweeper;
use crate::watch::Watched;
use crate::web;
use crate::webhooks::{WebhookError, Webhooks};
use crate::zone::{Fact, Zone};

/// Why the manager cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error("[database] url: {0}")]
    Store(#[from] StoreError),
    /// The key by which it signs proofs.
    #[error("[hosts]: {0}")]
    Signer(#[from] SignerError),
    /// Who is told of what happens.
    #[error("{0}")]
    Webhooks(#[from] WebhookError),
    /// CloudStack's API.
    #[error("{0}")]
    CloudStack(#[from] CloudStackError),
    /// The CA by which hosts join.
    #[error("[enrolment] authority: {0}")]
    Enrolment(#[from] ovstunnel_pki::PkiError),
    /// The system.
    #[error("{0}")]
    NoRandom(#[from] NoRandom),
}

/// What the manager's doctor also looks at, where it is known.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The configuration file that was named; none where it is the default one.
    pub file: Option<PathBuf>,
    /// The log.
    pub logging: Option<Arc<Logging>>,
}

/// The running inner parts: they end when this goes.
#[derive(Debug)]
pub struct Service {
    tasks: JoinSet<()>,
    signer: Option<Arc<Signer>>,
    leader: Option<Leader>,
    watched: Watched,
}

impl Service {
    /// Starts everything behind the listeners, and gives the routes with all that each request goes through.
    ///
    /// # Errors
    /// The database or a key cannot be used.
    pub async fn start(config: &Config, store: Store, access: Option<Access>) -> Result<(Router, Service), StartError> {
        Service::start_with(config, store, access, Surroundings::default()).await
    }

    /// The same of a program that tells its surroundings.
    ///
    /// # Errors
    /// As [`Service::start`].
    pub async fn start_with(
        config: &Config,
        store: Store,
        access: Option<Access>,
        surroundings: Surroundings,
    ) -> Result<(Router, Service), StartError> {
        let identity = store.zone().await?;
        let signer = open_signer(config)?;
        let enrolment = open_enrolment(config)?;
        let (zone, happened) = Zone::new(&identity.name);
        let acts = config.sdn.ovs.controller;
        let replica = replica_of(config, &store).await?;
        let leader = replica.leader();
        let hosts = hosts_of(config, &zone, leader.as_ref());
        if store.may_change() {
            physical::sync_physical(&store, &config.physical_networks).await?;
        }
        zone.set_rules(config.membership.membership_rules(config.hosts.dead_after, config.cloudstack.interval));
        let inventory = Inventory::load_from(store.clone(), zone.clone(), inventory_times(config)).await?;
        let reconciler = begin_to_act(config, &zone, &hosts, leader.clone(), &store).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(Rows::new(zone.clone(), store.clone()).keep_rows());
        tasks.spawn(inventory.clone().keep_keys());
        let records = Records::new(store.clone());
        let webhooks = Webhooks::from_config(&config.webhooks, &identity.name, &records, &store)?;
        webhooks.spawn_hooks(&mut tasks);
        let cloudstack = CloudStack::from_config(&config.cloudstack, &zone)?;
        tasks.spawn(cloudstack.clone().keep_reading());
        keep_records(&mut tasks, config, &records, happened);
        keep_zone(&mut tasks, config, &zone);
        let registered = begin_to_watch(&records, &hosts, &zone).await?;
        let what = if acts { "its meshes are kept whole" } else { "nothing is changed" };
        tracing::info!(zone = identity.name, uuid = %identity.uuid, hosts = registered, "the zone is watched; {what}");
        let sweeper = leader.clone().map(|leader| Sweeper::new(zone.clone(), hosts.writers(), leader));
        sweeper.iter().filter(|_| config.probes.sweep).for_each(|sweeper| {
            tasks.spawn(sweeper.clone().keep_sweeping());
        });
        keep_comparing(&mut tasks, config, &zone, &hosts);
        keep_whole(&mut tasks, reconciler.as_ref(), config);
        let sessions = Sessions::new(config.web.session)?;
        let roles = Roles::new(zone.clone(), sessions.clone()).with_openings(config.web.enabled, enrolment.is_some());
        let roles = roles.with_managers(config.replica.managers.clone()).with_hints(cloudstack.takes_webhooks());
        let access = access.map(|access| access.with_rules(Arc::new(roles)));
        let identity = Arc::new(Identity { name: identity.name, uuid: identity.uuid.to_string() });
        let watched = build_watched(zone.clone(), Arc::clone(&identity), reconciler.clone(), replica.clone());
        tasks.spawn(watched.clone().run_publisher());
        let state = State {
            doctor: Arc::new(build_doctor(config, surroundings, access.as_ref(), signer.clone())),
            zone,
            hosts,
            records,
            inventory,
            reconciler,
            sweeper,
            replica,
            identity,
            watched: watched.clone(),
            signer: signer.clone(),
            sessions,
            webhooks,
            cloudstack,
            enrolment,
            address: config.page_address(),
            dead_after: config.hosts.dead_after,
            on_failure: config.network.on_failure,
        };
        tasks.spawn(state.replica.clone().run_election(replica_parts(&state, config)));
        Ok((all_routes(state, config, access), Service { tasks, signer, leader, watched }))
    }

    /// What signs proofs; none without certificate and key under `[hosts]`.
    pub fn signer(&self) -> Option<Arc<Signer>> {
        self.signer.clone()
    }

    /// Those who watch the zone.
    pub fn watched(&self) -> Watched {
        self.watched.clone()
    }

    /// Ends what runs beside the requests.
    pub async fn finish(mut self) {
        self.tasks.shutdown().await;
        if let Some(leader) = self.leader {
            leader.resign_lease().await;
        }
    }
}

/// What signs proofs; none without certificate and key under `[hosts]`.
fn open_signer(config: &Config) -> Result<Option<Arc<Signer>>, SignerError> {
    let files = config.identity_files();
    Ok(files.map(|files| Signer::open(files.certificate, files.key)).transpose()?.map(Arc::new))
}

/// This manager among those of its zone: leading at once where nobody else can have its database, else following until it has the lease.
async fn replica_of(config: &Config, store: &Store) -> Result<Replica, StoreError> {
    let (name, is_shared) = (config.replica.name(), config.database.url.is_shared());
    let leader = match (config.sdn.ovs.controller, is_shared) {
        (false, _) => None,
        (true, false) => Some(Leader::take_lease(store.clone(), &name).await?),
        (true, true) => Some(Leader::follow_lease(store.clone(), &name).await?),
    };
    Ok(Replica::new(store.clone(), leader, name, config.advertised_address(), is_shared))
}

/// What has to know of what other managers record.
fn replica_parts(state: &State, config: &Config) -> Parts {
    Parts {
        zone: state.zone.clone(),
        hosts: state.hosts.clone(),
        records: state.records.clone(),
        inventory: state.inventory.clone(),
        reconciler: state.reconciler.clone(),
        physical: config.physical_networks.clone(),
    }
}

/// Where hosts join by a token; none without a CA for that.
fn open_enrolment(config: &Config) -> Result<Option<Arc<Enrolment>>, ovstunnel_pki::PkiError> {
    let folder = config.enrolment.authority.as_deref();
    Ok(folder.map(|folder| Enrolment::open(folder, config.own_certificates())).transpose()?.map(Arc::new))
}

/// What listens to hosts, by the files by which the manager shows itself to them.
fn hosts_of(config: &Config, zone: &Zone, leader: Option<&Leader>) -> Hosts {
    let own = config.identity_files().map(|files| Files {
        ca: files.ca.to_owned(),
        cert: files.certificate.to_owned(),
        key: files.key.to_owned(),
    });
    let ends = Ends { default_label: config.sdn.ovs.default_label.clone(), family: config.network.family };
    Hosts::new(zone.clone(), own, ends, config.hosts.concurrency, leader.cloned())
}

/// Has what happens written down, for as long as it is kept.
fn keep_records(tasks: &mut JoinSet<()>, config: &Config, records: &Records, happened: mpsc::Receiver<Fact>) {
    tasks.spawn(records.clone().write_facts(happened));
    tasks.spawn(records.clone().forget_events(config.events.keep, config.events.most));
}

/// Has the counters of both ends of tunnels compared, where that is wanted.
fn keep_comparing(tasks: &mut JoinSet<()>, config: &Config, zone: &Zone, hosts: &Hosts) {
    if config.probes.counters {
        tasks.spawn(counters::keep_comparing(zone.clone(), hosts.counting(), counters::round_interval()));
    }
}

/// Has the meshes kept whole, and hosts probed as is wanted, where the manager may change hosts.
fn keep_whole(tasks: &mut JoinSet<()>, reconciler: Option<&Reconciler>, config: &Config) {
    if let Some(reconciler) = reconciler {
        tasks.spawn(reconciler.clone().keep_bfd(config.probes.bfd));
        if config.network.tell_neighbours {
            tasks.spawn(reconciler.clone().keep_neighbours());
        }
        tasks.spawn(reconciler.clone().run());
    }
}

/// Has the zone proven, and what is wrong in it looked for.
fn keep_zone(tasks: &mut JoinSet<()>, config: &Config, zone: &Zone) {
    tasks.spawn(zone.clone().keep_proven());
    tasks.spawn(zone.clone().keep_faults());
    tasks.spawn(certificate::keep_looking(zone.clone(), config.own_certificates()));
}

fn build_doctor(
    config: &Config,
    surroundings: Surroundings,
    access: Option<&Access>,
    signer: Option<Arc<Signer>>,
) -> Doctor {
    let Surroundings { file, logging } = surroundings;
    Doctor::new(config.clone(), Subjects { file, logging, tls: access.and_then(Access::tls_store), signer })
}

fn inventory_times(config: &Config) -> Times {
    Times { dead_after: config.hosts.dead_after, gc: config.network.gc, migration: config.membership.migration }
}

/// Has all hosts that are registered listened to, and answers how many these are.
async fn begin_to_watch(records: &Records, hosts: &Hosts, zone: &Zone) -> Result<usize, StoreError> {
    let rows = records.hosts().await?;
    let registered = rows.len();
    rows.into_iter().for_each(|row| hosts.register_host(row));
    for (number, until) in records.hosts_in_maintenance().await? {
        zone.set_maintenance(number, Some(until));
    }
    Ok(registered)
}

/// Those who watch the zone, and are told its overview.
fn build_watched(zone: Zone, identity: Arc<Identity>, reconciler: Option<Reconciler>, replica: Replica) -> Watched {
    let of = zone.clone();
    Watched::new(zone, move || http::overview_of(&of, &identity, reconciler.as_ref(), &replica))
}

/// The API's routes and the page's, with all that is around them.
fn all_routes(state: State, config: &Config, access: Option<Access>) -> Router {
    let with_page = config.web.enabled;
    let api = http::router(state.clone());
    let replica = state.replica.clone();
    let all = if with_page { api.merge(web::router(state)) } else { api };
    let all = http::only_where_it_leads(all, replica, http::SendingOn::from_config(config));
    // The API, too, is asked by browsers that show a certificate.
    web::for_people(middleware::wrap_routes(web::same_origin(all), access), with_page)
}

/// What keeps meshes whole, where the manager may change hosts.
async fn begin_to_act(
    config: &Config,
    zone: &Zone,
    hosts: &Hosts,
    leader: Option<Leader>,
    store: &Store,
) -> Result<Option<Reconciler>, StoreError> {
    let Some(leader) = leader else {
        Reconciler::is_off(store).await?;
        return Ok(None);
    };
    zone.start_acting();
    let brakes = (config.brakes.zone, config.brakes.network);
    let rules = Rules { brakes, dead_after: config.hosts.dead_after };
    Reconciler::new(zone.clone(), hosts.writers(), leader, store.clone(), rules).await.map(Some)
}
