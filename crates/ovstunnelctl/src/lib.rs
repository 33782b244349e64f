//! The operator's command `ovstunnelctl`, and what it is made of.
//!
//! What it does: [`client`] asks a daemon over its Unix socket or over HTTPS, [`pki`] makes the certificates that HTTPS
//! needs, and [`cli`] puts both into an operator's hands. What it must not do: touch Open vSwitch, know its commands, or
//! repeat the daemon's rules; a wrong value goes to the daemon, whose answer names field, rule and value.

pub mod cli;
pub mod pki;

use ovstunnel_client as client;
