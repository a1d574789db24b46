//! What every [`KeysTopicsManager`] does, run on the KTM in this process and on one at the other end of a link.

use super::*;
use std::time::Duration as D;

/// A KTM as NOSs see it, and the same as administrators do.
#[derive(Clone, Copy)]
struct Both<'a> {
    nos: &'a dyn KeysTopicsManager,
    ktm: &'a Ktm,
}

impl Both<'_> {
    fn spec(&self, n: u32) -> ScopeSpec {
        fixture::spec(self.ktm.realm().id(), n, LIFE)
    }
}

/// Runs a check on both.
async fn on_both<F: AsyncFn(Both<'_>)>(check: F) {
    let realm = Realm::new().await;
    check(Both { nos: &*realm.ktm, ktm: &realm.ktm }).await;
    let realm = Realm::new().await;
    let linked = realm.nos("nos-1").await;
    check(Both { nos: &linked.ktm, ktm: &realm.ktm }).await;
}

fn same(a: &KeyEntry, b: &KeyEntry) -> bool {
    (a.key_id, a.key_t.expose(), a.terms, a.from) == (b.key_id, b.key_t.expose(), b.terms, b.from)
}

/// Waits until a change was told.
async fn told(revisions: &mut watch::Receiver<u64>) {
    timeout(SOON, revisions.changed()).await.expect("the change is told").unwrap();
}

#[tokio::test]
async fn starts_are_counted_and_the_slot_stays() {
    on_both(async |both| {
        let (nos, key) = ("nos-1".parse().unwrap(), SigningKey::generate());
        for start in 1..=3 {
            let begun = both.nos.begin_incarnation(&nos, key.public()).await.unwrap();
            assert_eq!((begun.publisher, begun.incarnation), (PublisherSlot(1), start));
        }
        let publishers = both.nos.publishers().await.unwrap();
        let certificate = aups_envelope::Certificate::verify(&publishers[0], &both.ktm.realm().public(), NOW).unwrap();
        assert_eq!((publishers.len(), certificate.nos, certificate.signing_key), (1, nos, key.public()));
    })
    .await;
}

#[tokio::test]
async fn a_scope_is_one_however_often_it_is_asked_for() {
    on_both(async |both| {
        let spec = both.spec(0);
        let tag = both.nos.ensure_scope(&spec).await.unwrap();
        assert_eq!(both.nos.ensure_scope(&spec).await.unwrap(), tag);
        assert_eq!(both.ktm.ensure_scope(&spec).await.unwrap(), tag);
        assert_eq!(both.nos.scope_ids().await.unwrap(), [spec.id]);
    })
    .await;
}

#[tokio::test]
async fn the_key_is_that_of_now_and_opens_for_readers() {
    on_both(async |both| {
        let spec = both.spec(0);
        both.nos.ensure_scope(&spec).await.unwrap();
        let key = both.nos.sealing_key(&spec.id).await.unwrap();
        key.verify().unwrap();
        let keys = both.ktm.sealing_keys(&spec.id).await.unwrap();
        assert!(same(&key, &keys.current));
        for _ in 0..2 {
            let resolved = both.nos.resolve(&key.key_id).await.unwrap().unwrap();
            assert!(same(&resolved.key, &key) && same(&resolved.next.unwrap(), &keys.next));
            assert_eq!(*resolved.spec, spec);
            let next = both.nos.resolve(&keys.next.key_id).await.unwrap().unwrap();
            assert!(same(&next.key, &keys.next) && next.next.is_none());
        }
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    on_both(async |both| {
        let spec = both.spec(0);
        let unknown = both.nos.sealing_key(&spec.id).await;
        assert!(matches!(unknown, Err(KtmError::UnknownScope(id)) if id == spec.id), "{unknown:?}");
        let foreign = ScopeSpec { user: "permit(principal, action, resource);".into(), ..spec.clone() };
        let foreign = both.nos.ensure_scope(&foreign).await;
        assert!(matches!(foreign, Err(KtmError::ForeignScope(id)) if id == spec.id), "{foreign:?}");
        let short = fixture::spec(both.ktm.realm().id(), 0, D::from_millis(999));
        let short = both.nos.ensure_scope(&short).await;
        assert!(matches!(short, Err(KtmError::Life { asked: 999, least: 1_000, .. })), "{short:?}");
        both.nos.ensure_scope(&spec).await.unwrap();
        let key = both.nos.sealing_key(&spec.id).await.unwrap();
        let mut altered = *key.key_id.as_bytes();
        altered[23] ^= 1;
        assert!(both.nos.resolve(&aups_core::KeyId::from_bytes(altered)).await.unwrap().is_none());
        assert!(both.nos.resolve(&aups_core::KeyId::from_bytes([7; 24])).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_bump_is_told_and_shows() {
    on_both(async |both| {
        let (spec, other) = (both.spec(0), both.spec(1));
        for spec in [&spec, &other] {
            both.nos.ensure_scope(spec).await.unwrap();
        }
        let before = both.nos.sealing_key(&spec.id).await.unwrap();
        let unrelated = both.nos.sealing_key(&other.id).await.unwrap();
        let next = both.nos.resolve(&before.key_id).await.unwrap().unwrap().next.unwrap();
        both.nos.resolve(&next.key_id).await.unwrap().unwrap();
        let mut revisions = both.nos.revisions();
        revisions.mark_unchanged();
        both.ktm.bump(&spec.id).await.unwrap();
        told(&mut revisions).await;
        let after = both.nos.sealing_key(&spec.id).await.unwrap();
        assert_eq!((after.terms.bump, after.terms.epoch), (Bump(1), before.terms.epoch));
        assert!(same(&both.nos.sealing_key(&other.id).await.unwrap(), &unrelated));
        assert!(both.nos.resolve(&before.key_id).await.unwrap().is_some(), "what was sealed stays readable");
        assert!(both.nos.resolve(&next.key_id).await.unwrap().is_none(), "nothing is ever sealed with it");
    })
    .await;
}

#[tokio::test]
async fn a_destroyed_scope_is_told_and_gone() {
    on_both(async |both| {
        let spec = both.spec(0);
        let tag = both.nos.ensure_scope(&spec).await.unwrap();
        let key = both.nos.sealing_key(&spec.id).await.unwrap();
        both.nos.resolve(&key.key_id).await.unwrap().unwrap();
        let mut revisions = both.nos.revisions();
        revisions.mark_unchanged();
        both.ktm.destroy(&spec.id).await.unwrap();
        told(&mut revisions).await;
        let gone = both.nos.sealing_key(&spec.id).await;
        assert!(matches!(gone, Err(KtmError::UnknownScope(id)) if id == spec.id), "{gone:?}");
        assert!(both.nos.resolve(&key.key_id).await.unwrap().is_none());
        assert!(both.nos.scope_ids().await.unwrap().is_empty());
        assert_ne!(both.nos.ensure_scope(&spec).await.unwrap(), tag, "needed again, it is another");
        assert_ne!(both.nos.sealing_key(&spec.id).await.unwrap().key_id, key.key_id);
    })
    .await;
}

#[tokio::test]
async fn a_nos_that_begins_is_told_to_readers() {
    on_both(async |both| {
        let nos = "nos-1".parse().unwrap();
        assert!(both.nos.publishers().await.unwrap().is_empty());
        both.nos.begin_incarnation(&nos, SigningKey::generate().public()).await.unwrap();
        timeout(SOON, async {
            while both.nos.publishers().await.unwrap().is_empty() {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("the list is made anew");
    })
    .await;
}
