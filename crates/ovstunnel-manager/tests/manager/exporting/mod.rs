//! What `export` does to a database of CloudStack's, whichever engine has it: two hosts on simulated switches, and rows that are wrong.

use std::path::Path;
use std::time::Duration;

use ovstunnel_manager::config::Config;
use ovstunnel_manager::export::{Export, ExportError, States, Wanted, export};
use ovstunnel_manager::import::compare_zone;
use ovstunnel_manager_api::{HostState, PutHost};

use crate::common::{Bench, bench, host, put, set_up, until};

/// Rows that differ from what the hosts have, one for each kind of change.
pub const PLANTED: &str = "
UPDATE physical_network_traffic_types SET xen_network_label = 'sim0' WHERE traffic_type = 'Guest';
DELETE FROM ovs_tunnel_interface WHERE host_id <> 0;
INSERT INTO ovs_tunnel_interface (id, ip, netmask, mac, host_id, label) VALUES (7, '192.0.2.99', '255.0.0.0', 'x', 1, 'sim0'), (8, '192.0.2.3', NULL, NULL, 3, 'sim0');
DELETE FROM ovs_tunnel_network WHERE id = 3;
UPDATE ovs_tunnel_network SET port_name = '[]', state = 'Created' WHERE id = 2;
INSERT INTO ovs_tunnel_network (id, `from`, `to`, network_id, `key`, port_name, state) VALUES (9, 3, 1, 204, 1001, 't1001-3-1', 'Established');
";

/// A manager that has heard of two hosts with tunnels to each other, and the configuration of the programs beside it.
pub async fn zone(cloudstack_url: &str) -> (Bench, Config) {
    let bench = bench().await;
    let dir = bench.dir.path();
    for (number, other) in [(1u8, 2u64), (2, 1)] {
        let host = host(dir, number).await;
        set_up(&host, number.into(), &[other]).await;
        let put = PutHost { label: Some("sim0".into()), ..put(&host.url, Some(number.into())) };
        bench.manager.put_host(&format!("h{number}"), &put, false).await.unwrap();
        std::mem::forget(host.serving);
    }
    until("both hosts to be heard of with their addresses", async || {
        let hosts = bench.manager.hosts().await.ok()?.hosts;
        hosts.iter().all(|host| host.state == HostState::Ok && host.ip.is_some() && host.tunnels == 1).then_some(())
    })
    .await;
    let text = crate::common::configuration(dir);
    let mut config = Config::parse(&text, Path::new("manager.toml")).unwrap();
    config.database.cloudstack_url = Some(cloudstack_url.to_owned());
    (bench, config)
}

pub async fn asked(config: &Config, apply: bool) -> Result<Export, ExportError> {
    let patience = Duration::from_millis(300);
    export(config, Wanted { zone: None, states: States::Cloudstack, apply, patience }).await
}

/// Printed, refused under a lock, written, and then nothing differs. `run` runs statements, `rows` gives a text that is the same as long as
/// both tables and `op_lock` are.
pub async fn round_trip(config: &Config, run: impl AsyncFn(&str), rows: impl AsyncFn() -> String) {
    run(PLANTED).await;
    let before = rows().await;
    let printed = asked(config, false).await.unwrap();
    assert!(!printed.is_written);
    let sql = printed.sql().unwrap();
    for part in [
        "-- CloudStack's zone dc1; 2 hosts are registered, 2 of them are heard of\nSTART TRANSACTION;\n",
        "UPDATE `ovs_tunnel_interface` SET `ip` = '192.0.2.1', `netmask` = '255.255.255.0', `mac` = '02:00:00:00:00:01' WHERE",
        "DELETE FROM `ovs_tunnel_interface` WHERE `id` = 8 AND ",
        "`port_name` = 't1001-1-2', `state` = 'Established' WHERE `id` = 2 AND ",
        "DELETE FROM `ovs_tunnel_network` WHERE `id` = 9 AND ",
        "VALUES (10, 2, 1, 204, 1001, 't1001-2-1', 'Established');\nCOMMIT;\n-- 6 rows to write; nothing was changed.",
    ] {
        assert!(sql.contains(part), "no {part} in {sql}");
    }
    assert_eq!(rows().await, before, "without --apply nothing is written");

    run("INSERT INTO op_lock (`key`, mac, ip, thread, waiters) VALUES ('ovs_tunnel_network1', '345049290', 'OVS-Thread', '77', 1);").await;
    let locked = rows().await;
    let refused = asked(config, true).await.unwrap_err().to_string();
    for part in [
        "CloudStack's lock ovs_tunnel_network1 is held by server 345049290, thread OVS-Thread (77), since ",
        "nothing was changed",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    assert_eq!(rows().await, locked, "a lock that is held keeps everything as it is, and the other one is not kept");
    run("DELETE FROM op_lock;").await;

    let written = asked(config, true).await.unwrap();
    assert!(written.is_written && written.sql().unwrap().ends_with("-- 6 rows written, under CloudStack's locks\n"));
    let after = rows().await;
    assert!(after != before && !after.contains("ovstunnel"), "the locks are given back: {after}");
    let again = asked(config, true).await.unwrap();
    assert_eq!((again.is_written, again.plan.items.len()), (false, 0), "{}", again.sql().unwrap());
    assert_eq!(rows().await, after);
    let report = compare_zone(config, None).await.unwrap();
    assert_eq!(report.findings, [], "{}", report.to_text());
}
