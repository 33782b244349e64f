//! What stands at the end of man pages: files, environment, and the pages to read next. Must not repeat an option's help.

use clap_mangen::roff::{Roff, bold, roman};

/// The command's own page, and those that each page of a command names.
const OPERATOR: &str = "ovstunnelctl";

const CONFIGURATION: (&str, &str) =
    ("/etc/ovstunnel/ovstunneld.toml", "The daemon's configuration: ovstunneld.toml(5).");

const SOCKET: (&str, &str) = ("/run/ovstunnel/ovstunneld.sock", "The daemon's Unix socket, for root.");

const LOG: (&str, &str) = ("/var/log/ovstunnel.log", "The daemon's log; an older one beside it ends with .1.");

/// What the operator's command listens to, in the order of precedence behind the command line.
const VARIABLES: [(&str, &str); 15] = [
    ("OVSTUNNEL_SOCKET", "Path of the daemon's Unix socket, as --socket."),
    ("OVSTUNNEL_HOST", "Name of a host, as --host."),
    ("OVSTUNNEL_URL", "URL of a daemon, as --url."),
    ("OVSTUNNEL_MANAGER_SOCKET", "Path of the manager's Unix socket, for zone."),
    ("OVSTUNNEL_MANAGER_HOST", "Name of the manager's machine, for zone."),
    ("OVSTUNNEL_MANAGER_URL", "URL of the manager, for zone."),
    ("OVSTUNNEL_CA", "Certificate of the CA, as --ca."),
    ("OVSTUNNEL_CERT", "Client certificate, as --cert."),
    ("OVSTUNNEL_KEY", "Key of the client certificate, as --client-key."),
    ("OVSTUNNEL_HOSTS", "The file of hosts, in place of those below FILES."),
    ("VISUAL", "The editor of edit."),
    ("EDITOR", "The same, where VISUAL is not set; vi where neither is."),
    ("TMPDIR", "Folder of the text that edit hands to the editor."),
    ("NO_COLOR", "Not empty: no colours, also at a terminal."),
    ("XDG_CONFIG_HOME", "Folder of ovstunnel/hosts.toml, in place of ~/.config."),
];

/// For a page of the operator's command or of one of its commands.
pub(super) fn of_command(name: &str) -> Roff {
    let mut roff = Roff::new();
    if name == OPERATOR {
        let files = [
            ("~/.config/ovstunnel/hosts.toml", "Hosts for --host, with their certificates."),
            ("/etc/ovstunnel/hosts.toml", "The same for all users, where one has no file of his own."),
            SOCKET,
            CONFIGURATION,
            LOG,
        ];
        pairs(&mut roff, "FILES", &files);
        pairs(&mut roff, "ENVIRONMENT", &VARIABLES);
    }
    let own = (name != OPERATOR).then_some((OPERATOR, "1"));
    see_also(&mut roff, own.into_iter().chain([("ovstunneld", "8"), ("ovstunneld.toml", "5"), ("ovs-vsctl", "8")]));
    roff
}

/// For the manager's page.
pub(super) fn of_manager() -> Roff {
    let mut roff = Roff::new();
    let files = [
        ("/etc/ovstunnel/manager.toml", "The manager's configuration: ovstunnel-manager.toml(5)."),
        ("/run/ovstunnel/manager.sock", "The manager's Unix socket, for root."),
        ("/var/lib/ovstunnel/manager.db", "The zone: its hosts, and what has happened."),
        ("/var/log/ovstunnel-manager.log", "The manager's log; an older one beside it ends with .1."),
    ];
    pairs(&mut roff, "FILES", &files);
    pairs(&mut roff, "ENVIRONMENT", &[("NOTIFY_SOCKET", "Where systemd is told that it is ready, reloads or ends.")]);
    see_also(&mut roff, [("ovstunnelctl", "1"), ("ovstunnel-manager.toml", "5"), ("ovstunneld", "8")].into_iter());
    roff
}

/// For the daemon's page.
pub(super) fn of_daemon() -> Roff {
    let mut roff = Roff::new();
    let audit = ("/var/log/ovstunnel-audit.log", "One line for each request that changes something.");
    pairs(&mut roff, "FILES", &[CONFIGURATION, SOCKET, LOG, audit]);
    let variables = [
        ("NOTIFY_SOCKET", "Where systemd is told that the daemon is ready, reloads or ends."),
        ("WATCHDOG_USEC", "How often systemd wants to hear that it is alive, in microseconds."),
        ("JOURNAL_STREAM", "Set by systemd where standard error is the journal: lines have a priority then."),
    ];
    pairs(&mut roff, "ENVIRONMENT", &variables);
    let pages = [(OPERATOR, "1"), ("ovstunneld.toml", "5"), ("ovs-vswitchd", "8"), ("ovs-vsctl", "8")];
    see_also(&mut roff, pages.into_iter());
    roff
}

/// A section of names with their meaning.
fn pairs(roff: &mut Roff, title: &str, pairs: &[(&str, &str)]) {
    roff.control("SH", [title]);
    for (name, meaning) in pairs {
        roff.control("TP", []).text([bold(*name)]).text([roman(*meaning)]);
    }
}

/// The section that names other pages.
pub(super) fn see_also<'a>(roff: &mut Roff, pages: impl Iterator<Item = (&'a str, &'a str)>) {
    roff.control("SH", ["SEE ALSO"]);
    let mut words = Vec::new();
    for (name, section) in pages {
        if !words.is_empty() {
            words.push(roman(", "));
        }
        words.extend([bold(name), roman(format!("({section})"))]);
    }
    roff.text(words);
}
