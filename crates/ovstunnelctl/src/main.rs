//! `ovstunnelctl`: the operator's command. Everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ovstunnelctl::cli::main()
}
