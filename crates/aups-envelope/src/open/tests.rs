use super::*;
use crate::{
    Plaintext, SigningKey, Spelling,
    fixture::{PUBLISHER, SESSION, TOPIC, entry, plaintext, sealing},
};

const ALL: [Flags; 4] = [Flags::NONE, Flags::SIGNED, Flags::PADDED, Flags::SIGNED.union(Flags::PADDED)];

fn pad(flags: Flags) -> u16 {
    if flags.contains(Flags::PADDED) { 32 } else { 0 }
}

#[test]
fn what_was_sealed_opens_in_every_suite_flag_and_spelling() {
    let signer = SigningKey::generate();
    for suite in Suite::ALL {
        for flags in ALL {
            let entry = entry(suite, flags);
            for spelling in [Spelling::Json, Spelling::Binary] {
                let message = Plaintext { pad_bytes: pad(flags), ..plaintext(b"{\"a\":1}") };
                let sealed = sealing(&entry).seal(&message, Some(&signer), spelling).unwrap();
                let parsed = SealedMessage::parse(&sealed).unwrap();
                assert_eq!((parsed.header().flags, parsed.header().suite), (flags, suite));
                let opened = OpeningKey::new(&entry, PUBLISHER, SESSION).open(TOPIC, &parsed, Some(&signer.public()));
                assert_eq!(opened.unwrap(), b"{\"a\":1}");
            }
        }
    }
}

#[test]
fn the_terms_of_the_key_bind_the_header() {
    let signed = entry(Suite::Aes256Gcm, Flags::SIGNED);
    let plain = sealing(&entry(Suite::Aes256Gcm, Flags::NONE)).seal(&plaintext(b"x"), None, Spelling::Binary).unwrap();
    let rename = |key_id: &KeyId| {
        let mut bytes = plain.clone();
        bytes[32..56].copy_from_slice(key_id.as_bytes());
        bytes
    };
    let open = |bytes: &[u8], entry: &KeyEntry| {
        OpeningKey::new(entry, PUBLISHER, SESSION).open(TOPIC, &SealedMessage::parse(bytes).unwrap(), None)
    };
    assert_eq!(open(&rename(&signed.key_id), &signed), Err(OpenError::FlagMissing));
    let chacha = entry(Suite::ChaCha20Poly1305, Flags::NONE);
    assert_eq!(
        open(&rename(&chacha.key_id), &chacha),
        Err(OpenError::SuiteMismatch { message: Suite::Aes256Gcm, key: Suite::ChaCha20Poly1305 })
    );
    assert_eq!(open(&plain, &chacha), Err(OpenError::OtherKey));
}

#[test]
fn a_signed_message_opens_only_under_its_publishers_key() {
    let (entry, signer) = (entry(Suite::Aes256Gcm, Flags::SIGNED), SigningKey::generate());
    let sealed = sealing(&entry).seal(&plaintext(b"x"), Some(&signer), Spelling::Binary).unwrap();
    let parsed = SealedMessage::parse(&sealed).unwrap();
    let opening = OpeningKey::new(&entry, PUBLISHER, SESSION);
    assert_eq!(opening.open(TOPIC, &parsed, Some(&signer.public())).unwrap(), b"x");
    assert_eq!(opening.open(TOPIC, &parsed, None), Err(OpenError::SignerUnknown));
    let other = SigningKey::generate().public();
    assert_eq!(opening.open(TOPIC, &parsed, Some(&other)), Err(OpenError::BadSignature(BadSignature)));
}

#[test]
fn another_topic_publisher_or_session_does_not_open() {
    let entry = entry(Suite::Aes256Gcm, Flags::NONE);
    let sealed = sealing(&entry).seal(&plaintext(b"x"), None, Spelling::Binary).unwrap();
    let parsed = SealedMessage::parse(&sealed).unwrap();
    let open = |publisher, session, topic| OpeningKey::new(&entry, publisher, session).open(topic, &parsed, None);
    assert_eq!(open(PUBLISHER, SESSION, "data/s2/temperature"), Err(OpenError::BadTag));
    assert_eq!(open(PUBLISHER, SESSION, ""), Err(OpenError::BadTag));
    assert_eq!(open(PublisherSlot(8), SESSION, TOPIC), Err(OpenError::OtherKey));
    assert_eq!(open(PUBLISHER, Session(0), TOPIC), Err(OpenError::OtherKey));
    let long = "t".repeat(70_000);
    assert_eq!(open(PUBLISHER, SESSION, &long), Err(OpenError::TopicTooLong(TopicTooLong)));
}

#[test]
fn padding_is_0x80_and_zeros() {
    let unpadded = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        unpad(&mut bytes).map(|()| bytes)
    };
    assert_eq!(unpadded(b"ab\x80\0\0").unwrap(), b"ab");
    assert_eq!(unpadded(b"ab\x80").unwrap(), b"ab");
    assert_eq!(unpadded(b"\x80").unwrap(), b"");
    assert_eq!(unpadded(b"ab\x80\x80").unwrap(), b"ab\x80");
    for bad in [&b""[..], b"\0\0", b"ab", b"ab\x81\0", b"ab\x80\x01"] {
        assert_eq!(unpadded(bad), Err(OpenError::BadPadding), "{bad:?}");
    }
}
