//! `/v1/audit`: the lines of the audit trail, and how far it is signed.

use super::{Access, query, storage_problem};
use crate::server::{
    audit::{Filter, LINES_ASKED_MAX},
    http::Refused,
};
use aups_core::{Filter as TopicFilter, Problem, UnixMillis};
use axum::{
    Json, Router,
    extract::State,
    http::{Uri, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Lines that are answered with where nobody says how many.
const LINES_DEFAULT: usize = 100;

pub(super) fn router(access: Access) -> Router {
    Router::new().route("/v1/audit", get(list)).route("/v1/audit/checkpoint", get(checkpoint)).with_state(access)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    limit: Option<usize>,
    after: Option<u64>,
    sub: Option<String>,
    actor: Option<String>,
    event: Option<String>,
    topic: Option<TopicFilter>,
    scope: Option<String>,
    key: Option<String>,
    since: Option<UnixMillis>,
    until: Option<UnixMillis>,
}

/// The lines as they are on disk: whoever follows the chain needs every byte.
#[derive(Debug, Serialize)]
struct Lines {
    items: Vec<Box<RawValue>>,
    /// Up to which line was looked.
    next: u64,
    /// The number of the newest line.
    newest: u64,
}

async fn list(State(access): State<Access>, uri: Uri) -> Result<Json<Lines>, Refused> {
    let Asked { limit, after, sub, actor, event, topic, scope, key, since, until } = query(&uri)?;
    let limit = limit.unwrap_or(LINES_DEFAULT);
    if !(1..=LINES_ASKED_MAX).contains(&limit) {
        let detail =
            format!("limit is 1 to {LINES_ASKED_MAX}: take more in turns, each after the last number of before");
        return Err(Refused::from(Problem::new(400, "malformed-query", "Malformed query", detail).member("limit")));
    }
    let filter = Filter { sub, actor, event, topic, scope, key, since, until };
    let newest = access.audit.newest();
    let found = access.audit.lines(after, limit, filter).await.map_err(|error| storage_problem(&error))?;
    Ok(Json(Lines { items: found.lines, next: found.looked_to, newest }))
}

/// What the realm signs of everything up to now: to be kept elsewhere.
async fn checkpoint(State(access): State<Access>) -> Result<Response, Refused> {
    let signed = access.audit.checkpoint().await.map_err(|error| storage_problem(&error))?;
    let signed = signed.ok_or_else(|| {
        let detail = "nothing is signed in this process; ask the one that holds the realm's key";
        Refused::from(Problem::new(503, "unsigned", "No checkpoint", detail))
    })?;
    Ok(([(CONTENT_TYPE, "application/jose")], signed).into_response())
}
