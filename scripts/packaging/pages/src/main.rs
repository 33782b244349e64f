//! `ovstunnel-pages FOLDER`: writes the man pages and the shells' completions of our programs, for the packages.
//!
//! What it does: takes them from the definitions that read the command lines, and from the configuration's reference, so that they
//! cannot differ. What it must not do: be installed, or say of an option what the definitions do not say.

mod configuration;
mod sections;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::Roff;

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
    let mut manager = ovstunnel_manager::cli::Cli::command().disable_help_subcommand(true);
    manager.build();
    write_page(daemon.clone(), DAEMONS, &sections::of_daemon(), &man)?;
    write_page(manager.clone(), DAEMONS, &sections::of_manager(), &man)?;
    manager
        .clone()
        .get_subcommands()
        .try_for_each(|sub| write_page(sub.clone(), DAEMONS, &sections::of_manager(), &man))?;
    let mut whole = operator.clone().disable_help_subcommand(true);
    whole.build();
    write_pages(&whole, &man)?;
    for reference in configuration::ALL {
        let file = man.join(format!("{}.5", reference.name));
        configuration::page(&reference).to_writer(&mut File::create(file)?)?;
    }
    for mut command in [daemon, operator] {
        let name = command.get_name().to_owned();
        for shell in SHELLS {
            clap_complete::generate_to(shell, &mut command, &name, &completions)?;
        }
    }
    Ok(())
}

/// One page for each command: `ovstunnelctl-bridge-show.1` and so on.
fn write_pages(command: &Command, folder: &Path) -> io::Result<()> {
    command.get_subcommands().try_for_each(|sub| write_pages(sub, folder))?;
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    write_page(command.clone(), "1", &sections::of_command(name), folder)
}

/// A page, and what stands at its end.
fn write_page(command: Command, section: &str, end: &Roff, folder: &Path) -> io::Result<()> {
    let man = Man::new(command).section(section);
    let mut file = File::create(folder.join(man.get_filename()))?;
    man.render(&mut file)?;
    end.to_writer(&mut file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_says_where_to_look_next() {
        let folder = tempfile::tempdir().unwrap();
        write_all(folder.path()).unwrap();
        let page = |name: &str| fs::read_to_string(folder.path().join("man").join(name)).unwrap();
        for section in ["FILES", "ENVIRONMENT", "\"SEE ALSO\""] {
            for name in ["ovstunnelctl.1", "ovstunneld.8", "ovstunnel-manager.8", "ovstunnel-manager-support-bundle.8"]
            {
                assert!(page(name).contains(&format!("\n.SH {section}\n")), "no {section} in {name}");
            }
        }
        let mut pages = 0;
        for file in fs::read_dir(folder.path().join("man")).unwrap() {
            let name = file.unwrap().file_name().to_string_lossy().into_owned();
            assert!(page(&name).contains("SEE ALSO"), "{name}");
            pages += 1;
        }
        assert!(pages > 25, "{pages}");
    }

    #[test]
    fn each_variable_and_each_key_is_there() {
        let folder = tempfile::tempdir().unwrap();
        write_all(folder.path()).unwrap();
        let page = |name: &str| fs::read_to_string(folder.path().join("man").join(name)).unwrap();
        let help = ovstunnelctl::cli::Cli::command().render_long_help().to_string();
        let variables: Vec<&str> = help
            .split(|c: char| !c.is_ascii_uppercase() && c != '_')
            .filter(|word| word.starts_with("OVSTUNNEL_"))
            .collect();
        assert!(variables.len() >= 6, "{variables:?}");
        for variable in variables {
            assert!(page("ovstunnelctl.1").contains(&format!("\\fB{variable}\\fR")), "{variable}");
        }
        let reference = page("ovstunneld.toml.5");
        for words in [
            ".SH [api]",
            ".SH [[tls.clients]]",
            "\\fBlisten\\fR",
            "\\fBkey\\fR (",
            "\\fBvif_prefixes\\fR",
            "\\fBinterval\\fR",
        ] {
            assert!(reference.contains(words), "no {words} in {reference}");
        }
        let manager = page("ovstunnel-manager.toml.5");
        for words in [".SH [sdn.ovs]", "\\fBzone\\fR (text; default: \"zone1\")", "\\fBcloudstack_url\\fR"] {
            assert!(manager.contains(words), "no {words} in {manager}");
        }
        let reference = reference + &manager;
        assert!(
            !reference.contains('|') && !reference.contains("](") && !reference.contains('`'),
            "no signs of Markdown"
        );
    }
}
