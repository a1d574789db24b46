//! A realm in memory for tests: its key, a NOS with its certificate, scopes with their keys, and a reader.

use crate::Identity;
use aups_core::{
    Bump, Epoch, Flags, KeyId, NosId, PublisherSlot, ReaderKind, ScopeId, ScopeTag, Session, Suite, Topic, UnixMillis,
};
use aups_envelope::{
    ContentType, KeyEntry, KeyTerms, Plaintext, SealingKey, Secret, SigningKey, Spelling, VerifyingKey,
    enrol::MqttAccess,
    identity::IdentityFile,
    kem::{Kem, KemPublicKey},
    key_request::{Certificate, Grants, KeyRequest, seal_key_response},
    realm_id,
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::atomic::{AtomicU32, Ordering},
};

/// Life of every key.
pub(crate) const LIFE_MS: u64 = 300_000;
/// Scopes from here on demand signatures.
pub(crate) const SIGNED_SCOPES: u8 = 100;
/// When tests begin: in the middle of an epoch.
pub(crate) const START: UnixMillis = UnixMillis(6_000_000 * LIFE_MS + LIFE_MS / 2);

/// The seeds are fixed, so that a realm and an identity made apart fit together.
fn realm_key() -> SigningKey {
    SigningKey::from_seed(Secret::from_bytes([1; 32]))
}

/// The reader `alice` of the realm.
pub(crate) fn identity(server: &str, broker: &str) -> Identity {
    let realm_key = realm_key().public();
    Identity {
        file: IdentityFile {
            kind: ReaderKind::User,
            sub: "alice".parse().expect("a name"),
            realm: realm_id(&realm_key),
            realm_key,
            server: server.into(),
            mqtt: MqttAccess { url: broker.into(), username: "alice".into(), password: "secret".into() },
            ca: None,
            signing_key: SigningKey::from_seed(Secret::from_bytes([2; 32])),
            kem: aups_envelope::kem::KemSecretKey::from_bytes(Kem::X25519, Secret::from_bytes([3; 32])),
        },
    }
}

/// A realm with one NOS, which answers for the KTM as well.
pub(crate) struct Realm {
    root: SigningKey,
    nos: NosId,
    signing_key: SigningKey,
    pub(crate) publisher: PublisherSlot,
    pub(crate) session: Session,
    sealing: HashMap<KeyId, SealingKey>,
    /// Scopes that the reader may not have.
    pub(crate) forbidden: BTreeSet<u8>,
    /// Whether the NOS is listed as a publisher.
    pub(crate) listed: bool,
    /// What the NOS says wrongly of the keys that it gives.
    pub(crate) alter_terms: Option<fn(&mut KeyTerms)>,
    /// How far the NOS's clock is ahead.
    pub(crate) ahead_ms: i64,
    /// Counts items.
    items: AtomicU32,
    topic_seqs: HashMap<(String, u8), u32>,
}

impl Realm {
    pub(crate) fn new() -> Self {
        Self {
            root: realm_key(),
            nos: "nos-1".parse().expect("a name"),
            signing_key: SigningKey::generate(),
            publisher: PublisherSlot(7),
            session: Session::new(1, 42),
            sealing: HashMap::new(),
            forbidden: BTreeSet::new(),
            listed: true,
            alter_terms: None,
            ahead_ms: 0,
            items: AtomicU32::new(0),
            topic_seqs: HashMap::new(),
        }
    }

    /// From here on it is not the realm that it says it is.
    pub(crate) fn forge(&mut self) {
        self.root = SigningKey::generate();
    }

    /// The key of a scope, which is named by one byte, at a time.
    pub(crate) fn entry(scope: u8, epoch: Epoch) -> KeyEntry {
        let nbf = UnixMillis(u64::from(epoch.0) * LIFE_MS);
        let exp = UnixMillis(nbf.0 + LIFE_MS);
        let terms = KeyTerms {
            suite: Suite::default(),
            flags: if scope >= SIGNED_SCOPES { Flags::SIGNED } else { Flags::NONE },
            scope: ScopeId::from_bytes([scope; 32]),
            epoch,
            bump: Bump(0),
            nbf,
            exp,
            dec: UnixMillis(exp.0 + 7 * 86_400_000),
        };
        let key_t = Secret::from_bytes(aups_envelope::sha256(&[&[scope], &epoch.0.to_be_bytes()]));
        KeyEntry::new(ScopeTag::from_bytes([scope; 8]), key_t, terms, nbf)
    }

