//! `[ovs] writes = "native"` writes what `"commands"` does: random changes on two switches, one by each way, leave the same rows and the
//! same flows, to the byte. Runs on each version of Open vSwitch.

use crate::arbitrary;

use std::cell::Cell;
use std::collections::BTreeSet;

use crate::arbitrary::{Batch, Op, batches, bridge, port};
use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_lab::{Host, Lab};
use ovstunnel_ovs::{CommandHook, CommitError, Db, RealSwitch, Switch, Tools, Writes};
use ovstunnel_plan::{BridgeSpec, Flow, FlowChange, FlowsSeen, PluginFlow, PluginGroup, Step, View, ids};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// A host whose switch is written to by one of the ways.
struct Way {
    host: Host,
    switch: Switch,
}

impl Way {
    async fn new(host: Host, writes: Writes) -> Result<Self> {
        let tools = Tools {
            rundir: host.rundir().to_owned(),
            bin_dir: host.switch().bin_dir(),
            writes,
            vif_broadcast_pps: 50,
            ..Tools::default()
        };
        let switch = Switch::Real(RealSwitch::start(tools, CommandHook::new(|_, _, _| {})).await?);
        switch.watch_health().wait_for(|health| health.first_trouble().is_none()).await?;
        Ok(Way { host, switch })
    }

    /// What an operation is on this switch as it is; nothing where it is about what is not there.
    fn step(&self, op: &Op) -> Option<Step> {
        self.switch.observer().read(|db| {
            let view = db.view();
            let (there, port_there) =
                (|n| view.bridge(bridge(n).as_str()), |n, to| view.port(bridge(n).as_str(), port(n, to).as_str()));
            Some(match op {
                Op::Create(n, external_ids, fail_mode) => there(*n).is_none().then(|| {
                    Step::CreateBridge(BridgeSpec {
                        name: bridge(*n),
                        datapath_type: self.host.switch().datapath().name().to_owned(),
                        external_ids: external_ids.clone(),
                        other_config: [("mac-table-size".to_owned(), "5000".to_owned())].into(),
                        fail_mode: *fail_mode,
                        mtu_request: fail_mode.map(|_| 1400),
                    })
                })?,
                Op::Edit(n, edits) => {
                    there(*n).map(|_| Step::EditBridge { bridge: bridge(*n), edits: edits.clone() })?
                }
                Op::Delete(n) => Step::DeleteBridge { bridge: bridge(*n), uuid: there(*n)?.uuid, releases: vec![] },
                Op::Tunnel(n, to) => (there(*n).is_some() && port_there(*n, *to).is_none())
                    .then(|| Step::AddTunnel { bridge: bridge(*n), tunnel: arbitrary::tunnel(*n, *to) })?,
                Op::EditTunnel(n, to, edits) => {
                    port_there(*n, *to)?;
                    let (port, edits) = (port(*n, *to), edits.clone());
                    Step::EditTunnel { bridge: bridge(*n), port, edits, releases: None, claims: None }
                }
                Op::RemoveTunnel(n, to) => Step::RemoveTunnel {
                    bridge: bridge(*n).to_string(),
                    port: port(*n, *to).to_string(),
                    uuid: port_there(*n, *to)?.uuid,
                    releases: None,
                },
                Op::Epoch(epoch) => Step::RecordEpoch(*epoch),
                Op::TryAgain(attempt) => Step::TryAgain { attempt: *attempt },
            })
        })
    }

    /// What somebody else does to all bridges and ports, so that there is something to set right.
    fn disturb(&self) -> Result<()> {
        for bridge in self.host.vsctl(["list-br"])?.lines().filter(|bridge| *bridge != "br-phy") {
            let bridges = ["set", "Bridge", bridge, "rstp_enable=true", "mcast_snooping_enable=true"];
            self.host.vsctl(bridges)?;
            for port in self.host.vsctl(["list-ports", bridge])?.lines().chain([bridge]) {
                self.host.vsctl(["set", "Port", port, "protected=false", "tag=5", "trunks=5,6", "vlan_mode=access"])?;
            }
        }
        Ok(())
    }

