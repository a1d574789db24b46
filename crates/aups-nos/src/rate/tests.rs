use super::*;

fn after(start: Instant, ms: u64) -> Instant {
    start + Duration::from_millis(ms)
}

#[test]
fn a_burst_is_free_and_then_the_rate_holds() {
    let start = Instant::now();
    let buckets = Buckets::new(Rate { per_second: 10, burst: 3 });
    for _ in 0..3 {
        buckets.take("a", 1, start).unwrap();
    }
    assert_eq!(buckets.take("a", 1, start), Err(Duration::from_millis(100)));
    buckets.take("b", 1, start).unwrap();
    assert!(buckets.take("a", 1, after(start, 99)).is_err());
    buckets.take("a", 1, after(start, 101)).unwrap();
    assert!(buckets.take("a", 1, after(start, 101)).is_err());
}

#[test]
fn what_is_more_than_the_burst_is_paid_off() {
    let start = Instant::now();
    let accounts = Accounts::default();
    let allowance = Allowance::items(Rate::per_second(100));
    accounts.take(&"a", &allowance, 1, start).unwrap();
    accounts.owe(&"a", &allowance, 999, 0, start);
    assert_eq!(accounts.take(&"a", &allowance, 1, after(start, 1_000)), Err(Duration::from_millis(8_010)));
    accounts.take(&"a", &allowance, 1, after(start, 9_011)).unwrap();
}

#[test]
fn bytes_are_counted_apart_from_items_and_both_must_be_left() {
    let start = Instant::now();
    let accounts = Accounts::default();
    let allowance = Allowance { items: Some(Rate::per_second(10)), bytes: Some(Rate::per_second(1_000)) };
    accounts.take(&"a", &allowance, 1, start).unwrap();
    accounts.owe(&"a", &allowance, 0, 3_000, start);
    assert_eq!(accounts.take(&"a", &allowance, 1, start), Err(Duration::from_millis(2_001)));
    let many = Allowance { bytes: Some(Rate::per_second(1_000_000)), ..allowance };
    assert!(accounts.take(&"a", &many, 1, after(start, 2_500)).is_ok(), "a new rate holds from now on");
    let free = Allowance::default();
    accounts.owe(&"b", &free, u32::MAX, u32::MAX, start);
    accounts.take(&"b", &free, u32::MAX, start).unwrap();
    accounts.take(&"b", &allowance, 1, start).unwrap();
}

#[test]
fn nobody_pays_off_for_longer_than_a_day() {
    let start = Instant::now();
    let accounts = Accounts::default();
    let allowance = Allowance { items: Some(Rate::per_second(1)), bytes: Some(Rate::per_second(1)) };
    for _ in 0..3 {
        accounts.owe(&"a", &allowance, u32::MAX, u32::MAX, start);
    }
    assert_eq!(accounts.take(&"a", &allowance, 1, start), Err(DEBT_MAX));
}

#[test]
fn made_up_senders_share_one_account_once_there_are_too_many() {
    let start = Instant::now();
    let buckets = Buckets::new(Rate { per_second: 1, burst: 2 });
    for sender in 0..2 * ACCOUNTS_MAX {
        let _ = buckets.take(sender, 1, start);
    }
    let kept = || buckets.accounts.shards.iter().map(|shard| shard.lock().unwrap().own.len()).sum::<usize>();
    assert_eq!(kept(), ACCOUNTS_MAX);
    let strangers = 3 * ACCOUNTS_MAX..4 * ACCOUNTS_MAX;
    assert!(strangers.clone().all(|sender| buckets.take(sender, 1, start).is_err()));
    assert!(buckets.take(7, 1, start).is_ok(), "who was known before has its own");
    assert!(buckets.take(strangers.start, 1, after(start, 10_000)).is_ok(), "full accounts make room");
    assert!(strangers.take(1_000).all(|sender| buckets.take(sender, 1, after(start, 10_000)).is_ok()));
    assert!(kept() < 2_000, "{}", kept());
}
