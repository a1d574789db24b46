//! What crosses the link, as JSON. Binary members are base64url without padding, times are milliseconds since 1970.

use crate::{error::KtmError, service::Resolved};
use aups_core::{Bump, Epoch, Flags, KeyId, NosId, PublisherSlot, ScopeId, ScopeSpec, ScopeTag, Suite, UnixMillis};
use aups_envelope::{KeyEntry, KeyT, KeyTerms, SecretBytes, VerifyingKey, b64};
use aups_store::Revision;
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _, Visitor},
};
use std::{fmt, net::IpAddr, sync::Arc};

use super::{TopicUse, history::History};

/// Where the link lives; its version is that of everything below.
pub(crate) mod path {
    pub(crate) const ADMIT: &str = "/link/v1/admit";
    pub(crate) const RENEW: &str = "/link/v1/renew-certificate";
    pub(crate) const LISTENER: &str = "/link/v1/listener-certificate";
    pub(crate) const BEGIN: &str = "/link/v1/begin";
    pub(crate) const SCOPES: &str = "/link/v1/scopes";
    pub(crate) const KEYS: &str = "/link/v1/keys";
    pub(crate) const RESOLVE: &str = "/link/v1/resolve";
    pub(crate) const PUBLISHERS: &str = "/link/v1/publishers";
    pub(crate) const LEASE: &str = "/link/v1/lease";
    pub(crate) const REVISIONS: &str = "/link/v1/revisions";
    pub(crate) const ENROL: &str = "/link/v1/enrol";
    pub(crate) const USES: &str = "/link/v1/uses";
}

/// Every answer: the KTM's time, and either what was asked for or why not.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer<T> {
    pub(crate) now: UnixMillis,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ok: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Fault>,
}

/// Why the KTM did not do it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub(crate) enum Fault {
    UnknownScope {
        scope: ScopeId,
    },
    ForeignScope {
        scope: ScopeId,
    },
    Life {
        asked: u64,
        least: u64,
        most: u64,
    },
    ScopesFull {
        most: usize,
    },
    PublishersFull {
        most: usize,
    },
    IncarnationsUsedUp {
        nos: NosId,
    },
    RootDestroyed,
    Clock,
    ServerName {
        name: String,
    },
    /// The token is unknown, used or expired; all the same to a stranger.
    NotAdmitted,
    /// The certificate is not, or no longer, one of an admitted NOS.
    Unknown,
    /// Our fault or the peer's: the request is not of this form.
    Malformed {
        detail: String,
    },
    /// The KTM's own trouble. It stands in its log.
    Failed,
}

impl Fault {
    /// What a NOS is told of an error; the rest is for the KTM's log.
    pub(crate) fn of(error: &KtmError) -> Self {
        match *error {
            KtmError::UnknownScope(scope) => Self::UnknownScope { scope },
            KtmError::ForeignScope(scope) => Self::ForeignScope { scope },
            KtmError::Life { asked, least, most } => Self::Life { asked, least, most },
            KtmError::ScopesFull { most } => Self::ScopesFull { most },
            KtmError::PublishersFull { most } => Self::PublishersFull { most },
            KtmError::IncarnationsUsedUp(ref nos) => Self::IncarnationsUsedUp { nos: nos.clone() },
            KtmError::RootDestroyed => Self::RootDestroyed,
            KtmError::Clock => Self::Clock,
            KtmError::ServerName(ref name) => Self::ServerName { name: name.clone() },
            _ => Self::Failed,
        }
    }

