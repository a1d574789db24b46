use super::*;
use crate::server::versions::Reason;
use aups_core::UnixMillis;
use aups_ktm::{Ktm, KtmSettings};
use aups_nos::Config;
use aups_policy::Residuals;
use aups_store::InMemory;

fn record(key: &str, value: &str) -> Record {
    Record { key: key.to_owned(), value: value.to_owned().into() }
}

fn change(key: &str, value: Option<&str>) -> Changed {
    Changed { key: key.to_owned(), value: value.map(|value| value.to_owned().into()) }
}

fn user(sub: &str, roles: &str, more: &str) -> String {
    format!(r#"{{"kind":"user","sub":"{sub}","attrs":{{"roles":["{roles}"]}},"groups":[]{more}}}"#)
}

fn sub(name: &str) -> Sub {
    name.parse().unwrap()
}

const POLICIES: &str = r#"permit(principal, action, resource in Topic::"data");"#;

async fn empty(realm: RealmId) -> Replica {
    let config = FollowedConfig::open(Arc::new(InMemory::new()), Config::default()).await.unwrap();
    Replica::new(realm, Arc::new(config))
}

async fn replica(records: Vec<Record>) -> Replica {
    let replica = empty(RealmId::from_bytes([1; 32])).await;
    replica.snapshot(1, records).await.unwrap();
    replica
}

fn changed(replica: &Replica) -> Vec<String> {
    replica.changed_readers().now_or_never().map_or_else(Vec::new, |subs| subs.iter().map(Sub::to_string).collect())
}

#[tokio::test]
async fn a_snapshot_replaces_everything() {
    let (alice, bob) = (user("alice", "a", ""), user("bob", "b", ""));
    let replica = replica(vec![
        record("reader/alice", &alice),
        record("reader/bob", &bob),
        record("policy/active", POLICIES),
        record("policy/other", "of no concern"),
    ])
    .await;
    assert!(replica.reader(&sub("alice")).is_some() && changed(&replica).is_empty());
    assert_eq!(replica.decisions().borrow().set().len(), 1);
    replica.snapshot(9, vec![record("reader/alice", &alice)]).await.unwrap();
    assert!(replica.reader(&sub("bob")).is_none());
    assert_eq!(changed(&replica), ["bob"]);
    assert_eq!(replica.decisions().borrow().set().len(), 0, "no policy is in force where none is told of");
}

#[tokio::test]
async fn sessions_end_of_readers_whose_rights_or_password_changed_and_of_no_others() {
    let replica = replica(vec![
        record("group/ops", r#"{"groups":[]}"#),
        record("reader/alice", &user("alice", "a", "").replace(r#""groups":[]"#, r#""groups":["ops"]"#)),
        record("reader/bob", &user("bob", "b", "")),
    ])
    .await;
    let apply = async |changes: Vec<Changed>| replica.apply(2, changes).await.unwrap();
    // A new token, and somebody new, end no session.
    let digest = "A".repeat(43);
    let token = format!(r#","token":{{"sha256":"{digest}","expires":1}}"#);
    apply(vec![change("reader/bob", Some(&user("bob", "b", &token)))]).await;
    apply(vec![change("reader/carol", Some(&user("carol", "c", "")))]).await;
    assert!(changed(&replica).is_empty());
    apply(vec![change("reader/bob", Some(&user("bob", "x", "")))]).await;
    assert_eq!(changed(&replica), ["bob"]);
    // What a group lies in is part of its members' rights.
    apply(vec![change("group/all", Some(r#"{"groups":[]}"#)), change("group/ops", Some(r#"{"groups":["all"]}"#))])
        .await;
    assert_eq!(changed(&replica), ["alice"]);
    apply(vec![change("reader/carol", None)]).await;
    assert_eq!(changed(&replica), ["carol"]);
    assert!(replica.reader(&sub("carol")).is_none());
}

#[tokio::test]
async fn what_cannot_be_followed_is_an_error_and_never_passed_over() {
    let orphan = user("carol", "c", r#","app":"panel""#);
    for wrong in [
        change("reader/alice", Some("{}")),
        change("group/ops", Some("[]")),
        change("reader/carol", Some(&orphan)),
        change("policy/active", Some("permit(")),
        change("policy/schema", Some("{}")),
    ] {
        let replica = replica(vec![record("policy/active", POLICIES)]).await;
        assert!(replica.apply(2, vec![wrong.clone()]).await.is_err(), "{wrong:?}");
        assert_eq!(replica.decisions().borrow().set().len(), 1);
    }
}

#[tokio::test]
async fn what_the_realms_own_process_writes_is_what_is_followed() {
    let store: Arc<dyn aups_store::Store> = Arc::new(InMemory::new());
    let clock: Arc<dyn aups_core::Clock> = Arc::new(aups_core::ManualClock::at(UnixMillis(1_780_000_000_000)));
    let keyring = aups_ktm::custody::Keyring::in_memory(aups_envelope::Secret::from_bytes([7; 32]));
    let ktm = Ktm::open(Arc::clone(&store), keyring, Arc::clone(&clock), KtmSettings::default()).await.unwrap();
    let policies = policies::Policies::open(ktm.realm().id(), Arc::clone(&store), Arc::clone(&clock)).await.unwrap();
    let replica = empty(ktm.realm().id()).await;
    let residuals = Arc::new(Residuals::new(10));
    let registry = crate::server::registry::Registry::open(
        &*store,
        Arc::new(ktm),
        residuals,
        policies.decisions(),
        Arc::clone(&clock),
    );
    let registry = registry.await.unwrap();
    policies.apply(POLICIES, Reason::default()).await.unwrap();
    let new = crate::server::registry::NewReader {
        kind: aups_core::ReaderKind::User,
        sub: sub("alice"),
        attrs: aups_core::Attributes::default(),
        groups: BTreeSet::new(),
    };
    registry.add(&crate::server::registry::Registrar::Admin, new).await.unwrap();
    let mut records = Vec::new();
    for prefix in FOLLOWED {
        let (found, _) = store.list(prefix).await.unwrap();
        records.extend(found.into_iter().map(|(key, found)| Record { key, value: found.value }));
    }
    replica.snapshot(1, records).await.unwrap();
    assert_eq!(replica.reader(&sub("alice")).unwrap().principal, registry.reader(&sub("alice")).unwrap().principal);
    assert_eq!(replica.decisions().borrow().set().source(), policies.decisions().borrow().set().source());
}
