//! Network devices of this host: what tunnel end points are taken from.
//!
//! What it does: asks the kernel over one netlink connection, each question with a deadline; or answers from a fixed list,
//! for the simulated switch. What it must not do: change anything, or
//! keep what it was told where it cannot see that it still holds (`watched` can).

mod devices;
mod links;
mod local;
mod root;
mod route;
mod sysfs;
mod watched;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use ovstunnel_api::{Interface, TunnelKind};
use rtnetlink::Handle;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use tokio::sync::Mutex;

pub use devices::{Device, Monitor};
pub use local::{LocalAddress, not_another_host};
pub(crate) use root::Root;
pub use route::{Neighbour, Route};
pub(crate) use sysfs::device_facts;

/// How long the kernel may take to answer one question.
const DEADLINE: Duration = Duration::from_secs(5);

/// Longest name of a device on Linux.
const NAME_LIMIT: usize = 15;

/// Why the host's devices could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No netlink connection could be made.
    #[error("cannot open a netlink connection")]
    Open(#[source] std::io::Error),
    /// The kernel refused a question, or the connection broke.
    #[error("the kernel does not tell about {what}")]
    Ask {
        /// What was asked about.
        what: String,
        /// Why not.
        source: rtnetlink::Error,
    },
    /// No answer within 5 s.
    #[error("the kernel did not answer about {what} within {} s", DEADLINE.as_secs())]
    Deadline {
        /// What was asked about.
        what: String,
    },
}

/// The host's network devices.
#[derive(Debug)]
pub struct Interfaces(Source);

#[derive(Debug)]
enum Source {
    Kernel(Kernel),
    Fixed(Vec<Interface>),
}

#[derive(Debug, Default)]
struct Kernel {
    /// None before the first question and after a failure, when the next question makes a new one.
    connection: Mutex<Option<Handle>>,
    own: Mutex<watched::Watched>,
}

impl Interfaces {
    /// Those of the kernel, in the network namespace of the thread that asks first. Needs a tokio runtime to ask.
    pub fn of_kernel() -> Self {
        Interfaces(Source::Kernel(Kernel::default()))
    }

    /// A fixed list, for the simulated switch.
    pub fn of_list(devices: Vec<Interface>) -> Self {
        Interfaces(Source::Fixed(devices))
    }

    /// The device or bridge `label`, with its first IPv4 address: primary before secondary, global before other scopes.
    /// None when there is none of that name, also where `label` cannot be a device's name (1 to 15 bytes).
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub async fn by_label(&self, label: &str) -> Result<Option<Interface>, Error> {
        if !can_be_a_device(label) {
            return Ok(None);
        }
        match &self.0 {
            Source::Fixed(devices) => Ok(devices.iter().find(|d| d.label == label || d.device == label).cloned()),
            Source::Kernel(Kernel { connection, .. }) => {
                let question = async |handle: Handle| {
                    let Some(link) = find_link(&handle, label).await? else { return Ok(None) };
                    let addresses = list_addresses(&handle, Some(link.header.index)).await?;
                    Ok(Some(build_interface(label, &link, addresses)))
                };
                ask_kernel(connection, &format!("device {label}"), question).await
            }
        }
    }
}

/// Puts one question with a deadline, one at a time: a second dump on a socket that is still at the first fails with
/// EBUSY. After a failure the connection is given up.
async fn ask_kernel<T>(
    connection: &Mutex<Option<Handle>>,
    what: &str,
    question: impl AsyncFnOnce(Handle) -> Result<T, rtnetlink::Error>,
) -> Result<T, Error> {
    let mut open = connection.lock().await;
    let handle = match &*open {
        Some(handle) => handle.clone(),
        None => open.insert(connect_netlink()?).clone(),
    };
    let answer = match tokio::time::timeout(DEADLINE, question(handle)).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(source)) => Error::Ask { what: what.to_owned(), source },
        Err(_) => Error::Deadline { what: what.to_owned() },
    };
    *open = None;
    Err(answer)
}

