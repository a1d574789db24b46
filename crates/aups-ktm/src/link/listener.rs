//! The KTM's listener: TLS 1.3, certificates of the realm's authority on both sides, HTTP/1.1.

use super::nodes::fingerprint;
use crate::{
    ca::{Ca, Issued, SERVER_CERTIFICATE_LIFE, tls_provider},
    error::KtmError,
};
use aups_core::Clock;
use aups_net::{Place, Places};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::UnixTime,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
    time_provider::TimeProvider,
};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

/// Most connections at once; a NOS has a handful.
const CONNECTIONS_MAX: usize = 4_096;

/// Most connections at once that have shown no certificate yet, or have none: those that come to be admitted.
const STRANGERS_MAX: usize = 128;

/// Most of those from one address, so that one peer cannot keep NOSs out.
const STRANGERS_PER_ADDRESS_MAX: usize = 32;

/// How long a peer may take for the TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// How long a connection without a certificate is kept: enough to be admitted.
const STRANGER_MAX: Duration = Duration::from_secs(15);

/// How long a peer may take to send the head of a request, and to send none at all.
const HEAD_MAX: Duration = Duration::from_mins(1);

/// Largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// How long to wait after the system could not accept a connection: it is out of descriptors.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Who a connection is from: the certificate that it showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) Option<[u8; 32]>);

/// Serves connections until it is dropped, and they with it.
pub(crate) async fn serve(listener: TcpListener, tls: TlsAcceptor, router: Router) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let strangers = Places::new(STRANGERS_MAX, STRANGERS_PER_ADDRESS_MAX);
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = open.join_next() => continue,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection of a NOS");
                sleep(ACCEPT_AGAIN_AFTER).await;
                continue;
            }
        };
        let (Ok(connection), Ok(stranger)) = (Arc::clone(&connections).try_acquire_owned(), strangers.take(from.ip()))
        else {
            metrics::counter!("aups_link_connections_refused_total").increment(1);
            continue;
        };
        let (tls, router) = (tls.clone(), router.clone());
        open.spawn(async move {
            let _connection = connection;
            if let Err(error) = connected(stream, &tls, router, stranger).await {
                tracing::debug!(%from, %error, "a connection ended");
            }
        });
    }
}

async fn connected(
    stream: TcpStream,
    tls: &TlsAcceptor,
    router: Router,
    stranger: Place,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Answers are small and waited for.
    stream.set_nodelay(true)?;
    let stream = timeout(HANDSHAKE_MAX, tls.accept(stream)).await??;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(fingerprint);
    let service = TowerToHyperService::new(router.layer(Extension(Peer(certificate))));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if certificate.is_some() {
        drop(stranger);
        served.await?;
    } else {
        timeout(STRANGER_MAX, served).await??;
    }
    Ok(())
}

/// Where it listens.
pub(crate) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// TLS for the listener. A client without a certificate gets in, to be admitted; one with a certificate of another authority
/// does not.
pub(crate) fn tls(ca: &Arc<Ca>, clock: &Arc<dyn Clock>) -> Result<TlsAcceptor, KtmError> {
    let failed = |error: rustls::Error| KtmError::Certificate(error.into());
    let mut roots = RootCertStore::empty();
    roots.add(ca.certificate().clone()).map_err(failed)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls_provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| KtmError::Certificate(error.into()))?;
    let certificate = ListenerCertificate::new(Arc::clone(ca), Arc::clone(clock))?;
    let mut config = ServerConfig::builder_with_details(tls_provider(), Arc::new(TlsTime(Arc::clone(clock))))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(failed)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(certificate));
    // Who resumes a session shows no certificate: everybody begins anew.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// TLS by a clock of ours.
#[derive(Debug)]
pub(crate) struct TlsTime(pub(crate) Arc<dyn Clock>);

impl TimeProvider for TlsTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.0.now().0)))
    }
}

/// The listener's certificate, replaced when half of its life is over.
#[derive(Debug)]
struct ListenerCertificate {
    ca: Arc<Ca>,
    clock: Arc<dyn Clock>,
    held: RwLock<(Arc<CertifiedKey>, Issued)>,
}

impl ListenerCertificate {
    fn new(ca: Arc<Ca>, clock: Arc<dyn Clock>) -> Result<Self, KtmError> {
        let held = RwLock::new(Self::issue(&ca)?);
        Ok(Self { ca, clock, held })
    }

    fn issue(ca: &Ca) -> Result<(Arc<CertifiedKey>, Issued), KtmError> {
        let (issued, key) = ca.issue_server()?;
        // The authority goes with it: who comes to be admitted does not have it yet.
        let chain = vec![issued.certificate.clone(), ca.certificate().clone()];
        let key = CertifiedKey::from_der(chain, key, &tls_provider());
        Ok((Arc::new(key.map_err(|error| KtmError::Certificate(error.into()))?), issued))
    }

    fn held(&self) -> (Arc<CertifiedKey>, Issued) {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for ListenerCertificate {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let (key, issued) = self.held();
        let left = issued.expires.since(self.clock.now());
        if left > SERVER_CERTIFICATE_LIFE / 2 {
            return Some(key);
        }
        match Self::issue(&self.ca) {
            Ok(new) => {
                tracing::info!(expires = %new.1.expires, "renewed the certificate of the KTM's listener");
                let key = Arc::clone(&new.0);
                *self.held.write().unwrap_or_else(PoisonError::into_inner) = new;
                Some(key)
            }
            Err(error) => {
                tracing::error!(%error, "cannot renew the certificate of the KTM's listener");
                Some(key)
            }
        }
    }
}
