//! libvirt and QEMU on a host of the lab: a real libvirtd with the hook of `examples/libvirt`, and real guests of a few megabytes, without
//! acceleration. Must not use, or change, the libvirt of this machine: what libvirtd writes lies in the lab, in a mount namespace of its own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_lab::{Daemon, MacAddr6, Signal, cache, run, wait_until};
use ovstunnel_pki::{Authority, Leaf, Role};
use time::OffsetDateTime;

use crate::{Cloud, Node};

/// How long libvirt may take for what it is asked.
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts libvirtd where `/etc`, `/var` and `/run` are this machine's with the folder `$1` over them.
const IN_THE_LAB: &str = r#"
mount --make-rprivate /
for folder in etc var run; do
    mount -t overlay -o "lowerdir=/$folder,upperdir=$1/$folder,workdir=$1/work/$folder" overlay "/$folder"
done
# Sockets are found again by who mounts the same files once more only where they do not lie in an overlay.
mount --bind "$1/sockets" /run/libvirt
mount --bind "$1/state" /var/lib/libvirt
hostname "$2"
exec libvirtd --pid-file "$1/libvirtd.pid"
"#;

/// A guest's modules, in the order in which they are loaded.
const MODULES: [&str; 8] = [
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci",
    "drivers/net/virtio_net",
];

