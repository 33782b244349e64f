//! The hook of examples/libvirt as Proxmox VE runs it, as a guest's hookscript, and as its timer does, against a manager that acts. The files
//! of two nodes are in folders: what Proxmox VE has in its cluster's file system, and the pid files of its VMs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::nic_hook::{Stage, hook_file};
use ovstunnel_manager_api::Nic;

/// As `qm` writes it: interfaces of two networks that are meant and of one that is not, and a snapshot with one that there was then.
const VM: &str = "\
#a guest with net9: virtio=BC:24:11:00:00:99,bridge=ovt1001 in its notes
boot: order=scsi0
hookscript: local:snippets/ovstunnel
name: web1
net0: virtio=BC:24:11:00:00:01,bridge=ovt1001,mtu=1458
net1: model=e1000,macaddr=BC:24:11:00:00:02,bridge=brdb,firewall=1,tag=7
net2: virtio=BC:24:11:00:00:03,bridge=vmbr0

[before]
net0: virtio=BC:24:11:00:00:04,bridge=ovt1001
";

const CONTAINER: &str = "\
hostname: box
hookscript: local:snippets/ovstunnel
net0: name=eth0,bridge=ovt1001,hwaddr=BC:24:11:00:00:05,ip=dhcp,type=veth
";

struct Cluster {
    stage: Stage,
}

impl Cluster {
    /// Two nodes, which have one file system of the cluster's.
    async fn new() -> Cluster {
        let cluster = Cluster { stage: Stage::new().await };
        for node in ["h1", "h2"] {
            for folder in ["qemu-server", "lxc"] {
                let files = cluster.nodes().join(node).join(folder);
                fs::create_dir_all(&files).unwrap();
                let pve = cluster.root(node).join("etc/pve");
                fs::create_dir_all(&pve).unwrap();
                symlink(files, pve.join(folder)).unwrap();
            }
            symlink(cluster.nodes(), cluster.root(node).join("etc/pve/nodes")).unwrap();
            for folder in ["run/qemu-server", "proc/net"] {
                fs::create_dir_all(cluster.root(node).join(folder)).unwrap();
            }
        }
        // As `ovt1001` is named in a VM's configuration.
        for node in ["h1", "h2"] {
            cluster.configure(node, &cluster.stage.bench.url);
        }
        cluster
    }

    fn configure(&self, node: &str, url: &str) {
        let file = self.stage.configured(node, node, url);
        let text = fs::read_to_string(&file).unwrap() + "ovt1001 = web\n";
        fs::write(file, text).unwrap();
    }

    fn nodes(&self) -> PathBuf {
        self.stage.bench.dir.path().join("cluster")
    }

    fn root(&self, node: &str) -> PathBuf {
        self.stage.bench.dir.path().join(format!("root-{node}"))
    }

    fn config(&self, node: &str, guest: &str) -> PathBuf {
        self.nodes().join(node).join(guest)
    }

