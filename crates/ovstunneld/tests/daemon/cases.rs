//! The cases of tests/cases on the simulated switch.

use crate::runner;

use ovstunnel_ovs::{SimulatedSwitch, Switch};
use ovstunnel_plan::Settings;

fn others(switch: &SimulatedSwitch, command: &str) {
    match command.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["restart"] => {
            switch.set_running(false);
            switch.set_running(true);
        }
        ["del-flows", bridge] => switch.lose_flows(bridge),
        _ => switch.run_vsctl(command).unwrap(),
    }
}

#[tokio::test]
async fn every_case_holds_on_the_simulated_switch() {
    for case in runner::cases() {
        let switch = SimulatedSwitch::new();
        let (others, written) =
            (|command: &str| others(&switch, command), || [format!("{} commits", switch.commits())].into());
        runner::run(&case, Switch::Simulated(switch.clone()), Settings::default(), others, written).await;
        println!("{}: holds", case.display());
    }
}
