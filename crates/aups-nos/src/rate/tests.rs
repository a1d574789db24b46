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
    let buckets = Buckets::new(Rate::per_second(100));
    buckets.take("a", 1, start).unwrap();
    buckets.owe("a", 999, start);
    assert_eq!(buckets.take("a", 1, after(start, 1_000)), Err(Duration::from_millis(8_010)));
    buckets.take("a", 1, after(start, 9_011)).unwrap();
}

#[test]
fn made_up_senders_share_one_bucket_once_there_are_too_many() {
    let start = Instant::now();
    let buckets = Buckets::new(Rate { per_second: 1, burst: 2 });
    for sender in 0..BUCKETS_MAX {
        buckets.take(sender, 1, start).unwrap();
    }
    buckets.take(BUCKETS_MAX + 1, 1, start).unwrap();
    buckets.take(BUCKETS_MAX + 2, 1, start).unwrap();
    assert!(buckets.take(BUCKETS_MAX + 3, 1, start).is_err());
    buckets.take(7, 1, start).unwrap();
    assert!(buckets.take(BUCKETS_MAX + 4, 1, after(start, 10_000)).is_ok(), "full buckets make room");
    assert!(buckets.buckets.lock().unwrap().own.len() < 10);
}

#[test]
fn the_owner_of_an_ipv6_network_is_one_sender() {
    let network = |text: &str| sender_network(text.parse().unwrap());
    assert_eq!(network("2001:db8:1:2:3::4"), network("2001:db8:1:2:ffff::1"));
    assert_ne!(network("2001:db8:1:2::"), network("2001:db8:1:3::"));
    assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
    assert_ne!(network("10.0.0.1"), network("10.0.0.2"));
}
