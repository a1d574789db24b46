use super::*;
use aups_store::InMemory;

fn topic(text: &str) -> Topic {
    text.parse().unwrap()
}

fn scope(byte: u8) -> ScopeId {
    ScopeId::from_bytes([byte; 32])
}

#[tokio::test]
async fn what_was_noted_is_remembered_with_its_scopes() {
    let store: Arc<dyn Store> = Arc::new(InMemory::default());
    let usage = Usage::open(Arc::clone(&store)).await.unwrap();
    for (name, under) in [("b", Some(1)), ("a", Some(1)), ("a", Some(2)), ("a", Some(1)), ("c", None)] {
        usage.note(&topic(name), under.map(scope), true);
    }
    usage.write().await;
    let again = Usage::open(store).await.unwrap();
    for usage in [usage, again] {
        assert_eq!(usage.topics(), ["a", "b", "c"].map(topic));
        let by_scope = usage.topics_by_scope();
        assert_eq!(by_scope[&scope(1)], ["a", "b"].map(topic));
        assert_eq!(by_scope[&scope(2)], ["a"].map(topic));
        assert_eq!(by_scope.len(), 2);
    }
}

#[tokio::test]
async fn scopes_that_are_gone_are_forgotten() {
    let store: Arc<dyn Store> = Arc::new(InMemory::default());
    let usage = Usage::open(Arc::clone(&store)).await.unwrap();
    usage.note(&topic("a"), Some(scope(1)), true);
    usage.note(&topic("a"), Some(scope(2)), true);
    usage.note(&topic("b"), Some(scope(1)), true);
    usage.write().await;
    usage.forget(&[scope(1)].into()).await.unwrap();
    let again = Usage::open(store).await.unwrap();
    for usage in [usage, again] {
        assert_eq!(usage.topics(), [topic("a")]);
        assert_eq!(usage.topics_by_scope().into_keys().collect::<Vec<_>>(), [scope(2)]);
    }
}

#[tokio::test]
async fn strangers_do_not_fill_the_memory() {
    let usage = Usage::open(Arc::new(InMemory::default())).await.unwrap();
    for n in 0..=UNREGISTERED_USES_MAX {
        usage.note(&topic(&format!("unregistered/{n}")), None, false);
    }
    assert_eq!(usage.topics().len(), UNREGISTERED_USES_MAX);
    usage.note(&topic("data/s1"), None, true);
    assert_eq!(usage.topics().len(), UNREGISTERED_USES_MAX + 1);
}

#[tokio::test]
async fn what_the_store_holds_must_be_a_topic() {
    let store: Arc<dyn Store> = Arc::new(InMemory::default());
    store.commit(vec![Change::put("nos/use/x", "{}", Expect::Any)]).await.unwrap();
    assert!(matches!(Usage::open(store).await, Err(UsageError::Corrupt(key)) if key == "nos/use/x"));
}

#[tokio::test]
async fn what_is_known_and_what_comes_is_reported_once_unless_it_is_given_back() {
    let usage = Usage::open(Arc::new(InMemory::default())).await.unwrap();
    usage.note(&topic("before"), None, true);
    assert!(usage.to_report(10).is_empty(), "nobody keeps the uses of all NOSs");
    usage.begin_reporting();
    for name in ["a", "b", "a"] {
        usage.note(&topic(name), Some(scope(1)), false);
    }
    let first = usage.to_report(2);
    assert_eq!(first.len(), 2);
    usage.not_reported(first);
    let elsewhere = Usage::open(Arc::new(InMemory::default())).await.unwrap();
    elsewhere.take_report(usage.to_report(10)).await;
    assert!(usage.to_report(10).is_empty());
    assert_eq!(elsewhere.topics(), usage.topics());
    assert_eq!(elsewhere.topics_by_scope(), usage.topics_by_scope());
}
