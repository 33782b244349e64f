//! `ovstunnel-pages FOLDER`: writes the man pages and the shells' completions of our programs, for the packages.
//!
//! What it does: takes them from the same definitions that read the command lines, so that they cannot differ. What it must
//! not do: be installed, or say anything of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

/// Section of a daemon's man page; those of commands are in section 1.
const DAEMONS: &str = "8";

const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: ovstunnel-pages FOLDER");
        return ExitCode::from(2);
    };
    match write_all(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ovstunnel-pages: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

/// Man pages into `man` and completions into `completions` of the folder.
fn write_all(folder: &Path) -> io::Result<()> {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    let (daemon, operator) = (ovstunneld::cli::Cli::command(), ovstunnelctl::cli::Cli::command());
    Man::new(daemon.clone()).section(DAEMONS).generate_to(&man)?;
    // One page for each command: `ovstunnelctl-bridge-show.1` and so on.
    clap_mangen::generate_to(operator.clone(), &man)?;
    for mut command in [daemon, operator] {
        let name = command.get_name().to_owned();
        for shell in SHELLS {
            clap_complete::generate_to(shell, &mut command, &name, &completions)?;
        }
    }
    Ok(())
}
