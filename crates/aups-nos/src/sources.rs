//! Registered sources: their records, their credentials, and the tokens that let a new one in.
//!
//! Kept in the [`Store`] under `source/<NodeId>` and `source-invite/<hash of the token>`, and in memory, where the data path
//! looks a credential up without waiting. No secret of a source is kept: its credential and its key are derived from one master, which
//! is kept wrapped, and from its credential id. A new id makes the secrets of before worthless. Of a token only the SHA-256 is kept: it is
//! 32 random bytes, so that nothing can be guessed from the hash.

mod scheme;
pub(crate) mod sealing;

pub use scheme::{EncryptionScheme, UnknownScheme};

use crate::settings::Registration;
use aups_core::{Clock, KeyId, Marks, NodeId, Suite, UnixMillis, item::Source};
use aups_envelope::{KeyT, SealedMessage, Secret, SourceMaster, SourceOpener, b64, hash};
use aups_store::{Change, Expect, Store, StoreError};
use bytes::Bytes;
use sealing::{Raised, SealingSource, mark_key, read_mark};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex as StdMutex, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use thiserror::Error;
use tokio::sync::{Mutex, watch};

/// How long an invitation holds.
pub const INVITE_LIFE: Duration = Duration::from_hours(24);
/// Most invitations that are open at a time.
const INVITES_MAX: usize = 10_000;
/// Most labels and tags of a source together.
pub const MARKS_MAX: usize = 32;
/// Longest label, and name or text of a tag, in characters.
pub const MARK_CHARS_MAX: usize = 64;
/// Keys that are replaced or removed, of which the marks are still to be cleared away; those of more are at the next start.
const RETIRED_MAX: usize = 1_024;
const SOURCE_PREFIX: &str = "source/";
const INVITE_PREFIX: &str = "source-invite/";

/// A registered source, as it is kept. JSON in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceRecord {
    /// Its name.
    pub node_id: NodeId,
    /// For instance `sensor`.
    pub node_type: Box<str>,
    /// For instance `discrete`.
    pub communication_mode: Box<str>,
    /// How it may seal what it sends.
    pub encryption_scheme: EncryptionScheme,
    /// Names its credential and its key: 24 random bytes.
    pub credential_id: KeyId,
    /// When it registered.
    pub registered_at: UnixMillis,
    /// What an administrator says of it.
    #[serde(default)]
    pub marks: Marks,
}

impl SourceRecord {
    /// As it stands in its items.
    pub fn source(&self) -> Source {
        Source {
            node_id: self.node_id.as_str().into(),
            node_type: self.node_type.clone(),
            communication_mode: self.communication_mode.clone(),
            registered: true,
        }
    }
}

/// What a registration asks for, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSource {
    /// Its name.
    pub node_id: NodeId,
    /// For instance `sensor`.
    pub node_type: Box<str>,
    /// For instance `discrete`.
    pub communication_mode: Box<str>,
    /// How it may seal what it sends.
    pub encryption_scheme: EncryptionScheme,
}

/// A registration that was done: what the source is told, once.
#[derive(Debug)]
pub struct Registered {
    /// Its record.
    pub record: Arc<SourceRecord>,
    /// The secret that it sends as Bearer.
    pub credential: Secret<32>,
    /// What it seals with, if it does.
    pub key: Option<KeyT>,
}

/// The same as JSON, secrets included: the body of the answer, which is to be stored nowhere.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(rename = "NodeId")]
    node_id: &'a NodeId,
    #[serde(rename = "credentialId")]
    credential_id: KeyId,
    credential: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    suite: Option<Suite>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl Registered {
    /// What the source is told: `{"NodeId","credentialId","credential"[,"suite","key"]}`.
    pub fn told(&self) -> impl Serialize {
        let Self { record, credential, key } = self;
        Told {
            node_id: &record.node_id,
            credential_id: record.credential_id,
            credential: b64::encode(credential.expose()),
            suite: record.encryption_scheme.suite(),
            key: key.as_ref().map(|key| b64::encode(key.expose())),
        }
    }
}

