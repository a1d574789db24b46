//! How a reader asks for keys, and what a NOS answers.
//!
//! The request is signed by the reader. The answer is bound to the request by its hash, sealed to the reader's KEM key and
//! signed by a NOS that the realm certified: HPKE's base mode alone would let anybody on the way answer with keys of his.

use crate::{
    b64,
    hash::sha256,
    jws::{self, Jws, JwsError, Kid, Object, object_from_slice},
    kem::{KemError, KemPublicKey, KemSecretKey},
    key::{KeyEntry, KeyEntryError, KeyTerms},
    secret::{KeyT, SecretBytes},
    sign::{BadSignature, SigningKey, VerifyingKey},
};
use aups_core::{
    Bump, Epoch, Flags, KeyId, NosId, RealmId, ScopeId, Sub, Suite, UnixMillis,
    limits::{KEY_REQUEST_BYTES_MAX, WANTED_KEYS_MAX},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::collections::BTreeSet;
use thiserror::Error;

pub use crate::{
    certificate::{Certificate, CertificateError},
    challenge::{ChallengeError, ChallengeKey},
};

/// Largest answer to a key request that a reader takes.
pub const KEY_RESPONSE_BYTES_MAX: usize = 4 << 20;

const REQUEST_TYPE: &str = "aups-kr";
const RESPONSE_TYPE: &str = "aups-ks";

/// What a reader asks for. On the wire: JWS of type `aups-kr`, kid = sub, signed by the reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRequest {
    /// The realm that is asked. Whoever answers compares it with its own.
    pub aud: RealmId,
    /// Who asks.
    pub sub: Sub,
    /// Why it is not an old request.
    pub freshness: Freshness,
    /// Random: no two requests are the same.
    pub jti: [u8; 16],
    /// At most [`WANTED_KEYS_MAX`].
    pub want: Vec<Wanted>,
}

/// Why a request is not an old one: exactly one of `iat` and `challenge`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// `iat`: the reader's clock.
    IssuedAt(UnixMillis),
    /// `challenge`: what an answer of the same server said a moment ago, for a reader without a clock.
    Challenge(String),
}

/// A key that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wanted {
    /// The key.
    pub key_id: KeyId,
    /// Where a message under it came: for the audit, never part of the decision.
    pub topic: String,
}

/// What a request says before anybody verified it: what is needed to find the key to verify it with, and to limit rates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified {
    /// Who asks, it says.
    pub sub: Sub,
    /// Why it is not an old request, it says.
    pub freshness: Freshness,
}

/// A request that is not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyRequestError {
    /// More than [`KEY_REQUEST_BYTES_MAX`].
    #[error("a key request has at most {KEY_REQUEST_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// Not a JWS of this form.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// Neither or both of `iat` and `challenge`.
    #[error("a key request has exactly one of `iat` and `challenge`")]
    Freshness,
    /// `kid` names somebody else than `sub`.
    #[error("`kid` and `sub` name different readers")]
    OtherSubject,
    /// More than [`WANTED_KEYS_MAX`].
    #[error("a key request asks for at most {WANTED_KEYS_MAX} keys, this one for {0}")]
    TooManyKeys(usize),
    /// Not signed by the reader's key.
    #[error(transparent)]
    BadSignature(#[from] BadSignature),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestClaims {
    aud: RealmId,
    sub: Sub,
    #[serde(default, deserialize_with = "jws::present", skip_serializing_if = "Option::is_none")]
    iat: Option<UnixMillis>,
    #[serde(default, deserialize_with = "jws::present", skip_serializing_if = "Option::is_none")]
    challenge: Option<String>,
    #[serde(with = "jws::bytes")]
    jti: [u8; 16],
    want: Vec<Object<Wanted>>,
}

