//! `/v1/sources`: the things that send, and the claim tokens by which they register.

use super::{Admin, name};
use crate::server::{audit::Note, http::Refused};
use aups_core::{NodeId, Problem};
use aups_nos::sources::{INVITE_LIFE, SourceRecord};
use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{delete, get, post},
};
use serde_json::{Value, json};

pub(super) fn router() -> Router<Admin> {
    Router::new()
        .route("/v1/sources", get(list))
        .route("/v1/sources/invite", post(invite))
        .route("/v1/sources/{node}", delete(remove))
}

async fn list(State(admin): State<Admin>) -> Json<Value> {
    let view = |source: &SourceRecord| {
        json!({
            "nodeId": source.node_id,
            "nodeType": source.node_type,
            "communicationMode": source.communication_mode,
            "credentialId": source.credential_id,
            "registeredAt": source.registered_at,
        })
    };
    Json(json!({ "items": admin.sources.list().iter().map(|source| view(source)).collect::<Vec<_>>() }))
}

async fn invite(
    State(admin): State<Admin>,
    Extension(note): Extension<Note>,
) -> Result<(StatusCode, Json<Value>), Refused> {
    let expires = admin.enrolment.clock.now().plus(INVITE_LIFE);
    let token = admin.sources.invite().await.map_err(|error| Refused::from(super::storage_problem(&error)))?;
    note.add("tokenExpires", expires);
    let body = json!({ "token": token, "tokenExpires": expires });
    Ok((StatusCode::CREATED, Json(body)))
}

async fn remove(
    State(admin): State<Admin>,
    Extension(note): Extension<Note>,
    Path(node): Path<String>,
) -> Result<StatusCode, Refused> {
    let node: NodeId = name(&node)?;
    let removed = admin.sources.remove(&node).await.map_err(|error| Refused::from(super::storage_problem(&error)))?;
    if removed {
        note.add("nodeId", &node);
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refused::from(Problem::new(404, "unknown", "Not registered", format!("no source is called `{node}`"))))
    }
}
