//! `ovstunnel`: the plugin that xapi runs, `/etc/xapi.d/plugins/ovstunnel`, once for each call of a management server.
//!
//! What it does: reads xapi's request from its only argument, has the daemon answer it, and prints the answer. What it must
//! not do: know a function, end with anything but 0, print anything but one answer, or wait longer than its deadline.

use std::ffi::OsString;
use std::io::Write;

use ovstunnel_xapi::{Request, Response, ask_daemon};

const USAGE: &str = "usage: ovstunnel REQUEST
The plugin ovstunnel for xapi: put it at /etc/xapi.d/plugins/ovstunnel. REQUEST is an XML-RPC methodCall as xapi makes it.
OVSTUNNEL_SOCKET names the daemon's Unix socket where that is not /run/ovstunnel/ovstunneld.sock.
By hand: xe host-call-plugin host-uuid=UUID plugin=ovstunnel fn=is_xcp";

fn main() {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let text = match arguments.as_slice() {
        [word] if word == "--help" || word == "-h" => USAGE.to_owned(),
        arguments => answer_call(arguments).to_xml(),
    };
    // Not `println!`: it panics where nobody reads.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn answer_call(arguments: &[OsString]) -> Response {
    match Request::parse_arguments(arguments) {
        Ok(request) => ask_daemon(&request),
        Err(unreadable) => Response::exception(&unreadable.function, "MalformedRequest", &unreadable.reason),
    }
}
