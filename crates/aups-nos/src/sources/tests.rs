use super::*;
use aups_core::ManualClock;
use aups_store::InMemory;

fn new(name: &str) -> NewSource {
    NewSource { node_id: name.parse().unwrap(), node_type: "sensor".into(), communication_mode: "discrete".into() }
}

async fn open(store: &Arc<InMemory>, clock: &Arc<ManualClock>, registration: Registration) -> Sources {
    Sources::open(Arc::clone(store) as _, Arc::clone(clock) as _, registration, 3).await.unwrap()
}

fn parts() -> (Arc<InMemory>, Arc<ManualClock>) {
    (Arc::new(InMemory::new()), Arc::new(ManualClock::at(UnixMillis(1_000))))
}

#[tokio::test]
async fn a_credential_is_known_until_its_source_is_removed_and_after_a_restart() {
    let (store, clock) = parts();
    let sources = open(&store, &clock, Registration::Open).await;
    let registered = sources.register(new("s1"), None).await.unwrap();
    let credential = b64::encode(registered.credential.expose());
    assert_eq!(sources.authenticate(&credential).unwrap().node_id.as_str(), "s1");
    let again = open(&store, &clock, Registration::Open).await;
    assert_eq!(again.authenticate(&credential).unwrap(), registered.record);
    assert!(again.remove(&"s1".parse().unwrap()).await.unwrap());
    assert!(!again.remove(&"s1".parse().unwrap()).await.unwrap());
    assert!(again.authenticate(&credential).is_none() && again.list().is_empty());
    for wrong in ["", "x", &b64::encode(&[0; 32]), &b64::encode(&[0; 31])] {
        assert!(sources.authenticate(wrong).is_none());
    }
}

#[tokio::test]
async fn the_store_holds_no_credential_and_no_token() {
    let (store, clock) = parts();
    let sources = open(&store, &clock, Registration::Token).await;
    let token = sources.invite().await.unwrap();
    let before = store.list("").await.unwrap().0;
    let credential = b64::encode(sources.register(new("s1"), Some(&token)).await.unwrap().credential.expose());
    for (key, record) in before.into_iter().chain(store.list("").await.unwrap().0) {
        let kept = format!("{key} {}", String::from_utf8_lossy(&record.value));
        assert!(!kept.contains(&token) && !kept.contains(&credential), "{kept}");
    }
}

#[tokio::test]
async fn a_name_is_registered_once_and_only_so_many_are() {
    let (store, clock) = parts();
    let sources = open(&store, &clock, Registration::Open).await;
    for name in ["b", "a", "c"] {
        sources.register(new(name), None).await.unwrap();
        assert!(matches!(sources.register(new(name), None).await, Err(SourcesError::Exists)));
    }
    assert!(matches!(sources.register(new("d"), None).await, Err(SourcesError::Full)));
    assert_eq!(sources.list().iter().map(|record| record.node_id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    let other = open(&store, &clock, Registration::Open).await;
    sources.remove(&"c".parse().unwrap()).await.unwrap();
    sources.register(new("late"), None).await.unwrap();
    assert!(matches!(other.remove(&"a".parse().unwrap()).await, Ok(true)));
    assert!(matches!(other.register(new("late"), None).await, Err(SourcesError::Exists)), "the store decides");
}

#[tokio::test]
async fn a_token_lets_one_source_in_and_not_for_ever() {
    let (store, clock) = parts();
    let sources = open(&store, &clock, Registration::Token).await;
    for wrong in [None, Some(""), Some("x"), Some(&*b64::encode(&[7; 32]))] {
        assert!(matches!(sources.register(new("s1"), wrong).await, Err(SourcesError::Token)));
        assert!(!sources.may_register(wrong).await.unwrap());
    }
    let token = sources.invite().await.unwrap();
    assert!(sources.may_register(Some(&token)).await.unwrap());
    sources.register(new("s1"), Some(&token)).await.unwrap();
    assert!(matches!(sources.register(new("s2"), Some(&token)).await, Err(SourcesError::Token)));
    let token = sources.invite().await.unwrap();
    assert!(matches!(sources.register(new("s1"), Some(&token)).await, Err(SourcesError::Exists)));
    assert!(sources.may_register(Some(&token)).await.unwrap(), "a refused registration uses no token up");
    clock.advance(INVITE_LIFE);
    assert!(matches!(sources.register(new("s2"), Some(&token)).await, Err(SourcesError::Token)));
    sources.invite().await.unwrap();
    assert_eq!(store.list(INVITE_PREFIX).await.unwrap().0.len(), 1, "what is out of date is cleared away");
}
