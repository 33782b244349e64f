//! The page of a manager of four real hosts, in a real browser: each view in four shapes, and a fault on a switch that comes to the page and
//! goes again by itself.

use anyhow::Result;
use ovstunnel_e2e::{Browser, Views, Zone};

use crate::zone::cloud;

#[test]
#[ignore = "takes a browser: scripts/browser --switches"]
fn a_fault_on_a_switch_comes_to_the_page_and_goes_by_itself() -> Result<()> {
    let (cloud, network) = cloud("browser")?;
    let zone = Zone::new(&cloud)?;
    zone.add_all(&cloud)?;
    zone.wait_until_whole(&cloud, "key-1001")?;
    let views = [
        ("overview", "/"),
        ("networks", "/networks"),
        ("matrix", "/networks/key-1001"),
        ("pair", "/networks/key-1001?from=h2&to=h4"),
        ("graph", "/networks/key-1001?view=graph"),
        ("table", "/networks/key-1001?view=table"),
        ("proof", "/networks/key-1001?view=proof"),
        ("hosts", "/hosts"),
        ("host", "/hosts/h2"),
        ("tunnels", "/hosts/h2?view=tunnels"),
        ("faults", "/faults"),
        ("path", "/path?from=h2&to=h4"),
        ("keys", "/keys"),
        ("events", "/events"),
        ("holds", "/holds"),
    ];
    let link = zone.ask(&cloud, |client| async move { client.link(None).await })?;
    let (url, log) = (zone.url(&cloud), zone.dir().join("browser.log"));
    let node = cloud.lab().fabric().command("node");
    let fault = Some(("/faults", "has no tunnel to host 4"));
    let views = Views { url: &url, link: &link.path, views: &views, fault, pictures: None };
    let mut browser = Browser::start(node, &views, &log)?;
    browser.wait_for("watching")?;
    // By the API: what somebody else takes away the daemon makes anew.
    cloud.call(2, |client| async move { client.delete_tunnel("xapi1", "t1001-2-4").await })??;
    browser.wait_for("found")?;
    cloud.join(&network, 2, &[1, 2, 3, 4])?;
    browser.wait_for("gone")?;
    browser.finish()
}
