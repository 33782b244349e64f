//! What a user would pick instead, each in its own way and with its own rows: one tunnel more by Neutron's `ovs_lib` and by the
//! transactions of Xen Orchestra's SDN controller, and one VIF by os-vif.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{RuleWatch, make_devices};
use serde_json::json;

use super::vif::plug_until_rule;
use crate::contender::{openstack, xo};
use crate::database::map;
use crate::ground::{Ground, Race, config, native_config};
use crate::page::{PEERS, grouped};
use crate::report::{Line, Who};
use crate::rows::{self, Network, Tunnel};
use crate::scale::Scale;

/// The bridges: the daemon's, and that of all others.
const DAEMONS: &str = "xapi9001";
const OTHERS: &str = "others9002";

/// The UUID by which Xen Orchestra finds the bridge.
const UUID: &str = "00000000-0000-4000-8000-000000009002";

pub fn run(scale: &Scale) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (tag, config, way) in [("peers", config(), ""), ("npeers", native_config(), "natively: ")] {
        let mut ground = Ground::with_config(tag, config)?;
        ground.start_agent(Who::Neutron, &openstack::NEUTRON)?;
        ground.start_agent(Who::OsVif, &openstack::OS_VIF)?;
        for &there in &scale.peer_tunnels {
            crate::progress(&format!("{way}one tunnel on a bridge with {there}, beside Neutron and XO"));
            let race = tunnels(&mut ground, scale, there)?;
            lines.push(race.median(PEERS, &format!("{way}one tunnel on a bridge with {}: median", grouped(there))));
        }
        crate::progress(&format!("{way}VIFs, beside os-vif"));
        let what = format!(
            "{way}a VIF plugged, from the start of the command (ours: `ovs-vsctl`, and until its rule is there): median"
        );
        lines.push(vifs(&mut ground, scale)?.median(PEERS, &what));
    }
    Ok(lines)
}

/// Sets both bridges up with as many tunnels, and has each add one in turn.
fn tunnels(ground: &mut Ground, scale: &Scale, there: usize) -> Result<Race> {
    let (host, others) = (ground.host()?, Network::new(OTHERS, 9002, there));
    ground.turn(Who::Daemon)?;
    ground.set_up(Who::Daemon, &Network::new(DAEMONS, 9001, there))?;
    ground.turn(Who::Command)?;
    ground.set_up(Who::Command, &others)?;
    host.vsctl(["set", "Bridge", OTHERS, &format!("external_ids:xs-network-uuids={UUID}")])?;
    let mut race = Race::default();
    for round in 0..scale.rounds.div_ceil(2) {
        let to = 2 + there as u64 + round as u64;
        for who in [Who::Daemon, Who::Neutron, Who::Xo] {
            ground.turn(who)?;
            if who == Who::Daemon {
                // It takes in what the others have written, as their libraries have by now: this changes nothing.
                ground.set_up(who, &Network::new(DAEMONS, 9001, there))?;
            }
            race.push(who, add(ground, who, round, to)?);
        }
    }
    ground.turn(Who::Command)?;
    ground.remove_bridge(Who::Command, OTHERS)?;
    ground.turn(Who::Daemon)?;
    ground.remove_bridge(Who::Daemon, DAEMONS)?;
    Ok(race)
}

/// Makes the tunnel, checks that it is there, and removes it.
fn add(ground: &mut Ground, who: Who, round: usize, to: u64) -> Result<Duration> {
    let (host, tunnel) = (ground.host()?, Tunnel { key: if who == Who::Daemon { 9001 } else { 9002 }, to });
    match who {
        Who::Daemon => {
            let took = ground.add(who, DAEMONS, &tunnel)?;
            ground.remove(who, DAEMONS, &tunnel)?;
            Ok(took)
        }
        Who::Neutron => {
            let took = openstack::add(ground.agent(who)?, &host, OTHERS, &tunnel)?;
            expect(ground, &tunnel.port(), &tunnel)?;
            openstack::remove(ground.agent(who)?, OTHERS, &tunnel)?;
            rows::expect_none(ground.database(), &tunnel)?;
            Ok(took)
        }
        _ => {
            let (took, port) = xo::add(&host.rundir().join("db.sock"), UUID, round, &tunnel)?;
            expect(ground, &port.replace("_port", "_iface"), &tunnel)?;
            host.vsctl(["del-port", OTHERS, &port])?;
            Ok(took)
        }
    }
}

/// That the interface is a GRE tunnel to that address, with an OpenFlow number.
fn expect(ground: &mut Ground, interface: &str, tunnel: &Tunnel) -> Result<()> {
    let found =
        ground.database().select("Interface", json!([["name", "==", interface]]), &["type", "options", "ofport"])?;
    let row = found.first().with_context(|| format!("no interface {interface}"))?;
    let remote_ip = map(&row["options"]).find(|(name, _)| *name == "remote_ip").map(|(_, value)| value.to_owned());
    let is_there = row["type"] == "gre" && row["ofport"].as_i64().is_some_and(|ofport| ofport > 0);
    ensure!(is_there && remote_ip == Some(tunnel.remote_ip().to_string()), "{interface} is {row}");
    Ok(())
}

/// A VIF of each, plugged and unplugged in turn.
fn vifs(ground: &mut Ground, scale: &Scale) -> Result<Race> {
    let host = ground.host()?;
    let network = ovstunnel_e2e::Network::numbered(1, Ipv6Policy::Drop);
    make_devices(&host, &["vif1.0".to_owned(), "vif2.0".to_owned()])?;
    ground.turn(Who::Daemon)?;
    ground.cloud.join(&network, 1, &[1])?;
    ground.turn(Who::Command)?;
    ground.set_up(Who::Command, &Network::new(OTHERS, 9002, 0))?;
    let (watch, mut race) = (RuleWatch::start(&host, &network.bridge)?, Race::default());
    for _ in 0..scale.rounds.div_ceil(2) {
        ground.turn(Who::Daemon)?;
        race.push(Who::Daemon, plug_until_rule(&host, &network.bridge, "vif1.0", &watch)?);
        host.vsctl(["del-port", &network.bridge, "vif1.0"])?;
        ground.cloud.wait_for_rules(&network, 1)?;
        ground.turn(Who::OsVif)?;
        race.push(Who::OsVif, openstack::plug(ground.agent(Who::OsVif)?, OTHERS, "vif2.0")?);
        host.wait_for_ofport("vif2.0")?;
        openstack::unplug(ground.agent(Who::OsVif)?, OTHERS, "vif2.0")?;
    }
    Ok(race)
}
