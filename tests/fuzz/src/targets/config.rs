//! The daemon's configuration file.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use ovstunnel_plan::Encap;
use ovstunnel_server::config::ConfigError;
use ovstunneld::config::{Config, IpsecMode, PskFile};

use crate::readable;

/// What is accepted is within its bounds; a refusal names a place that is there.
pub(crate) fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Config::parse(&text, Path::new("/c.toml")) {
        Ok(config) => bounded(&config),
        Err(error) => {
            readable(&error.to_string(), 2_000);
            if let ConfigError::Invalid { line, column, .. } = error {
                let lines: Vec<&str> = text.split('\n').collect();
                let length = lines.get(line.wrapping_sub(1)).map(|line| line.chars().count());
                assert!(length.is_some_and(|length| (1..=length + 1).contains(&column)), "{line}:{column}");
            }
        }
    }
}

fn bounded(config: &Config) {
    let hour = Duration::from_secs(3600);
    for timeout in [config.ovs.timeout, config.xapi.timeout] {
        assert!(timeout > Duration::ZERO && timeout <= hour, "{timeout:?}");
    }
    let interval = config.reconcile.interval;
    assert!(interval >= Duration::from_secs(1) && interval <= 24 * hour, "{interval:?}");
    let socket = &config.api.socket;
    assert!(socket.is_absolute() && socket.as_os_str().len() <= 107, "{socket:?}");
    let tls = config.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key, &tls.client_ca]);
    let crl = config.tls.iter().filter_map(|tls| tls.client_crl.as_ref());
    assert!(
        tls.chain(crl).chain([&config.ovs.rundir, &config.log.file, &config.xapi.xe]).all(|path| path.is_absolute())
    );
    let tunnel = &config.tunnel;
    let ipsec = [&tunnel.ipsec_certificate, &tunnel.ipsec_private_key, &tunnel.ipsec_ca_cert];
    let key = tunnel.ipsec_psk_file.as_ref().map(PskFile::path);
    assert!(ipsec.into_iter().flatten().map(AsRef::as_ref).chain(key).all(Path::is_absolute), "{tunnel:?}");
    if tunnel.ipsec != IpsecMode::Off {
        assert!(tunnel.encap() == Encap::of_kind(tunnel.kind) && config.ovs.datapath_type != "netdev", "{tunnel:?}");
    }
    let prefixes = &config.network.vif_prefixes;
    assert!(!prefixes.is_empty() && prefixes.iter().all(|prefix| (1..=14).contains(&prefix.len())), "{prefixes:?}");
    assert!(config.network.vif_broadcast_pps <= 1_000_000);
    let size = config.log.max_size.as_u64();
    assert!((64 << 10..=1 << 40).contains(&size), "{size}");
    let clients: Vec<&str> =
        config.tls.iter().flat_map(|tls| &tls.clients).map(|client| client.name.as_str()).collect();
    let names: BTreeSet<&str> = clients.iter().copied().collect();
    assert!(names.len() == clients.len() && !names.contains(""), "{clients:?}");
    assert!(config.api.listen.is_none() || config.tls.is_some());
}
