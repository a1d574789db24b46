//! The KTM's end of the link.

use super::{
    AdmissionToken, LEASE, LinkHost, NodeStatus,
    history::History,
    listener,
    nodes::{Nodes, Row},
    routes,
};
use crate::{Ca, Ktm, KtmError, publisher::Publishers, root::millis};
use aups_core::{Bump, Clock, NosId, ScopeId};
use aups_store::{Event, Revision, Store};
use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{RwLock, watch},
    task::JoinHandle,
};

/// What a [`LinkServer`] is made of.
#[derive(Debug)]
pub struct LinkParts {
    /// Where NOSs connect; see [`LinkServer::bind`].
    pub listener: TcpListener,
    /// Whose service it is.
    pub ktm: Arc<Ktm>,
    /// Whose certificates are taken.
    pub ca: Arc<Ca>,
    /// The store that the KTM was opened on: what happens in it is what NOSs follow.
    pub store: Arc<dyn Store>,
    /// The rest of the process.
    pub host: Arc<dyn LinkHost>,
    /// The KTM's clock.
    pub clock: Arc<dyn Clock>,
    /// Which records NOSs follow: those whose keys begin so. Never `ktm/`: secrets lie there, if wrapped.
    pub prefixes: Vec<String>,
    /// How long a NOS goes on without hearing from us: [`LEASE`] but in tests.
    pub lease: Duration,
}

/// The KTM as a service for NOSs that run apart. Stops when it is dropped.
#[derive(Debug)]
pub struct LinkServer {
    link: Arc<Link>,
    address: SocketAddr,
    serving: [JoinHandle<()>; 2],
}

/// What every connection shares.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) ktm: Arc<Ktm>,
    pub(crate) ca: Arc<Ca>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) host: Arc<dyn LinkHost>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) nodes: Arc<Nodes>,
    /// Which the store's revisions are of.
    pub(crate) history: History,
    /// The newest transaction of the store that we have heard of.
    pub(crate) newest: watch::Sender<Revision>,
    /// Written while a NOS comes, goes or changes its certificate; read while one begins or is given keys.
    pub(crate) membership: RwLock<()>,
}

impl LinkServer {
    /// Where NOSs will connect; port 0 picks one.
    pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        listener::bind(address).await
    }

    /// Begins to serve.
    ///
    /// Every NOS that was admitted counts as holding a lease from now on: it may, and nobody knows until when.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn start(parts: LinkParts) -> Result<Self, KtmError> {
        let LinkParts { listener, ktm, ca, store, host, clock, prefixes, lease } = parts;
        let address = listener.local_addr().map_err(|error| KtmError::Away { why: error.to_string() })?;
        let history = History::open(Arc::clone(&store)).await?;
        let nodes = Arc::new(Nodes::load(Arc::clone(&store), lease.min(LEASE)).await?);
        let (_, newest) = store.list(crate::publisher::SLOTS).await?;
        let tls = listener::tls(&ca, &clock)?;
        let link = Arc::new(Link {
            ktm,
            ca,
            store,
            host,
            clock,
            prefixes,
            nodes,
            history,
            newest: watch::Sender::new(newest),
            membership: RwLock::default(),
        });
        let serving = [
            tokio::spawn(Arc::clone(&link).keep_newest()),
            tokio::spawn(listener::serve(listener, tls, routes::router(Arc::clone(&link)))),
        ];
        Ok(Self { link, address, serving })
    }

    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Gives out a token with which a NOS of this name may be admitted, once, within
    /// [`ADMISSION_LIFE`](super::ADMISSION_LIFE). One that was given out before holds no more.
    ///
    /// If the NOS is admitted already, it goes on until the token is used, and then as the one that used it.
    pub async fn admit(&self, nos: &NosId) -> Result<AdmissionToken, KtmError> {
        let _membership = self.link.membership.write().await;
        self.link.nodes.admit(nos, self.link.ca.fingerprint()?, self.link.clock.now()).await
    }

    /// Every NOS that was given a token or is admitted, by name.
    pub fn nodes(&self) -> Vec<NodeStatus> {
        self.link.nodes.rows().into_iter().map(|row| self.link.status(row)).collect()
    }

    /// Waits until what a revision did holds everywhere: until every NOS whose lease may still run has applied it, or its lease
    /// ran out. At most [`LEASE`]; well under a second where all are connected.
    pub async fn settled(&self, revision: Revision) {
        self.link.nodes.settled(revision).await;
    }

    /// Removes a NOS, because it is gone or in other hands: its certificate is refused, readers are no longer told of it, and
    /// every scope that it was ever given a key of is bumped, all in one transaction. Its slot is never given again.
    ///
    /// Answers with the bumps and the revision to wait for ([`settled`](Self::settled)); `None`: there is no such NOS.
    pub async fn remove(&self, nos: &NosId) -> Result<Option<(BTreeMap<ScopeId, Bump>, Option<Revision>)>, KtmError> {
        let _membership = self.link.membership.write().await;
        let Some((given, forgetting)) = self.link.nodes.removing(nos) else { return Ok(None) };
        let with = vec![forgetting, Publishers::removing(nos)];
        let revoked = self.link.ktm.revoke_with(|_| async move { Ok::<_, KtmError>((given, with)) }).await?;
        self.link.ktm.listed_publishers().removed(nos, revoked.revision.unwrap_or_default());
        self.link.nodes.removed(nos).await?;
        tracing::info!(%nos, bumps = revoked.bumps.len(), "removed a NOS");
        Ok(Some((revoked.bumps, revoked.revision)))
    }
}

impl Drop for LinkServer {
    fn drop(&mut self) {
        for task in &self.serving {
            task.abort();
        }
    }
}

impl Link {
    fn status(&self, row: Row) -> NodeStatus {
        let Row { nos, admitted, certificate_expires, connected, lease, applied, skew_ms } = row;
        let began = self.ktm.listed_publishers().get(&nos);
        NodeStatus {
            publisher: began.map(|began| began.publisher),
            incarnation: began.map(|began| began.incarnation),
            nos,
            admitted,
            certificate_expires,
            connected,
            lease_ms: millis(lease),
            applied,
            skew_ms,
        }
    }

    /// Hears of every transaction.
    async fn keep_newest(self: Arc<Self>) {
        loop {
            let seen = *self.newest.borrow();
            let mut watch = self.store.watch("", seen);
            loop {
                match watch.next().await {
                    Some(Event::Committed { revision, .. }) => self.newest.send_replace(revision),
                    Some(Event::Lagged) => break,
                    None => return,
                };
            }
            // Too many at once: only the last counts.
            if let Ok((_, newest)) = self.store.list(crate::publisher::SLOTS).await {
                self.newest.send_replace(newest);
            }
        }
    }
}
