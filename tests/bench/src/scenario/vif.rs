//! From a VIF that is plugged to its rule, one by one and many at once, and how many flows there are then.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Cloud, Network, NodeConfig, RuleWatch, make_devices};
use ovstunnel_lab::Host;

use crate::contender::{command, plugin};
use crate::ground::{Ground, config, native_config};
use crate::page::grouped;
use crate::report::{Curve, Found, Goal, Line, Plot, Unit, Who};
use crate::rows::{self, Tunnel};
use crate::scale::Scale;
use crate::stats::Samples;

/// Points of a curve that was counted at its beginning only.
const CURVE_POINTS: usize = 40;

/// Plugs VIFs and waits for their rules.
pub fn run(scale: &Scale) -> Result<Found> {
    Ok(Found { lines: lines("vif", config(), scale)?, curves: vec![] })
}

/// The same by a daemon that writes without programs: one by one.
pub fn natively(scale: &Scale) -> Result<Vec<Line>> {
    let lines = lines("nvif", native_config(), scale)?.into_iter().take(2);
    Ok(lines
        .map(|line| {
            let is_p99 = !line.goals.is_empty();
            let what = "natively: VIF plugged to its rule, from the end of the hypervisor's command";
            let (what, goals) = match is_p99 {
                true => (format!("{what}: p99"), vec![Goal::at_most(line.daemon.value * 1e3, 2.0, "ms", "at p99")]),
                false => (format!("{what}: median"), vec![]),
            };
            Line { scenario: "native".to_owned(), what, goals, ..line }
        })
        .collect())
}

fn lines(tag: &str, config: NodeConfig, scale: &Scale) -> Result<Vec<Line>> {
    let cloud = Cloud::with_config(tag, 1, config)?;
    let (host, network) = (cloud.node(1)?.host().clone(), Network::numbered(1, Ipv6Policy::Drop));
    cloud.join(&network, 1, &[1])?;
    let names: Vec<String> = (0..scale.vifs).map(|n| format!("vif{n}.0")).collect();
    make_devices(&host, &names)?;
    let watch = RuleWatch::start(&host, &network.bridge)?;
    crate::progress("VIFs, one by one");
    let one = one_by_one(&cloud, &network, &watch, &names[0], scale)?;
    crate::progress(&format!("{} VIFs at once", names.len()));
    let (mut all, mut with_command) = (Samples::default(), Samples::default());
    for _ in 0..scale.rounds.div_ceil(20) {
        let (from_end, from_start) = all_at_once(&cloud, &network, &watch, &names)?;
        all.push(from_end.as_secs_f64());
        with_command.push(from_start.as_secs_f64());
    }
    let what = format!("{} VIFs plugged at once: from the end of the command to the last rule", names.len());
    let all_line = Line::new("vif", what, Unit::Seconds, all.median(), all.len());
    let all_line = all_line.goal(Goal::at_most(all.max(), 0.5, "s", "at the longest"));
    let what = "the same, from the start of the command";
    let with_command = Line::new("vif", what, Unit::Seconds, with_command.median(), with_command.len());
    Ok([one, vec![all_line, with_command]].concat())
}

/// Plugs a VIF as a hypervisor does; how long it takes from the start of that command to its rule.
pub(super) fn plug_until_rule(host: &Host, bridge: &str, vif: &str, watch: &RuleWatch) -> Result<Duration> {
    watch.so_far();
    let start = SystemTime::now();
    host.vsctl(["add-port", bridge, vif])?;
    Ok(watch.next()?.at.duration_since(start).unwrap_or_default())
}

