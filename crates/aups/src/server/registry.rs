//! Who is registered: users, apps and groups, kept in the store and looked up in memory.
//!
//! Records: `reader/<sub>` and `group/<name>`, JSON. Every change is written first and seen after, under one lock, so
//! that what memory says is never ahead of the disk.

use super::digest::Digest;
use aups_core::{Attributes, Clock, GroupName, Principal, ReaderKind, Sub, UnixMillis};
use aups_envelope::{Secret, VerifyingKey, kem::KemPublicKey};
use aups_nos::{Reader, ReaderKeys, Readers};
use aups_policy::{AttributeError, Schema};
use aups_store::{Change, Expect, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};
use thiserror::Error;

const READER_PREFIX: &str = "reader/";
const GROUP_PREFIX: &str = "group/";
/// How long an enrolment token holds.
pub(crate) const TOKEN_LIFE: Duration = Duration::from_mins(15);
/// Most readers that one realm registers in this version: all are kept in memory.
pub(crate) const READERS_MAX: usize = 100_000;

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
    #[error("the enrolment token is unknown, used or expired")]
    Token,
    #[error("an attribute is not as the schema has it: {0}")]
    Attributes(serde_json::Error),
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    #[error("the registration could not be stored")]
    Store(#[from] StoreError),
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enrolment: Option<Enrolment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<PendingToken>,
}

