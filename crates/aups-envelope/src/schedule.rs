//! The key schedule: how a root, a scope's salt and the time become temporary keys, and what their ids commit to.
//!
//! Everything is HKDF-SHA256 (RFC 5869) with an ASCII label that ends in no NUL, integers big-endian. Any replica that
//! holds the same roots and salts computes the same keys without asking another.

use crate::{
    aead::{iv_bytes, key_bytes},
    hash::sha256,
    hkdf::hkdf,
    key::KeyTerms,
    secret::{KeyT, Secret, SecretBytes},
};
use aups_core::{
    Bump, Epoch, KeyId, Obligations, PublisherSlot, RealmId, ScopeId, ScopeTag, Session, Suite, UnixMillis,
};

/// Version of the canonical form of residuals that [`scope_id`] hashes. A change makes every scope a new one.
pub const CANONICALISER_VERSION: u8 = 1;

/// The temporary key of a scope, an epoch and a bump.
///
/// `keyT = HKDF(salt scopeSalt, ikm root[generation of nbf], info "aups/1 keyT" ‖ scopeId ‖ epoch ‖ bump)`, 32 bytes.
pub fn derive_key_t(root: &Secret<32>, scope_salt: &Secret<32>, scope: &ScopeId, epoch: Epoch, bump: Bump) -> KeyT {
    let info: [&[u8]; 4] = [b"aups/1 keyT", scope.as_bytes(), &epoch.0.to_be_bytes(), &bump.0.to_be_bytes()];
    KeyT::filled(|out| hkdf(scope_salt.expose(), root.expose(), &info, out))
}

/// How far a scope's epochs are shifted, in milliseconds below `life_ms`: expiries are out of phase by construction.
///
/// `phase = first 8 bytes of HKDF(salt scopeSalt, ikm scopeId, info "aups/1 phase") mod life`. A life of 0 counts as 1.
pub fn phase_ms(scope_salt: &Secret<32>, scope: &ScopeId, life_ms: u64) -> u64 {
    let mut out = [0; 8];
    hkdf(scope_salt.expose(), scope.as_bytes(), &[b"aups/1 phase"], &mut out);
    u64::from_be_bytes(out) % life_ms.max(1)
}

/// The epoch that holds an instant: `floor((t + phase) / life)`.
///
/// A life of 0 counts as 1. What does not fit is the last epoch there is: with a life of a second, from 2106 on.
pub fn epoch_at(now: UnixMillis, phase_ms: u64, life_ms: u64) -> Epoch {
    let number = (u128::from(now.0) + u128::from(phase_ms)) / u128::from(life_ms.max(1));
    Epoch(u32::try_from(number).unwrap_or(u32::MAX))
}

/// When a key may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Not before: the epoch begins.
    pub nbf: UnixMillis,
    /// The paper's `val`: from here on nobody seals under the key.
    pub exp: UnixMillis,
    /// From here on nobody opens with it.
    pub dec: UnixMillis,
}

/// The validity of an epoch: `nbf = epoch·life − phase`, `exp = nbf + life`, `dec = exp + history`.
///
/// The part of epoch 0 before 1970 is cut off; what lies beyond the end of time is its end.
pub fn validity(epoch: Epoch, phase_ms: u64, life_ms: u64, history_ms: u64) -> Validity {
    let begins = |epoch: u64| epoch.saturating_mul(life_ms).saturating_sub(phase_ms);
    let exp = begins(u64::from(epoch.0) + 1);
    Validity {
        nbf: UnixMillis(begins(u64::from(epoch.0))),
        exp: UnixMillis(exp),
        dec: UnixMillis(exp.saturating_add(history_ms)),
    }
}

