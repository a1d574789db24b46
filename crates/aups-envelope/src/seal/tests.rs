use super::*;
use crate::{
    OpeningKey, SealedMessage,
    fixture::{EXP, NBF, PUBLISHER, SESSION, TOPIC, entry, plaintext, sealing},
};
use aups_core::{Suite, topic::TOPIC_BYTES_MAX};

fn used(messages: u64, bytes: u64) -> SealingKey {
    let used = Usage { messages: AtomicU64::new(messages), bytes: AtomicU64::new(bytes) };
    SealingKey::with_usage(&entry(Suite::Aes256Gcm, Flags::NONE), PUBLISHER, SESSION, used)
}

fn seq_of(sealed: &[u8]) -> u64 {
    SealedMessage::parse(sealed).unwrap().header().seq
}

#[test]
fn the_last_seq_is_two_to_the_32_less_one_and_then_no_more() {
    let key = used(SUBKEY_MESSAGES_MAX - 2, 0);
    let seal = || key.seal(&plaintext(b"x"), None, Spelling::Binary);
    assert_eq!(seq_of(&seal().unwrap()), SUBKEY_MESSAGES_MAX - 2);
    assert_eq!(seq_of(&seal().unwrap()), SUBKEY_MESSAGES_MAX - 1);
    assert_eq!(seal(), Err(SealError::Exhausted));
    assert_eq!(seal(), Err(SealError::Exhausted));
    assert_eq!(used(SUBKEY_MESSAGES_MAX, 0).seal(&plaintext(b""), None, Spelling::Json), Err(SealError::Exhausted));
    assert_eq!(used(u64::MAX, 0).seal(&plaintext(b""), None, Spelling::Json), Err(SealError::Exhausted));
}

#[test]
fn the_last_byte_is_the_64th_gibibytes() {
    let key = used(0, SUBKEY_BYTES_MAX - 3);
    let seal = |bytes: &[u8]| key.seal(&plaintext(bytes), None, Spelling::Binary);
    assert!(seal(b"xx").is_ok());
    assert_eq!(seal(b"xx"), Err(SealError::Exhausted));
    assert!(seal(b"x").is_ok());
    assert_eq!(seal(b"x"), Err(SealError::Exhausted));
    assert_eq!(used(0, u64::MAX).seal(&plaintext(b"x"), None, Spelling::Json), Err(SealError::Exhausted));
}

#[test]
fn padding_counts_as_sealed() {
    let padded = Plaintext { pad_bytes: 16, ..plaintext(b"x") };
    assert_eq!(used(0, SUBKEY_BYTES_MAX - 15).seal(&padded, None, Spelling::Binary), Err(SealError::Exhausted));
    assert!(used(0, SUBKEY_BYTES_MAX - 16).seal(&padded, None, Spelling::Binary).is_ok());
}

