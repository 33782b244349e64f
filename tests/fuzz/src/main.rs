//! The fuzzer: libFuzzer, which is told by OVSTUNNEL_FUZZ_TARGET which target to run. Started by `scripts/fuzz`.
#![no_main]

use std::sync::OnceLock;

use ovstunnel_fuzz::{Target, target};

static CHOSEN: OnceLock<Target> = OnceLock::new();

fn chosen() -> Target {
    let name = std::env::var("OVSTUNNEL_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| {
        eprintln!("OVSTUNNEL_FUZZ_TARGET must name a target, not `{name}`");
        std::process::exit(2);
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| (CHOSEN.get_or_init(chosen).run)(data));
