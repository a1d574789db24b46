//! `/v1/nos`: the NOSs that run apart from the realm's own process.

use super::{name, read_json, storage_problem};
use crate::server::{audit::Note, http::Refused, nodes::Nodes};
use aups_core::{NosId, Problem};
use aups_ktm::link::ADMISSION_LIFE;
use axum::{
    Extension, Json, Router,
    extract::{Path, Request, State},
    http::StatusCode,
    routing::{delete, get},
};
use serde::Deserialize;
use serde_json::{Value, json};

/// `None`: a process that has every role has no NOS apart.
pub(super) fn router(nodes: Option<Nodes>) -> Router {
    Router::new().route("/v1/nos", get(list).post(admit)).route("/v1/nos/{nos}", delete(remove)).with_state(nodes)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Admit {
    nos: NosId,
}

async fn list(State(nodes): State<Option<Nodes>>) -> Json<Value> {
    let items = nodes.map_or_else(Vec::new, |nodes| nodes.link.nodes());
    Json(json!({ "items": items }))
}

async fn admit(
    State(nodes): State<Option<Nodes>>,
    Extension(note): Extension<Note>,
    request: Request,
) -> Result<(StatusCode, Json<Value>), Refused> {
    let Admit { nos } = read_json(request).await?;
    let Some(nodes) = nodes else {
        let detail = "this process has every role, its NOS among them; NOSs join a realm whose process is `aups ktm`";
        return Err(Refused::from(Problem::new(409, "every-role", "Every role is here", detail)));
    };
    let token = nodes.link.admit(&nos).await.map_err(|error| Refused::from(storage_problem(&error)))?;
    let expires = nodes.clock.now().plus(ADMISSION_LIFE);
    note.add("nos", &nos);
    note.add("tokenExpires", expires);
    Ok((StatusCode::CREATED, Json(json!({ "nos": nos, "token": token.expose(), "tokenExpires": expires }))))
}

/// From now on it gets no keys, readers drop what it sends, and every key that it was given is replaced.
async fn remove(
    State(nodes): State<Option<Nodes>>,
    Extension(note): Extension<Note>,
    Path(nos): Path<String>,
) -> Result<StatusCode, Refused> {
    let nos: NosId = name(&nos)?;
    let removed = match nodes {
        Some(nodes) => nodes.link.remove(&nos).await.map_err(|error| Refused::from(storage_problem(&error)))?,
        None => None,
    };
    let Some((bumps, _)) = removed else {
        let detail = format!("no NOS called `{nos}` was admitted; GET /v1/nos lists them");
        return Err(Refused::from(Problem::new(404, "unknown", "No such NOS", detail)));
    };
    note.add("nos", &nos);
    note.add("bumps", &bumps);
    Ok(StatusCode::NO_CONTENT)
}
