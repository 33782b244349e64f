//! A limit for VIFs on a switch that has no meters: what is configured and what the switch can honour are not the same, and every
//! answer goes by the second.

use crate::sim::{Sim, mesh};
use ovstunnel_ovs::SimulatedSwitch;
use ovstunnel_plan::Settings;
use serde_json::json;

/// A daemon that is to limit VIFs, on a switch that has just refused to.
async fn without_meters() -> Sim {
    let switch = SimulatedSwitch::new();
    switch.refuse_meters();
    let sim = Sim::start_with(switch, Settings { vif_broadcast_pps: 50, ..Settings::default() });
    sim.until_ready().await;
    sim.put("xapi1", mesh(5, [2])).await.expect(201);
    sim.switch.plug_port("xapi1", "vif1.0");
    let refused = async || sim.get("/readyz").await.body["warnings"].to_string().contains("takes no meters");
    sim.until("the switch says that it has no meters", refused).await;
    sim.reconcile().await;
    sim.until_flows("xapi1", 8).await;
    sim
}

#[tokio::test]
async fn put_and_get_agree_where_the_switch_has_no_meters() {
    let sim = without_meters().await;
    for body in [mesh(5, [2]), mesh(5, [2, 3])] {
        let told = sim.put("xapi1", body).await.expect(200)["bridge"].clone();
        assert_eq!(told["flows"], json!({"state": "in_sync", "expected": 8, "installed": 8}));
        assert_eq!(told, sim.bridge("xapi1").await);
    }
    let again = sim.put("xapi1?dry_run=true", mesh(5, [2, 3])).await.expect(200);
    assert_eq!((&again["outcome"], &again["commands"]), (&json!("unchanged"), &json!([])));
}
