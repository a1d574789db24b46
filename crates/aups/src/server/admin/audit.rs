//! `/v1/audit`: the lines of the audit trail.

use super::{Access, query};
use crate::server::{audit::LINES_ASKED_MAX, http::Refused};
use aups_core::Problem;
use axum::{Json, Router, extract::State, http::Uri, routing::get};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Lines that are answered with where nobody says how many.
const LINES_DEFAULT: usize = 100;

pub(super) fn router(access: Access) -> Router {
    Router::new().route("/v1/audit", get(list)).with_state(access)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    limit: Option<usize>,
    after: Option<u64>,
}

/// The lines as they are on disk: whoever follows the chain needs every byte.
#[derive(Debug, Serialize)]
struct Lines {
    items: Vec<Box<RawValue>>,
}

async fn list(State(access): State<Access>, uri: Uri) -> Result<Json<Lines>, Refused> {
    let Asked { limit, after } = query(&uri)?;
    let limit = limit.unwrap_or(LINES_DEFAULT);
    if !(1..=LINES_ASKED_MAX).contains(&limit) {
        let detail =
            format!("limit is 1 to {LINES_ASKED_MAX}: take more in turns, each after the last number of before");
        return Err(Refused::from(Problem::new(400, "malformed-query", "Malformed query", detail).member("limit")));
    }
    let items =
        access.audit.lines(after, limit).await.map_err(|error| Refused::from(super::storage_problem(&error)))?;
    Ok(Json(Lines { items }))
}
