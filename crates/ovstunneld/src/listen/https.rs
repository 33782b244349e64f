//! The HTTPS listener.
//!
//! What it does: TLS with the settings in force at the time of the handshake, and a clear word to a client that speaks
//! plain HTTP. What it must not do: serve anyone whose certificate was not verified.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use ovstunnel_api::Code;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::serve::{next, refuse, serve};
use super::{HANDSHAKE_TIMEOUT, Life, ListenError, MAX_HTTPS_CONNECTIONS, Peer, PeerCertificate};
use crate::problem::{ApiError, words};
use crate::tls::TlsStore;

/// First byte of each TLS connection: a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// How long bytes may stay unacknowledged before a client counts as gone.
const GONE_AFTER: Duration = Duration::from_secs(30);

/// How long, and for how many bytes, a refused TLS client is listened to.
const LINGER: Duration = Duration::from_secs(1);
const MAX_REST: u64 = 64 * 1024;

#[derive(Debug)]
pub(super) struct Https {
    listener: TcpListener,
    address: SocketAddr,
    tls: Arc<TlsStore>,
}

impl Https {
    pub(super) async fn bind(address: SocketAddr, tls: Arc<TlsStore>) -> Result<Self, ListenError> {
        let refused = |source| ListenError::Address { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Https { listener, address, tls })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) async fn run(self, app: Router, life: Life) {
        let room = Arc::new(Semaphore::new(MAX_HTTPS_CONNECTIONS));
        while let Some(((stream, address), permit)) = next(&room, &life, |cx| self.listener.poll_accept(cx)).await {
            let (tls, app, its_life) = (Arc::clone(&self.tls), app.clone(), life.clone());
            life.tasks.spawn(async move {
                connection(stream, address, &tls, app, &its_life).await;
                drop(permit);
            });
        }
    }
}

enum Hello {
    Tls(Box<TlsStream<TcpStream>>),
    NotTls(TcpStream),
    Closed,
}

async fn connection(stream: TcpStream, address: SocketAddr, tls: &TlsStore, app: Router, life: &Life) {
    if let Err(e) = tune(&stream) {
        return tracing::debug!(%address, error = %e, "a connection broke");
    }
    let hello = tokio::select! {
        hello = tokio::time::timeout(HANDSHAKE_TIMEOUT, hello(stream, tls)) => hello,
        () = life.stop.cancelled() => return,
    };
    match hello {
        Ok(Ok(Hello::Tls(stream))) => {
            let session = stream.get_ref().1;
            let http2 = session.alpn_protocol() == Some(b"h2");
            // Without a certificate the handshake does not get here; without this line a fault there would matter.
            let Some(chain) = session.peer_certificates().filter(|chain| !chain.is_empty()) else { return };
            let peer = Peer::Certificate(Arc::new(PeerCertificate::read(chain, address)));
            serve(*stream, http2, peer, app, life).await;
        }
        Ok(Ok(Hello::NotTls(stream))) => {
            tracing::info!(%address, "refused a client that spoke plain HTTP on the HTTPS port");
            let detail = "this port speaks HTTPS only: use https:// and a client certificate";
            refuse(stream, &ApiError::new(Code::InvalidRequest, detail)).await;
        }
        Ok(Ok(Hello::Closed)) => {}
        Ok(Err(e)) => tracing::info!(%address, error = words(&e), "refused a TLS client"),
        Err(_) => tracing::info!(%address, "refused a TLS client: the handshake took too long"),
    }
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket
        .set_tcp_keepalive(&TcpKeepalive::new().with_time(GONE_AFTER).with_interval(GONE_AFTER / 3).with_retries(3))?;
    socket.set_tcp_user_timeout(Some(GONE_AFTER))
}

async fn hello(stream: TcpStream, tls: &TlsStore) -> io::Result<Hello> {
    let mut first = [0u8];
    match stream.peek(&mut first).await? {
        0 => Ok(Hello::Closed),
        _ if first[0] != TLS_HANDSHAKE => Ok(Hello::NotTls(stream)),
        _ => match TlsAcceptor::from(tls.current()).accept(stream).into_fallible().await {
            Ok(stream) => Ok(Hello::Tls(Box::new(stream))),
            Err((error, stream)) => {
                let_it_read(stream).await;
                Err(error)
            }
        },
    }
}

/// Waits a moment for the other end to close: closing with its bytes unread would reset the connection, and the client
/// would not learn from the TLS alert what is wrong with its certificate.
async fn let_it_read(mut stream: TcpStream) {
    let rest = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(MAX_REST), &mut tokio::io::sink()).await
    };
    // Whoever does not close is cut off.
    let _ = tokio::time::timeout(LINGER, rest).await;
}
