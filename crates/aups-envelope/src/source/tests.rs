use super::*;
use crate::FormatError;

const SESSION: Session = Session::new(3, 0xdead_beef);
const ID: KeyId = KeyId::from_bytes([4; 24]);

fn node() -> NodeId {
    "sensor1".parse().unwrap()
}

fn master() -> SourceMaster {
    SourceMaster::new(Secret::from_bytes([7; 32]))
}

fn sealer(suite: Suite) -> SourceSealer {
    SourceSealer::new(&node(), suite, &master().key(&node(), suite, &ID), ID, SESSION)
}

fn opener(suite: Suite) -> SourceOpener {
    SourceOpener::new(&node(), suite, &master().key(&node(), suite, &ID), ID, SESSION)
}

fn sealed(suite: Suite, spelling: Spelling) -> Vec<u8> {
    sealer(suite).seal(ContentType::Json, b"21.5", UnixMillis(1_000), spelling).unwrap()
}

fn open(opener: &SourceOpener, sealed: &[u8]) -> Result<Vec<u8>, SourceOpenError> {
    opener.open(&SealedMessage::parse(sealed).unwrap())
}

#[test]
fn what_a_source_seals_opens_in_every_suite_and_spelling() {
    for suite in Suite::ALL {
        for spelling in [Spelling::Binary, Spelling::Json] {
            assert_eq!(open(&opener(suite), &sealed(suite, spelling)).unwrap(), b"21.5", "{suite}");
        }
    }
}

#[test]
fn seq_rises_and_a_time_that_does_not_fit_is_the_last_one() {
    let sealer = sealer(Suite::Aes128Gcm);
    for seq in 0..3 {
        let sealed = sealer.seal(ContentType::Json, b"1", UnixMillis(u64::MAX), Spelling::Binary).unwrap();
        let header = *SealedMessage::parse(&sealed).unwrap().header();
        assert_eq!((header.seq, header.ts, header.session), (seq, UnixMillis(U48_MAX), SESSION));
    }
    let long = vec![b'1'; PLAINTEXT_BYTES_MAX + 1];
    let refused = sealer.seal(ContentType::Json, &long, UnixMillis(0), Spelling::Binary);
    assert_eq!(refused, Err(SealError::PlaintextTooLong(PLAINTEXT_BYTES_MAX + 1)));
}

#[test]
fn no_byte_can_be_changed() {
    for suite in Suite::ALL {
        let good = sealed(suite, Spelling::Binary);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            if let Ok(message) = SealedMessage::parse(&bad) {
                assert!(opener(suite).open(&message).is_err(), "{suite}, byte {at}");
            }
        }
    }
}

#[test]
fn what_is_not_of_this_source_is_told_apart() {
    let changed = |at: usize, to: u8| {
        let mut bad = sealed(Suite::Aes256Gcm, Spelling::Binary);
        bad[at] = to;
        open(&opener(Suite::Aes256Gcm), &bad).unwrap_err()
    };
    let mismatch = SourceOpenError::SuiteMismatch { message: Suite::ChaCha20Poly1305, registered: Suite::Aes256Gcm };
    assert_eq!(changed(1, 2), mismatch);
    assert_eq!(changed(7, 1), SourceOpenError::NotOfASource, "publisher");
    assert_eq!(changed(31, 1), SourceOpenError::NotOfASource, "topic seq");
    assert_eq!(changed(8, 1), SourceOpenError::OtherKey, "session");
    assert_eq!(changed(55, 1), SourceOpenError::OtherKey, "credential id");
    assert_eq!(changed(27, 1), SourceOpenError::BadTag, "time");
    let mut padded = sealed(Suite::Aes256Gcm, Spelling::Binary);
    padded[2] = Flags::PADDED.bits();
    assert_eq!(open(&opener(Suite::Aes256Gcm), &padded), Err(SourceOpenError::NotOfASource));
    padded[2] = 4;
    assert_eq!(SealedMessage::parse(&padded).unwrap_err(), FormatError::UnknownFlag(4));
}

#[test]
fn node_suite_and_credential_id_are_bound() {
    let good = sealed(Suite::ChaCha20Poly1305, Spelling::Binary);
    let suite = Suite::ChaCha20Poly1305;
    let other: NodeId = "sensor2".parse().unwrap();
    let of_other_node = SourceOpener::new(&other, suite, &master().key(&node(), suite, &ID), ID, SESSION);
    assert_eq!(open(&of_other_node, &good), Err(SourceOpenError::BadTag), "the topic names the node");
    let keys = [
        master().key(&other, suite, &ID),
        master().key(&node(), Suite::Aes256Gcm, &ID),
        master().key(&node(), suite, &KeyId::from_bytes([5; 24])),
        SourceMaster::new(Secret::from_bytes([8; 32])).key(&node(), suite, &ID),
        master().credential(&node(), &ID),
    ];
    for key in &keys {
        let opener = SourceOpener::new(&node(), suite, key, ID, SESSION);
        assert_eq!(open(&opener, &good), Err(SourceOpenError::BadTag));
    }
}

#[test]
fn nothing_shows_a_secret() {
    let shown = format!("{:?} {:?} {:?}", master(), sealer(Suite::Aes128Gcm), opener(Suite::Aes128Gcm));
    assert!(shown.contains("***") && !shown.contains("7, 7"), "{shown}");
}
