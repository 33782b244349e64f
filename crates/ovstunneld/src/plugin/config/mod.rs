//! The JSON that the management server tells a VPC's bridges, read into values that are valid.
//!
//! What it does: takes numbers as numbers or as texts, for servers send both; everything has been lower-cased. An error names
//! the field, the rule and the value. What it must not do: guess what a missing part would have said.

mod policies;
mod reader;
mod topology;

use std::fmt;

use serde_json::Value;

pub(super) use policies::read_policies;
pub(super) use topology::read_topology;

use reader::Reader;

/// What is wrong with the JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadConfig(String);

impl fmt::Display for BadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The part of the JSON that is about the VPC.
fn vpc_part(value: &Value) -> Result<Reader<'_>, BadConfig> {
    Reader::new(value).required_field("vpc")
}

/// Reads a text as JSON.
pub(super) fn parse_json(text: &str) -> Result<Value, BadConfig> {
    serde_json::from_str(text).map_err(|error| BadConfig(format!("config must be JSON: {error}")))
}
