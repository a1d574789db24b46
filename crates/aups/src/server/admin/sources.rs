//! `/v1/sources`: the things that send, and the claim tokens by which they register.

use super::{name, read_json};
use crate::server::{audit::Note, http::Refused};
use aups_core::{Clock, NodeId, Problem};
use aups_nos::{
    Quarantine,
    analyse::recent::Recent,
    sources::{INVITE_LIFE, SourceRecord, Sources, SourcesError},
};
use axum::{
    Extension, Json, Router,
    extract::{Path, Request, State},
    http::{StatusCode, header::CACHE_CONTROL},
    response::IntoResponse,
    routing::{get, patch, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What a NOS has of its own to be administered: its sources, and the last items that they sent.
#[derive(Clone)]
pub(crate) struct SourcesAdmin {
    pub(crate) recent: Arc<Recent>,
    pub(crate) sources: Arc<Sources>,
    pub(crate) quarantine: Arc<Quarantine>,
    pub(crate) clock: Arc<dyn Clock>,
}

pub(super) fn router(admin: SourcesAdmin) -> Router {
    Router::new()
        .route("/v1/sources", get(list))
        .route("/v1/sources/invite", post(invite))
        .route("/v1/sources/{node}", patch(mark).delete(remove))
        .route("/v1/sources/{node}/rotate", post(rotate))
        .with_state(admin)
}

/// A source as the administrator sees it.
fn view(source: &SourceRecord) -> Value {
    json!({
        "nodeId": source.node_id,
        "nodeType": source.node_type,
        "communicationMode": source.communication_mode,
        "encryptionScheme": source.encryption_scheme,
        "credentialId": source.credential_id,
        "registeredAt": source.registered_at,
        "labels": source.marks.labels,
        "tags": source.marks.tags,
    })
}

async fn list(State(admin): State<SourcesAdmin>) -> Json<Value> {
    Json(json!({ "items": admin.sources.list().iter().map(|source| view(source)).collect::<Vec<_>>() }))
}

async fn invite(
    State(admin): State<SourcesAdmin>,
    Extension(note): Extension<Note>,
) -> Result<(StatusCode, Json<Value>), Refused> {
    let expires = admin.clock.now().plus(INVITE_LIFE);
    let token = admin.sources.invite().await.map_err(|error| Refused::from(super::storage_problem(&error)))?;
    note.add("tokenExpires", expires);
    let body = json!({ "token": token, "tokenExpires": expires });
    Ok((StatusCode::CREATED, Json(body)))
}

/// What is not named stays; what is, is replaced as a whole.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    labels: Option<BTreeSet<String>>,
    tags: Option<BTreeMap<String, String>>,
}

async fn mark(
    State(admin): State<SourcesAdmin>,
    Extension(note): Extension<Note>,
    Path(node): Path<String>,
    request: Request,
) -> Result<Json<Value>, Refused> {
    let node: NodeId = name(&node)?;
    let Change { labels, tags } = read_json(request).await?;
    let marked = admin.sources.mark(&node, labels, tags).await.map_err(|error| match error {
        SourcesError::Marks => {
            Refused::from(Problem::new(400, "malformed-marks", "Malformed labels or tags", error.to_string()))
        }
        error => Refused::from(super::storage_problem(&error)),
    })?;
    let marked = marked.ok_or_else(|| unknown(&node))?;
    note.add("nodeId", &node);
    note.add("labels", &marked.marks.labels);
    note.add("tags", &marked.marks.tags);
    Ok(Json(view(&marked)))
}

/// Other secrets for a source: answered as a registration is.
async fn rotate(
    State(admin): State<SourcesAdmin>,
    Extension(note): Extension<Note>,
    Path(node): Path<String>,
) -> Result<impl IntoResponse, Refused> {
    let node: NodeId = name(&node)?;
    let rotated = admin.sources.rotate(&node).await.map_err(|error| Refused::from(super::storage_problem(&error)))?;
    let rotated = rotated.ok_or_else(|| unknown(&node))?;
    note.add("nodeId", &node);
    note.add("credentialId", rotated.record.credential_id);
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(rotated.told()).into_response()))
}

fn unknown(node: &NodeId) -> Refused {
    Refused::from(Problem::new(404, "unknown", "Not registered", format!("no source is called `{node}`")))
}

async fn remove(
    State(admin): State<SourcesAdmin>,
    Extension(note): Extension<Note>,
    Path(node): Path<String>,
) -> Result<StatusCode, Refused> {
    let node: NodeId = name(&node)?;
    let removed = admin.sources.remove(&node).await.map_err(|error| Refused::from(super::storage_problem(&error)))?;
    if removed {
        note.add("nodeId", &node);
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(unknown(&node))
    }
}