    /// The same error on the NOS's side.
    pub(crate) fn into_error(self) -> KtmError {
        match self {
            Self::UnknownScope { scope } => KtmError::UnknownScope(scope),
            Self::ForeignScope { scope } => KtmError::ForeignScope(scope),
            Self::Life { asked, least, most } => KtmError::Life { asked, least, most },
            Self::ScopesFull { most } => KtmError::ScopesFull { most },
            Self::PublishersFull { most } => KtmError::PublishersFull { most },
            Self::IncarnationsUsedUp { nos } => KtmError::IncarnationsUsedUp(nos),
            Self::RootDestroyed => KtmError::RootDestroyed,
            Self::Clock => KtmError::Clock,
            Self::ServerName { name } => KtmError::ServerName(name),
            Self::NotAdmitted | Self::Unknown => KtmError::NotAdmitted,
            Self::Malformed { detail } => {
                KtmError::Away { why: format!("the KTM does not take our request: {detail}") }
            }
            Self::Failed => KtmError::Away { why: "the KTM failed; its log says why".to_owned() },
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Admit {
    pub(crate) token: SecretText,
    pub(crate) public_key: Base64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Admitted {
    pub(crate) nos: NosId,
    pub(crate) realm_key: VerifyingKey,
    pub(crate) certificate: Base64,
    pub(crate) expires: UnixMillis,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Renew {
    pub(crate) public_key: Base64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Renewed {
    pub(crate) certificate: Base64,
    pub(crate) expires: UnixMillis,
}

/// For the listeners of a NOS.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Listener {
    pub(crate) public_key: Base64,
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ListenerCertificate {
    pub(crate) certificate: Base64,
    pub(crate) expires: UnixMillis,
    /// The realm's word on its authority (`aups-ca`).
    pub(crate) authority: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Begin {
    pub(crate) signing_key: VerifyingKey,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) publisher: PublisherSlot,
    pub(crate) incarnation: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ensured {
    pub(crate) tag: ScopeTag,
    pub(crate) revision: Revision,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ScopeIds {
    pub(crate) scopes: Vec<ScopeId>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskKeys {
    pub(crate) scopes: Vec<ScopeId>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Keys {
    pub(crate) keys: Vec<KeysOf>,
}

/// The keys of one scope, or why there are none.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum KeysOf {
    #[serde(rename_all = "camelCase")]
    Given {
        scope: ScopeId,
        revision: Revision,
        current: Box<WireKey>,
        next: Box<WireKey>,
    },
    Refused {
        scope: ScopeId,
        fault: Fault,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Resolve {
    pub(crate) key_id: KeyId,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Resolution {
    pub(crate) found: Option<Found>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) revision: Revision,
    pub(crate) spec: ScopeSpec,
    pub(crate) key: WireKey,
    pub(crate) next: Option<WireKey>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Publishers {
    pub(crate) revision: Revision,
    pub(crate) certificates: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AskLease {
    /// That of `applied`.
    pub(crate) history: History,
    pub(crate) applied: Revision,
    pub(crate) skew_ms: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Leased {
    /// The newest transaction.
    pub(crate) revision: Revision,
    /// From when the request was sent; 0: not renewed, for the NOS is behind.
    pub(crate) lease_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Enrol {
    pub(crate) request: Base64,
    pub(crate) from: IpAddr,
    pub(crate) server_url: String,
    pub(crate) mqtt_url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnrolAnswer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Base64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Uses {
    pub(crate) uses: Vec<TopicUse>,
}

/// Nothing more to say than that it was done.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {}

/// A line of the stream of revisions.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Line {
    /// Some of what there is. More parts follow, then `snapshot`.
    Part { records: Vec<Put>, scopes: Vec<ScopeNow> },
    /// The parts before are everything, as of this revision.
    Snapshot { history: History, revision: Revision },
    /// A transaction.
    Commit { revision: Revision, changes: Vec<Put>, scopes: Vec<ScopeNow>, publishers: bool },
    /// Nothing that concerns a NOS happened up to this revision. Also says that the link holds.
    Revision { revision: Revision },
}

/// A record as it is from now on; without a value, it is gone.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Put {
    pub(crate) key: String,
    pub(crate) value: Option<Base64>,
}

/// Under which tag and bump a scope's keys are from now on; none: there is no such scope any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScopeNow {
    pub(crate) scope: ScopeId,
    pub(crate) state: Option<ScopeState>,
}

/// What tells keys of a scope from those before a bump or of an earlier record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScopeState {
    pub(crate) tag: ScopeTag,
    pub(crate) bump: Bump,
}

/// A key with its terms.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WireKey {
    #[serde(rename = "keyId")]
    id: KeyId,
    #[serde(rename = "keyT")]
    secret: SecretText,
    suite: Suite,
    flags: Flags,
    scope: ScopeId,
    epoch: Epoch,
    bump: Bump,
    nbf: UnixMillis,
    exp: UnixMillis,
    dec: UnixMillis,
    from: UnixMillis,
}

impl WireKey {
    pub(crate) fn of(entry: &KeyEntry) -> Self {
        let KeyTerms { suite, flags, scope, epoch, bump, nbf, exp, dec } = entry.terms;
        let secret = SecretText::of(entry.key_t.expose());
        Self { id: entry.key_id, secret, suite, flags, scope, epoch, bump, nbf, exp, dec, from: entry.from }
    }

    /// The key, if its fields agree and its id commits to them.
    pub(crate) fn into_entry(self) -> Result<KeyEntry, KtmError> {
        let Self { id, secret, suite, flags, scope, epoch, bump, nbf, exp, dec, from } = self;
        let terms = KeyTerms { suite, flags, scope, epoch, bump, nbf, exp, dec };
        let bad = |why: String| KtmError::Away { why: format!("the KTM's answer is of no use: {why}") };
        let key_t: KeyT = secret.to_secret().ok_or_else(|| bad("a key of another length".to_owned()))?;
        let entry = KeyEntry { key_id: id, key_t, terms, from };
        entry.verify().map_err(|error| bad(error.to_string()))?;
        Ok(entry)
    }
}

impl Found {
    pub(crate) fn of(resolved: &Resolved, revision: Revision) -> Self {
        let (key, next) = (WireKey::of(&resolved.key), resolved.next.as_ref().map(WireKey::of));
        Self { revision, spec: (*resolved.spec).clone(), key, next }
    }

    pub(crate) fn into_resolved(self) -> Result<Resolved, KtmError> {
        let next = self.next.map(WireKey::into_entry).transpose()?;
        Ok(Resolved { spec: Arc::new(self.spec), key: self.key.into_entry()?, next })
    }
}

/// Bytes that are no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base64(pub(crate) Bytes);

impl Base64 {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&b64::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        b64::decode(&text).map(|bytes| Self(bytes.into())).map_err(D::Error::custom)
    }
}

/// 32 secret bytes as text.
#[derive(Debug)]
pub(crate) struct SecretText(SecretBytes);

impl SecretText {
    pub(crate) fn of(secret: &[u8; 32]) -> Self {
        Self(SecretBytes::from_vec(b64::encode(secret).into_bytes()))
    }

    pub(crate) fn to_secret(&self) -> Option<aups_envelope::Secret<32>> {
        let text = std::str::from_utf8(self.0.expose()).ok()?;
        b64::decode_array(text).ok().map(aups_envelope::Secret::from_bytes)
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = std::str::from_utf8(self.0.expose()).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(text)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = SecretText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a secret as text")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<SecretText, E> {
                Ok(SecretText(SecretBytes::from_vec(text.as_bytes().to_vec())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Secret bytes of any length as text, in a file.
#[derive(Debug)]
pub(crate) struct SecretBase64(pub(crate) SecretBytes);

impl Serialize for SecretBase64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SecretText(SecretBytes::from_vec(b64::encode(self.0.expose()).into_bytes())).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SecretBase64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let SecretText(text) = SecretText::deserialize(deserializer)?;
        let text = std::str::from_utf8(text.expose()).map_err(D::Error::custom)?;
        b64::decode(text).map(|bytes| Self(SecretBytes::from_vec(bytes))).map_err(D::Error::custom)
    }
}

/// JSON that may hold secrets, in a buffer that is zeroised with its last owner.
pub(crate) fn to_bytes<T: Serialize>(value: &T) -> Result<Bytes, serde_json::Error> {
    struct Owner(SecretBytes);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            self.0.expose()
        }
    }
    // Counted first, so that the buffer never moves and leaves nothing behind.
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value)?;
    let mut json = Vec::with_capacity(length.0);
    serde_json::to_writer(&mut json, value)?;
    Ok(Bytes::from_owner(Owner(SecretBytes::from_vec(json))))
}

/// Counts what is written.
struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Reads JSON of this form.
pub(crate) fn from_bytes<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(json)
}
