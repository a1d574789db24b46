//! A reader that is built on the envelope alone and keeps every key that it ever got.

use super::wire::Session;
use crate::cli::failure::Failure;
use anyhow::Context as _;
use aups_client::SystemClock;
use aups_core::{Clock as _, KeyId};
use aups_envelope::{
    KeyEntry, OpeningKey, SealedMessage,
    identity::IdentityFile,
    key_request::{Freshness, KeyRequest, Wanted, open_key_response},
    random,
};
use serde::Serialize;

/// How a right is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Way {
    /// An attribute is changed.
    Attribute,
    /// It is taken out of a group.
    Group,
    /// It is removed.
    Removal,
}

impl Way {
    pub(super) const ALL: [Self; 3] = [Self::Attribute, Self::Group, Self::Removal];
}

/// A reader of one scope, to whom the same happens each time.
pub(super) struct Reader {
    /// Its number among the readers.
    pub(super) place: usize,
    pub(super) scope: usize,
    pub(super) way: Way,
    pub(super) identity: IdentityFile,
    pub(super) session: Option<Session>,
    /// It has to be registered again.
    pub(super) is_removed: bool,
    keys: Vec<KeyEntry>,
}

impl Reader {
    pub(super) const fn new(place: usize, scope: usize, way: Way, identity: IdentityFile) -> Self {
        Self { place, scope, way, identity, session: None, is_removed: false, keys: Vec::new() }
    }

    pub(super) fn sub(&self) -> &str {
        self.identity.sub.as_str()
    }

    /// Where an administrator finds it.
    pub(super) fn path(&self) -> String {
        format!("/v1/users/{}", self.sub())
    }

    /// A signed request for keys.
    pub(super) fn request(&self, wanted: &[KeyId]) -> String {
        let want = wanted.iter().map(|key_id| Wanted { key_id: *key_id, topic: String::new() }).collect();
        let IdentityFile { realm, sub, signing_key, .. } = &self.identity;
        let freshness = Freshness::IssuedAt(SystemClock.now());
        KeyRequest { aud: *realm, sub: sub.clone(), freshness, jti: random(), want }.sign(signing_key)
    }

    /// Keeps what an answer to that grants: how many keys. Any other answer than one of keys grants none.
    pub(super) fn take(&mut self, request: &str, status: u16, answer: &[u8]) -> Result<usize, Failure> {
        if !matches!(status, 200 | 403) {
            return Ok(0);
        }
        let IdentityFile { realm_key, kem, .. } = &self.identity;
        let opened = open_key_response(request.as_bytes(), answer, realm_key, kem, SystemClock.now())
            .context("the answer to a key request is not taken")?;
        let before = self.keys.len();
        self.keys.extend(opened.grants.keys.into_iter().chain(opened.grants.next));
        Ok(self.keys.len() - before)
    }

    /// Whether any key that it holds opens a message, also if the message names another key.
    pub(super) fn opens(&self, topic: &str, message: &SealedMessage<'_>) -> bool {
        let header = message.header();
        let opens = |entry: &KeyEntry| {
            OpeningKey::new(entry, header.publisher, header.session).open(topic, message, None).is_ok()
        };
        self.keys.iter().any(|entry| opens(entry) || opens(&KeyEntry { key_id: header.key_id, ..entry.duplicate() }))
    }
}