impl KeyRequest {
    /// Signs with the reader's key.
    pub fn sign(&self, key: &SigningKey) -> String {
        let (iat, challenge) = match &self.freshness {
            Freshness::IssuedAt(iat) => (Some(*iat), None),
            Freshness::Challenge(challenge) => (None, Some(challenge.clone())),
        };
        let want = self.want.iter().cloned().map(Object).collect();
        let claims = RequestClaims { aud: self.aud, sub: self.sub.clone(), iat, challenge, jti: self.jti, want };
        jws::sign(REQUEST_TYPE, Some(self.sub.as_str()), &jws::to_json(&claims), key)
    }

    /// What an unverified request says about who asks and when.
    pub fn peek(request: &[u8]) -> Result<Unverified, KeyRequestError> {
        let (_, Self { sub, freshness, .. }) = Self::parse(request)?;
        Ok(Unverified { sub, freshness })
    }

    /// Reads and verifies a request. Checked in this order: size, form, freshness is told once, kid = sub, number of keys,
    /// signature. Whether `iat` or the challenge is good, `aud` is the realm and `jti` is new is for the caller.
    pub fn verify(request: &[u8], key: &VerifyingKey) -> Result<Self, KeyRequestError> {
        let (jws, request) = Self::parse(request)?;
        jws.verify(key)?;
        Ok(request)
    }

    fn parse(request: &[u8]) -> Result<(Jws<'_>, Self), KeyRequestError> {
        if request.len() > KEY_REQUEST_BYTES_MAX {
            return Err(KeyRequestError::TooLong(request.len()));
        }
        let jws = Jws::parse(request, REQUEST_TYPE, Kid::Present)?;
        let RequestClaims { aud, sub, iat, challenge, jti, want } = jws.claims()?;
        let freshness = match (iat, challenge) {
            (Some(iat), None) => Freshness::IssuedAt(iat),
            (None, Some(challenge)) => Freshness::Challenge(challenge),
            _ => return Err(KeyRequestError::Freshness),
        };
        if jws.kid() != sub.as_str() {
            return Err(KeyRequestError::OtherSubject);
        }
        if want.len() > WANTED_KEYS_MAX {
            return Err(KeyRequestError::TooManyKeys(want.len()));
        }
        let want = want.into_iter().map(|Object(wanted)| wanted).collect();
        Ok((jws, Self { aud, sub, freshness, jti, want }))
    }
}

