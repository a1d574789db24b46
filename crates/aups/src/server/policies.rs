//! The policy administration point: numbered versions of the policy set, kept, and one of them active.
//!
//! Records: those of [`Versions`], and `policy/active` is the text of the active version once more: what NOSs that follow
//! this realm decide by. Version 0 is the empty set: nobody reads. `policy/schema` holds what the administrator added to the
//! schema.

use super::{
    registry::Registry,
    versions::{Reason, Version, Versions, VersionsError, json, parse},
};
use aups_core::{Clock, Principal, RealmId, Sub, Topic, UnixMillis};
use aups_policy::{AttributeError, Diff, Pdp, PolicyError, PolicySet, Schema, SchemaError, SchemaExtension, diff};
use aups_store::{Expect, Store, StoreError};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, PoisonError, RwLock};
use thiserror::Error;
use tokio::sync::{Mutex, Semaphore, watch};

/// Comparisons of policy sets at a time: each may keep a core busy for seconds.
const COMPARISONS_MAX: usize = 1;

const KIND: &str = "policy";
const SCHEMA_KEY: &str = "policy/schema";
const ACTIVE_KEY: &str = "policy/active";
/// What a NOS needs of these records to decide by the policies in force: see [`followed`].
pub(crate) const FOLLOWED: [&str; 2] = [ACTIVE_KEY, SCHEMA_KEY];
/// How policies without an `@id` are named: `policies-1`, `policies-2`, …
const STEM: &str = "policies";

/// Why the policies or the schema did not change, or are not to be had.
#[derive(Debug, Error)]
pub(crate) enum PolicyAdminError {
    #[error("the policy set is refused")]
    Refused(Vec<PolicyError>),
    #[error(transparent)]
    Version(#[from] VersionsError),
    #[error("the schema does not take {0}")]
    Schema(#[from] SchemaError),
    #[error("a policy in force asks for what this schema does not have: line {}, column {}: {}", .0.line, .0.column, .0.message)]
    StillAsked(PolicyError),
    #[error("`{sub}` has what this schema does not: {source}")]
    StillHad { sub: Sub, source: AttributeError },
    #[error("another comparison is under way")]
    Busy,
    #[error("the policy set could not be stored")]
    Store(#[from] StoreError),
    #[error(
        "this data folder was made by an earlier program, whose policies this one cannot read: save them there \
         (`aups policy show`) and begin in an empty folder"
    )]
    Older,
    #[error(
        "this program refuses the active policies, version {number}, which another one took: {first}; start the program \
         that took them and apply a set that both take"
    )]
    Inadmissible { number: u64, first: PolicyError },
}

/// What was added to the schema, when and by whom. It is numbered: 0 is the schema that ships.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SchemaRecord {
    version: u64,
    changed_at: UnixMillis,
    author: String,
    extension: SchemaExtension,
}

/// The active version with its text, and the schema that it was admitted under.
#[derive(Debug, Clone)]
pub(crate) struct Active {
    pub(crate) version: Version,
    pub(crate) text: Arc<str>,
    pub(crate) schema: Schema,
    pub(crate) schema_version: u64,
}

/// The versions of a realm's policy set.
#[derive(Debug)]
pub(crate) struct Policies {
    realm: RealmId,
    versions: Versions,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// One change at a time.
    changes: Mutex<()>,
    active: RwLock<Arc<Active>>,
    decisions: watch::Sender<Arc<Pdp>>,
    comparisons: Arc<Semaphore>,
}

