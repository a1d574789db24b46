use super::*;
use aups_core::{Bump, Item, ManualClock, Marks, ScopeId};
use aups_envelope::{SigningKey, kem::Kem};
use aups_ktm::{KeysTopicsManager as _, KtmSettings, custody::Keyring};
use aups_policy::{PolicySet, Resource};
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
    ktm: Arc<Ktm>,
    policies: watch::Sender<Arc<Pdp>>,
    registry: Registry,
}

async fn realm() -> Realm {
    let store = Arc::new(InMemory::new());
    let clock = Arc::new(ManualClock::at(UnixMillis(1_780_000_000_000)));
    let kek = Keyring::in_memory(Secret::from_bytes([7; 32]));
    let ktm = Ktm::open(Arc::clone(&store) as _, kek, Arc::clone(&clock) as _, KtmSettings::default()).await.unwrap();
    let ktm = Arc::new(ktm);
    let (policies, decisions) = watch::channel(Arc::new(Pdp::new(ktm.realm().id(), PolicySet::empty())));
    let registry = open(&store, &ktm, decisions, &clock).await;
    Realm { store, clock, ktm, policies, registry }
}

async fn open(
    store: &InMemory,
    ktm: &Arc<Ktm>,
    decisions: watch::Receiver<Arc<Pdp>>,
    clock: &Arc<ManualClock>,
) -> Registry {
    let residuals = Arc::new(Residuals::new(100));
    Registry::open(store, Arc::clone(ktm), residuals, decisions, Arc::clone(clock) as _).await.unwrap()
}

fn new(kind: ReaderKind, name: &str) -> NewReader {
    NewReader { kind, sub: sub(name), attrs: Attributes::default(), groups: BTreeSet::new() }
}

impl Realm {
    async fn add(&self, name: &str) -> IssuedToken {
        self.registry.add(&Registrar::Admin, new(ReaderKind::User, name)).await.unwrap().1
    }
    async fn token(&self, name: &str, lost: bool) -> (IssuedToken, Revoked) {
        let issued = self.registry.new_enrolment_token(&Registrar::Admin, ReaderKind::User, &sub(name), lost).await;
        let (_, token, revoked) = issued.unwrap();
        (token, revoked)
    }
    async fn enrol(&self, token: &IssuedToken, password: &str) -> Result<Revoked, RegistryError> {
        let kem = Kem::X25519.generate().public();
        let enrolled = self.registry.enrol(&token.secret, SigningKey::generate().public(), kem, password).await;
        enrolled.map(|(_, revoked)| revoked)
    }
    async fn change(&self, name: &str, json: &str) -> Result<(Attributes, Revoked), RegistryError> {
        let record = self.registry.find(&sub(name)).unwrap();
        let change: ReaderChange = serde_json::from_str(json).unwrap();
        let changed = self.registry.change(&Registrar::Admin, record.kind, &record.sub, change).await;
        changed.map(|(record, revoked)| (record.attrs, revoked))
    }
    async fn remove(&self, name: &str) -> Revoked {
        let record = self.registry.find(&sub(name)).unwrap();
        self.registry.remove(&Registrar::Admin, record.kind, &record.sub).await.unwrap()
    }
    async fn reopened(&self) -> Registry {
        open(&self.store, &self.ktm, self.policies.subscribe(), &self.clock).await
    }
    /// Makes the scope of an item for whom these policies let read it.
    async fn scope(&self, policies: &str) -> ScopeId {
        let pdp = Pdp::new(self.ktm.realm().id(), PolicySet::parse(policies, "policies").unwrap());
        let (topic, marks) = ("data/s1/x".parse().unwrap(), Marks::default());
        let spec = pdp.scope(&Resource { item: &item(), topic: &topic, marks: &marks }).unwrap();
        self.ktm.ensure_scope(&spec).await.unwrap();
        spec.id
    }
}

