//! The plugin program, and xapi's side, against daemons without a switch: hostile texts, no daemon, a daemon that hangs, and
//! hosts that edit one list of a pool at the same time. Needs no root.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::signal::Signal;
use ovstunnel_e2e::{Answered, Plugin, Pool, Simulated, network_uuid, request};
use ovstunnel_lab::wait_until;

/// Each function with arguments that are good, as far as the tests know them.
const GOOD: [(&str, &[(&str, &str)]); 4] = [
    (
        "setup_ovs_bridge",
        &[
            ("bridge", "xapi1"),
            ("key", "OVSTunnel1001"),
            ("xs_nw_uuid", "6f1a9c3e-0b7d-4c58-9c11-000000000001"),
            ("cs_host_id", "1"),
        ],
    ),
    (
        "create_tunnel",
        &[("bridge", "xapi1"), ("remote_ip", "198.51.100.2"), ("key", "1001"), ("from", "1"), ("to", "2")],
    ),
    ("destroy_tunnel", &[("bridge", "xapi1"), ("in_port", "t1001-1-9")]),
    ("destroy_ovs_bridge", &[("bridge", "xapi9"), ("cs_host_id", "1")]),
];

/// Names that would be good elsewhere.
const NO_NUMBERS: [&str; 10] = [
    "0",
    "null",
    "2147483648",
    "99999999999999999999",
    "1e3",
    "0x3e9",
    "OVSTunnel",
    "OVSTunnel0",
    "OVS-DR-VPC-Bridge",
    "OVS-DR-VPC-Bridge7",
];

/// What can stand in an argument.
fn hostile() -> Vec<String> {
    let words = [
        "",
        " ",
        ";",
        "; touch /nonexistent/x",
        "$(id)",
        "`id`",
        "a\nb",
        "\n",
        "\t",
        "\r\n",
        "--",
        "--help",
        "-1",
        "-- --if-exists del-br xapi1",
        "../",
        "../../etc/passwd",
        "/",
        ".",
        "..",
        "xapi1/..",
        "xapi1 xapi2",
        "xapi1,xapi2",
        "a=b",
        "external_ids:a=b",
        "\"",
        "'",
        "\\",
        "%s%n",
        "%2e%2e",
        "{}",
        "[]",
        "\u{e9}\u{4e2d}\u{1f600}",
        "\u{202e}",
        "\u{7f}\u{85}",
        "\u{1}\u{1b}[31m",
        "-2147483648",
        "OVSTunnel;",
        "<a>&lt;]]>",
    ];
    let mut all: Vec<String> = words.map(str::to_owned).to_vec();
    all.extend(["x", ";", "\u{e9}", "../"].map(|part| part.repeat(65_536 / part.len())));
    all
}

/// The body of an answer, after it its status.
fn get(daemon: &Simulated, path: &str) -> Result<String> {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-w", " %{http_code}", "--unix-socket"])
        .arg(daemon.socket())
        .arg(format!("http://localhost{path}"));
    ovstunnel_lab::run(curl, Duration::from_secs(20))
}

fn bridges(daemon: &Simulated) -> Result<String> {
    let answer = get(daemon, "/v1/bridges")?;
    ensure!(answer.ends_with(" 200"), "{answer}");
    Ok(answer)
}

