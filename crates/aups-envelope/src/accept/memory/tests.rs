use super::*;
use crate::{
    Certificate, Plaintext, SealingKey, SigningKey, Spelling,
    accept::{AcceptanceLimits, Arrival, Outcome, Rejection},
    fixture::{DEC, NBF, NOW, PUBLISHER, SESSION, TOPIC, entry, plaintext},
};
use aups_core::{Bump, Flags, Suite};

/// A reader that takes messages of one NOS.
struct World {
    acceptance: Acceptance,
    ring: KeyRing,
    sealing: SealingKey,
    journal: Vec<Memory>,
}

impl World {
    fn new() -> Self {
        let entry = entry(Suite::Aes256Gcm, Flags::NONE);
        let sealing = SealingKey::new(&entry, PUBLISHER, SESSION);
        let mut ring = KeyRing::new();
        ring.insert(entry).unwrap();
        let exp = UnixMillis(DEC.0 + 86_400_000);
        let signing_key = SigningKey::generate().public();
        ring.list(vec![Certificate {
            nos: "nos-1".parse().unwrap(),
            publisher: PUBLISHER,
            signing_key,
            iat: NBF,
            exp,
        }]);
        Self { acceptance: Acceptance::new(AcceptanceLimits::default()), ring, sealing, journal: Vec::new() }
    }

    fn seal(&self, topic_seq: u32) -> Vec<u8> {
        let item = format!(r#"{{"id":"01890000-0000-7000-8000-{topic_seq:012x}"}}"#);
        let ts = UnixMillis(NOW.0 + u64::from(topic_seq));
        let plaintext = Plaintext { topic_seq, ts, ..plaintext(item.as_bytes()) };
        self.sealing.seal(&plaintext, None, Spelling::Binary).unwrap()
    }

    fn arrives(&mut self, payload: &[u8], retain: bool) -> Result<Outcome, Rejection> {
        let arrival = Arrival { topic: TOPIC, payload, retain, now: NOW };
        let accepted = self.acceptance.accept(&arrival, &self.ring)?;
        self.journal.push(accepted.memory(TOPIC));
        Ok(accepted.outcome)
    }

    /// Starts anew with what was written down.
    fn restart(&mut self, memories: Vec<Memory>) {
        self.acceptance = Acceptance::new(AcceptanceLimits::default());
        for memory in memories {
            let json = serde_json::to_vec(&memory).unwrap();
            let read: Memory = serde_json::from_slice(&json).unwrap();
            assert_eq!(read, memory);
            self.acceptance.remember(&read);
        }
    }
}

#[test]
fn what_was_taken_is_known_after_a_restart_from_a_snapshot_and_from_single_messages() {
    for from_snapshot in [true, false] {
        let mut world = World::new();
        let [first, second, third, fourth, far] = [0, 1, 2, 3, 2_000].map(|seq| world.seal(seq));
        for payload in [&first, &third, &far] {
            world.arrives(payload, false).unwrap();
        }
        let memories = if from_snapshot { world.acceptance.memories().collect() } else { world.journal.clone() };
        world.restart(memories);
        assert_eq!(world.arrives(&far, false), Err(Rejection::Duplicate));
        assert_eq!(world.arrives(&far, true), Err(Rejection::Duplicate));
        for below in [&first, &second, &third] {
            assert_eq!(world.arrives(below, false), Err(Rejection::Stale));
        }
        // Rolled back: older than what came, whoever says that it is the last.
        let ahead = world.seal(1_990);
        assert_eq!(world.arrives(&ahead, true), Err(Rejection::RetainedNotNewer));
        assert_eq!(world.arrives(&ahead, false), Ok(Outcome::Late));
        assert_eq!(world.arrives(&fourth, true), Err(Rejection::Stale));
    }
}

#[test]
fn an_older_incarnation_and_an_item_under_a_new_seal_are_known_after_a_restart() {
    let mut world = World::new();
    let old = world.seal(5);
    let entry = entry(Suite::Aes256Gcm, Flags::NONE);
    let mut again = World::new();
    std::mem::swap(&mut again.sealing, &mut world.sealing);
    world.sealing = SealingKey::new(&entry, PUBLISHER, Session::new(SESSION.incarnation() + 1, 0));
    let (new, resealed) = (world.seal(0), world.seal(5));
    assert_eq!(world.arrives(&new, false), Ok(Outcome::Fresh));
    assert_eq!(world.arrives(&resealed, false), Ok(Outcome::Fresh));
    world.restart(world.journal.clone());
    assert_eq!(world.arrives(&old, false), Err(Rejection::Duplicate), "the same item");
    let old_incarnation = again.seal(6);
    assert_eq!(world.arrives(&old_incarnation, false), Ok(Outcome::Late));
}

#[test]
fn a_bump_is_known_although_its_key_is_not_held() {
    let mut world = World::new();
    let held = world.sealing.key_id();
    let bumped = KeyId::new(held.scope_tag(), held.epoch(), Bump(held.bump().0 + 1), [7; 10]);
    world.ring.remember(&Memory::Bump { key_id: bumped, from: UnixMillis(NOW.0 - 60_000) });
    let message = world.seal(0);
    assert!(matches!(world.arrives(&message, false), Err(Rejection::Superseded(_))));
    assert!(world.ring.memories().any(|memory| matches!(memory, Memory::Bump { key_id, .. } if key_id == bumped)));
}

#[test]
fn what_is_remembered_is_bounded() {
    let limits = AcceptanceLimits { windows_max: 8, topics_max: 8, ..AcceptanceLimits::default() };
    let mut acceptance = Acceptance::new(limits);
    let mut ring = KeyRing::new();
    for number in 0..10_000_u32 {
        acceptance.remember(&Memory::Taken(Taken {
            topic: number.to_string().into(),
            publisher: PUBLISHER,
            session: SESSION,
            scope: ScopeTag::from_bytes([0; 8]),
            topic_seq: number,
            ts: NOW,
            item: None,
        }));
        let [a, b, c, d] = number.to_be_bytes();
        let mut key_id = [0; KeyId::BYTES];
        key_id[20..].copy_from_slice(&[a, b, c, d]);
        ring.remember(&Memory::Bump { key_id: KeyId::from_bytes(key_id), from: NOW });
    }
    assert!(acceptance.memories().count() <= 8 + 8 + 1);
    assert_eq!(ring.memories().count(), super::super::KEYS_MAX);
}
