//! The service kit: what a program needs to be a service of ours, whatever its routes do.
//!
//! What it does: listeners for HTTPS with client certificates and for root's Unix socket ([`listen`], [`tls`]), what every
//! request goes through ([`middleware`], [`access`], [`audit`]), the reading of requests and their refusal ([`extract`],
//! [`problem`], [`openapi`]), the log ([`logging`]), traces ([`trace`]), systemd ([`systemd`]), a life between signals ([`life`]), and the configuration of all that ([`config`]).
//! What it must not do: know a route, a switch, or which program it is part of; each says its own name and defaults.

pub mod access;
pub mod audit;
pub mod bounded;
pub mod config;
pub mod doctor;
pub mod extract;
pub mod fault;
pub mod forwarded;
pub mod fuzzing;
pub mod life;
pub mod listen;
pub mod lock_file;
pub mod logging;
pub mod middleware;
pub mod openapi;
pub mod problem;
pub mod seldom;
pub mod systemd;
pub mod tls;
pub mod trace;
pub mod watch;
