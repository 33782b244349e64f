//! Packet sockets (`AF_PACKET`): whole Ethernet frames, sent and heard on one device of a namespace.
//!
//! Only safe interfaces are used: the device's link-level address comes from the list of interfaces, not from a structure
//! filled by hand. Nothing here knows what is in a frame.

use std::{
    io::IoSliceMut,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use anyhow::{Context, Result, anyhow};
use nix::{
    cmsg_space,
    errno::Errno,
    ifaddrs::getifaddrs,
    sys::socket::{
        AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvmsg, send,
        setsockopt, socket, sockopt,
    },
};

use crate::netns::Namespace;

/// `PACKET_OUTGOING` of `linux/if_packet.h`: the kind of a packet that this device sends itself.
const OUTGOING: u8 = 4;

/// Room for the frames of a storm until they are counted, in bytes. The kernel takes it only while it is needed.
const RECEIVE_BUFFER: usize = 16 << 20;

/// A packet socket of one device.
#[derive(Debug)]
pub(crate) struct PacketSocket {
    fd: OwnedFd,
}

/// What [`PacketSocket::receive`] found.
pub(crate) enum Received {
    /// A frame that came in, of so many bytes.
    Frame(usize),
    /// A frame that the device itself sent.
    Own,
    /// Nothing more at present.
    Nothing,
}

impl PacketSocket {
    /// A socket that hears everything that `device` hears. Whether that is more than what is addressed to it, is a setting
    /// of the device (`promisc`).
    pub(crate) fn listen(namespace: &Namespace, device: &str) -> Result<Self> {
        let socket = Self::open(namespace, device, Some(SockProtocol::EthAll))?;
        setsockopt(&socket.fd, sockopt::RcvBufForce, &RECEIVE_BUFFER).context("receive buffer of a packet socket")?;
        setsockopt(&socket.fd, sockopt::RxqOvfl, &1).context("count of lost packets of a packet socket")?;
        Ok(socket)
    }

    /// A socket that only sends.
    pub(crate) fn sender(namespace: &Namespace, device: &str) -> Result<Self> {
        Self::open(namespace, device, None)
    }

    fn open(namespace: &Namespace, device: &str, protocol: Option<SockProtocol>) -> Result<Self> {
        let open = || -> Result<Self> {
            let flags = SockFlag::SOCK_CLOEXEC;
            let fd = match protocol {
                Some(protocol) => socket(AddressFamily::Packet, SockType::Raw, flags, protocol),
                None => socket(AddressFamily::Packet, SockType::Raw, flags, None),
            }?;
            bind(fd.as_raw_fd(), &link_address(device)?)?;
            Ok(Self { fd })
        };
        namespace.enter(|| open().with_context(|| format!("packet socket on {device} in {}", namespace.name())))
    }

    /// Sends one frame, from its destination address on and without checksum.
    pub(crate) fn send(&self, frame: &[u8]) -> Result<()> {
        match send(self.fd.as_raw_fd(), frame, MsgFlags::empty()) {
            Ok(sent) if sent == frame.len() => Ok(()),
            Ok(sent) => Err(anyhow!("only {sent} of {} bytes of a frame were sent", frame.len())),
            Err(error) => Err(error).context("cannot send a frame"),
        }
    }

    /// Takes the next packet without waiting. `lost` becomes the number of packets that this socket has lost in its life
    /// because its buffer was full.
    pub(crate) fn receive(&self, buffer: &mut [u8], lost: &mut u32) -> Result<Received> {
        let mut slices = [IoSliceMut::new(buffer)];
        let mut control = cmsg_space!(u32);
        let got = recvmsg::<LinkAddr>(self.fd.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::MSG_DONTWAIT);
        let message = match got {
            Ok(message) => message,
            // The device went down and came up again, or a signal came: the socket still works.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENETDOWN) => return Ok(Received::Nothing),
            Err(error) => return Err(error).context("cannot receive from a packet socket"),
        };
        for part in message.cmsgs().context("control messages of a packet socket")? {
            if let ControlMessageOwned::RxqOvfl(count) = part {
                *lost = count;
            }
        }
        let own = message.address.is_some_and(|from| from.pkttype() == OUTGOING);
        Ok(if own { Received::Own } else { Received::Frame(message.bytes) })
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The address that binds a packet socket to `device`, seen from the current thread's namespace.
fn link_address(device: &str) -> Result<LinkAddr> {
    getifaddrs()
        .context("list of interfaces")?
        .filter(|interface| interface.interface_name == device)
        .find_map(|interface| interface.address?.as_link_addr().copied())
        .ok_or_else(|| anyhow!("there is no device {device}"))
}
