//! Properties of messages, over random keys, contents, topics and flags, through the public interface.

#![cfg(test)]

use aups_core::{
    Bump, Epoch, Flags, PublisherSlot, ScopeId, ScopeTag, Session, Suite, UnixMillis, topic::TOPIC_BYTES_MAX,
};
use aups_envelope::{
    ContentType, KeyEntry, KeyTerms, OpeningKey, Plaintext, SealedMessage, SealingKey, Secret, SigningKey, Spelling,
    VerifyingKey,
};
use proptest::{collection::vec, prelude::*, sample::Index};

/// All that goes into a message.
#[derive(Debug, Clone)]
struct Given {
    key_t: [u8; 32],
    suite: Suite,
    flags: Flags,
    publisher: u32,
    session: u64,
    ts: u64,
    topic: String,
    topic_seq: u32,
    content: ContentType,
    bytes: Vec<u8>,
    pad_bytes: u16,
    spelling: Spelling,
}

prop_compose! {
    fn given()(
        key_t in any::<[u8; 32]>(),
        suite in proptest::sample::select(&Suite::ALL[..]),
        flags in (0u8..4).prop_map(|bits| Flags::from_bits(bits).unwrap()),
        (publisher, session, ts, topic_seq) in (any::<u32>(), any::<u64>(), 0..1u64 << 48, any::<u32>()),
        topic in "\\PC{0,40}",
        content in (0u8..4).prop_map(|number| ContentType::try_from(number).unwrap()),
        bytes in vec(any::<u8>(), 0..600),
        pad_bytes in 1u16..300,
        spelling in prop_oneof![Just(Spelling::Json), Just(Spelling::Binary)],
    ) -> Given {
        let pad_bytes = if flags.contains(Flags::PADDED) { pad_bytes } else { 0 };
        Given { key_t, suite, flags, publisher, session, ts, topic, topic_seq, content, bytes, pad_bytes, spelling }
    }
}

fn signer() -> SigningKey {
    SigningKey::from_seed(Secret::from_bytes([1; 32]))
}

impl Given {
    fn entry(&self) -> KeyEntry {
        let terms = KeyTerms {
            suite: self.suite,
            flags: self.flags,
            scope: ScopeId::from_bytes([2; 32]),
            epoch: Epoch(3),
            bump: Bump(4),
            nbf: UnixMillis(0),
            exp: UnixMillis(1 << 48),
            dec: UnixMillis(1 << 49),
        };
        KeyEntry::new(ScopeTag::from_bytes([5; 8]), Secret::from_bytes(self.key_t), terms, UnixMillis(0))
    }

    fn seal(&self) -> Vec<u8> {
        let plaintext = Plaintext {
            topic: &self.topic,
            topic_seq: self.topic_seq,
            ts: UnixMillis(self.ts),
            content: self.content,
            bytes: &self.bytes,
            pad_bytes: self.pad_bytes,
        };
        SealingKey::new(&self.entry(), PublisherSlot(self.publisher), Session(self.session))
            .seal(&plaintext, Some(&signer()), self.spelling)
            .unwrap()
    }

