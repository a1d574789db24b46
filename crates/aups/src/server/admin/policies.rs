//! `/v1/policies`: the whole set at once, as text, in numbered versions.

use super::{
    Admin,
    condition::{expected_version, of_version},
    query, read_json,
    versions::{Compared, Rollback, Which, Why, compared_twice, listed},
};
use crate::server::{
    admin_tokens::Actor,
    audit::{Note, state},
    http::{Refused, read_body},
    policies::PolicyAdminError,
    versions::{Reason, Version},
};
use aups_core::Problem;
use aups_policy::{Diff, PolicyError, SOURCE_BYTES_MAX};
use axum::{
    Extension, Json, Router,
    extract::{Request, State},
    http::{HeaderMap, Uri, header::CONTENT_TYPE},
    response::Response,
    routing::{get, post},
};
use serde_json::{Value, json};

pub(super) fn router() -> Router<Admin> {
    Router::new()
        .route("/v1/policies", get(show).put(apply))
        .route("/v1/policies/check", post(check))
        .route("/v1/policies/diff", post(diff))
        .route("/v1/policies/versions", get(versions))
        .route("/v1/policies/rollback", post(rollback))
}

async fn show(State(admin): State<Admin>, uri: Uri) -> Result<Response, Refused> {
    let active = admin.policies.active();
    let (number, text) = match query::<Which>(&uri)?.version {
        None => (active.version.number, active.text.clone()),
        Some(number) => (number, admin.policies.text(number).await?),
    };
    Ok(of_version(number, text.to_string()))
}

async fn apply(
    State(admin): State<Admin>,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Refused> {
    let expected = expected_version(&headers)?;
    let Why { comment } = query(request.uri())?;
    let reason = Reason { author: actor.name().to_owned(), comment, expected, restores: None };
    let text = read_text(request).await?;
    let version = admin.policies.apply(&text, reason).await?;
    admin.tell(&state::in_force(&admin.policies.active())).await?;
    Ok(in_force(&version, &note))
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
    let version = admin.policies.restore(version, reason).await?;
    admin.tell(&state::in_force(&admin.policies.active())).await?;
    Ok(in_force(&version, &note))
}

/// What is answered when a set was put in force.
fn in_force(version: &Version, note: &Note) -> Response {
    note.add("version", version.number);
    note.add("policies", version.policies);
    tracing::info!(version = version.number, policies = version.policies, author = version.author, "policies in force");
    of_version(version.number, Json(json!({ "version": version.number, "policies": version.policies })))
}

async fn check(State(admin): State<Admin>, request: Request) -> Result<Json<Value>, Refused> {
    let candidate = admin.policies.candidate(&read_text(request).await?).await?;
    Ok(Json(json!({ "policies": candidate.set().len() })))
}

/// What would change for all registered readers on all topics in use. An empty body is the empty set.
async fn diff(State(admin): State<Admin>, request: Request) -> Result<Json<Diff>, Refused> {
    let Compared { from, to } = query(request.uri())?;
    let text = read_text(request).await?;
    let policies = &admin.policies;
    let before = match from {
        None => policies.decisions().borrow().clone(),
        Some(from) => policies.candidate(&policies.text(from).await?).await?,
    };
    let after = match to {
        None => policies.candidate(&text).await?,
        Some(to) if text.is_empty() => policies.candidate(&policies.text(to).await?).await?,
        Some(_) => return Err(compared_twice()),
    };
    Ok(Json(policies.compare(before, after, admin.registry.principals(), admin.usage.topics()).await?))
}

async fn versions(State(admin): State<Admin>) -> Result<Json<Value>, Refused> {
    Ok(listed(admin.policies.versions().await?, admin.policies.active().version.number))
}

/// A policy set as the body: text/plain, or of no stated type.
async fn read_text(request: Request) -> Result<String, Refused> {
    check_media_type(request.headers())?;
    let body = read_body(request, SOURCE_BYTES_MAX).await?;
    String::from_utf8(body.into()).map_err(|_| {
        Refused::from(Problem::new(
            400,
            "not-utf8",
            "Not UTF-8",
            "a policy set is text in UTF-8; save the file as such",
        ))
    })
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Refused> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let stated = value.to_str().unwrap_or_default();
    if stated.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/plain") {
        return Ok(());
    }
    let detail = format!("a policy set comes as text/plain, not as {stated:?}; send it with Content-Type: text/plain");
    Err(Refused::from(Problem::new(415, "media-type", "Media type not taken", detail)))
}

impl From<PolicyAdminError> for Refused {
    fn from(error: PolicyAdminError) -> Self {
        let detail = error.to_string();
        Self::from(match error {
            PolicyAdminError::Version(error) => return error.into(),
            PolicyAdminError::Refused(errors) => refusal(&errors),
            PolicyAdminError::Schema(error) => {
                Problem::new(422, "schema-refused", "Schema refused", error.to_string()).member(error.place)
            }
            PolicyAdminError::StillAsked(_) | PolicyAdminError::StillHad { .. } => Problem::new(
                409,
                "schema-in-use",
                "Schema is in use",
                format!("{detail}; change that first, then the schema"),
            ),
            PolicyAdminError::Busy => Problem::new(503, "busy", "Busy", format!("{detail}; try again when it is done")),
            PolicyAdminError::Store(_) | PolicyAdminError::Older | PolicyAdminError::Inadmissible { .. } => {
                super::storage_problem(&error)
            }
        })
    }
}

/// What an administrator is told of a set that is not admitted.
fn refusal(errors: &[PolicyError]) -> Problem {
    let listed: Vec<Value> = errors
        .iter()
        .map(|e| json!({ "line": e.line, "column": e.column, "message": e.message, "help": e.help }))
        .collect();
    let count = errors.len();
    let detail = match errors.first() {
        Some(first) if count == 1 => format!("line {}, column {}: {}", first.line, first.column, first.message),
        Some(first) => {
            format!("{count} errors; the first in line {}, column {}: {}", first.line, first.column, first.message)
        }
        None => "the policy set is not admitted".into(),
    };
    Problem::new(422, "policy-refused", "Policy set refused", detail).with("errors", listed)
}
