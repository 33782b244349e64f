//! The last release and this version together, by their packages: a host with networks and traffic goes from v0.1.0 to here and back, every
//! frame counted, beside a host that has this version all the time; and the manager says by name what the old daemon cannot do.
//!
//! The release's packages are those of `scripts/release v0.1.0`, which takes as long as a build.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use ovstunnel_package::{Built, Site, Traffic, cache, script};

const RELEASE: &str = "v0.1.0";
const CONFIG: &str = "/etc/ovstunnel/ovstunneld.toml";
/// What v0.1.0 has not heard of.
const CANNOT: [&str; 7] = ["watch", "epoch", "bfd", "counters", "probe", "kind", "neighbours"];

#[test]
#[ignore = "takes long: scripts/test --long"]
fn the_last_release_and_this_one() -> Result<()> {
    script("release", [RELEASE])?;
    let site = Site::new("upgrade", 2)?;
    let old = Built::in_folder(&cache("releases")?.join(RELEASE))?;
    let folder = tempfile::tempdir()?;
    // Both have the same number: what is new is packed as a later revision.
    let new = Built::next(folder.path())?;
    let (old, new) = (old.path(&old.deb), new.path(&new.deb));

    install(&site, 1, &old, "")?;
    install(&site, 2, &new, "")?;
    certificates(&site)?;
    for (number, other) in [(1, 2), (2, 1)] {
        let (id, tunnel) = (number.to_string(), format!("{other}={}", site.lab().host(other)?.ip()));
        let setup =
            ["ovstunnelctl", "bridge", "setup", "xapi1", "--key", "1001", "--host-id", &id, "--tunnel", &tunnel];
        site.machine(number).run(setup)?;
        let host = site.lab().host(number)?;
        let vm = u16::try_from(number * 10 + 1)?;
        host.plug_vm("xapi1", &format!("vif{number}.0"), ovstunnel_lab::VmSpec::numbered(vm).network("xapi1"))?;
    }
    a_manager_on_the_second(&site)?;
    site.lab().announce_all()?;
    old_is_named(&site).context("before the upgrade")?;

    let traffic = Traffic::start(site.lab())?;
    let before = site.machine(1).property("MainPID")?;
    install(&site, 1, &new, &before).context("the upgrade")?;
    wait_for_manager(&site, |host| host["cannot"].is_null() && host["state"] == "ok").context("after the upgrade")?;
    let plan = zone(&site, "upgrade plan")?;
    ensure!(plan["waves"].as_array().is_some_and(Vec::is_empty) && plan["done"] == 2, "{plan}");
    // Proven anew with what the new daemon has told.
    let is_whole = || zone(&site, "proof key-1001").is_ok_and(|proof| proof["whole"] == true);
    site.machine(2)
        .wait_until("the network to be whole", is_whole)
        .with_context(|| format!("{:?}", zone(&site, "proof key-1001")))?;

    let before = site.machine(1).property("MainPID")?;
    install(&site, 1, &old, &before).context("the way back")?;
    old_is_named(&site).context("after the way back")?;
    traffic.stop()
}

/// As the guide says; the way back needs leave to go to an older one.
fn install(site: &Site, number: usize, deb: &PathBuf, before: &str) -> Result<()> {
    let machine = site.machine(number);
    let name = deb.file_name().context("a package has a name")?.to_string_lossy();
    fs::copy(deb, machine.path("/srv").join(&*name))?;
    let keep = ["--allow-downgrades", "--option", "Dpkg::Options::=--force-confold"];
    let said =
        machine.run(["apt-get", "install", "--yes"].into_iter().chain(keep).chain([&*format!("/srv/{name}")]))?;
    if before.is_empty() {
        let text = machine.read(CONFIG)?.replace("#datapath_type = \"\"", "datapath_type = \"netdev\"");
        // The package says so since 0.2.0; all hosts of a network are to do the same.
        let text = text.replace("\nipv6 = \"allow\"", "\n#ipv6 = \"drop\"");
        fs::write(machine.path(CONFIG), text)?;
        machine.run(["systemctl", "restart", "ovstunneld"])?;
    }
    machine.wait_until_served(before).context(said).map(drop)
}

