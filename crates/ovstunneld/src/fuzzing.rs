//! Doors to the parsers of foreign text, for tests/fuzz only. Must not be used by the product.
#![doc(hidden)]

pub use crate::listen::fuzzing::peer;
pub use crate::plugin::fuzzing::{argument, policies, topology};
