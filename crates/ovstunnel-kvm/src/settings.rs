//! What of the daemon's configuration counts here. Must not judge the file, which the daemon does; what cannot be read leaves the defaults.

use std::path::PathBuf;

use ovstunnel_client::DEFAULT_SOCKET;
use ovstunnel_types::CreateTunnelExit;
use serde::Deserialize;

/// The file, as the packages have it.
const DEFAULT_FILE: &str = "/etc/ovstunnel/ovstunneld.toml";

/// Names another file; the agent gives no options of ours.
const FILE: &str = "OVSTUNNEL_CONFIG";

/// Overrides the socket.
const SOCKET: &str = "OVSTUNNEL_SOCKET";

/// What counts.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the daemon is.
    pub socket: PathBuf,
    /// How `create_tunnel` ends.
    pub create_tunnel_exit: CreateTunnelExit,
}

/// As much of the file. All else in it is passed by.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    api: Api,
    kvm: Kvm,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Api {
    socket: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Kvm {
    create_tunnel_exit: CreateTunnelExit,
}

impl Settings {
    /// Those of this host.
    pub fn load() -> Self {
        let file = std::env::var_os(FILE).map_or_else(|| PathBuf::from(DEFAULT_FILE), PathBuf::from);
        let settings = Settings::parse(&std::fs::read_to_string(file).unwrap_or_default());
        match std::env::var_os(SOCKET) {
            Some(socket) => Settings { socket: socket.into(), ..settings },
            None => settings,
        }
    }

    fn parse(text: &str) -> Self {
        let file: File = toml::from_str(text).unwrap_or_default();
        Settings {
            socket: file.api.socket.unwrap_or_else(|| DEFAULT_SOCKET.into()),
            create_tunnel_exit: file.kvm.create_tunnel_exit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_count_and_all_else_is_passed_by() {
        let default = Settings { socket: DEFAULT_SOCKET.into(), create_tunnel_exit: CreateTunnelExit::Zero };
        for text in
            ["", "[network]\nipv6 = \"allow\"\n[[tls.clients]]\nname = \"x\"", "not = [toml", "[kvm]\nother = 1"]
        {
            assert_eq!(Settings::parse(text), default, "{text}");
        }
        let told = "[api]\nlisten = \"off\"\nsocket = \"/run/x.sock\"\n[kvm]\ncreate_tunnel_exit = \"inverted\"\n";
        let inverted = Settings { socket: "/run/x.sock".into(), create_tunnel_exit: CreateTunnelExit::Inverted };
        assert_eq!(Settings::parse(told), inverted);
    }
}
