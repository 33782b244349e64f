//! The programs that `join` and `renew` run: the daemon, to judge a configuration, and `systemctl`, to restart it or have it read its files again. Must
//! not know what joining is.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What systemd has while it is process 1.
const SYSTEMD: &str = "/run/systemd/system";

/// Whether systemd runs this host's services.
pub(in crate::cli) fn has_systemd() -> bool {
    Path::new(SYSTEMD).exists()
}

/// What the daemon of this package says of it; nothing where there is none.
pub(super) fn check_config(config: &Path) -> Result<(), String> {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join("ovstunneld")));
    let Some(program) = beside.into_iter().chain([PathBuf::from("/usr/sbin/ovstunneld")]).find(|path| path.is_file())
    else {
        return Ok(());
    };
    let output = Command::new(&program).arg("--check").arg("--config").arg(config).output();
    let output = output.map_err(|e| format!("cannot run {}: {e}", program.display()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// Has the daemon run with its configuration as it is now; an error says what is left to do.
pub(super) fn restart_daemon() -> Result<(), String> {
    let what = "the daemon still runs as before: systemctl restart ovstunneld";
    let output = Command::new("systemctl").args(["restart", "ovstunneld"]).output();
    let output = output.map_err(|e| format!("{what} (cannot run it: {e})"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{what} (it said: {})", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Has the daemon read its configuration and certificates again, where it runs; says whether it does. An error says what is left to do.
pub(in crate::cli) fn reload() -> Result<bool, String> {
    let what = "the daemon still has the old ones: systemctl reload ovstunneld";
    let run = |words: [&str; 3]| {
        let output = Command::new("systemctl").args(words).output();
        output.map_err(|e| format!("{what} (cannot run it: {e})"))
    };
    if !run(["is-active", "--quiet", "ovstunneld"])?.status.success() {
        return Ok(false);
    }
    let output = run(["--no-ask-password", "reload", "ovstunneld"])?;
    match output.status.success() {
        true => Ok(true),
        false => Err(format!("{what} (it said: {})", String::from_utf8_lossy(&output.stderr).trim())),
    }
}
