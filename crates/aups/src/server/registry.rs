//! Who is registered: users, apps and groups, kept in the store and looked up in memory.
//!
//! Records: `reader/<sub>` and `group/<name>`, JSON. Every change is written first and seen after, under one lock, so
//! that what memory says is never ahead of the disk.
//!
//! A change that takes rights away replaces the keys that it concerns in the same transaction: see [`Registry::commit`].

pub(crate) mod state;

use super::{
    digest::Digest,
    gate::Credentials,
    policies::blocking,
    revocation::{self, Affected, Revoked},
};
use aups_core::{Attributes, Clock, GroupName, Principal, ReaderKind, ScopeSpec, Sub, UnixMillis};
use aups_envelope::{Secret, VerifyingKey, kem::KemPublicKey};
use aups_ktm::{Ktm, KtmError};
use aups_nos::{Reader, Readers};
use aups_policy::{AttributeError, Pdp, Residuals, Schema};
use aups_store::{Change, Expect, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
pub(crate) use state::closure;
use state::{GROUP_PREFIX, GroupRecord, READER_PREFIX, State, json, put_reader, reader_key};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};
use thiserror::Error;
use tokio::sync::watch;

/// How long an enrolment token holds.
pub(crate) const TOKEN_LIFE: Duration = Duration::from_mins(15);
/// Most readers that one realm registers in this version: all are kept in memory.
pub(crate) const READERS_MAX: usize = 100_000;

/// Most users of one app: they are removed with it, in one transaction.
pub(crate) const APP_USERS_MAX: usize = 1_000;

/// Why a registration was not changed.
#[derive(Debug, Error)]
pub(crate) enum RegistryError {
    #[error("`{0}` is registered already; names are unique across users and apps")]
    Exists(String),
    #[error("no {what} is called `{name}`")]
    Unknown { what: &'static str, name: String },
    #[error("group `{group}` would hold itself")]
    GroupCycle { group: GroupName },
    #[error("group `{group}` still has members: {members}")]
    GroupInUse { group: GroupName, members: String },
    #[error("{READERS_MAX} readers are registered, which is the most that this version keeps")]
    Full,
    #[error("`{0}` has {APP_USERS_MAX} users, which is the most that an app may have")]
    AppFull(Sub),
    #[error("the enrolment token is unknown, used or expired")]
    Token,
    #[error("an attribute is not as the schema has it: {0}")]
    Attributes(serde_json::Error),
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    #[error("`{app}` has no user called `{name}`")]
    NotBeneath { app: Sub, name: String },
    #[error("the registration could not be stored")]
    Store(#[from] StoreError),
    #[error("the keys of what is taken away could not be replaced, so nothing was changed")]
    Ktm(#[from] KtmError),
    #[error("the stored user `{sub}` is one of the app `{app}`, which is not registered; restore a backup")]
    Orphan { sub: Sub, app: Sub },
    #[error("the stored registration `{key}` cannot be read")]
    Corrupt { key: String, source: serde_json::Error },
}

/// A reader as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ReaderRecord {
    pub(crate) kind: ReaderKind,
    pub(crate) sub: Sub,
    pub(crate) attrs: Attributes,
    pub(crate) groups: BTreeSet<GroupName>,
    /// The app that registered it: it may read nothing that the app may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) app: Option<Sub>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enrolment: Option<Enrolment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<PendingToken>,
}

impl ReaderRecord {
    /// Whether this app registered it.
    fn is_of(&self, app: &Sub) -> bool {
        self.app.as_ref() == Some(app)
    }

    /// Whether its keys are known.
    pub(crate) const fn is_enrolled(&self) -> bool {
        self.enrolment.is_some()
    }
}

/// The keys that a reader made, and the hash of the MQTT password that it was given.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Enrolment {
    signing_key: VerifyingKey,
    kem: KemPublicKey,
    /// The password has 256 random bits, so a plain hash cannot be searched.
    password_sha256: Digest,
}

/// An enrolment token that was given out: its hash and its end.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PendingToken {
    sha256: Digest,
    expires: UnixMillis,
}

