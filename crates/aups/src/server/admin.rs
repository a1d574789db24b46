//! The administrator's HTTP API (DESIGN section 11): readers, groups, sources, policies, configuration, keys, tokens, audit. Bearer admin token.

pub(super) mod access;
mod app_bearers;
mod audit;
mod backup;
mod condition;
mod config;
mod dead_letters;
mod explain;
mod groups;
mod keys;
mod nodes;
mod policies;
mod quarantine;
mod readers;
mod schema;
mod scopes;
mod scores;
mod sources;
mod tokens;
mod versions;

use super::{
    audit::{Event, Note},
    config::Configuration,
    http::{Refused, read_body},
    nodes::Nodes,
    policies::Policies,
    registry::{Registry, RegistryError},
    revocation::Revoked,
};
use access::Access;
pub(crate) use app_bearers::AppBearers;
use aups_core::Problem;
use aups_ktm::{Ktm, Realm};
use aups_nos::{DeadLetters, Usage};
use axum::{
    Router,
    extract::{Query, Request},
    http::Uri,
    middleware,
};
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
pub(crate) use sources::SourcesAdmin;
use std::{error::Error as _, sync::Arc};

/// Largest JSON body of an administrator's request.
const ADMIN_BODY_BYTES_MAX: usize = 256 << 10;

/// What the administrator's API works on.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) access: Access,
    pub(crate) registry: Arc<Registry>,
    pub(crate) realm: Arc<Realm>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) config: Arc<Configuration>,
    /// Those of this process, if it is a NOS.
    pub(crate) sources: Option<SourcesAdmin>,
    /// Likewise.
    pub(crate) dead_letters: Option<DeadLetters>,
    pub(crate) usage: Arc<Usage>,
    pub(crate) ktm: Arc<Ktm>,
    pub(crate) sessions: Arc<dyn Sessions>,
    /// NOSs that run apart, if there may be any.
    pub(crate) nodes: Option<Nodes>,
}

/// The readers' sessions at the broker, as far as the administrator's acts concern them.
pub(crate) trait Sessions: Send + Sync + 'static {
    /// Ends every session of a reader and drops what is queued for it.
    fn end<'a>(&'a self, user: &'a str) -> BoxFuture<'a, ()>;

    /// Ends the sessions that hold a subscription which the policies in force no longer accept.
    fn review(&self) -> BoxFuture<'_, ()>;
}

impl Admin {
    /// Puts what is registered or in force from now on into the trail.
    async fn tell(&self, events: &[Event]) -> Result<(), Refused> {
        self.access.audit.record_many(events).await.map_err(|error| access::unwritten_outcome(&error))
    }

    /// What is left to do when rights were taken away and their keys replaced: the sessions of those who lost them, and the trail.
    async fn revoked(&self, note: &Note, revoked: &Revoked) -> Result<(), Refused> {
        if !revoked.bumps.is_empty() {
            note.add("bumps", &revoked.bumps);
        }
        end_sessions(&*self.sessions, revoked).await;
        self.tell(&bumped(revoked)).await
    }
}

/// Most scopes that one line of the trail names.
const SCOPES_TOLD_AT_ONCE: usize = 1_000;

/// What a change took away, for the trail.
pub(super) fn bumped(revoked: &Revoked) -> Vec<Event> {
    let scopes: Vec<_> = revoked.bumps.iter().map(|(scope, bump)| (*scope, *bump)).collect();
    let some = scopes.chunks(SCOPES_TOLD_AT_ONCE);
    some.map(|some| Event::Bumped { scopes: some.iter().copied().collect(), readers: revoked.readers.clone() })
        .collect()
}

/// Ends the sessions of readers that lost something, and those that hold a subscription which is no longer accepted.
pub(super) async fn end_sessions(sessions: &dyn Sessions, revoked: &Revoked) {
    for sub in &revoked.readers {
        sessions.end(sub.as_str()).await;
    }
    sessions.review().await;
}

/// What a realm's administrator may ask, each behind a token and recorded.
pub(crate) fn router(admin: Admin) -> Router {
    let (access, nodes) = (admin.access.clone(), admin.nodes.clone());
    let (sources, dead_letters) = (admin.sources.clone(), admin.dead_letters.clone());
    let realm = Router::new()
        .merge(readers::router())
        .merge(groups::router())
        .merge(policies::router())
        .merge(schema::router())
        .merge(config::router())
        .merge(explain::router())
        .merge(keys::router())
        .merge(backup::router())
        .merge(scopes::router())
        .with_state(admin);
    let here = [sources.map(of_nos), dead_letters.map(dead_letters::router), Some(nodes::router(nodes))];
    guarded(here.into_iter().flatten().fold(realm, Router::merge), access)
}

