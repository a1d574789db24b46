use super::*;
use crate::fixture::source_master;
use aups_core::{ManualClock, Session};
use aups_envelope::{ContentType, SourceSealer, Spelling};
use aups_store::InMemory;

fn new(name: &str) -> NewSource {
    sealing(name, EncryptionScheme::None)
}

fn sealing(name: &str, encryption_scheme: EncryptionScheme) -> NewSource {
    let node_id = name.parse().unwrap();
    NewSource { node_id, node_type: "sensor".into(), communication_mode: "discrete".into(), encryption_scheme }
}

async fn open(store: &Arc<InMemory>, clock: &Arc<ManualClock>, registration: Registration) -> Sources {
    Sources::open(Arc::clone(store) as _, Arc::clone(clock) as _, source_master(), registration, 3).await.unwrap()
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
async fn the_store_holds_no_secret_of_a_source_and_no_token() {
    let (store, clock) = parts();
    let sources = open(&store, &clock, Registration::Token).await;
    let token = sources.invite().await.unwrap();
    let before = store.list("").await.unwrap().0;
    let scheme = EncryptionScheme::Sealed(Suite::AsconAead128);
    let registered = sources.register(sealing("s1", scheme), Some(&token)).await.unwrap();
    let told = serde_json::to_value(registered.told()).unwrap();
    let secrets = [&token, told["credential"].as_str().unwrap(), told["key"].as_str().unwrap()];
    let hash = b64::encode(&hash::sha256(&[registered.credential.expose()]));
    for (key, record) in before.into_iter().chain(store.list("").await.unwrap().0) {
        let kept = format!("{key} {}", String::from_utf8_lossy(&record.value));
        assert!(secrets.iter().all(|secret| !kept.contains(secret)) && !kept.contains(&hash), "{kept}");
    }
}

fn seal(registered: &Registered) -> Vec<u8> {
    let SourceRecord { node_id, encryption_scheme, credential_id, .. } = &*registered.record;
    let (suite, key) = (encryption_scheme.suite().unwrap(), registered.key.as_ref().unwrap());
    let sealer = SourceSealer::new(node_id, suite, key, *credential_id, Session::new(1, 2));
    sealer.seal(ContentType::Json, b"1", UnixMillis(0), Spelling::Binary).unwrap()
}

fn opens(sources: &Sources, sealed: &[u8]) -> Option<String> {
    let (source, plaintext) = sources.open_sealed(&SealedMessage::parse(sealed).unwrap())?;
    assert_eq!(plaintext, b"1");
    Some(source.record.node_id.to_string())
}

#[tokio::test]
async fn what_a_source_seals_is_known_as_its_own_in_every_scheme_and_after_a_restart() {
    for suite in Suite::ALL {
        let (store, clock) = parts();
        let sources = open(&store, &clock, Registration::Open).await;
        let registered = sources.register(sealing("s1", EncryptionScheme::Sealed(suite)), None).await.unwrap();
        let told = serde_json::to_value(registered.told()).unwrap();
        assert_eq!(told["suite"], u8::from(suite), "{told}");
        let sealed = seal(&registered);
        assert_eq!(opens(&sources, &sealed).unwrap(), "s1");
        assert_eq!(opens(&open(&store, &clock, Registration::Open).await, &sealed).unwrap(), "s1");
    }
}

#[tokio::test]
async fn secrets_that_were_replaced_or_removed_are_worth_nothing_at_once() {
    let (store, clock) = parts();
    let sources = open(&store, &clock, Registration::Open).await;
    let (node, scheme) = ("s1".parse().unwrap(), EncryptionScheme::Sealed(Suite::Aes128Gcm));
    let mut all = vec![sources.register(sealing("s1", scheme), None).await.unwrap()];
    all.push(sources.rotate(&node).await.unwrap().unwrap());
    assert!(sources.remove(&node).await.unwrap() && sources.rotate(&node).await.unwrap().is_none());
    assert!(sources.authenticate(&b64::encode(all[1].credential.expose())).is_none());
    all.push(sources.register(sealing("s1", scheme), None).await.unwrap());
    let restarted = open(&store, &clock, Registration::Open).await;
    for sources in [&sources, &restarted] {
        for (n, registered) in all.iter().enumerate() {
            let credential = b64::encode(registered.credential.expose());
            assert_eq!(sources.authenticate(&credential).is_some(), n == 2, "{n}");
            assert_eq!(opens(sources, &seal(registered)).is_some(), n == 2, "{n}");
        }
    }
    assert_eq!(
        sources.take_retired(),
        [mark_key(&all[0].record.credential_id), mark_key(&all[1].record.credential_id)]
    );
    assert!(sources.take_retired().is_empty());
}

#[tokio::test]
async fn marks_hold_for_their_key_whatever_else_changes() {
    let (store, clock) = parts();
    let sources = open(&store, &clock, Registration::Open).await;
    let (node, scheme) = ("s1".parse().unwrap(), EncryptionScheme::Sealed(Suite::Aes128Gcm));
    let sealed = seal(&sources.register(sealing("s1", scheme), None).await.unwrap());
    let message = SealedMessage::parse(&sealed).unwrap();
    let place = sealing::Place::of(message.header());
    let mark = place.mark(&message.header().key_id);
    let of_nobody = (mark_key(&KeyId::from_bytes([1; 24])), mark.1.clone());
    assert_eq!(sources.restore_marks(vec![mark, of_nobody.clone()]), [of_nobody.0]);
    sources.mark(&node, Some(["x".to_owned()].into()), None).await.unwrap().unwrap();
    let (source, _) = sources.open_sealed(&message).unwrap();
    assert!(source.raise(place).is_err() && source.record.marks.labels.contains("x"));
}

#[tokio::test]
async fn a_record_of_an_earlier_build_is_refused_by_name() {
    let (store, clock) = parts();
    let record = br#"{"nodeId":"s1","nodeType":"x","communicationMode":"y","credentialId":"z","credentialHash":"h","registeredAt":1}"#;
    store.put_if("source/s1", record.to_vec().into(), Expect::Absent).await.unwrap();
    let opened = Sources::open(store, clock, source_master(), Registration::Open, 3).await;
    assert!(opened.unwrap_err().to_string().contains("`source/s1` cannot be read"));
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
