//! The Ansible role of the examples on four machines of the lab, a manager and three hosts: a zone is made from nothing, the second run changes nothing, a dry run never
//! does, what is wrong is refused by name; and the manager that it has made sets up a network, whose VMs talk on through all of it.

use anyhow::{Context, Result, ensure};
use ovstunnel_lab::{Host, Pinger, VmSpec};
use ovstunnel_package::{Built, Site};

/// The last machine is the manager's.
const HOSTS: usize = 3;
const MANAGER: usize = HOSTS + 1;
const CONFIG: &str = "/etc/ovstunnel/ovstunneld.toml";

fn inventory(site: &Site, package: &str) -> String {
    let hosts = site.lab().hosts();
    let line = |host: &Host| format!("{} address={} ovstunnel_rack=r{}\n", host.name(), host.ip(), host.number());
    let (manager, lines) = (&hosts[HOSTS], hosts[..HOSTS].iter().map(line));
    format!(
        "[ovstunnel_manager]\nmanager1 ansible_host={} address={}\n[ovstunnel_hosts]\n{}[all:vars]\nansible_become=false\n\
         ansible_python_interpreter=/usr/bin/python3\novstunnel_package={package}\novstunnel_mode=manage\n\
         ovstunnel_settings={{'ovs': {{'datapath_type': 'netdev'}}, 'network': {{'vif_prefixes': ['vif', 'tap']}}}}\n\
         ovstunnel_manager_settings={{'sdn.ovs.controller': True, 'sdn.ovs.default_label': 'br-phy', 'tls': {{'clients': [{{'name': 'cloud', \
         'role': 'operator'}}]}}}}\n",
        manager.name(),
        manager.ip(),
        lines.collect::<String>(),
    )
}

#[test]
#[ignore = "takes long: scripts/test --long"]
fn a_zone_by_ansible_and_its_network() -> Result<()> {
    let (site, built) = (Site::new("ansible", MANAGER)?, Built::find()?);
    site.write_inventory(&inventory(&site, &built.path(&built.deb).display().to_string()))?;

    let dry = site.play(["--check", "--diff"])?;
    assert_eq!(dry.changed()?, u32::try_from(MANAGER)?, "it tells that packages would be installed: {}", dry.said);
    ensure!(
        (1..=MANAGER).all(|number| !site.machine(number).has("/usr/sbin/ovstunneld")),
        "a dry run installs nothing"
    );

    let first = site.play([""; 0])?;
    ensure!(first.changed()? > 20, "{}", first.said);
    ensure!(!first.said.contains("token create"), "what it says has no token: {}", first.said);
    for options in [&[][..], &["--check", "--diff"]] {
        let again = site.play(options)?;
        assert_eq!(again.changed()?, 0, "a later run {options:?} changes nothing: {}", again.said);
    }
    all_are_in_the_zone(&site)?;
    let pings = a_network_is_there(&site)?;
    what_is_wrong_is_refused_by_name(&site)?;
    a_setting_is_changed_on_all_hosts(&site)?;
    pings.stop()?.expect_no_loss()
}

fn all_are_in_the_zone(site: &Site) -> Result<()> {
    let manager = site.machine(MANAGER);
    let hosts = || -> Result<Vec<String>> {
        let told: serde_json::Value =
            serde_json::from_str(&manager.run(["ovstunnelctl", "--json", "zone", "hosts"])?)?;
        let word = |host: &serde_json::Value, key: &str| host[key].as_str().unwrap_or_default().to_owned();
        let line = |host| ["name", "mode", "rack", "state"].map(|key| word(host, key)).join(" ");
        Ok(told["hosts"].as_array().context("a list")?.iter().map(line).collect())
    };
    let wanted = ["h1 manage r1 ok", "h2 manage r2 ok", "h3 manage r3 ok"];
    let all_are = || hosts().is_ok_and(|hosts| hosts == wanted);
    manager.wait_until("all hosts to be in order", all_are).with_context(|| format!("{:?}", hosts()))
}

/// The manager makes a network on all hosts; a VM on the first and one on the last talk until the end.
fn a_network_is_there(site: &Site) -> Result<Pinger> {
    let zone = |words: &str| site.machine(MANAGER).run(["ovstunnelctl", "zone"].into_iter().chain(words.split(' ')));
    zone("physical-network add physnet1 --vnet 1001-1010")?;
    zone("network add web --physical-network physnet1 --key 1001")?;
    for number in 1..=HOSTS {
        zone(&format!("nic prepare web nic{number} --on h{number}"))?;
    }
    zone("wait web --for 1m")?;
    let (first, last) = (site.lab().host(1)?, site.lab().host(HOSTS)?);
    let a = first.plug_vm("ovt1001", "vif1.0", VmSpec::numbered(11).network("ovt1001"))?;
    let b = last.plug_vm("ovt1001", "vif3.0", VmSpec::numbered(31).network("ovt1001"))?;
    site.lab().announce_all()?;
    a.ping(b.ip(), 3)?.expect_no_loss()?;
    a.start_ping(b.ip(), std::time::Duration::from_millis(50))
}

fn what_is_wrong_is_refused_by_name(site: &Site) -> Result<()> {
    let state = || -> Result<Vec<String>> {
        let of = |number| Ok([site.machine(number).read(CONFIG)?, site.machine(number).property("MainPID")?].concat());
        (1..=HOSTS).map(of).collect()
    };
    let before = state()?;
    for (variable, words) in [
        ("{\"ovstunnel_mode\": \"everything\"}", &["ovstunnel_mode", "everything", "observe"][..]),
        ("{\"ovstunnel_settings\": {\"network\": {\"ipv6\": \"maybe\"}}}", &["ipv6", "maybe", "drop"]),
        ("{\"ovstunnel_manager_settings\": {\"events\": {\"keep\": \"soon\"}}}", &["keep", "soon"]),
        ("{\"ovstunnel_package\": \"/nowhere.deb\"}", &["/nowhere.deb"]),
    ] {
        let refused = site.play(["-e", variable])?;
        ensure!(refused.changed().is_err(), "{variable} is taken: {}", refused.said);
        ensure!(words.iter().all(|word| refused.said.contains(word)), "{variable} is not named: {}", refused.said);
        assert_eq!(state()?, before, "{variable} has changed something");
    }
    Ok(())
}

fn a_setting_is_changed_on_all_hosts(site: &Site) -> Result<()> {
    let settings =
        "{\"ovstunnel_settings\": {\"ovs\": {\"datapath_type\": \"netdev\"}, \"log\": {\"format\": \"json\"}}}";
    let dry = site.play(["--check", "-e", settings])?;
    assert_eq!(dry.changed()?, 2 * u32::try_from(HOSTS)?, "file and restart of each: {}", dry.said);
    let first = site.machine(1).property("MainPID")?;
    ensure!(!site.machine(1).read(CONFIG)?.contains("json"), "the dry run has changed it");
    site.play(["-e", settings])?.changed()?;
    for number in 1..=HOSTS {
        let machine = site.machine(number);
        ensure!(machine.read(CONFIG)?.contains("format = \"json\""), "host {number}");
        let runs_with_it =
            || machine.read("/var/log/ovstunnel.log").is_ok_and(|log| log.lines().any(|line| line.starts_with('{')));
        machine.wait_until("the daemon to log as it is told to", runs_with_it)?;
    }
    ensure!(site.machine(1).property("MainPID")? != first, "the daemon was not restarted");
    all_are_in_the_zone(site)
}
