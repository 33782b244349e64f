//! Where requests come in: HTTPS with client certificates, and the Unix socket for root.
//!
//! What it does: accepts connections up to a cap, serves a router on them, tells handlers who is at the other end
//! ([`Peer`]), and ends gracefully. What it must not do: know any route, or let a connection cost anything for ever.

mod answers;
mod endless;
mod expect;
mod https;
mod peer;
mod reading;
mod refusals;
mod room;
mod serve;
mod unix;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use endless::{Cut, Endless};
pub use peer::{Guest, Peer, PeerCertificate};

use crate::config::Api;
use crate::tls::TlsStore;
use https::Https;
use refusals::Refusals;
use unix::Unix;

/// HTTPS connections that are served at the same time; more wait for as long as a handshake may take.
pub const MAX_HTTPS_CONNECTIONS: usize = 400;

/// Those of one address, so that there is always room for another.
pub const MAX_HTTPS_BY_ADDRESS: usize = 320;

/// HTTPS connections that are open, those in their handshake included: where there are more, the oldest handshake of the
/// address that has most is ended. With [`MAX_SOCKET_CONNECTIONS`] about six tenths of the 1024 files that a process may
/// usually open: the rest is for the pipes of the commands that are run.
pub const MAX_HTTPS_OPEN: usize = 480;

/// Simultaneous connections of the Unix socket: counted apart, so that a flood of HTTPS clients never locks out root.
pub const MAX_SOCKET_CONNECTIONS: usize = 128;

/// How long a TLS handshake may take, and then the first request's header.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a later request's header may take. hyper counts the time between requests to it: idle connections end so.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a client may read nothing of the answers that it has asked for.
pub const UNREAD_TIMEOUT: Duration = Duration::from_secs(20);

/// For a runtime's `event_interval`: sockets and timers are looked at after so many tasks. With tokio's own 61, of which each makes a large answer,
/// a newcomer's handshake is over its time before a byte of it was read.
pub const EVENT_INTERVAL: u32 = 4;

/// After a client's time is over, so long is looked for what it has sent: where this process had no processor, its timers are
/// told of before its sockets are.
const LATE_LOOK: Duration = Duration::from_millis(100);

/// How long requests in flight may go on after the end was asked for.
pub const GRACE: Duration = Duration::from_secs(10);

/// Why a listener could not start.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be listened on.
    #[error("cannot listen on [api] listen = \"{address}\": {source}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The Unix socket cannot be made.
    #[error("cannot listen on [api] socket = \"{}\": {source}", path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something that is no socket has the socket's name.
    #[error("cannot listen on [api] socket = \"{}\": there is a file of that name which is not a socket", path.display())]
    NotASocket {
        /// Its path.
        path: PathBuf,
    },
    /// Another process of this program serves the socket.
    #[error("already running: another process serves [api] socket = \"{}\"", path.display())]
    AlreadyRunning {
        /// Its path.
        path: PathBuf,
    },
}

/// The tasks of all connections, and the two signals that end them.
#[derive(Clone, Debug, Default)]
struct Life {
    /// No new connections and requests.
    stop: CancellationToken,
    /// The grace is over.
    kill: CancellationToken,
    tasks: TaskTracker,
    refusals: Arc<Refusals>,
}

/// The listeners: bound by [`Listeners::bind`], serving from [`Listeners::serve`] on.
#[derive(Debug)]
pub struct Listeners {
    https: Option<Https>,
    unix: Unix,
}

impl Listeners {
    /// Takes address and socket, without serving yet: what can fail at start fails here. Without `tls` there is no HTTPS.
    ///
    /// # Errors
    /// Names the key of the configuration and the reason.
    pub async fn bind(api: &Api, tls: Option<Arc<TlsStore>>) -> Result<Self, ListenError> {
        let https = match (api.listen, tls) {
            (Some(address), Some(tls)) => Some(Https::bind(address, tls).await?),
            _ => None,
        };
        Ok(Listeners { https, unix: Unix::bind(&api.socket)? })
    }

    /// Where HTTPS listens: the port is the real one where the configuration has port 0. None when it is off.
    pub fn https_address(&self) -> Option<SocketAddr> {
        self.https.as_ref().map(Https::address)
    }

    /// Starts to serve `app` in tasks of the current runtime. `count` is told of each connection that is ended against its
    /// client's will, with the reason in a word, as the label of a metric.
    pub fn serve(self, app: &Router, count: impl Fn(&'static str) + Send + Sync + 'static) -> Serving {
        let life = Life { refusals: Refusals::new(count).into(), ..Life::default() };
        if let Some(https) = self.https {
            life.tasks.spawn(https.run(app.clone(), life.clone()));
        }
        life.tasks.spawn(self.unix.run(app.clone(), life.clone()));
        Serving { life }
    }
}

/// The listeners at work.
#[derive(Debug)]
pub struct Serving {
    life: Life,
}

impl Serving {
    /// Stops accepting, lets requests in flight finish for up to `grace`, then cuts off the rest. True when none was.
    pub async fn shutdown(self, grace: Duration) -> bool {
        self.life.stop.cancel();
        self.life.tasks.close();
        if tokio::time::timeout(grace, self.life.tasks.wait()).await.is_ok() {
            return true;
        }
        tracing::warn!(connections = self.life.tasks.len(), "requests were cut off at the end of the grace period");
        self.life.kill.cancel();
        self.life.tasks.wait().await;
        false
    }
}
