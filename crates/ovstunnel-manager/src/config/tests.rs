//! What of a configuration is taken, and how the rest is refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("manager.toml")).map_err(|error| error.to_string())
}

#[test]
fn an_empty_file_means_the_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.sdn.ovs.default_label, "cloud-public");
    assert_eq!(config.https_listener(), None);
}

#[test]
fn the_three_files_of_hosts_serve_https_too() {
    let config = parse("[hosts]\ncertificate = \"/c\"\nkey = \"/k\"\nca = \"/a\"\n").unwrap();
    let (listen, tls) = config.https_listener().unwrap();
    assert_eq!((listen.port(), tls.certificate, tls.client_ca), (8444, "/c".into(), "/a".into()));
}

#[test]
fn the_specification_s_keys_are_written_as_it_has_them() {
    let config = parse("zone = \"dc1\"\nsdn.ovs.controller = false\nsdn.ovs.default_label = \"eth1\"\n").unwrap();
    assert_eq!((config.zone.as_str(), config.sdn.ovs.default_label.as_str()), ("dc1", "eth1"));
}

/// A table of a physical network.
fn physical(name: &str, isolation: &str, vnet: &str) -> String {
    format!("[[physical_networks]]\nname = \"{name}\"\nisolation = \"{isolation}\"\nvnet = \"{vnet}\"\n")
}

#[test]
fn physical_networks_and_rules_are_read_as_the_guide_has_them() {
    let text = physical("p1", "GRE", "1001-65535,70000-80000") + &physical("p2", "VLAN", "1-4096");
    let config =
        parse(&(text + "[membership]\nwitnesses = [\"vifs\"]\nlinger = \"0s\"\n[brakes]\nzone = 1\n")).unwrap();
    let names: Vec<_> = config.physical_networks.iter().map(|p| (p.name.as_str(), p.isolation.as_str())).collect();
    assert_eq!(names, [("p1", "GRE"), ("p2", "VLAN")]);
    let rules = config.membership.membership_rules(config.hosts.dead_after, config.cloudstack.interval);
    let words: Vec<_> = rules.witnesses.iter().map(|witness| witness.as_str()).collect();
    assert_eq!((words, rules.linger, config.brakes.zone), (vec!["vifs"], Duration::ZERO, 1.0));
    assert_eq!(
        Config::default().membership.membership_rules(rules.dead_after, Config::default().cloudstack.interval),
        ovstunnel_mesh::membership::Rules::default()
    );
}

#[test]
fn a_bad_value_is_refused_by_name_with_the_rule() {
    let cases = [
        ("zone = \"a b\"", "zone", "1 to 63 characters"),
        ("sdn.ovs.controller = true", "sdn.ovs.controller", "name certificate, key and ca"),
        ("sdn.ovs.default_label = \"\"", "sdn.ovs.default_label", "1 to 45 characters"),
        ("[database]\nurl = \"mysql://x\"", "database.url", "mysql://USER"),
        ("[database]\ncertificate = \"/c\"", "database.key", "is needed too"),
        ("[database]\nkey = \"/k\"", "database.certificate", "is needed too"),
        ("[database]\ncertificate = \"/c\"\nkey = \"/k\"", "database.ca", "is needed too"),
        ("[database]\nurl = \"mysqll://u:geheim@h/d\"", "database.url", "postgres://USER"),
        ("[database]\nurl = \"postgres://u:geheim@h/\"", "database.url", "is not shown"),
        ("[database]\nurl = \"/var/lib/x.db\"", "database.url", "sqlite:// and an absolute path"),
        ("[database]\nca = \"ca.pem\"", "database.ca", "absolute"),
        ("[replica]\nname = \"a b\"", "replica.name", "1 to 32 characters"),
        ("[replica]\naddress = \"http://m1\"", "replica.address", "https://HOST:PORT"),
        ("[replica]\nmanagers = [\"m1\", \"\"]", "replica.managers", "1 to 64 characters"),
        ("[database]\ncloudstack_url = \"postgres://u:geheim@h/cloud\"", "database.cloudstack_url", "mysql://USER"),
        ("[database]\ncloudstack_url = \"mysql://u:geheim@h\"", "database.cloudstack_url", "mysql://USER"),
        ("[[webhooks]]\nname = \"a\"\nurl = \"ftp://h\"", "url", "https://HOST/PATH"),
        ("[[webhooks]]\nname = \"a b\"\nurl = \"https://h\"", "name", "1 to 63 characters"),
        ("[[webhooks]]\nname = \"a\"\nurl = \"https://h\"\nevents = []", "events", "at least one kind"),
        (
            "[[webhooks]]\nname = \"a\"\nurl = \"https://h\"\nevents = [\"A\"]",
            "events",
            "such as \"fault_found\"; got `A`",
        ),
        ("[[webhooks]]\nname = \"a\"\nurl = \"https://h\"\nsecret = \"x\"", "secret", "absolute"),
        ("[database]\nstates = \"created\"", "database.states", "`specification` or `cloudstack`"),
        ("[hosts]\ncertificate = \"/c\"", "hosts.key", "is needed too"),
        ("[hosts]\nconcurrency = 0", "hosts.concurrency", "from 1 to 1024"),
        ("[hosts]\ndead_after = \"1s\"", "hosts.dead_after", "from \"10s\""),
        ("[events]\nkeep = \"1s\"", "events.keep", "from \"1h\""),
        ("[events]\nmost = 999", "events.most", "from 1000 to 100000000"),
        ("[membership]\nwitnesses = []", "membership.witnesses", "at least one"),
        ("[membership]\nwitnesses = [\"api\", \"api\"]", "membership.witnesses", "each at most once"),
        ("[membership]\nwitnesses = [\"xapi\"]", "membership.witnesses", "\"cloudstack\""),
        ("[cloudstack]\nurl = \"https://h/client/api\"", "cloudstack.keys", "is needed too"),
        ("[membership]\nwitnesses = [\"cloudstack\"]", "membership.witnesses", "cloudstack.url"),
        ("[cloudstack]\nwebhook_secret = \"/s\"", "cloudstack.url", "is needed too"),
        ("[cloudstack]\nurl = \"ftp://h/client/api\"", "cloudstack.url", "https://HOST:PORT/client/api"),
        ("[cloudstack]\nurl = \"https://u:p@h/client/api\"", "cloudstack.url", "without user"),
        ("[cloudstack]\ninterval = \"5s\"", "cloudstack.interval", "to \"1h\""),
        ("[cloudstack]\nzone = \"a b\"", "cloudstack.zone", "id of a zone"),
        ("[cloudstack]\nsignature = \"md5\"", "cloudstack.signature", "sha256"),
        ("[membership]\nlinger = \"2d\"", "membership.linger", "to \"1d\""),
        ("[membership]\nmigration = \"1s\"", "membership.migration", "from \"1m\""),
        ("[network]\non_failure = \"stop\"", "network.on_failure", "`continue` or `fail`"),
        ("[network]\ngc = \"1s\"", "network.gc", "from \"1m\""),
        ("[brakes]\nzone = 1.5", "brakes.zone", "from 0 to 1"),
        ("[brakes]\nnetwork = -1", "brakes.network", "from 0 to 1"),
        ("[probes]\nbfd = 1", "probes.bfd", "expected a boolean"),
        ("[[physical_networks]]\nname = \"p\"\nvnet = \"1\"", "physical_networks", "missing field `isolation`"),
        (&physical("p", "VXLAN", "1"), "isolation", "`GRE` or `VLAN`"),
        (&physical("p q", "GRE", "1"), "name", "1 to 63 characters"),
        (
            &physical("p", "VLAN", "1-4097"),
            "vnet of `p`",
            "from 1 to 4096 where the isolation is not GRE; got `1-4097`",
        ),
        (&physical("p", "GRE", "0-10"), "vnet of `p`", "from 1 to 2147483647"),
        (&physical("p", "GRE", ""), "vnet of `p`", "must be ranges and numbers"),
        (&(physical("p", "GRE", "1") + &physical("p", "GRE", "2")), "physical_networks", "`p` is there twice"),
        ("colour = 1", "colour", "unknown field"),
    ];
    for (text, key, rule) in cases {
        let error = parse(text).unwrap_err();
        assert!(error.contains(key) && error.contains(rule) && error.contains("manager.toml"), "{text}: {error}");
        assert!(!error.contains("geheim"), "a password is shown: {error}");
    }
}

