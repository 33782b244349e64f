//! The hook of examples/libvirt as libvirt runs it, and as OpenNebula runs it as its network driver, against a manager that acts, over mutual TLS; the hosts are daemons on simulated switches.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::common::{Bench, Host, acting_with, client, code, host, physical, put};
use ovstunnel_api::Code;
use ovstunnel_client::Manager;
use ovstunnel_manager_api::{Isolation, MoveWord, Nic, PutNetwork, PutNic};
use ovstunnel_store::Store;

/// A guest with two interfaces on networks that are meant, one on another, and one without a MAC.
const GUEST: &str = "\
<domain type='kvm'>
  <name>web1</name>
  <devices>
    <interface type='network'><mac address='52:54:00:AA:00:01'/><source network='web'/></interface>
    <interface type='bridge'><mac address='52:54:00:aa:00:02'/><source bridge='brdb'/><virtualport type='openvswitch'/></interface>
    <interface type='bridge'><mac address='52:54:00:aa:00:03'/><source bridge='br-ex'/></interface>
    <interface type='user'/>
  </devices>
</domain>";

/// What libvirt 9 says to the hook `network` of an interface of a guest that runs.
const PORT: &str = "\
<hookData>
  <network connections='2'>
    <name>NAME</name>
    <forward mode='bridge'/>
    <bridge name='BRIDGE'/>
    <virtualport type='openvswitch'/>
  </network>
  <networkport>
    <uuid>8499c163-92ff-4a82-ae5f-06beb2650609</uuid>
    <owner><name>web1</name><uuid>11111111-0000-4000-8000-000000000001</uuid></owner>
    <mac address='52:54:00:AA:00:09'/>
    <virtualport type='openvswitch'><parameters interfaceid='3b2e961a-60b8-4d9a-a89c-60ab5f79f38b'/></virtualport>
    <plug type='bridge' bridge='BRIDGE'/>
  </networkport>
</hookData>";

/// What OpenNebula tells its drivers of a VM: two interfaces that are ours, and one of another driver.
const VM: &str = "\
<VM><ID>7</ID><NAME>web1</NAME><TEMPLATE>
  <NIC><NIC_ID>0</NIC_ID><VN_MAD><![CDATA[ovswitch_ovstunnel]]></VN_MAD><NETWORK>web</NETWORK><BRIDGE>ovt1001</BRIDGE><MAC>02:00:0A:00:00:01</MAC></NIC>
  <NIC><NIC_ID>1</NIC_ID><VN_MAD>ovswitch_ovstunnel</VN_MAD><NETWORK>back</NETWORK><BRIDGE>brdb</BRIDGE><MAC>02:00:0a:00:00:02</MAC>ATTACH</NIC>
  <NIC><NIC_ID>2</NIC_ID><VN_MAD>ovswitch</VN_MAD><NETWORK>web</NETWORK><BRIDGE>br-ex</BRIDGE><MAC>02:00:0a:00:00:03</MAC></NIC>
</TEMPLATE></VM>";

pub(crate) struct Stage {
    pub(crate) bench: Bench,
    pub(crate) hosts: Vec<Host>,
    /// With the hosts' certificates.
    clients: Vec<Manager>,
}

impl Stage {
    /// Hosts h1 and h2, the networks `web` and `db`, and certificates with the hosts' names.
    pub(crate) async fn new() -> Stage {
        let bench = acting_with("[membership]\nlinger = \"0s\"\n", Store::in_memory("dc1")).await;
        let m = &bench.manager;
        m.put_physical_network("p1", &physical(Isolation::Gre, "1001-1010"), false).await.unwrap();
        let network =
            PutNetwork { physical_network: "p1".into(), number: None, key: None, adopt: false, ipv6: None, mtu: None };
        let (mut hosts, mut clients) = (Vec::new(), Vec::new());
        for number in 1..=2u8 {
            let host = host(bench.dir.path(), number).await;
            m.put_host(&format!("h{number}"), &put(&host.url, Some(number.into())), false).await.unwrap();
            clients.push(client(&bench, &format!("h{number}")));
            hosts.push(host);
        }
        m.put_network("web", &network, false).await.unwrap();
        m.put_network("db", &network, false).await.unwrap();
        Stage { bench, hosts, clients }
    }

