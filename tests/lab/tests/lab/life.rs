//! Hosts and VMs do what real ones do: switches die and come back, VMs move. And nothing is left of a lab.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::plain::{BRIDGE, mesh, vm_on};
use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_lab::{DEADLINE, Kind, Lab, Signal, VmSpec, output, remove_leftovers, run, wait_until};

#[test]
fn traffic_is_back_as_soon_as_a_killed_switch_is() -> Result<()> {
    let lab = mesh("restart", 2, 1, true)?;
    let (host, a) = (lab.host(2)?, vm_on(&lab, 1, 1)?);
    host.kill_vswitchd();
    ensure!(host.vswitchd_pid().is_none());
    lab.deliver(&a, Kind::Broadcast)?.expect_nowhere()?;
    host.start_vswitchd()?;
    lab.deliver(&a, Kind::Broadcast)?.expect_once()?;
    host.restart_vswitchd()?;
    lab.deliver(&a, Kind::Broadcast)?.expect_once()?;
    host.pause_vswitchd()?;
    lab.deliver(&a, Kind::Broadcast)?.expect_nowhere()?;
    host.resume_vswitchd()
}

#[test]
fn a_killed_database_comes_back() -> Result<()> {
    let lab = mesh("database", 2, 1, true)?;
    let (host, a) = (lab.host(1)?, vm_on(&lab, 1, 1)?);
    host.kill_ovsdb();
    // The userspace datapath forwards in the thread that waits for the database's lock: without database, no traffic.
    wait_until("the switch to miss its database", DEADLINE, || lab.deliver(&a, Kind::Broadcast)?.expect_nowhere())?;
    ensure!(host.vsctl(["list-br"]).is_err());
    host.start_ovsdb()?;
    ensure!(host.vsctl(["list-br"])?.contains(BRIDGE));
    lab.deliver(&a, Kind::Broadcast)?.expect_once()
}

#[test]
fn a_vm_moves_to_another_host() -> Result<()> {
    let lab = mesh("move", 2, 1, true)?;
    let (a, b) = (vm_on(&lab, 1, 1)?, vm_on(&lab, 2, 1)?);
    a.ping(b.ip(), 3)?.expect_no_loss()?;
    a.migrate(&lab.host(2)?, BRIDGE, "vif9.0")?;
    ensure!(a.host().name() == "h2" && a.vif() == "vif9.0");
    // The switch forwards a few more frames by its cached flows, to where the VM was.
    wait_until("the switch to follow", DEADLINE, || a.ping(b.ip(), 3)?.expect_no_loss())?;
    lab.deliver(&b, Kind::Broadcast)?.expect_once()?;
    a.destroy()?;
    ensure!(lab.vm(a.name()).is_err());
    lab.deliver(&b, Kind::Broadcast)?.expect_nowhere()
}

#[test]
fn a_vm_can_have_ipv6() -> Result<()> {
    let lab = mesh("ipv6", 2, 0, true)?;
    let spec = |number: u16| VmSpec::numbered(number).ipv6([0xfd00, 0, 0, 0, 0, 0, 0, number].into());
    let a = lab.host(1)?.plug_vm(BRIDGE, "vif1.0", spec(1))?;
    let b = lab.host(2)?.plug_vm(BRIDGE, "vif1.0", spec(2))?;
    let mut ping = a.command("ping");
    ping.args(["-6", "-c", "1", "-W", "5", "fd00::2"]);
    run(ping, DEADLINE)?;
    ensure!(b.ipv6().is_some());
    lab.deliver(&a, Kind::IPV6_ALL_NODES)?.expect_once()
}

#[test]
fn an_idle_vm_sends_nothing() -> Result<()> {
    let lab = mesh("idle", 1, 2, true)?;
    let (a, b) = (vm_on(&lab, 1, 1)?, vm_on(&lab, 1, 2)?);
    lab.deliver_all(&lab.every_flooded_kind())?;
    lab.deliver(&b, a.as_target())?.expect_once()?;
    let sent = run(
        {
            let mut cat = a.command("cat");
            cat.arg("/sys/class/net/eth0/statistics/tx_packets");
            cat
        },
        DEADLINE,
    )?;
    // What the test had it send, and nothing else: no answer, no discovery.
    ensure!(sent == Kind::FLOODED.len().to_string(), "{sent}");
    Ok(())
}

#[test]
fn hosts_and_the_fabric_talk_tcp() -> Result<()> {
    let lab = Lab::with_hosts("tcp", 1)?;
    let host = lab.host(1)?;
    let listener = host.enter(|| Ok(TcpListener::bind((host.ip(), 8443))?))?;
    let server = thread::spawn(move || -> Result<()> {
        let (mut client, _) = listener.accept()?;
        std::io::Write::write_all(&mut client, &[7; 200_000])?;
        Ok(())
    });
    let got = lab.fabric().enter(|| {
        let mut client = std::net::TcpStream::connect((host.ip(), 8443))?;
        let mut got = Vec::new();
        std::io::Read::read_to_end(&mut client, &mut got)?;
        Ok(got.len())
    })?;
    ensure!(got == 200_000);
    server.join().map_err(|_| anyhow!("the server panicked"))?
}

