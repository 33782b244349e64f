//! The manager of a zone: knows its hosts, watches each of them, and says which networks are whole.
//!
//! What it does: connects to the `ovstunneld` of each registered host, compares what they say, proves each network, and tells it over
//! HTTPS and on a Unix socket; where it may (`sdn.ovs.controller`), keeps each mesh whole. What it must not do: touch a switch, or write
//! to a host by any other way than the reconciler's.

pub mod bundle;
pub mod certificates;
pub mod check;
pub mod cli;
pub mod cloudstack;
pub mod config;
pub mod counters;
pub mod doctor;
pub mod document;
pub mod enrolment;
pub mod export;
pub mod hosts;
pub mod http;
pub mod import;
pub mod inventory;
pub mod leader;
mod matrix;
pub mod path;
pub mod rebuild;
pub mod reconciler;
pub mod records;
pub mod reload;
pub mod replica;
pub mod rows;
pub mod sending;
pub mod service;
pub mod sessions;
pub mod store;
pub mod support;
pub mod sweep;
pub mod watch;
pub mod web;
pub mod webhooks;
pub mod zone;