    pub(crate) fn epoch_at(now: UnixMillis) -> Epoch {
        Epoch(u32::try_from(now.0 / LIFE_MS).expect("an epoch of our days"))
    }

    /// An item of its own id.
    pub(crate) fn item(&self, accuracy: f64) -> String {
        let number = self.items.fetch_add(1, Ordering::Relaxed);
        format!(
            r#"{{"id":"01890a5d-ac96-774b-bcce-{number:012x}","source":{{"nodeId":"s1","nodeType":"sensor","communicationMode":"discrete","registered":true}},"schema":"default","receivedAt":"2026-01-31T12:00:00.000Z","data":{{"name":"t","value":{number}}},"security":{{"confidentiality":0.0,"integrity":0.7,"privacy":0.5,"authentication":0.9}},"quality":{{"accuracy":{accuracy},"precision":0.8,"timeliness":1.0,"completeness":1.0}}}}"#
        )
    }

    /// Seals an item of its own.
    pub(crate) fn publish(&mut self, topic: &str, scope: u8, now: UnixMillis) -> Vec<u8> {
        let item = self.item(0.9);
        self.seal(topic, scope, now, item.as_bytes())
    }

    /// Seals anything.
    pub(crate) fn seal(&mut self, topic: &str, scope: u8, now: UnixMillis, bytes: &[u8]) -> Vec<u8> {
        let entry = Self::entry(scope, Self::epoch_at(now));
        let (publisher, session) = (self.publisher, self.session);
        let key = self.sealing.entry(entry.key_id).or_insert_with(|| SealingKey::new(&entry, publisher, session));
        let next = self.topic_seqs.entry((topic.into(), scope)).or_insert(0);
        let topic_seq = *next;
        *next += 1;
        let plaintext = Plaintext { topic, topic_seq, ts: now, content: ContentType::Json, bytes, pad_bytes: 0 };
        key.seal(&plaintext, Some(&self.signing_key), Spelling::Json).expect("sealed")
    }

    /// Answers a key request as a NOS does: status and body.
    pub(crate) fn answer(
        &self,
        reader: (&VerifyingKey, &KemPublicKey),
        request: &str,
        now: UnixMillis,
    ) -> (u16, String) {
        let now = UnixMillis(now.0.checked_add_signed(self.ahead_ms).expect("in range"));
        let asked = KeyRequest::verify(request.as_bytes(), reader.0).expect("a good request");
        let mut grants = Grants::default();
        for wanted in &asked.want {
            let [scope, ..] = *wanted.key_id.scope_tag().as_bytes();
            let mut entry = Self::entry(scope, wanted.key_id.epoch());
            if self.forbidden.contains(&scope) || entry.key_id != wanted.key_id {
                grants.denied.push(wanted.key_id);
            } else {
                grants.next.push(Self::entry(scope, Epoch(entry.terms.epoch.0 + 1)));
                if let Some(alter) = self.alter_terms {
                    alter(&mut entry.terms);
                }
                grants.keys.push(entry);
            }
        }
        let certificate = Certificate {
            nos: self.nos.clone(),
            publisher: self.publisher,
            signing_key: self.signing_key.public(),
            iat: UnixMillis(now.0 - 3_600_000),
            exp: UnixMillis(now.0 + 82_800_000),
        };
        let certificate = certificate.issue(&self.root);
        if self.listed {
            grants.publishers.push(certificate.clone());
        }
        let body =
            seal_key_response(request.as_bytes(), &grants, now, &self.nos, &certificate, &self.signing_key, reader.1);
        let status = if grants.keys.is_empty() { 403 } else { 200 };
        (status, body.expect("an answer"))
    }
}

/// A topic.
pub(crate) fn topic(text: &str) -> Topic {
    text.parse().expect("a topic")
}