#[test]
fn hostile_texts_in_every_argument_change_nothing() -> Result<()> {
    let pool = Pool::new(1, 1, "sim0")?;
    let daemon = Simulated::start(Some((&pool, 1, "10s")))?;
    let plugin = daemon.plugin()?;
    for (function, arguments) in &GOOD[..2] {
        ensure!(plugin.call(function, arguments)?.starts_with("SUCCESS:"), "{function}");
    }
    let (before, xapi_before) = (bridges(&daemon)?, pool.other_config(1)?);
    let mut tried = 0;
    for (function, good) in GOOD {
        for (n, (name, _)) in good.iter().enumerate() {
            let numbers = NO_NUMBERS.iter().filter(|_| matches!(*name, "key" | "remote_ip" | "xs_nw_uuid"));
            for text in hostile().into_iter().chain(numbers.map(|text| (*text).to_owned())) {
                let mut arguments = good.to_vec();
                arguments[n].1 = &text;
                let told = plugin.call(function, &arguments)?;
                // Old servers leave this one out; an empty one is none.
                if !(text.is_empty() && *name == "cs_host_id" && function == "destroy_ovs_bridge") {
                    let start = format!("FAILURE:INVALID_ARGUMENT {name} ");
                    ensure!(told.starts_with(&start), "{function} {name}={text:.80?}: {told:.200}");
                }
                ensure!(told.chars().count() < 600 && !told.contains(char::is_control), "{told:?}");
                tried += 1;
            }
            assert_eq!(
                (bridges(&daemon)?, pool.other_config(1)?),
                (before.clone(), xapi_before.clone()),
                "{function} {name}"
            );
            let left_out: Vec<_> = good.iter().copied().filter(|(other, _)| other != name).collect();
            if (function, *name) != ("destroy_ovs_bridge", "cs_host_id") {
                plugin.expect(function, &left_out, &format!("FAILURE:INVALID_ARGUMENT {name} is required"))?;
            }
        }
    }
    ensure!(tried > 500, "{tried}");
    assert_eq!(pool.hosts(1)?, ["1"]);
    // What is not known is left aside, whatever it is.
    let mut more = GOOD[1].1.to_vec();
    let nasty = hostile().concat().chars().take(100_000).collect::<String>();
    let cut = nasty.chars().take(40_000).collect::<String>();
    more.extend([("cloudstack-network-id", cut.as_str()), ("../x;", "y")]);
    plugin.expect("create_tunnel", &more, "SUCCESS:t1001-1-2")?;
    let answers = |line: &&str| line.contains("request{id=") && line.contains("path=/v1/plugin/create_tunnel}");
    ensure!(daemon.log().lines().filter(answers).any(|line| line.contains("SUCCESS:t1001-1-2")), "{}", daemon.log());
    let longest = daemon.log().lines().map(str::len).max().unwrap_or_default();
    ensure!(longest < 2_000, "a line of the log has {longest} bytes");
    Ok(())
}

#[test]
fn no_request_and_no_function_get_failure_and_status_0() -> Result<()> {
    let daemon = Simulated::start(None)?;
    let plugin = daemon.plugin()?;
    for function in
        ["nothing", "SETUP_OVS_BRIDGE", "getlabel", "..", "../bridges", "a b", "f?dry_run=true", "f;", "é", "%2e"]
    {
        let unknown = ["UNKNOWN_XENAPI_PLUGIN_FUNCTION", function].map(str::to_owned).to_vec();
        assert_eq!(plugin.raw(&request(function, &[])?)?, Answered::Failure(unknown));
    }
    let long = "f".repeat(65_536);
    for text in ["", "x", "<", "<methodCall>", "--socket", "<methodCall><methodName>f</methodName></methodCall>", &long]
    {
        let Answered::Failure(description) = plugin.raw(text)? else { return Err(anyhow!("a success of {text:.80?}")) };
        assert_eq!((description.len(), description[0].as_str()), (4, "XENAPI_PLUGIN_FAILURE"), "{description:?}");
        ensure!(description.iter().all(|detail| detail.len() < 2_000));
    }
    for arguments in [&[][..], &["a", "b"], &["--help", "x"]] {
        let output = ovstunnel_lab::output(plugin.command(arguments), Duration::from_secs(20))?;
        ensure!(matches!(Answered::read(&output)?, Answered::Failure(_)), "{arguments:?}");
    }
    // Distributed routing is none of this, and says so.
    let vpc =
        [("bridge", "xapi1"), ("key", "OVS-DR-VPC-Bridge7"), ("xs_nw_uuid", &network_uuid(1)), ("cs_host_id", "1")];
    ensure!(plugin.call("setup_ovs_bridge", &vpc)?.starts_with("FAILURE:INVALID_ARGUMENT key "));
    Ok(())
}

/// Linux takes 128 KiB for one argument, its final NUL included: xapi itself fails with more, and the plugin never sees it.
#[test]
fn one_argument_is_as_long_as_linux_lets_it_be() -> Result<()> {
    const MAX_ARG_STRLEN: usize = 32 * 4096;
    let daemon = Simulated::start(None)?;
    let plugin = daemon.plugin()?;
    let empty = request("destroy_ovs_bridge", &[("bridge", "xapi1"), ("x", "")])?.len();
    let filled = |length: usize| request("destroy_ovs_bridge", &[("bridge", "xapi1"), ("x", &"y".repeat(length))]);
    let longest = filled(MAX_ARG_STRLEN - 1 - empty)?;
    assert_eq!(longest.len(), MAX_ARG_STRLEN - 1);
    assert_eq!(plugin.raw(&longest)?, Answered::Value("SUCCESS:xapi1".into()));
    let longer = filled(MAX_ARG_STRLEN - empty)?;
    let error = plugin.command(&[&longer]).output().err().context("it was started")?;
    assert_eq!(error.kind(), std::io::ErrorKind::ArgumentListTooLong, "{error}");
    Ok(())
}

