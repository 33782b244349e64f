//! What an operator sees of good and bad configuration files.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use bytesize::ByteSize;
use ovstunnel_plan::BridgeMtu;
use ovstunnel_server::config::{LogFormat, Role, TlsClient};
use ovstunnel_types::{Tos, TunnelOptions};

use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("/etc/x.toml")).map_err(|e| e.to_string())
}

/// The refusal of one line, put third in a file that is otherwise good.
fn refusal(section: &str, line: &str) -> String {
    let off = if section == "api" { "" } else { "\n[api]\nlisten = \"off\"\n" };
    parse(&format!("# comment\n[{section}]\n{line}\n{off}")).unwrap_err()
}

#[test]
fn roles_of_a_manager_are_refused() {
    let files = "[tls]\ncertificate = \"/c\"\nkey = \"/k\"\nclient_ca = \"/ca\"\n";
    for role in ["admin", "host"] {
        let error = parse(&format!("{files}[[tls.clients]]\nname = \"a\"\nrole = \"{role}\"\n")).unwrap_err();
        assert!(error.starts_with("/etc/x.toml: tls.clients: "), "{error}");
        let rule =
            format!("the role `{role}` of `a` is one of a zone's manager; here it must be `operator` or `viewer`");
        assert!(error.contains(&rule), "{error}");
    }
}

#[test]
fn the_kind_of_tunnels_and_their_port_are_read_and_gre_has_none() {
    let tunnel =
        |lines: &str| parse(&format!("[api]\nlisten = \"off\"\n[tunnel]\n{lines}")).map(|config| config.tunnel.encap());
    let of = |text: &str| Ok(text.parse().unwrap());
    assert_eq!([tunnel(""), tunnel("kind = \"gre\"")], [of("gre"), of("gre")]);
    assert_eq!(tunnel("kind = \"geneve\""), of("geneve"));
    assert_eq!(
        [tunnel("kind = \"vxlan\"\ndst_port = 4789"), tunnel("kind = \"vxlan\"\ndst_port = 8472")],
        [of("vxlan"), of("vxlan:8472")]
    );
    let refused = tunnel("dst_port = 4789").unwrap_err();
    assert!(
        refused
            .ends_with("tunnel.dst_port must not be given where tunnel.kind is \"gre\", which has no ports; got 4789"),
        "{refused}"
    );
    for (line, told) in [
        ("kind = \"VXLAN\"", "unknown variant `VXLAN`, expected one of `gre`, `vxlan`, `geneve`"),
        ("dst_port = 0", "expected a UDP port, a whole number from 1 to 65535"),
        ("dst_port = 65536", "integer `65536`, expected a UDP port"),
    ] {
        let refused = refusal("tunnel", line);
        assert!(refused.contains(told), "{refused}");
    }
}

#[test]
fn what_tunnels_packets_have_is_read() {
    let options = |lines: &str| parse(&format!("[api]\nlisten = \"off\"\n[tunnel]\n{lines}")).unwrap().tunnel.options();
    assert_eq!(options(""), TunnelOptions::default());
    let all = TunnelOptions { csum: true, tos: Some(Tos::Inherit), df: false, ..TunnelOptions::default() };
    assert_eq!(options("csum = true\ntos = \"inherit\"\ndf = false"), all);
    assert_eq!(options("tos = 184").tos, Some(Tos::Octet(184)));
    for (line, told) in [
        ("tos = 185", "integer `185`, expected \"inherit\", or a multiple of 4 from 0 to 252"),
        ("tos = -4", "integer `-4`, expected"),
        ("tos = 256", "integer `256`, expected"),
        ("tos = \"ef\"", "string \"ef\", expected \"inherit\", or a multiple of 4"),
        ("csum = 1", "expected a boolean"),
    ] {
        let refused = refusal("tunnel", line);
        assert!(refused.contains(told), "{refused}");
    }
}

#[test]
fn every_key_but_tls_has_a_default() {
    let config = parse("[api]\nlisten = \"off\"").unwrap();
    assert_eq!(config, Config { api: Api { listen: None, ..default_api() }, ..Config::default() });
    assert_eq!(config.ovs.timeout, Duration::from_secs(30));
    assert_eq!(config.network.vif_prefixes, ["vif", "tap", "vnet"]);
    assert_eq!(Config::default().api.listen.unwrap().to_string(), "0.0.0.0:8443");
}

