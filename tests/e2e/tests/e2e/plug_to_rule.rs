//! How long it takes from plugging a VIF to its rule. It prints what it measures, for the guide; it judges only that each
//! rule came.

use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Cloud, Helper, Network, RuleWatch, make_devices};

const VIFS: usize = 40;

/// Median, 95th of a hundred, and the longest, in milliseconds.
fn shown(what: &str, mut times: Vec<Duration>) -> String {
    times.sort();
    let ms = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    format!("{what}: median {:.1} ms, 95% {:.1} ms, longest {:.1} ms ({} times)", ms(50), ms(95), ms(100), times.len())
}

#[test]
fn from_plug_to_rule() -> Result<()> {
    let cloud = Cloud::new("plugrule", 1)?;
    let (node, network) = (cloud.node(1)?, Network::numbered(1, Ipv6Policy::Drop));
    let (host, helper) = (node.host(), Helper::on(node)?);
    cloud.join(&network, 1, &[1])?;
    let names: Vec<String> = (0..VIFS).map(|n| format!("vif{n}.0")).collect();
    make_devices(host, &names)?;
    let watch = RuleWatch::start(host, &network.bridge)?;
    let (mut from_start, mut from_end, mut helped) = (Vec::new(), Vec::new(), Vec::new());
    for vif in &names {
        let start = SystemTime::now();
        host.vsctl(["add-port", &network.bridge, vif])?;
        let plugged = SystemTime::now();
        let rule = watch.next()?.at;
        // A rule may be there before the command has ended.
        from_start.push(rule.duration_since(start).unwrap_or_default());
        from_end.push(rule.duration_since(plugged).unwrap_or_default());
    }
    for vif in &names {
        let ofport = format!("in_port={}", host.wait_for_ofport(vif)?);
        host.ofctl(["del-flows", &network.bridge, &ofport])?;
        let start = Instant::now();
        helper.run(&["online", vif])?;
        watch.next()?;
        helped.push(start.elapsed());
    }
    println!("{}", shown("from the start of `ovs-vsctl add-port` to the rule", from_start));
    println!("{}", shown("from the end of `ovs-vsctl add-port` to the rule", from_end));
    println!("{}", shown("a rule deleted behind our back, from the start of the helper to its end", helped));
    Ok(())
}
