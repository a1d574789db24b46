//! The realm's own process as NOSs that run apart see it.

use super::enrolment::{Enrolment, Reach};
use aups_core::{Clock, NosId};
use aups_ktm::link::{self, Enrolled, HostError, LEASE, LinkHost, LinkServer, TopicUse};
use aups_nos::Usage;
use aups_store::Store;
use axum::{
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use http_body_util::{BodyExt as _, Collected};
use std::{fmt, sync::Arc};
use tokio::time::sleep;

/// A key under which nothing lies: to ask a store for its revision.
const NOTHING: &str = "\u{7f}";

/// The NOSs that run apart.
#[derive(Debug, Clone)]
pub(crate) struct Nodes {
    pub(crate) link: Arc<LinkServer>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Nodes {
    /// Waits until whatever was changed so far holds at every NOS, or a NOS that does not answer may no longer seal or give
    /// keys: at most a lease.
    pub(crate) async fn settled(&self) {
        match self.store.list(NOTHING).await {
            Ok((_, revision)) => self.link.settled(revision).await,
            Err(error) => {
                tracing::error!(%error, "the store does not say what NOSs are to be waited for: waiting until every lease is over");
                sleep(LEASE).await;
            }
        }
    }
}

/// What NOSs ask of this process besides keys.
pub(super) struct Host {
    pub(super) enrolment: Arc<Enrolment>,
    pub(super) usage: Arc<Usage>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

impl LinkHost for Host {
    fn enrol<'a>(&'a self, nos: &'a NosId, enrolment: link::Enrolment) -> BoxFuture<'a, Enrolled> {
        let link::Enrolment { request, from, server_url, mqtt_url, ca } = enrolment;
        tracing::debug!(%nos, "a NOS passes on an enrolment");
        let answer = Arc::clone(&self.enrolment).answer(request, from, Reach { server_url, mqtt_url, ca });
        async move { enrolled(answer.await.unwrap_or_else(IntoResponse::into_response)).await }.boxed()
    }

    fn uses<'a>(&'a self, _nos: &'a NosId, uses: Vec<TopicUse>) -> BoxFuture<'a, Result<(), HostError>> {
        self.usage.take_report(uses).map(Ok).boxed()
    }
}

async fn enrolled(answer: Response) -> Enrolled {
    let (head, body) = answer.into_parts();
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Our own answers are in memory and cannot fail.
    let body = body.collect().await.map_or_else(|_| Bytes::new(), Collected::to_bytes);
    Enrolled { status: head.status.as_u16(), content_type: content_type.to_owned(), body }
}
