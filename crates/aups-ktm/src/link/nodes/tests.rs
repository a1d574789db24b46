use super::*;
use aups_store::InMemory;

const LEASE: Duration = Duration::from_mins(1);

/// Admits a NOS with a certificate of this one byte.
async fn admit(nodes: &Nodes, nos: &NosId, certificate: u8) {
    let now = UnixMillis(1);
    nodes.admit(nos, [0; 32], now).await.unwrap();
    let certificate = CertificateDer::from(vec![certificate]);
    nodes.admitted(nos, &certificate, now.plus(LEASE), now).await.unwrap();
}

/// The NOS with that certificate says that it has applied so much, which is all there is.
fn renew(nodes: &Nodes, certificate: u8, applied: Revision) -> Result<Duration, KtmError> {
    nodes.renew_lease(&sha256(&[&[certificate]]), applied, applied, None)
}

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

#[tokio::test]
async fn the_lease_of_who_was_before_is_waited_for_when_a_nos_is_admitted_anew() {
    let (nodes, nos) = (Nodes::load(Arc::new(InMemory::new()), LEASE).await.unwrap(), "nos-1".parse().unwrap());
    admit(&nodes, &nos, 1).await;
    assert_eq!(renew(&nodes, 1, 4).unwrap(), LEASE);
    assert!(nodes.unsettled(5).is_some());
    admit(&nodes, &nos, 2).await;
    assert!(matches!(renew(&nodes, 1, 5), Err(KtmError::NotAdmitted)), "it is cut off");
    assert_eq!(renew(&nodes, 2, 4).unwrap(), Duration::ZERO, "what was owed is owed by whoever comes");
    assert_eq!(renew(&nodes, 2, 5).unwrap(), LEASE);
    assert!(nodes.unsettled(5).is_some(), "the process before has not applied it, and its lease runs");
    assert!(nodes.unsettled(4).is_none(), "this it had applied");
}

#[tokio::test]
async fn after_a_restart_a_nos_owes_all_that_there_is() {
    let (store, nos) = (Arc::new(InMemory::new()), "nos-1".parse().unwrap());
    admit(&Nodes::load(store.clone(), LEASE).await.unwrap(), &nos, 1).await;
    let revision = store.put_if("reader/alice", "gone".into(), Expect::Any).await.unwrap();
    let nodes = Nodes::load(store, LEASE).await.unwrap();
    assert_eq!(renew(&nodes, 1, revision - 1).unwrap(), Duration::ZERO);
    assert_eq!(renew(&nodes, 1, revision).unwrap(), LEASE);
}
