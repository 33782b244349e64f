//! `ovstunnel-kvm`: the program that CloudStack's KVM agent runs as `ovstunnel.py`, once for each call.
//!
//! What it does: reads function and options from its command line, has the daemon carry them out, prints one line, and ends as the agent's
//! contract says. What it must not do: know an option, read standard input, start a program, or wait longer than its deadline.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use ovstunnel_kvm::{Call, Ended, Settings, call_daemon};

const USAGE: &str = "usage: ovstunnel-kvm FUNCTION --OPTION VALUE …
Takes the place of ovstunnel.py for CloudStack's KVM agent: ln -s /usr/lib/ovstunnel/ovstunnel-kvm /etc/cloudstack/agent/ovstunnel.py
  setup_ovs_bridge --bridge OVSTunnel<key> --key OVSTunnel<key> --cs_host_id ID
  create_tunnel --bridge OVSTunnel<key> --key KEY --remote_ip IPV4 --src_host ID --dst_host ID
  destroy_tunnel --bridge OVSTunnel<key> --iface_name PORT
  destroy_ovs_bridge --bridge OVSTunnel<key>
[api] socket and [kvm] create_tunnel_exit of /etc/ovstunnel/ovstunneld.toml count; OVSTUNNEL_CONFIG names another file.";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let ended = match arguments.as_slice() {
        [word] if word == "--help" || word == "-h" => Ended { line: USAGE.to_owned(), status: 0 },
        arguments => answer_call(arguments),
    };
    // Not `println!`: it panics where nobody reads.
    let _ = writeln!(std::io::stdout(), "{}", ended.line);
    ExitCode::from(ended.status)
}

fn answer_call(arguments: &[OsString]) -> Ended {
    let settings = Settings::load();
    match Call::parse_arguments(arguments) {
        Ok(call) => call_daemon(&call, &settings),
        Err(unreadable) => {
            Ended::function_failed(&unreadable.function, &settings, "INVALID_ARGUMENT", &unreadable.reason)
        }
    }
}
