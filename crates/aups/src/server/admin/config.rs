//! `/v1/config`: the whole configuration of the realm's NOSs at once, as JSON, in numbered versions.

use super::{
    Admin,
    condition::{expected_version, of_version},
    query, read_json, storage_problem,
    versions::{Compared, Rollback, Which, Why, compared_twice, listed},
};
use crate::server::{
    admin_tokens::Actor,
    audit::{Note, state},
    config::{CONFIG_BYTES_MAX, ConfigAdminError, ConfigChange, Document, changes},
    http::{Refused, read_body},
    versions::Reason,
};
use aups_core::Problem;
use aups_nos::ConfigError;
use axum::{
    Extension, Json, Router,
    extract::{Request, State},
    http::{HeaderMap, Uri, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use std::sync::Arc;

pub(super) fn router() -> Router<Admin> {
    Router::new()
        .route("/v1/config", get(show).put(set))
        .route("/v1/config/check", post(check))
        .route("/v1/config/diff", post(diff))
        .route("/v1/config/versions", get(versions))
        .route("/v1/config/rollback", post(rollback))
}

async fn show(State(admin): State<Admin>, uri: Uri) -> Result<Response, Refused> {
    let active = admin.config.active();
    let (number, text) = match query::<Which>(&uri)?.version {
        None => (active.version.number, active.text.clone()),
        Some(number) => (number, admin.config.text(number).await?),
    };
    Ok(of_version(number, document(&text)))
}

async fn set(
    State(admin): State<Admin>,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Refused> {
    let expected = expected_version(&headers)?;
    let Why { comment } = query(request.uri())?;
    let reason = Reason { author: actor.name().to_owned(), comment, expected, restores: None };
    let text = read_document(request).await?;
    let document = admin.config.apply(text, reason).await?;
    in_force(&admin, &document, &note).await
}

async fn rollback(
    State(admin): State<Admin>,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Refused> {
    let expected = expected_version(&headers)?;
    let Rollback { version, comment } = read_json(request).await?;
    let reason = Reason { author: actor.name().to_owned(), comment, expected, restores: None };
    let document = admin.config.restore(version, reason).await?;
    in_force(&admin, &document, &note).await
}

/// What is answered when a document was put in force.
async fn in_force(admin: &Admin, document: &Document, note: &Note) -> Result<Response, Refused> {
    let version = &document.version;
    admin.tell(&state::config_in_force(version.number, &document.text)).await?;
    note.add("version", version.number);
    tracing::info!(version = version.number, author = version.author, "configuration in force");
    Ok(of_version(version.number, Json(json!({ "version": version.number }))))
}

/// The document as it would be kept, with all of its members.
async fn check(State(admin): State<Admin>, request: Request) -> Result<Response, Refused> {
    let text = read_document(request).await?;
    Ok(document(&admin.config.candidate(text).await?))
}

/// What changes from one document to another.
#[derive(Debug, Serialize)]
struct Difference {
    changes: Vec<ConfigChange>,
}

async fn diff(State(admin): State<Admin>, request: Request) -> Result<Json<Difference>, Refused> {
    let Compared { from, to } = query(request.uri())?;
    let body = read_body(request, CONFIG_BYTES_MAX).await?;
    let config = &admin.config;
    let before = match from {
        None => config.active().text.clone(),
        Some(from) => config.text(from).await?,
    };
    let after = match to {
        None => config.candidate(text_of(&body)?).await?,
        Some(to) if body.is_empty() => config.text(to).await?,
        Some(_) => return Err(compared_twice()),
    };
    // Both are documents of ours.
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    Ok(Json(Difference { changes: changes(&value(&before), &value(&after)) }))
}

async fn versions(State(admin): State<Admin>) -> Result<Json<Value>, Refused> {
    Ok(listed(admin.config.versions().await?, admin.config.active().version.number))
}

fn document(text: &Arc<str>) -> Response {
    ([(CONTENT_TYPE, "application/json")], text.to_string()).into_response()
}

async fn read_document(request: Request) -> Result<String, Refused> {
    text_of(&read_body(request, CONFIG_BYTES_MAX).await?)
}

/// A body that is JSON; what it says is looked at later.
fn text_of(body: &[u8]) -> Result<String, Refused> {
    let text: &RawValue = serde_json::from_slice(body).map_err(|error| {
        let detail = format!("the configuration is not JSON: {error}");
        let problem = Problem::new(400, "malformed-request", "Malformed request", detail);
        Refused::from(problem.at(error.line(), error.column()))
    })?;
    Ok(text.get().to_owned())
}

impl From<ConfigAdminError> for Refused {
    fn from(error: ConfigAdminError) -> Self {
        match error {
            ConfigAdminError::Version(error) => error.into(),
            ConfigAdminError::Refused(errors) => Self::from(refusal(&errors)),
            ConfigAdminError::Inadmissible { .. } | ConfigAdminError::Initial { .. } => storage_problem(&error).into(),
        }
    }
}

/// What an administrator is told of a document that is not taken.
fn refusal(errors: &[ConfigError]) -> Problem {
    let listed: Vec<Value> = errors.iter().map(|e| json!({ "pointer": e.pointer, "message": e.message })).collect();
    let detail = match errors {
        [] => "the configuration is not valid".into(),
        [only] => only.to_string(),
        [first, ..] => format!("{} errors; the first at {first}", errors.len()),
    };
    Problem::new(422, "config-refused", "Configuration refused", detail).with("errors", listed)
}
