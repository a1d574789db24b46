//! Who gets to the administrator's API, and that the audit trail knows what came of it.

use super::Admin;
use crate::server::{
    admin_token::Actor,
    audit::{AuditError, Call, Event, Note},
    http::Refused,
};
use aups_core::Problem;
use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{Method, header::AUTHORIZATION},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use std::net::SocketAddr;

/// Lets only administrators through; further in, `Extension<Actor>` says which.
pub(super) async fn require_token(
    State(admin): State<Admin>,
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
    let Some(actor) = presented.and_then(|token| admin.token.holder(token)) else {
        let call = Call::new(None, peer.ip(), request.method().as_str(), request.uri().path());
        admin.audit.refused(call, 401);
        return Refused::from(Problem::new(
            401,
            "admin-token",
            "Not authenticated",
            "this needs the admin token as Bearer: see admin.token in the server's data directory",
        ))
        .into_response();
    };
    request.extensions_mut().insert(actor);
    next.run(request).await
}

/// Puts every request of an administrator into the audit trail: reads are counted; of all others, that they began is on
/// disk before anything happens, and what came of them before the answer. Further in, `Extension<Note>` takes what
/// changed.
pub(super) async fn record(
    State(admin): State<Admin>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let actor = request.extensions().get::<Actor>().map(Actor::name);
    let call = Call::new(actor, peer.ip(), request.method().as_str(), request.uri().path());
    let note = Note::default();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let route = request.extensions().get::<MatchedPath>().map_or_else(String::new, |path| path.as_str().to_owned());
    request.extensions_mut().insert(note.clone());
    if is_read {
        let response = next.run(request).await;
        admin.audit.count_read(&call, &route, response.status().as_u16());
        return Ok(response);
    }
    let begun = admin.audit.record(Event::Begun(call.clone())).await.map_err(|error| unwritable(&error))?;
    // In a task of its own: that the client goes away does not stop a change half way, nor its record.
    let change = tokio::spawn(async move {
        let response = next.run(request).await;
        let status = response.status().as_u16();
        let outcome = Event::Call { begun, call, status, changed: note.changed() };
        admin.audit.record(outcome).await.map_err(|error| unwritten_outcome(&error))?;
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
