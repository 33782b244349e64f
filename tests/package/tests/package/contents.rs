//! What is in the packages, without installing them: programs, man pages, completions, configuration, unit.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_package::{Built, read, repository, script};
use ovstunnel_server::logging::audit_file;
use ovstunneld::config::Config;

const PROGRAMS: [&str; 6] =
    ["ovstunneld", "ovstunnelctl", "ovstunnel", "ovstunnel-kvm", "ovstunnel-vif", "ovstunnel-manager"];

/// glibc of XenServer 8 and XCP-ng 8.3.
const GLIBC: (u32, u32) = (2, 17);

/// Bytes of a package. The quick ones, which are tested, are not made to be small as those of the profile `dist` are; the manager, which
/// brings two databases' clients with it, is a third of the `.deb`.
const SIZE: u64 = 26 << 20;

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C.UTF-8");
    ovstunnel_lab::run(command, Duration::from_secs(60))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Whether one of the versioned symbols that `readelf` lists is newer than `GLIBC`.
fn too_new(versions: &str) -> BTreeSet<String> {
    let words = versions.split(|c: char| c.is_whitespace() || "()@".contains(c));
    let glibc = words.filter_map(|word| word.strip_prefix("GLIBC_"));
    let number = |version: &str| {
        let mut parts = version.split('.').map(|part| part.parse().unwrap_or(u32::MAX));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    };
    glibc.filter(|version| number(version) > GLIBC).map(str::to_owned).collect()
}

#[test]
fn every_program_runs_with_dom0s_glibc_and_is_stripped() -> Result<()> {
    let built = Built::find()?;
    for name in PROGRAMS {
        let path = shown(&built.program(name));
        let versions = run("readelf", &["--version-info", "--wide", &path])?;
        ensure!(versions.contains("GLIBC_2."), "{name}: {versions}");
        assert_eq!(too_new(&versions), BTreeSet::new(), "{name} needs a newer glibc");
        ensure!(!run("readelf", &["--sections", "--wide", &path])?.contains(".symtab"), "{name} is not stripped");
    }
    assert_eq!(too_new("Name: GLIBC_2.2.5  (GLIBC_2.34) x@GLIBC_2.18"), BTreeSet::from(["2.34".into(), "2.18".into()]));
    Ok(())
}

#[test]
fn packages_are_small() -> Result<()> {
    let built = Built::find()?;
    for name in [&built.deb, &built.rpm, &built.archive] {
        let size = fs::metadata(built.path(name))?.len();
        ensure!(size < SIZE, "{name} has {size} bytes");
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|path| path.is_file());
    files.sort();
    Ok(files)
}

#[test]
fn each_command_has_a_man_page_that_is_good() -> Result<()> {
    let man = Built::find()?.folder.join("tree/man");
    let pages = [files(&man)?, files(&man.join("man1"))?].concat();
    for page in &pages {
        let check = "MANWIDTH=100 man --warnings --encoding=UTF-8 --local-file -Tutf8 -Z \"$1\" 2>&1 >/dev/null";
        assert_eq!(run("sh", &["-c", check, "sh", &shown(page)])?, "", "{}", page.display());
    }
    let names: Vec<String> =
        pages.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
    for name in [
        "ovstunneld.8.gz",
        "ovstunnel-manager.8.gz",
        "ovstunnel-manager-import.8.gz",
        "ovstunneld.toml.5.gz",
        "ovstunnel-manager.toml.5.gz",
        "ovstunnelctl.1.gz",
        "ovstunnelctl-bridge-setup.1.gz",
        "ovstunnelctl-doctor.1.gz",
    ] {
        ensure!(names.iter().any(|there| there == name), "no {name} in {names:?}");
    }
    Ok(())
}

