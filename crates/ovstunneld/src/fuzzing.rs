//! Doors to the parsers of foreign text, for tests/fuzz only. Must not be used by the product.
#![doc(hidden)]

pub use crate::plugin::fuzzing::{argument, policies, topology};