/// Why a registration or its removal was not done.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourcesError {
    /// The source's fault, or a second try: the name is taken.
    #[error("a source of this NodeId is registered already")]
    Exists,
    /// The source's fault: no token, or one that is unknown, used or out of date.
    #[error("registration here takes a one-time token as Bearer")]
    Token,
    /// A limit of this NOS.
    #[error("no more sources or invitations are taken")]
    Full,
    /// The administrator's fault.
    #[error("a source has at most {MARKS_MAX} labels and tags, of 1 to {MARK_CHARS_MAX} characters each")]
    Marks,
    /// The store's fault.
    #[error("the store did not do it")]
    Store(#[from] StoreError),
    /// The store's fault: a record that cannot be read.
    #[error(
        "the record `{key}` cannot be read: it is damaged, or an earlier build wrote it; restore a backup of this one"
    )]
    Record {
        /// Where it is kept.
        key: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// The registered sources of this NOS. One owner per store.
#[derive(Debug)]
pub struct Sources {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    master: SourceMaster,
    registration: Registration,
    registrations_max: AtomicUsize,
    known: RwLock<Known>,
    /// Keys that hold no more, of which marks may be kept.
    retired: StdMutex<Vec<KeyId>>,
    /// A name that no source may have.
    reserved: Option<NodeId>,
    /// Held over a change from reading to what memory says after it.
    changes: Mutex<()>,
    /// Counts changes of marks.
    marked: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    by_name: HashMap<NodeId, Arc<SourceRecord>>,
    /// By the SHA-256 of the credential.
    by_credential: HashMap<[u8; 32], Arc<SourceRecord>>,
    /// Those that seal.
    sealing: HashMap<KeyId, SealingSource>,
}

impl Known {
    fn insert(&mut self, record: Arc<SourceRecord>, master: &SourceMaster) {
        self.by_credential.insert(credential_hash(master, &record), Arc::clone(&record));
        if let Some(suite) = record.encryption_scheme.suite() {
            let before = self.sealing.remove(&record.credential_id);
            let taken = before.map(|before| before.taken).unwrap_or_default();
            let sealing = SealingSource { record: Arc::clone(&record), suite, taken };
            self.sealing.insert(record.credential_id, sealing);
        }
        self.by_name.insert(record.node_id.clone(), record);
    }

    fn remove(&mut self, record: &SourceRecord, master: &SourceMaster) {
        self.by_credential.remove(&credential_hash(master, record));
        self.sealing.remove(&record.credential_id);
        self.by_name.remove(&record.node_id);
    }
}

fn credential_hash(master: &SourceMaster, record: &SourceRecord) -> [u8; 32] {
    hash::sha256(&[master.credential(&record.node_id, &record.credential_id).expose()])
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Invite {
    expires: UnixMillis,
}

impl Sources {
    /// From now on there may be so many registered sources. Those that there are stay.
    pub(crate) fn set_registrations_max(&self, sources_max: usize) {
        self.registrations_max.store(sources_max, Ordering::Relaxed);
    }

    /// Reads all registrations, and derives their credentials: about 2 µs each.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        master: SourceMaster,
        registration: Registration,
        registrations_max: usize,
    ) -> Result<Self, SourcesError> {
        let mut known = Known::default();
        let (records, _) = store.list(SOURCE_PREFIX).await?;
        for (key, record) in records {
            let record =
                serde_json::from_slice(&record.value).map_err(|source| SourcesError::Record { key, source })?;
            known.insert(Arc::new(record), &master);
        }
        Ok(Self {
            store,
            clock,
            master,
            registration,
            registrations_max: registrations_max.into(),
            known: RwLock::new(known),
            retired: StdMutex::default(),
            reserved: None,
            changes: Mutex::default(),
            marked: watch::channel(0).0,
        })
    }

    /// Keeps a name from sources: that of the NOS itself, which speaks under it.
    #[must_use]
    pub(crate) fn reserving(self, name: Option<NodeId>) -> Self {
        Self { reserved: name, ..self }
    }

    /// The source that a credential, as it came in a request, belongs to. Memory only, about 0.5 µs.
    pub fn authenticate(&self, credential: &str) -> Option<Arc<SourceRecord>> {
        let secret = b64::decode_array::<32>(credential).ok()?;
        // The look-up is by a hash whose preimage is secret: its timing tells nothing that helps to guess the credential.
        self.read().by_credential.get(&hash::sha256(&[&secret])).cloned()
    }

    /// The source that sealed a message, and the plaintext. `None`: nobody who is registered. About 3 µs, and the AEAD.
    pub(crate) fn open_sealed(&self, message: &SealedMessage<'_>) -> Option<(SealingSource, Vec<u8>)> {
        let header = message.header();
        let source = self.read().sealing.get(&header.key_id).cloned()?;
        let node = &source.record.node_id;
        let key = self.master.key(node, source.suite, &header.key_id);
        let opener = SourceOpener::new(node, source.suite, &key, header.key_id, header.session);
        let plaintext = opener.open(message).ok()?;
        Some((source, plaintext))
    }

    /// Goes on from the marks that were kept. Gives the keys of those that are nobody's any more.
    pub(crate) fn restore_marks(&self, marks: Vec<(Bytes, Bytes)>) -> Vec<Bytes> {
        let known = self.read();
        let mut left_over = Vec::new();
        for (key, value) in marks {
            match read_mark(&key, &value).and_then(|(id, place)| Some((known.sealing.get(&id)?, place))) {
                Some((source, place)) => source.raise(place).into_iter().for_each(Raised::keep),
                None => left_over.push(key),
            }
        }
        left_over
    }

    /// Keys of marks that may be cleared away since the last call.
    pub(crate) fn take_retired(&self) -> Vec<Bytes> {
        let retired = std::mem::take(&mut *self.retired.lock().unwrap_or_else(PoisonError::into_inner));
        retired.iter().map(mark_key).collect()
    }

    /// Whatever is sealed or shown under this credential id is worth nothing from now on.
    fn retire(&self, record: &SourceRecord) {
        self.write().remove(record, &self.master);
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        if record.encryption_scheme != EncryptionScheme::None && retired.len() < RETIRED_MAX {
            retired.push(record.credential_id);
        }
    }

    /// Registers a source. `token` is needed where registration takes one, and used up by it.
    pub async fn register(&self, new: NewSource, token: Option<&str>) -> Result<Registered, SourcesError> {
        let _change = self.changes.lock().await;
        let mut changes = Vec::with_capacity(2);
        if self.registration == Registration::Token {
            changes.push(self.redeem(token).await?);
        }
        if self.reserved.as_ref() == Some(&new.node_id) || self.read().by_name.contains_key(&new.node_id) {
            return Err(SourcesError::Exists);
        }
        if self.read().by_name.len() >= self.registrations_max.load(Ordering::Relaxed) {
            return Err(SourcesError::Full);
        }
        let record = Arc::new(SourceRecord {
            node_id: new.node_id,
            node_type: new.node_type,
            communication_mode: new.communication_mode,
            encryption_scheme: new.encryption_scheme,
            credential_id: KeyId::from_bytes(hash::random()),
            registered_at: self.clock.now(),
            marks: Marks::default(),
        });
        let (key, value) = stored(&record)?;
        changes.push(Change::put(key.clone(), value, Expect::Absent));
        self.store.commit(changes).await.map_err(|error| match error {
            StoreError::Conflict { key: conflict } if conflict == key => SourcesError::Exists,
            StoreError::Conflict { .. } => SourcesError::Token,
            error => error.into(),
        })?;
        self.write().insert(Arc::clone(&record), &self.master);
        Ok(self.registered(record))
    }

    /// Gives a source other secrets: those of before are worth nothing from now on. `None` if there is no source of this name.
    pub async fn rotate(&self, node_id: &NodeId) -> Result<Option<Registered>, SourcesError> {
        let _change = self.changes.lock().await;
        let Some(before) = self.get(node_id) else { return Ok(None) };
        let credential_id = KeyId::from_bytes(hash::random());
        let record = Arc::new(SourceRecord { credential_id, ..(*before).clone() });
        let (key, value) = stored(&record)?;
        self.store.put_if(&key, value.into(), Expect::Any).await?;
        self.retire(&before);
        self.write().insert(Arc::clone(&record), &self.master);
        Ok(Some(self.registered(record)))
    }

    fn registered(&self, record: Arc<SourceRecord>) -> Registered {
        let SourceRecord { node_id, credential_id, .. } = &*record;
        let credential = self.master.credential(node_id, credential_id);
        let suite = record.encryption_scheme.suite();
        let key = suite.map(|suite| self.master.key(node_id, suite, credential_id));
        Registered { record, credential, key }
    }

    /// Whether a token would be taken; `true` where none is needed.
    pub async fn may_register(&self, token: Option<&str>) -> Result<bool, SourcesError> {
        match self.registration {
            Registration::Open => Ok(true),
            Registration::Token => match self.redeem(token).await {
                Ok(_) => Ok(true),
                Err(SourcesError::Token) => Ok(false),
                Err(error) => Err(error),
            },
        }
    }

    /// Makes a one-time token that lets one source register within [`INVITE_LIFE`].
    pub async fn invite(&self) -> Result<String, SourcesError> {
        let now = self.clock.now();
        let (open, _) = self.store.list(INVITE_PREFIX).await?;
        let outdated = open.iter().filter(|(_, invite)| !holds(&invite.value, now));
        let mut changes: Vec<_> = outdated.map(|(key, _)| Change::delete(key.clone(), Expect::Any)).collect();
        if open.len() - changes.len() >= INVITES_MAX {
            return Err(SourcesError::Full);
        }
        let token = Secret::<32>::random();
        let key = invite_key(token.expose());
        let invite = serde_json::to_vec(&Invite { expires: now.plus(INVITE_LIFE) })
            .map_err(|source| SourcesError::Record { key: key.clone(), source })?;
        changes.push(Change::put(key, invite, Expect::Absent));
        self.store.commit(changes).await?;
        Ok(b64::encode(token.expose()))
    }

    /// All registered sources, by name.
    pub fn list(&self) -> Vec<Arc<SourceRecord>> {
        let mut all: Vec<_> = self.read().by_name.values().cloned().collect();
        all.sort_unstable_by(|a, b| a.node_id.cmp(&b.node_id));
        all
    }

    /// One source.
    pub fn get(&self, node_id: &NodeId) -> Option<Arc<SourceRecord>> {
        self.read().by_name.get(node_id).cloned()
    }

    /// Removes a source: its credential is worth nothing from now on. `false` if there is none of this name.
    pub async fn remove(&self, node_id: &NodeId) -> Result<bool, SourcesError> {
        let _change = self.changes.lock().await;
        let Some(record) = self.get(node_id) else { return Ok(false) };
        self.store.delete_if(&source_key(node_id), Expect::Any).await?;
        self.retire(&record);
        self.marked.send_modify(|count| *count += 1);
        Ok(true)
    }

    /// Says of a source what policies may ask: labels and tags, each all at once; what is `None` stays. What is sealed from then
    /// on is for whom the policies let read it now. `None` if there is no source of this name.
    pub async fn mark(
        &self,
        node_id: &NodeId,
        labels: Option<BTreeSet<String>>,
        tags: Option<BTreeMap<String, String>>,
    ) -> Result<Option<Arc<SourceRecord>>, SourcesError> {
        let _change = self.changes.lock().await;
        let Some(before) = self.get(node_id) else { return Ok(None) };
        let marks = Marks {
            labels: labels.unwrap_or_else(|| before.marks.labels.clone()),
            tags: tags.unwrap_or_else(|| before.marks.tags.clone()),
        };
        check_marks(&marks)?;
        let record = Arc::new(SourceRecord { marks, ..(*before).clone() });
        let (key, value) = stored(&record)?;
        self.store.put_if(&key, value.into(), Expect::Any).await?;
        self.write().insert(Arc::clone(&record), &self.master);
        self.marked.send_modify(|count| *count += 1);
        Ok(Some(record))
    }

    /// Moves when marks change.
    pub(crate) fn marked(&self) -> watch::Receiver<u64> {
        self.marked.subscribe()
    }

    /// The change that uses a token up, if it holds.
    async fn redeem(&self, token: Option<&str>) -> Result<Change, SourcesError> {
        let token = token.and_then(|token| b64::decode_array::<32>(token).ok()).ok_or(SourcesError::Token)?;
        let key = invite_key(&token);
        let invite = self.store.get(&key).await?.ok_or(SourcesError::Token)?;
        if holds(&invite.value, self.clock.now()) {
            Ok(Change::delete(key, Expect::Revision(invite.revision)))
        } else {
            Err(SourcesError::Token)
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_marks(marks: &Marks) -> Result<(), SourcesError> {
    let texts = marks.labels.iter().chain(marks.tags.keys()).chain(marks.tags.values());
    let sound = marks.labels.len() + marks.tags.len() <= MARKS_MAX
        && texts.into_iter().all(|text| (1..=MARK_CHARS_MAX).contains(&text.chars().count()));
    if sound { Ok(()) } else { Err(SourcesError::Marks) }
}

/// A record and where it is kept.
fn stored(record: &SourceRecord) -> Result<(String, Vec<u8>), SourcesError> {
    let key = source_key(&record.node_id);
    match serde_json::to_vec(record) {
        Ok(value) => Ok((key, value)),
        Err(source) => Err(SourcesError::Record { key, source }),
    }
}

fn source_key(node_id: &NodeId) -> String {
    format!("{SOURCE_PREFIX}{node_id}")
}

fn invite_key(token: &[u8; 32]) -> String {
    format!("{INVITE_PREFIX}{}", b64::encode(&hash::sha256(&[token])))
}

fn holds(invite: &[u8], now: UnixMillis) -> bool {
    serde_json::from_slice::<Invite>(invite).is_ok_and(|invite| now < invite.expires)
}

#[cfg(test)]
mod tests;