/// Binds a key to its terms, so that nobody on the way can change suite, required flags, scope or validity.
///
/// `commit = HKDF(salt "aups/1 commit", ikm keyT, info suite ‖ flags ‖ scopeId ‖ epoch ‖ bump ‖ nbf ‖ exp ‖ dec)`,
/// 10 bytes.
pub fn commit(key_t: &KeyT, terms: &KeyTerms) -> [u8; KeyId::COMMIT_BYTES] {
    let info: [&[u8]; 8] = [
        &[terms.suite.into()],
        &[terms.flags.bits()],
        terms.scope.as_bytes(),
        &terms.epoch.0.to_be_bytes(),
        &terms.bump.0.to_be_bytes(),
        &terms.nbf.0.to_be_bytes(),
        &terms.exp.0.to_be_bytes(),
        &terms.dec.0.to_be_bytes(),
    ];
    let mut out = [0; KeyId::COMMIT_BYTES];
    hkdf(b"aups/1 commit", key_t.expose(), &info, &mut out);
    out
}

/// Names a key: `keyId = scopeTag ‖ epoch ‖ bump ‖ commit`.
pub fn key_id(key_t: &KeyT, tag: ScopeTag, terms: &KeyTerms) -> KeyId {
    KeyId::new(tag, terms.epoch, terms.bump, commit(key_t, terms))
}

/// Names a scope: SHA-256 over label, canonicaliser version, realm, residuals for apps and for users, obligations, suite,
/// flags and life, each preceded by its length as a u32.
///
/// The version is a u8; the realm its 32 bytes; the residuals UTF-8; the obligations as [`obligations_member`] writes them;
/// suite and flags u8; life u64 milliseconds.
pub fn scope_id(
    realm: &RealmId,
    app: &str,
    user: &str,
    obligations: &Obligations,
    suite: Suite,
    life_ms: u64,
) -> ScopeId {
    let demanded = obligations_member(obligations);
    let members: [&[u8]; 9] = [
        b"aups/1 scope",
        &[CANONICALISER_VERSION],
        realm.as_bytes(),
        app.as_bytes(),
        user.as_bytes(),
        &demanded,
        &[suite.into()],
        &[obligations.flags().bits()],
        &life_ms.to_be_bytes(),
    ];
    let lengths = members.map(|member| u32::try_from(member.len()).unwrap_or(u32::MAX).to_be_bytes());
    let parts: Vec<&[u8]> = lengths.iter().zip(members).flat_map(|(length, member)| [&length[..], member]).collect();
    ScopeId::from_bytes(sha256(&parts))
}

/// Obligations as bytes, none running into the next: `sign (u8, 0 or 1) ‖ pad bytes (u16)`, then for each redaction, sorted,
/// `"r" ‖ length (u32) ‖ pointer`, then for each topic to notify, sorted, `"n" ‖ length (u32) ‖ topic`.
pub fn obligations_member(obligations: &Obligations) -> Vec<u8> {
    let Obligations { sign, pad_bytes, redact, notify } = obligations;
    let mut member = vec![u8::from(*sign)];
    member.extend(pad_bytes.to_be_bytes());
    let redact = redact.iter().map(|pointer| (b'r', pointer.as_str()));
    for (kind, text) in redact.chain(notify.iter().map(|topic| (b'n', topic.as_str()))) {
        member.push(kind);
        member.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        member.extend(text.as_bytes());
    }
    member
}

/// What one incarnation of one NOS seals with, `key ‖ IV`: no two of them share a nonce space.
///
/// `key ‖ IV = HKDF(salt "aups/1 subkey", ikm keyT, info suite ‖ keyId ‖ publisher ‖ session)`, 32 + 12 bytes,
/// Ascon-AEAD128 16 + 16.
pub fn subkey(key_t: &KeyT, suite: Suite, key_id: &KeyId, publisher: PublisherSlot, session: Session) -> SecretBytes {
    let info: [&[u8]; 4] = [&[suite.into()], key_id.as_bytes(), &publisher.0.to_be_bytes(), &session.0.to_be_bytes()];
    let mut subkey = vec![0; key_bytes(suite) + iv_bytes(suite)];
    hkdf(b"aups/1 subkey", key_t.expose(), &info, &mut subkey);
    SecretBytes::from_vec(subkey)
}

/// Length of a suite's key in bytes; the rest of a [`subkey`] is the IV.
pub const fn subkey_key_bytes(suite: Suite) -> usize {
    key_bytes(suite)
}

#[cfg(test)]
mod tests;