    /// The configuration of a host's hook, which shows the certificate of `who`.
    pub(crate) fn configured(&self, host: &str, who: &str, url: &str) -> PathBuf {
        let (dir, pki) = (self.bench.dir.path(), self.bench.dir.path().join("pki"));
        let (file, at) = (dir.join(format!("{host}.conf")), pki.display());
        let text = format!(
            "[manager]\nurl = {url}\nca = {at}/ca.crt\ncertificate = {at}/{who}.crt\nkey = {at}/{who}.key\nhost = {host}\n\
             timeout = 20\nlog = {}\n[networks]\nweb = web\nbrdb = db\n",
            dir.join("hook.log").display()
        );
        std::fs::write(&file, text).unwrap();
        file
    }

    /// Runs the hook of a host as libvirt does.
    fn run(&self, host: &str, operation: &str) {
        expect_silent(&hook(&self.configured(host, host, &self.bench.url), &["web1", operation, "begin", "-"], GUEST));
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.bench.dir.path().join("hook.log")).unwrap_or_default()
    }

    pub(crate) async fn nics(&self, network: &str) -> Vec<Nic> {
        self.bench.manager.nics(network).await.unwrap().nics
    }
}

pub(crate) fn hook_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/libvirt/hooks/qemu")
}

fn hook(configuration: &Path, arguments: &[&str], xml: &str) -> Output {
    run_program(&hook_file(), configuration, arguments, xml)
}

fn run_program(program: &Path, configuration: &Path, arguments: &[&str], xml: &str) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).env("OVSTUNNEL_LIBVIRT_HOOK_CONF", configuration);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    // One that has nothing to do does not read.
    let _ = child.stdin.take().unwrap().write_all(xml.as_bytes());
    child.wait_with_output().unwrap()
}

/// libvirt takes output for the guest's XML, and another status for a refusal.
fn expect_silent(output: &Output) {
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success() && said.iter().all(String::is_empty), "{}: {said:?}", output.status);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_starts_migrates_and_ends() {
    let stage = Stage::new().await;
    for operation in ["start", "started", "migrate", "stopped"] {
        stage.run("h1", operation);
    }
    assert!(stage.nics("web").await.is_empty() && stage.log().is_empty(), "{}", stage.log());
    stage.run("h1", "prepare");
    let (web, db) = (stage.nics("web").await, stage.nics("db").await);
    let told = |nic: &Nic| (nic.id.clone(), nic.host.clone(), nic.vm.clone().unwrap(), nic.mac.clone().unwrap());
    let text = |id: &str, mac: &str| (id.to_owned(), "h1".to_owned(), "web1".to_owned(), mac.to_owned());
    assert_eq!(web.iter().map(told).collect::<Vec<_>>(), [text("52-54-00-aa-00-01", "52:54:00:aa:00:01")]);
    assert_eq!(db.iter().map(told).collect::<Vec<_>>(), [text("52-54-00-aa-00-02", "52:54:00:aa:00:02")]);
    let bridges = stage.hosts[0].client.bridges().await.unwrap().bridges;
    let names: Vec<&str> = bridges.iter().map(|bridge| bridge.name.as_str()).collect();
    assert_eq!(names, ["brdb", "ovt1001"], "both are there when libvirt plugs the guest: {}", stage.log());

    // It migrates: both hosts have it until the first lets go.
    stage.run("h2", "prepare");
    assert_eq!(stage.nics("web").await[0].moving_to.as_deref(), Some("h2"));
    let tunnels = stage.hosts[1].client.bridge("ovt1001").await.unwrap().tunnels;
    assert_eq!(tunnels.len(), 1, "{}", stage.log());
    stage.run("h1", "release");
    let nic = &stage.nics("web").await[0];
    assert_eq!((nic.host.as_str(), nic.moving_to.as_deref()), ("h2", None));
    stage.run("h2", "reconnect");
    stage.run("h2", "release");
    assert!(stage.nics("web").await.is_empty() && stage.nics("db").await.is_empty());
    let log = stage.log();
    assert!(log.contains("INFO prepare web1: NIC 52-54-00-aa-00-01 on web: ready, "), "{log}");
    assert!(log.contains("INFO release web1: NIC 52-54-00-aa-00-01 on web: removed") && !log.contains("WARN"), "{log}");
}

