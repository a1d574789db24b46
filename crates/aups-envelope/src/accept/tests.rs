use super::*;
use crate::{
    Certificate, Plaintext, SealingKey, SigningKey, Spelling,
    fixture::{DEC, EXP, NBF, NOW, PUBLISHER, SESSION, TOPIC, entry, entry_of, plaintext},
};
use aups_core::{Bump, Epoch, Flags, Suite};

/// A NOS that seals, a broker that does what it likes, and a reader.
struct World {
    acceptance: Acceptance,
    ring: KeyRing,
    signer: SigningKey,
    sealing: SealingKey,
    items: u64,
}

fn limits() -> AcceptanceLimits {
    AcceptanceLimits::default()
}

impl World {
    fn new() -> Self {
        Self::with(entry(Suite::Aes256Gcm, Flags::NONE), limits())
    }

    fn with(entry: KeyEntry, limits: AcceptanceLimits) -> Self {
        let signer = SigningKey::generate();
        let sealing = SealingKey::new(&entry, PUBLISHER, SESSION);
        let mut ring = KeyRing::new();
        ring.insert(entry).unwrap();
        ring.list(vec![certificate(PUBLISHER, &signer)]);
        Self { acceptance: Acceptance::new(limits), ring, signer, sealing, items: 0 }
    }

    /// The NOS begins anew.
    fn restart(&mut self, session: Session) {
        let entry = self.ring.get(&self.sealing.key_id()).unwrap();
        self.sealing = SealingKey::new(entry, PUBLISHER, session);
    }

    fn item(&mut self) -> Vec<u8> {
        self.items += 1;
        item(self.items)
    }

    fn seal(&mut self, topic_seq: u32, ts: UnixMillis) -> Vec<u8> {
        let item = self.item();
        self.seal_as(&Plaintext { topic_seq, ts, ..plaintext(&item) })
    }

    fn seal_as(&self, plaintext: &Plaintext<'_>) -> Vec<u8> {
        self.sealing.seal(plaintext, Some(&self.signer), Spelling::Binary).unwrap()
    }

    fn arrives(&mut self, payload: &[u8]) -> Result<Accepted, Rejection> {
        self.arrives_at(payload, NOW, false)
    }

    fn arrives_retained(&mut self, payload: &[u8]) -> Result<Accepted, Rejection> {
        self.arrives_at(payload, NOW, true)
    }

    fn arrives_at(&mut self, payload: &[u8], now: UnixMillis, retain: bool) -> Result<Accepted, Rejection> {
        self.acceptance.accept(&Arrival { topic: TOPIC, payload, retain, now }, &self.ring)
    }
}