/// A token as its receiver sees it, once.
#[derive(Debug)]
pub(crate) struct IssuedToken {
    /// The first part; the realm key's hash is appended where it is shown.
    pub(crate) secret: Secret<32>,
    pub(crate) expires: UnixMillis,
}

/// What an administrator changes of a reader; what is absent stays.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReaderChange {
    #[serde(default)]
    pub(crate) attrs: Map<String, Value>,
    pub(crate) groups: Option<BTreeSet<GroupName>>,
}

/// Who asks for a change: an administrator, or an app, which sees its own users alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Registrar {
    Admin,
    App(Sub),
}

/// A reader to be registered.
#[derive(Debug)]
pub(crate) struct NewReader {
    pub(crate) kind: ReaderKind,
    pub(crate) sub: Sub,
    pub(crate) attrs: Attributes,
    pub(crate) groups: BTreeSet<GroupName>,
}

/// The registrations of a realm.
#[derive(Debug)]
pub(crate) struct Registry {
    ktm: Arc<Ktm>,
    residuals: Arc<Residuals>,
    decisions: watch::Receiver<Arc<Pdp>>,
    clock: Arc<dyn Clock>,
    /// Held over a change from reading to writing: changes are rare and go one by one.
    changes: tokio::sync::Mutex<()>,
    state: RwLock<State>,
}

