//! `/v1/scores/{id}`: why an item has its scores. Shows the item to an administrator: the guide says so.

use crate::server::http::Refused;
use aups_core::{ItemId, Problem};
use aups_nos::analyse::{
    explain::Explanation,
    recent::{ITEMS_MAX, JSON_BYTES_MAX, Recent},
};
use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use std::sync::Arc;

pub(super) fn router(recent: Arc<Recent>) -> Router {
    Router::new().route("/v1/scores/{id}", get(explain)).with_state(recent)
}

async fn explain(State(recent): State<Arc<Recent>>, Path(id): Path<String>) -> Result<Json<Explanation>, Refused> {
    let id = id.parse().map(ItemId).map_err(|_| {
        let detail = "an item's id is a UUID, as its member `id` says";
        Refused::from(Problem::new(400, "malformed-name", "Malformed id", detail))
    })?;
    match recent.explain(id) {
        Some(Ok(explanation)) => Ok(Json(explanation)),
        Some(Err(error)) => Err(Refused::from(super::storage_problem(&error))),
        None => Err(Refused::from(Problem::new(
            404,
            "unknown-item",
            "Not kept",
            format!(
                "this NOS keeps what the scores of its last {ITEMS_MAX} items follow from, {} MiB of them at most, for as \
                 long as it runs; {id} is not among them: ask the NOS that took it, and sooner",
                JSON_BYTES_MAX >> 20
            ),
        ))),
    }
}
