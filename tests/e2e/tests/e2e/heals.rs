//! What others break on a switch is put right, one fault after the other, while frames pass: with the daemon alive, and
//! from the record alone where the fault came while no daemon was there. No frame comes twice at any moment.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovstunnel_api::TunnelState;
use ovstunnel_e2e::{NodeConfig, Place, no_frame_twice};
use ovstunnel_lab::{Host, Signal, wait_until};

/// A fault: what somebody does to the switch of host 1, whose tunnels are `t1001-1-2` and `t1001-1-3` and whose VM is
/// on `vif1.0`.
struct Fault {
    what: &'static str,
    commands: &'static [&'static str],
    /// Whether a daemon that was not there at the time can tell from the record what it must be.
    recorded: bool,
}

const fn recorded(what: &'static str, commands: &'static [&'static str]) -> Fault {
    Fault { what, commands, recorded: true }
}

const fn remembered(what: &'static str, commands: &'static [&'static str]) -> Fault {
    Fault { what, commands, recorded: false }
}

const OURS: &str = "cookie=0x6f76737400000000/0xffffffff00000000";

/// A flow of ours but for its cookie.
const BASELINE: &str = "priority=1000,tun_id=1001,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=drop";

/// Changes of flows show in no database: the switch says by a counter that there was one.
const FLOWS: [Fault; 7] = [
    recorded("all flows of ours are deleted", &["ofctl del-flows xapi1 OURS"]),
    recorded(
        "every flow of the bridge is deleted",
        &["ofctl del-flows xapi1", "ofctl add-flow xapi1 priority=0,actions=NORMAL"],
    ),
    recorded(
        "one flow is deleted",
        &["ofctl --strict del-flows xapi1 priority=1100,tun_id=1001,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"],
    ),
    recorded("the VIF's flows are deleted, as xapi does", &["ofctl del-flows xapi1 in_port=VIF"]),
    recorded("flows are changed", &["ofctl mod-flows xapi1 tun_id=1001,actions=drop"]),
    recorded("an equal flow takes the place of one of ours", &["ofctl add-flow xapi1 cookie=0x77,BASELINE"]),
    recorded(
        "a flow of ours has another cookie, and nothing else that shows",
        &["ofctl -O OpenFlow10 --strict mod-flows xapi1 cookie=0x77,BASELINE"],
    ),
];

/// Changes of the database are seen at once.
const ROWS: [Fault; 18] = [
    remembered("a tunnel's port is deleted", &["vsctl del-port t1001-1-2"]),
    remembered("all tunnels' ports are deleted", &["vsctl del-port t1001-1-2 -- del-port t1001-1-3"]),
    recorded("the bridge's own port is not protected", &["vsctl set Port xapi1 protected=false"]),
    recorded("the key of a tunnel", &["vsctl set Interface t1001-1-2 options:key=77"]),
    recorded("the remote address of a tunnel", &["vsctl set Interface t1001-1-3 options:remote_ip=198.51.100.9"]),
    recorded("an option more on a tunnel", &["vsctl set Interface t1001-1-3 options:csum=true"]),
    remembered(
        "marks of the bridge are edited",
        &[
            "vsctl set Bridge xapi1 external_ids:ovstunnel-key=5 external_ids:ovstunnel-ipv6=drop external_ids:ovstunnel-host-id=9",
        ],
    ),
    remembered(
        "all marks of the bridge are removed",
        &["vsctl clear Bridge xapi1 external_ids", "vsctl clear Bridge xapi1 other_config"],
    ),
    recorded("the key's mark of the bridge is removed", &["vsctl remove Bridge xapi1 external_ids ovstunnel-key"]),
    remembered(
        "marks of a tunnel are edited",
        &["vsctl set Port t1001-1-2 external_ids:ovstunnel-to=8 external_ids:ovstunnel-key=5"],
    ),
    recorded(
        "some marks of a tunnel are removed",
        &[
            "vsctl remove Port t1001-1-2 external_ids ovstunnel-key -- remove Port t1001-1-2 external_ids ovstunnel-from",
        ],
    ),
    remembered("all marks of a tunnel are removed", &["vsctl clear Port t1001-1-2 external_ids"]),
    recorded("a tunnel is in a VLAN", &["vsctl set Port t1001-1-2 tag=5"]),
    recorded("a tunnel carries one VLAN only", &["vsctl set Port t1001-1-2 trunks=5,6"]),
    recorded("a tunnel tags what it carries", &["vsctl set Port t1001-1-3 vlan_mode=native-tagged tag=5"]),
    recorded("the bridge's own port is in a VLAN", &["vsctl set Port xapi1 tag=5"]),
    recorded("multicast snooping is switched on", &["vsctl set Bridge xapi1 mcast_snooping_enable=true"]),
    recorded(
        "STP and RSTP are switched on",
        &["vsctl set Bridge xapi1 rstp_enable=true", "vsctl set Bridge xapi1 stp_enable=true"],
    ),
];

/// Whoever takes `protected` from a tunnel's port lets frames pass from tunnel to tunnel until it is back.
const OPEN: [Fault; 2] = [
    recorded("a tunnel's port is not protected", &["vsctl set Port t1001-1-2 protected=false"]),
    recorded(
        "no port is protected",
        &[
            "vsctl set Port xapi1 protected=false -- set Port t1001-1-2 protected=false -- set Port t1001-1-3 protected=false",
        ],
    ),
];

fn harm(host: &Host, fault: &Fault) -> Result<()> {
    let vif = host.vsctl(["get", "Interface", "vif1.0", "ofport"])?;
    for command in fault.commands {
        let command = command.replace("OURS", OURS).replace("BASELINE", BASELINE).replace("VIF", &vif);
        let command = command.replace("DATAPATH", &host.datapath_type());
        let mut words = command.split(' ');
        match words.next() {
            Some("ofctl") => host.ofctl(words)?,
            _ => host.vsctl(words)?,
        };
    }
    Ok(())
}

/// The daemon lives and sees it by itself.
fn heals_by_itself(place: &Place, fault: &Fault) -> Result<()> {
    let repairs = || place.metric("ovstunnel_repairs_total{result=\"done\"}");
    let (before, started) = (repairs()?, Instant::now());
    harm(place.host()?, fault)?;
    place.wait_until_healed()?;
    println!("{}: healed by itself, frames counted again after {:?}", fault.what, started.elapsed());
    ensure!(repairs()? > before, "nothing was repaired: was anything harmed?");
    Ok(())
}

/// The daemon is killed before and started after.
fn heals_at_the_start(place: &Place, fault: &Fault) -> Result<()> {
    place.node()?.kill();
    harm(place.host()?, fault)?;
    place.expect_harm()?;
    place.node()?.start()?;
    place.cloud.wait_until_ready(1)?;
    place.wait_until_healed()
}

type Heal = fn(&Place, &Fault) -> Result<()>;

fn each<'a>(place: &Place, faults: impl IntoIterator<Item = &'a Fault>, heal: Heal) -> Result<()> {
    faults.into_iter().try_for_each(|fault| heal(place, fault).context(fault.what))
}

#[test]
fn what_others_change_is_put_back_while_the_daemon_lives() -> Result<()> {
    let place = Place::new("heals", NodeConfig::default())?;
    let streams = place.streams()?;
    each(&place, FLOWS.iter().chain(&ROWS), heals_by_itself)?;
    println!("{}", no_frame_twice(streams)?);
    place.cloud.lab().expect_no_duplicates()?;
    each(&place, &OPEN, heals_by_itself)
}

#[test]
fn changes_without_a_daemon_are_undone_by_the_record() -> Result<()> {
    let place = Place::new("record", NodeConfig::default())?;
    let streams = place.streams()?;
    each(&place, FLOWS.iter().chain(&ROWS).filter(|fault| fault.recorded), heals_at_the_start)?;
    println!("{}", no_frame_twice(streams)?);
    place.cloud.lab().expect_no_duplicates()?;
    each(&place, &OPEN, heals_at_the_start)
}

#[test]
fn a_clean_look_writes_nothing() -> Result<()> {
    let place = Place::new("clean", NodeConfig { reconcile_interval: "1s".into(), ..NodeConfig::default() })?;
    // A look after the start may still be under way: two more, of which the last finds flows as one has read them.
    place.reconcile()?;
    place.reconcile()?;
    let file = ovstunnel_e2e::database_file(place.host()?)?;
    // Natively each look reads flows, on connections that are there, and runs nothing.
    let dumps = || place.metric("ovstunnel_commands_total{command=\"ovs-ofctl\"");
    // What was written is read back some seconds later.
    wait_until("the flows to have been read", Duration::from_secs(60), || {
        let before = dumps()?;
        std::thread::sleep(Duration::from_secs(6));
        ensure!(dumps()? == before, "ovs-ofctl is still run");
        Ok(())
    })?;
    let writes = || place.metric("ovstunnel_commands_total{command=\"ovs-vsctl\"");
    let looks = || place.metric("ovstunnel_reconciles_total");
    let writes_before = writes()?;
    // What is read back is read ever more seldom, so such a reading may still fall among the looks of one turn.
    wait_until("looks that read no flows", Duration::from_secs(120), || {
        let (dumps_before, looks_before) = (dumps()?, looks()?);
        for _ in 0..5 {
            let report = place.reconcile()?;
            ensure!((report.bridges, report.tunnels) == (1, 2), "{report:?}");
            ensure!(report.found.is_empty() && report.done.is_empty() && report.failed.is_empty(), "{report:?}");
        }
        // And one that the interval brings.
        wait_until("a look by itself", Duration::from_secs(20), || {
            ensure!(looks()? > looks_before + 5.0, "{} looks", looks()? - looks_before);
            Ok(())
        })?;
        ensure!(dumps()? == dumps_before, "ovs-ofctl was run, for flows that had not changed");
        Ok(())
    })?;
    ensure!(writes()? == writes_before, "ovs-vsctl was run");
    ensure!(ovstunnel_e2e::database_file(place.host()?)? == file, "the database was written");
    place.wait_until_healed()
}

/// What takes a tunnel's place while it is detached.
const KEPT_OUT: Fault = remembered(
    "somebody's own tunnel takes the address and key of one of ours",
    &[
        "vsctl set Interface t1001-1-2 options:key=77",
        "vsctl add-br theirs -- set Bridge theirs DATAPATH",
        "vsctl add-port theirs g -- set Interface g type=gre options:remote_ip=192.0.2.2 options:key=1001",
    ],
);

/// What Open vSwitch noted when it was last asked to try again.
fn asked_again(host: &Host) -> Result<String> {
    host.vsctl(["--if-exists", "get", "Open_vSwitch", ".", "external_ids:ovstunnel-retry"])
}

/// The daemon is held meanwhile; when it goes on, it cannot have its tunnel back.
#[test]
fn a_tunnel_kept_out_by_another_port_comes_back() -> Result<()> {
    let place = Place::new("inerror", NodeConfig::default())?;
    let (node, host) = (place.node()?, place.host()?);
    node.signal(Signal::SIGSTOP)?;
    harm(host, &KEPT_OUT)?;
    node.signal(Signal::SIGCONT)?;

    let patience = Duration::from_secs(30);
    wait_until("the tunnel to be told as in error", patience, || {
        let bridge = place.cloud.call(1, |client| async move { client.bridge("xapi1").await })??;
        let tunnel = bridge.tunnels.iter().find(|tunnel| tunnel.port == "t1001-1-2").context("it is gone")?;
        ensure!(tunnel.state == TunnelState::Error && tunnel.error.is_some(), "{tunnel:?}");
        Ok(())
    })?;
    let first = wait_until("Open vSwitch to be asked again", patience, || {
        let asked = asked_again(host)?;
        ensure!(!asked.is_empty(), "it was not");
        Ok(asked)
    })?;
    wait_until("Open vSwitch to be asked once more", patience, || {
        ensure!(asked_again(host)? != first, "it was not");
        Ok(())
    })?;
    ensure!(place.metric("ovstunnel_repairs_total{result=\"failed\"}")? > 0.0, "it is not counted as failed");
    host.vsctl(["del-br", "theirs"])?;
    place.wait_until_healed()?;
    place.cloud.lab().expect_no_duplicates()
}
