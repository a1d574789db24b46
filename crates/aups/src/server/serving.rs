//! HTTP/1.1 and HTTP/2 on a listener, with limits on what a peer can hold: the head of a request is bounded in bytes, lines and
//! time, a connection that nobody uses is closed, and so is one whose peer does not read. Bodies are their readers' to bound.

mod activity;

use activity::{Activity, Overdue, UntilSent, Watched};
use anyhow::Context as _;
use aups_net::{Listener, ListenerLimits, ListenerSettings, Stream};
use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::ServerConfig;
use std::{convert::Infallible, error::Error, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tower::Service as _;

/// Connections at once, and of those from one address.
const CONNECTIONS_MAX: usize = 8_192;
const CONNECTIONS_PER_ADDRESS_MAX: usize = 1_024;
/// How long a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long the head of a request may take, from its first byte; of the first one, from the connection on.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// How long a connection may stand without a request.
const IDLE_MAX: Duration = Duration::from_secs(75);
/// How long a peer may take nothing of an answer.
const STALLED_MAX: Duration = Duration::from_mins(1);
/// How often a connection is looked at for that: so much later it is closed at the latest.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(2);
/// Largest head of a request; a larger one is answered with 431.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Most header lines; more are answered with 431.
const HEADERS_MAX: usize = 128;
/// HTTP/2: requests at once on a connection.
const STREAMS_MAX: u32 = 128;
/// HTTP/2: streams that a peer may reset before they were looked at, and that we may have to reset for its errors, before the
/// connection is ended (CVE-2023-44487).
const RESETS_MAX: usize = 32;
/// HTTP/2: bytes of an answer that wait for one stream's peer.
const SEND_BYTES_MAX: usize = 256 << 10;
/// HTTP/2: how often a silent peer is asked whether it is there, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_MAX: Duration = Duration::from_secs(20);
/// How long requests that are under way may keep the server from stopping.
const HTTP_STOP_MAX: Duration = Duration::from_secs(5);

/// What those are told who come when every place is taken, and who speak in clear where TLS is spoken.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const CLEAR: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 38\r\n\r\n\
this port speaks TLS: say https://...\n";

/// What TLS offers by ALPN, the preferred first.
pub(super) const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Listens.
pub(super) async fn listen(address: SocketAddr, tls: Option<Arc<ServerConfig>>) -> anyhow::Result<Listener> {
    let limits = ListenerLimits {
        connections_max: CONNECTIONS_MAX,
        per_address_max: CONNECTIONS_PER_ADDRESS_MAX,
        handshake_max: HANDSHAKE_MAX,
    };
    let settings = ListenerSettings { name: "http", limits, tls, full: FULL, clear: CLEAR };
    Listener::bind(address, settings).await.with_context(|| listen_failed("http", address))
}

/// `name` is that of the setting.
pub(super) fn listen_failed(name: &str, address: SocketAddr) -> String {
    format!("cannot listen on {address} for {name}; choose another address with --{name} (port 0 picks a free one)")
}

/// An HTTP listener at work.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Serving {
    pub(super) fn start(listener: Listener, routes: Router) -> Self {
        let address = listener.local_addr();
        let (stop, mut stopped) = watch::channel(false);
        let (http, stopping) = (Arc::new(protocols()), stopped.clone());
        let stopped = async move {
            // A dropped sender stops the listener as well.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let serve = move |stream, peer| {
            let (http, routes, stopping) = (Arc::clone(&http), routes.clone(), stopping.clone());
            async move { connection(&http, stream, peer, routes, stopping).await }
        };
        Self { address, stop, task: tokio::spawn(listener.serve(stopped, serve)) }
    }

    /// Takes no more requests; those that are under way have a while to end.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        let Self { stop, mut task, .. } = self;
        stop.send_replace(true);
        match timeout(HTTP_STOP_MAX, &mut task).await {
            Ok(ended) => ended.context("the HTTP listener broke down")?,
            Err(_) => task.abort(),
        }
        Ok(())
    }
}

fn protocols() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    // Times are kept by `activity`: hyper's own for heads would be those for idle connections as well.
    http.http1().max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX).header_read_timeout(None);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .max_send_buf_size(SEND_BYTES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_MAX);
    http
}

async fn connection(
    http: &auto::Builder<TokioExecutor>,
    stream: Stream,
    peer: SocketAddr,
    routes: Router,
    mut stopping: watch::Receiver<bool>,
) {
    let activity = Arc::new(Activity::new());
    let stream = TokioIo::new(Watched::new(stream, Arc::clone(&activity)));
    let service = {
        let activity = Arc::clone(&activity);
        service_fn(move |request: hyper::Request<Incoming>| {
            let (mut routes, answering) = (routes.clone(), Activity::request(&activity));
            let mut request: Request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            async move {
                let response = routes.call(request).await?;
                Ok::<_, Infallible>(response.map(|body| UntilSent::new(body, answering)))
            }
        })
    };
    let (mut served, mut watched) = (pin!(http.serve_connection(stream, service)), pin!(watch_over(&activity)));
    let mut asked_to_stop = false;
    loop {
        tokio::select! {
            ended = &mut served => return told(peer, ended),
            overdue = &mut watched => {
                metrics::counter!("aups_http_connections_cut_total", "reason" => overdue.name()).increment(1);
                tracing::debug!(%peer, reason = overdue.name(), "cut a connection");
                return;
            }
            _ = stopping.wait_for(|stop| *stop), if !asked_to_stop => {
                asked_to_stop = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Resolves when the connection is to be cut.
async fn watch_over(activity: &Activity) -> Overdue {
    loop {
        tokio::time::sleep(LOOKED_AT_EVERY).await;
        if let Some(overdue) = activity.overdue() {
            return overdue;
        }
    }
}

fn told(peer: SocketAddr, ended: Result<(), Box<dyn Error + Send + Sync>>) {
    let Err(error) = ended else { return };
    let too_large = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse_too_large);
    let reason = if too_large { "head-large" } else { "protocol" };
    metrics::counter!("aups_http_connections_cut_total", "reason" => reason).increment(1);
    tracing::debug!(%peer, %error, "a connection ended");
}

#[cfg(test)]
mod tests;
