//! What the switch itself tells, beside its database: it is seen without anybody asking, repaired where it is ours, and told
//! where it may be meant.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovstunnel_e2e::{NodeConfig, Picture, Place};
use ovstunnel_lab::{Host, Kind, wait_until};
use ovstunnel_ovs::{CommandHook, RealSwitch, Switch, Tools};
use ovstunnel_plan::{DesiredBridge, Settings, View, Witness};
use ovstunneld::testing::{Metrics, Witnesses, Writer, WriterLock, follow_all, start_witness};

const PATIENCE: Duration = Duration::from_secs(30);

/// OpenFlow 1.0 is the only one that has all settings of a port.
fn set_port(host: &Host, port: &str, how: &str) -> Result<()> {
    host.ofctl(["-O", "OpenFlow10", "mod-port", "xapi1", port, how]).map(drop)
}

/// What each port is configured to do, by its name.
fn configured(host: &Host, port: &str) -> Result<String> {
    let shown = host.ofctl(["-O", "OpenFlow10", "show", "xapi1"])?;
    let mut lines = shown.lines().skip_while(|line| !line.contains(&format!("({port}): addr:"))).skip(1);
    Ok(lines.next().context("no such port")?.trim().to_owned())
}

#[test]
fn our_ports_are_put_right_and_no_others() -> Result<()> {
    let place = Place::new("ports", NodeConfig::default())?;
    let host = place.host()?;
    let good = configured(host, "t1001-1-2")?;
    set_port(host, "vif1.0", "no-flood")?;
    for (port, how) in [("t1001-1-2", "no-flood"), ("t1001-1-3", "no-receive"), ("t1001-1-2", "no-forward")] {
        let started = Instant::now();
        set_port(host, port, how)?;
        ensure!(configured(host, port)? != good, "{port} {how}: nothing was harmed");
        wait_until(format!("{port}: the end of {how}"), PATIENCE, || {
            let now = configured(host, port)?;
            ensure!(now == good, "{now}");
            Ok(())
        })?;
        println!("{port} {how}: put right after {:?}", started.elapsed());
    }
    set_port(host, "xapi1", "no-flood")?;
    wait_until("the bridge's own port", PATIENCE, || {
        let now = configured(host, "xapi1")?;
        ensure!(!now.contains("NO_FLOOD"), "{now}");
        Ok(())
    })?;
    ensure!(configured(host, "vif1.0")?.contains("NO_FLOOD"), "a VIF's setting may be meant");
    set_port(host, "vif1.0", "flood")?;
    place.wait_until_healed()
}

/// Open vSwitch keeps its ports from being flooded to, and shows it nowhere.
#[test]
fn a_spanning_trees_residue_is_mended_at_the_start() -> Result<()> {
    let place = Place::new("residue", NodeConfig::default())?;
    let (node, host) = (place.node()?, place.host()?);
    let tree = "rstp_enable";
    node.kill();
    host.vsctl(["set", "Bridge", "xapi1", &format!("{tree}=true")])?;
    // As long as it was on where Open vSwitch was seen to leave its ports so (docs/ovs-facts.md).
    std::thread::sleep(Duration::from_secs(14));
    host.vsctl(["set", "Bridge", "xapi1", &format!("{tree}=false")])?;
    let cut = place.cloud.lab().deliver(&place.vms[0], Kind::Broadcast)?.expect_once();
    // 4.0 leaves nothing behind; then it must stay so.
    let version = host.appctl(["version"])?;
    ensure!(cut.is_err() || version.contains(" 4."), "{tree}: nothing was harmed: {version}");
    ensure!(!configured(host, "t1001-1-2")?.contains("NO_FLOOD"), "it would show");
    node.start()?;
    place.cloud.wait_until_ready(1)?;
    let started = Instant::now();
    wait_until("frames to be flooded again", PATIENCE, || {
        place.cloud.lab().deliver(&place.vms[0], Kind::Broadcast)?.expect_once()
    })?;
    println!("{tree}: flooded again {:?} after the start", started.elapsed());
    place.wait_until_healed()?;
    Ok(())
}

#[test]
fn our_flows_on_foreign_bridges_are_swept() -> Result<()> {
    let place = Place::new("swept", NodeConfig::default())?;
    let host = place.host()?;
    host.add_bridge("br-other")?;
    host.ofctl(["add-flow", "br-other", "cookie=0x77,priority=4000,arp,actions=drop"])?;
    place.reconcile()?;
    let before = Picture::of(host)?;
    // Deleted and made anew by somebody who has saved its flows, or a flow that was copied.
    for _ in 0..2 {
        host.ofctl(["add-flow", "br-other", "cookie=0x6f76737401000000,priority=1000,tun_id=5,actions=drop"])?;
        ensure!(Picture::of(host)? != before, "nothing was harmed");
        place.reconcile()?;
        Picture::of(host)?.expect(&before)?;
    }
    Ok(())
}