impl Policies {
    /// Reads the active version. A stored version that this program's rules refuse is an error and not an open door.
    pub(crate) async fn open(
        realm: RealmId,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PolicyAdminError> {
        let (schema_version, schema) = stored_schema(&*store).await?;
        let versions = Versions::new(KIND, Arc::clone(&store), Arc::clone(&clock));
        let (version, text) = match versions.active().await? {
            Some(stored) => stored,
            // The first form had the versions where the other records are now. To begin with no policies would be silent.
            None if !store.list("policy/0").await?.0.is_empty() => return Err(PolicyAdminError::Older),
            None => (Version { policies: Some(0), ..Version::first(clock.now()) }, "".into()),
        };
        let number = version.number;
        let set = admit(&schema, &text).await.map_err(|error| inadmissible(number, error))?;
        if number > 0 && store.get(ACTIVE_KEY).await?.is_none() {
            // Written by a program that NOSs could not follow.
            store.put_if(ACTIVE_KEY, text.to_string().into(), Expect::Absent).await?;
        }
        let (decisions, _) = watch::channel(Arc::new(Pdp::new(realm, set)));
        let active = RwLock::new(Arc::new(Active { version, text, schema, schema_version }));
        let comparisons = Arc::new(Semaphore::new(COMPARISONS_MAX));
        Ok(Self { realm, versions, store, clock, changes: Mutex::new(()), active, decisions, comparisons })
    }

    /// The decision point of the active version, and of every later one.
    pub(crate) fn decisions(&self) -> watch::Receiver<Arc<Pdp>> {
        self.decisions.subscribe()
    }

    /// The schema in force.
    pub(crate) fn schema(&self) -> Schema {
        self.active().schema.clone()
    }

    /// The active version.
    pub(crate) fn active(&self) -> Arc<Active> {
        Arc::clone(&self.active.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The versions that are kept, oldest first, without their texts.
    pub(crate) async fn versions(&self) -> Result<Vec<Version>, VersionsError> {
        self.versions.list().await
    }

    /// The text of a version.
    pub(crate) async fn text(&self, number: u64) -> Result<Arc<str>, VersionsError> {
        if number == 0 { Ok("".into()) } else { self.versions.text(number).await }
    }

    /// What a set would decide, without making it active.
    pub(crate) async fn candidate(&self, text: &str) -> Result<Arc<Pdp>, PolicyAdminError> {
        Ok(Arc::new(Pdp::new(self.realm, admit(&self.schema(), text).await?)))
    }

    /// Who would gain and lose what, of these readers and topics. See [`diff`] for what it costs.
    pub(crate) async fn compare(
        &self,
        before: Arc<Pdp>,
        after: Arc<Pdp>,
        readers: Vec<Principal>,
        topics: Vec<Topic>,
    ) -> Result<Diff, PolicyAdminError> {
        let turn = Arc::clone(&self.comparisons).try_acquire_owned().map_err(|_| PolicyAdminError::Busy)?;
        // The turn ends with the work, not with a caller who gave up waiting.
        Ok(blocking(move || {
            let _turn = turn;
            diff(&before, &after, &readers, &topics)
        })
        .await)
    }

    /// Replaces the whole set. When this returns, every NOS of this process decides by the new one. The set that is
    /// active already gets no new version.
    pub(crate) async fn apply(&self, text: &str, reason: Reason) -> Result<Version, PolicyAdminError> {
        let _change = self.changes.lock().await;
        self.replace(text, reason).await
    }

    /// Makes the text of an earlier version active again, as a new version.
    pub(crate) async fn restore(&self, number: u64, reason: Reason) -> Result<Version, PolicyAdminError> {
        let _change = self.changes.lock().await;
        let text = self.text(number).await?;
        self.replace(&text, Reason { restores: Some(number), ..reason }).await
    }

    /// The caller holds `changes`.
    async fn replace(&self, text: &str, reason: Reason) -> Result<Version, PolicyAdminError> {
        let before = self.active();
        let following = self.versions.following(&before.version, reason)?;
        if *text == *before.text {
            return Ok(before.version.clone());
        }
        let set = admit(&before.schema, text).await?;
        let version = Version { policies: Some(set.len()), ..following };
        self.versions.keep(&version, text, text.to_owned().into()).await?;
        let active = Active { version: version.clone(), text: text.into(), ..(*before).clone() };
        self.activate(active, set);
        Ok(version)
    }

    /// Replaces what was added to the schema, if the active policies and every registered reader still fit. When this returns,
    /// every NOS of this process decides by the new one. An unchanged one gets no new version.
    pub(crate) async fn change_schema(
        &self,
        extension: SchemaExtension,
        author: &str,
        expected: Option<u64>,
        registry: &Registry,
    ) -> Result<Arc<Active>, PolicyAdminError> {
        let _change = self.changes.lock().await;
        let before = self.active();
        let active = before.schema_version;
        if let Some(expected) = expected.filter(|expected| *expected != active) {
            return Err(VersionsError::Outdated { active, expected }.into());
        }
        if extension == *before.schema.extension() {
            return Ok(before);
        }
        let schema = Schema::extended(&extension)?;
        let set = admit(&schema, &before.text).await.map_err(still_asked)?;
        // No reader gets an attribute by the old schema from here on.
        let _readers = registry.hold_changes().await;
        for who in registry.principals() {
            let fits = schema.check_attributes(&who.attributes);
            fits.map_err(|source| PolicyAdminError::StillHad { sub: who.sub, source })?;
        }
        let version = active + 1;
        let record = SchemaRecord { version, changed_at: self.clock.now(), author: author.to_owned(), extension };
        self.store.put_if(SCHEMA_KEY, json(&record), Expect::Any).await?;
        self.activate(Active { schema, schema_version: version, ..(*before).clone() }, set);
        Ok(self.active())
    }

    fn activate(&self, active: Active, set: PolicySet) {
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(active);
        self.decisions.send_replace(Arc::new(Pdp::new(self.realm, set)));
    }
}

/// Parses and validates a set without making it active. Admission of 10,000 policies takes half a second of CPU.
async fn admit(schema: &Schema, text: &str) -> Result<PolicySet, PolicyAdminError> {
    let (schema, text) = (schema.clone(), text.to_owned());
    blocking(move || PolicySet::parse_in(&schema, &text, STEM)).await.map_err(PolicyAdminError::Refused)
}

/// What takes long is done apart from the runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// What keeps the server from starting: its own store holds what it does not take.
fn inadmissible(number: u64, error: PolicyAdminError) -> PolicyAdminError {
    match error {
        PolicyAdminError::Refused(mut errors) if !errors.is_empty() => {
            PolicyAdminError::Inadmissible { number, first: errors.swap_remove(0) }
        }
        error => error,
    }
}

/// What keeps a schema from being changed: the active policies ask for what it takes away.
fn still_asked(error: PolicyAdminError) -> PolicyAdminError {
    match error {
        PolicyAdminError::Refused(mut errors) if !errors.is_empty() => {
            PolicyAdminError::StillAsked(errors.swap_remove(0))
        }
        error => error,
    }
}

async fn stored_schema(store: &dyn Store) -> Result<(u64, Schema), PolicyAdminError> {
    let value = store.get(SCHEMA_KEY).await?;
    schema_of(value.as_ref().map(|value| &*value.value))
}

fn schema_of(value: Option<&[u8]>) -> Result<(u64, Schema), PolicyAdminError> {
    let Some(value) = value else { return Ok((0, Schema::shipped())) };
    let SchemaRecord { version, extension, .. } = parse(SCHEMA_KEY, value)?;
    Ok((version, Schema::extended(&extension)?))
}

/// The policies in force, from the [records](FOLLOWED) that a NOS has of its realm; of none, the empty set. Takes half a
/// second of CPU for 10,000 policies.
pub(crate) fn followed(value: impl Fn(&str) -> Option<Bytes>) -> Result<PolicySet, PolicyAdminError> {
    let (_, schema) = schema_of(value(SCHEMA_KEY).as_deref())?;
    let text = value(ACTIVE_KEY).unwrap_or_default();
    let text = std::str::from_utf8(&text).map_err(|_| VersionsError::Corrupt { key: ACTIVE_KEY.to_owned() })?;
    PolicySet::parse_in(&schema, text, STEM).map_err(PolicyAdminError::Refused)
}

#[cfg(test)]
mod tests;