#[test]
fn an_absent_or_hanging_daemon_is_told_at_once() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let socket = dir.path().join("o.sock");
    let plugin = Plugin::beside(&socket)?;
    let told = plugin.call("destroy_ovs_bridge", &[("bridge", "xapi1")])?;
    ensure!(told.starts_with("FAILURE:UNAVAILABLE ") && told.contains("No such file"), "{told}");

    let hanging = || -> Result<String> {
        let mut command = plugin.command(&[&request("destroy_ovs_bridge", &[("bridge", "xapi1")])?]);
        command.env("OVSTUNNEL_TIMEOUT", "1");
        match Answered::read(&ovstunnel_lab::output(command, Duration::from_secs(30))?)? {
            Answered::Value(value) => Ok(value),
            Answered::Failure(description) => Err(anyhow!("{description:?}")),
        }
    };
    let listener = UnixListener::bind(&socket)?;
    let start = Instant::now();
    let told = hanging()?;
    ensure!(told.starts_with("FAILURE:OUTCOME_UNKNOWN no answer "), "{told}");
    ensure!(start.elapsed() >= Duration::from_secs(1), "it gave up before its time");

    let answers =
        ["220 mail.example ESMTP\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "HTTP/1.1 500 x\r\n\r\n", ""];
    let stranger = thread::spawn(move || {
        // The first one is the connection that was not answered.
        let _ = listener.accept();
        for answer in answers {
            let Ok((stream, _)) = listener.accept() else { return };
            let head =
                BufReader::new(&stream).lines().take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()));
            let _ = (head.count(), (&stream).write_all(answer.as_bytes()));
        }
    });
    for answer in answers {
        let told = hanging()?;
        ensure!(
            told.starts_with("FAILURE:UNAVAILABLE ") || told.starts_with("FAILURE:OUTCOME_UNKNOWN "),
            "{answer:?}: {told}"
        );
    }
    stranger.join().map_err(|_| anyhow!("the stranger"))?;

    let daemon = Simulated::start(None)?;
    let plugin = daemon.plugin()?;
    daemon.signal(Signal::SIGSTOP)?;
    let mut command = plugin.command(&[&request("is_xcp", &[])?]);
    command.env("OVSTUNNEL_TIMEOUT", "1");
    let answered = Answered::read(&ovstunnel_lab::output(command, Duration::from_secs(30))?)?;
    ensure!(
        matches!(&answered, Answered::Value(value) if value.starts_with("FAILURE:OUTCOME_UNKNOWN ")),
        "{answered:?}"
    );
    daemon.signal(Signal::SIGCONT)
}

fn setup<'a>(network: &'a str, host: &'a str, bridge: &'a str) -> [(&'a str, &'a str); 4] {
    let key = if bridge == "xapi2" { "OVSTunnel1002" } else { "OVSTunnel1001" };
    [("bridge", bridge), ("key", key), ("xs_nw_uuid", network), ("cs_host_id", host)]
}

/// The hosts of a pool set one network up and take it away, all at the same time, again and again.
#[test]
fn hosts_that_edit_one_list_at_once_lose_nobody() -> Result<()> {
    const HOSTS: usize = 3;
    const ROUNDS: usize = 8;
    let pool = Pool::new(HOSTS, 1, "sim0")?;
    pool.write(1, "ovs-host-setup", "100,200")?;
    pool.write(1, "somebody", "else's")?;
    let daemons: Vec<Simulated> =
        (1..=HOSTS).map(|n| Simulated::start(Some((&pool, n, "10s")))).collect::<Result<_>>()?;
    let plugins: Vec<Plugin> = daemons.iter().map(Simulated::plugin).collect::<Result<_>>()?;
    let network = network_uuid(1);
    let on_all = |call: &(dyn Fn(&Plugin, &str) -> Result<()> + Sync)| -> Result<()> {
        thread::scope(|scope| {
            let start = |(n, plugin)| scope.spawn(move || call(plugin, &format!("{}", n + 1)));
            let calls: Vec<_> = plugins.iter().enumerate().map(start).collect();
            calls.into_iter().try_for_each(|call| call.join().map_err(|_| anyhow!("a call"))?)
        })
    };
    for round in 0..ROUNDS {
        if round % 2 == 1 {
            // A lock whose holder died, which all pass by at once.
            pool.write(1, "ovstunnel-lock-3", "1000/dead")?;
        }
        on_all(&|plugin, host| plugin.expect("setup_ovs_bridge", &setup(&network, host, "xapi1"), "SUCCESS:xapi1"))?;
        assert_eq!(pool.hosts(1)?, ["1", "100", "2", "200", "3"], "round {round}");
        // The odd ones leave and the even ones set up again, which changes nothing.
        on_all(&|plugin, host| match host {
            "2" => plugin.expect("setup_ovs_bridge", &setup(&network, host, "xapi1"), "SUCCESS:xapi1"),
            _ => plugin.expect("destroy_ovs_bridge", &[("bridge", "xapi1"), ("cs_host_id", host)], "SUCCESS:xapi1"),
        })?;
        assert_eq!(pool.hosts(1)?, ["100", "2", "200"], "round {round}");
    }
    let config: Vec<String> = pool.other_config(1)?.into_keys().collect();
    assert_eq!(config, ["is-ovs-tun-network", "ovs-host-setup", "somebody"], "no lock is left");
    for daemon in &daemons {
        ensure!(!daemon.log().contains("was not edited"), "{}", daemon.log());
    }
    Ok(())
}