#[test]
fn completions_are_good_for_each_shell() -> Result<()> {
    let completions = files(&Built::find()?.folder.join("tree/completions"))?;
    assert_eq!(completions.len(), 6, "{completions:?}");
    for file in completions {
        let shell = match file.extension().and_then(|ending| ending.to_str()) {
            Some("bash") => "bash",
            Some("fish") => "fish",
            _ => "zsh",
        };
        run(shell, &["-n", &shown(&file)])?;
    }
    let bash = "source \"$1\"; COMP_WORDS=(ovstunnelctl bri) COMP_CWORD=1; _ovstunnelctl ovstunnelctl bri ovstunnelctl; echo ${COMPREPLY[*]}";
    let file = shown(&Built::find()?.folder.join("tree/completions/ovstunnelctl.bash"));
    assert_eq!(run("bash", &["-c", bash, "bash", &file])?, "bridge");
    Ok(())
}

/// The configuration as it is packed, and with every key that it shows: it names each with its default.
#[test]
fn the_configuration_is_good_and_shows_the_defaults() -> Result<()> {
    let (path, built) = (repository().join("scripts/packaging/ovstunneld.toml"), Built::find()?);
    let said = run(&shown(&built.program("ovstunneld")), &["--check", "--config", &shown(&path)])?;
    ensure!(said.contains("is good: HTTPS is off"), "{said}");
    let text = fs::read_to_string(&path)?;
    let packed = Config::parse(&text, &path)?;
    let mut default = Config::default();
    assert_eq!(packed.api.listen, None, "without certificates there is no HTTPS");
    default.api.listen = None;
    assert_eq!(packed, default, "all else is the default");

    // A key begins right after the `#`, an explanation after a space.
    let shown = |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned();
    let all: Vec<String> = text.lines().filter(|line| *line != "listen = \"off\"").map(shown).collect();
    let mut all = Config::parse(&all.join("\n"), &path)?;
    ensure!(all.tls.take().is_some(), "it shows no [tls]");
    // By default it is beside the log, wherever that is.
    assert_eq!(all.log.audit_file.take(), audit_file(&Config::default().log));
    // There is none by default; it is shown with an address of documentation.
    ensure!(all.tunnel.local_ip.take().is_some(), "it shows no local_ip");
    assert_eq!(all, Config::default(), "a key is shown with another value than its default");

    let reference = read("docs/operators-guide/configuration.md")?;
    let keys = reference.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let missing: Vec<&str> = keys.filter(|key| *key != "clients" && !text.contains(&format!("{key} = "))).collect();
    assert_eq!(missing, Vec::<&str>::new(), "keys that the packed configuration does not show");
    Ok(())
}

/// What systemd 219, XenServer's, would take for something else (see the unit's head).
#[test]
fn the_unit_is_understood_by_an_old_systemd() -> Result<()> {
    let unit = read("systemd/ovstunneld.service")?;
    let value = |key: &str| unit.lines().filter_map(|line| line.strip_prefix(key)).collect::<Vec<_>>();
    ensure!(value("SystemCallFilter=").iter().all(|calls| calls.starts_with('~')), "a list of allowed system calls");
    assert_eq!(value("ProtectSystem="), ["full", "strict"], "what it knows comes first");
    ensure!(value("Exec").iter().all(|line| line.contains("=/")), "a prefix before a path of Exec…");
    let (renew, timer) = (read("systemd/ovstunneld-renew.service")?, read("systemd/ovstunneld-renew.timer")?);
    ensure!(renew.contains("\nConditionPathExists=/etc/ovstunnel/tls/zone.toml\n"), "it runs where nobody has joined");
    ensure!(timer.contains("\nPersistent=true\n") && timer.contains("\nAccuracySec="), "{timer}");
    let once = read("systemd/ovstunneld-once@.service")?;
    ensure!(!once.contains("\nRuntimeDirectory="), "its end would take the daemon's socket away");
    Ok(())
}

