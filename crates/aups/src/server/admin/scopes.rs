//! `/v1/scopes`: who may read what was sealed, on which topics, and the end of it.

use super::{Admin, keys};
use crate::server::{audit::Note, http::Refused};
use aups_core::{ScopeId, Topic};
use aups_ktm::atb;
use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{delete, get},
};
use serde::Serialize;
use serde_json::{Value, json};

/// Most topics that are listed of one scope.
const TOPICS_LISTED_MAX: usize = 1_000;

pub(super) fn router() -> Router<Admin> {
    Router::new().route("/v1/scopes", get(list)).route("/v1/scopes/{scope}", delete(destroy))
}

/// A scope as the administrator sees it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    scope: ScopeId,
    /// Who may read, in words.
    atb: String,
    /// Topics on which something was sealed under it; the first ones.
    topics: Vec<Topic>,
    /// How many there are.
    topic_count: usize,
}

async fn list(State(admin): State<Admin>) -> Result<Json<Value>, Refused> {
    let specs = admin.ktm.scopes();
    let mut topics = admin.usage.topics_by_scope();
    let mut views: Vec<View> = specs
        .iter()
        .map(|spec| {
            let mut topics = topics.remove(&spec.id).unwrap_or_default();
            let topic_count = topics.len();
            topics.truncate(TOPICS_LISTED_MAX);
            View { scope: spec.id, atb: atb(spec), topics, topic_count }
        })
        .collect();
    views.sort_by(|one, other| (&one.atb, one.scope).cmp(&(&other.atb, other.scope)));
    Ok(Json(json!({ "items": views })))
}

/// Nobody can open what was sealed under it any more, but readers that hold keys of it.
async fn destroy(
    State(admin): State<Admin>,
    Extension(note): Extension<Note>,
    Path(scope): Path<String>,
) -> Result<StatusCode, Refused> {
    let id: ScopeId = scope.parse().map_err(|_| keys::unknown(&scope))?;
    let destroyed = keys::destroyed(&admin, &note, &[id].into()).await?;
    if destroyed.is_empty() { Err(keys::unknown(&scope)) } else { Ok(StatusCode::NO_CONTENT) }
}
