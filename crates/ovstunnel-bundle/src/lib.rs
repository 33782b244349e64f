//! The archive of a support bundle: named texts without secrets, within a limit, in one file for its owner only.
//!
//! What it does: takes out what looks like a private key, a password or a token, cuts what is too long, and packs the rest. What it must not
//! do: know what is in the texts, or overwrite a file.

mod archive;
mod host;
mod secrets;

pub use archive::{Part, bound_total_size, create_archive, write_archive};
pub use host::{file_timestamp, host_name, host_versions};
pub use secrets::leave_out;

/// Most of all texts together, in bytes, before they are packed.
pub const LIMIT: usize = 24 << 20;

/// The parts without secrets, within [`LIMIT`], by name.
pub fn redact_and_bound(mut parts: Vec<Part>) -> Vec<Part> {
    parts.iter_mut().for_each(|part| leave_out(&mut part.text));
    bound_total_size(&mut parts, LIMIT);
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    parts
}