fn item() -> Item {
    serde_json::from_str(
        r#"{"id":"01981a4b-7c3d-7e5f-8a6b-9c0d1e2f3a4b","source":{"nodeId":"s1","nodeType":"sensor",
        "communicationMode":"discrete","registered":true},"schema":"default","receivedAt":"2026-11-22T13:27:31.000Z",
        "data":{"name":"x","value":1},"security":{"confidentiality":0,"integrity":0,"privacy":0,"authentication":0},
        "quality":{"accuracy":1,"precision":1,"timeliness":1,"completeness":1}}"#,
    )
    .unwrap()
}

fn subs<const N: usize>(names: [&str; N]) -> BTreeSet<Sub> {
    names.into_iter().map(sub).collect()
}

const METEO: &str = r#"permit(principal, action, resource) when { principal.roles.contains("meteo") };"#;
const STAFF: &str = r#"permit(principal in Group::"staff", action, resource);"#;
const ALICE: &str = r#"permit(principal == User::"alice", action, resource);"#;
const EVERYBODY: &str = "permit(principal, action, resource);";
const ACME: &str = r#"permit(principal, action, resource) when { principal.org == "acme" };"#;

#[tokio::test]
async fn a_name_is_taken_once_across_users_and_apps() {
    let realm = realm().await;
    realm.add("alice").await;
    let again = realm.registry.add(&Registrar::Admin, new(ReaderKind::App, "alice")).await;
    assert!(matches!(again, Err(RegistryError::Exists(name)) if name == "alice"));
    assert!(realm.registry.get(&Registrar::Admin, ReaderKind::App, &sub("alice")).is_err(), "she is no app");
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

    let (late, _) = realm.token("alice", false).await;
    realm.clock.advance(TOKEN_LIFE);
    assert!(matches!(realm.enrol(&late, "x").await, Err(RegistryError::Token)), "expired");
    assert!(realm.registry.password_matches(&sub("alice"), b"secret"), "a token that was not used changes nothing");
}

#[tokio::test]
async fn a_new_token_replaces_the_old_one() {
    let realm = realm().await;
    let first = realm.add("alice").await;
    let (second, _) = realm.token("alice", false).await;
    assert!(matches!(realm.enrol(&first, "x").await, Err(RegistryError::Token)));
    realm.enrol(&second, "y").await.unwrap();
}