    /// Carries a batch out; says how it ended, without words that differ by way.
    async fn carry_out(&self, Batch { disturbed, ops, flows }: &Batch) -> Result<Vec<&'static str>> {
        if *disturbed {
            self.disturb()?;
        }
        let steps: Vec<Step> = ops.iter().filter_map(|op| self.step(op)).collect();
        let mut ends = vec![how(&self.switch.commit(&steps).await)?];
        for (n, change) in flows {
            let there = self.switch.observer().read(|db| db.view().bridge(bridge(*n).as_str()).is_some());
            if there {
                ends.push(how(&self.switch.change_flows(bridge(*n).as_str(), change).await.map(drop))?);
            }
        }
        Ok(ends)
    }

    /// All that it has, for comparison: rows without what the switch makes of them, flows and meters as the commands print them.
    fn has(&self) -> Result<String> {
        let columns = [
            (
                "Bridge",
                "name,stp_enable,rstp_enable,fail_mode,protocols,datapath_type,mcast_snooping_enable,external_ids,other_config",
            ),
            ("Port", "name,protected,tag,trunks,vlan_mode,external_ids"),
            ("Interface", "name,type,options,external_ids,mtu_request"),
        ];
        let of_switch = |key| {
            [
                "--if-exists".to_owned(),
                "get".to_owned(),
                "Open_vSwitch".to_owned(),
                ".".to_owned(),
                format!("external_ids:{key}"),
            ]
        };
        let mut has = vec![self.host.vsctl(of_switch(ids::RETRY))?, self.host.vsctl(of_switch(ids::EPOCH))?];
        for (table, columns) in columns {
            let printed = self.host.vsctl([&format!("--columns={columns}"), "list", table])?;
            let rows: BTreeSet<&str> = printed.trim().split("\n\n").filter(|row| !row.contains("br-phy")).collect();
            // The lab's own network card on each host.
            has.extend(
                rows.into_iter().filter(|row| !row.contains("\"phy") && !row.contains(": phy")).map(str::to_owned),
            );
        }
        let bridges = self.host.vsctl(["list-br"])?;
        for bridge in bridges.lines().filter(|bridge| *bridge != "br-phy") {
            has.push(format!("{bridge}: {}", self.host.vsctl(["list-ports", bridge])?.replace('\n', " ")));
            let printed = self.dump(bridge, "dump-flows")?;
            let flows: BTreeSet<&str> = printed.lines().filter(|line| line.contains("actions=")).collect();
            has.extend(flows.into_iter().map(|flow| format!("{bridge}: {}", flow.trim())));
            let meters = self.dump(bridge, "dump-meters")?;
            has.extend(
                meters.lines().filter(|line| line.contains("meter=") || line.contains("rate=")).map(str::to_owned),
            );
        }
        Ok(has.join("\n"))
    }

    fn dump(&self, bridge: &str, what: &str) -> Result<String> {
        let options: &[&str] = if what == "dump-flows" { &["--no-stats"] } else { &[] };
        self.host.ofctl(options.iter().copied().chain([what, bridge]))
    }

    /// That our flows are read by this way as `ovs-ofctl` prints them.
    async fn expect_read(&self) -> Result<()> {
        for name in self.switch.observer().read(|db| db.bridge_names()).iter().filter(|name| *name != "br-phy") {
            let printed = FlowsSeen::parse_dump(&self.dump(name, "dump-flows")?);
            let read = self.switch.dump_flows(name).await?;
            (printed == read).then_some(()).with_context(|| format!("{name}: printed {printed:?}, read {read:?}"))?;
        }
        Ok(())
    }

    fn empty(&self) -> Result<()> {
        let bridges = self.host.vsctl(["list-br"])?;
        for bridge in bridges.lines().filter(|bridge| *bridge != "br-phy") {
            self.host.vsctl(["del-br", bridge])?;
        }
        self.host.vsctl(["remove", "Open_vSwitch", ".", "external_ids", ids::RETRY, ids::EPOCH]).map(drop)
    }
}

fn how(result: &Result<(), CommitError>) -> Result<&'static str> {
    match result {
        Ok(()) => Ok("done"),
        Err(CommitError::Refused(_)) => Ok("refused"),
        Err(other) => Err(anyhow!("{other}")),
    }
}

/// Both ways, empty.
async fn both(tag: &str) -> Result<(Lab, [Way; 2])> {
    let lab = Lab::with_hosts(tag, 2)?;
    let ways = [Way::new(lab.host(1)?, Writes::Commands).await?, Way::new(lab.host(2)?, Writes::Native).await?];
    Ok((lab, ways))
}

#[test]
fn random_changes_leave_the_same_by_either_way() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (_lab, ways) = runtime.block_on(both("ways"))?;
    let config = Config { cases: 10, max_shrink_iters: 60, failure_persistence: None, ..Config::default() };
    let flows = Cell::new(0);
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let failed = |error: anyhow::Error| TestCaseError::fail(format!("{error:#}"));
    runner
        .run(&batches(), |batches| {
            ways.iter().try_for_each(Way::empty).map_err(failed)?;
            for batch in &batches {
                let [by_commands, natively] =
                    ways.each_ref().map(|way| runtime.block_on(way.carry_out(batch)).map_err(failed));
                proptest::prop_assert_eq!(by_commands?, natively?, "{:?}", batch);
                let [by_commands, natively] = ways.each_ref().map(|way| way.has().map_err(failed));
                let (by_commands, natively) = (by_commands?, natively?);
                flows.set(flows.get() + natively.matches("actions=").count());
                proptest::prop_assert_eq!(by_commands, natively, "{:?}", batch);
            }
            runtime.block_on(ways[1].expect_read()).map_err(failed)
        })
        .map_err(|error| anyhow!("{error}"))?;
    println!("{} flows were the same", flows.get());
    ensure!(flows.get() > 100, "{} flows are too few", flows.get());
    Ok(())
}

