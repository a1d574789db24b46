use super::*;
use aups_core::ManualClock;
use aups_envelope::{SigningKey, kem::Kem};
use aups_store::InMemory;

fn sub(name: &str) -> Sub {
    name.parse().unwrap()
}
fn groups<const N: usize>(names: [&str; N]) -> BTreeSet<GroupName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

struct Realm {
    store: Arc<InMemory>,
    clock: Arc<ManualClock>,
    registry: Registry,
}

async fn realm() -> Realm {
    let store = Arc::new(InMemory::new());
    let clock = Arc::new(ManualClock::at(UnixMillis(1_000_000)));
    let registry = Registry::open(Arc::clone(&store) as _, Arc::clone(&clock) as _).await.unwrap();
    Realm { store, clock, registry }
}

impl Realm {
    async fn add(&self, name: &str) -> IssuedToken {
        self.registry
            .add(ReaderKind::User, sub(name), Attributes::default(), BTreeSet::new(), &Schema::shipped())
            .await
            .unwrap()
            .1
    }
    async fn enrol(&self, token: &IssuedToken, password: &str) -> Result<ReaderRecord, RegistryError> {
        let kem = Kem::X25519.generate().public();
        self.registry.enrol(&token.secret, SigningKey::generate().public(), kem, password).await
    }
    async fn reopened(&self) -> Registry {
        Registry::open(Arc::clone(&self.store) as _, Arc::clone(&self.clock) as _).await.unwrap()
    }
}

#[tokio::test]
async fn a_name_is_taken_once_across_users_and_apps() {
    let realm = realm().await;
    realm.add("alice").await;
    let again = realm
        .registry
        .add(ReaderKind::App, sub("alice"), Attributes::default(), BTreeSet::new(), &Schema::shipped())
        .await;
    assert!(matches!(again, Err(RegistryError::Exists(name)) if name == "alice"));
    assert!(realm.registry.get(ReaderKind::App, &sub("alice")).is_err(), "she is no app");
}

#[tokio::test]
async fn an_enrolment_token_works_once_and_for_15_minutes() {
    let realm = realm().await;
    let token = realm.add("alice").await;
    assert!(!realm.registry.password_matches(&sub("alice"), b"secret"));
    realm.enrol(&token, "secret").await.unwrap();
    assert!(realm.registry.password_matches(&sub("alice"), b"secret"));
    assert!(!realm.registry.password_matches(&sub("alice"), b"other"));
    assert!(matches!(realm.enrol(&token, "x").await, Err(RegistryError::Token)), "used");

    let (_, late) = realm.registry.new_enrolment_token(ReaderKind::User, &sub("alice")).await.unwrap();
    realm.clock.advance(TOKEN_LIFE);
    assert!(matches!(realm.enrol(&late, "x").await, Err(RegistryError::Token)), "expired");
    assert!(realm.registry.password_matches(&sub("alice"), b"secret"), "a token that was not used changes nothing");
}

#[tokio::test]
async fn a_new_token_replaces_the_old_one() {
    let realm = realm().await;
    let first = realm.add("alice").await;
    let (_, second) = realm.registry.new_enrolment_token(ReaderKind::User, &sub("alice")).await.unwrap();
    assert!(matches!(realm.enrol(&first, "x").await, Err(RegistryError::Token)));
    realm.enrol(&second, "y").await.unwrap();
}

#[tokio::test]
async fn registrations_survive_a_restart() {
    let realm = realm().await;
    let token = realm.add("alice").await;
    realm.enrol(&token, "secret").await.unwrap();
    let pending = realm.add("bob").await;
    realm.registry.remove(ReaderKind::User, &sub("alice")).await.unwrap();
    let reopened = realm.reopened().await;
    assert!(reopened.reader(&sub("alice")).is_none());
    assert!(reopened.reader(&sub("bob")).unwrap().keys.is_none());
    let kem = Kem::X25519.generate().public();
    reopened.enrol(&pending.secret, SigningKey::generate().public(), kem, "p").await.unwrap();
}

#[tokio::test]
async fn a_reader_is_in_the_groups_that_hold_its_groups() {
    let realm = realm().await;
    let registry = &realm.registry;
    registry.add_group("all".parse().unwrap(), groups([])).await.unwrap();
    registry.add_group("staff".parse().unwrap(), groups(["all"])).await.unwrap();
    let schema = Schema::shipped();
    let add = |name, g| registry.add(ReaderKind::App, sub(name), Attributes::default(), g, &schema);
    assert!(matches!(add("x", groups(["nobody"])).await, Err(RegistryError::Unknown { what: "group", .. })));
    add("pump", groups(["staff"])).await.unwrap();
    assert_eq!(registry.reader(&sub("pump")).unwrap().principal.groups, groups(["all", "staff"]));

    registry.change_group("staff".parse().unwrap(), groups([])).await.unwrap();
    assert_eq!(
        registry.reader(&sub("pump")).unwrap().principal.groups,
        groups(["staff"]),
        "readers follow their groups"
    );
    registry.change_group("staff".parse().unwrap(), groups(["all"])).await.unwrap();
    let cycle = registry.change_group("all".parse().unwrap(), groups(["staff"])).await;
    assert!(matches!(cycle, Err(RegistryError::GroupCycle { .. })));
    assert!(matches!(registry.remove_group(&"staff".parse().unwrap()).await, Err(RegistryError::GroupInUse { .. })));
}

#[tokio::test]
async fn attributes_are_replaced_one_by_one_and_unknown_ones_are_refused() {
    let realm = realm().await;
    realm.add("alice").await;
    let alice = sub("alice");
    let change = async |json: &str| {
        let change: ReaderChange = serde_json::from_str(json).unwrap();
        realm.registry.change(ReaderKind::User, &alice, change, &Schema::shipped()).await.map(|record| record.attrs)
    };
    change(r#"{"attrs":{"roles":["a","b"],"clearance":3}}"#).await.unwrap();
    let attrs = change(r#"{"attrs":{"clearance":null,"org":"cnr"}}"#).await.unwrap();
    assert_eq!((attrs.roles.len(), attrs.clearance, attrs.org.as_str()), (2, 0, "cnr"));
    let mistyped = change(r#"{"attrs":{"role":["a"]}}"#).await.unwrap_err();
    assert_eq!(mistyped.to_string(), "attribute `role` is not known: did you mean `roles`?");
    let attrs = change(r#"{"attrs":{"tags":{"owner":"cnr"}}}"#).await.unwrap();
    assert_eq!(attrs.tags["owner"], "cnr");
    assert!(change(r#"{"attrs":{"tags":null}}"#).await.unwrap().tags.is_empty());
    assert!(matches!(change(r#"{"attrs":{"clearance":"high"}}"#).await, Err(RegistryError::Attributes(_))));
}