fn connect_netlink() -> Result<Handle, Error> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(Error::Open)?;
    // Ends by itself when the last handle is gone.
    tokio::spawn(connection);
    Ok(handle)
}

/// As the kernel's dev_valid_name(): anything else would be an error, or be cut at a NUL.
fn can_be_a_device(label: &str) -> bool {
    (1..=NAME_LIMIT).contains(&label.len())
        && label != "."
        && label != ".."
        && !label.bytes().any(|b| b == b'/' || b == b':' || b.is_ascii_whitespace() || b.is_ascii_control())
}

async fn find_link(handle: &Handle, name: &str) -> Result<Option<LinkMessage>, rtnetlink::Error> {
    let mut answers = std::pin::pin!(handle.link().get().match_name(name).execute());
    match answers.next().await.transpose() {
        Err(rtnetlink::Error::NetlinkError(e)) if e.raw_code() == -(nix::errno::Errno::ENODEV as i32) => Ok(None),
        answer => answer,
    }
}

/// The IPv4 addresses, of one device or of all.
async fn list_addresses(handle: &Handle, device: Option<u32>) -> Result<Vec<AddressMessage>, rtnetlink::Error> {
    let mut request = handle.address().get();
    request.message_mut().header.family = AddressFamily::Inet;
    if let Some(index) = device {
        request = request.set_link_index_filter(index);
    }
    request.execute().try_collect().await
}

/// The address itself: `Local`, since on a point-to-point device `Address` is the other end's.
fn local_ipv4(message: &AddressMessage) -> Option<Ipv4Addr> {
    let mut address = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(IpAddr::V4(ip)) => return Some(*ip),
            AddressAttribute::Address(IpAddr::V4(ip)) => address = Some(*ip),
            _ => {}
        }
    }
    address
}

fn build_interface(label: &str, link: &LinkMessage, mut addresses: Vec<AddressMessage>) -> Interface {
    addresses.sort_by_key(|a| {
        let secondary = a.header.flags.contains(AddressHeaderFlags::Secondary);
        (u8::from(a.header.scope), secondary) // global is scope 0, link 253, host 254
    });
    let first = addresses.iter().find_map(|a| Some((local_ipv4(a)?, a.header.prefix_len)));
    let (mut device, mut mac, mut mtu) = (label.to_owned(), None, 0);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => device.clone_from(name), // `label` may be an alternative name
            LinkAttribute::Address(bytes) if bytes.len() == 6 => mac = Some(colon_hex(bytes)),
            LinkAttribute::Mtu(bytes) => mtu = *bytes,
            _ => {}
        }
    }
    Interface {
        label: label.to_owned(),
        device,
        ip: first.map(|(ip, _)| ip.to_string()),
        netmask: first.map(|(_, prefix)| prefix_netmask(prefix).to_string()),
        mac,
        mtu,
        max_guest_mtu: mtu.saturating_sub(TunnelKind::Gre.overhead()),
    }
}

