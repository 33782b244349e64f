//! Whether the Unix socket can be found by its name. Must not connect to it.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use ovstunnel_api::Finding;

use super::Program;
use super::finding::{About, fail, ok};

/// Looks at it.
pub fn check_socket(program: Program, socket: &Path) -> Finding {
    let shown = socket.display();
    let wrong = match std::fs::symlink_metadata(socket) {
        Ok(about) if about.file_type().is_socket() => return ok("socket", format!("{shown} is there")),
        Ok(_) => "is not a socket: something else has its name",
        Err(_) => "is gone, and could not be made again",
    };
    let reason = format!("the Unix socket {shown} {wrong}: {} do not reach the {}", program.callers, program.word);
    let remedy = format!(
        "move away what stands at {shown}; the {} binds it again within 5 s; its log says why it cannot",
        program.word
    );
    fail("socket", reason, remedy).about(shown)
}
