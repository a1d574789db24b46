//! A TCP listener with limits, and TLS where that is asked for.

use crate::places::{NoPlace, Places};
use rustls::ServerConfig;
use std::{
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How long to wait after the system could not accept a connection: it is out of descriptors.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How long a peer that speaks in clear on a TLS port may take to be told so.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// The first byte of TLS: the type of a record with a handshake in it (RFC 8446 section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// How much a listener takes.
#[derive(Debug, Clone, Copy)]
pub struct ListenerLimits {
    /// Connections at once.
    pub connections_max: usize,
    /// Of those, from [one address](crate::sender_network).
    pub per_address_max: usize,
    /// How long a TLS handshake may take.
    pub handshake_max: Duration,
}

/// What a listener is to do.
#[derive(Debug, Clone)]
pub struct ListenerSettings {
    /// What metrics and logs call it.
    pub name: &'static str,
    /// How much it takes.
    pub limits: ListenerLimits,
    /// Speaks TLS; none: speaks in clear.
    pub tls: Option<Arc<ServerConfig>>,
    /// What a peer is told, in clear, before its connection is closed because there are too many. Empty: nothing.
    pub full: &'static [u8],
    /// What a peer is told that speaks in clear where TLS is spoken. Empty: nothing.
    pub clear: &'static [u8],
}

/// A listener that is bound, and takes no connections yet.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
    settings: ListenerSettings,
}

/// A connection that was let in.
#[derive(Debug)]
pub enum Stream {
    /// In clear.
    Plain(TcpStream),
    /// After its handshake.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Listener {
    /// Binds. Port 0 picks one.
    pub async fn bind(address: SocketAddr, settings: ListenerSettings) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        let address = tcp.local_addr()?;
        Ok(Self { tcp, address, settings })
    }

    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Whether it speaks TLS.
    pub const fn speaks_tls(&self) -> bool {
        self.settings.tls.is_some()
    }

    /// Lets connections in, each in a task of its own, until `stop`; then waits until all of them have ended. To be dropped
    /// if that takes too long: they end with it.
    pub async fn serve<F>(
        self,
        stop: impl Future<Output = ()>,
        serve: impl Fn(Stream, SocketAddr) -> F + Clone + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { tcp, settings, .. } = self;
        let ListenerSettings { name, limits, tls, full, clear } = settings;
        let tls = tls.map(TlsAcceptor::from);
        let places = Places::new(limits.connections_max, limits.per_address_max);
        let (mut open, mut stop) = (JoinSet::new(), pin!(stop));
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = tcp.accept() => accepted,
                Some(_) = open.join_next() => continue,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(listener = name, %error, "cannot accept a connection");
                    sleep(ACCEPT_AGAIN_AFTER).await;
                    continue;
                }
            };
            let place = match places.take(peer.ip()) {
                Ok(place) => place,
                Err(why) => {
                    let reason = match why {
                        NoPlace::Address => "address",
                        NoPlace::Full => "full",
                    };
                    refused(name, reason);
                    // Whoever speaks TLS would not understand it. It is sent at once or not at all.
                    if tls.is_none() {
                        let _ = stream.try_write(full);
                    }
                    continue;
                }
            };
            metrics::counter!("aups_listener_connections_total", "listener" => name).increment(1);
            let (tls, serve) = (tls.clone(), serve.clone());
            open.spawn(async move {
                let _place = place;
                // Messages are small and waited for.
                if stream.set_nodelay(true).is_err() {
                    return;
                }
                let stream = match tls {
                    None => Stream::Plain(stream),
                    Some(tls) => match secured(stream, &tls, limits.handshake_max, clear).await {
                        Ok(stream) => Stream::Tls(Box::new(stream)),
                        Err(reason) => {
                            tracing::debug!(listener = name, %peer, reason, "no TLS with a peer");
                            return refused(name, reason);
                        }
                    },
                };
                serve(stream, peer).await;
            });
        }
        drop(tcp);
        while open.join_next().await.is_some() {}
    }
}

fn refused(listener: &'static str, reason: &'static str) {
    metrics::counter!("aups_listener_refused_total", "listener" => listener, "reason" => reason).increment(1);
}

/// The handshake. Whoever speaks in clear is told what is wrong.
async fn secured(
    mut stream: TcpStream,
    tls: &TlsAcceptor,
    handshake_max: Duration,
    clear: &[u8],
) -> Result<TlsStream<TcpStream>, &'static str> {
    let handshake = async {
        let mut first = [HANDSHAKE_RECORD];
        if stream.peek(&mut first).await.is_ok() && first != [HANDSHAKE_RECORD] {
            let told = async { stream.write_all(clear).await.and(stream.shutdown().await) };
            // It may be gone already.
            let _ = timeout(FAREWELL_MAX, told).await;
            return Err("clear");
        }
        tls.accept(stream).await.map_err(|_| "handshake")
    };
    timeout(handshake_max, handshake).await.map_err(|_| "handshake-slow")?
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests;