#[test]
fn every_key_can_be_set() {
    let config = parse(
        r#"
        [api]
        listen = "[::1]:9443"
        socket = "/run/x.sock"
        [tls]
        certificate = "/c"
        key = "/k"
        client_ca = "/a"
        client_crl = "/r"
        [[tls.clients]]
        name = "manager"
        role = "operator"
        [[tls.clients]]
        name = "spiffe://cloud/grafana"
        role = "viewer"
        [ovs]
        rundir = "/r"
        bin_dir = "/b"
        timeout = "1m 30s"
        datapath_type = "netdev"
        writes = "native"
        [network]
        ipv6 = "allow"
        vif_prefixes = ["p-"]
        vif_broadcast_pps = 200
        ipv6_drop_opaque = true
        bridge_mtu = "fit"
        answer_neighbours = true
        [xapi]
        enabled = true
        xe = "/xe"
        timeout = "3s"
        inventory = "/i"
        [log]
        file = "/l"
        level = "warn,ovstunneld::listen=debug"
        format = "json"
        max_size = "1.5 GiB"
        [reconcile]
        interval = "5s"
        "#,
    )
    .unwrap();
    assert_eq!(config.api.listen.unwrap().to_string(), "[::1]:9443");
    assert_eq!(config.api.socket, Path::new("/run/x.sock"));
    let tls = config.tls.clone().unwrap();
    assert_eq!((tls.client_ca, tls.client_crl), ("/a".into(), Some("/r".into())));
    let grafana = TlsClient { name: "spiffe://cloud/grafana".into(), role: Role::Viewer };
    assert_eq!((tls.clients.len(), &tls.clients[1]), (2, &grafana));
    assert_eq!(config.log.max_size, ByteSize::mib(1536));
    assert_eq!(config.ovs.timeout, Duration::from_secs(90));
    assert_eq!((config.ovs.datapath_type.as_str(), config.ovs.writes), ("netdev", Writes::Native));
    assert_eq!(
        config.network,
        Network {
            ipv6: Ipv6Policy::Allow,
            vif_prefixes: vec!["p-".into()],
            vif_broadcast_pps: 200,
            ipv6_drop_opaque: true,
            bridge_mtu: BridgeMtu::Fit,
            answer_neighbours: true
        }
    );
    let (xe, inventory) = ("/xe".into(), "/i".into());
    assert_eq!(config.xapi, Xapi { enabled: XapiMode::On, xe, timeout: Duration::from_secs(3), inventory });
    assert_eq!(config.log.level.as_str(), "warn,ovstunneld::listen=debug");
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.reconcile.interval, Duration::from_secs(5));
}

#[test]
fn https_without_certificates_says_what_to_do() {
    let error = parse("").unwrap_err();
    for part in ["/etc/x.toml", "[tls]", "0.0.0.0:8443", "client_ca", "listen = \"off\""] {
        assert!(error.contains(part), "{part} is missing in: {error}");
    }
}

