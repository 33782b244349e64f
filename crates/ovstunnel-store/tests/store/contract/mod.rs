//! What every kind of database must do: one body, run over memory, SQLite and the servers.

mod act;
mod events;
mod inventory;
mod tunnels;

use std::future::Future;

use ovstunnel_store::{HostMode, NewHost, NewNetwork, PhysicalNetworkRow, Store};
use ovstunnel_types::{GreKey, HostNumber, Isolation, NetworkNumber};

/// Runs all of it, each part over a database of its own, which lives as long as what is beside it.
pub async fn all<Keep, Opened: Future<Output = (Store, Keep)>>(mut fresh: impl FnMut() -> Opened) {
    macro_rules! run {
        ($($part:ident::$name:ident),* $(,)?) => {
            $({
                println!("{}::{}", stringify!($part), stringify!($name));
                let (store, _keep) = fresh().await;
                $part::$name(&store).await;
                store.close().await;
            })*
        };
    }
    run!(
        inventory::zone_is_made_with_the_database,
        inventory::it_says_what_it_is_and_how_much_it_has,
        inventory::hosts_are_kept_and_numbered,
        inventory::a_bad_host_is_refused_by_field_and_changes_nothing,
        inventory::a_host_takes_its_rows_with_it,
        inventory::a_host_gets_another_name_and_another_number,
        inventory::networks_need_what_they_refer_to,
        inventory::keys_of_networks_are_unique,
        inventory::changes_at_the_same_time_do_not_meet,
        inventory::settings_hold_any_text,
        tunnels::interfaces_are_one_for_host_and_label,
        tunnels::rows_become_exactly_what_is_given,
        tunnels::rows_that_are_not_a_set_are_refused,
        tunnels::a_big_set_is_written_whole,
        tunnels::all_rows_of_hosts_become_what_is_given,
        events::are_paged_newest_first,
        events::are_filtered,
        events::are_purged_and_their_ids_are_not_given_again,
        act::nics_keep_their_hosts_and_network,
        act::keys_remember_who_may_have_them,
        act::one_leads_and_each_new_one_has_a_new_epoch,
    );
}

pub fn host_number(number: u64) -> HostNumber {
    number.try_into().unwrap()
}

pub fn network_number(number: u64) -> NetworkNumber {
    number.try_into().unwrap()
}

pub fn gre(key: i64) -> GreKey {
    key.try_into().unwrap()
}

pub fn host(name: &str) -> NewHost {
    let api = format!("https://{name}:8443");
    NewHost {
        number: None,
        name: name.into(),
        api,
        rack: None,
        label: None,
        mode: HostMode::Manage,
        registered: 1_700_000_000,
    }
}

pub fn physical(name: &str) -> PhysicalNetworkRow {
    let vnet = "1001-65535,70000-80000".into();
    PhysicalNetworkRow {
        name: name.into(),
        isolation: Isolation::Gre,
        vnet,
        label: None,
        label_xen: None,
        label_kvm: None,
    }
}

pub fn network(name: &str, key: Option<i64>) -> NewNetwork {
    NewNetwork {
        number: None,
        name: name.into(),
        physical_network: "p1".into(),
        key: key.map(gre),
        ipv6: None,
        mtu: None,
        created: 1_700_000_001,
    }
}

pub fn tunnels_of(network: u64, from: u64, to: impl IntoIterator<Item = u64>) -> Vec<ovstunnel_store::TunnelRow> {
    to.into_iter().map(|to| tunnels::row(network, from, to)).collect()
}

pub fn interface_of(host: u64, last: u8) -> ovstunnel_store::NewInterface {
    tunnels::interface(host, "guest", last)
}

pub fn event_of(at: i64, kind: &str) -> ovstunnel_store::NewEvent {
    ovstunnel_store::NewEvent { text: "x".repeat(300), ..events::event(at, kind, "h1") }
}
