use super::*;
use aups_core::Flags;

fn scope() -> ScopeId {
    ScopeId::from_bytes([3; 32])
}

#[test]
fn every_input_of_a_key_changes_it() {
    let (root, salt) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
    let key = derive_key_t(&root, &salt, &scope(), Epoch(4), Bump(5));
    let others = [
        derive_key_t(&salt, &salt, &scope(), Epoch(4), Bump(5)),
        derive_key_t(&root, &root, &scope(), Epoch(4), Bump(5)),
        derive_key_t(&root, &salt, &ScopeId::from_bytes([4; 32]), Epoch(4), Bump(5)),
        derive_key_t(&root, &salt, &scope(), Epoch(5), Bump(5)),
        derive_key_t(&root, &salt, &scope(), Epoch(4), Bump(6)),
    ];
    assert_eq!(derive_key_t(&root, &salt, &scope(), Epoch(4), Bump(5)).expose(), key.expose());
    for other in others {
        assert_ne!(other.expose(), key.expose());
    }
}

#[test]
fn epochs_tile_time() {
    let (life, phase) = (300_000, 123_456);
    for epoch in [0, 1, 2, 5_000_000] {
        let this = validity(Epoch(epoch), phase, life, 7);
        let next = validity(Epoch(epoch + 1), phase, life, 7);
        assert_eq!(this.exp, next.nbf);
        assert_eq!(this.dec, UnixMillis(this.exp.0 + 7));
        assert_eq!(epoch_at(this.nbf, phase, life), Epoch(epoch));
        assert_eq!(epoch_at(UnixMillis(this.exp.0 - 1), phase, life), Epoch(epoch));
        assert_eq!(epoch_at(this.exp, phase, life), Epoch(epoch + 1));
    }
    assert_eq!(validity(Epoch(1), phase, life, 0).nbf, UnixMillis(life - phase));
    assert_eq!(validity(Epoch(0), phase, life, 0).nbf, UnixMillis(0));
}

#[test]
fn the_ends_of_time_do_not_overflow() {
    assert_eq!(epoch_at(UnixMillis(u64::MAX), u64::MAX, 1_000), Epoch(u32::MAX));
    assert_eq!(epoch_at(UnixMillis(5), 0, 0), Epoch(5));
    let last = validity(Epoch(u32::MAX), 0, u64::MAX, u64::MAX);
    assert_eq!((last.nbf, last.exp, last.dec), (UnixMillis(u64::MAX), UnixMillis(u64::MAX), UnixMillis(u64::MAX)));
}

#[test]
fn the_phase_lies_below_the_life_and_depends_on_the_scope() {
    let salt = Secret::from_bytes([2; 32]);
    for life in [1, 1_000, 300_000, 86_400_000] {
        assert!(phase_ms(&salt, &scope(), life) < life);
    }
    assert_ne!(phase_ms(&salt, &scope(), 86_400_000), phase_ms(&salt, &ScopeId::from_bytes([4; 32]), 86_400_000));
    assert_eq!(phase_ms(&salt, &scope(), 0), 0);
}

#[test]
fn every_term_changes_the_commitment() {
    let key = KeyT::from_bytes([5; 32]);
    let terms = KeyTerms {
        suite: Suite::Aes256Gcm,
        flags: Flags::NONE,
        scope: scope(),
        epoch: Epoch(7),
        bump: Bump(2),
        nbf: UnixMillis(1_000),
        exp: UnixMillis(2_000),
        dec: UnixMillis(9_000),
    };
    let others = [
        KeyTerms { suite: Suite::ChaCha20Poly1305, ..terms },
        KeyTerms { flags: Flags::PADDED, ..terms },
        KeyTerms { scope: ScopeId::from_bytes([4; 32]), ..terms },
        KeyTerms { epoch: Epoch(8), ..terms },
        KeyTerms { bump: Bump(3), ..terms },
        KeyTerms { nbf: UnixMillis(1_001), ..terms },
        KeyTerms { exp: UnixMillis(2_001), ..terms },
        KeyTerms { dec: UnixMillis(9_001), ..terms },
    ];
    for other in others {
        assert_ne!(commit(&key, &other), commit(&key, &terms), "{other:?}");
    }
    assert_ne!(commit(&KeyT::from_bytes([6; 32]), &terms), commit(&key, &terms));
}

