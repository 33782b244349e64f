//! What the helper for VIFs is made of: udev's and the hook's arguments, the request to the daemon, the line in the log.
//!
//! What it must not do: use anything but the standard library, or wait longer than its deadline.

pub mod event;
pub mod report;
pub mod tell;
