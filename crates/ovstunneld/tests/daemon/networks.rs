//! `PUT /v1/networks/{key}`: what the program asks of `xe`, and what is in xapi's database then. What that is to be, a management server
//! and the xapi plugin say: `docs/operators-guide/cloudstack.md`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::common::pool::{Pool, changing};
use crate::common::{Daemon, PATIENCE, request};
use futures_util::future::join;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const LABEL: &str = "OVSTunnel1001";
const PATH: &str = "/v1/networks/1001";
const ZONE: &str = "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90";

fn daemon(pool: &Pool) -> Daemon {
    Daemon::simulated(&pool.section("10s"))
}

/// Status and body of one request, under an epoch, if any.
async fn ask(daemon: &Daemon, line: &str, body: &str, epoch: Option<u64>) -> (u16, Value) {
    let epoch = epoch.map(|number| format!("{ZONE}:{number}"));
    let headers: Vec<_> = epoch.iter().map(|epoch| ("ovstunnel-epoch", epoch.as_str())).collect();
    let headers = [&[("content-type", "application/json")], headers.as_slice()].concat();
    let answer = daemon.ask_socket(&request(line, &headers, body.as_bytes())).await;
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

async fn put(daemon: &Daemon, body: &str) -> (u16, Value) {
    ask(daemon, &format!("PUT {PATH}"), body, None).await
}

async fn get(daemon: &Daemon) -> (u16, Value) {
    ask(daemon, &format!("GET {PATH}"), "", None).await
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// What a network is to say that is set up on these hosts.
fn whole(hosts: &str) -> BTreeMap<String, String> {
    pairs(&[("assume_network_is_shared", "true"), ("is-ovs-tun-network", "True"), ("ovs-host-setup", hosts)])
}

#[track_caller]
fn expect((status, body): (u16, Value), wanted: u16, code: &str) -> Value {
    assert_eq!((status, body["code"].as_str()), (wanted, Some(code)), "{body}");
    body
}

/// What CloudStack's server (from 4.3 on) and its plugin do for a first VM, by `xe`: a network of that name-label and description, without
/// a name for its bridge; `ovs-host-setup` from the beginning; `assume_network_is_shared`, in place of older servers' plugged VIF of the
/// control domain; the plugin's mark and the host's id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_is_made_as_by_a_management_server_and_the_plugin() {
    let pool = Pool::new();
    let daemon = daemon(&pool);
    expect(get(&daemon).await, 404, "not_found");
    pool.calls();
    let (status, made) = put(&daemon, r#"{"host_id": 1}"#).await;
    let [network] = pool.networks().try_into().unwrap();
    assert_eq!(
        (status, &made["outcome"], &made["key"], &made["network_uuid"], &made["bridge"]),
        (201, &json!("created"), &json!(1001), &json!(network), &json!("xapi0")),
        "{made}"
    );
    assert_eq!(made["changes"][0], json!({"what": "network", "subject": network, "before": null, "after": LABEL}));
    assert_eq!((pool.param(&network, "name-label").as_str(), pool.other_config(&network)), (LABEL, whole("1")));
    assert_eq!(pool.param(&network, "name-description"), "tunnel network id# OVSTunnel1001");
    assert_eq!(pool.of_pool(), BTreeMap::new(), "no lock stays");
    let pool_uuid = "uuid=11111111-0000-4000-8000-000000000001 param-name=other-config";
    let (of, map) = (format!("uuid={network}"), "param-name=other-config");
    let changes = [
        format!("pool-param-add {pool_uuid} ovstunnel-network-1001-lock-1=<ticket>"),
        "network-create name-label=OVSTunnel1001 name-description=tunnel network id# OVSTunnel1001".to_owned(),
        format!("pool-param-remove {pool_uuid} param-key=ovstunnel-network-1001-lock-1"),
        format!("network-param-add {of} {map} ovstunnel-lock-1=<ticket>"),
        format!("network-param-set {of} other-config:is-ovs-tun-network=True"),
        format!("network-param-set {of} other-config:assume_network_is_shared=true"),
        format!("network-param-set {of} other-config:ovs-host-setup=1"),
        format!("network-param-remove {of} {map} param-key=ovstunnel-lock-1"),
    ];
    assert_eq!(changing(pool.calls()), changes);

    let (status, told) = get(&daemon).await;
    let expected = json!({"key": 1001, "network_uuid": network, "bridge": "xapi0", "hosts": ["1"], "ready": true});
    assert_eq!((status, told), (200, expected));
    pool.calls();
    let (status, again) = put(&daemon, r#"{"host_id": "1"}"#).await;
    assert_eq!((status, &again["outcome"], &again["changes"]), (200, &json!("unchanged"), &json!([])));
    assert_eq!(
        pool.calls(),
        [
            "network-list name-label=OVSTunnel1001 params=uuid --minimal".to_owned(),
            format!("network-param-get {of} {map}"),
            format!("network-param-get {of} param-name=bridge")
        ]
    );
    daemon.wait_for_log("outcome=\"created\" changes=\"network ", 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_there_is_completed_and_keeps_what_others_wrote() {
    let pool = Pool::new();
    let daemon = daemon(&pool);
    // As a server from 4.3 on makes it, and another host's plugin has set it up.
    let servers = [("assume_network_is_shared", "true"), ("ovs-host-setup", "2,17"), ("theirs", "x")];
    let network = pool.add(12, LABEL, &servers);
    pool.add(13, "OVSTunnel10010", &[]);
    let (status, done) = put(&daemon, r#"{"host_id": 7}"#).await;
    assert_eq!((status, &done["outcome"], &done["bridge"]), (200, &json!("updated"), &json!("xapi12")), "{done}");
    let mut expected = whole("2,17,7");
    expected.insert("theirs".to_owned(), "x".to_owned());
    assert_eq!(pool.other_config(&network), expected);
    let list = |pair: &&Value| pair["what"] == "other-config:ovs-host-setup";
    let changed = done["changes"].as_array().unwrap().iter().find(list).unwrap();
    assert_eq!((&changed["before"], &changed["after"]), (&json!("2,17"), &json!("2,17,7")));
    assert_eq!(done["changes"].as_array().unwrap().len(), 2, "{done}");

    // Of no host: the list is there all the same, for the Python plugin fails without one.
    let bare = pool.add(14, "OVSTunnel1002", &[]);
    let (_, told) = ask(&daemon, "GET /v1/networks/1002", "", None).await;
    assert_eq!((&told["ready"], &told["hosts"]), (&json!(false), &json!([])));
    let (_, done) = ask(&daemon, "PUT /v1/networks/1002", "{}", None).await;
    assert_eq!((&done["outcome"], pool.other_config(&bare)), (&json!("updated"), whole("")));
}

/// As after a daemon that died: the network is there, and nothing in its `other-config`; the lock of a dead one is passed by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ended_after_the_making_is_completed_by_the_next() {
    let pool = Pool::new();
    let daemon = daemon(&pool);
    pool.write_of_pool("ovstunnel-network-1001-lock-1", "1000/dead");
    pool.let_it("fails-network-param-add");
    let failed = expect(put(&daemon, r#"{"host_id": 1}"#).await, 503, "switch_unavailable");
    let words = failed["detail"].as_str().unwrap();
    assert!(words.contains("Cannot reach the server") && words.contains("the same request goes on"), "{words}");
    let [network] = pool.networks().try_into().unwrap();
    assert_eq!((pool.other_config(&network), pool.of_pool()), (BTreeMap::new(), BTreeMap::new()));
    pool.no_more("fails-network-param-add");
    let (status, done) = put(&daemon, r#"{"host_id": 1}"#).await;
    assert_eq!((status, &done["outcome"], &done["network_uuid"]), (200, &json!("updated"), &json!(network)), "{done}");
    assert_eq!((pool.networks(), pool.other_config(&network)), (vec![network], whole("1")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_with_its_name_none_is_chosen() {
    let pool = Pool::new();
    let daemon = daemon(&pool);
    let both = [pool.add(1, LABEL, &[]), pool.add(2, LABEL, &[])];
    let dry = format!("PUT {PATH}?dry_run=true");
    for answer in [put(&daemon, "{}").await, get(&daemon).await, ask(&daemon, &dry, "{}", None).await] {
        let problem = expect(answer, 409, "conflict");
        let words = problem["detail"].as_str().unwrap();
        assert!(both.iter().all(|uuid| words.contains(uuid)) && words.contains("rename or remove"), "{words}");
        assert_eq!(problem["in_the_way"], LABEL);
    }
    assert_eq!(changing(pool.calls()), Vec::<String>::new());
}

/// Each host of a pool makes it at the same time, as a zone's manager has them do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_make_it_at_once_make_one() {
    let pool = Pool::new();
    let (one, two) = (daemon(&pool), daemon(&pool));
    for key in 2001..2006 {
        let line = format!("PUT /v1/networks/{key}");
        let asked = join(ask(&one, &line, r#"{"host_id": 1}"#, None), ask(&two, &line, r#"{"host_id": 2}"#, None));
        let ((_, first), (_, second)) = asked.await;
        assert_eq!(first["network_uuid"], second["network_uuid"], "{first} {second}");
        let mut outcomes = [first["outcome"].as_str(), second["outcome"].as_str()];
        outcomes.sort_unstable();
        assert_eq!(outcomes, [Some("created"), Some("updated")], "{first} {second}");
        let config = pool.other_config(first["network_uuid"].as_str().unwrap());
        assert!(config == whole("1,2") || config == whole("2,1"), "{config:?}");
    }
    assert_eq!((pool.networks().len(), pool.of_pool()), (5, BTreeMap::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_xe_is_told_and_one_that_hangs_is_not_waited_for() {
    let pool = Pool::new();
    let daemon = Daemon::simulated(&pool.section("1s"));
    for (what, status, code) in [
        ("fails-network-list", 503, "switch_unavailable"),
        ("hangs-network-list", 503, "switch_unavailable"),
        ("fails-pool-list", 503, "switch_unavailable"),
        ("fails-network-create", 503, "switch_unavailable"),
        // It may have been made.
        ("hangs-network-create", 504, "outcome_unknown"),
    ] {
        pool.let_it(what);
        let began = Instant::now();
        let problem = expect(put(&daemon, "{}").await, status, code);
        assert!(problem["detail"].as_str().unwrap().starts_with("xapi does not answer: "), "{what}: {problem}");
        assert!(began.elapsed() < Duration::from_secs(20), "{what}: {:?}", began.elapsed());
        if what.contains("network-list") {
            let problem = expect(get(&daemon).await, 503, "switch_unavailable");
            assert!(problem["detail"].as_str().unwrap().ends_with("; nothing was changed"), "{problem}");
        }
        pool.no_more(what);
    }
    assert_eq!(pool.networks(), Vec::<String>::new());
    daemon.wait_for_log("a network is not ready in xapi", 5);
    // Another host has the lock for longer than anybody waits.
    pool.write_of_pool("ovstunnel-network-1001-lock-1", &format!("{}/theirs", u64::MAX));
    let problem = expect(put(&daemon, "{}").await, 503, "switch_unavailable");
    let words = "the network is not ready in xapi: other hosts kept the lock on it for too long";
    assert!(problem["detail"].as_str().unwrap().starts_with(words), "{problem}");
    pool.write_of_pool("ovstunnel-network-1001-lock-1", "1000/theirs");
    assert_eq!(put(&daemon, "{}").await.0, 201);
}

/// What a plan cannot know stands in angle brackets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_prints_what_is_run_and_changes_nothing() {
    let pool = Pool::new();
    let daemon = daemon(&pool);
    let half = pool.add(5, "OVSTunnel1002", &[("is-ovs-tun-network", "True")]);
    for (key, outcome) in [(1001, "created"), (1002, "updated"), (1001, "unchanged")] {
        let (line, body) = (format!("PUT /v1/networks/{key}"), r#"{"host_id": 1}"#);
        pool.calls();
        let (status, plan) = ask(&daemon, &format!("{line}?dry_run=true"), body, None).await;
        assert_eq!((status, &plan["dry_run"], &plan["outcome"]), (200, &json!(true), &json!(outcome)), "{plan}");
        assert_eq!(changing(pool.calls()), Vec::<String>::new());
        let (_, done) = ask(&daemon, &line, body, None).await;
        assert_eq!(done["outcome"], outcome);
        let network = done["network_uuid"].as_str().unwrap();
        let words = |command: &Value| {
            let argv = command["argv"].as_array().unwrap().iter().skip(1).map(|word| word.as_str().unwrap());
            argv.collect::<Vec<_>>().join(" ").replace("<network_uuid>", network)
        };
        let planned: Vec<String> = plan["commands"].as_array().unwrap().iter().map(words).collect();
        assert_eq!(changing(pool.calls()), planned);
        let changes = plan["changes"].as_array().unwrap();
        assert_eq!(changes.is_empty(), outcome == "unchanged", "{plan}");
        if key == 1002 {
            assert_eq!(changes[0], format!("set other-config:assume_network_is_shared=true of network {half}"));
        }
    }
    daemon.wait_for_log("outcome=\"dry run: created\"", 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_xapi_there_are_no_such_networks() {
    let daemon = Daemon::simulated("[xapi]\nenabled = false\n");
    let dry = format!("PUT {PATH}?dry_run=true");
    for answer in [put(&daemon, "{}").await, get(&daemon).await, ask(&daemon, &dry, "{}", None).await] {
        let problem = expect(answer, 404, "not_found");
        assert!(problem["detail"].as_str().unwrap().starts_with("this host has no xapi"), "{problem}");
    }
    let words = capabilities(&daemon).await;
    assert!(!words.contains("networks") && words.contains("epoch"), "{words}");
    let pool = Pool::new();
    let words = capabilities(&self::daemon(&pool)).await;
    assert!(words.contains("\"xapi\"") && words.contains("\"networks\""), "{words}");
}

/// What a watch begins with.
async fn capabilities(daemon: &Daemon) -> String {
    let mut stream = UnixStream::connect(daemon.socket()).await.unwrap();
    stream.write_all(&request("GET /v1/watch", &[], b"")).await.unwrap();
    let mut seen = String::new();
    while !seen.contains("\"health\"") {
        let mut piece = vec![0; 4096];
        let length = tokio::time::timeout(PATIENCE, stream.read(&mut piece)).await.unwrap().unwrap();
        assert!(length > 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&piece[..length]));
    }
    seen.split_once("\"capabilities\":").unwrap().1.split_once(']').unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_told_by_field_rule_and_value_before_xe_is_run() {
    let pool = Pool::new();
    let daemon = daemon(&pool);
    for (key, body, field, value) in [
        ("0", "{}", "key", json!("0")),
        ("2147483648", "{}", "key", json!("2147483648")),
        ("web", "{}", "key", json!("web")),
        ("1001", r#"{"host_id": "a b"}"#, "host_id", json!("a b")),
        ("1001", r#"{"host": 1}"#, "host", Value::Null),
    ] {
        let problem =
            expect(ask(&daemon, &format!("PUT /v1/networks/{key}"), body, None).await, 400, "invalid_request");
        assert_eq!((&problem["field"], &problem["value"]), (&json!(field), &value), "{problem}");
        assert!(problem["rule"].is_string(), "{problem}");
    }
    let line = format!("PUT {PATH}?dryrun=true");
    assert_eq!(expect(ask(&daemon, &line, "{}", None).await, 400, "invalid_request")["field"], "dryrun");
    expect(ask(&daemon, "GET /v1/networks/0", "", None).await, 400, "invalid_request");
    assert_eq!(pool.calls(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_replaced_makes_no_network() {
    let pool = Pool::new();
    let daemon = daemon(&pool);
    let line = format!("PUT {PATH}");
    let recorded = async || ask(&daemon, "GET /v1/epoch", "", None).await.1["epoch"].clone();
    // A newer one is recorded before, as by any write.
    pool.let_it("fails-network-create");
    expect(ask(&daemon, &line, "{}", Some(5)).await, 503, "switch_unavailable");
    pool.no_more("fails-network-create");
    assert_eq!(recorded().await, 5);
    pool.calls();
    let stale = expect(ask(&daemon, &line, "{}", Some(4)).await, 409, "stale_epoch");
    assert_eq!(stale["recorded"], json!({"zone": ZONE, "epoch": 5}));
    let other = [("content-type", "application/json"), ("ovstunnel-epoch", "7f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90:9")];
    let answer = daemon.ask_socket(&request(&line, &other, b"{}")).await;
    assert_eq!((answer.status, &answer.problem()["code"]), (409, &json!("other_zone")));
    assert_eq!(pool.calls(), Vec::<String>::new());

    // And one that is replaced while it is at work ends before its next change.
    pool.let_it("waits-network-create");
    let replaced = async {
        let stale = expect(ask(&daemon, &line, r#"{"host_id": 1}"#, Some(5)).await, 409, "stale_epoch");
        let words = stale["detail"].as_str().unwrap();
        assert!(words.contains("what was done before that stays") && !words.contains("nothing was"), "{words}");
        assert_eq!(stale["recorded"]["epoch"], 6);
    };
    let replaces = async {
        // Not by blocking: the request is sent by the same task.
        let comes = async {
            while !pool.came("network-create") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, comes).await.expect("xe does not come to wait");
        let put = format!(r#"{{"zone": "{ZONE}", "epoch": 6}}"#);
        assert_eq!(ask(&daemon, "PUT /v1/epoch", &put, None).await.0, 200);
        pool.no_more("waits-network-create");
    };
    join(replaced, replaces).await;
    let [network] = pool.networks().try_into().unwrap();
    assert_eq!((pool.other_config(&network), pool.of_pool()), (BTreeMap::new(), BTreeMap::new()));
    let (status, done) = ask(&daemon, &line, r#"{"host_id": 1}"#, Some(6)).await;
    assert_eq!((status, &done["outcome"], pool.other_config(&network)), (200, &json!("updated"), whole("1")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_may_look_and_make_nothing() {
    let pool = Pool::new();
    let viewer = "[[tls.clients]]\nname = \"graphs\"\nrole = \"viewer\"\n";
    let daemon = Daemon::simulated(&format!("{viewer}{}", pool.section("10s")));
    let (graphs, network) = (daemon.ca.issue("graphs"), pool.add(3, LABEL, &[]));
    let ask = async |line: &str| {
        daemon.ask(Some(&graphs), &request(line, &[("content-type", "application/json")], b"{}")).await.unwrap()
    };
    let told = daemon.ask(Some(&graphs), &request(&format!("GET {PATH}"), &[], b"")).await.unwrap();
    assert!(told.status == 200 && told.body.contains(&network), "{told:?}");
    assert_eq!(ask(&format!("PUT {PATH}")).await.status, 403);
    assert_eq!(ask(&format!("PUT {PATH}?dry_run=true")).await.status, 403);
    assert_eq!(pool.other_config(&network), BTreeMap::new());
}