#[test]
fn only_the_default_file_may_be_missing() {
    let error = Config::load(Some(Path::new("/nonexistent/o.toml"))).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/o.toml") && error.contains("No such file"), "{error}");
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_known_ones() {
    let error = refusal("api", "lisen = \"off\"");
    assert!(error.starts_with("/etc/x.toml:3:1: "), "{error}");
    assert!(error.contains("`lisen`") && error.contains("`listen`") && error.contains("`socket`"), "{error}");
    let error = parse("[apo]\n").unwrap_err();
    assert!(error.starts_with("/etc/x.toml:1:2: ") && error.contains("`reconcile`"), "{error}");
}

#[test]
fn a_missing_certificate_key_is_named() {
    let error = refusal("tls", "certificate = \"/c\"");
    assert!(error.starts_with("/etc/x.toml:2:") && error.contains("`key`"), "{error}");
}

#[test]
fn broken_toml_is_refused_with_its_line() {
    assert!(parse("[api]\nlisten =\n").unwrap_err().starts_with("/etc/x.toml:2:"));
}

#[test]
fn bad_values_are_refused_with_line_key_and_rule() {
    let long = format!("socket = \"/{}\"", "s".repeat(107));
    let cases = [
        ("api", "listen = \"8443\"", "api.listen", "address and port"),
        ("api", "listen = 8443", "api.listen", "address and port"),
        ("api", "listen = \"\"", "api.listen", "\"off\""),
        ("api", "socket = \"run/x.sock\"", "api.socket", "absolute path"),
        ("api", long.as_str(), "api.socket", "107 bytes"),
        ("tls", "certificate = \"c.pem\"", "tls.certificate", "absolute path"),
        ("ovs", "timeout = \"0s\"", "ovs.timeout", "more than 0"),
        ("ovs", "timeout = \"-1s\"", "ovs.timeout", "more than 0"),
        ("ovs", "timeout = \"2h\"", "ovs.timeout", "at most one hour"),
        ("ovs", "timeout = 30", "ovs.timeout", "\"30s\""),
        ("ovs", "timeout = \"soon\"", "ovs.timeout", "\"30s\""),
        ("ovs", "writes = \"ovsdb\"", "ovs.writes", "`native`"),
        ("ovs", "datapath_type = \"dpdk\"", "ovs.datapath_type", "\"netdev\""),
        ("ovs", "rundir = \"\"", "ovs.rundir", "absolute path"),
        ("network", "ipv6 = \"deny\"", "network.ipv6", "`allow`"),
        ("network", "vif_broadcast_pps = -1", "network.vif_broadcast_pps", "from 0 (no limit) to 1000000"),
        ("network", "vif_broadcast_pps = 1000001", "network.vif_broadcast_pps", "from 0 (no limit) to 1000000"),
        ("network", "bridge_mtu = \"1450\"", "network.bridge_mtu", "`fit`"),
        ("network", "vif_prefixes = []", "network.vif_prefixes", "at least one"),
        ("network", "vif_prefixes = [\"\"]", "network.vif_prefixes[0]", "1 to 14"),
        ("network", "vif_prefixes = [\"vif\", \"a b\"]", "network.vif_prefixes[1]", "1 to 14"),
        ("tunnel", "forget_after = \"9s\"", "tunnel.forget_after", "from \"10s\" to \"365d\""),
        ("tunnel", "forget_after = \"366d\"", "tunnel.forget_after", "from \"10s\" to \"365d\""),
        ("tunnel", "forget_after = 86400", "tunnel.forget_after", "or \"off\""),
        ("xapi", "enabled = \"yes\"", "xapi.enabled", "\"auto\""),
        ("xapi", "timeout = \"0s\"", "xapi.timeout", "more than 0"),
        ("xapi", "inventory = \"i\"", "xapi.inventory", "absolute path"),
        ("log", "level = \"verbose\"", "log.level", "\"trace\""),
        ("log", "level = \"info,debug\"", "log.level", "MODULE=LEVEL"),
        ("log", "level = \"info,a b=debug\"", "log.level", "MODULE=LEVEL"),
        ("log", "format = \"xml\"", "log.format", "`json`"),
        ("log", "max_size = \"1KiB\"", "log.max_size", "from \"64KiB\" to \"1TiB\""),
        ("log", "max_size = \"big\"", "log.max_size", "\"50MiB\""),
        ("log", "max_size = 1000000", "log.max_size", "\"50MiB\""),
        ("tls", "client_crl = \"r.pem\"", "tls.client_crl", "absolute path"),
        ("tls", "clients = []", "tls.clients", "leave it out where there is no list"),
        ("tls", "clients = [{name = \"a\", role = \"root\"}]", "tls.clients[0].role", "`viewer`"),
        ("tls", "clients = [{name = \"\", role = \"viewer\"}]", "tls.clients[0].name", "1 to 253 characters"),
        ("tls", "clients = [{name = \"a\\nb\", role = \"viewer\"}]", "tls.clients[0].name", "control character"),
        ("tls", "clients = [{name = \"a\"}]", "tls.clients[0]", "`role`"),
        ("reconcile", "interval = \"10ms\"", "reconcile.interval", "\"1s\""),
    ];
    for (section, line, key, rule) in cases {
        let error = refusal(section, line);
        assert!(error.starts_with("/etc/x.toml:3:"), "{line}: {error}");
        assert!(error.contains(&format!("{key}: ")), "{line}: {error}");
        assert!(error.contains(rule), "{line}: {error}");
    }
}

#[test]
fn tunnels_are_forgotten_only_where_they_are_asked_for_again() {
    let with = |exit: &str, after: &str| {
        parse(&format!(
            "[api]\nlisten = \"off\"\n[tunnel]\nforget_after = \"{after}\"\n[kvm]\ncreate_tunnel_exit = \"{exit}\""
        ))
    };
    assert_eq!(with("zero", "24h").unwrap().tunnel.forget_after, Some(Duration::from_secs(86_400)));
    assert_eq!(with("inverted", "off").unwrap().tunnel.forget_after, None);
    let error = with("inverted", "24h").unwrap_err().to_string();
    assert!(
        error.contains("tunnel.forget_after: must be \"off\" where `[kvm] create_tunnel_exit` is \"inverted\""),
        "{error}"
    );
}

#[test]
fn a_client_is_listed_once() {
    let twice = r#"clients = [{name = "a", role = "viewer"}, {name = "a", role = "operator"}]"#;
    let error = refusal("tls", twice);
    assert!(error.starts_with("/etc/x.toml:") && error.contains("the name `a` is there twice"), "{error}");
}

#[test]
fn what_can_change_is_told_from_what_needs_a_restart() {
    let old = parse("[api]\nlisten = \"off\"\n[tls]\ncertificate = \"/c\"\nkey = \"/k\"\nclient_ca = \"/a\"").unwrap();
    let new = "[api]\nsocket = \"/x.sock\"\nlisten = \"off\"\n[ovs]\ntimeout = \"9s\"\ndatapath_type = \"netdev\"\n[log]\nlevel = \"debug\"";
    let new = parse(new).unwrap();
    let difference = old.difference(&new);
    let taken_up = ["log.level", "ovs.datapath_type", "tls.certificate", "tls.client_ca", "tls.clients", "tls.key"];
    assert_eq!(difference.taken_up, taken_up);
    assert_eq!(difference.needs_restart, ["api.socket", "ovs.timeout"]);
    let mixed = old.with_what_can_change(&new);
    assert_eq!((&mixed.api, mixed.ovs.timeout, &mixed.tls), (&old.api, old.ovs.timeout, &old.tls));
    assert_eq!((mixed.ovs.datapath_type.as_str(), mixed.log.level.as_str()), ("netdev", "debug"));
    assert_eq!(old.difference(&old), Difference::default());
}