    /// What Proxmox VE shows of a run of the hookscript, which must not fail.
    fn run(&self, node: &str, arguments: &[&str], migrated_from: Option<&str>) -> String {
        let folder = self.stage.bench.dir.path().join("snippets");
        fs::create_dir_all(&folder).unwrap();
        let program = folder.join("ovstunnel");
        let _ = symlink(hook_file().canonicalize().unwrap(), &program);
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).env("OVSTUNNEL_PROXMOX_ROOT", self.root(node));
        command.env("OVSTUNNEL_LIBVIRT_HOOK_CONF", self.stage.bench.dir.path().join(format!("{node}.conf")));
        if let Some(source) = migrated_from {
            command.env("PVE_MIGRATED_FROM", source);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && wrong.is_empty(), "{arguments:?}: {} {said} {wrong}", output.status);
        said
    }

    /// The VM has a process on a node, or none any more.
    fn set_process(&self, node: &str, has: bool) {
        let file = self.root(node).join("run/qemu-server/100.pid");
        if has { fs::write(file, format!("{}\n", std::process::id())).unwrap() } else { fs::remove_file(file).unwrap() }
    }

    /// What the node remembers of a guest is from ten minutes ago.
    fn age(&self, node: &str, number: &str) {
        let file = self.root(node).join(format!("var/lib/ovstunnel/proxmox/{number}.json"));
        let then = SystemTime::now() - Duration::from_secs(600);
        fs::File::options().write(true).open(file).unwrap().set_modified(then).unwrap();
    }

    fn remembers(&self, node: &str, number: &str) -> bool {
        self.root(node).join(format!("var/lib/ovstunnel/proxmox/{number}.json")).exists()
    }

    /// Each NIC of both networks: id, VM, host, and the host that it moves to.
    async fn nics(&self) -> Vec<String> {
        let mut all = vec![];
        for network in ["web", "db"] {
            let told = |nic: &Nic| {
                let vm = nic.vm.as_deref().unwrap_or_default();
                format!("{} {vm} {} {}", nic.id, nic.host, nic.moving_to.as_deref().unwrap_or("-"))
            };
            all.extend(self.stage.nics(network).await.iter().map(told));
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_starts_migrates_and_ends() {
    let cluster = Cluster::new().await;
    fs::write(cluster.config("h1", "qemu-server/100.conf"), VM).unwrap();
    let said = cluster.run("h1", &["100", "pre-start"], None);
    let on_h1 = ["bc-24-11-00-00-01 web1 h1 -", "bc-24-11-00-00-02 web1 h1 -"];
    assert_eq!(cluster.nics().await, on_h1, "{said}");
    assert!(said.contains("ovstunnel: pre-start web1: NIC bc-24-11-00-00-01 on web: ready, "), "{said}");
    let bridges = cluster.stage.hosts[0].client.bridges().await.unwrap().bridges;
    let names: Vec<&str> = bridges.iter().map(|bridge| bridge.name.as_str()).collect();
    assert_eq!(names, ["brdb", "ovt1001"], "both are there when the VM is plugged: {said}");
    // The timer comes before it has a process, and while it runs.
    assert_eq!(cluster.run("h1", &["sync"], None), "");
    cluster.set_process("h1", true);
    for arguments in [&["100", "post-start"][..], &["sync"]] {
        assert_eq!(cluster.run("h1", arguments, None), "", "{arguments:?}");
    }

    // It migrates. Its configuration is the source's until the end, and the source's hookscript is not run.
    cluster.run("h2", &["100", "pre-start"], Some("h1"));
    cluster.set_process("h2", true);
    cluster.age("h2", "100");
    for node in ["h1", "h2"] {
        assert_eq!(cluster.run(node, &["sync"], None), "", "{node}");
    }
    let moving = ["bc-24-11-00-00-01 web1 h1 h2", "bc-24-11-00-00-02 web1 h1 h2"];
    assert_eq!(cluster.nics().await, moving, "both have it while it migrates");
    fs::rename(cluster.config("h1", "qemu-server/100.conf"), cluster.config("h2", "qemu-server/100.conf")).unwrap();
    cluster.set_process("h1", false);
    cluster.age("h1", "100");
    for node in ["h2", "h1"] {
        cluster.run(node, &["sync"], None);
    }
    let on_h2 = on_h1.map(|nic| nic.replace("h1", "h2"));
    assert_eq!(cluster.nics().await, on_h2, "the source has let go: {}", cluster.stage.log());
    assert!(!cluster.remembers("h1", "100"));

    assert_eq!(cluster.run("h2", &["100", "pre-stop"], None), "");
    cluster.set_process("h2", false);
    cluster.run("h2", &["100", "post-stop"], None);
    assert!(cluster.nics().await.is_empty() && !cluster.remembers("h2", "100"), "{}", cluster.stage.log());
    assert_eq!(cluster.run("h2", &["100", "post-stop"], None), "", "some versions run it twice");
    assert!(!cluster.stage.log().contains("WARN"), "{}", cluster.stage.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_fails_leaves_the_vm_where_it_is() {
    let cluster = Cluster::new().await;
    fs::write(cluster.config("h1", "qemu-server/100.conf"), VM).unwrap();
    cluster.run("h1", &["100", "pre-start"], None);
    cluster.set_process("h1", true);
    cluster.run("h2", &["100", "pre-start"], Some("h1"));
    // The process there ended, of which the hookscript is not told: its configuration was never there.
    cluster.run("h2", &["sync"], None);
    assert_eq!(cluster.nics().await[0], "bc-24-11-00-00-01 web1 h1 h2", "it may be about to start");
    cluster.age("h2", "100");
    cluster.run("h2", &["sync"], None);
    let on_h1 = ["bc-24-11-00-00-01 web1 h1 -", "bc-24-11-00-00-02 web1 h1 -"];
    assert_eq!(cluster.nics().await, on_h1, "{}", cluster.stage.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_vm_gets_a_card_and_loses_it() {
    let cluster = Cluster::new().await;
    let (file, another) =
        (cluster.config("h1", "qemu-server/100.conf"), "net3: virtio=BC:24:11:00:00:07,bridge=brdb\nname");
    fs::write(&file, VM).unwrap();
    cluster.run("h1", &["100", "pre-start"], None);
    cluster.set_process("h1", true);
    fs::write(&file, VM.replace("name", another)).unwrap();
    let said = cluster.run("h1", &["sync"], None);
    assert_eq!(said.lines().count(), 1, "only the new one: {said}");
    assert!(cluster.nics().await.contains(&"bc-24-11-00-00-07 web1 h1 -".to_owned()), "{said}");
    fs::write(&file, VM).unwrap();
    cluster.run("h1", &["sync"], None);
    assert_eq!(cluster.nics().await.len(), 2, "{}", cluster.stage.log());
    assert_eq!(cluster.run("h1", &["sync"], None), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_starts_and_ends() {
    let cluster = Cluster::new().await;
    fs::write(cluster.config("h2", "lxc/101.conf"), CONTAINER).unwrap();
    cluster.run("h2", &["101", "pre-start"], None);
    assert_eq!(cluster.nics().await, ["bc-24-11-00-00-05 box h2 -"], "{}", cluster.stage.log());
    let sockets = cluster.root("h2").join("proc/net/unix");
    let line = "0000: 00000002 00000000 00010000 0001 01 4242 @/var/lib/lxc/101/command\n";
    fs::write(&sockets, line).unwrap();
    cluster.age("h2", "101");
    assert_eq!(cluster.run("h2", &["sync"], None), "", "it runs");
    fs::write(&sockets, line.replace("101", "1010")).unwrap();
    cluster.run("h2", &["sync"], None);
    assert!(cluster.nics().await.is_empty(), "the machine has crashed, and no hookscript ran: {}", cluster.stage.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_starts_whatever_is_wrong_and_is_told_later() {
    let cluster = Cluster::new().await;
    fs::write(cluster.config("h1", "qemu-server/100.conf"), VM).unwrap();
    let (away, here) = ("https://127.0.0.1:9", cluster.stage.bench.url.clone());
    cluster.configure("h1", away);
    let said = cluster.run("h1", &["100", "pre-start"], None);
    assert!(said.contains("NIC bc-24-11-00-00-01 of web: the manager at 127.0.0.1:9: "), "{said}");
    cluster.set_process("h1", true);
    cluster.configure("h1", &here);
    cluster.run("h1", &["sync"], None);
    assert_eq!(cluster.nics().await.len(), 2, "{}", cluster.stage.log());

    cluster.configure("h1", away);
    cluster.set_process("h1", false);
    cluster.run("h1", &["100", "post-stop"], None);
    assert!(cluster.remembers("h1", "100"), "it has to be told yet");
    cluster.configure("h1", &here);
    cluster.age("h1", "100");
    cluster.run("h1", &["sync"], None);
    assert!(cluster.nics().await.is_empty() && !cluster.remembers("h1", "100"), "{}", cluster.stage.log());

    for (guest, words) in [("199", "guest 199 has no configuration"), ("../1", "the guest must be a number, not ../1")]
    {
        let said = cluster.run("h1", &[guest, "pre-start"], None);
        assert!(said.contains(words), "{said}");
    }
    fs::write(cluster.stage.bench.dir.path().join("h1.conf"), "[manager]\nurl = http://x\n").unwrap();
    for arguments in [&["100", "pre-start"][..], &["sync"]] {
        assert!(cluster.run("h1", arguments, None).contains("is missing"), "{arguments:?}");
    }
    assert!(!Path::new("/var/lib/ovstunnel/proxmox").exists(), "nothing is outside of the test's folder");
}