#[test]
fn a_dead_hosts_lock_is_passed_by_a_living_ones_not() -> Result<()> {
    let pool = Pool::new(1, 2, "sim0")?;
    let daemon = Simulated::start(Some((&pool, 1, "500ms")))?;
    let plugin = daemon.plugin()?;
    let millis = |after: u64| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        anyhow::Ok(format!("{}/0a1b2c3d-0000-4000-8000-000000000000", now.as_millis() + u128::from(after)))
    };
    pool.write(1, "ovs-host-setup", "9")?;
    pool.write(1, "ovstunnel-lock-1", "1000/dead")?;
    pool.write(1, "ovstunnel-lock-2", "1001/dead too")?;
    plugin.expect("setup_ovs_bridge", &setup(&network_uuid(1), "1", "xapi1"), "SUCCESS:xapi1")?;
    let config = pool.other_config(1)?;
    assert_eq!((pool.hosts(1)?, config.len()), (vec!["1".to_owned(), "9".to_owned()], 2), "{config:?}");

    // One that outlives our patience: the tunnel's bridge is there all the same, and the log says why the list is not.
    pool.write(2, "ovs-host-setup", "9")?;
    pool.write(2, "ovstunnel-lock-1", &millis(600_000)?)?;
    plugin.expect("setup_ovs_bridge", &setup(&network_uuid(2), "1", "xapi2"), "SUCCESS:xapi2")?;
    let config = pool.other_config(2)?;
    ensure!(pool.hosts(2)? == ["9"] && config.contains_key("ovstunnel-lock-1"), "{config:?}");
    ensure!(daemon.log().contains("was not edited") && daemon.log().contains("kept the lock"), "{}", daemon.log());
    // And one that ends while we wait.
    pool.write(2, "ovstunnel-lock-1", &millis(700)?)?;
    plugin.expect("setup_ovs_bridge", &setup(&network_uuid(2), "1", "xapi2"), "SUCCESS:xapi2")?;
    assert_eq!((pool.hosts(2)?, pool.other_config(2)?.len()), (vec!["1".to_owned(), "9".to_owned()], 2));
    Ok(())
}

#[test]
fn an_xe_that_fails_or_hangs_is_a_warning_and_no_failure() -> Result<()> {
    let pool = Pool::new(1, 2, "sim0")?;
    let daemon = Simulated::start(Some((&pool, 1, "1s")))?;
    let (plugin, network) = (daemon.plugin()?, network_uuid(1));
    for (mode, words) in [("fails", "Cannot reach the server"), ("hangs", "did not end and was killed")] {
        pool.set_mode(1, mode)?;
        plugin.expect("setup_ovs_bridge", &setup(&network, "1", "xapi1"), "SUCCESS:xapi1")?;
        plugin.expect("create_tunnel", GOOD[1].1, "SUCCESS:t1001-1-2")?;
        plugin.expect("destroy_ovs_bridge", &[("bridge", "xapi1"), ("cs_host_id", "1")], "SUCCESS:xapi1")?;
        for function in ["is_xcp", "getLabel"] {
            let told = plugin.call(function, &[])?;
            ensure!(told.starts_with("FAILURE:UNAVAILABLE ") && told.contains(words), "{mode}: {told}");
        }
        // A device needs no xapi; what is none could be a network of its, so nobody knows.
        ensure!(get(&daemon, "/v1/interfaces/sim0")?.ends_with(" 200"));
        // Another name each time: that xapi did not answer is remembered for a moment.
        let told = get(&daemon, &format!("/v1/interfaces/{mode}%20network"))?;
        ensure!(told.ends_with(" 503") && told.contains(words), "{mode}: {told}");
        let log = daemon.log();
        let warned = log.lines().filter(|line| line.contains("WARN") && line.contains("was not edited")).count();
        ensure!(log.contains(words) && warned >= 2, "{log}");
        ensure!(pool.other_config(1)?.is_empty(), "{:?}", pool.other_config(1)?);
    }
    // A network that xapi does not know, and a slow one.
    pool.set_mode(1, "")?;
    let unknown = "00000000-0000-4000-8000-000000000000";
    plugin.expect("setup_ovs_bridge", &setup(unknown, "1", "xapi1"), "SUCCESS:xapi1")?;
    ensure!(daemon.log().contains("uuid you supplied was invalid"));
    pool.set_mode(1, "slow")?;
    plugin.expect("setup_ovs_bridge", &setup(&network, "1", "xapi1"), "SUCCESS:xapi1")?;
    assert_eq!(pool.hosts(1)?, ["1"]);
    Ok(())
}