fn colon_hex(mac: &[u8]) -> String {
    mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn prefix_netmask(prefix: u8) -> Ipv4Addr {
    let hosts = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
    Ipv4Addr::from(!hosts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
    use std::process::Command;

    use nix::sched::{CloneFlags, unshare};

    use super::*;

    /// Runs `body` in a network namespace of its own, after `ip` with each of `setup`. It is gone with its thread.
    fn in_namespace<T: Send + 'static>(setup: &'static [&str], body: impl AsyncFnOnce() -> T + Send + 'static) -> T {
        let inside = move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("needs root");
            for line in setup {
                let done = Command::new("ip").args(line.split(' ')).output().expect("needs iproute2");
                assert!(done.status.success(), "ip {line}: {}", String::from_utf8_lossy(&done.stderr));
            }
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(body())
        };
        std::thread::spawn(inside).join().unwrap()
    }

    const DEVICES: &[&str] = &[
        "tuntap add mode tap name d0",
        "link set d0 mtu 9000 address 02:00:00:00:AB:01 up",
        "address add 169.254.7.7/16 dev d0 scope link",
        "address add 192.0.2.10/23 dev d0",
        "address add 192.0.2.11/23 dev d0",
        "address add 2001:db8::1/64 dev d0",
        "tuntap add mode tap name bare",
        "link set lo mtu 30",
        "link add br9 type bridge",
        "address add 198.51.100.1 peer 198.51.100.2/32 dev br9",
    ];

    #[test]
    fn a_device_is_found_with_its_first_global_primary_address() {
        let found = in_namespace(DEVICES, async || Interfaces::of_kernel().by_label("d0").await);
        let expected = Interface {
            label: "d0".into(),
            device: "d0".into(),
            ip: Some("192.0.2.10".into()),
            netmask: Some("255.255.254.0".into()),
            mac: Some("02:00:00:00:ab:01".into()),
            mtu: 9000,
            max_guest_mtu: 8958,
        };
        assert_eq!(found.unwrap(), Some(expected));
    }

    #[test]
    fn a_device_without_address_a_bridge_and_no_device_at_all() {
        let (bare, tiny, bridge, none) = in_namespace(DEVICES, async || {
            let interfaces = Interfaces::of_kernel();
            let ask = async |label| interfaces.by_label(label).await.unwrap();
            (ask("bare").await, ask("lo").await, ask("br9").await, ask("d1").await)
        });
        let bare = bare.unwrap();
        assert_eq!((bare.ip, bare.netmask, bare.mtu, bare.max_guest_mtu), (None, None, 1500, 1458));
        assert_eq!(tiny.unwrap().max_guest_mtu, 0);
        assert_eq!(bridge.unwrap().ip.as_deref(), Some("198.51.100.1"), "not the other end's");
        assert_eq!(none, None);
    }

    async fn own(interfaces: &Interfaces) -> Vec<Ipv4Addr> {
        interfaces.local_addresses().await.unwrap().into_iter().map(|own| own.ip).collect()
    }

    #[test]
    fn all_addresses_of_the_host_are_known_and_seen_fresh() {
        let (before, after) = in_namespace(DEVICES, async || {
            let interfaces = Interfaces::of_kernel();
            let before = own(&interfaces).await;
            let gone = Command::new("ip").args(["link", "delete", "br9"]).status().unwrap();
            assert!(gone.success());
            (before, own(&interfaces).await)
        });
        let text = |ips: Vec<Ipv4Addr>| ips.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(text(before), ["169.254.7.7", "192.0.2.10", "192.0.2.11", "198.51.100.1"]);
        assert_eq!(text(after), ["169.254.7.7", "192.0.2.10", "192.0.2.11"]);
    }

    #[test]
    fn more_changes_than_the_kernel_can_tell_of_are_seen_too() {
        let (before, after) = in_namespace(DEVICES, async || {
            let interfaces = Interfaces::of_kernel();
            let before = own(&interfaces).await;
            let others = (0..5_000).map(|n| Ipv4Addr::from(0x0a00_0001 + n));
            let lines: String = others.map(|ip| format!("address add {ip}/32 dev bare\n")).collect();
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), lines).unwrap();
            assert!(Command::new("ip").arg("-batch").arg(file.path()).status().unwrap().success());
            (before, own(&interfaces).await)
        });
        assert_eq!((before.len(), after.len()), (4, 5_004));
    }

    #[test]
    fn many_questions_at_once_are_all_answered() {
        let answers = in_namespace(DEVICES, async || {
            let interfaces = Interfaces::of_kernel();
            let questions = (0..100).map(|_| interfaces.local_addresses());
            futures_util::future::join_all(questions).await
        });
        assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|ips| ips.len() == 4)), "{answers:?}");
    }

    #[test]
    fn ports_of_linux_bridges_are_known() {
        let setup = &[
            "link add br9 type bridge",
            "tuntap add mode tap name vif1.0",
            "tuntap add mode tap name vif2.0",
            "link set vif1.0 master br9",
        ];
        let found = in_namespace(setup, async || Interfaces::of_kernel().links().await.unwrap().unwrap());
        assert_eq!(found.linux_bridges.into_iter().collect::<Vec<_>>(), [("vif1.0".to_owned(), "br9".to_owned())]);
        assert!(found.names.contains("vif2.0") && !found.names.contains("vif3.0"));
    }

    #[test]
    fn tunnels_of_the_kernel_have_their_udp_port() {
        let setup = &[
            "link add vxlan5 type vxlan id 5 dstport 4789",
            "link add vxlan_sys_8472 type vxlan external dstport 8472",
            "tuntap add mode tap name vif1.0",
        ];
        let found = in_namespace(setup, async || Interfaces::of_kernel().links().await.unwrap().unwrap());
        let ports: Vec<_> = found.udp_tunnels.into_iter().collect();
        assert_eq!(ports, [("vxlan5".to_owned(), 4789)]);
    }

    #[test]
    fn labels_that_no_device_can_have_are_not_found() {
        let labels = ["", ".", "..", "a/b", "a b", "d0:1", "d0\0x", "sixteen-chars-xx", "Pool-wide network"];
        let found = in_namespace(DEVICES, async move || {
            let mut found = Vec::new();
            for label in labels {
                found.push(Interfaces::of_kernel().by_label(label).await.unwrap());
            }
            found
        });
        assert!(found.iter().all(Option::is_none), "{found:?}");
    }

    #[test]
    fn the_way_to_other_hosts_is_known_without_a_packet() {
        let setup = &[
            "link add d0 mtu 9000 type veth peer name d1",
            "link set d0 up",
            "link set lo up",
            "address add 192.0.2.10/24 dev d0",
            "route add 198.51.100.0/24 via 192.0.2.1",
            "route add unreachable 203.0.113.0/24",
            "neighbour add 192.0.2.1 lladdr 02:00:00:00:00:01 dev d0",
            "neighbour add 192.0.2.7 nud failed dev d0",
        ];
        let to = ["192.0.2.7", "198.51.100.9", "192.0.2.10", "203.0.113.1", "192.0.3.1"].map(|ip| ip.parse().unwrap());
        let found = in_namespace(setup, async move || Interfaces::of_kernel().routes(to.to_vec()).await.unwrap());
        let told = |ip: &str| found[&ip.parse().unwrap()].clone();
        let near = told("192.0.2.7").unwrap();
        assert_eq!((near.device.as_str(), near.mtu, near.source), ("d0", 9000, Some([192, 0, 2, 10].into())));
        assert_eq!((near.next_hop, near.neighbour), ([192, 0, 2, 7].into(), Neighbour::Silent));
        let far = told("198.51.100.9").unwrap();
        assert_eq!((far.next_hop, far.neighbour, far.local), ([192, 0, 2, 1].into(), Neighbour::Known, false));
        assert!(told("192.0.2.10").unwrap().local, "our own address");
        assert_eq!((told("203.0.113.1"), told("192.0.3.1")), (None, None), "no way there");
    }

    #[tokio::test]
    async fn a_fixed_list_answers_alike() {
        let device = Interface {
            label: "net0".into(),
            device: "sim0".into(),
            ip: Some("192.0.2.1".into()),
            netmask: None,
            mac: None,
            mtu: 1500,
            max_guest_mtu: 1458,
        };
        let fixed = Interfaces::of_list(vec![device.clone()]);
        assert_eq!(fixed.by_label("sim0").await.unwrap(), Some(device));
        assert_eq!(fixed.by_label("sim1").await.unwrap(), None);
        assert_eq!(own(&fixed).await, [Ipv4Addr::new(192, 0, 2, 1)]);
    }

    #[test]
    fn netmasks_of_every_length() {
        let texts = [0, 1, 24, 31, 32].map(|prefix| prefix_netmask(prefix).to_string());
        assert_eq!(texts, ["0.0.0.0", "128.0.0.0", "255.255.255.0", "255.255.255.254", "255.255.255.255"]);
    }
}
