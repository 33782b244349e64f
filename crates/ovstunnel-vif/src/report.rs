//! Says what went wrong, to standard error and to the system's log: udevd throws standard error away. Must not fail or wait.

use std::io::Write;
use std::os::unix::net::UnixDatagram;

/// Facility daemon, severity warning (RFC 3164).
const PRIORITY: u8 = 3 * 8 + 4;

/// Says it.
pub fn write_warning(text: &str) {
    // Not `eprintln!`: it panics where nobody reads.
    let _ = writeln!(std::io::stderr(), "ovstunnel-vif: {text}");
    let message = format!("<{PRIORITY}>ovstunnel-vif[{}]: {text}", std::process::id());
    // Without a log there is nobody to tell.
    let _ = UnixDatagram::unbound().and_then(|log| {
        log.set_nonblocking(true)?;
        log.send_to(message.as_bytes(), "/dev/log")
    });
}
