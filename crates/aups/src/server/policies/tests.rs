use super::*;
use crate::server::versions::{COMMENT_CHARS_MAX, VERSIONS_KEPT_MAX};
use aups_core::ManualClock;
use aups_store::InMemory;

const ONE: &str = "permit(principal, action, resource in Topic::\"one\");\n";
const TWO: &str = "permit(principal, action, resource in Topic::\"two\");\n";

struct Realm {
    store: Arc<InMemory>,
    clock: Arc<ManualClock>,
    policies: Policies,
}

async fn realm() -> Realm {
    let store = Arc::new(InMemory::new());
    let clock = Arc::new(ManualClock::at(UnixMillis(1_000)));
    let policies = open(&store, &clock).await.unwrap();
    Realm { store, clock, policies }
}

async fn open(store: &Arc<InMemory>, clock: &Arc<ManualClock>) -> Result<Policies, PolicyAdminError> {
    Policies::open(RealmId::from_bytes([0; 32]), Arc::clone(store) as _, Arc::clone(clock) as _).await
}

fn because(comment: &str) -> Reason {
    Reason { author: "ada".into(), comment: comment.into(), ..Reason::default() }
}

fn to_replace(expected: u64, comment: &str) -> Reason {
    Reason { expected: Some(expected), ..because(comment) }
}

impl Realm {
    async fn apply(&self, text: &str) -> u64 {
        self.policies.apply(text, because("")).await.unwrap().number
    }
    fn decides_by(&self) -> String {
        self.policies.decisions().borrow().set().source().to_owned()
    }
}