impl Registry {
    /// Reads what is stored, in the store that the KTM was opened on.
    pub(crate) async fn open(
        store: &dyn Store,
        ktm: Arc<Ktm>,
        residuals: Arc<Residuals>,
        decisions: watch::Receiver<Arc<Pdp>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, RegistryError> {
        let (groups, readers) = (store.list(GROUP_PREFIX).await?.0, store.list(READER_PREFIX).await?.0);
        let state = State::of(groups.into_iter().chain(readers).map(|(key, record)| (key, record.value)))?;
        Ok(Self { ktm, residuals, decisions, clock, changes: tokio::sync::Mutex::new(()), state: RwLock::new(state) })
    }

    /// Registers a reader and gives out its first enrolment token.
    pub(crate) async fn add(
        &self,
        by: &Registrar,
        new: NewReader,
    ) -> Result<(ReaderRecord, IssuedToken), RegistryError> {
        let _change = self.changes.lock().await;
        self.schema().check_attributes(&new.attrs)?;
        {
            let state = self.read();
            if state.readers.contains_key(&new.sub) {
                return Err(RegistryError::Exists(new.sub.to_string()));
            }
            if state.readers.len() >= READERS_MAX {
                return Err(RegistryError::Full);
            }
            state.known_groups(&new.groups)?;
        }
        let app = match by {
            Registrar::Admin => None,
            Registrar::App(app) if self.read().users_of(app).count() >= APP_USERS_MAX => {
                return Err(RegistryError::AppFull(app.clone()));
            }
            Registrar::App(app) => Some(self.get(&Registrar::Admin, ReaderKind::App, app)?.sub),
        };
        let (issued, token) = self.new_token();
        let NewReader { kind, sub, attrs, groups } = new;
        let record = ReaderRecord { kind, sub, attrs, groups, app, enrolment: None, token: Some(token) };
        self.write_reader(&record, Expect::Absent, Vec::new()).await?;
        Ok((record, issued))
    }

    /// Gives out a new enrolment token; what the reader has goes on until the token is used. If it is lost, it ends now: its
    /// keys and its password, and the keys of all that it could read.
    pub(crate) async fn new_enrolment_token(
        &self,
        by: &Registrar,
        kind: ReaderKind,
        sub: &Sub,
        lost: bool,
    ) -> Result<(ReaderRecord, IssuedToken, Revoked), RegistryError> {
        let _change = self.changes.lock().await;
        let mut record = self.get(by, kind, sub)?;
        let (issued, token) = self.new_token();
        record.token = Some(token);
        let (mut users, mut affected) = (Vec::new(), Vec::new());
        if lost {
            // Whoever has an app's keys may have enrolled users beneath it: what those hold ends as well.
            users.extend(self.read().users_of(sub).map(|entry| ReaderRecord { token: None, ..entry.record.clone() }));
            for reader in std::iter::once(&mut record).chain(&mut users) {
                let held_keys = reader.enrolment.take().is_some();
                affected.extend(self.in_other_hands(reader, held_keys));
            }
        }
        let changed = || std::iter::once(&record).chain(&users);
        let changes = changed().map(|reader| put_reader(reader, Expect::Any)).collect();
        let install = |state: &mut State| changed().for_each(|reader| state.insert(reader.clone()));
        let revoked = self.commit(changes, affected, install).await?;
        Ok((record, issued, revoked))
    }

    /// Changes attributes (each one given replaces the old one, null takes it back to its default) and groups (all at
    /// once).
    pub(crate) async fn change(
        &self,
        by: &Registrar,
        kind: ReaderKind,
        sub: &Sub,
        change: ReaderChange,
    ) -> Result<(ReaderRecord, Revoked), RegistryError> {
        let _change = self.changes.lock().await;
        let mut record = self.get(by, kind, sub)?;
        record.attrs = merge(&record.attrs, change.attrs).map_err(RegistryError::Attributes)?;
        self.schema().check_attributes(&record.attrs)?;
        if let Some(groups) = change.groups {
            self.read().known_groups(&groups)?;
            record.groups = groups;
        }
        let affected = self.affected(&record, Some(&record));
        let revoked = self.write_reader(&record, Expect::Any, affected).await?;
        Ok((record, revoked))
    }

    /// Removes a reader, an app with all its users: from now on they are unknown everywhere.
    pub(crate) async fn remove(&self, by: &Registrar, kind: ReaderKind, sub: &Sub) -> Result<Revoked, RegistryError> {
        let _change = self.changes.lock().await;
        let record = self.get(by, kind, sub)?;
        let affected = self.affected(&record, None);
        let gone: Vec<Sub> = affected.iter().map(|affected| affected.before.sub.clone()).collect();
        let changes = gone.iter().map(|sub| Change::Delete { key: reader_key(sub), expect: Expect::Any }).collect();
        self.commit(changes, affected, |state| gone.iter().for_each(|sub| state.remove(sub))).await
    }

    /// Uses an enrolment token up: its reader now has these keys and this password. What it had before ends, with the keys
    /// of all that it could read: they may be in other hands.
    pub(crate) async fn enrol(
        &self,
        token: &Secret<32>,
        signing_key: VerifyingKey,
        kem: KemPublicKey,
        password: &str,
    ) -> Result<(ReaderRecord, Revoked), RegistryError> {
        let _change = self.changes.lock().await;
        let digest = Digest::of(token.expose());
        let sub = self.read().tokens.get(&digest).cloned().ok_or(RegistryError::Token)?;
        let mut record = self.find(&sub).ok_or(RegistryError::Token)?;
        let valid = record.token.take().is_some_and(|t| t.sha256 == digest && self.clock.now() < t.expires);
        if !valid {
            return Err(RegistryError::Token);
        }
        let enrolment = Enrolment { signing_key, kem, password_sha256: Digest::of(password.as_bytes()) };
        let held_keys = record.enrolment.replace(enrolment).is_some();
        let affected = self.in_other_hands(&record, held_keys).into_iter().collect();
        let revoked = self.write_reader(&record, Expect::Any, affected).await?;
        Ok((record, revoked))
    }

    /// One reader of a kind. An app learns nothing of readers that are not its own.
    pub(crate) fn get(&self, by: &Registrar, kind: ReaderKind, sub: &Sub) -> Result<ReaderRecord, RegistryError> {
        let found = self.find(sub).filter(|record| record.kind == kind && by.sees(record));
        found.ok_or_else(|| match by {
            Registrar::App(app) => RegistryError::NotBeneath { app: app.clone(), name: sub.to_string() },
            Registrar::Admin => RegistryError::Unknown {
                what: match kind {
                    ReaderKind::User => "user",
                    ReaderKind::App => "app",
                },
                name: sub.to_string(),
            },
        })
    }

    /// All readers of a kind, by name.
    pub(crate) fn readers(&self, by: &Registrar, kind: ReaderKind) -> Vec<ReaderRecord> {
        let state = self.read();
        let records = state.readers.values().map(|entry| &entry.record);
        records.filter(|record| record.kind == kind && by.sees(record)).cloned().collect()
    }

    /// Every reader as policies see it.
    pub(crate) fn principals(&self) -> Vec<Principal> {
        self.read().readers.values().map(|entry| entry.reader.principal.clone()).collect()
    }

    /// Nothing is registered or changed while this is held.
    pub(crate) async fn hold_changes(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changes.lock().await
    }

    /// Adds a group.
    pub(crate) async fn add_group(&self, name: GroupName, within: BTreeSet<GroupName>) -> Result<(), RegistryError> {
        let _change = self.changes.lock().await;
        {
            let state = self.read();
            if state.groups.contains_key(&name) {
                return Err(RegistryError::Exists(name.to_string()));
            }
            state.known_groups(&within)?;
        }
        self.write_group(name, within, Expect::Absent).await.map(drop)
    }

    /// Puts a group into other groups instead of those that it was in.
    pub(crate) async fn change_group(
        &self,
        name: GroupName,
        within: BTreeSet<GroupName>,
    ) -> Result<Revoked, RegistryError> {
        let _change = self.changes.lock().await;
        {
            let state = self.read();
            state.known_groups(&BTreeSet::from([name.clone()]))?;
            state.known_groups(&within)?;
            if closure(&state.groups, &within).contains(&name) {
                return Err(RegistryError::GroupCycle { group: name });
            }
        }
        self.write_group(name, within, Expect::Any).await
    }

    /// Removes a group that nobody is in.
    pub(crate) async fn remove_group(&self, name: &GroupName) -> Result<(), RegistryError> {
        let _change = self.changes.lock().await;
        {
            let state = self.read();
            state.known_groups(&BTreeSet::from([name.clone()]))?;
            let readers =
                state.readers.values().filter(|e| e.record.groups.contains(name)).map(|e| e.record.sub.as_str());
            let groups =
                state.groups.iter().filter(|(_, within)| within.contains(name)).map(|(group, _)| group.as_str());
            let members: Vec<&str> = readers.chain(groups).take(5).collect();
            if !members.is_empty() {
                return Err(RegistryError::GroupInUse { group: name.clone(), members: members.join(", ") });
            }
        }
        let change = Change::Delete { key: format!("{GROUP_PREFIX}{name}"), expect: Expect::Any };
        self.commit(vec![change], Vec::new(), |state| drop(state.groups.remove(name))).await.map(drop)
    }

    /// All groups with the groups that hold them.
    pub(crate) fn groups(&self) -> BTreeMap<GroupName, BTreeSet<GroupName>> {
        self.read().groups.clone()
    }

    fn find(&self, sub: &Sub) -> Option<ReaderRecord> {
        self.read().readers.get(sub).map(|entry| entry.record.clone())
    }

    fn new_token(&self) -> (IssuedToken, PendingToken) {
        let secret = Secret::random();
        let expires = self.clock.now().plus(TOKEN_LIFE);
        let token = PendingToken { sha256: Digest::of(secret.expose()), expires };
        (IssuedToken { secret, expires }, token)
    }

    async fn write_reader(
        &self,
        record: &ReaderRecord,
        expect: Expect,
        affected: Vec<Affected>,
    ) -> Result<Revoked, RegistryError> {
        self.commit(vec![put_reader(record, expect)], affected, |state| state.insert_with_users(record.clone())).await
    }

    async fn write_group(
        &self,
        name: GroupName,
        within: BTreeSet<GroupName>,
        expect: Expect,
    ) -> Result<Revoked, RegistryError> {
        let value = json(&GroupRecord { groups: within.clone() });
        let change = Change::Put { key: format!("{GROUP_PREFIX}{name}"), value, expect };
        let affected = {
            let state = self.read();
            let mut groups = state.groups.clone();
            groups.insert(name.clone(), within.clone());
            let changed = state.readers.values().filter_map(|entry| {
                let before = &entry.reader.principal;
                let after = state.principal(&entry.record, &groups);
                (*before != after).then(|| Affected { before: before.clone(), after: Some(after) })
            });
            changed.collect()
        };
        let install = |state: &mut State| {
            state.groups.insert(name, within);
            let _ = state.refresh(|_| true);
        };
        self.commit(vec![change], affected, install).await
    }

    /// A reader whose keys are no longer its own, if it held any. The users of an app have their keys in their own hands.
    fn in_other_hands(&self, record: &ReaderRecord, held_keys: bool) -> Option<Affected> {
        let state = self.read();
        let entry = state.readers.get(&record.sub).filter(|_| held_keys)?;
        Some(Affected { before: entry.reader.principal.clone(), after: None })
    }

    /// A reader, and the users of an app, before and after its record becomes this; `None`: it is gone.
    fn affected(&self, record: &ReaderRecord, after: Option<&ReaderRecord>) -> Vec<Affected> {
        let state = self.read();
        let becomes = after.map(|record| Arc::new(state.principal(record, &state.groups)));
        let concerned = state.readers.get(&record.sub).into_iter().chain(state.users_of(&record.sub));
        let affected = concerned.map(|entry| {
            let before = entry.reader.principal.clone();
            let after = becomes.as_ref().map(|becomes| {
                let itself = entry.record.sub == record.sub;
                if itself {
                    (**becomes).clone()
                } else {
                    Principal { app: Some(Arc::clone(becomes)), ..before.clone() }
                }
            });
            Affected { before, after }
        });
        affected.filter(|affected| affected.after.as_ref() != Some(&affected.before)).collect()
    }

    /// Does a change and takes away what it takes away.
    ///
    /// From before the scopes are looked through until the new state can be seen, the readers concerned get no key
    /// ([`Reader::changing`]), and no scope is made for a NOS elsewhere: so no key that one of them holds is of a scope that
    /// was overlooked. Scopes that lost one of them are bumped in the transaction of the change. If that fails, nothing changed.
    async fn commit(
        &self,
        changes: Vec<Change>,
        affected: Vec<Affected>,
        install: impl FnOnce(&mut State),
    ) -> Result<Revoked, RegistryError> {
        let subs: Vec<Sub> = affected.iter().map(|affected| affected.before.sub.clone()).collect();
        self.write().set_changing(&subs, true);
        let revoked = self.revoke(changes, affected).await;
        let mut state = self.write();
        match revoked {
            Ok(revoked) => {
                install(&mut state);
                Ok(revoked)
            }
            Err(error) => {
                state.set_changing(&subs, false);
                Err(error)
            }
        }
    }

    /// The schema in force.
    fn schema(&self) -> Schema {
        self.decisions.borrow().set().schema().clone()
    }

    async fn revoke(&self, changes: Vec<Change>, affected: Vec<Affected>) -> Result<Revoked, RegistryError> {
        if affected.is_empty() {
            self.ktm.revoke(&BTreeSet::new(), changes).await?;
            return Ok(Revoked::default());
        }
        let (residuals, schema) = (Arc::clone(&self.residuals), self.schema());
        let mut readers = BTreeSet::new();
        let look = async |scopes: Vec<Arc<ScopeSpec>>| {
            let lost = blocking(move || revocation::lost(&residuals, &schema, &scopes, &affected)).await;
            readers = lost.readers;
            Ok::<_, RegistryError>((lost.scopes, changes))
        };
        let bumps = self.ktm.revoke_with(look).await?.bumps;
        Ok(Revoked { bumps, readers })
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Credentials for Registry {
    fn password_matches(&self, sub: &Sub, password: &[u8]) -> bool {
        self.read().password_matches(sub, password)
    }
}

impl Readers for Registry {
    fn reader(&self, sub: &Sub) -> Option<Arc<Reader>> {
        self.read().reader(sub)
    }
}

impl Registrar {
    fn sees(&self, record: &ReaderRecord) -> bool {
        match self {
            Self::Admin => true,
            Self::App(app) => record.is_of(app),
        }
    }
}

fn merge(current: &Attributes, given: Map<String, Value>) -> Result<Attributes, serde_json::Error> {
    let mut merged = serde_json::to_value(current)?;
    if let Value::Object(attributes) = &mut merged {
        attributes.extend(given);
        attributes.retain(|_, value| !value.is_null());
    }
    serde_json::from_value(merged)
}

#[cfg(test)]
mod tests;