#[test]
fn the_host_is_what_xapi_says_it_is() -> Result<()> {
    let pool = Pool::new(1, 1, "sim0")?;
    let daemon = Simulated::start(Some((&pool, 1, "10s")))?;
    let plugin = daemon.plugin()?;
    plugin.expect("is_xcp", &[], "XCP")?;
    plugin.expect("getLabel", &[], "Pool-wide network")?;
    pool.set_platform("XenServer")?;
    ensure!(plugin.call("is_xcp", &[])? != "XCP");
    ensure!(get(&daemon, "/v1/interfaces/Pool-wide%20network")?.contains("\"device\":\"sim0\""));
    let nowhere = Pool::new(1, 1, "nowhere1")?;
    let daemon = Simulated::start(Some((&nowhere, 1, "10s")))?;
    let told = daemon.plugin()?.call("getLabel", &[])?;
    ensure!(told.starts_with("FAILURE:UNAVAILABLE no PIF "), "{told}");
    let plain = Simulated::start(None)?;
    for function in ["is_xcp", "getLabel"] {
        let told = plain.plugin()?.call(function, &[])?;
        ensure!(told.starts_with("FAILURE:NOT_SUPPORTED ") && told.contains("[xapi]"), "{told}");
    }
    Ok(())
}

/// More networks at once than edits: all are noted.
#[test]
fn a_host_that_sets_up_many_networks_at_once_notes_them_all() -> Result<()> {
    const NETWORKS: u16 = 24;
    let pool = Pool::new(1, NETWORKS, "sim0")?;
    let daemon = Simulated::start(Some((&pool, 1, "10s")))?;
    let plugin = daemon.plugin()?;
    let set_up = |n: u16| {
        let (bridge, key, network) = (format!("xapi{n}"), format!("{}", 1000 + n), network_uuid(n));
        let arguments = [("bridge", &*bridge), ("key", &*key), ("xs_nw_uuid", &*network), ("cs_host_id", "1")];
        plugin.expect("setup_ovs_bridge", &arguments, &format!("SUCCESS:{bridge}"))
    };
    thread::scope(|scope| {
        let calls: Vec<_> = (1..=NETWORKS)
            .map(|n| {
                scope.spawn({
                    let set_up = &set_up;
                    move || set_up(n)
                })
            })
            .collect();
        calls.into_iter().try_for_each(|call| call.join().map_err(|_| anyhow!("a call"))?)
    })?;
    for n in 1..=NETWORKS {
        assert_eq!((pool.hosts(n)?, pool.other_config(n)?.len()), (vec!["1".to_owned()], 2), "network {n}");
    }
    Ok(())
}

/// A caller that goes away in the middle of an edit does not leave it half done.
#[test]
fn an_edit_is_carried_out_although_its_caller_has_gone() -> Result<()> {
    let pool = Pool::new(1, 1, "sim0")?;
    let daemon = Simulated::start(Some((&pool, 1, "10s")))?;
    pool.set_mode(1, "slow")?;
    let network = network_uuid(1);
    let mut command = daemon.plugin()?.command(&[&request("setup_ovs_bridge", &setup(&network, "1", "xapi1"))?]);
    let mut child = command.stdout(std::process::Stdio::null()).spawn()?;
    wait_until("the edit to begin", Duration::from_secs(20), || {
        let config = pool.other_config(1)?;
        if config.contains_key("ovstunnel-lock-1") { Ok(()) } else { Err(anyhow!("{config:?}")) }
    })?;
    child.kill()?;
    child.wait()?;
    wait_until("the edit to end", Duration::from_secs(20), || {
        let config = pool.other_config(1)?;
        let done =
            config.get("ovs-host-setup").is_some_and(|list| list == "1") && !config.contains_key("ovstunnel-lock-1");
        if done { Ok(()) } else { Err(anyhow!("{config:?}")) }
    })
}
