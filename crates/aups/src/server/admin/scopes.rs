//! `/v1/scopes`: who may read what was sealed, on which topics, and the end of it.

use super::{Admin, storage_problem};
use crate::server::{audit::Note, http::Refused};
use aups_core::{Problem, ScopeId, Topic};
use aups_ktm::{KtmError, atb};
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
    let unknown = || {
        let detail = format!("there is no scope `{scope}`; GET /v1/scopes lists them");
        Refused::from(Problem::new(404, "unknown", "No such scope", detail))
    };
    let id: ScopeId = scope.parse().map_err(|_| unknown())?;
    match admin.ktm.destroy(&id).await {
        Ok(()) => {}
        Err(KtmError::UnknownScope(_)) => return Err(unknown()),
        Err(error) => return Err(Refused::from(storage_problem(&error))),
    }
    note.add("scope", id);
    // What is listed of a scope that is gone is only a list: it is tried again at the next start.
    if let Err(error) = admin.usage.forget(&[id].into()).await {
        tracing::warn!(%error, "the topics of a destroyed scope are still listed");
    }
    Ok(StatusCode::NO_CONTENT)
}
