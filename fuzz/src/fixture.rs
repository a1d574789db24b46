//! Fixed secrets, a key of each kind and a realm, so that a run can be run again.

use aups_core::{Bump, Epoch, Flags, PublisherSlot, RealmId, ScopeId, ScopeTag, Session, Sub, Suite, UnixMillis};
use aups_envelope::{
    Certificate, KeyEntry, KeyTerms, Secret, SigningKey,
    kem::{Kem, KemSecretKey},
    realm_id, sha256,
};

pub(crate) const NBF: UnixMillis = UnixMillis(1_767_225_600_000);
pub(crate) const NOW: UnixMillis = UnixMillis(NBF.0 + 100_000);
pub(crate) const EXP: UnixMillis = UnixMillis(NBF.0 + 300_000);
pub(crate) const DEC: UnixMillis = UnixMillis(NBF.0 + 600_000_000);
pub(crate) const TOPIC: &str = "data/sensor1/temperature";
pub(crate) const PUBLISHER: PublisherSlot = PublisherSlot(7);
pub(crate) const SESSION: Session = Session::new(3, 0xdead_beef);

pub(crate) fn secret(name: &str) -> Secret<32> {
    Secret::from_bytes(sha256(&[b"aups fuzz: ", name.as_bytes()]))
}

pub(crate) fn signing(name: &str) -> SigningKey {
    SigningKey::from_seed(secret(name))
}

pub(crate) fn realm() -> RealmId {
    realm_id(&signing("realm").public())
}

pub(crate) fn alice() -> Sub {
    "alice".parse().expect("a name")
}

pub(crate) fn kem() -> KemSecretKey {
    KemSecretKey::from_bytes(Kem::X25519, secret("kem"))
}

pub(crate) fn certificate() -> Certificate {
    Certificate {
        nos: "nos-1".parse().expect("a name"),
        publisher: PUBLISHER,
        signing_key: signing("nos").public(),
        iat: NBF,
        exp: DEC,
    }
}

/// A key for each suite and each set of flags.
pub(crate) fn entries() -> Vec<KeyEntry> {
    let flags = [Flags::NONE, Flags::SIGNED, Flags::PADDED, Flags::SIGNED.union(Flags::PADDED)];
    let kinds = Suite::ALL.into_iter().filter(|suite| suite.is_for_readers());
    let kinds = kinds.flat_map(|suite| flags.map(|flags| (suite, flags)));
    kinds.zip(1_u8..).map(|((suite, flags), number)| entry(suite, flags, number)).collect()
}

pub(crate) fn entry(suite: Suite, flags: Flags, number: u8) -> KeyEntry {
    let scope = ScopeId::from_bytes([number; 32]);
    let terms = KeyTerms { suite, flags, scope, epoch: Epoch(9), bump: Bump(0), nbf: NBF, exp: EXP, dec: DEC };
    KeyEntry::new(ScopeTag::from_bytes([number; 8]), secret("keyT"), terms, NBF)
}
