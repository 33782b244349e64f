//! The `.rpm` for XenServer's and XCP-ng's control domain: what it needs and has, and its life under a real systemd. The control
//! domain itself is not to be had here: rpm and systemd are Debian's, and the folder `/etc/xapi.d` stands for xapi.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use ovstunnel_package::{Built, Cloud, data_plane};

const CONFIG: &str = "/etc/ovstunnel/ovstunneld.toml";
const PLUGIN: &str = "/etc/xapi.d/plugins/ovstunnel";
const HOOK: &str = "/etc/xapi.d/vif-hotplug";

fn ask(built: &Built, words: &[&str]) -> Result<Vec<String>> {
    let mut rpm = Command::new("rpm");
    rpm.args(["--query", "--package"]).args(words).arg(built.path(&built.rpm));
    Ok(ovstunnel_lab::run(rpm, Duration::from_secs(60))?.lines().map(str::to_owned).collect())
}

#[test]
fn it_needs_only_what_the_control_domain_has() -> Result<()> {
    let built = Built::find()?;
    for need in ask(&built, &["--requires"])? {
        let library = ["libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "ld-linux-x86-64.so.2"]
            .iter()
            .any(|name| need.starts_with(name));
        // What rpm 4.11 can read.
        let rpmlib = need.strip_prefix("rpmlib(").and_then(|rest| rest.split(')').next());
        let readable = ["CompressedFileNames", "FileDigests", "PayloadFilesHavePrefix", "PayloadIsXz"];
        let known = rpmlib.is_some_and(|feature| readable.contains(&feature));
        let plain = ["/bin/sh", "openvswitch", "config(ovstunnel) = "].iter().any(|word| need.starts_with(word));
        ensure!(library || known || plain, "it requires {need}");
    }
    Ok(())
}

#[test]
fn it_has_the_plugin_and_keeps_the_configuration() -> Result<()> {
    let built = Built::find()?;
    let files =
        ask(&built, &["--queryformat", "[%{FILENAMES} %{FILEFLAGS:fflags} %{FILEMODES:perms} %{FILEUSERNAME}\n]"])?;
    let has = |line: &str| files.iter().any(|file| file == line);
    for line in [
        "/etc/ovstunnel/ovstunneld.toml cn -rw-r--r-- root",
        "/etc/logrotate.d/ovstunnel cn -rw-r--r-- root",
        "/etc/xapi.d/plugins/ovstunnel  -rwxr-xr-x root",
        "/usr/sbin/ovstunneld  -rwxr-xr-x root",
        "/usr/lib/ovstunnel/ovstunnel-vif  -rwxr-xr-x root",
        "/usr/lib/systemd/system/ovstunneld.service  -rw-r--r-- root",
        "/usr/lib/systemd/system/ovstunneld-renew.service  -rw-r--r-- root",
        "/usr/lib/systemd/system/ovstunneld-renew.timer  -rw-r--r-- root",
        "/usr/lib/udev/rules.d/zz-ovstunnel.rules  -rw-r--r-- root",
        "/usr/share/man/man8/ovstunneld.8.gz d -rw-r--r-- root",
        "/usr/share/doc/ovstunnel/docs/operators-guide/install.md d -rw-r--r-- root",
    ] {
        ensure!(has(line), "no {line:?} in {files:?}");
    }
    // The one that xapi calls belongs to whoever was there first: it is linked when the package is installed.
    ensure!(!files.iter().any(|file| file.starts_with(HOOK)), "{HOOK} is in the package");
    let scripts = ask(&built, &["--scripts"])?.join("\n");
    ensure!(!scripts.contains("ovs-"), "a script touches the switch: {scripts}");
    Ok(())
}

#[test]
fn a_life_costs_no_packet_and_keeps_what_others_put() -> Result<()> {
    let (srv, built) = (tempfile::tempdir()?, Built::find()?);
    let next = Built::next(&srv.path().join("next"))?;
    fs::copy(built.path(&built.rpm), srv.path().join(&built.rpm))?;
    let cloud = Cloud::new("rpm", srv.path())?;
    let machine = cloud.machine();
    // A host on which the plugin in Python is at work.
    fs::create_dir_all(machine.path("/etc/xapi.d/plugins"))?;
    fs::write(machine.path(PLUGIN), "#!/usr/bin/python\n")?;
    // Debian's rpm knows of no Debian package, openvswitch-switch among them.
    let rpm = |words: &[&str]| machine.run(["rpm", "--nodeps"].iter().chain(words));

    rpm(&["--install", &format!("/srv/{}", built.rpm)])?;
    machine.wait_until_served("")?;
    assert_eq!(machine.run(["systemctl", "is-enabled", "ovstunneld"])?, "enabled");
    assert_eq!(machine.run(["systemctl", "is-enabled", "ovstunneld-renew.timer"])?, "enabled");
    assert_eq!(machine.run(["systemctl", "is-active", "ovstunneld-renew.timer"])?, "active");
    assert_eq!(machine.read("/var/lib/ovstunnel/replaced-plugin")?, "#!/usr/bin/python\n", "the old plugin is kept");
    assert_eq!(fs::metadata(machine.path(PLUGIN))?.permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_link(machine.path(HOOK))?.to_str(), Some("/usr/lib/ovstunnel/ovstunnel-vif"));
    let call = "<methodCall><methodName>nonsense</methodName><params><param><value>s</value></param>\
                <param><value><struct></struct></value></param></params></methodCall>";
    let answer = machine.run([PLUGIN, call])?;
    ensure!(answer.contains("UNKNOWN_XENAPI_PLUGIN_FUNCTION"), "the daemon answers xapi's plugin: {answer}");

    cloud.set_up()?;
    let traffic = cloud.traffic()?;
    let plane = data_plane(&cloud.host()?)?;
    let before = machine.property("MainPID")?;
    rpm(&["--upgrade", &format!("/srv/next/{}", next.rpm)])?;
    machine.wait_until_served(&before)?;
    ensure!(machine.read(CONFIG)?.contains("datapath_type = \"netdev\""), "the upgrade has changed the configuration");
    ensure!(machine.has(HOOK) && machine.has(PLUGIN), "the upgrade has taken hook or plugin away");
    assert_eq!(data_plane(&cloud.host()?)?, plane, "after the upgrade");

    rpm(&["--erase", "ovstunnel"])?;
    ensure!(!machine.succeeds(&["pgrep", "--exact", "ovstunneld"]), "it runs on");
    let gone = ["/usr/sbin/ovstunneld", "/usr/lib/ovstunnel", "/usr/share/doc/ovstunnel", PLUGIN, HOOK, CONFIG];
    assert_eq!(gone.into_iter().filter(|path| machine.has(path)).collect::<Vec<_>>(), [""; 0]);
    ensure!(machine.has(&format!("{CONFIG}.rpmsave")), "the operator's configuration is gone");
    assert_eq!(data_plane(&cloud.host()?)?, plane, "after the removal");
    traffic.stop()
}
