//! What binds the lines of a trail: each has its number and the hash of the line before.

use aups_core::UnixMillis;
use aups_envelope::{Checkpoint, SigningKey, VerifyingKey, b64, sha256};
use aups_ktm::Realm;
use serde::Deserialize;
use std::{fmt, sync::Arc};
use tokio::sync::watch;

/// Longest line, in bytes: what a request changed has at most 256 KiB.
pub(super) const LINE_BYTES_MAX: usize = 512 << 10;

/// What of a line its place in the chain is known by.
#[derive(Debug, Deserialize)]
pub(super) struct Link {
    pub(super) number: u64,
    pub(super) prev: String,
    pub(super) at: UnixMillis,
    pub(super) event: String,
    /// Of a checkpoint.
    #[serde(default)]
    pub(super) signed: Option<String>,
}

impl Link {
    /// What a line says of its place.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// Whether it says that it follows this line; what came before the oldest file that is kept is unknown.
    pub(super) fn follows(&self, before: Option<Head>) -> bool {
        before.is_none_or(|head| self.number == head.number + 1 && self.prev == b64::encode(&head.hash))
    }

    /// What was signed, if the line is a checkpoint.
    pub(super) fn checkpoint(&self) -> Option<&str> {
        self.signed.as_deref().filter(|_| self.event == "checkpoint")
    }
}

/// Up to where a trail goes: the newest line's number and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) number: u64,
    pub(super) hash: [u8; 32],
}

impl Head {
    /// Before the first line.
    pub(super) const NONE: Self = Self { number: 0, hash: [0; 32] };

    /// After this line.
    pub(super) fn after(number: u64, line: &[u8]) -> Self {
        Self { number, hash: sha256(&[line]) }
    }
}

/// An event on its way into a line: its JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told(String);

impl Told {
    /// As JSON. What has no JSON form is none of ours: texts, numbers, lists and maps by name.
    pub(super) fn of(event: &super::Event) -> Self {
        Self(serde_json::to_string(event).unwrap_or_default())
    }

    /// The event alone.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The line that it becomes after another one, without a line feed.
    pub(super) fn line(&self, before: Head, at: UnixMillis) -> String {
        let prev = b64::encode(&before.hash);
        let members = self.0.strip_prefix('{').unwrap_or_default();
        format!(r#"{{"number":{},"prev":"{prev}","at":{},{members}"#, before.number + 1, at.0)
    }
}

/// Signs how far a trail goes. `None`: it cannot now, for want of a certificate.
pub(crate) struct Signer(Box<dyn Fn(Head, UnixMillis) -> Option<String> + Send + Sync>);

impl Signer {
    /// A signer of its own kind.
    fn new(sign: impl Fn(Head, UnixMillis) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Box::new(sign))
    }

    /// The realm itself.
    pub(crate) fn realm(realm: Arc<Realm>) -> Self {
        Self::new(move |Head { number, hash }, at| {
            let checkpoint = Checkpoint { realm_key: realm.public(), nos: None, number, hash, at };
            Some(checkpoint.sign(realm.signing_key()))
        })
    }

    /// A NOS alone, with the newest certificate that the realm gave it; before there is one, nothing is signed.
    pub(crate) fn nos(realm_key: VerifyingKey, key: SigningKey, certificate: watch::Receiver<Option<String>>) -> Self {
        Self::new(move |Head { number, hash }, at| {
            let nos = Some(certificate.borrow().clone()?);
            Some(Checkpoint { realm_key, nos, number, hash, at }.sign(&key))
        })
    }

    /// A realm of which only the key is known.
    #[cfg(test)]
    pub(super) fn key(key: SigningKey) -> Self {
        Self::new(move |Head { number, hash }, at| {
            Some(Checkpoint { realm_key: key.public(), nos: None, number, hash, at }.sign(&key))
        })
    }

    /// A checkpoint over everything up to here.
    pub(super) fn sign(&self, head: Head, at: UnixMillis) -> Option<String> {
        (self.0)(head, at)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}
