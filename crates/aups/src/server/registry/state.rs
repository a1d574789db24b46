//! The registrations in memory: what records say, and readers as decision points see them. Nothing here reads or writes.

use super::{ReaderRecord, RegistryError};
use crate::server::digest::Digest;
use aups_core::{GroupName, Principal, ReaderKind, Sub};
use aups_nos::{Reader, ReaderKeys};
use aups_store::{Change, Expect};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

pub(crate) const READER_PREFIX: &str = "reader/";
pub(crate) const GROUP_PREFIX: &str = "group/";

/// A group as it is stored: the groups that hold it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupRecord {
    pub(super) groups: BTreeSet<GroupName>,
}

/// Every registration, as decision points ask for it.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(super) readers: BTreeMap<Sub, Entry>,
    pub(super) groups: BTreeMap<GroupName, BTreeSet<GroupName>>,
    pub(super) tokens: HashMap<Digest, Sub>,
}

/// A reader.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: ReaderRecord,
    /// The same as the decision points see it, with every group that holds one of its groups.
    pub(super) reader: Arc<Reader>,
}

impl Entry {
    /// What its sessions rest on: its rights and its password.
    fn access(&self) -> (Principal, Option<Digest>) {
        let enrolment = self.record.enrolment.as_ref();
        (self.reader.principal.clone(), enrolment.map(|enrolment| enrolment.password_sha256))
    }
}

impl State {
    /// From the records of readers and groups; others are passed over.
    pub(crate) fn of(records: impl IntoIterator<Item = (String, Bytes)>) -> Result<Self, RegistryError> {
        let mut state = Self::default();
        state.apply(records.into_iter().map(|(key, value)| (key, Some(value)))).map(|_| state)
    }

    /// Takes up what records became; `None`: a record is gone. Answers with the readers that were here and are gone, or have
    /// other rights or another password than before.
    pub(crate) fn apply(
        &mut self,
        changes: impl IntoIterator<Item = (String, Option<Bytes>)>,
    ) -> Result<BTreeSet<Sub>, RegistryError> {
        let (mut records, mut groups_changed): (Vec<ReaderRecord>, _) = (Vec::new(), false);
        let mut changed = BTreeSet::new();
        for (key, value) in changes {
            if let Some(Ok(name)) = key.strip_prefix(GROUP_PREFIX).map(str::parse) {
                match value {
                    Some(value) => self.groups.insert(name, parse::<GroupRecord>(&key, &value)?.groups),
                    None => self.groups.remove(&name),
                };
                groups_changed = true;
            } else if let Some(Ok(sub)) = key.strip_prefix(READER_PREFIX).map(str::parse) {
                if let Some(value) = value {
                    records.push(parse(&key, &value)?);
                } else {
                    self.remove(&sub);
                    changed.insert(sub);
                }
            }
        }
        // Apps before their users, whose rights end where the app's do.
        records.sort_by_key(|record| record.app.is_some());
        let apps = records.iter().filter(|record| record.kind == ReaderKind::App);
        let apps: BTreeSet<Sub> = apps.map(|record| record.sub.clone()).collect();
        for record in records {
            let (sub, before) = (record.sub.clone(), self.readers.get(&record.sub).map(Entry::access));
            self.insert(record);
            if before.is_some() && before != self.readers.get(&sub).map(Entry::access) {
                changed.insert(sub);
            }
        }
        changed
            .extend(self.refresh(|record| groups_changed || record.app.as_ref().is_some_and(|app| apps.contains(app))));
        self.no_orphans()?;
        Ok(changed)
    }

    /// The readers that are not in another state, or have other rights or another password there.
    pub(crate) fn differing(&self, other: &Self) -> BTreeSet<Sub> {
        let differs = |(sub, entry): &(&Sub, &Entry)| {
            other.readers.get(*sub).is_none_or(|there| there.access() != entry.access())
        };
        self.readers.iter().filter(differs).map(|(sub, _)| sub.clone()).collect()
    }

    /// A user whose app is not there would have no bound to its rights.
    fn no_orphans(&self) -> Result<(), RegistryError> {
        let is_orphan = |record: &&ReaderRecord| record.app.as_ref().is_some_and(|app| !self.readers.contains_key(app));
        let orphan = self.readers.values().map(|entry| &entry.record).find(is_orphan);
        match orphan.and_then(|record| Some((record.sub.clone(), record.app.clone()?))) {
            None => Ok(()),
            Some((sub, app)) => Err(RegistryError::Orphan { sub, app }),
        }
    }

    /// A registered reader.
    pub(crate) fn reader(&self, sub: &Sub) -> Option<Arc<Reader>> {
        self.readers.get(sub).map(|entry| Arc::clone(&entry.reader))
    }

    /// Whether this is the MQTT password of this reader.
    pub(crate) fn password_matches(&self, sub: &Sub, password: &[u8]) -> bool {
        let digest = Digest::of(password);
        self.readers
            .get(sub)
            .and_then(|entry| entry.record.enrolment.as_ref())
            .is_some_and(|enrolment| enrolment.password_sha256.matches(&digest))
    }

