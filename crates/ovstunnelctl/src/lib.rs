//! The operator's command `ovstunnelctl`.
//!
//! What it does: puts `ovstunnel-client`, which asks a daemon over its Unix socket or over HTTPS, and `ovstunnel-pki`, which
//! makes the certificates that HTTPS needs, into an operator's hands ([`cli`]). What it must not do: touch Open vSwitch, know
//! its commands, or repeat the daemon's rules; a wrong value goes to the daemon, whose answer names field, rule and value.

pub mod cli;

use ovstunnel_client as client;
use ovstunnel_pki as pki;