#[test]
fn a_daemon_is_owned() -> Result<()> {
    let lab = Lab::with_hosts("daemon", 1)?;
    let host = lab.host(1)?;
    let mut sh = host.command("sh");
    sh.args(["-c", "trap 'echo bye; exit 3' TERM; echo in $OVS_RUNDIR; while :; do sleep 0.01; done"]);
    let mut daemon = host.spawn("talker", sh)?;
    wait_until("its word", DEADLINE, || if daemon.log().contains("/h1\n") { Ok(()) } else { Err(daemon.log()) })?;
    ensure!(daemon.stop(DEADLINE)?.code() == Some(3));
    ensure!(daemon.log().ends_with("bye\n"));
    ensure!(daemon.signal(Signal::SIGHUP).is_err());
    let pid = {
        let mut sleep = host.command("sleep");
        sleep.arg("60");
        host.spawn("sleeper", sleep)?.pid()
    };
    ensure!(!fs::exists(format!("/proc/{pid}"))?);
    Ok(())
}

#[test]
fn nothing_is_left_after_the_end() -> Result<()> {
    let lab = mesh("end", 2, 1, true)?;
    let name = lab.name().to_owned();
    let mut sleep = lab.host(1)?.command("sleep");
    sleep.arg("60");
    let daemon = lab.host(1)?.spawn("sleeper", sleep)?;
    ensure!(traces_of(&name)?.len() > 5, "the search for traces does not find a running lab");
    lab.close()?;
    ensure!(traces_of(&name)?.is_empty(), "{:?}", traces_of(&name)?);
    drop(daemon);
    Ok(())
}

#[test]
fn nothing_is_left_after_a_panic() -> Result<()> {
    let (sender, name) = std::sync::mpsc::channel();
    let panicked = thread::spawn(move || {
        let lab = Lab::with_hosts("panic", 1).unwrap();
        sender.send(lab.name().to_owned()).unwrap();
        panic!("on purpose");
    });
    let name = name.recv()?;
    ensure!(panicked.join().is_err());
    ensure!(traces_of(&name)?.is_empty(), "{:?}", traces_of(&name)?);
    Ok(())
}

#[test]
fn nothing_is_left_after_kill_9() -> Result<()> {
    let (mut owner, lab) = start_owner()?;
    owner.kill()?;
    owner.wait()?;
    wait_for_no_trace_of(&lab)
}

#[test]
fn nothing_is_left_after_ctrl_c() -> Result<()> {
    let (mut owner, lab) = start_owner()?;
    let pid = owner.id().to_string();
    run(
        {
            let mut kill = Command::new("kill");
            kill.args(["-INT", &pid]);
            kill
        },
        DEADLINE,
    )?;
    ensure!(owner.wait()?.code() == Some(130));
    ensure!(traces_of(&lab)?.is_empty(), "{:?}", traces_of(&lab)?);
    Ok(())
}

#[test]
fn leftovers_are_removed_and_the_living_spared() -> Result<()> {
    let living = Lab::with_hosts("living", 1)?;
    // Of a process that cannot be: start time 1 tick after boot, number of this process.
    let dead = format!("ovlab-{}-1-1-dead", std::process::id());
    run(
        {
            let mut ip = Command::new("ip");
            ip.args(["netns", "add", &format!("{dead}-h1")]);
            ip
        },
        DEADLINE,
    )?;
    fs::create_dir(format!("/tmp/{dead}"))?;
    let removed = remove_leftovers()?;
    ensure!(!removed.contains(&living.name().to_owned()), "{removed:?}");
    // The same test of another run may be removing it too.
    wait_for_no_trace_of(&dead)?;
    living.host(1)?.vsctl(["list-br"])?;
    Ok(())
}

#[test]
fn an_unmet_requirement_is_named() -> Result<()> {
    let mut without_path = Command::new(env::current_exe()?);
    without_path.args(["--ignored", "--exact", "life::owner_of_a_lab"]).env("PATH", "/nowhere");
    let output = output(without_path, DEADLINE)?;
    ensure!(!output.status.success(), "a test that cannot run must fail");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(said.contains("no `ovs-vswitchd` in PATH: install the package openvswitch-switch"), "{said}");
    Ok(())
}

/// Not a test: the other process of the tests above. It makes a lab, says its name, and waits.
#[test]
#[ignore = "run by other tests as a process of its own"]
fn owner_of_a_lab() -> Result<()> {
    ovstunnel_lab::cleanup_on_signal()?;
    let lab = mesh("owner", 2, 1, true)?;
    println!("\nlab {}", lab.name());
    thread::sleep(Duration::from_secs(60));
    Ok(())
}

/// Starts [`owner_of_a_lab`] and returns it with the name of its lab.
fn start_owner() -> Result<(std::process::Child, String)> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--ignored", "--exact", "life::owner_of_a_lab", "--nocapture"]);
    let mut owner = command.stdout(Stdio::piped()).spawn()?;
    let stdout = owner.stdout.take().context("no standard output")?;
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let lab = lines.find_map(|line| line.strip_prefix("lab ").map(str::to_owned)).context("the owner made no lab")?;
    ensure!(!traces_of(&lab)?.is_empty());
    Ok((owner, lab))
}

fn wait_for_no_trace_of(lab: &str) -> Result<()> {
    wait_until(format!("the end of {lab}"), DEADLINE, || match traces_of(lab)? {
        traces if traces.is_empty() => Ok(()),
        traces => Err(anyhow!("{traces:?}")),
    })
}

/// Namespaces, files and processes with this lab's name in their name, path or command.
fn traces_of(lab: &str) -> Result<Vec<String>> {
    let mut traces = Vec::new();
    for folder in ["/run/netns", "/tmp"] {
        for entry in fs::read_dir(folder)? {
            traces.push(entry?.path().display().to_string());
        }
    }
    for entry in fs::read_dir("/proc")?.flatten() {
        // Processes may end while we look.
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        traces.push(format!("{}: {}", entry.path().display(), String::from_utf8_lossy(&command)));
    }
    traces.retain(|trace| trace.contains(lab));
    Ok(traces)
}
