//! This host's own addresses, kept for as long as the kernel tells of no change.
//!
//! The kernel puts word of a change into the socket before the change is done, so a socket without word says that what was read is still
//! so, at this instant: who asks right after `ip address add` sees the new address. What this must not do: hold what was told where word
//! was lost, or be about routes, which depend on rules and metrics that only the kernel weighs.

use std::io;

use rtnetlink::MulticastGroup;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket, SocketAddr};

use super::local::LocalAddress;

/// Word of changes is read and dropped: its start will do.
const START: usize = 32;

/// What was told last, and the socket that says whether it still holds.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// None before the first question, and where there can be none.
    socket: Option<Socket>,
    addresses: Option<Vec<LocalAddress>>,
}

impl Watched {
    /// The addresses, where they are known and the kernel has told of no change since.
    pub fn unchanged_addresses(&mut self) -> Option<Vec<LocalAddress>> {
        if self.has_changed() {
            self.addresses = None;
        }
        self.addresses.clone()
    }

    /// Keeps what was asked after [`unchanged_addresses`](Self::unchanged_addresses) had nothing; a change since then is in the socket.
    pub fn keep_addresses(&mut self, addresses: Vec<LocalAddress>) -> Vec<LocalAddress> {
        self.addresses = self.socket.is_some().then(|| addresses.clone());
        addresses
    }

    /// Takes all word that there is. Without a socket everything may have changed.
    fn has_changed(&mut self) -> bool {
        let Some(socket) = &self.socket else {
            self.socket =
                open_socket().inspect_err(|error| tracing::debug!(%error, "addresses are asked for each time")).ok();
            return true;
        };
        let mut changed = false;
        loop {
            let mut start = Vec::with_capacity(START);
            match socket.recv(&mut start, 0) {
                Ok(_) => changed = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return changed,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // More was told than could be held: there is no next word to wait for.
                Err(error) if error.raw_os_error() == Some(nix::errno::Errno::ENOBUFS as i32) => changed = true,
                Err(_) => {
                    self.socket = None;
                    return true;
                }
            }
        }
    }
}

fn open_socket() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.set_non_blocking(true)?;
    socket.bind(&SocketAddr::new(0, 0))?;
    socket.add_membership(MulticastGroup::Ipv4Ifaddr as u32)?;
    socket.add_membership(MulticastGroup::Ipv6Ifaddr as u32)?;
    Ok(socket)
}
