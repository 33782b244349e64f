//! Network devices of this host: what tunnel end points are taken from.
//!
//! What it does: asks the kernel over one netlink connection, each question with a deadline; or answers from a fixed list,
//! for the simulated switch. What it must not do: change anything, or
//! keep what it was told where it cannot see that it still holds (`watched` can).

mod devices;
#[cfg(test)]
mod ipv6_tests;
mod links;
mod local;
mod root;
mod route;
mod sysfs;
mod watched;

use std::net::IpAddr;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use ipnet::IpNet;
use ovstunnel_api::{Interface, TunnelKind};
use ovstunnel_types::RemoteIp;
use rtnetlink::Handle;
use rtnetlink::packet_route::address::{AddressHeaderFlags, AddressMessage};
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

    /// The device or bridge `label`, with the address that tunnels end at: `preferred` where it has that, else the first IPv4 one, else the
    /// first of IPv6 at which tunnels can end; primary before secondary, global before other scopes.
    /// None when there is none of that name, also where `label` cannot be a device's name (1 to 15 bytes).
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub async fn by_label(&self, label: &str, preferred: Option<RemoteIp>) -> Result<Option<Interface>, Error> {
        if !can_be_a_device(label) {
            return Ok(None);
        }
        match &self.0 {
            Source::Fixed(devices) => Ok(devices.iter().find(|d| d.label == label || d.device == label).cloned()),
            Source::Kernel(Kernel { connection, .. }) => {
                let question = async |handle: Handle| {
                    let Some(link) = find_link(&handle, label).await? else { return Ok(None) };
                    let addresses = list_addresses(&handle, Some(link.header.index)).await?;
                    Ok(Some(build_interface(label, &link, &addresses, preferred)))
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

/// The addresses, of one device or of all.
async fn list_addresses(handle: &Handle, device: Option<u32>) -> Result<Vec<AddressMessage>, rtnetlink::Error> {
    let mut request = handle.address().get();
    if let Some(index) = device {
        request = request.set_link_index_filter(index);
    }
    request.execute().try_collect().await
}

/// An address at which tunnels can end, with its network's prefix.
fn tunnel_address(message: &AddressMessage) -> Option<(IpAddr, u8)> {
    let ip = devices::local_address(message)?;
    // Of IPv4, whatever is there: who asks is told, and sees that it will not do.
    (ip.is_ipv4() || RemoteIp::from_address(ip).is_ok()).then_some((ip, message.header.prefix_len))
}

fn build_interface(
    label: &str,
    link: &LinkMessage,
    addresses: &[AddressMessage],
    preferred: Option<RemoteIp>,
) -> Interface {
    let usable = addresses.iter().filter_map(|message| Some((message, tunnel_address(message)?)));
    let first = usable.min_by_key(|(message, (ip, _))| {
        let secondary = message.header.flags.contains(AddressHeaderFlags::Secondary);
        let other = preferred.is_some_and(|preferred| preferred.get() != *ip);
        (other, ip.is_ipv6(), u8::from(message.header.scope), secondary) // global is scope 0, link 253, host 254
    });
    let first = first.map(|(_, address)| address);
    let ipv6 = addresses.iter().filter_map(tunnel_address).filter(|(ip, _)| ip.is_ipv6());
    let ipv6 = ipv6.min_by_key(|(ip, _)| preferred.is_some_and(|preferred| preferred.get() != *ip));
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
        netmask: first.map(|(ip, prefix)| prefix_netmask(ip, prefix)),
        ipv6: ipv6.map(|(ip, _)| ip.to_string()),
        mac,
        mtu,
        max_guest_mtu: mtu.saturating_sub(TunnelKind::Gre.overhead()),
    }
}

fn colon_hex(mac: &[u8]) -> String {
    mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn prefix_netmask(ip: IpAddr, prefix: u8) -> String {
    IpNet::new(ip, prefix).map_or_else(|_| ip.to_string(), |net| net.netmask().to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
    use std::net::Ipv4Addr;
    use std::process::Command;

    use nix::sched::{CloneFlags, unshare};

    use super::*;

    /// Runs `body` in a network namespace of its own, after `ip` with each of `setup`. It is gone with its thread.
    pub(super) fn in_namespace<T: Send + 'static>(
        setup: &'static [&str],
        body: impl AsyncFnOnce() -> T + Send + 'static,
    ) -> T {
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

    pub(super) const DEVICES: &[&str] = &[
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
        let found = in_namespace(DEVICES, async || Interfaces::of_kernel().by_label("d0", None).await);
        let expected = Interface {
            label: "d0".into(),
            device: "d0".into(),
            ip: Some("192.0.2.10".into()),
            netmask: Some("255.255.254.0".into()),
            ipv6: Some("2001:db8::1".into()),
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
            let ask = async |label| interfaces.by_label(label, None).await.unwrap();
            (ask("bare").await, ask("lo").await, ask("br9").await, ask("d1").await)
        });
        let bare = bare.unwrap();
        assert_eq!((bare.ip, bare.netmask, bare.mtu, bare.max_guest_mtu), (None, None, 1500, 1458));
        assert_eq!(tiny.unwrap().max_guest_mtu, 0);
        assert_eq!(bridge.unwrap().ip.as_deref(), Some("198.51.100.1"), "not the other end's");
        assert_eq!(none, None);
    }

    async fn own(interfaces: &Interfaces) -> Vec<IpAddr> {
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
        let text = |ips: Vec<IpAddr>| ips.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(text(before), ["169.254.7.7", "192.0.2.10", "192.0.2.11", "198.51.100.1", "2001:db8::1"]);
        assert_eq!(text(after), ["169.254.7.7", "192.0.2.10", "192.0.2.11", "2001:db8::1"]);
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
        assert_eq!((before.len(), after.len()), (5, 5_005));
    }

    #[test]
    fn many_questions_at_once_are_all_answered() {
        let answers = in_namespace(DEVICES, async || {
            let interfaces = Interfaces::of_kernel();
            let questions = (0..100).map(|_| interfaces.local_addresses());
            futures_util::future::join_all(questions).await
        });
        assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|ips| ips.len() == 5)), "{answers:?}");
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
                found.push(Interfaces::of_kernel().by_label(label, None).await.unwrap());
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
            ipv6: None,
            mac: None,
            mtu: 1500,
            max_guest_mtu: 1458,
        };
        let fixed = Interfaces::of_list(vec![device.clone()]);
        assert_eq!(fixed.by_label("sim0", None).await.unwrap(), Some(device));
        assert_eq!(fixed.by_label("sim1", None).await.unwrap(), None);
        assert_eq!(own(&fixed).await, [IpAddr::from([192, 0, 2, 1])]);
    }

    #[test]
    fn netmasks_of_every_length() {
        let texts = [0, 1, 24, 31, 32].map(|prefix| prefix_netmask(IpAddr::from([192, 0, 2, 1]), prefix));
        assert_eq!(texts, ["0.0.0.0", "128.0.0.0", "255.255.255.0", "255.255.255.254", "255.255.255.255"]);
        assert_eq!(prefix_netmask("2001:db8::1".parse().unwrap(), 64), "ffff:ffff:ffff:ffff::");
    }
}