fn one_by_one(cloud: &Cloud, network: &Network, watch: &RuleWatch, vif: &str, scale: &Scale) -> Result<Vec<Line>> {
    let host = cloud.node(1)?.host();
    let (mut from_end, mut from_start, mut bare) = (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..scale.rounds {
        watch.so_far();
        let start = SystemTime::now();
        host.vsctl(["add-port", &network.bridge, vif])?;
        let end = SystemTime::now();
        let rule = watch.next()?.at;
        // A rule may be there before the command has ended.
        from_end.push(rule.duration_since(end).unwrap_or_default().as_secs_f64());
        from_start.push(rule.duration_since(start).unwrap_or_default().as_secs_f64());
        cloud.wait_for_rules(network, 1)?;
        host.vsctl(["del-port", &network.bridge, vif])?;
        cloud.wait_for_rules(network, 1)?;
        bare.push(command::add_rule(host, &network.bridge)?.as_secs_f64());
    }
    let line = |what: &str, samples: &Samples, figure: fn(&Samples) -> f64, floor: f64| {
        let line = Line::new("vif", what, Unit::Seconds, figure(samples), samples.len());
        line.beside(Who::Command, floor, bare.len(), Some("one bundle with the rule"))
    };
    let median = line(
        "VIF plugged to its rule, from the end of the hypervisor's command: median",
        &from_end,
        Samples::median,
        bare.median(),
    );
    let p99 = line("the same: p99", &from_end, Samples::p99, bare.p99());
    let goal = Goal::at_most(p99.daemon.value * 1e3, 5.0, "ms", "at p99");
    Ok(vec![
        median.spread(&from_end),
        p99.goal(goal),
        line("the same, from the start of that command: p99", &from_start, Samples::p99, bare.p99()),
    ])
}

/// Plugs all by one command; how long it takes to the last rule, from the command's end and from its start.
fn all_at_once(cloud: &Cloud, network: &Network, watch: &RuleWatch, names: &[String]) -> Result<(Duration, Duration)> {
    let host = cloud.node(1)?.host();
    let each = |verb: &str| {
        let words = names.iter().flat_map(|vif| ["--", verb, &network.bridge, vif].map(str::to_owned));
        words.collect::<Vec<String>>()
    };
    watch.so_far();
    let start = SystemTime::now();
    host.vsctl(each("add-port"))?;
    let end = SystemTime::now();
    let mut last = start;
    for _ in names {
        last = last.max(watch.next()?.at);
    }
    cloud.wait_for_rules(network, 1)?;
    host.vsctl(each("del-port"))?;
    cloud.wait_for_rules(network, 1)?;
    Ok((last.duration_since(end).unwrap_or_default(), last.duration_since(start).unwrap_or_default()))
}

/// Counts flows against tunnels, ours and those of the plugin's commands.
pub fn flows(scale: &Scale) -> Result<Found> {
    const VIFS: usize = 5;
    let mut ground = Ground::new("flows")?;
    let host = ground.host()?;
    let vifs: Vec<String> = (0..VIFS).map(|n| format!("vif{n}.0")).collect();
    make_devices(&host, &vifs)?;
    ground.turn(Who::Daemon)?;
    let whole = rows::Network::new("xapi7001", 7001, scale.network);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for share in [0, 1, 10, 100] {
        let count = scale.network * share / 100;
        let part = rows::Network { tunnels: whole.tunnels[..count].to_vec(), ..whole.clone() };
        crate::progress(&format!("flows with {} tunnels", grouped(count)));
        if share > 0 {
            // The VIFs are there from the second round on: a set-up counts its first flows.
            crate::contender::daemon::set_up(&ground.cloud, &part)?;
        } else {
            ground.set_up(Who::Daemon, &part)?;
            vifs.iter().try_for_each(|vif| host.vsctl(["add-port", &whole.bridge, vif]).map(drop))?;
        }
        let network = Network { bridge: whole.bridge.clone(), key: whole.key.into(), ipv6: Ipv6Policy::Drop };
        ground.cloud.wait_for_rules(&network, 1)?;
        ours.push((count, count_flows(&host, &whole.bridge)?));
    }
    ground.turn(Who::Plugin)?;
    let few = rows::Network::new("others7002", 7002, scale.plugin_rounds.min(10));
    plugin::set_up_bridge(&host, &few)?;
    theirs.push((0, count_flows(&host, &few.bridge)?));
    for (n, tunnel) in few.tunnels.iter().enumerate() {
        ground.add(Who::Plugin, &few.bridge, tunnel)?;
        theirs.push((n + 1, count_flows(&host, &few.bridge)?));
    }
    report_flows(&ours, &theirs, VIFS, &few.tunnels)
}

fn report_flows(ours: &[(usize, usize)], theirs: &[(usize, usize)], vifs: usize, made: &[Tunnel]) -> Result<Found> {
    let (last, theirs_first) = (ours.last().context("counts")?, theirs.first().context("counts")?);
    let each = (theirs.last().context("counts")?.1 - theirs_first.1) / made.len().max(1);
    ensure!(theirs.iter().all(|(n, flows)| *flows == theirs_first.1 + n * each), "the plugin's flows: {theirs:?}");
    let extended = theirs_first.1 + last.0 * each;
    // Counts are small.
    #[allow(clippy::cast_precision_loss)]
    let real = |count: usize| count as f64;
    let most = ours.iter().map(|(_, flows)| *flows).max().unwrap_or_default();
    let what = format!("flows of a bridge with {} tunnels and {vifs} VIFs", grouped(last.0));
    let note = format!("{each} for each tunnel, counted up to {}, without the VIFs'", made.len());
    let line = Line::new("flows", what, Unit::Flows, real(last.1), ours.len());
    let line = line.beside(Who::Plugin, real(extended), theirs.len(), Some(&note));
    let goal =
        Goal::at_most(real(most.saturating_sub(vifs)), 10.0, "flows", "beside the VIFs', with any number of tunnels");
    let points = |counts: &[(usize, usize)]| counts.iter().map(|(n, flows)| (real(*n), real(*flows))).collect();
    let curve = |name: &str, points| Curve { plot: Plot::Flows, name: name.into(), points };
    // On a logarithmic scale what grows evenly is no straight line: many points.
    let counted = theirs.len();
    let grown = (1..=CURVE_POINTS).map(|n| last.0 * n / CURVE_POINTS).filter(|tunnels| *tunnels >= counted);
    let theirs =
        [theirs, &grown.map(|tunnels| (tunnels, theirs_first.1 + tunnels * each)).collect::<Vec<_>>()].concat();
    let curves = vec![curve(Who::Daemon.label(), points(ours)), curve(Who::Plugin.label(), points(&theirs))];
    Ok(Found { lines: vec![line.goal(goal)], curves })
}

/// All flows of a bridge but Open vSwitch's own.
fn count_flows(host: &Host, bridge: &str) -> Result<usize> {
    let flows = host.ofctl(["dump-flows", bridge])?;
    let flows = flows.lines().filter(|line| line.contains("actions=") && !line.contains("priority=0 "));
    Ok(flows.count())
}