impl ReaderRecord {
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

/// A group as it is stored: the groups that hold it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupRecord {
    groups: BTreeSet<GroupName>,
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

/// The registrations of a realm.
#[derive(Debug)]
pub(crate) struct Registry {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// Held over a change from reading to writing: changes are rare and go one by one.
    changes: tokio::sync::Mutex<()>,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    readers: BTreeMap<Sub, Entry>,
    groups: BTreeMap<GroupName, BTreeSet<GroupName>>,
    tokens: HashMap<Digest, Sub>,
}

#[derive(Debug)]
struct Entry {
    record: ReaderRecord,
    /// The same as the decision points see it, with every group that holds one of its groups.
    reader: Arc<Reader>,
}

impl Registry {
    /// Reads what is stored.
    pub(crate) async fn open(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Result<Self, RegistryError> {
        let mut state = State::default();
        for (key, value) in store.list(GROUP_PREFIX).await?.0 {
            let record: GroupRecord = parse(&key, &value.value)?;
            if let Some(Ok(name)) = key.strip_prefix(GROUP_PREFIX).map(str::parse) {
                state.groups.insert(name, record.groups);
            }
        }
        for (key, value) in store.list(READER_PREFIX).await?.0 {
            state.insert(parse(&key, &value.value)?);
        }
        Ok(Self { store, clock, changes: tokio::sync::Mutex::new(()), state: RwLock::new(state) })
    }

    /// Registers a reader and gives out its first enrolment token.
    pub(crate) async fn add(
        &self,
        kind: ReaderKind,
        sub: Sub,
        attrs: Attributes,
        groups: BTreeSet<GroupName>,
        schema: &Schema,
    ) -> Result<(ReaderRecord, IssuedToken), RegistryError> {
        schema.check_attributes(&attrs)?;
        let _change = self.changes.lock().await;
        {
            let state = self.read();
            if state.readers.contains_key(&sub) {
                return Err(RegistryError::Exists(sub.to_string()));
            }
            if state.readers.len() >= READERS_MAX {
                return Err(RegistryError::Full);
            }
            state.known_groups(&groups)?;
        }
        let (issued, token) = self.new_token();
        let record = ReaderRecord { kind, sub, attrs, groups, enrolment: None, token: Some(token) };
        self.write_reader(&record, Expect::Absent).await?;
        Ok((record, issued))
    }

    /// Gives out a new enrolment token; what the reader has goes on until the token is used.
    pub(crate) async fn new_enrolment_token(
        &self,
        kind: ReaderKind,
        sub: &Sub,
    ) -> Result<(ReaderRecord, IssuedToken), RegistryError> {
        let _change = self.changes.lock().await;
        let mut record = self.get(kind, sub)?;
        let (issued, token) = self.new_token();
        record.token = Some(token);
        self.write_reader(&record, Expect::Any).await?;
        Ok((record, issued))
    }

    /// Changes attributes (each one given replaces the old one, null takes it back to its default) and groups (all at
    /// once).
    pub(crate) async fn change(
        &self,
        kind: ReaderKind,
        sub: &Sub,
        change: ReaderChange,
        schema: &Schema,
    ) -> Result<ReaderRecord, RegistryError> {
        let _change = self.changes.lock().await;
        let mut record = self.get(kind, sub)?;
        record.attrs = merge(&record.attrs, change.attrs).map_err(RegistryError::Attributes)?;
        schema.check_attributes(&record.attrs)?;
        if let Some(groups) = change.groups {
            self.read().known_groups(&groups)?;
            record.groups = groups;
        }
        self.write_reader(&record, Expect::Any).await?;
        Ok(record)
    }

    /// Removes a reader: from now on it is unknown everywhere.
    pub(crate) async fn remove(&self, kind: ReaderKind, sub: &Sub) -> Result<(), RegistryError> {
        let _change = self.changes.lock().await;
        self.get(kind, sub)?;
        self.store.commit(vec![Change::Delete { key: reader_key(sub), expect: Expect::Any }]).await?;
        self.write().remove(sub);
        Ok(())
    }

    /// Uses an enrolment token up: its reader now has these keys and this password.
    pub(crate) async fn enrol(
        &self,
        token: &Secret<32>,
        signing_key: VerifyingKey,
        kem: KemPublicKey,
        password: &str,
    ) -> Result<ReaderRecord, RegistryError> {
        let _change = self.changes.lock().await;
        let digest = Digest::of(token.expose());
        let sub = self.read().tokens.get(&digest).cloned().ok_or(RegistryError::Token)?;
        let mut record = self.find(&sub).ok_or(RegistryError::Token)?;
        let valid = record.token.take().is_some_and(|t| t.sha256 == digest && self.clock.now() < t.expires);
        if !valid {
            return Err(RegistryError::Token);
        }
        record.enrolment = Some(Enrolment { signing_key, kem, password_sha256: Digest::of(password.as_bytes()) });
        self.write_reader(&record, Expect::Any).await?;
        Ok(record)
    }

    /// One reader of a kind.
    pub(crate) fn get(&self, kind: ReaderKind, sub: &Sub) -> Result<ReaderRecord, RegistryError> {
        self.find(sub).filter(|record| record.kind == kind).ok_or_else(|| RegistryError::Unknown {
            what: match kind {
                ReaderKind::User => "user",
                ReaderKind::App => "app",
            },
            name: sub.to_string(),
        })
    }

    /// All readers of a kind, by name.
    pub(crate) fn readers(&self, kind: ReaderKind) -> Vec<ReaderRecord> {
        self.read().readers.values().filter(|e| e.record.kind == kind).map(|e| e.record.clone()).collect()
    }

    /// Whether this is the MQTT password of this reader.
    pub(crate) fn password_matches(&self, sub: &Sub, password: &[u8]) -> bool {
        let digest = Digest::of(password);
        self.read()
            .readers
            .get(sub)
            .and_then(|entry| entry.record.enrolment.as_ref())
            .is_some_and(|enrolment| enrolment.password_sha256.matches(&digest))
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
        self.write_group(name, within, Expect::Absent).await
    }

    /// Puts a group into other groups instead of those that it was in.
    pub(crate) async fn change_group(&self, name: GroupName, within: BTreeSet<GroupName>) -> Result<(), RegistryError> {
        let _change = self.changes.lock().await;
        {
            let state = self.read();
            state.known_groups(&BTreeSet::from([name.clone()]))?;
            state.known_groups(&within)?;
            if state.closure(&within).contains(&name) {
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
        self.store.commit(vec![Change::Delete { key: format!("{GROUP_PREFIX}{name}"), expect: Expect::Any }]).await?;
        self.write().groups.remove(name);
        Ok(())
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

    async fn write_reader(&self, record: &ReaderRecord, expect: Expect) -> Result<(), RegistryError> {
        let change = Change::Put { key: reader_key(&record.sub), value: json(record), expect };
        self.store.commit(vec![change]).await?;
        self.write().insert(record.clone());
        Ok(())
    }

    async fn write_group(
        &self,
        name: GroupName,
        within: BTreeSet<GroupName>,
        expect: Expect,
    ) -> Result<(), RegistryError> {
        let value = json(&GroupRecord { groups: within.clone() });
        self.store.commit(vec![Change::Put { key: format!("{GROUP_PREFIX}{name}"), value, expect }]).await?;
        let mut state = self.write();
        state.groups.insert(name, within);
        state.rebuild();
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Readers for Registry {
    fn reader(&self, sub: &Sub) -> Option<Arc<Reader>> {
        self.read().readers.get(sub).map(|entry| Arc::clone(&entry.reader))
    }
}

impl State {
    fn insert(&mut self, record: ReaderRecord) {
        self.remove(&record.sub);
        if let Some(token) = &record.token {
            self.tokens.insert(token.sha256, record.sub.clone());
        }
        let reader = Arc::new(self.as_reader(&record));
        self.readers.insert(record.sub.clone(), Entry { record, reader });
    }

    fn remove(&mut self, sub: &Sub) {
        if let Some(token) = self.readers.remove(sub).and_then(|entry| entry.record.token) {
            self.tokens.remove(&token.sha256);
        }
    }

    /// After a change of groups: every reader's closure anew.
    fn rebuild(&mut self) {
        let records: Vec<ReaderRecord> = self.readers.values().map(|entry| entry.record.clone()).collect();
        for record in records {
            self.insert(record);
        }
    }

    fn as_reader(&self, record: &ReaderRecord) -> Reader {
        Reader {
            principal: Principal {
                kind: record.kind,
                sub: record.sub.clone(),
                attributes: record.attrs.clone(),
                groups: self.closure(&record.groups),
            },
            keys: record
                .enrolment
                .as_ref()
                .map(|enrolment| ReaderKeys { signing_key: enrolment.signing_key, kem: enrolment.kem.clone() }),
            changing: false,
        }
    }

    /// The groups and every group that holds one of them.
    fn closure(&self, groups: &BTreeSet<GroupName>) -> BTreeSet<GroupName> {
        let mut closure = BTreeSet::new();
        let mut open: Vec<&GroupName> = groups.iter().collect();
        while let Some(group) = open.pop() {
            if closure.insert(group.clone()) {
                open.extend(self.groups.get(group).into_iter().flatten());
            }
        }
        closure
    }

    fn known_groups(&self, groups: &BTreeSet<GroupName>) -> Result<(), RegistryError> {
        match groups.iter().find(|group| !self.groups.contains_key(*group)) {
            None => Ok(()),
            Some(unknown) => Err(RegistryError::Unknown { what: "group", name: unknown.to_string() }),
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

fn reader_key(sub: &Sub) -> String {
    format!("{READER_PREFIX}{sub}")
}

fn parse<T: for<'de> Deserialize<'de>>(key: &str, value: &[u8]) -> Result<T, RegistryError> {
    serde_json::from_slice(value).map_err(|source| RegistryError::Corrupt { key: key.into(), source })
}

fn json<T: Serialize>(record: &T) -> bytes::Bytes {
    // These records hold texts, numbers and lists only, which JSON always takes.
    serde_json::to_vec(record).unwrap_or_default().into()
}

#[cfg(test)]
mod tests;
