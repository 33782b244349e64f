//! `tunnel …`: from options to requests.

use std::net::IpAddr;

use ovstunnel_api::{PostTunnel, Tunnel, TunnelState};
use serde::Serialize;

use super::bridge_args::{Create, TunnelCommand, TunnelList as Args, TunnelOrder};
use super::removal::Removal;
use super::{Failure, Report, show, watch};
use crate::client::{Client, ClientError};

/// The JSON of `tunnel list`: the API's tunnels, each with the name of its bridge.
#[derive(Debug, Serialize)]
pub(super) struct TunnelList {
    pub(super) tunnels: Vec<TunnelOfBridge>,
}

/// A tunnel of the API, and where it is.
#[derive(Debug, Serialize)]
pub(super) struct TunnelOfBridge {
    pub(super) bridge: String,
    #[serde(flatten)]
    pub(super) tunnel: Tunnel,
}

pub(super) async fn run(client: &Client, command: TunnelCommand, json: bool) -> Result<Report, Failure> {
    match command {
        TunnelCommand::List(list) => {
            let view = list.listing.resolve_view(json)?;
            watch::repeat_report(watch::Source::Daemon(client), view.watch, async || {
                let tunnels = list_tunnels(client, &list).await?;
                let page = |list: &TunnelList, wide| show::tunnel_list_page(list, wide, view.headers);
                Report::for_list(view.format, &tunnels, page, |list| {
                    list.tunnels.iter().map(|t| t.tunnel.port.clone()).collect()
                })
            })
            .await
        }
        TunnelCommand::Create(create) => create_tunnel(client, create, json).await,
        TunnelCommand::Destroy { bridge, port, dry_run, if_exists } => {
            let removal = Removal { what: format!("tunnel {port} of {bridge}"), if_exists, json };
            match dry_run {
                true => removal.planned_report(&client.dry_run().delete_tunnel(&bridge, &port).await?),
                false => removal.removed_report(&client.delete_tunnel(&bridge, &port).await?),
            }
        }
    }
}

/// The tunnels that were asked for, in the order that was asked for.
async fn list_tunnels(client: &Client, list: &Args) -> Result<TunnelList, ClientError> {
    let bridges = match &list.bridge {
        Some(name) => vec![client.bridge(name).await?],
        None => client.bridges().await?.bridges,
    };
    let of = |name: String, tunnel| TunnelOfBridge { bridge: name, tunnel };
    let tunnels = bridges.into_iter().flat_map(|b| b.tunnels.into_iter().map(move |t| of(b.name.clone(), t)));
    let wanted =
        |t: &TunnelOfBridge| list.state.is_empty() || list.state.iter().any(|s| s.matches_state(t.tunnel.state));
    let mut tunnels: Vec<TunnelOfBridge> = tunnels.filter(wanted).collect();
    match list.sort {
        // As the daemon has them.
        None => {}
        Some(TunnelOrder::Port) => tunnels.sort_by(|a, b| a.tunnel.port.cmp(&b.tunnel.port)),
        Some(TunnelOrder::To) => tunnels.sort_by_cached_key(|t| id_order(&t.tunnel.to)),
        Some(TunnelOrder::RemoteIp) => tunnels.sort_by_cached_key(|t| t.tunnel.remote_ip.parse::<IpAddr>().ok()),
        Some(TunnelOrder::Key) => tunnels.sort_by_key(|t| t.tunnel.key),
        Some(TunnelOrder::State) => tunnels.sort_by_key(|t| match t.tunnel.state {
            TunnelState::Error => 0,
            TunnelState::Pending => 1,
            TunnelState::Up => 2,
        }),
    }
    Ok(TunnelList { tunnels })
}

/// Numbers before texts, and 9 before 10.
fn id_order(id: &str) -> (bool, u64, String) {
    match id.parse() {
        Ok(number) => (false, number, String::new()),
        Err(_) => (true, 0, id.to_owned()),
    }
}

async fn create_tunnel(client: &Client, create: Create, json: bool) -> Result<Report, Failure> {
    let Create { bridge, from, to, remote_ip, key, dry_run } = create;
    let body = PostTunnel { from, to, remote_ip, key, network_uuid: None };
    if dry_run {
        return Report::new(json, &client.dry_run().post_tunnel(&bridge, &body).await?, show::plan_page);
    }
    Report::new(json, &client.post_tunnel(&bridge, &body).await?, |a| show::tunnel_answer(&bridge, a))
}
