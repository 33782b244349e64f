//! The targets, one function each.

pub(crate) mod body;
pub(crate) mod config;
pub(crate) mod database;
pub(crate) mod flows;
pub(crate) mod plugin;
pub(crate) mod request;
pub(crate) mod small;