/// A CA on the second host, and certificates for both.
fn certificates(site: &Site) -> Result<()> {
    let pki = |words: &str| site.machine(2).run(["ovstunnelctl", "pki"].into_iter().chain(words.split(' ')));
    pki("init --dir /root/pki")?;
    for number in 1..=2 {
        let (host, machine) = (site.lab().host(number)?, site.machine(number));
        pki(&format!("issue --dir /root/pki --host {} --address {}", host.name(), host.ip()))?;
        for (file, from) in [
            ("host.crt", format!("{}.crt", host.name())),
            ("host.key", format!("{}.key", host.name())),
            ("ca.crt", "ca.crt".into()),
        ] {
            fs::copy(site.machine(2).path("/root/pki").join(from), machine.path("/etc/ovstunnel").join(file))?;
        }
        let tls = "[tls]\ncertificate = \"/etc/ovstunnel/host.crt\"\nkey = \"/etc/ovstunnel/host.key\"\nclient_ca = \"/etc/ovstunnel/ca.crt\"\n";
        let text = machine.read(CONFIG)?.replace("listen = \"off\"\n", "").replace("#[tls]\n", tls);
        fs::write(machine.path(CONFIG), text)?;
        let before = machine.property("MainPID")?;
        machine.run(["systemctl", "restart", "ovstunneld"])?;
        machine.wait_until_served(&before)?;
    }
    Ok(())
}

fn a_manager_on_the_second(site: &Site) -> Result<()> {
    let machine = site.machine(2);
    let address = site.lab().host(2)?.ip();
    machine.run([
        "ovstunnelctl",
        "pki",
        "issue",
        "--dir",
        "/root/pki",
        "--manager",
        "m",
        "--address",
        &address.to_string(),
    ])?;
    for file in ["m.crt", "m.key"] {
        fs::copy(machine.path("/root/pki").join(file), machine.path("/etc/ovstunnel").join(file))?;
    }
    let text = "zone = \"lab\"\nsdn.ovs.default_label = \"br-phy\"\n[hosts]\ncertificate = \"/etc/ovstunnel/m.crt\"\n\
                key = \"/etc/ovstunnel/m.key\"\nca = \"/etc/ovstunnel/ca.crt\"\n";
    fs::write(machine.path("/etc/ovstunnel/manager.toml"), text)?;
    machine.run(["systemctl", "start", "ovstunnel-manager"])?;
    for number in 1..=2 {
        let host = site.lab().host(number)?;
        zone(site, &format!("host add {} --api https://{}:8443 --mode observe", host.name(), host.ip()))?;
    }
    Ok(())
}

/// What the manager says, as JSON.
fn zone(site: &Site, words: &str) -> Result<serde_json::Value> {
    let said = site.machine(2).output(["ovstunnelctl", "--json", "zone"].into_iter().chain(words.split(' ')))?;
    serde_json::from_slice(&said.stdout).with_context(|| String::from_utf8_lossy(&said.stderr).into_owned())
}

/// Waits until the manager says what it should of the first host.
fn wait_for_manager(site: &Site, is_right: impl Fn(&serde_json::Value) -> bool) -> Result<()> {
    let look = || zone(site, "host show h1").is_ok_and(|host| is_right(&host));
    site.machine(2)
        .wait_until("the manager to say it", look)
        .with_context(|| format!("{:?}", zone(site, "host show h1")))
}

/// The manager watches the old daemon, and says what it cannot do.
fn old_is_named(site: &Site) -> Result<()> {
    let words = |host: &serde_json::Value| {
        let cannot = host["cannot"].as_array().cloned().unwrap_or_default();
        cannot.iter().map(|lacks| lacks["capability"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    wait_for_manager(site, |host| words(host) == CANNOT && host["state"] != "silent" && host["bridges"] == 1)?;
    let page = site.machine(2).run(["ovstunnelctl", "zone", "host", "show", "h1"])?;
    ensure!(page.contains("What its daemon cannot do:") && page.contains("epoch: it cannot record"), "{page}");
    let plan = zone(site, "upgrade plan")?;
    let first = &plan["waves"][0]["hosts"][0];
    ensure!(first["host"] == "h1" && first["networks"] == 1 && words(first) == CANNOT && plan["done"] == 1, "{plan}");
    Ok(())
}
