//! The two small programs that xapi and udev start: what a run of theirs takes beyond the daemon's own work.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Cloud, Helper, Network, Plugin, make_devices, request};
use serde_json::json;

use crate::ground::config;
use crate::report::{Found, Goal, Line, Unit, Who};
use crate::scale::Scale;
use crate::stats::Samples;

const VIF: &str = "vif1.0";

const DEADLINE: Duration = Duration::from_secs(30);

/// The tunnel that the plugin is asked for again and again: it is there already.
const TUNNEL: [(&str, &str); 5] =
    [("bridge", "xapi1"), ("remote_ip", "192.0.2.99"), ("key", "1001"), ("from", "1"), ("to", "99")];

pub fn run(scale: &Scale) -> Result<Found> {
    let cloud = Cloud::with_config("programs", 1, config())?;
    let (node, network) = (cloud.node(1)?, Network::numbered(1, Ipv6Policy::Drop));
    cloud.join(&network, 1, &[1])?;
    make_devices(node.host(), &[VIF.to_owned()])?;
    node.host().vsctl(["add-port", &network.bridge, VIF])?;
    cloud.wait_for_rules(&network, 1)?;
    crate::progress("the plugin's and udev's programs");
    // Beside the socket, not inside the host's namespace: to enter that costs a process.
    let (plugin, argument) = (Plugin::beside(&node.socket())?, request("create_tunnel", &TUNNEL)?);
    plugin.call("create_tunnel", &TUNNEL)?;
    let body = json!(TUNNEL.iter().copied().collect::<std::collections::BTreeMap<_, _>>()).to_string();
    let helper = Helper::on(node)?;
    let [program, options @ ..] = helper.argv() else { anyhow::bail!("the helper has no program") };
    let vif = || {
        let mut command = Command::new(program);
        command.args(options).args(["online", VIF]);
        command
    };
    let ask_plugin = || ask(&node.socket(), "POST", "/v1/plugin/create_tunnel", &body);
    let ask_vif = || ask(&node.socket(), "PUT", &format!("/v1/vifs/{VIF}"), "");
    let mut lines = vec![
        compare("ovstunnel, for a tunnel that is there", scale, || plugin.command(&[&argument]), ask_plugin)?,
        compare("ovstunnel-vif, for a VIF whose rule is there", scale, vif, ask_vif)?,
    ];
    drop(cloud);
    lines.extend(super::cloudstack::lines(scale)?);
    lines.extend(super::acting::lines(scale)?);
    Ok(Found { lines, curves: vec![] })
}

/// Runs a program, asks the daemon the same directly, and runs one that does nothing, in turn.
fn compare(
    what: &str,
    scale: &Scale,
    program: impl Fn() -> Command,
    ask: impl Fn() -> Result<Duration>,
) -> Result<Line> {
    let (mut runs, mut asked, mut nothing, mut beyond) =
        (Samples::default(), Samples::default(), Samples::default(), Samples::default());
    for _ in 0..scale.rounds {
        let (run, direct) = (timed(program())?, ask()?.as_secs_f64());
        runs.push(run);
        asked.push(direct);
        beyond.push(run - direct);
        nothing.push(timed(Command::new("true"))?);
    }
    let line = Line::new("programs", what, Unit::Seconds, runs.median(), runs.len());
    let line = line.beside(Who::Command, nothing.median(), nothing.len(), Some("a run of `true`"));
    let line = line.beside(Who::Command, asked.median(), asked.len(), Some("the daemon asked directly"));
    Ok(line.goal(Goal::at_most(beyond.median() * 1e3, 5.0, "ms", "beyond the daemon's own work")))
}

fn timed(command: Command) -> Result<f64> {
    let start = Instant::now();
    let output = ovstunnel_lab::output(command, DEADLINE)?;
    let took = start.elapsed();
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && !said.contains("FAILURE"), "{}: {said}", output.status);
    Ok(took.as_secs_f64())
}

/// One request on the daemon's Unix socket, on a connection of its own as the programs make it; how long it takes.
fn ask(socket: &Path, method: &str, path: &str, body: &str) -> Result<Duration> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let start = Instant::now();
    let mut stream = UnixStream::connect(socket).with_context(|| format!("{}", socket.display()))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let took = start.elapsed();
    ensure!(answer.starts_with("HTTP/1.1 200"), "{method} {path}: {answer}");
    Ok(took)
}