fn item(number: u64) -> Vec<u8> {
    format!(r#"{{"id":"01890000-0000-7000-8000-{number:012x}","more":[1,2,3]}}"#).into_bytes()
}

fn certificate(publisher: PublisherSlot, signer: &SigningKey) -> Certificate {
    let exp = UnixMillis(DEC.0 + 86_400_000);
    Certificate { nos: "nos-1".parse().unwrap(), publisher, signing_key: signer.public(), iat: NBF, exp }
}

fn outcome(result: Result<Accepted, Rejection>) -> Result<(Outcome, u32), Rejection> {
    result.map(|accepted| (accepted.outcome, accepted.gap.map_or(0, |gap| gap.missed)))
}

fn before(now: UnixMillis, ms: u64) -> UnixMillis {
    UnixMillis(now.0 - ms)
}

#[test]
fn messages_in_order_are_fresh_and_without_gap() {
    let mut world = World::new();
    for seq in 0..5 {
        let sealed = world.seal(seq, NOW);
        let accepted = world.arrives(&sealed).unwrap();
        assert_eq!(accepted.plaintext, item(world.items));
        assert_eq!((accepted.header.topic_seq, accepted.outcome, accepted.gap), (seq, Outcome::Fresh, None));
    }
}

#[test]
fn a_repeated_message_is_a_duplicate_in_either_spelling() {
    let mut world = World::new();
    let sealed = world.seal(0, NOW);
    assert!(world.arrives(&sealed).is_ok());
    assert_eq!(outcome(world.arrives(&sealed)), Err(Rejection::Duplicate));
    let respelt = SealedMessage::parse(&sealed).unwrap().to_json();
    assert_eq!(outcome(world.arrives(&respelt)), Err(Rejection::Duplicate));
    assert_eq!(outcome(world.arrives_retained(&sealed)), Err(Rejection::Duplicate));
}

#[test]
fn an_item_that_comes_again_in_another_message_is_a_duplicate_and_makes_no_gap() {
    let mut world = World::new();
    let item = item(1);
    let first = world.seal_as(&plaintext(&item));
    let again = world.seal_as(&Plaintext { topic_seq: 1, ..plaintext(&item) });
    assert!(world.arrives(&first).is_ok());
    assert_eq!(outcome(world.arrives(&again)), Err(Rejection::Duplicate));
    world.items = 1;
    let next = world.seal(2, NOW);
    assert_eq!(outcome(world.arrives(&next)), Ok((Outcome::Fresh, 0)));
}

#[test]
fn a_gap_before_a_repeated_item_is_told_with_the_next_message() {
    let mut world = World::new();
    let item = item(1);
    let first = world.seal_as(&plaintext(&item));
    let again = world.seal_as(&Plaintext { topic_seq: 3, ..plaintext(&item) });
    assert!(world.arrives(&first).is_ok());
    assert_eq!(outcome(world.arrives(&again)), Err(Rejection::Duplicate));
    world.items = 1;
    let next = world.seal(4, NOW);
    assert_eq!(outcome(world.arrives(&next)), Ok((Outcome::Fresh, 2)));
}

#[test]
fn item_ids_are_remembered_for_1024_items_of_the_topic() {
    let mut world = World::new();
    let ids: Vec<Vec<u8>> = (0..=1_024).map(|_| world.item()).collect();
    let mut seq = 0;
    let mut publish = |world: &mut World, bytes: &[u8]| {
        let sealed = world.seal_as(&Plaintext { topic_seq: seq, ..plaintext(bytes) });
        seq += 1;
        outcome(world.arrives(&sealed))
    };
    for id in &ids[..1_024] {
        assert!(publish(&mut world, id).is_ok());
    }
    assert_eq!(publish(&mut world, &ids[0]), Err(Rejection::Duplicate));
    assert!(publish(&mut world, &ids[1_024]).is_ok());
    assert!(publish(&mut world, &ids[0]).is_ok(), "forgotten");
    assert_eq!(publish(&mut world, &ids[2]), Err(Rejection::Duplicate));
}

#[test]
fn a_jump_is_a_gap_and_what_comes_after_all_is_late() {
    let mut world = World::new();
    let sealed: Vec<_> = (0..5).map(|seq| world.seal(seq, NOW)).collect();
    assert_eq!(outcome(world.arrives(&sealed[0])), Ok((Outcome::Fresh, 0)));
    assert_eq!(outcome(world.arrives(&sealed[4])), Ok((Outcome::Fresh, 3)));
    assert_eq!(outcome(world.arrives(&sealed[2])), Ok((Outcome::Late, 0)));
    assert_eq!(outcome(world.arrives(&sealed[1])), Ok((Outcome::Late, 0)));
    assert_eq!(outcome(world.arrives(&sealed[2])), Err(Rejection::Duplicate));
}

#[test]
fn the_first_message_that_is_seen_makes_no_gap() {
    let mut world = World::new();
    let sealed = world.seal(500, NOW);
    assert_eq!(outcome(world.arrives(&sealed)), Ok((Outcome::Fresh, 0)));
}

#[test]
fn below_the_window_is_stale() {
    let mut world = World::new();
    let sealed: Vec<_> = [0, 1, 1_024, 1_025].map(|seq| world.seal(seq, NOW)).into();
    assert_eq!(outcome(world.arrives(&sealed[2])), Ok((Outcome::Fresh, 0)));
    assert_eq!(outcome(world.arrives(&sealed[0])), Err(Rejection::Stale));
    assert_eq!(outcome(world.arrives(&sealed[1])), Ok((Outcome::Late, 0)));
    assert_eq!(outcome(world.arrives(&sealed[3])), Ok((Outcome::Fresh, 0)));
}

#[test]
fn an_old_message_is_late_by_the_age_that_was_chosen() {
    let mut world = World::with(
        entry(Suite::Aes256Gcm, Flags::NONE),
        AcceptanceLimits { max_age: Duration::from_secs(1), ..limits() },
    );
    for (seq, (ts, expected)) in [
        (before(NOW, 1_000), Outcome::Fresh),
        (before(NOW, 1_001), Outcome::Late),
        (UnixMillis(NOW.0 + 1_000), Outcome::Fresh),
        (UnixMillis(NOW.0 + 1_001), Outcome::Late),
    ]
    .into_iter()
    .enumerate()
    {
        let sealed = world.seal(u32::try_from(seq).unwrap(), ts);
        assert_eq!(outcome(world.arrives(&sealed)), Ok((expected, 0)), "{ts}");
    }
}

#[test]
fn an_older_incarnation_is_late_and_a_newer_one_counts_anew() {
    let mut world = World::new();
    let old = [world.seal(7, NOW), world.seal(8, NOW)];
    world.restart(Session::new(SESSION.incarnation() + 1, 1));
    let new = world.seal(0, NOW);
    assert_eq!(outcome(world.arrives(&old[0])), Ok((Outcome::Fresh, 0)));
    assert_eq!(outcome(world.arrives(&new)), Ok((Outcome::Fresh, 0)));
    assert_eq!(outcome(world.arrives(&old[1])), Ok((Outcome::Late, 0)));
}

#[test]
fn topics_scopes_and_publishers_count_by_themselves() {
    let mut world = World::new();
    let here = world.seal(3, NOW);
    let (item_there, item_scope, item_publisher) = (world.item(), world.item(), world.item());
    let there = world.seal_as(&Plaintext { topic: "b", topic_seq: 3, ..plaintext(&item_there) });
    assert!(world.arrives(&here).is_ok());
    let arrival = Arrival { topic: "b", payload: &there, retain: false, now: NOW };
    assert!(world.acceptance.accept(&arrival, &world.ring).is_ok());

    let scope = entry_of(ScopeTag::from_bytes([9; 8]), Suite::Aes256Gcm, Flags::NONE, Epoch(9), Bump(0), NBF);
    let sealing = SealingKey::new(&scope, PUBLISHER, SESSION);
    world.ring.insert(scope).unwrap();
    let sealed = sealing.seal(&Plaintext { topic_seq: 3, ..plaintext(&item_scope) }, None, Spelling::Json).unwrap();
    assert!(world.arrives(&sealed).is_ok());

    let other = PublisherSlot(8);
    world.ring.list(vec![certificate(PUBLISHER, &world.signer), certificate(other, &world.signer)]);
    let sealing = SealingKey::new(world.ring.get(&world.sealing.key_id()).unwrap(), other, SESSION);
    let sealed = sealing.seal(&Plaintext { topic_seq: 3, ..plaintext(&item_publisher) }, None, Spelling::Json).unwrap();
    assert!(world.arrives(&sealed).is_ok());
}

#[test]
fn the_topic_counter_goes_on_across_epochs() {
    let mut world = World::new();
    let sealed = world.seal(3, NOW);
    assert!(world.arrives(&sealed).is_ok());
    let next = entry_of(ScopeTag::from_bytes(*b"scopetag"), Suite::Aes256Gcm, Flags::NONE, Epoch(10), Bump(0), NBF);
    world.sealing = SealingKey::new(&next, PUBLISHER, SESSION);
    world.ring.insert(next).unwrap();
    let item = world.item();
    let replayed_seq = world.seal_as(&Plaintext { topic_seq: 3, ..plaintext(&item) });
    assert_eq!(outcome(world.arrives(&replayed_seq)), Err(Rejection::Duplicate));
    let sealed = world.seal(5, NOW);
    assert_eq!(outcome(world.arrives(&sealed)), Ok((Outcome::Fresh, 1)));
}

#[test]
fn a_retained_message_is_taken_once_per_subscription() {
    let mut world = World::new();
    let sealed: Vec<_> = (0..4).map(|seq| world.seal(seq, UnixMillis(NBF.0 + u64::from(seq)))).collect();
    assert_eq!(outcome(world.arrives_retained(&sealed[0])), Ok((Outcome::Retained, 0)));
    assert_eq!(outcome(world.arrives_retained(&sealed[1])), Err(Rejection::RetainedAgain));
    assert_eq!(outcome(world.arrives(&sealed[2])), Ok((Outcome::Late, 1)));
    world.acceptance.begin_subscription();
    assert_eq!(outcome(world.arrives_retained(&sealed[1])), Err(Rejection::RetainedNotNewer));
    assert_eq!(outcome(world.arrives_retained(&sealed[2])), Err(Rejection::Duplicate));
    assert_eq!(outcome(world.arrives_retained(&sealed[3])), Ok((Outcome::Retained, 0)));
}

#[test]
fn a_late_message_does_not_make_an_older_retained_one_newer() {
    let mut world = World::new();
    let sealed: Vec<_> = [3, 5, 9].map(|ms| world.seal(u32::try_from(ms).unwrap(), UnixMillis(NBF.0 + ms))).into();
    assert_eq!(outcome(world.arrives(&sealed[2])), Ok((Outcome::Late, 0)));
    assert_eq!(outcome(world.arrives(&sealed[0])), Ok((Outcome::Late, 0)));
    assert_eq!(outcome(world.arrives_retained(&sealed[1])), Err(Rejection::RetainedNotNewer));
}

#[test]
fn a_retained_message_that_is_refused_is_not_remembered() {
    let mut world = World::new();
    let sealed: Vec<_> = (0..2).map(|seq| world.seal(seq, NOW)).collect();
    assert_eq!(outcome(world.arrives(&sealed[1])), Ok((Outcome::Fresh, 0)));
    assert_eq!(outcome(world.arrives_retained(&sealed[0])), Err(Rejection::RetainedNotNewer));
    assert_eq!(outcome(world.arrives(&sealed[0])), Ok((Outcome::Late, 0)));
}

#[test]
fn a_retained_message_may_be_of_any_age_until_dec() {
    let mut world = World::new();
    let sealed = world.seal(0, NBF);
    assert_eq!(outcome(world.arrives_at(&sealed, UnixMillis(DEC.0 + 1), true)), Err(Rejection::TooOld(DEC)));
    assert_eq!(outcome(world.arrives_at(&sealed, DEC, true)), Ok((Outcome::Retained, 0)));
}

#[test]
fn nothing_opens_after_dec() {
    let mut world = World::new();
    let sealed = [world.seal(0, NOW), world.seal(1, NOW)];
    assert_eq!(outcome(world.arrives_at(&sealed[0], DEC, false)), Ok((Outcome::Late, 0)));
    assert_eq!(outcome(world.arrives_at(&sealed[1], UnixMillis(DEC.0 + 1), false)), Err(Rejection::TooOld(DEC)));
}

/// Seals with a key of the same secret and id but looser times: what a NOS with a wrong clock, or a thief, would do.
fn seal_at(entry: &KeyEntry, ts: UnixMillis) -> Vec<u8> {
    let mut loose = entry.duplicate();
    (loose.terms.nbf, loose.terms.exp) = (UnixMillis(0), UnixMillis(u64::MAX));
    let item = item(1);
    SealingKey::new(&loose, PUBLISHER, SESSION)
        .seal(&Plaintext { ts, ..plaintext(&item) }, None, Spelling::Binary)
        .unwrap()
}

#[test]
fn a_message_is_sealed_in_the_validity_of_its_key_give_or_take_the_skew() {
    let entry = entry(Suite::Aes256Gcm, Flags::NONE);
    for (ts, taken) in [
        (before(NBF, 30_001), false),
        (before(NBF, 30_000), true),
        (UnixMillis(EXP.0 + 30_000), true),
        (UnixMillis(EXP.0 + 30_001), false),
        (UnixMillis(0), false),
    ] {
        let mut world = World::with(entry.duplicate(), limits());
        let arrived = outcome(world.arrives(&seal_at(&entry, ts)));
        let refused = Err(Rejection::OutsideValidity { ts, nbf: NBF, exp: EXP });
        if taken { assert!(arrived.is_ok(), "{ts}") } else { assert_eq!(arrived, refused) }
    }
}

#[test]
fn a_revoked_key_opens_what_was_sealed_before_and_nothing_after() {
    let bumped_at = UnixMillis(NBF.0 + 50_000);
    let entry = entry(Suite::Aes256Gcm, Flags::NONE);
    let bumped =
        entry_of(ScopeTag::from_bytes(*b"scopetag"), Suite::Aes256Gcm, Flags::NONE, Epoch(9), Bump(1), bumped_at);
    for (ts, taken) in
        [(bumped_at, true), (UnixMillis(bumped_at.0 + 29_999), true), (UnixMillis(bumped_at.0 + 30_000), false)]
    {
        let mut world = World::with(entry.duplicate(), limits());
        let sealed = world.seal(0, ts);
        world.ring.insert(bumped.duplicate()).unwrap();
        let arrived = outcome(world.arrives(&sealed));
        if taken {
            assert!(arrived.is_ok());
        } else {
            assert_eq!(arrived, Err(Rejection::Superseded(bumped_at)));
        }
        // The new key is not bound by its own bump, nor is another scope.
        world.sealing = SealingKey::new(&bumped, PUBLISHER, SESSION);
        let sealed = world.seal(1, NOW);
        assert!(world.arrives(&sealed).is_ok());
    }
}

#[test]
fn publishers_are_listed_and_not_withdrawn() {
    let mut world = World::new();
    let sealed = world.seal(0, NOW);
    world.ring.list(vec![]);
    assert_eq!(outcome(world.arrives(&sealed)), Err(Rejection::Withdrawn(PUBLISHER)));
    world.ring = KeyRing::new();
    assert_eq!(outcome(world.arrives(&sealed)), Err(Rejection::UnknownKey(world.sealing.key_id())));
    world.ring.insert(entry(Suite::Aes256Gcm, Flags::NONE)).unwrap();
    assert_eq!(outcome(world.arrives(&sealed)), Err(Rejection::UnknownPublisher(PUBLISHER)));
    world.ring.list(vec![certificate(PUBLISHER, &world.signer)]);
    assert!(world.arrives(&sealed).is_ok());
}

#[test]
fn slot_zero_publishes_nothing() {
    let mut world = World::new();
    let entry = entry(Suite::Aes256Gcm, Flags::NONE);
    let item = item(1);
    let none = PublisherSlot(0);
    let sealed = SealingKey::new(&entry, none, SESSION).seal(&plaintext(&item), None, Spelling::Json).unwrap();
    assert_eq!(outcome(world.arrives(&sealed)), Err(Rejection::UnknownPublisher(none)));
}

#[test]
fn a_reader_who_holds_the_key_cannot_forge_as_the_nos() {
    let mut world = World::with(entry(Suite::Aes256Gcm, Flags::SIGNED), limits());
    let genuine = world.seal(0, NOW);
    assert!(world.arrives(&genuine).is_ok());
    world.signer = SigningKey::generate();
    let forged = world.seal(1, NOW);
    assert_eq!(outcome(world.arrives(&forged)), Err(Rejection::BadSignature));
}

#[test]
fn what_was_changed_or_moved_leaves_no_trace() {
    let mut world = World::new();
    let sealed = world.seal(0, NOW);
    for at in 56..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 1;
        assert_eq!(outcome(world.arrives(&altered)), Err(Rejection::BadTag));
    }
    let elsewhere = Arrival { topic: "data/s2/temperature", payload: &sealed, retain: false, now: NOW };
    assert_eq!(outcome(world.acceptance.accept(&elsewhere, &world.ring)), Err(Rejection::BadTag));
    assert_eq!(outcome(world.arrives(b"hello")), Err(Rejection::Format(FormatError::UnknownVersion(b'h'))));
    // Another session: its subkey is derived, and must not be remembered.
    let mut altered = sealed.clone();
    altered[15] ^= 1;
    assert_eq!(outcome(world.arrives(&altered)), Err(Rejection::BadTag));
    assert!(
        world.acceptance.opening_keys.get_mut(&(world.sealing.key_id(), PUBLISHER, Session(SESSION.0 ^ 1))).is_none()
    );
    assert_eq!(outcome(world.arrives(&sealed)), Ok((Outcome::Fresh, 0)));
}

