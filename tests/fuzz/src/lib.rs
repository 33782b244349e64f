//! Properties of every parser of foreign text.
//!
//! What it does: one function for each kind of text, which takes any bytes and panics where a property does not hold. The
//! fuzzer (`main.rs`) looks for such bytes, and `tests/corpus.rs` tries the kept ones. What it must not do: panic because
//! the bytes are no good text; that is what the parsers are for.

mod model;
mod targets;

/// One kind of foreign text.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of the folder of its corpus, and of its dictionary.
    pub name: &'static str,
    /// Tries these bytes.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 12] = [
    Target { name: "arguments", run: targets::plugin::arguments },
    Target { name: "body", run: targets::body::body },
    Target { name: "certificate", run: targets::small::certificate },
    Target { name: "config", run: targets::config::config },
    Target { name: "database", run: targets::database::database },
    Target { name: "flows", run: targets::flows::flows },
    Target { name: "names", run: targets::small::names },
    Target { name: "policies", run: targets::plugin::policies },
    Target { name: "request", run: targets::request::request },
    Target { name: "tools", run: targets::small::tools },
    Target { name: "topology", run: targets::plugin::topology },
    Target { name: "vif", run: targets::request::vif },
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

/// Asserts that an error is one that an operator can read: one line, not for ever, and it says something.
pub(crate) fn readable(error: &str, longest: usize) {
    assert!(!error.trim().is_empty(), "an error without words");
    assert!(!error.contains(|c: char| c.is_control()), "an error with control characters: {error:?}");
    assert!(error.chars().count() <= longest, "an error of {} characters: {error:.300}", error.chars().count());
}
