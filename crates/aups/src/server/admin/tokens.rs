//! `/v1/tokens`: who administers.

use super::{Access, name, query, read_json, storage_problem};
use crate::server::{
    admin_tokens::{Issued, TokenError, View, text},
    audit::Note,
    http::Refused,
};
use aups_core::{Problem, TokenName, UnixMillis, parse_duration};
use axum::{
    Extension, Json, Router,
    extract::{Path, Request, State},
    http::{StatusCode, Uri},
    routing::{delete, get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

pub(super) fn router(access: Access) -> Router {
    Router::new()
        .route("/v1/tokens", get(list).post(add))
        .route("/v1/tokens/{name}", delete(remove))
        .route("/v1/tokens/{name}/rotate", post(rotate))
        .with_state(access)
}

/// A token with its secret, which is shown this once.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    view: View,
    token: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Add {
    name: TokenName,
    expires_in: Option<String>,
    expires: Option<UnixMillis>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotate {
    grace: Option<String>,
}

async fn list(State(access): State<Access>) -> Json<Value> {
    Json(json!({ "items": access.tokens.list() }))
}

async fn add(
    State(access): State<Access>,
    Extension(note): Extension<Note>,
    request: Request,
) -> Result<(StatusCode, Json<Shown>), Refused> {
    let asked: Add = read_json(request).await?;
    let expires = match (asked.expires, asked.expires_in) {
        (expires, None) => expires,
        (None, Some(life)) => Some(access.clock.now().plus(duration("expiresIn", &life)?)),
        (Some(_), Some(_)) => return Err(malformed("give `expires` or `expiresIn`, not both", "expiresIn")),
    };
    Ok((StatusCode::CREATED, shown(access.tokens.add(asked.name, expires).await?, &note)))
}

async fn rotate(
    State(access): State<Access>,
    Extension(note): Extension<Note>,
    Path(token): Path<String>,
    uri: Uri,
) -> Result<Json<Shown>, Refused> {
    let Rotate { grace } = query(&uri)?;
    let grace = grace.map_or(Ok(Duration::ZERO), |grace| duration("grace", &grace))?;
    Ok(shown(access.tokens.rotate(&name(&token)?, grace).await?, &note))
}

async fn remove(
    State(access): State<Access>,
    Extension(note): Extension<Note>,
    Path(token): Path<String>,
) -> Result<StatusCode, Refused> {
    let token: TokenName = name(&token)?;
    access.tokens.remove(&token).await?;
    note.add("name", &token);
    Ok(StatusCode::NO_CONTENT)
}

fn shown(Issued { token: view, secret }: Issued, note: &Note) -> Json<Shown> {
    note.add("name", &view.name);
    note.add("expires", view.expires);
    note.add("previousEnds", view.previous_ends);
    Json(Shown { view, token: text(&secret) })
}

fn duration(member: &'static str, text: &str) -> Result<Duration, Refused> {
    parse_duration(text).map_err(|error| malformed(&format!("`{text}` is {error}"), member))
}

fn malformed(detail: &str, member: &'static str) -> Refused {
    let detail = detail.to_owned();
    Refused::from(Problem::new(400, "malformed-token", "Malformed token", detail).member(member))
}

impl From<TokenError> for Refused {
    fn from(error: TokenError) -> Self {
        let detail = error.to_string();
        match error {
            TokenError::Exists(_) => Problem::new(409, "exists", "Exists already", detail).into(),
            TokenError::Unknown(_) => Problem::new(404, "unknown", "Not registered", detail).into(),
            TokenError::Full => Problem::new(409, "tokens-full", "Too many tokens", detail).into(),
            TokenError::Last(_) => Problem::new(409, "last-token", "Last token", detail).into(),
            TokenError::Expiry => malformed(&detail, "expires"),
            TokenError::Grace => malformed(&detail, "grace"),
            TokenError::File(_) | TokenError::Store(_) => storage_problem(&error).into(),
        }
    }
}
