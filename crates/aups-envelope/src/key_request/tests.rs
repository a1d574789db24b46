use super::*;
use crate::{
    fixture::{NBF, NOW, entry, entry_of},
    hash::random,
    kem::Kem,
};
use aups_core::{PublisherSlot, ScopeTag};

fn request(want: &[KeyId]) -> KeyRequest {
    KeyRequest {
        aud: RealmId::from_bytes([1; 32]),
        sub: "alice".parse().unwrap(),
        freshness: Freshness::IssuedAt(NOW),
        jti: random(),
        want: want.iter().map(|key_id| Wanted { key_id: *key_id, topic: "data/s1/t".into() }).collect(),
    }
}

/// A realm with one NOS and one reader.
struct Realm {
    key: SigningKey,
    nos: SigningKey,
    reader: SigningKey,
    kem: KemSecretKey,
}

impl Realm {
    fn new(kem: Kem) -> Self {
        let [key, nos, reader] = std::array::from_fn(|_| SigningKey::generate());
        Self { key, nos, reader, kem: kem.generate() }
    }

    fn certificate(&self, slot: u32) -> String {
        let (nos, publisher) = ("nos-1".parse().unwrap(), PublisherSlot(slot));
        let (iat, exp) = (NBF, UnixMillis(NBF.0 + 86_400_000));
        Certificate { nos, publisher, signing_key: self.nos.public(), iat, exp }.issue(&self.key)
    }

    fn answer(&self, request: &str, grants: &Grants) -> String {
        let nos = "nos-1".parse().unwrap();
        let to = self.kem.public();
        seal_key_response(request.as_bytes(), grants, NOW, &nos, &self.certificate(7), &self.nos, &to).unwrap()
    }

    fn open(&self, request: &str, answer: &str) -> Result<OpenedResponse, KeyResponseError> {
        open_key_response(request.as_bytes(), answer.as_bytes(), &self.key.public(), &self.kem, NOW)
    }
}

fn next_entry() -> KeyEntry {
    entry_of(ScopeTag::from_bytes(*b"scopetag"), Suite::Aes256Gcm, Flags::NONE, Epoch(10), Bump(0), NBF)
}

#[test]
fn a_request_says_who_asks_and_verifies() {
    let key = SigningKey::generate();
    let sent = request(&[entry(Suite::Aes256Gcm, Flags::NONE).key_id]);
    let jws = sent.sign(&key);
    let unverified = KeyRequest::peek(jws.as_bytes()).unwrap();
    assert_eq!(unverified, Unverified { sub: sent.sub.clone(), freshness: sent.freshness.clone() });
    assert_eq!(KeyRequest::verify(jws.as_bytes(), &key.public()).unwrap(), sent);
    let other = KeyRequest::verify(jws.as_bytes(), &SigningKey::generate().public());
    assert!(matches!(other, Err(KeyRequestError::BadSignature(_))));
}

#[test]
fn a_challenge_stands_in_the_place_of_the_time() {
    let key = SigningKey::generate();
    let sent = KeyRequest { freshness: Freshness::Challenge("abc".into()), ..request(&[]) };
    assert_eq!(KeyRequest::verify(sent.sign(&key).as_bytes(), &key.public()).unwrap(), sent);
}

#[test]
fn a_request_has_the_members_of_the_contract() {
    let sent = request(&[KeyId::from_bytes([4; 24])]);
    let jws = sent.sign(&SigningKey::generate());
    let payload: serde_json::Value =
        serde_json::from_slice(&b64::decode(jws.split('.').nth(1).unwrap()).unwrap()).unwrap();
    assert_eq!(
        payload,
        serde_json::json!({"aud": b64::encode(&[1; 32]), "sub": "alice", "iat": NOW.0, "jti": b64::encode(&sent.jti),
            "want": [{"keyId": b64::encode(&[4; 24]), "topic": "data/s1/t"}]})
    );
}

