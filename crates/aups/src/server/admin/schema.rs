//! `/v1/schema`: what policies may ask about. The schema that ships, and what the administrator added to it.

use super::{
    Admin,
    condition::{expected_version, of_version},
    query, read_json,
};
use crate::server::{
    admin_tokens::Actor,
    audit::{Note, state},
    http::Refused,
    policies::Active,
};
use aups_policy::SchemaExtension;
use axum::{
    Extension, Json, Router,
    extract::{Request, State},
    http::{HeaderMap, Uri},
    response::Response,
    routing::get,
};
use serde::Deserialize;

pub(super) fn router() -> Router<Admin> {
    Router::new().route("/v1/schema", get(show).put(change))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Show {
    /// `?extension`: only what was added, as PUT takes it.
    extension: Option<String>,
}

async fn show(State(admin): State<Admin>, uri: Uri) -> Result<Response, Refused> {
    let active = admin.policies.active();
    if query::<Show>(&uri)?.extension.is_some() {
        return Ok(extension(&active));
    }
    Ok(of_version(active.schema_version, active.schema.text().to_owned()))
}

async fn change(
    State(admin): State<Admin>,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Refused> {
    let expected = expected_version(&headers)?;
    let added: SchemaExtension = read_json(request).await?;
    let active = admin.policies.change_schema(added, actor.name(), expected, &admin.registry).await?;
    admin.tell(&state::in_force(&active)).await?;
    note.add("version", active.schema_version);
    note.add("extension", active.schema.extension());
    tracing::info!(version = active.schema_version, author = actor.name(), "schema in force");
    Ok(extension(&active))
}

fn extension(active: &Active) -> Response {
    of_version(active.schema_version, Json(active.schema.extension()))
}