#[test]
fn an_item_has_an_id() {
    let mut world = World::new();
    for bad in [&b"{}"[..], b"1", b"", br#"{"id":"x"}"#, br#"{"id":1}"#, br#"["01890000-0000-7000-8000-000000000001"]"#]
    {
        let sealed = world.seal_as(&plaintext(bad));
        assert_eq!(outcome(world.arrives(&sealed)), Err(Rejection::BadItem), "{}", String::from_utf8_lossy(bad));
    }
    let octets = world.seal_as(&Plaintext { content: ContentType::Octets, ..plaintext(b"\x00") });
    assert_eq!(world.arrives(&octets).unwrap().plaintext, b"\x00");
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut world = World::with(
        entry(Suite::Aes256Gcm, Flags::NONE),
        AcceptanceLimits { windows_max: 4, topics_max: 4, opening_keys_max: 4, ..limits() },
    );
    let sealed: Vec<(String, Vec<u8>)> = (0..20)
        .map(|number| {
            let (topic, item) = (format!("t/{number}"), world.item());
            let sealed = world.seal_as(&Plaintext { topic: &topic, ..plaintext(&item) });
            (topic, sealed)
        })
        .collect();
    let mut arrives = |(topic, payload): &(String, Vec<u8>)| {
        outcome(world.acceptance.accept(&Arrival { topic, payload, retain: false, now: NOW }, &world.ring))
    };
    for message in &sealed {
        assert!(arrives(message).is_ok());
    }
    assert_eq!(arrives(&sealed[19]), Err(Rejection::Duplicate));
    assert!(arrives(&sealed[0]).is_ok(), "forgotten: the price of a bound");
}