/// A guest's only program: gives `eth0` the address `10.1.0.$LAST`, `eth1` `10.2.0.$LAST`, as soon as they are there. `LAST` is of its command line.
const INIT: &str = r#"#!/busybox sh
/busybox mkdir /proc /sys
/busybox mount -t proc proc /proc
/busybox mount -t sysfs sysfs /sys
for module in /modules/*; do /busybox insmod "$module"; done
while :; do
    for device in eth0 eth1; do
        [ "$(/busybox cat /sys/class/net/$device/flags 2>/dev/null)" = 0x1002 ] || continue
        /busybox ip address add "10.$((${device#eth} + 1)).0.$LAST/16" dev "$device"
        /busybox ip link set "$device" up
        echo "$device is up, MTU $(/busybox cat /sys/class/net/$device/mtu)"
    done
    /busybox usleep 200000
done
"#;

/// A guest.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Its name.
    pub name: String,
    /// The last byte of its addresses.
    pub last: u8,
    /// libvirt's network that its first interface is on.
    pub network: String,
}

impl Guest {
    /// The MAC address of interface number `number`, from 0.
    pub fn mac(&self, number: u8) -> MacAddr6 {
        MacAddr6::new(0x52, 0x54, 0, 0, number, self.last)
    }
}

/// libvirt on one host.
#[derive(Debug)]
pub struct Hypervisor {
    node: Arc<Node>,
    dir: PathBuf,
    daemon: Mutex<Option<Daemon>>,
}

impl Hypervisor {
    /// Installs libvirt on a host, with the hook as `examples/libvirt/README.md` says, and starts it. `networks`: those of libvirt's that the
    /// hook tells the manager about, which are of the same name there, each with the bridge that its interfaces are plugged into.
    ///
    /// # Errors
    /// When something is not there that `scripts/setup libvirt` installs, or libvirtd does not start.
    pub fn install(cloud: &Cloud, number: usize, networks: &[(&str, &str)]) -> Result<Self> {
        let node = Arc::clone(cloud.node(number)?);
        let dir = node.host().rundir().join("libvirt");
        for folder in ["etc/libvirt/hooks", "etc/ovstunnel", "var/lib/libvirt", "var/log/libvirt", "var/cache/libvirt"]
        {
            fs::create_dir_all(dir.join(folder))?;
        }
        for folder in ["run/libvirt", "sockets", "state", "work/etc", "work/var", "work/run"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        let hypervisor = Hypervisor { node, dir, daemon: Mutex::default() };
        hypervisor.configure()?;
        hypervisor.install_hook(cloud, number, networks)?;
        make_image(&hypervisor.image())?;
        hypervisor.start()?;
        for (name, bridge) in networks {
            let xml = format!(
                "<network><name>{name}</name><forward mode='bridge'/><bridge name='{bridge}'/><virtualport type='openvswitch'/></network>"
            );
            hypervisor.virsh(["net-define", &hypervisor.file(&format!("{name}.xml"), &xml)?])?;
            hypervisor.virsh(["net-start", name])?;
            hypervisor.virsh(["net-autostart", name])?;
        }
        Ok(hypervisor)
    }

    /// libvirt's own configuration, and the user that its packages make.
    fn configure(&self) -> Result<()> {
        let (etc, host) = (self.dir.join("etc"), self.node.host());
        let qemu = format!(
            "user = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\nstdio_handler = \"file\"\ncgroup_controllers = []\n\
             namespaces = []\nremember_owner = 0\nmigration_address = \"{}\"\n",
            host.ip()
        );
        fs::write(etc.join("libvirt/qemu.conf"), qemu)?;
        let (number, log) = (host.number(), self.dir.join("libvirtd.log"));
        let libvirtd = format!(
            "host_uuid = \"00000000-0000-4000-8000-{number:012}\"\nlog_outputs = \"2:file:{}\"\n",
            log.display()
        );
        fs::write(etc.join("libvirt/libvirtd.conf"), libvirtd)?;
        for (file, line) in
            [("passwd", "libvirt-qemu:x:64055:64055::/nonexistent:/bin/false"), ("group", "libvirt-qemu:x:64055:")]
        {
            let text = fs::read_to_string(Path::new("/etc").join(file))?;
            fs::write(etc.join(file), format!("{text}{line}\n"))?;
        }
        Ok(())
    }

    fn install_hook(&self, cloud: &Cloud, number: usize, networks: &[(&str, &str)]) -> Result<()> {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/libvirt/hooks/qemu").canonicalize()?;
        for hook in ["qemu", "network"] {
            symlink(&example, self.dir.join("etc/libvirt/hooks").join(hook))?;
        }
        let (name, pki) = (format!("h{number}"), cloud.pki());
        let leaf = Leaf { name: name.parse().map_err(|e| anyhow!("{e}"))?, role: Role::Client, days: 90 };
        Authority::open(pki)?.issue_certificate(&leaf, OffsetDateTime::now_utc())?;
        let (files, ip) = (pki.display(), cloud.lab().fabric().ip());
        let known: String = networks.iter().map(|(network, _)| format!("{network} = {network}\n")).collect();
        let text = format!(
            "[manager]\nurl = https://{ip}:8444\nca = {files}/ca.crt\ncertificate = {files}/{name}.crt\nkey = {files}/{name}.key\n\
             host = {name}\ntimeout = 60\nlog = {}\n[networks]\n{known}",
            self.dir.join("hook.log").display()
        );
        fs::write(self.dir.join("etc/ovstunnel/libvirt-hook.conf"), text).context("the hook's configuration")
    }

    /// Starts libvirtd; guests that run are found again.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn start(&self) -> Result<()> {
        let mut command = self.node.host().command("unshare");
        command
            .args(["--mount", "--uts", "sh", "-ec", IN_THE_LAB, "libvirtd"])
            .arg(&self.dir)
            .arg(self.node.host().name());
        *self.daemon.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(self.node.host().spawn("libvirtd", command)?);
        wait_until("libvirtd to answer", PATIENCE, || {
            if let Some(daemon) = self.daemon.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                daemon.expect_running()?;
            }
            self.virsh(["list"]).map(drop)
        })
    }

    /// Ends libvirtd, and leaves its guests.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&self) -> Result<()> {
        let daemon = self.daemon.lock().unwrap_or_else(PoisonError::into_inner).take();
        daemon.context("libvirtd does not run")?.stop(PATIENCE).map(drop)
    }

    /// The URI of its libvirtd, from anywhere on this machine.
    pub fn uri(&self) -> String {
        format!("qemu:///system?socket={}", self.dir.join("sockets/libvirt-sock").display())
    }

    /// `virsh` with these arguments; what it says.
    ///
    /// # Errors
    /// When it fails: its own words.
    pub fn virsh<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Result<String> {
        let mut command = self.node.host().command("virsh");
        command.args(["-c", &self.uri()]).args(arguments);
        run(command, PATIENCE)
    }

    /// Starts a guest.
    ///
    /// # Errors
    /// When libvirt refuses.
    pub fn create(&self, guest: &Guest) -> Result<()> {
        let xml = self.definition(guest)?;
        self.virsh(["create", &self.file(&format!("{}.xml", guest.name), &xml)?]).map(drop)
    }

    fn definition(&self, guest: &Guest) -> Result<String> {
        let kernel = cache()?.join("kernels/6.1/vmlinuz");
        let Guest { name, last, network } = guest;
        Ok(format!(
            "<domain type='qemu'><name>{name}</name><uuid>11111111-0000-4000-8000-{last:012}</uuid>\
             <memory unit='MiB'>96</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='pc'>hvm</type><kernel>{}</kernel><initrd>{}</initrd>\
             <cmdline>console=ttyS0 quiet LAST={last}</cmdline></os>\
             <features><acpi/></features><cpu mode='maximum'/>\
             <devices><emulator>/usr/bin/qemu-system-x86_64</emulator><controller type='usb' model='none'/>\
             <memballoon model='none'/><serial type='file'><source path='{}' append='on'/></serial>{}</devices></domain>",
            kernel.display(),
            self.image().display(),
            self.console(guest).display(),
            interface(network, guest.mac(0), None),
        ))
    }

    /// Plugs one more interface, on this network and with this MTU, into a guest that runs.
    ///
    /// # Errors
    /// When libvirt refuses.
    pub fn attach(&self, guest: &Guest, network: &str, mtu: u16) -> Result<()> {
        let file = self.file("attach.xml", &interface(network, guest.mac(1), Some(mtu)))?;
        self.virsh(["attach-device", &guest.name, &file]).map(drop)
    }

    /// Takes it out again.
    ///
    /// # Errors
    /// When libvirt refuses.
    pub fn detach(&self, guest: &Guest, network: &str) -> Result<()> {
        let file = self.file("attach.xml", &interface(network, guest.mac(1), None))?;
        self.virsh(["detach-device", &guest.name, &file]).map(drop)
    }

    /// Moves a guest to another host while it runs.
    ///
    /// # Errors
    /// When libvirt refuses, or the guest is not there afterwards.
    pub fn migrate(&self, guest: &Guest, to: &Hypervisor) -> Result<()> {
        let (uri, data) = (to.uri(), format!("tcp://{}:49152", to.node.host().ip()));
        self.virsh(["migrate", "--live", &guest.name, &uri, &data])?;
        to.virsh(["domstate", &guest.name]).map(drop)
    }

    /// Kills the process that is a guest.
    ///
    /// # Errors
    /// When there is none.
    pub fn kill_guest(&self, guest: &Guest) -> Result<()> {
        let file = self.dir.join("sockets/qemu").join(format!("{}.pid", guest.name));
        let pid: i32 = fs::read_to_string(&file).with_context(|| file.display().to_string())?.trim().parse()?;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL)
            .with_context(|| format!("process {pid}"))
    }

    /// What the hook has logged.
    pub fn hook_log(&self) -> String {
        fs::read_to_string(self.dir.join("hook.log")).unwrap_or_default()
    }

    /// What a guest has said on its console; shared by all hosts, as it moves between them.
    pub fn console_log(&self, guest: &Guest) -> String {
        fs::read_to_string(self.console(guest)).unwrap_or_default()
    }

    fn console(&self, guest: &Guest) -> PathBuf {
        self.node.host().rundir().with_file_name(format!("{}.console", guest.name))
    }

    fn image(&self) -> PathBuf {
        self.node.host().rundir().with_file_name("guest.cpio")
    }

    fn file(&self, name: &str, xml: &str) -> Result<String> {
        let file = self.dir.join(name);
        fs::write(&file, xml)?;
        file.into_os_string().into_string().map_err(|name| anyhow!("{name:?}"))
    }
}

fn interface(network: &str, mac: MacAddr6, mtu: Option<u16>) -> String {
    let mtu = mtu.map(|mtu| format!("<mtu size='{mtu}'/>")).unwrap_or_default();
    format!(
        "<interface type='network'><mac address='{mac}'/><source network='{network}'/><model type='virtio'/>{mtu}</interface>"
    )
}

/// What guests boot into, made once in a lab.
fn make_image(image: &Path) -> Result<()> {
    if image.exists() {
        return Ok(());
    }
    let (cache, root) = (cache()?.join("kernels"), image.with_extension("root"));
    let version =
        fs::read_to_string(cache.join("6.1/version")).context("`scripts/setup libvirt` fetches the guests' kernel")?;
    fs::create_dir_all(root.join("modules"))?;
    for (number, module) in MODULES.iter().enumerate() {
        let from = cache.join("6.1/lib/modules").join(version.trim()).join("kernel").join(format!("{module}.ko"));
        fs::copy(&from, root.join("modules").join(number.to_string())).with_context(|| from.display().to_string())?;
    }
    fs::copy(cache.join("busybox/busybox"), root.join("busybox"))?;
    fs::write(root.join("init"), INIT)?;
    let mut pack = Command::new("sh");
    pack.args(["-ec", "cd \"$1\"; chmod 755 init; find . | ./busybox cpio -o -H newc >\"$2\"", "sh"])
        .arg(&root)
        .arg(image);
    run(pack, PATIENCE)?;
    ensure!(fs::metadata(image)?.len() > 0, "the guests' image is empty");
    Ok(())
}