#[tokio::test]
async fn registrations_survive_a_restart() {
    let realm = realm().await;
    let token = realm.add("alice").await;
    realm.enrol(&token, "secret").await.unwrap();
    let pending = realm.add("bob").await;
    realm.remove("alice").await;
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
    let add = |name, groups| registry.add(&Registrar::Admin, NewReader { groups, ..new(ReaderKind::App, name) });
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
    let change = async |json: &str| realm.change("alice", json).await.map(|(attrs, _)| attrs);
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

#[tokio::test]
async fn exactly_the_scopes_that_lost_a_reader_are_bumped() {
    let realm = realm().await;
    let (meteo, everybody, alices, acme) =
        (realm.scope(METEO).await, realm.scope(EVERYBODY).await, realm.scope(ALICE).await, realm.scope(ACME).await);
    realm.add("alice").await;
    realm.add("bob").await;
    let gained = realm.change("alice", r#"{"attrs":{"roles":["meteo"],"clearance":1}}"#).await.unwrap().1;
    assert!(gained.bumps.is_empty() && gained.readers.is_empty(), "a gain costs nobody anything");
    let same = realm.change("alice", r#"{"attrs":{"clearance":2}}"#).await.unwrap().1;
    assert!(same.bumps.is_empty() && same.readers.is_empty(), "what no scope asks costs nobody anything");

    let lost = realm.change("alice", r#"{"attrs":{"roles":[]}}"#).await.unwrap().1;
    assert_eq!(lost.bumps, [(meteo, Bump(1))].into());
    assert_eq!(lost.readers, subs(["alice"]));

    let removed = realm.remove("alice").await;
    assert_eq!(removed.bumps.keys().copied().collect::<BTreeSet<_>>(), [everybody, alices].into());
    let removed = realm.remove("bob").await;
    assert_eq!(removed.bumps, [(everybody, Bump(2))].into());
    let bumps = |scope| {
        let ktm = Arc::clone(&realm.ktm);
        async move { ktm.sealing_keys(&scope).await.unwrap().current.key_id.bump() }
    };
    assert_eq!((bumps(meteo).await, bumps(acme).await, bumps(alices).await), (Bump(1), Bump(0), Bump(1)));
}

#[tokio::test]
async fn a_group_that_leaves_a_group_takes_its_members_rights() {
    let realm = realm().await;
    let (staff, everybody) = (realm.scope(STAFF).await, realm.scope(EVERYBODY).await);
    let named = |name: &str| name.parse().unwrap();
    realm.registry.add_group(named("staff"), groups([])).await.unwrap();
    realm.registry.add_group(named("night"), groups(["staff"])).await.unwrap();
    for (name, of) in [("alice", groups(["night"])), ("bob", groups(["night"])), ("carol", groups(["staff"]))] {
        let new = NewReader { groups: of, ..new(ReaderKind::User, name) };
        realm.registry.add(&Registrar::Admin, new).await.unwrap();
    }
    let left = realm.registry.change_group(named("night"), groups([])).await.unwrap();
    assert_eq!(left.bumps, [(staff, Bump(1))].into());
    assert_eq!(left.readers, subs(["alice", "bob"]));
    let back = realm.registry.change_group(named("night"), groups(["staff"])).await.unwrap();
    assert!(back.bumps.is_empty());
    assert_eq!(realm.ktm.sealing_keys(&everybody).await.unwrap().current.key_id.bump(), Bump(0));
}

#[tokio::test]
async fn what_a_lost_device_holds_is_worth_nothing() {
    let realm = realm().await;
    let everybody = realm.scope(EVERYBODY).await;
    let token = realm.add("alice").await;
    let (again, nothing) = realm.token("alice", true).await;
    assert!(nothing.bumps.is_empty(), "she had no keys yet");
    assert!(realm.enrol(&token, "x").await.is_err());
    assert!(realm.enrol(&again, "first").await.unwrap().bumps.is_empty());

    let (token, lost) = realm.token("alice", true).await;
    assert_eq!((lost.bumps, lost.readers), ([(everybody, Bump(1))].into(), subs(["alice"])));
    assert!(realm.registry.reader(&sub("alice")).unwrap().keys.is_none());
    assert!(!realm.registry.password_matches(&sub("alice"), b"first"));
    assert!(realm.enrol(&token, "second").await.unwrap().bumps.is_empty(), "nobody held keys any more");

    let (token, kept) = realm.token("alice", false).await;
    assert!(kept.bumps.is_empty() && realm.registry.password_matches(&sub("alice"), b"second"));
    let replaced = realm.enrol(&token, "third").await.unwrap();
    assert_eq!(replaced.bumps, [(everybody, Bump(2))].into(), "the keys of before may be in other hands");
}

#[tokio::test]
async fn an_app_rules_its_own_users_and_no_others() {
    let realm = realm().await;
    let acme = realm.scope(ACME).await;
    realm.add("alice").await;
    realm.registry.add(&Registrar::Admin, new(ReaderKind::App, "panel")).await.unwrap();
    realm.registry.add(&Registrar::Admin, new(ReaderKind::App, "other")).await.unwrap();
    let panel = Registrar::App(sub("panel"));
    let attrs = Attributes { org: "acme".into(), ..Attributes::default() };
    realm.registry.add(&panel, NewReader { attrs, ..new(ReaderKind::User, "carol") }).await.unwrap();
    let seen = |by: &Registrar| -> Vec<String> {
        realm.registry.readers(by, ReaderKind::User).into_iter().map(|record| record.sub.to_string()).collect()
    };
    assert_eq!(seen(&panel), ["carol"]);
    assert_eq!(seen(&Registrar::App(sub("other"))), Vec::<String>::new());
    assert_eq!(seen(&Registrar::Admin), ["alice", "carol"]);
    for name in ["alice", "nobody"] {
        let gone = realm.registry.remove(&panel, ReaderKind::User, &sub(name)).await;
        assert!(matches!(gone, Err(RegistryError::NotBeneath { .. })), "{name}: it cannot tell which");
    }
    let app_of = |registry: &Registry| registry.reader(&sub("carol")).unwrap().principal.app.clone().unwrap();
    assert_eq!(app_of(&realm.registry).attributes.org, "");
    realm.change("panel", r#"{"attrs":{"org":"acme"}}"#).await.unwrap();
    assert_eq!(app_of(&realm.registry).attributes.org, "acme", "users follow their app");
    assert_eq!(app_of(&realm.reopened().await).attributes.org, "acme");

    let lost = realm.change("panel", r#"{"attrs":{"org":""}}"#).await.unwrap().1;
    assert_eq!((lost.bumps, lost.readers), ([(acme, Bump(1))].into(), subs(["carol", "panel"])));
    realm.change("panel", r#"{"attrs":{"org":"acme"}}"#).await.unwrap();
    let removed = realm.remove("panel").await;
    assert_eq!(removed.readers, subs(["carol", "panel"]));
    assert_eq!(seen(&Registrar::Admin), ["alice"], "the users of an app go with it");
    assert!(realm.reopened().await.reader(&sub("carol")).is_none());
}

#[tokio::test]
async fn a_change_that_is_not_stored_changes_nothing() {
    let realm = realm().await;
    let everybody = realm.scope(EVERYBODY).await;
    realm.add("alice").await;
    // Somebody else wrote to the store: the scope is not as it was.
    let key = format!("ktm/scope/{everybody}");
    let kept = realm.store.get(&key).await.unwrap().unwrap();
    realm.store.put_if(&key, "{}".into(), Expect::Any).await.unwrap();
    let record = realm.registry.find(&sub("alice")).unwrap();
    let failed = realm.registry.remove(&Registrar::Admin, record.kind, &record.sub).await;
    assert!(matches!(failed, Err(RegistryError::Ktm(_))), "{failed:?}");
    assert!(!realm.registry.reader(&sub("alice")).unwrap().changing, "she may read again");
    realm.store.put_if(&key, kept.value, Expect::Any).await.unwrap();
    assert_eq!(realm.remove("alice").await.bumps.len(), 1);
}

#[tokio::test]
async fn a_lost_app_takes_what_its_users_hold_along() {
    let realm = realm().await;
    let everybody = realm.scope(EVERYBODY).await;
    let (_, token) = realm.registry.add(&Registrar::Admin, new(ReaderKind::App, "panel")).await.unwrap();
    realm.enrol(&token, "panel").await.unwrap();
    let panel = Registrar::App(sub("panel"));
    let (_, token) = realm.registry.add(&panel, new(ReaderKind::User, "carol")).await.unwrap();
    realm.enrol(&token, "carol").await.unwrap();
    let (_, pending) = realm.registry.add(&panel, new(ReaderKind::User, "dave")).await.unwrap();
    realm.add("alice").await;

    let lost = realm.registry.new_enrolment_token(&Registrar::Admin, ReaderKind::App, &sub("panel"), true).await;
    let (_, token, revoked) = lost.unwrap();
    assert_eq!((revoked.bumps, revoked.readers), ([(everybody, Bump(1))].into(), subs(["carol", "panel"])));
    for name in ["panel", "carol"] {
        assert!(!realm.registry.password_matches(&sub(name), name.as_bytes()), "{name}");
        assert!(realm.registry.reader(&sub(name)).unwrap().keys.is_none(), "{name}");
    }
    assert!(realm.enrol(&pending, "dave").await.is_err(), "whoever has the app's keys may have made this token");
    realm.enrol(&token, "again").await.unwrap();
    let carol = realm.registry.new_enrolment_token(&panel, ReaderKind::User, &sub("carol"), false).await.unwrap().1;
    realm.enrol(&carol, "again").await.unwrap();
}