/// What others do to the flows of `xapi1`, and whether OpenFlow 1.4 is taken from it: before or after.
#[test]
fn flows_are_back_within_seconds_without_openflow_1_4() -> Result<()> {
    let place = Place::new("flowloss", NodeConfig::default())?;
    let host = place.host()?;
    let flows = || -> Result<Vec<String>> {
        let picture = Picture::of(host)?;
        Ok(picture.with("flow xapi1").into_iter().map(str::to_owned).collect())
    };
    let good = flows()?;
    let old = ["set", "Bridge", "xapi1", "protocols=OpenFlow10"];
    for (what, before, after) in
        [("deleted", false, false), ("and 1.0 after", false, true), ("1.0 before", true, false)]
    {
        // A repair that has just been made is not yet read back.
        std::thread::sleep(Duration::from_secs(5));
        let started = Instant::now();
        if before {
            host.vsctl(old)?;
        }
        // Where the versions are changed at this moment, by the daemon too, the connection is reset.
        wait_until("the flows to be deleted", PATIENCE, || {
            host.ofctl(["-O", "OpenFlow10,OpenFlow14", "del-flows", "xapi1"]).map(drop)
        })?;
        if after {
            host.vsctl(old)?;
        }
        wait_until("the flows to be back", PATIENCE, || {
            let now: Vec<String> = flows()?;
            let lost: Vec<&String> =
                good.iter().filter(|flow| flow.contains("0x6f767374") && !now.contains(flow)).collect();
            ensure!(lost.is_empty(), "{lost:?}");
            Ok(())
        })?;
        println!("flows lost ({what}): back after {:?}", started.elapsed());
        ensure!(started.elapsed() < Duration::from_secs(5), "{what}: after {:?}", started.elapsed());
        host.vsctl(["clear", "Bridge", "xapi1", "protocols"])?;
        host.ofctl(["add-flow", "xapi1", "priority=0,actions=NORMAL"])?;
        place.wait_until_healed()?;
    }
    Ok(())
}

/// Reads what is told as the daemon does, in its place.
struct Inside {
    runtime: tokio::runtime::Runtime,
    switch: Switch,
    witnesses: Witnesses,
    _writer: Writer,
    _asking: Option<tokio::task::JoinSet<()>>,
}

impl Inside {
    fn start(host: &Host) -> Result<Self> {
        let runtime = tokio::runtime::Runtime::new()?;
        let tools = Tools { rundir: host.rundir().to_owned(), bin_dir: host.switch().bin_dir(), ..Tools::default() };
        let witnesses = Witnesses::default();
        let (switch, writer, asking) = runtime.block_on(async {
            let switch = Switch::Real(RealSwitch::start(tools, CommandHook::new(|_, _, _| {})).await?);
            let (metrics, lock, interval) = (Metrics::default(), WriterLock::no_lock(), Duration::from_secs(3_600));
            let (writer, _) = Writer::start(switch.clone(), Settings::default(), interval, metrics, lock);
            let asking = start_witness(&switch, &writer, witnesses.clone());
            anyhow::Ok((switch, writer, asking))
        })?;
        Ok(Inside { runtime, switch, witnesses, _writer: writer, _asking: asking })
    }

    fn told(&self) -> Result<Witness> {
        let bridge = self.switch.observer().read(|db| db.view().bridge("xapi1")).context("no bridge")?;
        Ok(self.witnesses.get(bridge.uuid).context("nothing is told")?.witness)
    }

    fn wait(&self, what: &str, is_so: impl Fn(&Witness) -> bool) -> Result<()> {
        let started = Instant::now();
        wait_until(what, PATIENCE, || {
            let told = self.told()?;
            ensure!(is_so(&told), "{told:#?}");
            Ok(())
        })?;
        println!("{what}: told after {:?}", started.elapsed());
        Ok(())
    }

