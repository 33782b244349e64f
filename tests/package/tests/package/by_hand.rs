//! The archive on a host without a package manager's help: unpacked, installed, used, installed again, taken away.

use std::fs;

use anyhow::{Result, ensure};
use ovstunnel_package::{Built, Cloud, data_plane};

#[test]
fn it_is_installed_and_taken_away_while_vms_talk() -> Result<()> {
    let (srv, built) = (tempfile::tempdir()?, Built::find()?);
    fs::copy(built.path(&built.archive), srv.path().join(&built.archive))?;
    let cloud = Cloud::new("byhand", srv.path())?;
    let machine = cloud.machine();
    machine.run(["tar", "--extract", "--directory", "/root", "--file", &format!("/srv/{}", built.archive)])?;
    let folder = format!("/root/{}", built.archive.trim_end_matches(".tar.xz"));
    let (install, uninstall) = (format!("{folder}/scripts/install"), format!("{folder}/scripts/uninstall"));

    ensure!(machine.run([&install])?.contains("ovstunnelctl status"), "it says how to go on");
    machine.wait_until_served("")?;
    cloud.set_up()?;
    let traffic = cloud.traffic()?;
    let plane = data_plane(&cloud.host()?)?;
    let before = machine.property("MainPID")?;
    machine.run([&install])?;
    machine.wait_until_served(&before)?;
    assert_eq!(data_plane(&cloud.host()?)?, plane, "after the second time");

    machine.run([&uninstall])?;
    ensure!(!machine.succeeds(&["pgrep", "--exact", "ovstunneld"]), "it runs on");
    ensure!(
        !machine.has("/usr/sbin/ovstunneld") && machine.has("/etc/ovstunnel/ovstunneld.toml"),
        "taken away, but for the configuration"
    );
    assert_eq!(data_plane(&cloud.host()?)?, plane, "after it was taken away");
    ensure!(machine.run([&uninstall])?.contains("keep /etc/ovstunnel/ovstunneld.toml"), "again is no error");
    machine.run([uninstall.as_str(), "--purge"])?;
    ensure!(!machine.has("/etc/ovstunnel/ovstunneld.toml"), "the configuration goes when asked for");
    ensure!(!machine.has("/var/log/ovstunnel.log"), "and the log");
    ensure!(!machine.has("/var/log/ovstunnel-audit.log"), "and the audit");
    ensure!(machine.run([uninstall.as_str(), "--purge"])?.contains("nothing"), "nothing is remembered any more");
    traffic.stop()
}