/// What only a take-over does, and what the switch refuses.
#[test]
fn flows_of_the_python_plugin_go_and_refusals_have_words() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (_lab, ways) = both("plugs").await?;
        let mut left = Vec::new();
        for way in &ways {
            way.host.add_bridge("b1")?;
            way.switch
                .observer()
                .watch_revision()
                .wait_for(|_| way.switch.observer().read(|db| db.view().bridge("b1").is_some()))
                .await?;
            for flow in [
                "priority=65000,ipv6,actions=drop",
                "priority=1200,in_port=7,dl_dst=ff:ff:ff:ff:ff:ff,actions=NORMAL",
                "priority=1000,in_port=8,ip,nw_dst=224.0.0.0/24,actions=drop",
                "priority=1100,dl_dst=ff:ff:ff:ff:ff:ff,actions=output:7",
                "priority=1200,in_port=9,dl_dst=ff:ff:ff:ff:ff:ff,actions=NORMAL",
            ] {
                way.host.ofctl(["add-flow", "b1", flow])?;
            }
            let plugins = [
                PluginFlow::Ipv6,
                PluginFlow::FromVif { port: 7, to: PluginGroup::Broadcast },
                PluginFlow::FromTunnel { port: 8, to: PluginGroup::LocalMulticast },
                PluginFlow::ToVifs { to: PluginGroup::Broadcast, ports: [7].into() },
            ];
            way.switch.change_flows("b1", &FlowChange { plain: true, ..FlowChange::of_plugin(plugins.into()) }).await?;
            left.push(way.has()?);
        }
        assert_eq!(left[0], left[1]);
        assert!(
            left[1].contains("in_port=9") && !left[1].contains("in_port=7") && !left[1].contains("ipv6"),
            "{}",
            left[1]
        );

        let natively = &ways[1];
        let refused = natively.switch.commit(&[arbitrary::rename("b2")]).await;
        assert_eq!(refused, Err(CommitError::Refused("no row \"b2\" in table Bridge".to_owned())));
        natively.host.vsctl(["set", "Bridge", "b1", "protocols=OpenFlow10,OpenFlow13"])?;
        // Connections that are there already go on; a new one greets anew.
        let other = Way::new(natively.host.clone(), Writes::Native).await?;
        let refused = other.switch.change_flows("b1", &FlowChange::of_plugin(BTreeSet::new())).await;
        assert!(matches!(&refused, Err(CommitError::Refused(words)) if !words.is_empty()), "{refused:?}");
        Ok(())
    })
}

/// A change that replaces flows which were not read leaves those that say what is withdrawn, and those of others.
#[test]
fn what_is_withdrawn_stays_by_either_way() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (_lab, ways) = both("stays").await?;
        for way in &ways {
            way.host.add_bridge("b1")?;
            way.host.vsctl(["set", "Bridge", "b1", "protocols=OpenFlow10,OpenFlow14"])?;
            let (observer, there) = (way.switch.observer(), |db: &Db| db.view().bridge("b1").is_some());
            observer.watch_revision().wait_for(|_| observer.read(there)).await?;
            let flows: Vec<String> = (0..=0xff_u8)
                .flat_map(|purpose| ["6f767374", "6f767362"].map(|whose| (purpose, whose)))
                .map(|(purpose, whose)| {
                    format!("add cookie=0x{whose}{purpose:02x}00abcd,table={purpose},priority=7,tun_id=0x{whose},actions=drop\n")
                })
                .filter(|line| !line.contains("table=254") && !line.contains("table=255"))
                .collect();
            let file = tempfile::NamedTempFile::new()?;
            std::fs::write(file.path(), flows.concat())?;
            way.host.ofctl(["--bundle", "add-flows", "b1", &file.path().display().to_string()])?;
            let watch: Flow = "cookie=0x6f7673740a010001,table=10,priority=1100,arp,arp_spa=10.1.0.1,actions=drop".parse()?;
            let change = FlowChange::between(&BTreeSet::from([watch.clone()]), &FlowsSeen::Unknown).context("a change")?;
            way.switch.change_flows("b1", &change).await?;
            let left = FlowsSeen::parse_dump(&way.dump("b1", "dump-flows")?);
            let withdrawn: Flow = "cookie=0x6f7673740c00abcd,table=12,priority=7,tun_id=0x6f767374,actions=drop".parse()?;
            assert_eq!(left, FlowsSeen::known_exactly([watch, withdrawn].into()));
            let of_probes = way.host.ofctl(["dump-flows", "b1", "cookie=0x6f76736200000000/0xffffffff00000000"])?;
            assert_eq!(of_probes.matches("cookie=0x6f767362").count(), 254);
        }
        Ok(())
    })
}