#[test]
fn every_member_of_a_scope_changes_its_id_and_none_runs_into_the_next() {
    let realm = RealmId::from_bytes([9; 32]);
    let none = Obligations::default();
    let id = |app, user, obligations: &Obligations, suite, life| scope_id(&realm, app, user, obligations, suite, life);
    let obliged = |sign, pad_bytes, redact: &[&str], notify: &[&str]| Obligations {
        sign,
        pad_bytes,
        redact: redact.iter().map(|pointer| pointer.parse().unwrap()).collect(),
        notify: notify.iter().map(|topic| topic.parse().unwrap()).collect(),
    };
    let all = [
        id("ab", "c", &none, Suite::Aes256Gcm, 1_000),
        id("a", "bc", &none, Suite::Aes256Gcm, 1_000),
        id("abc", "", &none, Suite::Aes256Gcm, 1_000),
        id("c", "ab", &none, Suite::Aes256Gcm, 1_000),
        id("ab", "c", &obliged(true, 0, &[], &[]), Suite::Aes256Gcm, 1_000),
        id("ab", "c", &obliged(false, 1, &[], &[]), Suite::Aes256Gcm, 1_000),
        id("ab", "c", &obliged(false, 256, &[], &[]), Suite::Aes256Gcm, 1_000),
        id("ab", "c", &none, Suite::ChaCha20Poly1305, 1_000),
        id("ab", "c", &none, Suite::Aes256Gcm, 1_001),
        scope_id(&RealmId::from_bytes([8; 32]), "ab", "c", &none, Suite::Aes256Gcm, 1_000),
        id("ab", "c", &obliged(false, 0, &["/data/a"], &[]), Suite::Aes256Gcm, 1_000),
        id("ab", "c", &obliged(false, 0, &["/data/a", "/data/b"], &[]), Suite::Aes256Gcm, 1_000),
        id("ab", "c", &obliged(false, 0, &["/data/a/data/b"], &[]), Suite::Aes256Gcm, 1_000),
        id("ab", "c", &obliged(false, 0, &[], &["/data/a"]), Suite::Aes256Gcm, 1_000),
        id("ab", "c", &obliged(false, 0, &["/data/a"], &["/data/b"]), Suite::Aes256Gcm, 1_000),
    ];
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn a_scope_id_is_sha256_over_length_prefixed_members() {
    let realm = RealmId::from_bytes([9; 32]);
    let texts = Obligations {
        redact: ["/data/b".parse().unwrap(), "/data/a".parse().unwrap()].into(),
        notify: ["t".parse().unwrap()].into(),
        ..Obligations::default()
    };
    let written = b"\0\0\0r\0\0\0\x07/data/ar\0\0\0\x07/data/bn\0\0\0\x01t";
    assert_eq!(obligations_member(&texts), written);

    let obligations = Obligations { sign: true, pad_bytes: 0x0102, ..Obligations::default() };
    let mut bytes = Vec::new();
    for member in
        [&b"aups/1 scope"[..], &[1], &[9; 32], b"app", b"user", &[1, 1, 2], &[2], &[3], &[0, 0, 0, 0, 0, 0, 3, 0xe8]]
    {
        bytes.extend_from_slice(&u32::try_from(member.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(member);
    }
    assert_eq!(
        scope_id(&realm, "app", "user", &obligations, Suite::ChaCha20Poly1305, 1_000).as_bytes(),
        &sha256(&[&bytes])
    );
}

#[test]
fn each_incarnation_of_each_publisher_has_a_subkey_of_its_own() {
    let key = KeyT::from_bytes([5; 32]);
    let id = KeyId::from_bytes([6; 24]);
    let sub = |suite, publisher, session| {
        subkey(&key, suite, &id, PublisherSlot(publisher), Session(session)).expose().to_vec()
    };
    let one = sub(Suite::Aes256Gcm, 1, 1);
    for other in [sub(Suite::Aes256Gcm, 2, 1), sub(Suite::Aes256Gcm, 1, 2), sub(Suite::ChaCha20Poly1305, 1, 1)] {
        assert_ne!(other, one);
    }
}
