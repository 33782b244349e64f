//! The cases of tests/cases on a real switch: the same requests, the same words, the same state afterwards.

use crate::runner;

use anyhow::Result;
use ovstunnel_e2e::Snapshot;
use ovstunnel_lab::{Host, Lab};
use ovstunnel_ovs::{CommandHook, RealSwitch, Switch, Tools, Writes};
use ovstunnel_plan::Settings;

fn others(host: &Host, command: &str) -> Result<()> {
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.as_slice() {
        ["restart"] => host.restart_vswitchd(),
        ["del-flows", bridge] => host.ofctl(["del-flows", bridge]).map(drop),
        ["add-br", bridge] => host.add_bridge(bridge),
        ["add-port", bridge, port] => {
            host.vsctl(["add-port", bridge, port, "--", "set", "Interface", port, "type=internal"]).map(drop)
        }
        words => host.vsctl(words).map(drop),
    }
}

#[test]
fn every_case_holds_on_a_real_switch() -> Result<()> {
    let lab = Lab::new("cases")?;
    let cases = runner::cases();
    let native = std::env::var("OVSTUNNEL_WRITES").is_ok_and(|writes| writes == "native");
    let writes = if native { Writes::Native } else { Writes::Commands };
    let settings = Settings { datapath_type: lab.switch().datapath().name().into(), ..Settings::default() };
    for (case, host) in cases.iter().zip(lab.add_hosts(cases.len())?) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let tools = Tools {
                rundir: host.rundir().to_owned(),
                bin_dir: host.switch().bin_dir(),
                writes,
                ..Tools::default()
            };
            let switch = RealSwitch::start(tools, CommandHook::new(|_, _, _| {})).await?;
            let others = |command: &str| others(&host, command).unwrap();
            let written = || Snapshot::of(&host).unwrap().into_lines();
            runner::run(case, Switch::Real(switch), settings.clone(), others, written).await;
            println!("{}: holds", case.display());
            anyhow::Ok(())
        })?;
    }
    Ok(())
}