/// What the administrator of a NOS that runs apart may ask of it: the realm's own process has the rest.
pub(crate) fn nos_router(access: Access, sources: SourcesAdmin, dead_letters: DeadLetters) -> Router {
    guarded(of_nos(sources).merge(dead_letters::router(dead_letters)), access)
}

/// What each NOS answers for itself.
fn of_nos(sources: SourcesAdmin) -> Router {
    scores::router(Arc::clone(&sources.recent))
        .merge(sources::router(sources.clone()))
        .merge(quarantine::router(sources))
}

/// Puts every route behind a token and into the trail, those of the tokens and of the trail with them.
fn guarded(routes: Router, access: Access) -> Router {
    routes
        .merge(tokens::router(access.clone()))
        .merge(audit::router(access.clone()))
        .layer(middleware::from_fn_with_state(access.clone(), access::record))
        .layer(middleware::from_fn_with_state(access, access::require_token))
}

/// A JSON body, with the place of what is wrong in it.
async fn read_json<T: DeserializeOwned>(request: Request) -> Result<T, Refused> {
    let body = read_body(request, ADMIN_BODY_BYTES_MAX).await?;
    serde_json::from_slice(&body).map_err(|error| {
        Refused::from(
            Problem::new(
                400,
                "malformed-request",
                "Malformed request",
                format!("the body is not as it should be: {error}"),
            )
            .at(error.line(), error.column()),
        )
    })
}

/// What the query of a URI says; a name that the endpoint does not know is refused.
fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Refused> {
    let Query(parsed) = Query::try_from_uri(uri).map_err(|error| {
        let source = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        let detail = format!("the query is not as it should be: {source}; see /openapi.json");
        Refused::from(Problem::new(400, "malformed-query", "Malformed query", detail))
    })?;
    Ok(parsed)
}

/// A name in the path.
fn name<T: std::str::FromStr<Err = aups_core::id::NameError>>(text: &str) -> Result<T, Refused> {
    text.parse().map_err(|error: aups_core::id::NameError| {
        Refused::from(Problem::new(400, "malformed-name", "Malformed name", error.to_string()))
    })
}

impl From<RegistryError> for Refused {
    fn from(error: RegistryError) -> Self {
        let detail = error.to_string();
        Self::from(match error {
            RegistryError::Exists(_) => Problem::new(409, "exists", "Exists already", detail),
            RegistryError::Unknown { what: "group", .. } => Problem::new(
                400,
                "unknown-group",
                "Unknown group",
                format!("{detail}; add it first: aups group add NAME"),
            )
            .member("groups"),
            RegistryError::Unknown { .. } | RegistryError::NotBeneath { .. } => {
                Problem::new(404, "unknown", "Not registered", detail)
            }
            RegistryError::GroupCycle { .. } => Problem::new(409, "group-cycle", "Group would hold itself", detail),
            RegistryError::GroupInUse { .. } => Problem::new(409, "group-in-use", "Group is in use", detail),
            RegistryError::Attributes(_) | RegistryError::Attribute(_) => {
                Problem::new(400, "malformed-attribute", "Malformed attribute", detail).member("attrs")
            }
            RegistryError::Full | RegistryError::AppFull(_) => {
                Problem::new(409, "registry-full", "Too many readers", detail)
            }
            RegistryError::Token => Problem::new(401, "enrolment-token", "Enrolment refused", detail),
            RegistryError::Store(_)
            | RegistryError::Ktm(_)
            | RegistryError::Orphan { .. }
            | RegistryError::Corrupt { .. } => storage_problem(&error),
        })
    }
}

/// Our own trouble: told in full to the log, in brief to the peer.
fn storage_problem(error: &(dyn std::error::Error + 'static)) -> Problem {
    let cause = error.source().map(ToString::to_string);
    tracing::error!(error = %error, cause, "an administrator's request failed");
    Problem::new(
        503,
        "storage",
        "Storage failed",
        "the server's log says why; look at what there is now before you try again",
    )
}
