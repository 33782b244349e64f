//! The HTTPS listener.
//!
//! What it does: TLS with the settings in force at the time of the handshake, and a clear word to a client that speaks
//! plain HTTP. What it must not do: serve anyone whose certificate was not verified.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use ovstunnel_api::Code;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::answers::{Answers, Outgoing};
use super::refusals::Reason;
use super::room::{Place, Room};
use super::serve::{Terms, next_connection, refuse_stream, serve_stream};
use super::{HANDSHAKE_TIMEOUT, Life, ListenError, Peer, PeerCertificate};
use crate::problem::ApiError;
use crate::tls::seen::Refused;
use crate::tls::{Shown, TlsStore};
use ovstunnel_types::text::foreign_message;

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
        let (room, answers) = (Arc::new(Room::default()), Answers::new(life.stop.clone()));
        let at_once = || std::future::ready(());
        while let Some(((stream, address), ())) =
            next_connection(at_once(), &life, |cx| self.listener.poll_accept(cx)).await
        {
            let (place, gone) = room.enter_room(address.ip());
            tell_of_displaced(&life, gone);
            let client =
                Client { stream, address, place: Arc::new(place), outgoing: answers.for_address(Some(address.ip())) };
            let (tls, app, its_life) = (Arc::clone(&self.tls), app.clone(), life.clone());
            life.tasks.spawn(async move { serve_connection(client, &tls, app, &its_life).await });
        }
    }
}

/// A client that has come in.
struct Client {
    stream: TcpStream,
    address: SocketAddr,
    place: Arc<Place>,
    outgoing: Arc<Outgoing>,
}

enum Hello {
    Tls(Box<TlsStream<TcpStream>>),
    NotTls(TcpStream),
    Closed,
}

fn tell_of_displaced(life: &Life, gone: Option<IpAddr>) {
    let Some(from) = gone else { return };
    if let Some(left_out) = life.refusals.count_refusal(Reason::Displaced) {
        tracing::warn!(%from, left_out, "ended a connection of the address that has most, for others need the room");
    }
}

async fn serve_connection(client: Client, tls: &TlsStore, app: Router, life: &Life) {
    let Client { stream, address, place, outgoing } = client;
    if let Err(e) = tune_socket(&stream) {
        return tracing::debug!(%address, error = %e, "a connection broke");
    }
    let (shown, seen) = (Shown::default(), tls.seen_clients());
    let hello = tokio::select! {
        hello = tokio::time::timeout(HANDSHAKE_TIMEOUT, shown.during_handshake(accept_hello(stream, tls))) => hello,
        () = place.wait_displaced() => return,
        () = life.stop.cancelled() => return,
    };
    match hello {
        Ok(Ok(Hello::Tls(stream))) => {
            if !wait_settled(&place, address, life).await {
                return;
            }
            let session = stream.get_ref().1;
            let http2 = session.alpn_protocol() == Some(b"h2");
            let peer = match session.peer_certificates().filter(|chain| !chain.is_empty()) {
                Some(chain) => {
                    seen.let_in();
                    Peer::Certificate(Arc::new(PeerCertificate::from_chain(chain, address)))
                }
                None if tls.lets_visitors_in() => Peer::Visitor(address),
                // The handshake does not get here; without this line a fault there would matter.
                None => return,
            };
            serve_stream(*stream, http2, peer, app, life, Terms { place: Some(place), outgoing }).await;
        }
        Ok(Ok(Hello::NotTls(stream))) => {
            if let Some(left_out) = life.refusals.count_refusal(Reason::Handshake) {
                tracing::info!(%address, left_out, "refused a client that spoke plain HTTP on the HTTPS port");
            }
            let detail = "this port speaks HTTPS only: use https:// and a client certificate";
            let error = ApiError::new(Code::InvalidRequest, detail);
            tokio::select! {
                () = refuse_stream(stream, &error) => {}
                () = place.wait_displaced() => {}
            }
        }
        Ok(Ok(Hello::Closed)) => {}
        Ok(Err(e)) => {
            let refused = shown.refused_certificate();
            refused.iter().for_each(|refused| seen.note_refused(refused, address.ip()));
            tell_refused(refused, &e, address, life);
        }
        Err(_) => {
            if let Some(left_out) = life.refusals.count_refusal(Reason::Slow) {
                tracing::info!(%address, left_out, "refused a TLS client: the handshake took too long");
            }
        }
    }
}

/// Tells of a handshake that failed, as often as is told of such.
fn tell_refused(refused: Option<Refused>, error: &io::Error, address: SocketAddr, life: &Life) {
    let Some(left_out) = life.refusals.count_refusal(Reason::Handshake) else { return };
    match refused {
        Some(Refused { certificate, issuer, why, .. }) => {
            tracing::info!(%address, certificate, issuer, why, left_out, "refused a TLS client");
        }
        None => tracing::info!(%address, error = foreign_message(error), left_out, "refused a TLS client"),
    }
}

/// Waits for room among those who are served.
async fn wait_settled(place: &Place, address: SocketAddr, life: &Life) -> bool {
    tokio::select! {
        gone = tokio::time::timeout(HANDSHAKE_TIMEOUT, place.wait_settled()) => match gone {
            Ok(gone) => {
                tell_of_displaced(life, gone);
                true
            }
            Err(_) => {
                if let Some(left_out) = life.refusals.count_refusal(Reason::Displaced) {
                    tracing::warn!(%address, left_out, "ended a connection: all that may be served at once are busy");
                }
                false
            }
        },
        () = place.wait_displaced() => false,
        () = life.stop.cancelled() => false,
    }
}

fn tune_socket(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket
        .set_tcp_keepalive(&TcpKeepalive::new().with_time(GONE_AFTER).with_interval(GONE_AFTER / 3).with_retries(3))?;
    socket.set_tcp_user_timeout(Some(GONE_AFTER))
}

async fn accept_hello(stream: TcpStream, tls: &TlsStore) -> io::Result<Hello> {
    let mut first = [0u8];
    match stream.peek(&mut first).await? {
        0 => Ok(Hello::Closed),
        _ if first[0] != TLS_HANDSHAKE => Ok(Hello::NotTls(stream)),
        _ => match TlsAcceptor::from(tls.current_config()).accept(stream).into_fallible().await {
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
