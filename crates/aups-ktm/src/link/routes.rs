//! What a NOS may ask the KTM: each request is bounded, and is of a NOS that is admitted, but for the one that admits it.

use super::{
    Enrolment, REQUEST_BYTES_MAX, SCOPES_ASKED_MAX, USES_REPORTED_MAX,
    history::History,
    listener::Peer,
    revisions::revisions,
    server::Link,
    wire::{self, path},
};
use crate::{
    KeysTopicsManager as _, KtmError,
    ca::{Issued, NosPublicKey},
    root::millis,
};
use aups_core::NosId;
use aups_envelope::authority;
use aups_store::Revision;
use axum::{
    Extension, Router,
    body::Body,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::Response,
    routing::{get, post},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::timeout;
use wire::{Answer, Fault, WireKey};

/// How long a NOS may take to send a request.
const REQUEST_MAX: Duration = Duration::from_secs(10);

type Shared = State<Arc<Link>>;

pub(crate) fn router(link: Arc<Link>) -> Router {
    Router::new()
        .route(path::ADMIT, post(admit))
        .route(path::RENEW, post(|link: Shared, request: Request| serve(link.0, request, Link::renew)))
        .route(path::LISTENER, post(|link: Shared, request: Request| serve(link.0, request, Link::listener)))
        .route(path::BEGIN, post(|link: Shared, request: Request| serve(link.0, request, Link::begin)))
        .route(
            path::SCOPES,
            post(|link: Shared, request: Request| serve(link.0, request, Link::ensure))
                .get(|link: Shared, request: Request| serve_unasked(link.0, request, Link::scope_ids)),
        )
        .route(path::KEYS, post(|link: Shared, request: Request| serve(link.0, request, Link::keys)))
        .route(path::RESOLVE, post(|link: Shared, request: Request| serve(link.0, request, Link::resolve)))
        .route(path::PUBLISHERS, get(|link: Shared, request: Request| serve_unasked(link.0, request, Link::publishers)))
        .route(path::LEASE, post(lease))
        .route(path::ENROL, post(|link: Shared, request: Request| serve(link.0, request, Link::enrol)))
        .route(path::USES, post(|link: Shared, request: Request| serve(link.0, request, Link::uses)))
        .route(path::REVISIONS, get(follow))
        .with_state(link)
}

/// The one request of a stranger.
async fn admit(State(link): Shared, request: Request) -> Response {
    let admitted = async {
        let asked: wire::Admit = read(request).await?;
        link.admit(asked).await
    };
    let admitted = admitted.await;
    link.respond(admitted)
}

/// A request with a body, of a NOS that we know.
async fn serve<Q, A, F>(link: Arc<Link>, request: Request, answer: impl FnOnce(Arc<Link>, Caller, Q) -> F) -> Response
where
    Q: DeserializeOwned,
    A: Serialize,
    F: Future<Output = Result<A, Fault>>,
{
    let answered = async {
        // Before the body is read: nothing of a stranger's is.
        let caller = link.caller(&request)?;
        let asked = read(request).await?;
        answer(Arc::clone(&link), caller, asked).await
    };
    let answered = answered.await;
    link.respond(answered)
}

/// The same without a body.
async fn serve_unasked<A, F>(link: Arc<Link>, request: Request, answer: impl FnOnce(Arc<Link>, Caller) -> F) -> Response
where
    A: Serialize,
    F: Future<Output = Result<A, Fault>>,
{
    let answered = match link.caller(&request) {
        Ok(caller) => answer(Arc::clone(&link), caller).await,
        Err(fault) => Err(fault),
    };
    link.respond(answered)
}

async fn lease(State(link): Shared, request: Request) -> Response {
    serve(link, request, async |link, caller, asked| link.lease(&caller, &asked)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    from: Option<Revision>,
    history: Option<History>,
}

async fn follow(
    State(link): Shared,
    Extension(peer): Extension<Peer>,
    since: Result<Query<Since>, QueryRejection>,
) -> Response {
    let malformed = |_| Fault::Malformed { detail: "`from` is a revision, `history` one of 16 bytes".to_owned() };
    let lines = since.map_err(malformed).and_then(|Query(Since { from, history })| {
        // Of another history, or of none, a revision says nothing.
        let from = from.filter(|_| history == Some(link.history));
        revisions(&link, link.known(peer)?, from)
    });
    match lines {
        Ok(lines) => {
            let mut response = Response::new(Body::from_stream(lines));
            let ndjson = HeaderValue::from_static("application/x-ndjson");
            response.headers_mut().insert(header::CONTENT_TYPE, ndjson);
            response
        }
        Err(fault) => link.respond::<()>(Err(fault)),
    }
}

/// A NOS that we know, and the certificate that it showed.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) nos: NosId,
    pub(crate) certificate: [u8; 32],
}

fn point(public_key: &wire::Base64) -> Result<NosPublicKey, Fault> {
    let malformed = || Fault::Malformed { detail: "`publicKey` is an uncompressed P-256 point".to_owned() };
    NosPublicKey::from_bytes(&public_key.0).ok_or_else(malformed)
}

async fn read<Q: DeserializeOwned>(request: Request) -> Result<Q, Fault> {
    let malformed = |detail: &str| Fault::Malformed { detail: detail.to_owned() };
    let body = Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect();
    let body = timeout(REQUEST_MAX, body).await.map_err(|_| malformed("it took too long"))?;
    let body: Bytes = body.map_err(|_| malformed("it is too long or broke off"))?.to_bytes();
    wire::from_bytes(&body).map_err(|error| malformed(&error.to_string()))
}

impl Link {
    fn caller(&self, request: &Request) -> Result<Caller, Fault> {
        let peer = request.extensions().get::<Peer>().copied();
        self.known(peer.unwrap_or(Peer(None)))
    }

    fn known(&self, peer: Peer) -> Result<Caller, Fault> {
        let certificate = peer.0.ok_or(Fault::Unknown)?;
        let nos = self.nodes.known(&certificate, self.clock.now()).ok_or(Fault::Unknown)?;
        Ok(Caller { nos, certificate })
    }

    fn respond<A: Serialize>(&self, answered: Result<A, Fault>) -> Response {
        let now = self.clock.now();
        let (status, answer) = match answered {
            Ok(ok) => (StatusCode::OK, Answer { now, ok: Some(ok), error: None }),
            Err(fault) => (status(&fault), Answer { now, ok: None, error: Some(fault) }),
        };
        metrics::counter!("aups_link_requests_total", "status" => status.as_str().to_owned()).increment(1);
        let mut response = match wire::to_bytes(&answer) {
            Ok(json) => Response::new(Body::from(json)),
            Err(error) => {
                tracing::error!(%error, "an answer to a NOS cannot be written");
                return Response::builder().status(500).body(Body::empty()).unwrap_or_default();
            }
        };
        *response.status_mut() = status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    async fn admit(&self, asked: wire::Admit) -> Result<wire::Admitted, Fault> {
        let token = asked.token.to_secret().ok_or(Fault::NotAdmitted)?;
        let admission = || {
            self.nodes.admission(&token, self.clock.now()).ok_or_else(|| {
                tracing::warn!("somebody showed an admission token that is unknown, used or expired");
                Fault::NotAdmitted
            })
        };
        // First without holding up anybody: whoever guesses is a stranger.
        admission()?;
        let _membership = self.membership.write().await;
        let (nos, now) = (admission()?, self.clock.now());
        let Issued { certificate, expires } = self.issue(&nos, &asked.public_key)?;
        self.nodes.admitted(&nos, &certificate, expires, now).await.map_err(told)?;
        tracing::info!(%nos, "admitted a NOS");
        Ok(wire::Admitted {
            nos,
            realm_key: self.ktm.realm().public(),
            certificate: wire::Base64::of(&certificate),
            expires,
        })
    }

    async fn renew(self: Arc<Self>, caller: Caller, asked: wire::Renew) -> Result<wire::Renewed, Fault> {
        let _membership = self.membership.write().await;
        let Issued { certificate, expires } = self.issue(&caller.nos, &asked.public_key)?;
        self.nodes.renewed(&caller.nos, &certificate, expires, &caller.certificate).await.map_err(told)?;
        tracing::info!(nos = %caller.nos, %expires, "renewed the certificate of a NOS");
        Ok(wire::Renewed { certificate: wire::Base64::of(&certificate), expires })
    }

    fn issue(&self, nos: &NosId, public_key: &wire::Base64) -> Result<Issued, Fault> {
        self.ca.issue_nos(nos, &point(public_key)?).map_err(told)
    }

    /// Whether a NOS is reached under these names, nobody here can tell: what it is given stands in the log.
    async fn listener(
        self: Arc<Self>,
        caller: Caller,
        asked: wire::Listener,
    ) -> Result<wire::ListenerCertificate, Fault> {
        let _admitted = self.while_admitted(&caller).await?;
        let Issued { certificate, expires } =
            self.ca.issue_listener_of(&asked.names, &point(&asked.public_key)?).map_err(told)?;
        tracing::info!(nos = %caller.nos, names = ?asked.names, %expires, "a certificate for the listeners of a NOS");
        let authority = authority::sign(self.ca.certificate_pem(), self.ktm.realm().signing_key());
        Ok(wire::ListenerCertificate { certificate: wire::Base64::of(&certificate), expires, authority })
    }

    /// Lets nobody remove the NOS while it is given something.
    async fn while_admitted(&self, caller: &Caller) -> Result<tokio::sync::RwLockReadGuard<'_, ()>, Fault> {
        let membership = self.membership.read().await;
        self.known(Peer(Some(caller.certificate)))?;
        Ok(membership)
    }

    async fn begin(self: Arc<Self>, caller: Caller, asked: wire::Begin) -> Result<wire::Begun, Fault> {
        let _admitted = self.while_admitted(&caller).await?;
        let begun = self.ktm.begin_incarnation(&caller.nos, asked.signing_key).await.map_err(told)?;
        Ok(wire::Begun { publisher: begun.publisher, incarnation: begun.incarnation })
    }

    async fn ensure(self: Arc<Self>, _: Caller, spec: aups_core::ScopeSpec) -> Result<wire::Ensured, Fault> {
        let tag = self.ktm.ensure_scope(&spec).await.map_err(told)?;
        let revision = self.ktm.revision_of(&spec.id).ok_or(Fault::UnknownScope { scope: spec.id })?;
        Ok(wire::Ensured { tag, revision })
    }

    async fn scope_ids(self: Arc<Self>, _: Caller) -> Result<wire::ScopeIds, Fault> {
        Ok(wire::ScopeIds { scopes: self.ktm.scope_ids().await.map_err(told)? })
    }

    async fn keys(self: Arc<Self>, caller: Caller, asked: wire::AskKeys) -> Result<wire::Keys, Fault> {
        if asked.scopes.len() > SCOPES_ASKED_MAX {
            return Err(Fault::Malformed { detail: format!("at most {SCOPES_ASKED_MAX} scopes at once") });
        }
        let _admitted = self.while_admitted(&caller).await?;
        let there: BTreeSet<_> =
            asked.scopes.iter().filter(|scope| self.ktm.revision_of(scope).is_some()).copied().collect();
        self.nodes.give(&caller.nos, &there).await.map_err(told)?;
        let mut keys = Vec::with_capacity(asked.scopes.len());
        for scope in asked.scopes {
            let given = if there.contains(&scope) {
                self.ktm.sealing_keys_as_of(&scope).await
            } else {
                Err(KtmError::UnknownScope(scope))
            };
            keys.push(match given {
                Ok((keys, revision)) => wire::KeysOf::Given {
                    scope,
                    revision,
                    current: Box::new(WireKey::of(&keys.current)),
                    next: Box::new(WireKey::of(&keys.next)),
                },
                Err(error) => wire::KeysOf::Refused { scope, fault: told(error) },
            });
        }
        Ok(wire::Keys { keys })
    }

    async fn resolve(self: Arc<Self>, caller: Caller, asked: wire::Resolve) -> Result<wire::Resolution, Fault> {
        let _admitted = self.while_admitted(&caller).await?;
        let Some((resolved, revision)) = self.ktm.resolve_as_of(&asked.key_id).await.map_err(told)? else {
            return Ok(wire::Resolution { found: None });
        };
        self.nodes.give(&caller.nos, &[resolved.spec.id].into()).await.map_err(told)?;
        Ok(wire::Resolution { found: Some(wire::Found::of(&resolved, revision)) })
    }

    async fn publishers(self: Arc<Self>, _: Caller) -> Result<wire::Publishers, Fault> {
        let revision = self.ktm.listed_publishers().revision();
        Ok(wire::Publishers { revision, certificates: self.ktm.publishers().await.map_err(told)? })
    }

    fn lease(&self, caller: &Caller, asked: &wire::AskLease) -> Result<wire::Leased, Fault> {
        let revision = *self.newest.borrow();
        if asked.history != self.history {
            tracing::info!(nos = %caller.nos, "a NOS has a copy of before a restore and gets no lease with it");
            return Ok(wire::Leased { revision, lease_ms: 0 });
        }
        let lease =
            self.nodes.renew_lease(&caller.certificate, asked.applied, revision, asked.skew_ms).map_err(told)?;
        if lease.is_zero() {
            tracing::debug!(nos = %caller.nos, applied = asked.applied, revision, "a NOS is behind and gets no lease");
        }
        Ok(wire::Leased { revision, lease_ms: millis(lease) })
    }

    async fn enrol(self: Arc<Self>, caller: Caller, asked: wire::Enrol) -> Result<wire::EnrolAnswer, Fault> {
        let wire::Enrol { request, from, server_url, mqtt_url, ca } = asked;
        let enrolment = Enrolment { request: request.0, from, server_url, mqtt_url, ca };
        let enrolled = self.host.enrol(&caller.nos, enrolment).await;
        Ok(wire::EnrolAnswer {
            status: enrolled.status,
            content_type: enrolled.content_type,
            body: wire::Base64(enrolled.body),
        })
    }

    async fn uses(self: Arc<Self>, caller: Caller, asked: wire::Uses) -> Result<wire::Done, Fault> {
        if asked.uses.len() > USES_REPORTED_MAX {
            return Err(Fault::Malformed { detail: format!("at most {USES_REPORTED_MAX} uses at once") });
        }
        self.host.uses(&caller.nos, asked.uses).await.map_err(|error| {
            tracing::warn!(nos = %caller.nos, error = &*error as &dyn std::error::Error, "uses of topics are not noted");
            Fault::Failed
        })?;
        Ok(wire::Done {})
    }
}

/// What the NOS is told; what it cannot mend is logged here.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn told(error: KtmError) -> Fault {
    let fault = match error {
        KtmError::NotAdmitted => Fault::Unknown,
        ref error => Fault::of(error),
    };
    if fault == Fault::Failed {
        tracing::error!(error = &error as &dyn std::error::Error, "the KTM did not answer a NOS");
    }
    fault
}

const fn status(fault: &Fault) -> StatusCode {
    match fault {
        Fault::NotAdmitted | Fault::Unknown => StatusCode::UNAUTHORIZED,
        Fault::ServerName { .. } | Fault::Malformed { .. } => StatusCode::BAD_REQUEST,
        Fault::UnknownScope { .. } => StatusCode::NOT_FOUND,
        Fault::Failed | Fault::Clock | Fault::RootDestroyed => StatusCode::SERVICE_UNAVAILABLE,
        Fault::ForeignScope { .. }
        | Fault::Life { .. }
        | Fault::ScopesFull { .. }
        | Fault::PublishersFull { .. }
        | Fault::IncarnationsUsedUp { .. } => StatusCode::CONFLICT,
    }
}