/// Runs OpenNebula's driver on a host: the hook by the name of an action, in a folder with the driver's name.
fn drive(stage: &Stage, host: &str, action: &str, attached: bool) {
    let folder = stage.bench.dir.path().join("vnm/ovswitch_ovstunnel");
    std::fs::create_dir_all(&folder).unwrap();
    let program = folder.join(action);
    if !program.exists() {
        std::os::unix::fs::symlink(hook_file().canonicalize().unwrap(), &program).unwrap();
    }
    let xml = VM.replace("ATTACH", if attached { "<ATTACH>YES</ATTACH>" } else { "" });
    let configuration = stage.configured(host, host, &stage.bench.url);
    expect_silent(&run_program(&program, &configuration, &["one-7"], &in_base64(&xml)));
}

/// As coreutils write it, in lines.
fn in_base64(text: &str) -> String {
    let mut child = Command::new("base64").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_of_opennebula_starts_moves_and_ends() {
    let stage = Stage::new().await;
    drive(&stage, "h1", "pre", false);
    let (web, db) = (stage.nics("web").await, stage.nics("db").await);
    let told = |nic: &Nic| (nic.id.clone(), nic.host.clone(), nic.vm.clone().unwrap());
    let on = |id: &str, host: &str| vec![(id.to_owned(), host.to_owned(), "one-7".to_owned())];
    assert_eq!(web.iter().map(told).collect::<Vec<_>>(), on("02-00-0a-00-00-01", "h1"), "{}", stage.log());
    assert_eq!(db.iter().map(told).collect::<Vec<_>>(), on("02-00-0a-00-00-02", "h1"));
    let bridges = stage.hosts[0].client.bridges().await.unwrap().bridges;
    let names: Vec<&str> = bridges.iter().map(|bridge| bridge.name.as_str()).collect();
    assert_eq!(names, ["brdb", "ovt1001"], "both are there when the VM is plugged: {}", stage.log());

    // It moves: `pre` at the target, then `clean` at the source, then `post` at the target.
    drive(&stage, "h2", "pre", false);
    assert_eq!(stage.nics("web").await[0].moving_to.as_deref(), Some("h2"));
    drive(&stage, "h1", "clean", false);
    let said = stage.log();
    for action in ["post", "update_sg", "update_nic", "vnet_create", "vnet_delete"] {
        drive(&stage, "h2", action, false);
    }
    assert_eq!(stage.log(), said, "nothing to do");
    assert_eq!(stage.nics("web").await.iter().map(told).collect::<Vec<_>>(), on("02-00-0a-00-00-01", "h2"));
    // One interface is taken out of it, then it ends.
    drive(&stage, "h2", "clean", true);
    assert_eq!((stage.nics("web").await.len(), stage.nics("db").await.len()), (1, 0), "{}", stage.log());
    drive(&stage, "h2", "clean", false);
    assert!(stage.nics("web").await.is_empty(), "{}", stage.log());
    let program = stage.bench.dir.path().join("vnm/ovswitch_ovstunnel/pre");
    let configuration = stage.configured("h1", "h1", &stage.bench.url);
    for bad in ["=", "PFZNPg=="] {
        expect_silent(&run_program(&program, &configuration, &[], bad));
    }
    let log = stage.log();
    assert_eq!(log.matches("WARN pre: ").count(), 2, "{log}");
    assert!(log.contains("INFO prepare one-7: NIC 02-00-0a-00-00-01 on web: ready, "), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_guest_gets_an_interface_and_loses_it() {
    let stage = Stage::new().await;
    let file = stage.configured("h1", "h1", &stage.bench.url);
    let plugged = |network: &str, bridge: &str, operation: &str| {
        let xml = PORT.replace("NAME", network).replace("BRIDGE", bridge);
        expect_silent(&hook(&file, &[network, operation, "begin", "-"], &xml));
    };
    // By the name of libvirt's network, and by its bridge's.
    for (network, bridge, ours) in [("web", "ovt1001", "web"), ("back", "brdb", "db")] {
        plugged(network, bridge, "port-created");
        let nics = stage.nics(ours).await;
        let told: Vec<_> = nics.iter().map(|nic| (nic.id.as_str(), nic.host.as_str(), nic.vm.as_deref())).collect();
        assert_eq!(told, [("52-54-00-aa-00-09", "h1", Some("web1"))], "{}", stage.log());
        plugged(network, bridge, "port-deleted");
        assert!(stage.nics(ours).await.is_empty(), "{}", stage.log());
    }
    let said = stage.log();
    assert!(!said.contains("WARN"), "{said}");
    // What is not named in the configuration, a network that starts, and none at all.
    plugged("other", "br-ex", "port-created");
    plugged("web", "ovt1001", "started");
    expect_silent(&hook(
        &file,
        &["web", "port-created", "begin", "-"],
        "<hookData><network><name>web</name></network></hookData>",
    ));
    assert_eq!(stage.log(), said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_starts_whatever_is_wrong_and_hosts_tell_their_own() {
    let stage = Stage::new().await;
    stage.run("h1", "prepare");
    let before = stage.nics("web").await;
    // The certificate of one host, for another one.
    for (operation, words) in [
        ("prepare", "h2 is a host and may prepare and release NICs on itself only, not on h1"),
        ("release", "not on h1"),
    ] {
        let file = stage.configured("h1", "h2", &stage.bench.url);
        expect_silent(&hook(&file, &["web1", operation, "begin", "-"], GUEST));
        let log = stage.log();
        assert!(
            log.contains(&format!("WARN {operation} web1: NIC 52-54-00-aa-00-01 of web: the manager refuses: 403 ")),
            "{log}"
        );
        assert!(log.contains(words), "{log}");
    }
    let mut taken = PutNic {
        host: "h2".into(),
        vm: None,
        mac: None,
        ip: None,
        bridge: None,
        wait: None,
        how: Some(MoveWord::Replace),
    };
    let said = code(stage.clients[1].prepare_nic("web", "52-54-00-aa-00-01", &taken, false).await, Code::Forbidden);
    assert!(said.contains("h2 is a host and may not take a NIC away from another one"), "{said}");
    assert_eq!(stage.nics("web").await, before, "nothing was changed");
    // An operator may say that high availability has started the guest anew.
    taken.vm = Some("web1".into());
    stage.bench.manager.prepare_nic("web", "52-54-00-aa-00-01", &taken, true).await.unwrap();

    let good = stage.configured("h1", "h1", &stage.bench.url);
    expect_silent(&hook(&good, &["web1", "prepare", "begin", "-"], "<domain><devices>"));
    assert!(stage.log().contains("WARN web1 prepare begin -: the XML cannot be read: "), "{}", stage.log());
    let nobody = stage.configured("h1", "h1", "https://127.0.0.1:9");
    expect_silent(&hook(&nobody, &["web1", "prepare", "begin", "-"], GUEST));
    assert!(stage.log().contains("the manager at 127.0.0.1:9: "), "{}", stage.log());
    // One that takes connections and never answers: the hook ends by itself.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", deaf.local_addr().unwrap());
    let file = stage.configured("h1", "h1", &url);
    let text = std::fs::read_to_string(&file).unwrap().replace("timeout = 20", "timeout = 1");
    std::fs::write(&file, text).unwrap();
    expect_silent(&hook(&file, &["web1", "prepare", "begin", "-"], GUEST));
    assert!(stage.log().contains("timed out") || stage.log().contains("no time is left"), "{}", stage.log());
    for text in ["", "[manager]\nurl = http://x\n"] {
        std::fs::write(&file, text).unwrap();
        expect_silent(&hook(&file, &["web1", "prepare", "begin", "-"], GUEST));
    }
    expect_silent(&hook(Path::new("/nowhere"), &[], ""));
    assert_eq!(stage.nics("web").await, before);
}
