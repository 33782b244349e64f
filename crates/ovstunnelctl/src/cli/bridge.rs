//! `bridge …` and `tunnel …`: from options to requests.

use ovstunnel_api::{PostTunnel, PutBridge, Tunnel};
use serde::Serialize;

use super::args::{BridgeCommand, Create, Setup, TunnelCommand};
use super::show;
use super::{Failure, Report, confirm};
use crate::client::Client;

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

pub(super) async fn run(client: &Client, command: BridgeCommand, json: bool) -> Result<Report, Failure> {
    match command {
        BridgeCommand::List => Report::new(json, &client.bridges().await?, |list| show::bridges(&list.bridges)),
        BridgeCommand::Show { name } => Report::new(json, &client.bridge(&name).await?, show::bridge),
        BridgeCommand::Setup(setup) => set_up(client, setup, json).await,
        BridgeCommand::Destroy { name, dry_run: true, .. } => {
            Report::new(json, &client.dry_run().delete_bridge(&name).await?, show::plan)
        }
        BridgeCommand::Destroy { name, dry_run: false, yes } => {
            confirm::end_of_bridge(client, &name, yes).await?;
            let answer = client.delete_bridge(&name).await?;
            Report::new(json, &answer, |a| show::gone(&format!("bridge {name}"), a.outcome))
        }
    }
}

async fn set_up(client: &Client, setup: Setup, json: bool) -> Result<Report, Failure> {
    let Setup { name, key, network_uuid, host_id, ipv6, uplink, no_uplink, tunnels, no_tunnels, dry_run, yes } = setup;
    let tunnels = (no_tunnels || !tunnels.is_empty()).then_some(tunnels);
    let uplink = uplink.map(Some).or_else(|| no_uplink.then_some(None));
    let body = PutBridge { key, network_uuid, host_id, ipv6: ipv6.map(Into::into), uplink, tunnels };
    if dry_run {
        return Report::new(json, &client.dry_run().put_bridge(&name, &body).await?, show::plan);
    }
    if let Some(tunnels) = &body.tunnels {
        confirm::set_of_tunnels(client, &name, tunnels, yes).await?;
    }
    Report::new(json, &client.put_bridge(&name, &body).await?, show::bridge_answer)
}

pub(super) async fn run_tunnel(client: &Client, command: TunnelCommand, json: bool) -> Result<Report, Failure> {
    match command {
        TunnelCommand::List { bridge } => Report::new(json, &list(client, bridge).await?, show::tunnels),
        TunnelCommand::Create(create) => create_tunnel(client, create, json).await,
        TunnelCommand::Destroy { bridge, port, dry_run: true } => {
            Report::new(json, &client.dry_run().delete_tunnel(&bridge, &port).await?, show::plan)
        }
        TunnelCommand::Destroy { bridge, port, dry_run: false } => {
            let answer = client.delete_tunnel(&bridge, &port).await?;
            Report::new(json, &answer, |a| show::gone(&format!("tunnel {port} of {bridge}"), a.outcome))
        }
    }
}

async fn list(client: &Client, bridge: Option<String>) -> Result<TunnelList, Failure> {
    let bridges = match bridge {
        Some(name) => vec![client.bridge(&name).await?],
        None => client.bridges().await?.bridges,
    };
    let of = |name: String, tunnel| TunnelOfBridge { bridge: name, tunnel };
    let tunnels = bridges.into_iter().flat_map(|b| b.tunnels.into_iter().map(move |t| of(b.name.clone(), t)));
    Ok(TunnelList { tunnels: tunnels.collect() })
}

async fn create_tunnel(client: &Client, create: Create, json: bool) -> Result<Report, Failure> {
    let Create { bridge, from, to, remote_ip, key, dry_run } = create;
    let body = PostTunnel { from, to, remote_ip, key, network_uuid: None };
    if dry_run {
        return Report::new(json, &client.dry_run().post_tunnel(&bridge, &body).await?, show::plan);
    }
    Report::new(json, &client.post_tunnel(&bridge, &body).await?, |a| show::tunnel_answer(&bridge, a))
}
