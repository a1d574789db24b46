//! `/v1/keys/…`: the paper's table (keyId, keyT, val, atb) without keyT, one key or scope in full, and what administrators do
//! to keys: rotate, destroy, say that they are compromised.

use super::{Admin, read_json, storage_problem};
use crate::server::{audit::Note, http::Refused};
use aups_core::{Bump, Filter, KeyId, Problem, ScopeId, Topic};
use aups_ktm::{KtmError, ScopeView};
use axum::{
    Extension, Json, Router,
    extract::{Path, Request, State},
    http::StatusCode,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Most topics that are listed of one scope.
const TOPICS_LISTED_MAX: usize = 1_000;

/// Most scopes that one request destroys.
const DESTROYED_AT_ONCE_MAX: usize = 4_096;

pub(super) fn router() -> Router<Admin> {
    Router::new()
        .route("/v1/keys/list", get(list))
        .route("/v1/keys/rotate", post(rotate_many))
        .route("/v1/keys/destroy", post(destroy_many))
        .route("/v1/keys/{id}", get(show).delete(destroy))
        .route("/v1/keys/{id}/rotate", post(rotate))
        .route("/v1/keys/{id}/compromise", post(compromise))
}

async fn list(State(admin): State<Admin>) -> Result<Json<Value>, Refused> {
    let rows = admin.ktm.keys().await.map_err(refused)?;
    Ok(Json(json!({ "items": rows })))
}

/// What a path names: one key, or a scope with all its keys. Their lengths tell them apart.
#[derive(Debug, Clone, Copy)]
enum Named {
    Key(KeyId),
    Scope(ScopeId),
}

impl Named {
    fn parse(text: &str) -> Result<Self, Refused> {
        let key = || text.parse().map(Self::Key).ok();
        let scope = || text.parse().map(Self::Scope).ok();
        key().or_else(scope).ok_or_else(|| unknown(text))
    }

    /// The scope, of the key if it is one.
    async fn scope(self, text: &str, admin: &Admin) -> Result<ScopeId, Refused> {
        match self {
            Self::Scope(scope) => Ok(scope),
            Self::Key(key) => admin.ktm.scope_of(&key).await.map_err(refused)?.ok_or_else(|| unknown(text)),
        }
    }
}

/// A scope as the administrator sees it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    #[serde(flatten)]
    view: ScopeView,
    /// Topics on which something was sealed under it; the first ones.
    topics: Vec<Topic>,
    /// How many there are.
    topic_count: usize,
}

async fn show(State(admin): State<Admin>, Path(id): Path<String>) -> Result<Json<Shown>, Refused> {
    let found = match Named::parse(&id)? {
        Named::Key(key) => admin.ktm.show_key(&key).await,
        Named::Scope(scope) => admin.ktm.show(&scope).await,
    };
    let view = found.map_err(refused)?.ok_or_else(|| unknown(&id))?;
    let mut topics = admin.usage.topics_by_scope().remove(&view.spec.id).unwrap_or_default();
    let topic_count = topics.len();
    topics.truncate(TOPICS_LISTED_MAX);
    Ok(Json(Shown { view, topics, topic_count }))
}

/// New keys from now on; what was sealed stays readable.
async fn rotate(
    State(admin): State<Admin>,
    Extension(note): Extension<Note>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refused> {
    let scope = Named::parse(&id)?.scope(&id, &admin).await?;
    match rotated(&admin, &note, &[scope].into()).await? {
        bumps if bumps.is_empty() => Err(unknown(&id)),
        bumps => Ok(Json(json!({ "bumps": bumps }))),
    }
}

/// Which scopes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Which {
    /// Those that something was sealed under on topics that this filter matches.
    Topic(Filter),
    /// Every scope there is.
    All(bool),
}