#[test]
fn threads_that_share_a_key_never_share_a_seq() {
    const THREADS: usize = 4;
    const EACH: usize = 500;
    let key = used(SUBKEY_MESSAGES_MAX - 1_000, 0);
    let seqs = std::thread::scope(|scope| {
        let seal_all = || {
            (0..EACH)
                .filter_map(|_| key.seal(&plaintext(b"x"), None, Spelling::Binary).ok())
                .map(|sealed| seq_of(&sealed))
                .collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(seal_all)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(seqs.len(), 1_000, "2,000 were asked for and 1,000 were left");
    assert_eq!(seqs.iter().collect::<std::collections::BTreeSet<_>>().len(), 1_000);
}

#[test]
fn nothing_is_sealed_outside_the_validity_of_the_key() {
    let key = sealing(&entry(Suite::Aes256Gcm, Flags::NONE));
    let at = |ts| key.seal(&Plaintext { ts, ..plaintext(b"x") }, None, Spelling::Binary).map(|_| ());
    for ts in [UnixMillis(0), UnixMillis(NBF.0 - 1), EXP, UnixMillis(EXP.0 + 1), UnixMillis(u64::MAX)] {
        assert_eq!(at(ts), Err(SealError::OutsideValidity { ts, nbf: NBF, exp: EXP }));
    }
    assert_eq!(at(NBF), Ok(()));
    assert_eq!(at(UnixMillis(EXP.0 - 1)), Ok(()));
    assert_eq!(seq_of(&key.seal(&plaintext(b"x"), None, Spelling::Binary).unwrap()), 2, "a refusal takes no seq");
}

#[test]
fn what_the_key_demands_must_be_given() {
    let signed = sealing(&entry(Suite::Aes256Gcm, Flags::SIGNED));
    assert_eq!(signed.seal(&plaintext(b"x"), None, Spelling::Json), Err(SealError::SignerMissing));
    let padded = sealing(&entry(Suite::Aes256Gcm, Flags::PADDED));
    assert_eq!(padded.seal(&plaintext(b"x"), None, Spelling::Json), Err(SealError::PaddingMissing));
}

#[test]
fn a_signer_signs_only_where_the_key_demands_it() {
    let signer = SigningKey::generate();
    let flags = |demanded| {
        let sealed = sealing(&entry(Suite::Aes256Gcm, demanded)).seal(&plaintext(b"x"), Some(&signer), Spelling::Json);
        SealedMessage::parse(&sealed.unwrap()).unwrap().header().flags
    };
    assert_eq!(flags(Flags::NONE), Flags::NONE);
    assert_eq!(flags(Flags::SIGNED), Flags::SIGNED);
}

#[test]
fn a_message_that_is_signed_though_nobody_demands_it_opens() {
    let (entry, signer) = (entry(Suite::Aes256Gcm, Flags::NONE), SigningKey::generate());
    let sealed = sealing(&entry).seal_with(&plaintext(b"x"), Some(&signer), Spelling::Json).unwrap();
    let message = SealedMessage::parse(&sealed).unwrap();
    let opening = OpeningKey::new(&entry, PUBLISHER, SESSION);
    assert_eq!(opening.open(TOPIC, &message, Some(&signer.public())).unwrap(), b"x");
}

#[test]
fn a_padded_message_shows_its_block_and_not_its_length() {
    let key = sealing(&entry(Suite::Aes256Gcm, Flags::NONE));
    let sealed_bytes = |bytes: usize, pad_bytes| {
        let bytes = vec![b'x'; bytes];
        let sealed = key.seal(&Plaintext { pad_bytes, ..plaintext(&bytes) }, None, Spelling::Binary);
        sealed.unwrap().len() - HEADER_BYTES - TAG_BYTES
    };
    for (bytes, padded) in [(0, 32), (1, 32), (31, 32), (32, 64), (33, 64), (63, 64), (64, 96)] {
        assert_eq!(sealed_bytes(bytes, 32), padded, "{bytes} bytes");
    }
    assert_eq!(sealed_bytes(5, 1), 6);
    assert_eq!(sealed_bytes(5, u16::MAX), 65_535);
    assert_eq!(sealed_bytes(5, 0), 5);
}

#[test]
fn what_is_too_long_is_refused() {
    let key = sealing(&entry(Suite::Aes256Gcm, Flags::NONE));
    let long = vec![0; PLAINTEXT_BYTES_MAX + 1];
    assert_eq!(
        key.seal(&plaintext(&long), None, Spelling::Json),
        Err(SealError::PlaintextTooLong(PLAINTEXT_BYTES_MAX + 1))
    );
    let sealed = key.seal(&plaintext(&long[1..]), None, Spelling::Json).unwrap();
    assert!(SealedMessage::parse(&sealed).is_ok(), "the longest plaintext makes a message that is read");
    let topic = "t".repeat(TOPIC_BYTES_MAX + 1);
    let on = |topic| key.seal(&Plaintext { topic, ..plaintext(b"x") }, None, Spelling::Json).map(|_| ());
    assert_eq!(on(&topic), Err(SealError::TopicTooLong(TopicTooLong)));
    assert_eq!(on(&"t".repeat(TOPIC_BYTES_MAX)), Ok(()));
}

#[test]
fn a_message_is_written_into_one_buffer_of_its_size() {
    let key = sealing(&entry(Suite::Aes256Gcm, Flags::NONE));
    let json = key.seal(&plaintext(&[b'x'; 300]), None, Spelling::Json).unwrap();
    assert_eq!(json.capacity(), json.len());
    assert_eq!(json.len(), 54 + (32usize + 300 + 16) * 4 / 3);
    for flags in [Flags::NONE, Flags::SIGNED] {
        let key = sealing(&entry(Suite::Aes256Gcm, flags));
        let binary = key.seal(&plaintext(&[b'x'; 300]), Some(&SigningKey::generate()), Spelling::Binary).unwrap();
        assert_eq!(binary.capacity(), binary.len());
    }
}
