//! Who gets to the administrator's API, and that the audit trail knows what came of it.

use super::{AppBearers, dead_letters::SHOWN_IN_CLEAR};
use crate::server::{
    admin_tokens::{Actor, AdminTokens, Presented},
    audit::{Audit, AuditError, Call, Event, Note},
    http::Refused,
    nodes::Nodes,
    registry::Registrar,
};
use aups_core::{Clock, Problem, UnixMillis};
use aups_net::sender_network;
use aups_nos::{Buckets, Rate};
use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{Method, header::AUTHORIZATION},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use tokio::time::Instant;

/// Wrong tokens that an address may present before it is told to wait.
const GUESSES_RATE: Rate = Rate { per_second: 10, burst: 300 };

/// Who may administer a process, and where it is recorded: every role has it.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) tokens: Arc<AdminTokens>,
    pub(crate) guesses: Arc<Guesses>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Apps that rule users of their own, where readers are registered.
    pub(crate) apps: Option<Arc<AppBearers>>,
    /// NOSs that run apart: a change is done when it holds there.
    pub(crate) nodes: Option<Nodes>,
}

/// Lets administrators through, and apps to their own users; further in, `Extension<Actor>` says who it is, and
/// `Extension<Registrar>` whose readers it rules.
pub(super) async fn require_token(
    State(access): State<Access>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let presented = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let mut path = request.uri().path().trim_end_matches('/').split('/').skip(2);
    let of_users = path.next() == Some("users");
    // Of what an app may do, registering takes nothing away.
    let takes_away = path.next().is_some() && !matches!(*request.method(), Method::GET | Method::HEAD);
    let of_app = access.apps.as_ref().zip(presented.filter(|_| of_users));
    match of_app.map(|(apps, token)| apps.check(token, takes_away)) {
        Some(Ok(Some(app))) => {
            request.extensions_mut().insert(Actor::app(&app));
            request.extensions_mut().insert(Registrar::App(app));
            return next.run(request).await;
        }
        Some(Err(refused)) => return refused.into_response(),
        Some(Ok(None)) | None => {}
    }
    let known = presented.map_or(Presented::Unknown, |token| access.tokens.check(token));
    let (actor, refused) = match known {
        Presented::Valid(actor) => {
            request.extensions_mut().insert(actor);
            request.extensions_mut().insert(Registrar::Admin);
            return next.run(request).await;
        }
        Presented::Ended(actor, ended) => (Some(actor), token_ended(ended)),
        Presented::Unknown => (None, access.guesses.refusal(peer.ip())),
    };
    let response = refused.into_response();
    let actor = actor.as_ref().map(Actor::name);
    let call = Call::new(actor, peer.ip(), request.method().as_str(), request.uri().path());
    access.audit.refused(call, response.status().as_u16());
    response
}

/// Told to nobody but the holder of a token that held once.
fn token_ended(ended: UnixMillis) -> Refused {
    Refused::from(Problem::new(
        401,
        "admin-token",
        "Not authenticated",
        format!("this admin token ended at {ended}; ask another administrator: aups token rotate NAME"),
    ))
}

/// How often each address may be wrong about the token. A right one always passes: a guess at 256 bits is no danger, but
/// noise, and whoever shares an address with it is not to suffer.
#[derive(Debug)]
pub(crate) struct Guesses(Buckets<IpAddr>);

impl Default for Guesses {
    fn default() -> Self {
        Self(Buckets::new(GUESSES_RATE))
    }
}

impl Guesses {
    fn refusal(&self, address: IpAddr) -> Refused {
        match self.0.take(sender_network(address), 1, Instant::now()) {
            Ok(()) => Refused::from(Problem::new(
                401,
                "admin-token",
                "Not authenticated",
                "this needs the admin token as Bearer: see access.token in the server's data directory",
            )),
            Err(after) => Refused::later(
                Problem::new(
                    429,
                    "admin-token-rate",
                    "Too many wrong tokens",
                    "requests with wrong admin tokens come too often from this address; look where they come from",
                ),
                after,
            ),
        }
    }
}

/// Puts every request of an administrator into the audit trail: reads are counted, but for those that show data in clear; of all others, that they began is on
/// disk before anything happens, and what came of them before the answer, which waits until it holds at every NOS. Further in, `Extension<Note>` takes what
/// changed.
pub(super) async fn record(
    State(access): State<Access>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let actor = request.extensions().get::<Actor>().map(Actor::name);
    let call = Call::new(actor, peer.ip(), request.method().as_str(), request.uri().path());
    let note = Note::default();
    let route = request.extensions().get::<MatchedPath>().map_or_else(String::new, |path| path.as_str().to_owned());
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD) && route != SHOWN_IN_CLEAR;
    request.extensions_mut().insert(note.clone());
    if is_read {
        let response = next.run(request).await;
        access.audit.count_read(&call, &route, response.status().as_u16());
        return Ok(response);
    }
    let begun = access.audit.record(Event::Begun(call.clone())).await.map_err(|error| unwritable(&error))?;
    // In a task of its own: that the client goes away does not stop a change half way, nor its record.
    let change = tokio::spawn(async move {
        let response = next.run(request).await;
        if let Some(nodes) = &access.nodes {
            nodes.settled().await;
        }
        let status = response.status().as_u16();
        let outcome = Event::Call { begun, call, status, changed: note.changed() };
        access.audit.record(outcome).await.map_err(|error| unwritten_outcome(&error))?;
        Ok(response)
    });
    change.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Nothing is changed that could not be recorded.
pub(in crate::server) fn unwritable(error: &AuditError) -> Refused {
    tracing::error!(%error, "a change was refused");
    Refused::from(Problem::new(
        503,
        "audit",
        "Audit trail cannot be written",
        "nothing was changed, for nothing is changed that cannot be recorded; the server's log says why",
    ))
}

/// The change was made, and then the disk failed.
pub(in crate::server) fn unwritten_outcome(error: &AuditError) -> Refused {
    tracing::error!(%error, "the outcome of a change was not recorded");
    Refused::from(Problem::new(
        503,
        "audit-outcome",
        "Outcome not recorded",
        "the request was carried out as far as it could be, but its outcome could not be recorded; look at what there is \
         now before you try again",
    ))
}