#[test]
fn every_fault_of_a_request_has_an_error() {
    let key = SigningKey::generate();
    let signed = |kid: &str, payload: &str| jws::sign(REQUEST_TYPE, Some(kid), payload.as_bytes(), &key);
    let fault = |jws: &str| KeyRequest::verify(jws.as_bytes(), &key.public()).unwrap_err();
    let good = String::from_utf8(b64::decode(request(&[]).sign(&key).split('.').nth(1).unwrap()).unwrap()).unwrap();
    assert!(KeyRequest::verify(signed("alice", &good).as_bytes(), &key.public()).is_ok());

    assert!(matches!(fault(&signed("bob", &good)), KeyRequestError::OtherSubject));
    let iat = format!(r#""iat":{}"#, NOW.0);
    let neither = good.replace(&format!("{iat},"), "");
    assert!(matches!(fault(&signed("alice", &neither)), KeyRequestError::Freshness));
    let both = good.replace(&iat, &format!(r#"{iat},"challenge":"x""#));
    assert!(matches!(fault(&signed("alice", &both)), KeyRequestError::Freshness));
    for (old, new) in [
        (&*iat, r#""iat":null"#.to_owned()),
        (&iat, r#""iat":-1"#.into()),
        (&iat, r#""iat":1.5"#.into()),
        (&iat, r#""iat":"1""#.into()),
        (&iat, format!("{iat},{iat}")),
        (&iat, format!(r#"{iat},"admin":true"#)),
        (r#""want":[]"#, r#""want":[["BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE","t"]]"#.into()),
        (r#""want":[]"#, r#""want":[{"keyId":"BAQE","topic":"t"}]"#.into()),
        (r#""want":[]"#, r#""want":{}"#.into()),
        (r#""sub":"alice""#, r#""sub":"a/b""#.into()),
        (r#""sub":"alice","#, String::new()),
    ] {
        let bad = good.replace(old, &new);
        assert_ne!(bad, good);
        assert!(matches!(fault(&signed("alice", &bad)), KeyRequestError::Jws(JwsError::Payload(_))), "{bad}");
    }
    let many = request(&vec![KeyId::from_bytes([4; 24]); WANTED_KEYS_MAX + 1]);
    assert!(matches!(fault(&many.sign(&key)), KeyRequestError::TooManyKeys(65)));
    assert!(
        KeyRequest::verify(request(&[KeyId::from_bytes([4; 24]); 64]).sign(&key).as_bytes(), &key.public()).is_ok()
    );
    assert!(matches!(fault(&"a".repeat(KEY_REQUEST_BYTES_MAX + 1)), KeyRequestError::TooLong(_)));
}

#[test]
fn an_answer_brings_what_was_granted() {
    for kem in [Kem::XWing, Kem::X25519] {
        let realm = Realm::new(kem);
        let (granted, denied) = (entry(Suite::Aes256Gcm, Flags::SIGNED), KeyId::from_bytes([4; 24]));
        let request = request(&[granted.key_id, denied]).sign(&realm.reader);
        let grants = Grants {
            keys: vec![granted.duplicate()],
            next: vec![next_entry()],
            publishers: vec![realm.certificate(7), realm.certificate(8)],
            denied: vec![denied],
        };
        let opened = realm.open(&request, &realm.answer(&request, &grants)).unwrap();
        assert_eq!(opened.now, NOW);
        assert_eq!(opened.nos.publisher, PublisherSlot(7));
        let [key] = &opened.grants.keys[..] else { panic!("one key was granted") };
        assert_eq!((key.key_id, key.terms, key.from), (granted.key_id, granted.terms, granted.from));
        assert_eq!(key.key_t.expose(), granted.key_t.expose());
        assert_eq!(opened.grants.next[0].key_id, next_entry().key_id);
        assert_eq!(opened.grants.denied, [denied]);
        assert_eq!(opened.publishers.iter().map(|p| p.publisher.0).collect::<Vec<_>>(), [7, 8]);
        assert!(opened.refused.is_empty());
    }
}

#[test]
fn an_answer_is_bound_to_its_request_reader_nos_and_realm() {
    let realm = Realm::new(Kem::X25519);
    let (one, two) = (request(&[]).sign(&realm.reader), request(&[]).sign(&realm.reader));
    let answer = realm.answer(&one, &Grants::default());
    assert!(realm.open(&one, &answer).is_ok());
    assert!(matches!(realm.open(&two, &answer), Err(KeyResponseError::OtherRequest)));

    let stranger = Realm { kem: Kem::X25519.generate(), ..Realm::new(Kem::X25519) };
    let elsewhere = open_key_response(one.as_bytes(), answer.as_bytes(), &stranger.key.public(), &realm.kem, NOW);
    assert!(matches!(elsewhere, Err(KeyResponseError::Certificate(_))));
    let other_reader = open_key_response(one.as_bytes(), answer.as_bytes(), &realm.key.public(), &stranger.kem, NOW);
    assert!(matches!(other_reader, Err(KeyResponseError::Kem(KemError::DoesNotOpen))));

    // Somebody who holds a certificate of the realm, but not its key.
    let (nos, to) = ("nos-1".parse().unwrap(), realm.kem.public());
    let forged = |nos: &NosId, signing| {
        let certificate = realm.certificate(7);
        seal_key_response(one.as_bytes(), &Grants::default(), NOW, nos, &certificate, signing, &to).unwrap()
    };
    assert!(matches!(realm.open(&one, &forged(&nos, &stranger.nos)), Err(KeyResponseError::BadSignature(_))));
    let other_name = "nos-2".parse().unwrap();
    assert!(matches!(realm.open(&one, &forged(&other_name, &realm.nos)), Err(KeyResponseError::OtherNos)));
    let later = UnixMillis(NOW.0 + 2 * 86_400_000);
    let expired = open_key_response(one.as_bytes(), answer.as_bytes(), &realm.key.public(), &realm.kem, later);
    assert!(matches!(expired, Err(KeyResponseError::Certificate(CertificateError::Time { .. }))));
}

#[test]
fn a_reader_takes_only_keys_that_it_asked_for_and_that_hold_together() {
    let realm = Realm::new(Kem::X25519);
    let granted = entry(Suite::Aes256Gcm, Flags::NONE);
    let other = entry(Suite::ChaCha20Poly1305, Flags::NONE);
    let request = request(&[granted.key_id]).sign(&realm.reader);
    let mut longer = granted.duplicate();
    longer.terms.dec = UnixMillis(longer.terms.dec.0 + 1);
    let mut looser = next_entry();
    looser.terms.epoch = Epoch(11);
    let grants = Grants {
        keys: vec![granted.duplicate(), other.duplicate(), longer],
        next: vec![next_entry(), looser],
        publishers: vec![realm.certificate(0), "x".into(), realm.certificate(9)],
        denied: vec![],
    };
    let opened = realm.open(&request, &realm.answer(&request, &grants)).unwrap();
    assert_eq!(opened.grants.keys.iter().map(|k| k.key_id).collect::<Vec<_>>(), [granted.key_id]);
    assert_eq!(opened.grants.next.iter().map(|k| k.key_id).collect::<Vec<_>>(), [next_entry().key_id]);
    assert_eq!(opened.publishers.len(), 1);
    let refused: Vec<String> = opened.refused.iter().map(|refused| format!("{refused:?}")).collect();
    assert_eq!(refused.len(), 5, "{refused:?}");
    assert!(matches!(opened.refused[0], RefusedGrant::NotAsked(key_id) if key_id == other.key_id));
    assert!(matches!(opened.refused[1], RefusedGrant::Entry(_, KeyEntryError::Commit)));
    assert!(matches!(opened.refused[2], RefusedGrant::Entry(_, KeyEntryError::Epoch)));
    assert!(matches!(opened.refused[3], RefusedGrant::Publisher(CertificateError::NoPublisher)));
    assert!(matches!(opened.refused[4], RefusedGrant::Publisher(CertificateError::Jws(_))));
}

#[test]
fn the_sealed_part_has_the_members_of_the_contract() {
    let granted = entry(Suite::Aes256Gcm, Flags::PADDED);
    let grants =
        Grants { keys: vec![granted.duplicate()], denied: vec![KeyId::from_bytes([4; 24])], ..Grants::default() };
    let json: serde_json::Value = serde_json::from_slice(grants_to_json(&grants).expose()).unwrap();
    let terms = granted.terms;
    assert_eq!(
        json,
        serde_json::json!({
            "keys": [{"keyId": granted.key_id, "keyT": b64::encode(granted.key_t.expose()), "suite": 1, "flags": 2,
                "scope": terms.scope, "epoch": 9, "bump": 0, "nbf": terms.nbf, "exp": terms.exp, "dec": terms.dec,
                "from": granted.from}],
            "next": [], "publishers": [], "denied": [b64::encode(&[4; 24])]})
    );
}

#[test]
fn the_buffer_of_keys_never_grows() {
    let grants = Grants {
        keys: (0..64).map(|_| entry(Suite::Aes256Gcm, Flags::NONE)).collect(),
        next: (0..64).map(|_| next_entry()).collect(),
        publishers: vec!["c".repeat(500); 100],
        denied: vec![KeyId::from_bytes([4; 24]); 64],
    };
    let mut json = grants_to_json(&grants);
    let exact = 512 * 129 + 508 * 100 + 40 * 64;
    assert_eq!(json.writer().capacity(), exact);
}