/// The same files, by the same table, as packages have.
#[test]
fn an_install_below_a_folder_is_removed_again() -> Result<()> {
    let (folder, _) = (tempfile::tempdir()?, Built::find()?);
    let root = shown(folder.path());
    let config = folder.path().join("etc/ovstunnel/ovstunneld.toml");
    script("install", ["--root", &root, "--kvm", "--dry-run"])?;
    assert_eq!(fs::read_dir(folder.path())?.count(), 0, "a dry run has done something");
    let agent = folder.path().join("etc/cloudstack/agent");
    let link = agent.join("ovstunnel.py");
    fs::create_dir_all(&agent)?;
    fs::write(agent.join("agent.properties"), "network.bridge.type=openvswitch\n")?;
    script("install", ["--root", &root, "--kvm"])?;
    let packed = Config::parse(&fs::read_to_string(&config)?, &config)?;
    assert_eq!(packed.network.ipv6, Ipv6Policy::Allow, "CloudStack never dropped it on KVM");
    assert_eq!(fs::read_link(&link)?, Path::new("/usr/lib/ovstunnel/ovstunnel-kvm"));
    fs::remove_file(&link)?;
    script("install", ["--root", &root, "--kvm"])?;
    ensure!(link.symlink_metadata().is_err(), "a link that was taken away is made again");
    script("uninstall", ["--root", &root, "--purge"])?;
    script("install", ["--root", &root, "--kvm"])?;
    ensure!(link.symlink_metadata().is_ok(), "no link");
    script("uninstall", ["--root", &root, "--purge"])?;
    ensure!(link.symlink_metadata().is_err(), "the link stays");
    fs::remove_dir_all(folder.path().join("etc/cloudstack"))?;
    for _ in 0..2 {
        script("install", ["--root", &root, "--kvm"])?;
        ensure!(folder.path().join("usr/sbin/ovstunneld").exists() && config.exists(), "not installed");
        fs::write(&config, "# edited\n")?;
    }
    ensure!(!folder.path().join("etc/xapi.d").exists(), "this host has no xapi");
    assert_eq!(fs::read_to_string(&config)?, "# edited\n", "the second time keeps it");
    let before = run("find", &[&root])?;
    script("uninstall", ["--root", &root, "--dry-run"])?;
    assert_eq!(run("find", &[&root])?, before, "a dry run has done something");
    script("uninstall", ["--root", &root])?;
    let left = run("sh", &["-c", "cd \"$1\" && find . -type f | sort", "sh", &root])?;
    assert_eq!(left, "./etc/logrotate.d/ovstunnel\n./etc/ovstunnel/ovstunneld.toml\n./usr/lib/ovstunnel/installed");
    script("uninstall", ["--root", &root])?;
    assert_eq!(run("sh", &["-c", "cd \"$1\" && find . -type f | sort", "sh", &root])?, left, "the second time");
    script("install", ["--root", &root, "--dom0"])?;
    ensure!(!folder.path().join("usr/lib/ovstunnel/ovstunnel-kvm").exists(), "this host has no KVM agent");
    ensure!(folder.path().join("etc/xapi.d/plugins/ovstunnel").exists(), "no plugin");
    script("uninstall", ["--root", &root])?;
    script("uninstall", ["--root", &root, "--purge"])?;
    assert_eq!(run("find", &[&root, "!", "-type", "d"])?, "", "left after a purge that came later");
    script("install", ["--root", &root, "--kvm"])?;
    // What a manager has written since.
    fs::create_dir_all(folder.path().join("var/lib/ovstunnel"))?;
    fs::create_dir_all(folder.path().join("var/log"))?;
    for file in ["lib/ovstunnel/manager.db", "lib/ovstunnel/manager.db-wal", "log/ovstunnel-manager-audit.log.1"] {
        fs::write(folder.path().join("var").join(file), "")?;
    }
    script("uninstall", ["--root", &root, "--purge"])?;
    assert_eq!(run("find", &[&root, "!", "-type", "d"])?, "", "left after a purge");
    Ok(())
}
