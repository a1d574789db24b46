//! `/v1/dead-letters`: items that could be taken no further, to be looked at, published after all, or given up.

use super::query;
use crate::server::{audit::Note, http::Refused};
use aups_core::Problem;
use aups_nos::{Dead, DeadLetterError, DeadLetters};
use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::{StatusCode, Uri},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Where an item is shown in clear: recorded in the audit trail one by one, though it is a read.
pub(super) const SHOWN_IN_CLEAR: &str = "/v1/dead-letters/{id}";

/// After how long a replay is worth another try.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(super) fn router(letters: DeadLetters) -> Router {
    Router::new()
        .route("/v1/dead-letters", get(list))
        .route(SHOWN_IN_CLEAR, get(show).delete(discard))
        .route("/v1/dead-letters/{id}/replay", post(replay))
        .with_state(letters)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    /// Those with greater numbers.
    after: Option<u64>,
}

async fn list(State(letters): State<DeadLetters>, uri: Uri) -> Result<Json<Value>, Refused> {
    let After { after } = query(&uri)?;
    let items = letters.list(after).await?;
    Ok(Json(json!({ "items": items })))
}

async fn show(
    State(letters): State<DeadLetters>,
    Extension(note): Extension<Note>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refused> {
    let id = number(&id)?;
    let (dead, record) = letters.get(id).await?.ok_or_else(|| unknown(id))?;
    note.add("itemId", dead.about.as_ref().and_then(|about| about.item_id.as_ref()));
    Ok(Json(with_record(&dead, &record)))
}

/// The item, or, where it is none, what there is as text.
fn with_record(dead: &Dead, record: &[u8]) -> Value {
    let mut shown = json!(dead);
    let (name, value) = match serde_json::from_slice::<Value>(record) {
        Ok(item) => ("item", item),
        Err(_) => ("record", String::from_utf8_lossy(record).into()),
    };
    if let Value::Object(members) = &mut shown {
        members.insert(name.to_owned(), value);
    }
    shown
}

async fn replay(
    State(letters): State<DeadLetters>,
    Extension(note): Extension<Note>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Value>), Refused> {
    let id = number(&id)?;
    if !letters.replay(id).await? {
        return Err(unknown(id));
    }
    note.add("replayed", id);
    Ok((StatusCode::ACCEPTED, Json(json!({ "accepted": 1 }))))
}

async fn discard(
    State(letters): State<DeadLetters>,
    Extension(note): Extension<Note>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    let id = number(&id)?;
    if !letters.discard(id).await? {
        return Err(unknown(id));
    }
    note.add("discarded", id);
    Ok(StatusCode::NO_CONTENT)
}

fn number(text: &str) -> Result<u64, Refused> {
    text.parse().map_err(|_| {
        let detail = "a dead letter is named by its number; GET /v1/dead-letters lists them";
        Refused::from(Problem::new(400, "malformed-name", "Malformed name", detail))
    })
}

fn unknown(id: u64) -> Refused {
    Refused::from(Problem::new(404, "unknown", "No such dead letter", format!("there is no dead letter {id}")))
}

impl From<DeadLetterError> for Refused {
    fn from(error: DeadLetterError) -> Self {
        match error {
            DeadLetterError::NoItem(_) => Self::from(Problem::new(422, "no-item", "Not an item", error.to_string())),
            DeadLetterError::NotTaken(_) => {
                Self::later(Problem::new(503, "not-taken", "Not taken now", error.to_string()), RETRY_AFTER)
            }
            error => Self::from(super::storage_problem(&error)),
        }
    }
}
