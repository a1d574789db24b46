use super::*;
use crate::fixture::{METEOROLOGISTS, NOW, entry, kek, nos_id, pdp, sources};
use aups_core::ManualClock;
use aups_ktm::{Ktm, KtmSettings};
use aups_store::InMemory;
use std::time::Duration;

async fn ktm() -> Arc<Ktm> {
    ktm_with(KtmSettings::default()).await
}

async fn ktm_with(settings: KtmSettings) -> Arc<Ktm> {
    let (store, clock) = (Arc::new(InMemory::new()), Arc::new(ManualClock::at(NOW)));
    Arc::new(Ktm::open(store, kek(), clock, settings).await.unwrap())
}

fn withheld(outcome: Result<Permitted<'_>, NotPermitted>) -> Withheld {
    match outcome {
        Err(NotPermitted::Withheld(withheld)) => withheld,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_nobody_may_read_is_not_permitted() {
    let ktm = ktm().await;
    let (policies, in_force) = watch::channel(pdp(ktm.realm().id(), ""));
    let mut pep = Pep::new(nos_id(), in_force, ktm.clone(), sources().await, 10);
    let entry = entry("1");
    assert_eq!(withheld(pep.permit(&entry).await), Withheld::NobodyMayRead);
    assert!(ktm.scopes().is_empty());
    assert!(pep.is_up_to_date());
    policies.send(pdp(ktm.realm().id(), METEOROLOGISTS)).unwrap();
    assert!(!pep.is_up_to_date());
    let permitted = pep.permit(&entry).await.unwrap();
    assert_eq!(ktm.scopes()[0].id, permitted.scope().id);
    assert_eq!(permitted.entry().topic, entry.topic);
}

#[tokio::test]
async fn a_level_has_so_many_scopes_and_no_more() {
    let ktm = ktm().await;
    let by_name = r#"
        permit(principal, action == Action::"receive", resource in Topic::"unregistered") when { principal.org == resource.name };
    "#;
    let (policies, in_force) = watch::channel(pdp(ktm.realm().id(), by_name));
    let mut pep = Pep::new(nos_id(), in_force, ktm.clone(), sources().await, 2);
    let named = |name: &str| entry(&format!(r#"{{"name":"{name}","value":1}}"#));
    for name in ["a", "b", "a"] {
        pep.permit(&named(name)).await.unwrap();
    }
    assert_eq!(withheld(pep.permit(&named("c")).await), Withheld::TooManyScopes(2));
    pep.permit(&named("b")).await.unwrap();
    assert_eq!(ktm.scopes().len(), 2, "the KTM never heard of the third");
    policies.send(pdp(ktm.realm().id(), by_name)).unwrap();
    pep.permit(&named("c")).await.unwrap();
}

#[tokio::test]
async fn a_key_life_that_the_ktm_does_not_allow_withholds() {
    let an_hour = Duration::from_hours(1);
    let ktm = ktm_with(KtmSettings { root_period: an_hour, ..KtmSettings::default() }).await;
    let two_hours =
        r#"@keylife("2h") permit(principal, action == Action::"receive", resource in Topic::"unregistered");"#;
    let (_policies, in_force) = watch::channel(pdp(ktm.realm().id(), two_hours));
    let mut pep = Pep::new(nos_id(), in_force, ktm, sources().await, 10);
    assert!(matches!(withheld(pep.permit(&entry("1")).await), Withheld::NoKeys(_)));
}
