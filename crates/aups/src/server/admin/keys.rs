//! `/v1/keys/list`: the paper's table (keyId, keyT, val, atb) without keyT.

use super::Admin;
use crate::server::http::Refused;
use axum::{Json, Router, extract::State, routing::get};
use serde_json::{Value, json};

pub(super) fn router() -> Router<Admin> {
    Router::new().route("/v1/keys/list", get(list))
}

async fn list(State(admin): State<Admin>) -> Result<Json<Value>, Refused> {
    let rows = admin.ktm.keys().await.map_err(|error| Refused::from(super::storage_problem(&error)))?;
    Ok(Json(json!({ "items": rows })))
}
