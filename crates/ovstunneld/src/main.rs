//! `ovstunneld`. Must not do more than run the daemon.

fn main() -> std::process::ExitCode {
    ovstunneld::main()
}