async fn rotate_many(
    State(admin): State<Admin>,
    Extension(note): Extension<Note>,
    request: Request,
) -> Result<Json<Value>, Refused> {
    let scopes = match read_json(request).await? {
        Which::Topic(filter) => used_on(&admin, &filter),
        Which::All(true) => admin.ktm.scopes().iter().map(|spec| spec.id).collect(),
        Which::All(false) => BTreeSet::new(),
    };
    let bumps = rotated(&admin, &note, &scopes).await?;
    Ok(Json(json!({ "bumps": bumps })))
}

fn used_on(admin: &Admin, filter: &Filter) -> BTreeSet<ScopeId> {
    let used = admin.usage.topics_by_scope();
    let on = used.into_iter().filter(|(_, topics)| topics.iter().any(|topic| filter.matches(topic)));
    on.map(|(scope, _)| scope).collect()
}

async fn rotated(admin: &Admin, note: &Note, scopes: &BTreeSet<ScopeId>) -> Result<BTreeMap<ScopeId, Bump>, Refused> {
    if scopes.is_empty() {
        return Ok(BTreeMap::new());
    }
    let bumps = admin.ktm.revoke(scopes, Vec::new()).await.map_err(refused)?;
    note.add("bumps", &bumps);
    Ok(bumps)
}

/// Somebody has it who should not.
async fn compromise(
    State(admin): State<Admin>,
    Extension(note): Extension<Note>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refused> {
    let done = match Named::parse(&id)? {
        Named::Key(key) => admin.ktm.compromise_key(&key).await,
        Named::Scope(scope) => admin.ktm.compromise(&scope).await.map(|bump| (scope, bump)),
    };
    let (scope, bump) = match done {
        Err(KtmError::UnknownKey(_) | KtmError::UnknownScope(_)) => return Err(unknown(&id)),
        done => done.map_err(refused)?,
    };
    note.add("compromised", &id);
    note.add("bumps", BTreeMap::from([(scope, bump)]));
    Ok(Json(json!({ "scope": scope, "bump": bump })))
}

/// The scope of a key goes with all its keys: a single one cannot, for it is not kept but derived.
async fn destroy(
    State(admin): State<Admin>,
    Extension(note): Extension<Note>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    let scope = Named::parse(&id)?.scope(&id, &admin).await?;
    let destroyed = destroyed(&admin, &note, &[scope].into()).await?;
    if destroyed.is_empty() { Err(unknown(&id)) } else { Ok(StatusCode::NO_CONTENT) }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Many {
    scopes: BTreeSet<ScopeId>,
}

async fn destroy_many(
    State(admin): State<Admin>,
    Extension(note): Extension<Note>,
    request: Request,
) -> Result<Json<Value>, Refused> {
    let Many { scopes } = read_json(request).await?;
    if scopes.len() > DESTROYED_AT_ONCE_MAX {
        let detail = format!("one request destroys {DESTROYED_AT_ONCE_MAX} scopes at most; ask several times");
        return Err(Problem::new(400, "too-many", "Too many scopes", detail).member("scopes").into());
    }
    let destroyed = destroyed(&admin, &note, &scopes).await?;
    Ok(Json(json!({ "destroyed": destroyed })))
}

/// Destroys scopes; those that there were. Nobody can open what was sealed under them any more, but readers that hold keys.
pub(super) async fn destroyed(
    admin: &Admin,
    note: &Note,
    scopes: &BTreeSet<ScopeId>,
) -> Result<BTreeSet<ScopeId>, Refused> {
    let destroyed = admin.ktm.destroy_all(scopes).await.map_err(refused)?;
    note.add("scopes", &destroyed);
    // What is listed of a scope that is gone is only a list: it is tried again at the next start.
    if let Err(error) = admin.usage.forget(&destroyed).await {
        tracing::warn!(%error, "the topics of a destroyed scope are still listed");
    }
    Ok(destroyed)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn refused(error: KtmError) -> Refused {
    Refused::from(storage_problem(&error))
}

pub(super) fn unknown(id: &str) -> Refused {
    let detail = format!(
        "there is no key or scope `{id}`, or it was destroyed; GET /v1/keys/list and GET /v1/scopes list what there is"
    );
    Problem::new(404, "unknown", "No such key or scope", detail).into()
}
