//! `zone network add` and `set`, `zone nic`, `zone physical-network` and `zone keys`: from options to requests to the manager.
//!
//! What it must not do: judge; the manager does.

use ovstunnel_api::Outcome;
use ovstunnel_manager_api::{
    KeyList, NicList, PhysicalNetworkList, PutNetwork, PutNetworkKind, PutNic, PutPhysicalNetwork,
};

use super::network_args::{
    AddNetwork, AddPhysical, KeysArgs, NetworkArgs, NetworkCommand, NicCommand, NicsArgs, OneNic, PhysicalCommand,
    PrepareNic, ReleaseNic, Removal, SetNetwork,
};
use super::{show, show_kinds, show_networks};
use crate::cli::{Failure, Report, watch};
use crate::client::Manager;

pub(super) async fn run_network(manager: &Manager, args: NetworkArgs, json: bool) -> Result<Report, Failure> {
    match (args.command, args.network) {
        (Some(NetworkCommand::Add(args)), _) => add_network(manager, args, json).await,
        (Some(NetworkCommand::Set(SetNetwork { name, kind, dry_run })), _) => {
            let body = PutNetworkKind { kind: kind.into() };
            let answer = manager.put_network_kind(&name, &body, dry_run).await?;
            Report::new(json, &answer, |answer| show_kinds::set_page(&name, body.kind, answer, dry_run))
        }
        (Some(NetworkCommand::Remove(Removal { name, if_exists, dry_run })), _) => {
            let answer = manager.delete_network(&name, dry_run).await?;
            check_existed(answer.outcome, if_exists, || format!("network {name}"))?;
            Report::new(json, &answer, |answer| show_networks::removed_page("network", &name, answer.outcome, dry_run))
        }
        (None, Some(name)) => Report::new(json, &manager.network(&name).await?, show::network_page),
        (None, None) => Err(Failure::Usage("the name of a network is missing".to_owned())),
    }
}

/// What was to go must have been there, unless it need not.
fn check_existed(outcome: Outcome, if_exists: bool, what: impl FnOnce() -> String) -> Result<(), Failure> {
    match outcome == Outcome::Unchanged && !if_exists {
        true => Err(Failure::NotThere(what())),
        false => Ok(()),
    }
}

async fn add_network(manager: &Manager, args: AddNetwork, json: bool) -> Result<Report, Failure> {
    let AddNetwork { name, physical_network, number, key, adopt, ipv6, mtu, dry_run } = args;
    let body = PutNetwork { physical_network, number, key, adopt, ipv6: ipv6.map(Into::into), mtu };
    let answer = manager.put_network(&name, &body, dry_run).await?;
    Report::new(json, &answer, |answer| show_networks::recorded_page(&name, answer, dry_run))
}

pub(super) async fn list_nics(manager: &Manager, args: NicsArgs, json: bool) -> Result<Report, Failure> {
    let view = args.listing.resolve_view(json)?;
    watch::repeat_report(watch::Source::Nobody, view.watch, async || {
        let list = manager.nics(&args.network).await?;
        let page = |list: &NicList, wide| show_networks::nic_list_page(&list.nics, wide, view.headers);
        Report::for_list(view.format, &list, page, |list| list.nics.iter().map(|nic| nic.id.clone()).collect())
    })
    .await
}

pub(super) async fn run_nic(manager: &Manager, command: NicCommand, json: bool) -> Result<Report, Failure> {
    match command {
        NicCommand::Prepare(PrepareNic { which, on: host, vm, mac, ip, bridge, how, wait }) => {
            let OneNic { network, nic, dry_run } = which;
            let body = PutNic { host, vm, mac, ip, bridge, wait, how: how.map(Into::into) };
            let answer = manager.prepare_nic(&network, &nic, &body, dry_run).await?;
            Report::new(json, &answer, |answer| show_networks::prepared_page(&network, answer, dry_run))
        }
        NicCommand::Release(ReleaseNic { which: OneNic { network, nic, dry_run }, on, if_exists }) => {
            let answer = manager.release_nic(&network, &nic, on.as_deref(), dry_run).await?;
            check_existed(answer.outcome, if_exists, || format!("NIC {nic} of network {network}"))?;
            Report::new(json, &answer, |answer| show_networks::moved_page(&nic, answer, dry_run))
        }
        NicCommand::Migrated(OneNic { network, nic, dry_run }) => {
            let answer = manager.nic_migrated(&network, &nic, dry_run).await?;
            Report::new(json, &answer, |answer| show_networks::moved_page(&nic, answer, dry_run))
        }
        NicCommand::Rollback(OneNic { network, nic, dry_run }) => {
            let answer = manager.roll_back_nic(&network, &nic, dry_run).await?;
            Report::new(json, &answer, |answer| show_networks::moved_page(&nic, answer, dry_run))
        }
    }
}

pub(super) async fn run_physical(manager: &Manager, command: PhysicalCommand, json: bool) -> Result<Report, Failure> {
    match command {
        PhysicalCommand::List(listing) => {
            let view = listing.resolve_view(json)?;
            watch::repeat_report(watch::Source::Nobody, view.watch, async || {
                let list = manager.physical_networks().await?;
                let page = |list: &PhysicalNetworkList, wide| {
                    show_networks::physical_networks(&list.physical_networks, wide, view.headers)
                };
                let names =
                    |list: &PhysicalNetworkList| list.physical_networks.iter().map(|n| n.name.clone()).collect();
                Report::for_list(view.format, &list, page, names)
            })
            .await
        }
        PhysicalCommand::Add(args) => {
            let AddPhysical { name, vnet, isolation, label, label_xen, label_kvm, dry_run } = args;
            let body = PutPhysicalNetwork { isolation: isolation.into(), vnet, label, label_xen, label_kvm };
            let answer = manager.put_physical_network(&name, &body, dry_run).await?;
            Report::new(json, &answer, |answer| {
                show_networks::outcome_page("physical network", &name, answer.outcome, dry_run, String::new())
            })
        }
        PhysicalCommand::Remove(Removal { name, if_exists, dry_run }) => {
            let answer = manager.delete_physical_network(&name, dry_run).await?;
            check_existed(answer.outcome, if_exists, || format!("physical network {name}"))?;
            Report::new(json, &answer, |answer| {
                show_networks::removed_page("physical network", &name, answer.outcome, dry_run)
            })
        }
    }
}

pub(super) async fn list_keys(manager: &Manager, args: KeysArgs, json: bool) -> Result<Report, Failure> {
    let view = args.listing.resolve_view(json)?;
    let states: Vec<String> = args.state.iter().map(|state| state.as_str().to_owned()).collect();
    watch::repeat_report(watch::Source::Nobody, view.watch, async || {
        let list = manager.keys(&states).await?;
        let page = |list: &KeyList, wide| show_networks::key_list_page(list, wide, view.headers);
        Report::for_list(view.format, &list, page, |list| list.keys.iter().map(|key| key.key.to_string()).collect())
    })
    .await
}