    /// As a reader would who holds this one key and believes the header.
    fn open(&self, payload: &[u8], topic: &str, signer: &VerifyingKey) -> Option<Vec<u8>> {
        let message = SealedMessage::parse(payload).ok()?;
        let header = message.header();
        OpeningKey::new(&self.entry(), header.publisher, header.session).open(topic, &message, Some(signer)).ok()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_was_sealed_opens(given in given()) {
        let sealed = given.seal();
        prop_assert_eq!(given.open(&sealed, &given.topic, &signer().public()), Some(given.bytes.clone()));
        let message = SealedMessage::parse(&sealed).unwrap();
        let header = message.header();
        prop_assert_eq!((header.suite, header.flags, header.content), (given.suite, given.flags, given.content));
        prop_assert_eq!((header.publisher.0, header.session.0), (given.publisher, given.session));
        prop_assert_eq!((header.seq, header.ts.0, header.topic_seq), (0, given.ts, given.topic_seq));
    }

    #[test]
    fn any_flipped_bit_fails(given in given(), at in any::<Index>(), bit in 0..8u8) {
        let mut sealed = given.seal();
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        prop_assert_eq!(given.open(&sealed, &given.topic, &signer().public()), None, "byte {}", at);
    }

    #[test]
    fn any_cut_and_any_added_byte_fails(given in given(), at in any::<Index>(), byte in any::<u8>()) {
        let sealed = given.seal();
        let at = at.index(sealed.len());
        prop_assert_eq!(given.open(&sealed[..at], &given.topic, &signer().public()), None);
        let mut longer = sealed.clone();
        longer.insert(at, byte);
        let opened = given.open(&longer, &given.topic, &signer().public());
        // The one thing that may be added: white space between the members of the JSON spelling.
        let is_space = given.spelling == Spelling::Json && b" \t\r\n".contains(&byte);
        prop_assert!(opened.is_none() || is_space, "byte {}", at);
        prop_assert!(opened.is_none_or(|bytes| bytes == given.bytes));
    }

    #[test]
    fn any_other_topic_fails(given in given(), topic in "\\PC{0,40}") {
        prop_assume!(topic != given.topic);
        prop_assert_eq!(given.open(&given.seal(), &topic, &signer().public()), None);
    }

    #[test]
    fn any_other_key_fails(given in given(), key_t in any::<[u8; 32]>()) {
        prop_assume!(key_t != given.key_t);
        let other = Given { key_t, ..given.clone() };
        prop_assert_eq!(other.open(&given.seal(), &given.topic, &signer().public()), None);
    }

    #[test]
    fn a_signed_message_fails_under_any_other_signing_key(given in given(), seed in any::<[u8; 32]>()) {
        prop_assume!(given.flags.contains(Flags::SIGNED) && seed != [1; 32]);
        let other = SigningKey::from_seed(Secret::from_bytes(seed)).public();
        prop_assert_eq!(given.open(&given.seal(), &given.topic, &other), None);
    }

    #[test]
    fn changing_the_spelling_needs_no_key_and_loses_nothing(given in given()) {
        let sealed = given.seal();
        let message = SealedMessage::parse(&sealed).unwrap();
        let (json, binary) = (message.to_json(), message.to_binary());
        prop_assert_eq!(SealedMessage::parse(&json).unwrap().to_binary(), binary.clone());
        prop_assert_eq!(SealedMessage::parse(&binary).unwrap().to_json(), json.clone());
        prop_assert!(sealed == json || sealed == binary);
        for spelt in [json, binary] {
            prop_assert_eq!(given.open(&spelt, &given.topic, &signer().public()), Some(given.bytes.clone()));
        }
    }

    #[test]
    fn arbitrary_bytes_are_read_without_a_panic(payload in vec(any::<u8>(), 0..300), as_version in any::<bool>()) {
        let mut payload = payload;
        if let (true, Some(first)) = (as_version, payload.first_mut()) {
            *first = if *first % 2 == 0 { 1 } else { b'{' };
        }
        if let Ok(message) = SealedMessage::parse(&payload) {
            prop_assert_eq!(SealedMessage::parse(&message.to_json()).unwrap().to_binary(), message.to_binary());
        }
    }

    #[test]
    fn objects_that_nearly_are_messages_are_read_without_a_panic(
        text in r#"\{[ ]?"(keyId|data|x)"[ :]{1,2}"[A-Za-z0-9_=\\-]{0,40}"[ ,]?("(keyId|data)":"[A-Za-z0-9_-]{0,120}")?[ }]{0,2}"#,
    ) {
        if let Ok(message) = SealedMessage::parse(text.as_bytes()) {
            prop_assert_eq!(SealedMessage::parse(&message.to_json()).unwrap().to_binary(), message.to_binary());
        }
    }

    #[test]
    fn padding_hides_the_length_up_to_the_block(given in given(), more in 0usize..64) {
        let block = 64u16;
        let sealed_bytes = |bytes: usize| {
            let padded = Given { bytes: vec![0; bytes], pad_bytes: block, flags: Flags::PADDED, ..given.clone() };
            padded.seal().len()
        };
        let begin = given.bytes.len() / 64 * 64;
        prop_assert_eq!(sealed_bytes(begin), sealed_bytes(begin + more));
        prop_assert!(sealed_bytes(begin) < sealed_bytes(begin + 64));
    }
}

#[test]
fn the_longest_topic_seals_and_opens() {
    let topic = "t".repeat(TOPIC_BYTES_MAX);
    let given = Given {
        key_t: [0; 32],
        suite: Suite::Aes256Gcm,
        flags: Flags::SIGNED,
        publisher: 1,
        session: 2,
        ts: 3,
        topic: topic.clone(),
        topic_seq: 4,
        content: ContentType::Octets,
        bytes: vec![5],
        pad_bytes: 0,
        spelling: Spelling::Json,
    };
    assert_eq!(given.open(&given.seal(), &topic, &signer().public()), Some(vec![5]));
}

#[test]
fn every_bit_of_a_small_message_counts() {
    let given = Given {
        key_t: [9; 32],
        suite: Suite::Aes256Gcm,
        flags: Flags::SIGNED,
        publisher: 1,
        session: 2,
        ts: 3,
        topic: "a/b".into(),
        topic_seq: 4,
        content: ContentType::Json,
        bytes: b"{}".to_vec(),
        pad_bytes: 0,
        spelling: Spelling::Binary,
    };
    for spelling in [Spelling::Binary, Spelling::Json] {
        let sealed = Given { spelling, ..given.clone() }.seal();
        for at in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert_eq!(given.open(&flipped, "a/b", &signer().public()), None, "bit {at}, {spelling:?}");
        }
    }
}