/// What a NOS gives.
#[derive(Debug, Default)]
pub struct Grants {
    /// Of the keys that were asked for, those that the reader may have.
    pub keys: Vec<KeyEntry>,
    /// The same scopes in the following epoch, so that nobody waits at an expiry.
    pub next: Vec<KeyEntry>,
    /// Certificates (JWS) of all publishers that seal in the realm.
    pub publishers: Vec<String>,
    /// The others; whether unknown, forbidden or destroyed is not said.
    pub denied: Vec<KeyId>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantsClaims<K, P> {
    keys: Vec<K>,
    next: Vec<K>,
    publishers: Vec<P>,
    denied: Vec<KeyId>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryToWrite<'a> {
    key_id: KeyId,
    #[serde(with = "jws::secret")]
    key_t: &'a KeyT,
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EntryToRead {
    key_id: KeyId,
    #[serde(with = "jws::secret")]
    key_t: KeyT,
    suite: Suite,
    #[serde(deserialize_with = "known_flags")]
    flags: Flags,
    scope: ScopeId,
    epoch: Epoch,
    bump: Bump,
    nbf: UnixMillis,
    exp: UnixMillis,
    dec: UnixMillis,
    from: UnixMillis,
}

fn known_flags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Flags, D::Error> {
    Flags::from_bits(u8::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("unknown flag"))
}

impl<'a> From<&'a KeyEntry> for EntryToWrite<'a> {
    fn from(entry: &'a KeyEntry) -> Self {
        let KeyTerms { suite, flags, scope, epoch, bump, nbf, exp, dec } = entry.terms;
        let KeyEntry { key_id, key_t, from, .. } = entry;
        Self { key_id: *key_id, key_t, suite, flags, scope, epoch, bump, nbf, exp, dec, from: *from }
    }
}

impl From<EntryToRead> for KeyEntry {
    fn from(read: EntryToRead) -> Self {
        let EntryToRead { key_id, key_t, suite, flags, scope, epoch, bump, nbf, exp, dec, from } = read;
        Self { key_id, key_t, terms: KeyTerms { suite, flags, scope, epoch, bump, nbf, exp, dec }, from }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseClaims {
    #[serde(with = "jws::bytes")]
    rh: [u8; 32],
    now: UnixMillis,
    nos: String,
    enc: String,
    ct: String,
}

/// Seals and signs an answer. On the wire: JWS of type `aups-ks`, kid = nosId, signed by the NOS.
///
/// `request` is the request's bytes, `certificate` the NOS's own. Fails if `to` is a key that nothing can be sealed to.
pub fn seal_key_response(
    request: &[u8],
    grants: &Grants,
    now: UnixMillis,
    nos: &NosId,
    certificate: &str,
    signing: &SigningKey,
    to: &KemPublicKey,
) -> Result<String, KemError> {
    let rh = sha256(&[request]);
    let sealed = to.seal(&info(&rh), grants_to_json(grants).expose())?;
    let claims =
        ResponseClaims { rh, now, nos: certificate.into(), enc: b64::encode(&sealed.enc), ct: b64::encode(&sealed.ct) };
    Ok(jws::sign(RESPONSE_TYPE, Some(nos.as_str()), &jws::to_json(&claims), signing))
}

/// `"aups/1 ks" ‖ rh`: what HPKE binds the answer to.
fn info(rh: &[u8; 32]) -> Vec<u8> {
    [b"aups/1 ks", &rh[..]].concat()
}

#[expect(clippy::expect_used, reason = "fails only for values that this crate does not write")]
fn grants_to_json(grants: &Grants) -> SecretBytes {
    /// More than an entry takes with the longest numbers.
    const ENTRY_BYTES: usize = 512;
    const KEY_ID_BYTES: usize = 40;
    let entries = grants.keys.len() + grants.next.len();
    let publishers: usize = grants.publishers.iter().map(|certificate| certificate.len() + 8).sum();
    // Enough at once: a buffer that grows leaves copies of keys behind in freed memory.
    let bytes = Vec::with_capacity(ENTRY_BYTES * (1 + entries) + publishers + KEY_ID_BYTES * grants.denied.len());
    let claims = GrantsClaims {
        keys: grants.keys.iter().map(EntryToWrite::from).collect(),
        next: grants.next.iter().map(EntryToWrite::from).collect(),
        publishers: grants.publishers.iter().map(String::as_str).collect(),
        denied: grants.denied.clone(),
    };
    let mut json = SecretBytes::from_vec(bytes);
    serde_json::to_writer(json.writer(), &claims).expect("texts and numbers can be written as JSON");
    json
}

/// An answer that was opened, and what of it may be used.
#[derive(Debug)]
pub struct OpenedResponse {
    /// The NOS's clock when it answered.
    pub now: UnixMillis,
    /// Which NOS answered.
    pub nos: Certificate,
    /// What was given, less what the reader must not take.
    pub grants: Grants,
    /// The certificates of `grants.publishers` that are to be believed.
    pub publishers: Vec<Certificate>,
    /// What was given and not taken, and why.
    pub refused: Vec<RefusedGrant>,
}

/// A part of an answer that the reader does not take. The NOS is at fault.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RefusedGrant {
    /// A key that does not hold together.
    #[error("key {0} is not taken")]
    Entry(KeyId, #[source] KeyEntryError),
    /// A key that was not asked for and is not called a next one.
    #[error("key {0} was not asked for")]
    NotAsked(KeyId),
    /// A publisher whose certificate is not to be believed.
    #[error("a publisher is not listed")]
    Publisher(#[source] CertificateError),
}

/// An answer that is not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyResponseError {
    /// More than [`KEY_RESPONSE_BYTES_MAX`].
    #[error("an answer to a key request has at most {KEY_RESPONSE_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// Not a JWS of this form.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// The answer to another request.
    #[error("an answer to another request")]
    OtherRequest,
    /// The NOS's certificate is not to be believed.
    #[error("the certificate of the answering NOS is not taken")]
    Certificate(#[from] CertificateError),
    /// `kid` names another NOS than the certificate.
    #[error("`kid` and the certificate name different NOSs")]
    OtherNos,
    /// Not signed by the certified NOS.
    #[error(transparent)]
    BadSignature(#[from] BadSignature),
    /// Does not open with the reader's key.
    #[error(transparent)]
    Kem(#[from] KemError),
    /// What is inside is not of the form.
    #[error("the sealed part is not an object of keys, next, publishers and denied")]
    Grants(#[source] serde_json::Error),
    /// The request that was given is none.
    #[error("the request that this should answer is no key request")]
    Request(#[source] KeyRequestError),
}

/// Opens the answer to one's own request.
///
/// Checked in this order: size, form, `rh`, the NOS's certificate under the realm key, kid, signature, HPKE, form of what
/// is inside; then each key entry (asked for or next, fields agree with the id, commitment) and each publisher's
/// certificate: those that fail are left out and told. One answer per outstanding `rh` is for the caller.
pub fn open_key_response(
    request: &[u8],
    response: &[u8],
    realm_key: &VerifyingKey,
    kem: &KemSecretKey,
    now: UnixMillis,
) -> Result<OpenedResponse, KeyResponseError> {
    if response.len() > KEY_RESPONSE_BYTES_MAX {
        return Err(KeyResponseError::TooLong(response.len()));
    }
    let jws = Jws::parse(response, RESPONSE_TYPE, Kid::Present)?;
    let claims: ResponseClaims = jws.claims()?;
    if claims.rh != sha256(&[request]) {
        return Err(KeyResponseError::OtherRequest);
    }
    let nos = Certificate::verify(&claims.nos, realm_key, now)?;
    if jws.kid() != nos.nos.as_str() {
        return Err(KeyResponseError::OtherNos);
    }
    jws.verify(&nos.signing_key)?;
    let decode = |text: &str, what| b64::decode(text).map_err(|_| JwsError::Encoding(what));
    let json = kem.open(&info(&claims.rh), &decode(&claims.enc, "enc")?, &decode(&claims.ct, "ct")?)?;
    let grants: GrantsClaims<Object<EntryToRead>, String> =
        object_from_slice(json.expose()).map_err(KeyResponseError::Grants)?;
    let (_, asked) = KeyRequest::parse(request).map_err(KeyResponseError::Request)?;
    let asked: BTreeSet<KeyId> = asked.want.iter().map(|wanted| wanted.key_id).collect();

    let mut refused = Vec::new();
    let keys = take(grants.keys, |key_id| asked.contains(key_id), &mut refused);
    let next = take(grants.next, |_| true, &mut refused);
    let mut publishers = Vec::with_capacity(grants.publishers.len());
    for certificate in &grants.publishers {
        match Certificate::verify(certificate, realm_key, now) {
            Ok(certificate) => publishers.push(certificate),
            Err(error) => refused.push(RefusedGrant::Publisher(error)),
        }
    }
    let grants = Grants { keys, next, publishers: grants.publishers, denied: grants.denied };
    Ok(OpenedResponse { now: claims.now, nos, grants, publishers, refused })
}

/// The entries that hold together and that the reader may take.
fn take(
    entries: Vec<Object<EntryToRead>>,
    may_take: impl Fn(&KeyId) -> bool,
    refused: &mut Vec<RefusedGrant>,
) -> Vec<KeyEntry> {
    let mut taken = Vec::with_capacity(entries.len());
    for Object(entry) in entries {
        let entry = KeyEntry::from(entry);
        if !may_take(&entry.key_id) {
            refused.push(RefusedGrant::NotAsked(entry.key_id));
        } else if let Err(error) = entry.verify() {
            refused.push(RefusedGrant::Entry(entry.key_id, error));
        } else {
            taken.push(entry);
        }
    }
    taken
}

#[cfg(test)]
mod tests;
