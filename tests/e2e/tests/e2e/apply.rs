//! `ovstunnelctl apply`, `export` and the removals, against a daemon on a simulated switch: what was exported is applied without a
//! change, and what is not there is told.

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use ovstunnel_e2e::{Simulated, program};

const TWO: &str = "\
bridges:
  - name: xapi12
    key: 1001
    host_id: 1
    network_uuid: 6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90
    ipv6: allow
    tunnels:
      - {to: 2, remote_ip: 192.0.2.2}
      - {to: host-3, remote_ip: 192.0.2.3}
---
bridges:
  - {name: xapi13, key: 1002, host_id: 1, tunnels: [{to: 2, remote_ip: 192.0.2.2}]}
";

struct Ran {
    status: i32,
    out: String,
    err: String,
}

fn ctl(daemon: &Simulated, args: &[&str]) -> Result<Ran> {
    let mut command = Command::new(program("ovstunnelctl")?);
    let Output { status, stdout, stderr } = command.arg("--socket").arg(daemon.socket()).args(args).output()?;
    Ok(Ran {
        status: status.code().context("no status")?,
        out: String::from_utf8(stdout)?,
        err: String::from_utf8(stderr)?,
    })
}

#[test]
fn what_was_exported_is_applied_without_a_change() -> Result<()> {
    let daemon = Simulated::start(None)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("two.yaml");
    std::fs::write(&file, TWO)?;
    let file = file.display().to_string();
    let planned = ctl(&daemon, &["apply", "-f", &file, "--dry-run"])?;
    ensure!(planned.status == 0 && planned.out.ends_with("2 of 2 bridges to be changed.\n"), "{}", planned.out);
    assert_eq!(ctl(&daemon, &["bridge", "list", "-q"])?.out, "", "a dry run");
    let applied = ctl(&daemon, &["apply", "-f", &file])?;
    assert_eq!(applied.status, 0, "{}", applied.err);
    assert_eq!(ctl(&daemon, &["bridge", "list", "-q"])?.out, "xapi12\nxapi13\n");

    let exported = ctl(&daemon, &["export"])?.out;
    let file = folder.path().join("exported.yaml");
    std::fs::write(&file, &exported)?;
    let file = file.display().to_string();
    let again = ctl(&daemon, &["apply", "-f", &file])?;
    let unchanged = "0 of 2 bridges to be changed.\nbridge xapi12: unchanged\nbridge xapi13: unchanged\n";
    assert_eq!(again.out, unchanged, "{exported}");

    // Without the second one, and with a key that is not one.
    let one = exported.replace("xapi13", "xapi14");
    std::fs::write(&file, one.replace("1002", "0"))?;
    let refused = ctl(&daemon, &["apply", "-f", &file, "--prune", "--yes"])?;
    ensure!(
        refused.status == 1 && refused.err.contains("bridge xapi14") && refused.err.contains("key"),
        "{}",
        refused.err
    );
    assert_eq!(ctl(&daemon, &["bridge", "list", "-q"])?.out, "xapi12\nxapi13\n", "nothing was changed");
    std::fs::write(&file, one.replace("1002", "1003"))?;
    assert_eq!(ctl(&daemon, &["apply", "-f", &file, "--prune", "--yes"])?.status, 0);
    assert_eq!(ctl(&daemon, &["bridge", "list", "-q"])?.out, "xapi12\nxapi14\n");
    Ok(())
}

#[test]
#[ignore = "takes long: scripts/test --long"]
fn what_is_not_there_is_not_removed() -> Result<()> {
    let daemon = Simulated::start(None)?;
    for args in
        [&["bridge", "destroy", "nope"][..], &["release", "nope", "--yes"], &["tunnel", "destroy", "nope", "t1-1-2"]]
    {
        for (more, status) in
            [(&[][..], 1), (&["--dry-run"], 1), (&["--if-exists"], 0), (&["--if-exists", "--dry-run"], 0)]
        {
            let ran = ctl(&daemon, &[args, more].concat())?;
            assert_eq!(ran.status, status, "{args:?} {more:?}: {}", ran.err);
        }
    }
    Ok(())
}
