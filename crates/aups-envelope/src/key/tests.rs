use super::*;

fn entry() -> KeyEntry {
    let terms = KeyTerms {
        suite: Suite::Aes256Gcm,
        flags: Flags::NONE,
        scope: ScopeId::from_bytes([3; 32]),
        epoch: Epoch(7),
        bump: Bump(2),
        nbf: UnixMillis(1_000),
        exp: UnixMillis(2_000),
        dec: UnixMillis(9_000),
    };
    KeyEntry::new(ScopeTag::from_bytes([1; 8]), KeyT::from_bytes([5; 32]), terms, UnixMillis(1_500))
}

#[test]
fn an_entry_that_was_put_together_verifies() {
    let entry = entry();
    assert_eq!(entry.verify(), Ok(()));
    assert_eq!(entry.duplicate().verify(), Ok(()));
    assert_eq!(entry.key_id.scope_tag(), ScopeTag::from_bytes([1; 8]));
}

#[test]
fn no_field_of_an_entry_can_be_changed() {
    let changed = |change: &dyn Fn(&mut KeyEntry)| {
        let mut entry = entry();
        change(&mut entry);
        entry.verify()
    };
    assert_eq!(changed(&|e| e.terms.suite = Suite::ChaCha20Poly1305), Err(KeyEntryError::Commit));
    assert_eq!(changed(&|e| e.terms.flags = Flags::SIGNED), Err(KeyEntryError::Commit));
    assert_eq!(changed(&|e| e.terms.scope = ScopeId::from_bytes([4; 32])), Err(KeyEntryError::Commit));
    assert_eq!(changed(&|e| e.terms.epoch = Epoch(8)), Err(KeyEntryError::Epoch));
    assert_eq!(changed(&|e| e.terms.bump = Bump(3)), Err(KeyEntryError::Bump));
    assert_eq!(changed(&|e| e.terms.nbf = UnixMillis(1_001)), Err(KeyEntryError::Commit));
    assert_eq!(changed(&|e| e.terms.exp = UnixMillis(2_001)), Err(KeyEntryError::Commit));
    assert_eq!(changed(&|e| e.terms.dec = UnixMillis(9_001)), Err(KeyEntryError::Commit));
    assert_eq!(changed(&|e| e.key_t = KeyT::from_bytes([6; 32])), Err(KeyEntryError::Commit));
    assert_eq!(changed(&|e| e.terms.exp = UnixMillis(1_000)), Err(KeyEntryError::Times));
    assert_eq!(changed(&|e| e.terms.dec = UnixMillis(1_999)), Err(KeyEntryError::Times));
    assert_eq!(changed(&|e| e.from = UnixMillis(999)), Err(KeyEntryError::Times));
    assert_eq!(changed(&|e| e.from = UnixMillis(2_001)), Err(KeyEntryError::Times));
}

#[test]
fn no_key_for_readers_is_of_a_suite_for_sources() {
    let sound = entry();
    let terms = KeyTerms { suite: Suite::Aes128Gcm, ..sound.terms };
    let entry = KeyEntry::new(ScopeTag::from_bytes([1; 8]), KeyT::from_bytes([5; 32]), terms, sound.from);
    assert_eq!(entry.verify(), Err(KeyEntryError::Suite));
}
