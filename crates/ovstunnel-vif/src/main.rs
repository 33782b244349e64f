//! `ovstunnel-vif`: run by udev, and by XCP-ng's vif-hotplug hook, for each VIF that comes or goes.
//!
//! What it does: tells the daemon, and where none answers in time has `ovstunneld --once` look at everything. What it must
//! not do: wait long, end with anything but 0 (networking trouble never stops a VM), know what a rule is, or load anything
//! that makes it start slowly: it runs for each event, so it uses the standard library only.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use ovstunnel_vif::event::{Call, Options};
use ovstunnel_vif::{event, report, tell};

const USAGE: &str = "usage: ovstunnel-vif [--socket PATH] [--daemon PROGRAM] [--config FILE] ACTION DEVICE
       ovstunnel-vif [...] -action ACTION -vifuuid UUID -vmuuid UUID
Tells ovstunneld that the VIF DEVICE (vif3.0, vif-3-0, tap3.0, vnet7) came or went. ACTION is udev's, or what the hook
/etc/xapi.d/vif-hotplug is given. Exit status: always 0; what went wrong is in the system's log.";

/// There where systemd runs the system.
const SYSTEMD: &str = "/run/systemd/system";

fn main() {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match event::parse_arguments(&arguments) {
        Ok((Call::Help, _)) => println!("{USAGE}"),
        Ok((Call::Nothing, _)) => {}
        Ok((Call::Tell(event), options)) => {
            if let Err(reason) = tell::report_event(&options.socket, &event) {
                report::write_warning(&format!(
                    "{event}: ovstunneld was not told ({reason}); `ovstunneld --once` looks instead"
                ));
                look_instead(&options);
            }
        }
        Err(reason) => report::write_warning(&format!("ignored: {reason}")),
    }
}

/// Has everything looked at without the daemon, in a process of its own that this one does not wait for. A burst of events
/// starts many; all but two of them end at once (docs/adr/0008).
fn look_instead(options: &Options) {
    let argv = reconcile_command(Path::new(SYSTEMD).is_dir(), options);
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    if let Err(error) = command.spawn() {
        let program = Path::new(&argv[0]).display();
        report::write_warning(&format!("cannot start {program} ({error}); the rules follow when ovstunneld starts"));
    }
}

/// The command that looks at everything. Under systemd it is a unit: what a rule of udev's starts itself, detached or not,
/// udevd kills as soon as it has no more events (udev(7), `RUN`). Each caller starts an instance of its own: to start one that
/// runs already would do nothing, and that one may have looked already.
fn reconcile_command(systemd: bool, options: &Options) -> Vec<OsString> {
    let word = OsString::from;
    if systemd {
        let unit = format!("ovstunneld-once@{}.service", std::process::id());
        return ["/usr/bin/systemctl", "--no-block", "--quiet", "start", &unit].map(word).to_vec();
    }
    let mut argv = vec![options.daemon.clone(), word("--once")];
    if let Some(config) = &options.config {
        argv.extend([word("--config"), config.clone()]);
    }
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_instead_outlives_udevd_also_under_systemd() {
        let plain = reconcile_command(false, &Options { config: Some("/x y".into()), ..Options::default() });
        assert_eq!(plain, ["/usr/sbin/ovstunneld", "--once", "--config", "/x y"]);
        assert_eq!(reconcile_command(false, &Options::default()), ["/usr/sbin/ovstunneld", "--once"]);
        let unit = format!("ovstunneld-once@{}.service", std::process::id());
        let argv = ["/usr/bin/systemctl", "--no-block", "--quiet", "start", &unit];
        assert_eq!(reconcile_command(true, &Options::default()), argv);
    }
}
