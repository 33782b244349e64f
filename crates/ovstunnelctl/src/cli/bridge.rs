//! `bridge …`: from options to requests.

use std::cmp::Reverse;

use ovstunnel_api::{Bridge, BridgeList as Bridges, PostKind, PutBfd, PutBridge};

use super::bridge_args::{BfdOfBridge, BridgeCommand, BridgeList, BridgeOrder, ChangeOfKind, EndOfBridge, Setup};
use super::removal::Removal;
use super::{Failure, Report, confirm, show, watch};
use crate::client::{Client, ClientError};

pub(super) async fn run(client: &Client, command: BridgeCommand, json: bool) -> Result<Report, Failure> {
    match command {
        BridgeCommand::List(list) => {
            let view = list.listing.resolve_view(json)?;
            watch::repeat_report(watch::Source::Daemon(client), view.watch, async || {
                let bridges = list_bridges(client, &list).await?;
                let page = |list: &Bridges, wide| show::bridge_list_page(&list.bridges, wide, view.headers);
                Report::for_list(view.format, &bridges, page, |list| {
                    list.bridges.iter().map(|b| b.name.clone()).collect()
                })
            })
            .await
        }
        BridgeCommand::Show { name } => Report::new(json, &client.bridge(&name).await?, show::bridge_page),
        BridgeCommand::Setup(setup) => set_up(client, setup, json).await,
        BridgeCommand::Kind(ChangeOfKind { name, to, step, force, dry_run }) => {
            let body = PostKind { to: to.into(), step: step.into(), force };
            if dry_run {
                return Report::new(json, &client.dry_run().post_kind(&name, &body).await?, show::plan_page);
            }
            Report::new(json, &client.post_kind(&name, &body).await?, show::bridge_answer)
        }
        BridgeCommand::Bfd(BfdOfBridge { name, ports, none: _, interval, dry_run }) => {
            let body = PutBfd { ports, interval };
            if dry_run {
                return Report::new(json, &client.dry_run().put_bfd(&name, &body).await?, show::plan_page);
            }
            Report::new(json, &client.put_bfd(&name, &body).await?, show::bridge_answer)
        }
        BridgeCommand::Destroy(EndOfBridge { name, dry_run, yes, if_exists }) => {
            let removal = Removal { what: format!("bridge {name}"), if_exists, json };
            if dry_run {
                let plan = client.dry_run().delete_bridge(&name).await;
                return removal.planned_report(&plan.map_err(|error| Failure::of_destroy(&name, error))?);
            }
            confirm::end_of_bridge(client, &name, yes).await?;
            let answer = client.delete_bridge(&name).await;
            removal.removed_report(&answer.map_err(|error| Failure::of_destroy(&name, error))?)
        }
    }
}

/// The bridges that were asked for, in the order that was asked for.
async fn list_bridges(client: &Client, list: &BridgeList) -> Result<Bridges, ClientError> {
    let mut all = client.bridges().await?;
    let wanted =
        |b: &Bridge| list.state.is_empty() || list.state.iter().any(|state| state.matches_state(b.health.state));
    all.bridges.retain(wanted);
    let bridges = &mut all.bridges;
    // The daemon sorts by name, and each of these keeps the order of equals.
    match list.sort {
        BridgeOrder::Name => bridges.sort_by(|a, b| a.name.cmp(&b.name)),
        BridgeOrder::Key => bridges.sort_by_key(|b| b.key.unwrap_or(u32::MAX)),
        BridgeOrder::Tunnels => bridges.sort_by_key(|b| Reverse(b.tunnels.len())),
        BridgeOrder::Vifs => bridges.sort_by_key(|b| Reverse(b.vifs.len())),
        BridgeOrder::Health => bridges.sort_by_key(|b| Reverse(b.health.state)),
    }
    Ok(all)
}

async fn set_up(client: &Client, setup: Setup, json: bool) -> Result<Report, Failure> {
    let Setup {
        name,
        key,
        network_uuid,
        host_id,
        ipv6,
        uplink,
        no_uplink,
        kind,
        tunnels,
        no_tunnels,
        neighbours,
        no_neighbours,
        dry_run,
        yes,
    } = setup;
    let tunnels = (no_tunnels || !tunnels.is_empty()).then_some(tunnels);
    let neighbours = (no_neighbours || !neighbours.is_empty()).then_some(neighbours);
    let uplink = uplink.map(Some).or_else(|| no_uplink.then_some(None));
    let body = PutBridge {
        key,
        network_uuid,
        host_id,
        ipv6: ipv6.map(Into::into),
        uplink,
        kind: kind.map(Into::into),
        tunnels,
        neighbours,
    };
    if dry_run {
        return Report::new(json, &client.dry_run().put_bridge(&name, &body).await?, show::plan_page);
    }
    if let Some(tunnels) = &body.tunnels {
        confirm::set_of_tunnels(client, &name, tunnels, yes).await?;
    }
    Report::new(json, &client.put_bridge(&name, &body).await?, show::bridge_answer)
}
