use super::*;
use aups_core::{ManualClock, UnixMillis};
use aups_store::{Expect, InMemory};
use serde_json::json;

const RETAIN: &str = r#"{"retain":["data/#"]}"#;
const NOTHING: &str = "{}";

struct Realm {
    store: Arc<InMemory>,
    config: Configuration,
}

async fn open(store: &Arc<InMemory>, initial: Config) -> Result<Configuration, ConfigAdminError> {
    let clock = Arc::new(ManualClock::at(UnixMillis(1_000)));
    Configuration::open(Arc::clone(store) as _, clock, initial).await
}

async fn realm() -> Realm {
    let store = Arc::new(InMemory::new());
    let config = open(&store, Config::default()).await.unwrap();
    Realm { store, config }
}

fn because(comment: &str, expected: Option<u64>) -> Reason {
    Reason { author: "ada".into(), comment: comment.into(), expected, restores: None }
}

fn retained(config: &ConfigInForce) -> (u64, usize) {
    let active = config.borrow();
    (active.version, active.config.retain.len())
}

impl Realm {
    async fn apply(&self, text: &str, expected: Option<u64>) -> Result<u64, ConfigAdminError> {
        Ok(self.config.apply(text.to_owned(), because("", expected)).await?.version.number)
    }
}

#[tokio::test]
async fn a_document_is_in_force_when_it_was_taken_and_is_kept_in_full() {
    let realm = realm().await;
    let live = realm.config.in_force();
    assert_eq!(retained(&live), (0, 0));
    let set = realm.config.apply(RETAIN.into(), because("late readers", Some(0))).await.unwrap();
    assert_eq!(retained(&live), (1, 1));
    let told = serde_json::to_value(&set.version).unwrap();
    assert_eq!(told, json!({"version": 1, "appliedAt": 1000, "author": "ada", "comment": "late readers"}));
    assert!(set.text.contains(r#""unregistered""#), "{}", set.text);
    assert_eq!(realm.apply(&set.text, None).await.unwrap(), 1, "the same document gets no new version");
    assert_eq!(realm.config.text(1).await.unwrap(), set.text);
    assert!(!realm.config.text(0).await.unwrap().contains("data/#"));
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let realm = realm().await;
    realm.apply(RETAIN, None).await.unwrap();
    let outdated = realm.apply(NOTHING, Some(0)).await;
    assert!(matches!(outdated, Err(ConfigAdminError::Version(VersionsError::Outdated { active: 1, expected: 0 }))));
    let wrong = realm.apply(r#"{"topics":{"registered":"{nodeId}"}}"#, None).await;
    assert!(matches!(wrong, Err(ConfigAdminError::Refused(_))));
    assert_eq!(retained(&realm.config.in_force()), (1, 1));
    assert_eq!(realm.config.versions().await.unwrap().len(), 1);
}

#[tokio::test]
async fn going_back_makes_a_new_version() {
    let realm = realm().await;
    realm.apply(RETAIN, None).await.unwrap();
    realm.apply(NOTHING, None).await.unwrap();
    let back = realm.config.restore(1, because("", None)).await.unwrap();
    assert_eq!((back.version.number, back.version.restores), (3, Some(1)));
    assert_eq!(retained(&realm.config.in_force()), (3, 1));
    let first = realm.config.restore(0, because("", None)).await.unwrap();
    assert_eq!((first.version.number, first.text.clone()), (4, realm.config.text(0).await.unwrap()));
    let unknown = realm.config.restore(9, because("", None)).await;
    assert!(matches!(unknown, Err(ConfigAdminError::Version(VersionsError::Unknown { number: 9 }))));
}

#[tokio::test]
async fn a_start_goes_on_with_the_active_version_whatever_the_settings_say() {
    let realm = realm().await;
    realm.apply(RETAIN, None).await.unwrap();
    realm.apply(NOTHING, None).await.unwrap();
    let initial = Config { retain: vec!["other/#".parse().unwrap()], ..Config::default() };
    let again = open(&realm.store, initial.clone()).await.unwrap();
    assert_eq!((again.active().version.number, retained(&again.in_force())), (2, (2, 0)));
    assert!(again.text(0).await.unwrap().contains("other/#"), "version 0 is what the settings say now");
    let fresh = open(&Arc::new(InMemory::new()), initial).await.unwrap();
    assert_eq!(retained(&fresh.in_force()), (0, 1));
}

#[tokio::test]
async fn a_stored_version_that_is_refused_stops_the_start() {
    let realm = realm().await;
    realm.apply(RETAIN, None).await.unwrap();
    let key = realm.config.versions.text_key(1);
    realm.store.put_if(&key, r#"{"retan":[]}"#.into(), Expect::Any).await.unwrap();
    let refused = open(&realm.store, Config::default()).await.unwrap_err();
    assert!(matches!(refused, ConfigAdminError::Inadmissible { number: 1, .. }), "{refused}");
    assert!(refused.to_string().contains("/retan"), "{refused}");
}

#[tokio::test]
async fn a_nos_goes_on_with_the_last_document_that_it_could_read() {
    let store = Arc::new(InMemory::new());
    let open = || FollowedConfig::open(Arc::clone(&store) as _, Config::default());
    let followed = open().await.unwrap();
    let live = followed.in_force();
    followed.take(Some(record(3, RETAIN))).await;
    assert_eq!(retained(&live), (3, 1));
    followed.take(Some(record(4, r#"{"ofALaterProgram":true}"#))).await;
    followed.take(Some("nonsense".into())).await;
    assert_eq!(retained(&live), (3, 1));
    assert_eq!(retained(&open().await.unwrap().in_force()), (3, 1), "it starts while the KTM is away");
    followed.take(None).await;
    assert_eq!(retained(&live), (0, 0));
    assert_eq!(retained(&open().await.unwrap().in_force()), (0, 0));
}

#[test]
fn changes_name_the_smallest_places_that_differ() {
    let before = json!({"a": {"b/c": 1, "same": [1]}, "list": [1, 2], "gone": null});
    let after = json!({"a": {"b/c": 2, "same": [1]}, "list": [1, 3, 4], "new": {}});
    assert_eq!(
        serde_json::to_value(changes(&before, &after)).unwrap(),
        json!([
            {"pointer": "/a/b~1c", "before": 1, "after": 2},
            {"pointer": "/gone", "before": null},
            {"pointer": "/list/1", "before": 2, "after": 3},
            {"pointer": "/list/2", "after": 4},
            {"pointer": "/new", "after": {}},
        ])
    );
    assert_eq!(changes(&before, &before), []);
}
