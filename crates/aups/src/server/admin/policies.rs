//! `/v1/policies`: the whole set at once, as text.

use super::Admin;
use crate::server::{
    http::{Refused, read_body},
    policies::admit,
};
use aups_core::Problem;
use aups_policy::{PolicyError, SOURCE_BYTES_MAX};
use axum::{
    Json, Router,
    extract::{Request, State},
    http::{
        HeaderMap,
        header::{CONTENT_TYPE, ETAG, IF_MATCH},
    },
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

pub(super) fn router() -> Router<Admin> {
    Router::new()
        .route("/v1/policies", get(show).put(apply))
        .route("/v1/policies/check", post(check))
        .route("/v1/policies/versions", get(versions))
}

async fn show(State(admin): State<Admin>) -> Response {
    let active = admin.policies.active().await;
    let headers = [(ETAG, format!("\"{}\"", active.number)), (CONTENT_TYPE, "text/plain; charset=utf-8".into())];
    (headers, active.text.to_string()).into_response()
}

async fn apply(State(admin): State<Admin>, headers: HeaderMap, request: Request) -> Result<Response, Refused> {
    let expected = expected_version(&headers)?;
    let text = read_text(request).await?;
    let version = admin.policies.apply(&text, expected).await?;
    tracing::info!(version = version.number, policies = version.policies, "policy set applied");
    let body = Json(json!({ "version": version.number, "policies": version.policies }));
    Ok(([(ETAG, format!("\"{}\"", version.number))], body).into_response())
}

async fn check(request: Request) -> Result<Json<Value>, Refused> {
    let set = admit(&read_text(request).await?).await?;
    Ok(Json(json!({ "policies": set.len() })))
}

async fn versions(State(admin): State<Admin>) -> Result<Json<Value>, Refused> {
    let versions = admin.policies.versions().await?;
    let view = |v: &crate::server::policies::Version| json!({ "version": v.number, "policies": v.policies, "appliedAt": v.applied_at });
    Ok(Json(json!({ "items": versions.iter().map(view).collect::<Vec<_>>() })))
}

/// `If-Match: "3"`, `*`, or nothing.
fn expected_version(headers: &HeaderMap) -> Result<Option<u64>, Refused> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let tag = value.to_str().unwrap_or_default().trim();
    if tag == "*" {
        return Ok(None);
    }
    tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).and_then(|tag| tag.parse().ok()).map(Some).ok_or_else(
        || {
            let detail = "If-Match takes the ETag that GET /v1/policies gave, with its quotation marks";
            Refused::from(Problem::new(400, "malformed-if-match", "Malformed If-Match", detail))
        },
    )
}

async fn read_text(request: Request) -> Result<String, Refused> {
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

/// What an administrator is told of a set that is not admitted.
pub(super) fn refusal(errors: &[PolicyError]) -> Problem {
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
