//! A key, a publisher and a plaintext for tests.

use crate::{ContentType, KeyEntry, KeyTerms, Plaintext, SealingKey, Secret};
use aups_core::{Bump, Epoch, Flags, PublisherSlot, ScopeId, ScopeTag, Session, Suite, UnixMillis};

pub(crate) const PUBLISHER: PublisherSlot = PublisherSlot(7);
pub(crate) const SESSION: Session = Session::new(3, 0xdead_beef);
pub(crate) const NBF: UnixMillis = UnixMillis(1_700_000_000_000);
pub(crate) const EXP: UnixMillis = UnixMillis(1_700_000_300_000);
pub(crate) const DEC: UnixMillis = UnixMillis(1_700_600_000_000);
pub(crate) const NOW: UnixMillis = UnixMillis(1_700_000_100_000);
pub(crate) const TOPIC: &str = "data/s1/temperature";

pub(crate) fn entry(suite: Suite, flags: Flags) -> KeyEntry {
    entry_of(ScopeTag::from_bytes(*b"scopetag"), suite, flags, Epoch(9), Bump(0), NBF)
}

pub(crate) fn entry_of(
    tag: ScopeTag,
    suite: Suite,
    flags: Flags,
    epoch: Epoch,
    bump: Bump,
    from: UnixMillis,
) -> KeyEntry {
    let terms =
        KeyTerms { suite, flags, scope: ScopeId::from_bytes([3; 32]), epoch, bump, nbf: NBF, exp: EXP, dec: DEC };
    KeyEntry::new(tag, Secret::from_bytes([5; 32]), terms, from)
}

pub(crate) fn sealing(entry: &KeyEntry) -> SealingKey {
    SealingKey::new(entry, PUBLISHER, SESSION)
}

pub(crate) fn plaintext(bytes: &[u8]) -> Plaintext<'_> {
    Plaintext { topic: TOPIC, topic_seq: 0, ts: NOW, content: ContentType::Json, bytes, pad_bytes: 0 }
}
