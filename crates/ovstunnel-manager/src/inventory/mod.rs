//! What is recorded of the zone's networks: physical networks, networks, their keys and their NICs.
//!
//! What it does: checks a change against what is recorded and seen, has the database keep it, and tells the zone. What it must not do:
//! write to a host, or know a route.

pub mod physical;
