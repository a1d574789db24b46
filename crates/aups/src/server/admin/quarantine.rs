//! `/v1/quarantine`: the senders that a NOS keeps out.

use super::{SourcesAdmin, read_json};
use crate::server::{audit::Note, http::Refused};
use aups_core::Problem;
use aups_nos::quarantine::{Party, QUARANTINE_SECONDS_MAX, Quarantined, REASON_CHARS_MAX};
use axum::{
    Extension, Json, Router,
    extract::{Path, Request, State},
    http::StatusCode,
    routing::{delete, get},
};
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) fn router(admin: SourcesAdmin) -> Router {
    Router::new()
        .route("/v1/quarantine", get(list).post(add))
        .route("/v1/quarantine/{who}", delete(release))
        .with_state(admin)
}

async fn list(State(admin): State<SourcesAdmin>) -> Json<Value> {
    Json(json!({ "items": admin.quarantine.list() }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    who: Party,
    seconds: u32,
    #[serde(default)]
    reason: String,
}

async fn add(
    State(admin): State<SourcesAdmin>,
    Extension(note): Extension<Note>,
    request: Request,
) -> Result<(StatusCode, Json<Quarantined>), Refused> {
    let Add { who, seconds, reason } = read_json(request).await?;
    if !(1..=QUARANTINE_SECONDS_MAX).contains(&seconds) {
        return Err(malformed("seconds", format!("it is from 1 to {QUARANTINE_SECONDS_MAX}")));
    }
    if reason.chars().count() > REASON_CHARS_MAX {
        return Err(malformed("reason", format!("it has at most {REASON_CHARS_MAX} characters")));
    }
    if let Party::Source(node) = &who
        && admin.sources.get(node).is_none()
    {
        return Err(Problem::new(404, "unknown", "Not registered", format!("no source is called `{node}`")).into());
    }
    let Some(told) = admin.quarantine.put(&who, seconds, &reason) else {
        let detail = "so many senders are known for what they did that there is no room for another";
        return Err(Problem::new(409, "quarantine-full", "No room in quarantine", detail).into());
    };
    note.add("quarantined", &told);
    Ok((StatusCode::CREATED, Json(told)))
}

fn malformed(member: &'static str, detail: String) -> Refused {
    Problem::new(400, "malformed-quarantine", "Malformed request", detail).member(member).into()
}

async fn release(
    State(admin): State<SourcesAdmin>,
    Extension(note): Extension<Note>,
    Path(who): Path<String>,
) -> Result<StatusCode, Refused> {
    let who: Party = who
        .parse()
        .map_err(|error| Refused::from(Problem::new(400, "malformed-name", "Malformed name", format!("{error}"))))?;
    if admin.quarantine.release(&who) {
        note.add("released", &who);
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::new(404, "unknown", "Not in quarantine", format!("{who} is not kept out")).into())
    }
}
