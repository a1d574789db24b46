//! Keys, and messages under them.

use crate::{
    Stage, measured,
    sample::{self, NOW, TOPIC},
};
use anyhow::anyhow;
use aups_core::{Bump, Epoch, Flags, PublisherSlot, ScopeId, ScopeTag, Session, Suite, UnixMillis};
use aups_envelope::{
    Certificate, ContentType, KeyEntry, KeyTerms, Plaintext, SealingKey, Secret, SigningKey, Spelling,
    accept::{Acceptance, AcceptanceLimits, Arrival, KeyRing},
    schedule::derive_key_t,
};
use std::hint::black_box;

pub(crate) const STAGES: &[Stage] = &[
    Stage {
        name: "key-derivation",
        operation: "a scope's key of an epoch: keyT, its commitment, and the subkey of a session ready to seal",
        times: 1_000,
        run: |times| {
            derive(times);
            Ok(())
        },
    },
    Stage {
        name: "seal-aes-256-gcm",
        operation: "an item of 437 bytes sealed, in the JSON spelling",
        times: 5_000,
        run: |times| seal(Suite::Aes256Gcm, sample::small(), times),
    },
    Stage {
        name: "seal-aes-256-gcm-1k",
        operation: "the same with 1 KiB",
        times: 5_000,
        run: |times| seal(Suite::Aes256Gcm, &sample::kibibyte(), times),
    },
    Stage {
        name: "seal-chacha20-poly1305",
        operation: "an item of 437 bytes sealed, in the JSON spelling",
        times: 5_000,
        run: |times| seal(Suite::ChaCha20Poly1305, sample::small(), times),
    },
    Stage {
        name: "seal-chacha20-poly1305-1k",
        operation: "the same with 1 KiB",
        times: 5_000,
        run: |times| seal(Suite::ChaCha20Poly1305, &sample::kibibyte(), times),
    },
    Stage {
        name: "open",
        operation: "a message of 437 bytes accepted by a reader: read, decrypted (AES-256-GCM), checked for replay",
        times: OPENED,
        run: open,
    },
];

const PUBLISHER: PublisherSlot = PublisherSlot(1);
const SESSION: Session = Session::new(1, 2);
const SCOPE: ScopeId = ScopeId::from_bytes([1; 32]);

fn terms(suite: Suite, epoch: Epoch) -> KeyTerms {
    let (nbf, exp) = (UnixMillis(0), UnixMillis(NOW.0 * 2));
    KeyTerms { suite, flags: Flags::NONE, scope: SCOPE, epoch, bump: Bump(0), nbf, exp, dec: exp }
}

fn entry(suite: Suite) -> KeyEntry {
    let tag = ScopeTag::from_bytes([1; 8]);
    KeyEntry::new(tag, Secret::from_bytes([5; 32]), terms(suite, Epoch(1)), UnixMillis(0))
}

fn plaintext(bytes: &[u8], topic_seq: u32) -> Plaintext<'_> {
    Plaintext { topic: TOPIC, topic_seq, ts: NOW, content: ContentType::Json, bytes, pad_bytes: 0 }
}

fn derive(times: u32) {
    let (root, salt, tag) = (Secret::from_bytes([2; 32]), Secret::from_bytes([3; 32]), ScopeTag::from_bytes([1; 8]));
    measured(|| {
        (0..times).map(Epoch).for_each(|epoch| {
            let key_t = derive_key_t(&root, &salt, &SCOPE, epoch, Bump(0));
            let entry = KeyEntry::new(tag, key_t, terms(Suite::Aes256Gcm, epoch), UnixMillis(0));
            black_box(SealingKey::new(&entry, PUBLISHER, SESSION));
        });
    });
}

fn seal(suite: Suite, bytes: &[u8], times: u32) -> anyhow::Result<()> {
    let key = SealingKey::new(&entry(suite), PUBLISHER, SESSION);
    measured(|| {
        (0..times).try_for_each(|number| {
            black_box(key.seal(black_box(&plaintext(bytes, number)), None, Spelling::Json))?;
            Ok(())
        })
    })
}

/// How many messages are opened; twice as many are sealed beforehand, however many are.
const OPENED: u32 = 2_000;

fn open(times: u32) -> anyhow::Result<()> {
    let sealing = SealingKey::new(&entry(Suite::Aes256Gcm), PUBLISHER, SESSION);
    let seal = |number| sealing.seal(&plaintext(sample::numbered(number).as_bytes(), number), None, Spelling::Json);
    let messages: Vec<_> = (0..2 * OPENED).map(seal).collect::<Result<_, _>>()?;
    let mut ring = KeyRing::new();
    ring.insert(entry(Suite::Aes256Gcm))?;
    let signing_key = SigningKey::from_seed(Secret::from_bytes([9; 32])).public();
    let exp = UnixMillis(NOW.0 * 2);
    ring.list(vec![Certificate { nos: "nos-1".parse()?, publisher: PUBLISHER, signing_key, iat: NOW, exp }]);
    let mut acceptance = Acceptance::new(AcceptanceLimits::default());
    measured(|| {
        messages.iter().zip(0..times).try_for_each(|(payload, _)| {
            let arrival = Arrival { topic: TOPIC, payload, retain: false, now: NOW };
            black_box(acceptance.accept(&arrival, &ring)).map_err(|rejection| anyhow!("{rejection}"))?;
            Ok(())
        })
    })
}