    /// Frames that go astray now, asked for as `doctor` does.
    fn astray(&self) -> Result<Vec<ovstunnel_plan::Trace>> {
        let bridge = self.switch.observer().read(|db| db.view().bridge("xapi1")).context("no bridge")?;
        let desired = DesiredBridge::from_record(&bridge).context("not ours")?;
        let real = self.switch.real_switch().context("not real")?;
        let settings = Settings::default();
        let told = self.runtime.block_on(async { real.new_questions().datapath_ports().await });
        let ports = told.and_then(|mut ports| ports.remove("xapi1"));
        let ports = ports.context("the switch does not say how its ports are numbered")?;
        Ok(self.runtime.block_on(follow_all(real, &bridge, &desired, &settings, &ports)))
    }
}

fn names_vif(traces: &[ovstunnel_plan::Trace]) -> bool {
    traces.iter().any(|trace| trace.frame.starts_with("broadcast from t1001-") && trace.missing == ["vif1.0"])
}

/// Not every Open vSwitch takes addresses that are set by hand: then there are none to be told.
fn fixed_addresses_are_told(inside: &Inside, host: &Host) -> Result<()> {
    if !host.appctl(["list-commands"])?.contains("fdb/add") {
        return inside
            .wait("no address set by hand", |told| told.addresses.is_some() && told.fixed_addresses.is_empty());
    }
    host.appctl(["fdb/add", "xapi1", "vif1.0", "0", "02:bb:00:00:00:09"])?;
    let fixed = ("vif1.0".to_owned(), "02:bb:00:00:00:09".to_owned());
    inside.wait("an address set by hand", |told| told.fixed_addresses == [fixed.clone()])?;
    host.appctl(["fdb/del", "xapi1", "0", "02:bb:00:00:00:09"]).map(drop)
}

#[test]
#[ignore = "takes long: scripts/test --long"]
fn what_the_switch_says_of_a_bridge_is_told() -> Result<()> {
    let place = Place::new("told", NodeConfig::default())?;
    let host = place.host()?;
    place.node()?.kill();
    let inside = Inside::start(host)?;
    inside.wait("a bridge in good order", |told| {
        told.addresses.is_some() && told.ports.len() == 4 && told.traces.is_empty() && told.foreign.is_empty()
    })?;
    let learnt_before = host.appctl(["fdb/stats-show", "xapi1"])?.lines().nth(3).map(str::to_owned);
    assert_eq!(inside.astray()?, []);
    let learnt = host.appctl(["fdb/stats-show", "xapi1"])?.lines().nth(3).map(str::to_owned);
    assert_eq!(learnt, learnt_before, "a frame that is followed teaches nothing");

    host.ofctl(["set-frags", "xapi1", "drop"])?;
    inside.wait("fragments are dropped", |told| told.fragments.as_deref() == Some("drop"))?;
    inside.wait("a fragment goes astray", |told| told.traces.iter().any(|trace| trace.frame.contains("fragment")))?;
    ensure!(inside.astray()?.iter().any(|trace| trace.evidence.contains("fragment")), "{:?}", inside.astray()?);
    host.ofctl(["set-frags", "xapi1", "normal"])?;
    inside.wait("fragments pass again", |told| told.fragments.is_none() && told.traces.is_empty())?;

    host.ofctl(["add-flow", "xapi1", "cookie=0x77,priority=2000,tun_id=1001,actions=drop"])?;
    inside.wait("a flow of somebody else", |told| {
        told.foreign.iter().any(|flow| flow.contains("priority=2000")) && names_vif(&told.traces)
    })?;
    host.ofctl(["del-flows", "xapi1", "cookie=0x77/-1"])?;
    inside.wait("it is gone", |told| told.foreign.is_empty() && told.traces.is_empty())?;

    fixed_addresses_are_told(&inside, host)?;

    set_port(host, "vif1.0", "no-flood")?;
    inside.wait("a VIF that is not flooded to", |told| {
        told.ports.values().filter(|port| port.no_flood).count() == 1 && names_vif(&told.traces)
    })?;
    set_port(host, "vif1.0", "flood")?;

    host.vsctl(["set", "Port", "vif1.0", "tag=5"])?;
    inside.wait("a VIF with a tag", |told| names_vif(&told.traces))?;
    host.vsctl(["clear", "Port", "vif1.0", "tag"])?;
    inside.wait("good order again", |told| told.traces.is_empty())?;

    host.vsctl(["set-controller", "xapi1", "tcp:127.0.0.1:6699"])?;
    inside.wait("fail-open", |told| told.hidden.iter().any(|flow| flow.starts_with("priority=15790320")))?;
    host.vsctl(["del-controller", "xapi1"])?;
    inside.wait("its end", |told| told.hidden.is_empty())
}
