use super::*;
use aups_core::{Bump, Epoch, Flags, ManualClock, PublisherSlot, ScopeId, ScopeTag, Session, Suite};
use aups_envelope::{
    ContentType, KeyEntry, KeyTerms, Plaintext, SealingKey, Secret, Spelling, schedule::validity, sha256,
};
use tokio::time::advance;

const NOW: UnixMillis = UnixMillis(1_780_000_000_000);

fn clock(wall: UnixMillis) -> (DisciplinedClock, Arc<ManualClock>) {
    let wall = Arc::new(ManualClock::at(wall));
    (DisciplinedClock::new(wall.clone()), wall)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An answer that took so long, half of it there.
async fn observe(clock: &DisciplinedClock, ktm_at_sending: UnixMillis, round_trip: Duration) {
    let sent = Instant::now();
    advance(round_trip).await;
    clock.observe(ktm_at_sending.plus(round_trip / 2), sent, Instant::now());
}

#[tokio::test(start_paused = true)]
async fn it_is_the_wall_clock_until_the_ktm_answers_and_the_ktms_from_then_on() {
    let (clock, wall) = clock(NOW);
    assert_eq!((clock.now(), clock.skew_ms()), (NOW, None));
    observe(&clock, NOW.plus(ms(5_000)), ms(20)).await;
    assert_eq!(clock.now(), NOW.plus(ms(5_020)));
    assert_eq!(clock.skew_ms(), Some(-5_020));
    advance(ms(1_000)).await;
    assert_eq!(clock.now(), NOW.plus(ms(6_020)));
    wall.set(NOW.plus(ms(60_000)));
    assert_eq!(clock.now(), NOW.plus(ms(6_020)), "the wall clock has no say any more");
    assert_eq!(clock.skew_ms(), Some(53_980));
}

#[tokio::test(start_paused = true)]
async fn thirty_seconds_are_let_pass_and_not_a_millisecond_more() {
    let (clock, wall) = clock(NOW);
    observe(&clock, NOW, ms(0)).await;
    for (skew, stops) in [(0, false), (30_000, false), (30_001, true)] {
        wall.set(NOW.plus(ms(skew)));
        assert_eq!(clock.too_skewed().is_some(), stops, "{skew}");
        wall.set(UnixMillis(NOW.0 - skew));
        assert_eq!(clock.too_skewed().is_some(), stops, "-{skew}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_does_not_spoil_a_good_measurement() {
    let (clock, _) = clock(NOW);
    let begun = Instant::now();
    observe(&clock, NOW, ms(2)).await;
    // All of its time was spent on the way there: half of it is not where we think.
    let sent = Instant::now();
    advance(ms(400)).await;
    clock.observe(NOW.plus(begun.elapsed()), sent, Instant::now());
    assert_eq!(clock.now(), NOW.plus(ms(402)));
}

#[tokio::test(start_paused = true)]
async fn time_does_not_run_backwards_but_for_a_clock_that_was_set() {
    let (clock, _) = clock(NOW);
    observe(&clock, NOW, ms(10)).await;
    let told = clock.now();
    observe(&clock, UnixMillis(told.0 - 300), ms(0)).await;
    assert_eq!(clock.now(), told, "a small step back is waited out");
    advance(ms(301)).await;
    assert_eq!(clock.now(), told.plus(ms(1)));
    observe(&clock, UnixMillis(told.0 - 600_000), ms(0)).await;
    assert_eq!(clock.now(), UnixMillis(told.0 - 600_000), "the KTM's clock was set back by ten minutes");
}

/// One of many numbers that are the same in every run.
fn number(seed: u64, step: u64, of: &str, below: u64) -> u64 {
    let hash = sha256(&[&seed.to_be_bytes(), &step.to_be_bytes(), of.as_bytes()]);
    hash.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)) % below
}

/// The key of an epoch of one minute, as the KTM gives it.
fn sealing_key(now: UnixMillis) -> SealingKey {
    const LIFE_MS: u64 = 60_000;
    let epoch = Epoch(u32::try_from(now.0 / LIFE_MS).unwrap());
    let times = validity(epoch, 0, LIFE_MS, 0);
    let (suite, flags, scope, bump) = (Suite::default(), Flags::NONE, ScopeId::from_bytes([1; 32]), Bump(0));
    let terms = KeyTerms { suite, flags, scope, epoch, bump, nbf: times.nbf, exp: times.exp, dec: times.dec };
    let entry = KeyEntry::new(ScopeTag::from_bytes([2; 8]), Secret::from_bytes([3; 32]), terms, times.nbf);
    SealingKey::new(&entry, PublisherSlot(1), Session(1))
}

/// A NOS whose wall clock jumps by up to ten minutes either way, over a network that takes up to 20 s, all of it on one way if
/// it comes to the worst. It seals when it may, with the key of the last answer: how often, and how far off its times were at most.
async fn simulate(seed: u64) -> (u32, u64) {
    let begun = Instant::now();
    let truth = || NOW.plus(begun.elapsed());
    let (clock, wall) = clock(NOW);
    let (mut sealed, mut furthest) = (0, 0);
    let mut key = None;
    for step in 0..100 {
        let jump = if number(seed, step, "jumps", 10) == 0 { number(seed, step, "by", 1_200_000) } else { 600_000 };
        wall.set(UnixMillis(truth().0 + jump - 600_000));
        if number(seed, step, "asks", 3) == 0 {
            let sent = Instant::now();
            advance(ms(number(seed, step, "there", 10_000))).await;
            let (answer, answered) = (truth(), sealing_key(truth()));
            advance(ms(number(seed, step, "back", 10_000))).await;
            clock.observe(answer, sent, Instant::now());
            key = Some(answered);
        }
        advance(ms(number(seed, step, "passes", 5_000))).await;
        let Some(key) = key.as_ref().filter(|_| clock.too_skewed().is_none()) else { continue };
        let (topic, ts, content) = ("a/b", clock.now(), ContentType::Octets);
        let plaintext = Plaintext { topic, topic_seq: 0, ts, content, bytes: b"", pad_bytes: 0 };
        if key.seal(&plaintext, None, Spelling::Binary).is_ok() {
            let terms = key.terms();
            assert!(truth() < terms.exp.plus(SKEW_MAX), "seed {seed}, step {step}: after exp by the KTM's clock");
            assert!(truth().plus(SKEW_MAX) >= terms.nbf, "seed {seed}, step {step}: before nbf by the KTM's clock");
            sealed += 1;
        }
        furthest = furthest.max(ts.0.abs_diff(truth().0));
    }
    (sealed, furthest)
}

#[tokio::test(start_paused = true)]
async fn whatever_wall_clocks_and_networks_do_nothing_is_sealed_after_the_keys_time_on_the_ktms_clock() {
    let (mut sealed, mut furthest) = (0, 0);
    for seed in 0..1_000 {
        let (of_this, off) = simulate(seed).await;
        sealed += of_this;
        furthest = furthest.max(off);
    }
    assert!(sealed > 10_000, "{sealed} sealed");
    assert!((1_000..=10_000).contains(&furthest), "off by {furthest} ms: half of the longest round trip at most");
}
