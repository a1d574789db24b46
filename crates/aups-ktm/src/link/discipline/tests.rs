use super::*;
use aups_core::ManualClock;
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
