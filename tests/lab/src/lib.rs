//! A laboratory of real hosts on one machine: network namespaces, each with its own Open vSwitch, plugged into one fabric,
//! with VMs on them whose frames are counted one by one. A [`Switch`] says which Open vSwitch: version and datapath.
//!
//! It is there to find out what ovstunnel does to a network, so it knows nothing of ovstunnel: it makes hosts as bare as a
//! fresh installation, and reports what the switches did. It needs root, iproute2, ethtool and Open vSwitch
//! ([`Lab::requirements`]), and leaves nothing behind: not after a panic, not after a signal, not after `kill -9`.
//! No frame leaves the namespaces, and the machine's own Open vSwitch is not touched.
//!
//! ```no_run
//! use ovstunnel_lab::{Kind, Lab, VmSpec};
//!
//! # fn main() -> anyhow::Result<()> {
//! let lab = Lab::with_hosts("example", 2)?;
//! let (h1, h2) = (lab.host(1)?, lab.host(2)?);
//! for (host, peer) in [(&h1, &h2), (&h2, &h1)] {
//!     let remote = format!("options:remote_ip={}", peer.ip());
//!     host.add_bridge("br0")?;
//!     host.vsctl(["add-port", "br0", "t", "--", "set", "Interface", "t", "type=gre", "options:key=7", &remote])?;
//!     host.wait_for_ofport("t")?;
//! }
//! let alice = h1.plug_vm("br0", "vif1.0", VmSpec::numbered(1))?;
//! let bob = h2.plug_vm("br0", "vif1.0", VmSpec::numbered(2))?;
//! alice.ping(bob.ip(), 3)?.expect_no_loss()?;
//! lab.deliver(&alice, Kind::SSDP_MULTICAST)?.expect_once()?;
//! # Ok(())
//! # }
//! ```

mod deliver;
mod fabric;
mod frame;
mod host;
mod interrupt;
mod lab;
mod names;
mod netns;
mod packet;
mod ping;
mod process;
mod requirements;
mod routed;
mod sniffer;
mod stream;
mod switch;
mod teardown;
mod traces;
mod unixctl;
mod vm;
mod wait;
mod wrapped;

pub use deliver::{Delivery, Patience, Probe};
pub use fabric::Fabric;
pub use frame::Kind;
pub use host::{BR_PHY, Host};
pub use interrupt::Interrupt;
pub use lab::Lab;
pub use macaddr::MacAddr6;
pub use netns::Namespace;
pub use nix::sys::signal::Signal;
pub use ping::{PingReport, Pinger};
pub use process::{Daemon, output, run};
pub use routed::{Packet, Payload};
pub use sniffer::Heard;
pub use stream::{Share, Stream, StreamReport};
pub use switch::{Datapath, Switch, cache};
pub use teardown::{cleanup_on_signal, remove_leftovers};
pub use traces::traces_of;
pub use vm::{Vm, VmSpec};
pub use wait::{DEADLINE, unhurried, wait_until, wait_until_every};
pub use wrapped::{Content, Tunnel, Wrapped};