/// Each key that the example shows is shown with its default, but for the files that have none.
#[test]
fn the_example_shows_each_key_with_its_default() {
    let text = include_str!("../../../../examples/manager.toml");
    assert_eq!(parse(text).unwrap(), Config::default(), "as it stands");
    let shown = |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned();
    let mut all = parse(&text.lines().map(shown).collect::<Vec<_>>().join("\n")).unwrap();
    let default = Config::default();
    for file in [&mut all.hosts.certificate, &mut all.hosts.key, &mut all.hosts.ca] {
        assert!(file.take().is_some(), "it shows no file");
    }
    assert!(all.database.cloudstack_url.take().is_some(), "it shows no address");
    assert!(all.database.ca.take().is_some(), "it shows no certificates of a database server");
    for file in [&mut all.database.certificate, &mut all.database.key] {
        assert!(file.take().is_some(), "it shows no certificate for a database server");
    }
    let cloud = &mut all.cloudstack;
    for file in [&mut cloud.keys, &mut cloud.ca, &mut cloud.webhook_secret] {
        assert!(file.take().is_some(), "it shows no file of CloudStack's");
    }
    assert!(cloud.url.take().is_some() && cloud.zone.take().is_some(), "it shows no CloudStack");
    assert!(all.replica.address.take().is_some(), "it shows no address of a replica");
    assert!(all.replica.name.take().is_some(), "it shows no name of a replica");
    assert_eq!(std::mem::take(&mut all.physical_networks).len(), 1, "it shows no physical network");
    assert_eq!(std::mem::take(&mut all.webhooks).len(), 1, "it shows no webhook");
    assert!(all.tls.take().is_some(), "it shows no [tls]");
    assert!(all.enrolment.authority.take().is_some(), "it shows no CA");
    assert!(all.log.audit_file.take().is_some(), "it shows no file of the audit");
    assert_eq!(all, default);
    let reference = include_str!("../../../../docs/operators-guide/manager-configuration.md");
    let keys = reference.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let is_shown = |key: &str| text.contains(&format!("{key} = ")) || text.contains(&format!("{key}]]"));
    let missing: Vec<&str> = keys.filter(|key| !is_shown(key)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "keys that examples/manager.toml does not show");
}

#[test]
fn a_server_url_is_accepted_and_shown_without_its_password() {
    for (scheme, query) in [("mysql", ""), ("mariadb", "?ssl-mode=REQUIRED"), ("postgres", "?password=geheim")] {
        let config = parse(&format!("[database]\nurl = \"{scheme}://ovs:ge@heim@192.0.2.9/zone{query}\"\n")).unwrap();
        assert!(config.database.url.is_shared() && config.database.url.as_str().contains("heim"));
        let told = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
        assert!(told.contains(&format!("{scheme}://ovs:…@192.0.2.9/zone")) && !told.contains("heim"), "{told}");
    }
    assert!(!Config::default().database.url.is_shared());
}