#[tokio::test]
async fn versions_are_numbered_and_say_who_when_and_why() {
    let realm = realm().await;
    assert_eq!(realm.policies.active().version.number, 0);
    realm.clock.advance(std::time::Duration::from_secs(1));
    let one = realm.policies.apply(ONE, to_replace(0, "first")).await.unwrap();
    let told = serde_json::to_value(&one).unwrap();
    assert_eq!(
        told,
        serde_json::json!({"version": 1, "policies": 1, "appliedAt": 2000, "author": "ada", "comment": "first"})
    );
    assert_eq!(realm.apply(TWO).await, 2);
    let kept = realm.policies.versions().await.unwrap();
    assert_eq!(kept.iter().map(|v| v.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(&*realm.policies.text(1).await.unwrap(), ONE);
    assert_eq!(&*realm.policies.text(0).await.unwrap(), "");
    assert!(matches!(realm.policies.text(3).await, Err(VersionsError::Unknown { number: 3 })));
}

#[tokio::test]
async fn the_same_text_again_makes_no_version() {
    let realm = realm().await;
    realm.apply(ONE).await;
    assert_eq!(realm.policies.apply(ONE, to_replace(1, "again")).await.unwrap().number, 1);
    assert_eq!(realm.policies.restore(1, because("again")).await.unwrap().number, 1);
    assert_eq!(realm.policies.versions().await.unwrap().len(), 1);
    assert_eq!(realm.apply(TWO).await, 2);
}

#[tokio::test]
async fn going_back_makes_a_new_version_of_the_old_text() {
    let realm = realm().await;
    realm.apply(ONE).await;
    realm.apply(TWO).await;
    let back = realm.policies.restore(1, to_replace(2, "two was wrong")).await.unwrap();
    assert_eq!((back.number, back.restores, back.policies), (3, Some(1), Some(1)));
    assert_eq!((realm.decides_by().as_str(), &*realm.policies.active().text), (ONE, ONE));
    let empty = realm.policies.restore(0, because("")).await.unwrap();
    assert_eq!((empty.number, empty.policies, realm.decides_by().as_str()), (4, Some(0), ""));
    let unknown = realm.policies.restore(9, because("")).await;
    assert!(matches!(unknown, Err(PolicyAdminError::Version(VersionsError::Unknown { number: 9 }))));
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let realm = realm().await;
    realm.apply(ONE).await;
    let outdated = realm.policies.apply(TWO, to_replace(0, "")).await;
    assert!(matches!(outdated, Err(PolicyAdminError::Version(VersionsError::Outdated { active: 1, expected: 0 }))));
    let outdated = realm.policies.restore(0, to_replace(7, "")).await;
    assert!(matches!(outdated, Err(PolicyAdminError::Version(VersionsError::Outdated { active: 1, expected: 7 }))));
    let wrong = realm.policies.apply("permit(principal);", because("")).await;
    assert!(matches!(wrong, Err(PolicyAdminError::Refused(_))));
    let wordy = realm.policies.apply(TWO, because(&"ä".repeat(COMMENT_CHARS_MAX + 1))).await;
    assert!(matches!(wordy, Err(PolicyAdminError::Version(VersionsError::Comment))));
    assert_eq!((realm.decides_by().as_str(), realm.policies.versions().await.unwrap().len()), (ONE, 1));
    realm.policies.apply(TWO, because(&"ä".repeat(COMMENT_CHARS_MAX))).await.unwrap();
}

#[tokio::test]
async fn the_oldest_versions_go() {
    let realm = realm().await;
    for number in 1..=VERSIONS_KEPT_MAX + 2 {
        assert_eq!(realm.apply(if number % 2 == 0 { ONE } else { TWO }).await, number);
    }
    let kept = realm.policies.versions().await.unwrap();
    assert_eq!(kept.len() as u64, VERSIONS_KEPT_MAX);
    assert_eq!(kept.first().unwrap().number, 3);
    assert!(realm.policies.text(2).await.is_err() && realm.policies.text(3).await.is_ok());
    assert_eq!(realm.store.list("policy/").await.unwrap().0.len() as u64, 2 * VERSIONS_KEPT_MAX + 2);
}

#[tokio::test]
async fn a_start_goes_on_with_the_active_version() {
    let realm = realm().await;
    realm.apply(ONE).await;
    realm.apply(TWO).await;
    // What is not active is not read: a broken record of it does not matter.
    realm.store.put_if(&realm.policies.versions.version_key(1), "broken".into(), Expect::Any).await.unwrap();
    let again = open(&realm.store, &realm.clock).await.unwrap();
    assert_eq!(again.active().version, realm.policies.active().version);
    assert_eq!(again.decisions().borrow().set().source(), TWO);
    assert_eq!(again.apply(ONE, because("")).await.unwrap().number, 3);
}

#[tokio::test]
async fn a_stored_version_that_is_refused_stops_the_start() {
    let realm = realm().await;
    realm.apply(ONE).await;
    let put = async |key: &str, value: &str| realm.store.put_if(key, value.to_owned().into(), Expect::Any).await;
    put(&realm.policies.versions.text_key(1), "permit(principal, action, resource) when { resource.colour == 1 };")
        .await
        .unwrap();
    let refused = open(&realm.store, &realm.clock).await.unwrap_err();
    assert!(matches!(refused, PolicyAdminError::Inadmissible { number: 1, .. }));
    assert!(refused.to_string().contains("1:") && refused.to_string().contains("colour"), "{refused}");
    for key in [&*realm.policies.versions.head_key(), &realm.policies.versions.version_key(1)] {
        put(key, "{}").await.unwrap();
        let corrupt = open(&realm.store, &realm.clock).await.unwrap_err();
        assert!(matches!(corrupt, PolicyAdminError::Version(VersionsError::Corrupt { .. })), "{key}: {corrupt}");
        put(&realm.policies.versions.head_key(), r#"{"version":1}"#).await.unwrap();
    }
    realm.store.delete_if(&realm.policies.versions.version_key(1), Expect::Any).await.unwrap();
    assert!(matches!(
        open(&realm.store, &realm.clock).await.unwrap_err(),
        PolicyAdminError::Version(VersionsError::Corrupt { .. })
    ));
}

#[tokio::test]
async fn policies_of_the_first_form_are_not_passed_over() {
    let (store, clock) = (Arc::new(InMemory::new()), Arc::new(ManualClock::at(UnixMillis(1_000))));
    store.put_if("policy/0000000001", "{}".into(), Expect::Any).await.unwrap();
    assert!(matches!(open(&store, &clock).await.unwrap_err(), PolicyAdminError::Older));
}
