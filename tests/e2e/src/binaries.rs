//! Finds the programs under test, fresh from the compiler. Must not use any that is installed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

/// Overrides the folder of the programs, for tests of an installed package.
const BIN_DIR: &str = "OVSTUNNEL_BIN_DIR";

/// The product's programs.
const PROGRAMS: [&str; 6] =
    ["ovstunneld", "ovstunnelctl", "ovstunnel", "ovstunnel-kvm", "ovstunnel-vif", "ovstunnel-manager"];

/// The path of one of our programs, built if need be.
///
/// # Errors
/// When it cannot be built.
pub fn program(name: &str) -> Result<PathBuf> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| folder().map_err(|error| format!("{error:#}")));
    let path = folder.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?.join(name);
    ensure!(path.exists(), "there is no program {}", path.display());
    Ok(path)
}

/// The path of a program of the tests' own, which no package has: built with them.
///
/// # Errors
/// When it was not.
pub fn helper(name: &str) -> Result<PathBuf> {
    let path = own_folder()?.join(name);
    ensure!(path.exists(), "there is no program {}", path.display());
    Ok(path)
}

fn folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(BIN_DIR) {
        return Ok(folder.into());
    }
    let folder = own_folder()?;
    build(&folder)?;
    Ok(folder)
}

/// Where cargo puts programs: target/debug, of target/debug/deps/some_test-1234 or target/debug/some-program.
fn own_folder() -> Result<PathBuf> {
    let own = std::env::current_exe().context("this program's own path")?;
    let folder = own.ancestors().skip(1).find(|dir| !dir.ends_with("deps")).context("the folder of this program")?;
    Ok(folder.to_owned())
}

/// Brings the programs up to date; where nothing has changed that takes a moment.
fn build(folder: &Path) -> Result<()> {
    let Some(cargo) = std::env::var_os("CARGO") else { return Ok(()) };
    let mut command = Command::new(cargo);
    // Of the workspace: by package, all would be built again with the features that those alone ask for.
    command.args(["build", "--quiet", "--workspace"]);
    command.args(PROGRAMS.iter().flat_map(|program| ["--bin", program]));
    // Those of this program's own package: a build script that looks at them (that of ring does) would run again, and all that uses it.
    let own = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(|name| own(name)).for_each(|name| {
        command.env_remove(name);
    });
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    if folder.ends_with("release") {
        command.arg("--release");
    }
    let output = command.output().context("cargo cannot be run")?;
    ensure!(output.status.success(), "cargo build: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