    pub(super) fn insert(&mut self, record: ReaderRecord) {
        self.remove(&record.sub);
        if let Some(token) = &record.token {
            self.tokens.insert(token.sha256, record.sub.clone());
        }
        let reader = Arc::new(self.as_reader(&record));
        self.readers.insert(record.sub.clone(), Entry { record, reader });
    }

    pub(super) fn remove(&mut self, sub: &Sub) {
        if let Some(token) = self.readers.remove(sub).and_then(|entry| entry.record.token) {
            self.tokens.remove(&token.sha256);
        }
    }

    /// The users of an app; nobody but an app has any, and nobody else is looked for.
    pub(super) fn users_of(&self, app: &Sub) -> impl Iterator<Item = &Entry> {
        let is_app = self.readers.get(app).is_some_and(|entry| entry.record.kind == ReaderKind::App);
        self.readers.values().take_while(move |_| is_app).filter(|entry| entry.record.is_of(app))
    }

    /// The same, and the rights of an app's users with it: its bound theirs.
    pub(super) fn insert_with_users(&mut self, record: ReaderRecord) {
        let app = (record.kind == ReaderKind::App).then(|| record.sub.clone());
        self.insert(record);
        if let Some(app) = app {
            self.refresh(|record| record.is_of(&app));
        }
    }

    /// Shows readers as they are now, and answers who changed. Those of whom nothing changed stay the same, so that none of their requests is looked at
    /// again.
    pub(super) fn refresh(&mut self, is_meant: impl Fn(&ReaderRecord) -> bool) -> Vec<Sub> {
        let entries = self.readers.values().filter(|entry| is_meant(&entry.record));
        let changed = entries.filter(|entry| {
            entry.reader.changing || entry.reader.principal != self.principal(&entry.record, &self.groups)
        });
        let changed: Vec<(Sub, Arc<Reader>)> =
            changed.map(|entry| (entry.record.sub.clone(), Arc::new(self.as_reader(&entry.record)))).collect();
        let subs = changed.iter().map(|(sub, _)| sub.clone()).collect();
        for (sub, reader) in changed {
            self.readers.entry(sub).and_modify(|entry| entry.reader = reader);
        }
        subs
    }

    /// Lets readers get no keys for a while, or again.
    pub(super) fn set_changing(&mut self, subs: &[Sub], changing: bool) {
        for sub in subs {
            if let Some(entry) = self.readers.get(sub) {
                let reader = Reader { changing, ..self.as_reader(&entry.record) };
                self.readers.entry(sub.clone()).and_modify(|entry| entry.reader = Arc::new(reader));
            }
        }
    }

    pub(super) fn principal(
        &self,
        record: &ReaderRecord,
        groups: &BTreeMap<GroupName, BTreeSet<GroupName>>,
    ) -> Principal {
        // There is no user without its app: they are removed together, and looked for.
        let app = record.app.as_ref().and_then(|app| self.readers.get(app));
        let app = app.map(|app| Arc::new(self.principal(&app.record, groups)));
        Principal {
            kind: record.kind,
            sub: record.sub.clone(),
            attributes: record.attrs.clone(),
            groups: closure(groups, &record.groups),
            app,
        }
    }

    fn as_reader(&self, record: &ReaderRecord) -> Reader {
        Reader {
            principal: self.principal(record, &self.groups),
            keys: record
                .enrolment
                .as_ref()
                .map(|enrolment| ReaderKeys { signing_key: enrolment.signing_key, kem: enrolment.kem.clone() }),
            changing: false,
        }
    }

    pub(super) fn known_groups(&self, groups: &BTreeSet<GroupName>) -> Result<(), RegistryError> {
        match groups.iter().find(|group| !self.groups.contains_key(*group)) {
            None => Ok(()),
            Some(unknown) => Err(RegistryError::Unknown { what: "group", name: unknown.to_string() }),
        }
    }
}

/// The groups and every group that holds one of them.
pub(crate) fn closure(
    all: &BTreeMap<GroupName, BTreeSet<GroupName>>,
    groups: &BTreeSet<GroupName>,
) -> BTreeSet<GroupName> {
    let mut closure = BTreeSet::new();
    let mut open: Vec<&GroupName> = groups.iter().collect();
    while let Some(group) = open.pop() {
        if closure.insert(group.clone()) {
            open.extend(all.get(group).into_iter().flatten());
        }
    }
    closure
}

pub(super) fn put_reader(record: &ReaderRecord, expect: Expect) -> Change {
    Change::Put { key: reader_key(&record.sub), value: json(record), expect }
}

pub(super) fn reader_key(sub: &Sub) -> String {
    format!("{READER_PREFIX}{sub}")
}

fn parse<T: for<'de> Deserialize<'de>>(key: &str, value: &[u8]) -> Result<T, RegistryError> {
    serde_json::from_slice(value).map_err(|source| RegistryError::Corrupt { key: key.into(), source })
}

pub(super) fn json<T: Serialize>(record: &T) -> Bytes {
    // These records hold texts, numbers and lists only, which JSON always takes.
    serde_json::to_vec(record).unwrap_or_default().into()
}
