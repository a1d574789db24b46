use super::*;
use aups_core::{Clock, KeyId, ManualClock, Obligations, ScopeSpec, Suite, UnixMillis};
use aups_envelope::{Secret, schedule};
use aups_ktm::{KeysTopicsManager as _, Ktm, KtmSettings, custody::Keyring};
use aups_store::InMemory;

fn spec(ktm: &Ktm, clearance: u32) -> ScopeSpec {
    let user = format!("permit(principal, action, resource) when {{ principal.clearance > {clearance} }};");
    let (obligations, suite, life_ms) = (Obligations::default(), Suite::default(), 300_000);
    let id = schedule::scope_id(&ktm.realm().id(), "", &user, &obligations, suite, life_ms);
    ScopeSpec { id, app: "".into(), user: user.into(), obligations, suite, life_ms }
}

/// What is told, each as JSON.
async fn told(history: &mut KeyHistory, watch: &mut Watch) -> Vec<Value> {
    let events = history.next(watch).await.unwrap();
    events.iter().map(|event| serde_json::to_value(event).unwrap()).collect()
}

#[tokio::test]
async fn every_change_of_keys_is_told_once_and_nothing_else() {
    let store: Arc<dyn Store> = Arc::new(InMemory::new());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(UnixMillis(1_780_000_000_000)));
    let mut history = KeyHistory::begin(Arc::clone(&store)).await.unwrap();
    let mut watch = store.watch("ktm/", history.revision);
    let keyring = Keyring::in_memory(Secret::random());
    let ktm = Ktm::open(Arc::clone(&store), keyring, clock, KtmSettings::default()).await.unwrap();
    let made = told(&mut history, &mut watch).await;
    assert!(!made.is_empty() && made.iter().all(|event| event["event"] == "root-made"), "{made:?}");

    let spec = spec(&ktm, 1);
    let scope = serde_json::to_value(spec.id).unwrap();
    ktm.ensure_scope(&spec).await.unwrap();
    ktm.bump(&spec.id).await.unwrap();
    let key_id: KeyId = ktm.sealing_key(&spec.id).await.unwrap().key_id;
    ktm.compromise_key(&key_id).await.unwrap();
    ktm.destroy(&spec.id).await.unwrap();
    let names: Vec<_> = told(&mut history, &mut watch)
        .await
        .into_iter()
        .filter(|event| event["scope"] == scope)
        .map(|event| format!("{} {}", event["event"].as_str().unwrap(), event["to"]))
        .collect();
    let expected = ["scope-made null", "scope-bumped 1", "scope-bumped 2", "scope-compromised null", "scope-gone null"];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn what_was_missed_is_told_from_what_there_is() {
    let state = |bump| ScopeState { bump: Bump(bump), compromised: Value::Null };
    let [a, b, c] = [1, 2, 3].map(|byte| ScopeId::from_bytes([byte; 32]));
    let mut before = Known { scopes: [(a, state(1)), (b, state(0))].into(), roots: [1, 2].into() };
    let now = Known { scopes: [(a, state(5)), (c, state(0))].into(), roots: [2, 3].into() };
    let events = before.become_now(&now);
    assert_eq!(before, now);
    let names: BTreeSet<_> =
        events.iter().map(|event| serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_owned()).collect();
    let expected = ["root-destroyed", "root-made", "scope-bumped", "scope-gone", "scope-made"];
    assert_eq!(names, expected.map(str::to_owned).into());
    assert_eq!(events.len(), 5);
    assert!(before.become_now(&now).is_empty());
}
