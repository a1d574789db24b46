//! The form of the files in `testvectors/`. Written by `examples/vectors.rs`, read by `tests/vectors/main.rs`.
//!
//! Bytes are hex unless the protocol itself writes them as base64url.

use serde::{Deserialize, Serialize};
use std::{fs, path::PathBuf};

/// A file of cases.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File<C> {
    pub(crate) description: String,
    pub(crate) cases: Vec<C>,
}

/// Every file, so that a test can see that none was forgotten.
pub(crate) const FILES: [&str; 13] = [
    "acceptance",
    "bearer",
    "certificates",
    "enrolled",
    "enrolment-requests",
    "identity-files",
    "key-requests",
    "key-responses",
    "key-schedule",
    "messages",
    "messages-refused",
    "scope-id",
    "sources",
];

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testvectors").join(format!("{name}.json"))
}

impl<C: for<'de> Deserialize<'de>> File<C> {
    pub(crate) fn read(name: &str) -> Result<Self, Box<dyn std::error::Error>> {
        Ok(serde_json::from_slice(&fs::read(path(name))?)?)
    }
}

/// Bytes as the files hold them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// From root and salt to the subkey of a publisher's session.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct KeySchedule {
    pub(crate) name: String,
    pub(crate) root: String,
    pub(crate) scope_salt: String,
    pub(crate) scope_id: String,
    pub(crate) scope_tag: String,
    pub(crate) life_ms: u64,
    pub(crate) history_ms: u64,
    pub(crate) at: u64,
    pub(crate) bump: u16,
    pub(crate) suite: u8,
    pub(crate) flags: u8,
    pub(crate) publisher: u32,
    pub(crate) session: String,
    pub(crate) phase_ms: u64,
    pub(crate) epoch: u32,
    pub(crate) nbf: u64,
    pub(crate) exp: u64,
    pub(crate) dec: u64,
    pub(crate) key_t: String,
    pub(crate) commit: String,
    pub(crate) key_id: String,
    pub(crate) subkey_key: String,
    pub(crate) subkey_iv: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ScopeIdCase {
    pub(crate) name: String,
    pub(crate) realm: String,
    pub(crate) app: String,
    pub(crate) user: String,
    pub(crate) sign: bool,
    pub(crate) pad_bytes: u16,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) redact: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notify: Vec<String>,
    pub(crate) suite: u8,
    pub(crate) life_ms: u64,
    pub(crate) scope_id: String,
}

/// A key entry as a key response holds it (DESIGN section 7).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) key_id: String,
    pub(crate) key_t: String,
    pub(crate) suite: u8,
    pub(crate) flags: u8,
    pub(crate) scope: String,
    pub(crate) epoch: u32,
    pub(crate) bump: u16,
    pub(crate) nbf: u64,
    pub(crate) exp: u64,
    pub(crate) dec: u64,
    pub(crate) from: u64,
}

/// A message, from everything that goes in to both spellings.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Message {
    pub(crate) name: String,
    pub(crate) key: Entry,
    /// Seed of the NOS's signing key, where the message is signed.
    pub(crate) signing_seed: Option<String>,
    pub(crate) publisher: u32,
    pub(crate) session: String,
    pub(crate) seq: u64,
    pub(crate) ts: u64,
    pub(crate) topic: String,
    pub(crate) topic_seq: u32,
    pub(crate) content_type: u8,
    pub(crate) pad_bytes: u16,
    pub(crate) plaintext: String,
    pub(crate) subkey_key: String,
    pub(crate) subkey_iv: String,
    pub(crate) header: String,
    pub(crate) nonce: String,
    pub(crate) aad: String,
    pub(crate) binary: String,
    pub(crate) json: String,
}

/// A message that a source sealed, from the master of its NOS on: what opens gives `plaintext`, in hex.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SourceCase {
    pub(crate) name: String,
    pub(crate) master: String,
    pub(crate) node: String,
    /// That of the registration.
    pub(crate) suite: u8,
    pub(crate) credential_id: String,
    pub(crate) credential: String,
    pub(crate) key: String,
    pub(crate) payload: Payload,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) plaintext: Option<String>,
    pub(crate) verdict: String,
}

/// A publisher that a reader believes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Listed {
    pub(crate) publisher: u32,
    pub(crate) signing_key: String,
    pub(crate) exp: u64,
}

/// What a reader holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Holdings {
    pub(crate) keys: Vec<Entry>,
    pub(crate) publishers: Vec<Listed>,
}

/// A payload: bytes of the binary spelling, or text of the JSON one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum Payload {
    Binary(String),
    Text(String),
}

/// A message that a reader must refuse, and with which error.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Refused {
    pub(crate) name: String,
    pub(crate) holdings: Holdings,
    pub(crate) topic: String,
    pub(crate) now: u64,
    pub(crate) payload: Payload,
    pub(crate) error: String,
}

/// Messages that arrive one after the other, and what becomes of each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Sequence {
    pub(crate) name: String,
    pub(crate) max_age_ms: u64,
    pub(crate) holdings: Holdings,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Step {
    /// A subscription begins before the message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) subscribes: bool,
    pub(crate) topic: String,
    pub(crate) now: u64,
    pub(crate) retain: bool,
    pub(crate) payload: Payload,
    /// `Fresh`, `Late`, `Retained`, or the name of an error.
    pub(crate) verdict: String,
    pub(crate) missed: u32,
}

/// A JWS and what its reader says: `Ok` or the name of an error.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Jose {
    pub(crate) name: String,
    pub(crate) jws: String,
    /// The Ed25519 key under which it is verified, base64url. Enrolment requests carry their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// The reader's clock, where it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) now: Option<u64>,
    pub(crate) verdict: String,
}

/// An answer to an enrolment.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EnrolledCase {
    pub(crate) name: String,
    pub(crate) request: String,
    pub(crate) token: String,
    pub(crate) jws: String,
    pub(crate) verdict: String,
}

/// An answer to a key request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct KeyResponse {
    pub(crate) name: String,
    pub(crate) request: String,
    pub(crate) response: String,
    pub(crate) realm_key: String,
    pub(crate) kem: String,
    /// The reader's secret key.
    pub(crate) kem_key: String,
    pub(crate) now: u64,
    pub(crate) verdict: String,
    /// Key ids that the reader takes from `keys` and `next`, slots that it takes from `publishers`, what it leaves out.
    pub(crate) keys: Vec<String>,
    pub(crate) next: Vec<String>,
    pub(crate) publishers: Vec<u32>,
    pub(crate) refused: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct IdentityCase {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) verdict: String,
}
