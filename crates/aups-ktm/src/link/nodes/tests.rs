use super::*;

/// A NOS that holds a lease for a minute more.
fn leased(now: Instant) -> Standing {
    Standing { lease_until: Some(now + Duration::from_mins(1)), ..Standing::default() }
}

#[test]
fn whoever_owes_a_settled_revision_gets_no_lease() {
    let now = Instant::now();
    let mut standing = leased(now);
    assert!(standing.report(4, 5, now), "a little behind, and nobody waits for it");
    standing.owed = 5;
    assert!(!standing.report(4, 5, now), "somebody does");
    assert!(standing.report(5, 5, now));
    standing.owed = 7;
    assert!(!standing.report(6, 6, now), "what was settled we heard of before the newest was counted");
}

#[test]
fn whoever_stays_behind_gets_none_and_whoever_keeps_up_does() {
    let now = Instant::now();
    let mut standing = leased(now);
    let at = |seconds| now + Duration::from_secs(seconds);
    assert!(standing.report(4, 5, now) && standing.report(4, 9, at(10)));
    assert!(!standing.report(4, 9, at(11)), "for too long");
    assert!(standing.report(5, 9, at(12)), "it has what it had to have; the rest is new");
    assert!(standing.report(9, 9, at(13)));
}

#[test]
fn without_a_lease_there_is_none_before_all_is_applied() {
    let now = Instant::now();
    let mut standing = Standing::default();
    assert!(!standing.report(4, 5, now));
    assert!(standing.report(5, 5, now));
    let mut ended = Standing { lease_until: Some(now), ..Standing::default() };
    assert!(!ended.report(4, 5, now) && ended.report(5, 5, now));
}
