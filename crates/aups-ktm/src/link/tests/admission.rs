//! Who gets in: tokens, certificates, authorities, and what becomes of a NOS that is removed.

use super::*;
use std::os::unix::fs::PermissionsExt as _;
use wire::path::{BEGIN, ENROL, KEYS, LEASE, PUBLISHERS, RENEW, RESOLVE, REVISIONS, SCOPES, USES};

async fn connect(url: &str, token: AdmissionToken, now: UnixMillis) -> Result<Linked, LinkError> {
    Linked::connect(url.to_owned(), tempfile::tempdir().unwrap(), Some(token), now).await
}

fn again(token: &AdmissionToken) -> AdmissionToken {
    token.expose().parse().unwrap()
}

#[tokio::test]
async fn a_token_admits_once() {
    let realm = Realm::new().await;
    let token = realm.server.admit(&"nos-7".parse().unwrap()).await.unwrap();
    assert_eq!(realm.status("nos-7").admitted, None);
    let linked = connect(&realm.url(), again(&token), NOW).await.unwrap();
    assert_eq!(linked.ktm.name().as_str(), "nos-7");
    assert_eq!(linked.ktm.realm_key(), realm.ktm.realm().public());
    let status = realm.status("nos-7");
    assert_eq!((status.admitted, status.publisher), (Some(NOW), None));
    assert_eq!(status.certificate_expires, Some(NOW.plus(crate::ca::NOS_CERTIFICATE_LIFE)));
    let used = connect(&realm.url(), token, NOW).await;
    assert!(matches!(used, Err(LinkError::Token)), "{:?}", used.err());
}

#[tokio::test]
async fn a_token_that_is_wrong_replaced_or_old_admits_nobody() {
    let realm = Realm::new().await;
    let nos: NosId = "nos-1".parse().unwrap();
    let token = realm.server.admit(&nos).await.unwrap();
    let made_up = AdmissionToken { secret: Secret::random(), authority: token.authority };
    let replaced = again(&token);
    let token = realm.server.admit(&nos).await.unwrap();
    for refused in [made_up, replaced] {
        assert!(matches!(connect(&realm.url(), refused, NOW).await, Err(LinkError::Token)));
    }
    realm.clock.advance(ADMISSION_LIFE);
    assert!(matches!(connect(&realm.url(), token, NOW).await, Err(LinkError::Token)));
}

#[tokio::test]
async fn a_ktm_of_another_realm_is_told_nothing() {
    let (realm, other) = (Realm::new().await, Realm::new().await);
    let token = realm.server.admit(&"nos-1".parse().unwrap()).await.unwrap();
    // Somebody stands where the KTM should be, and shows another authority.
    let fooled = connect(&other.url(), again(&token), NOW).await;
    let Err(LinkError::Ktm(KtmError::Away { why })) = fooled else { panic!("{:?}", fooled.err()) };
    assert!(why.contains("UnknownIssuer"), "{why}");
    connect(&realm.url(), token, NOW).await.expect("the token was not shown to anybody");
}

#[tokio::test]
async fn a_certificate_of_another_realm_is_refused() {
    let (realm, other) = (Realm::new().await, Realm::new().await);
    let stranger = other.nos("nos-1").await;
    // The same name is admitted here as well.
    let _native = realm.nos("nos-1").await;
    let Linked { ktm, dir, .. } = stranger;
    drop(ktm);
    // It takes this KTM for its own: it looks for its own authority, and does not find it.
    let stranger = Linked::connect(realm.url(), dir, None, NOW).await.unwrap();
    assert!(timeout(Duration::from_millis(500), stranger.ktm.ready()).await.is_err());
    // And the other way round: TLS that trusts anybody, with a certificate of the other realm.
    let raw = raw_client(&other, &realm).await;
    assert!(raw.is_err(), "{raw:?}");
}

/// Shows a certificate of one realm to the KTM of another, trusting that one.
async fn raw_client(of: &Realm, to: &Realm) -> Result<u16, reqwest::Error> {
    let asking = identity::Asking::new().unwrap();
    let public_key = crate::ca::NosPublicKey::from_bytes(&asking.public_key).unwrap();
    let issued = of.ca.issue_nos(&"nos-1".parse().unwrap(), &public_key).unwrap();
    let given = identity::Given { certificate: issued.certificate.to_vec(), issued: NOW, expires: issued.expires };
    let authority = to.ca.certificate().clone();
    let identity =
        identity::Identity::admitted("nos-1".parse().unwrap(), of.ktm.realm().public(), authority, asking, given);
    let clock: Arc<dyn Clock> = to.clock.clone();
    let client = reqwest::Client::builder().tls_backend_preconfigured(identity.tls(&clock).unwrap());
    let answer = client.build().unwrap().get(format!("{}{}", to.url(), PUBLISHERS)).send().await?;
    Ok(answer.status().as_u16())
}

#[tokio::test]
async fn a_certificate_of_the_authority_that_was_given_to_nobody_is_refused() {
    let realm = Realm::new().await;
    let _native = realm.nos("nos-1").await;
    assert_eq!(raw_client(&realm, &realm).await.unwrap(), 401);
}

#[tokio::test]
async fn without_a_certificate_nothing_is_answered_but_an_admission() {
    let realm = Realm::new().await;
    let clock: Arc<dyn Clock> = realm.clock.clone();
    let (tls, _) = identity::stranger(realm.ca.fingerprint().unwrap(), &clock).unwrap();
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap();
    for path in [PUBLISHERS, SCOPES, REVISIONS] {
        let answer = client.get(format!("{}{path}", realm.url())).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
    }
    for path in [BEGIN, ENROL, KEYS, LEASE, RENEW, RESOLVE, SCOPES, USES] {
        let answer = client.post(format!("{}{path}", realm.url())).body("{}").send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
    }
}

#[tokio::test]
async fn the_identity_is_kept_for_its_owner_alone() {
    let realm = Realm::new().await;
    let linked = realm.nos("nos-1").await;
    let file = linked.dir.path().join("link.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let begun = linked.ktm.begin_incarnation(&"nos-1".parse().unwrap(), SigningKey::generate().public()).await;
    let linked = linked.restarted().await;
    timeout(SOON, linked.ktm.ready()).await.expect("no token is needed any more");
    let again = linked.ktm.begin_incarnation(&"nos-1".parse().unwrap(), SigningKey::generate().public()).await;
    assert_eq!(again.unwrap().publisher, begun.unwrap().publisher);
    let Linked { ktm, dir, url, .. } = linked;
    drop(ktm);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let loose = Linked::connect(url, dir, None, NOW).await;
    assert!(matches!(loose, Err(LinkError::Loose { mode: 0o644, .. })), "{:?}", loose.err());
}

#[tokio::test]
async fn a_nos_begins_under_its_own_name_alone() {
    let realm = Realm::new().await;
    let linked = realm.nos("nos-1").await;
    let other = linked.ktm.begin_incarnation(&"nos-2".parse().unwrap(), SigningKey::generate().public()).await;
    assert!(matches!(other, Err(KtmError::NotAdmitted)));
}

#[tokio::test]
async fn a_certificate_is_renewed_in_time_and_the_old_one_ends() {
    let realm = Realm::new().await;
    let linked = realm.nos("nos-1").await;
    let first = realm.status("nos-1").certificate_expires.unwrap();
    let day = crate::ca::NOS_CERTIFICATE_RENEWED_AFTER;
    realm.clock.advance(day);
    linked.wall.advance(day);
    timeout(SOON, async {
        while realm.status("nos-1").certificate_expires == Some(first) {
            // Something happens, so that the NOS renews its lease.
            realm.put("reader/alice", "there").await;
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("it is renewed");
    let linked = linked.restarted().await;
    timeout(SOON, linked.ktm.ready()).await.expect("the new one is in the file, and taken");
}

#[tokio::test]
async fn an_expired_certificate_is_refused_on_both_sides() {
    let realm = Realm::new().await;
    let linked = realm.nos("nos-1").await;
    let Linked { ktm, dir, url, .. } = linked;
    drop(ktm);
    let later = NOW.plus(crate::ca::NOS_CERTIFICATE_LIFE);
    realm.clock.set(later);
    let Err(LinkError::Expired(at)) = Linked::connect(url.clone(), tempfile_at(&dir), None, later).await else {
        panic!("it does not even try");
    };
    assert_eq!(at, later);
    // Nor is it taken from a NOS whose clock is behind.
    let behind = Linked::connect(url, dir, None, NOW).await.unwrap();
    assert!(timeout(Duration::from_millis(500), behind.ktm.ready()).await.is_err());
}

/// The same files elsewhere.
fn tempfile_at(dir: &TempDir) -> TempDir {
    let other = tempfile::tempdir().unwrap();
    std::fs::copy(dir.path().join("link.json"), other.path().join("link.json")).unwrap();
    other
}

#[tokio::test]
async fn a_removed_nos_is_cut_off_and_what_it_was_given_is_bumped() {
    let realm = Realm::new().await;
    let (kept, removed) = (realm.nos("nos-1").await, realm.nos("nos-2").await);
    let (sealed, opened, others) = (realm.spec(0), realm.spec(1), realm.spec(2));
    for nos in [&kept, &removed] {
        let name = nos.ktm.name();
        nos.ktm.begin_incarnation(&name, SigningKey::generate().public()).await.unwrap();
    }
    removed.scope(&sealed).await;
    let key = kept.scope(&opened).await;
    removed.ktm.resolve(&key.key_id).await.unwrap().unwrap();
    kept.scope(&others).await;
    assert_eq!(kept.ktm.publishers().await.unwrap().len(), 2);

    let (bumps, revision) = realm.server.remove(&"nos-2".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(bumps, [(sealed.id, Bump(1)), (opened.id, Bump(1))].into());
    let settled = timeout(Duration::from_millis(300), realm.server.settled(revision.unwrap())).await;
    settled.expect_err("its lease may still run");
    kept.applied(revision.unwrap()).await;
    assert_eq!(kept.ktm.sealing_key(&opened.id).await.unwrap().terms.bump, Bump(1));
    assert_eq!(kept.ktm.publishers().await.unwrap().len(), 1, "readers drop what it publishes");
    let begun = removed.ktm.begin_incarnation(&removed.ktm.name(), SigningKey::generate().public()).await;
    assert!(matches!(begun, Err(KtmError::NotAdmitted)), "{begun:?}");
    assert!(realm.server.nodes().iter().all(|node| node.nos.as_str() != "nos-2"));
    assert!(realm.server.remove(&"nos-2".parse().unwrap()).await.unwrap().is_none());
    assert!(realm.store.list("ktm/given/nos-2/").await.unwrap().0.is_empty());

    let anew = realm.nos("nos-2").await;
    let begun = anew.ktm.begin_incarnation(&anew.ktm.name(), SigningKey::generate().public()).await.unwrap();
    assert_eq!(begun.publisher, PublisherSlot(3), "a slot is never given twice");
}

#[tokio::test]
async fn what_a_nos_was_given_is_known_after_a_restart() {
    let realm = Realm::new().await;
    let nos = realm.nos("nos-1").await;
    let (there, gone) = (realm.spec(0), realm.spec(1));
    nos.scope(&there).await;
    nos.scope(&gone).await;
    realm.ktm.destroy(&gone.id).await.unwrap();
    let realm = realm.restarted().await;
    assert_eq!(
        realm.store.list("ktm/given/").await.unwrap().0.len(),
        1,
        "of a scope that is gone there is nothing to bump"
    );
    let (bumps, _) = realm.server.remove(&nos.ktm.name()).await.unwrap().unwrap();
    assert_eq!(bumps, [(there.id, Bump(1))].into());
}

#[tokio::test]
async fn who_is_admitted_anew_cuts_off_who_was_before() {
    let realm = Realm::new().await;
    let before = realm.nos("nos-1").await;
    let after = realm.nos("nos-1").await;
    after.ktm.begin_incarnation(&after.ktm.name(), SigningKey::generate().public()).await.unwrap();
    let cut_off = before.ktm.begin_incarnation(&before.ktm.name(), SigningKey::generate().public()).await;
    assert!(matches!(cut_off, Err(KtmError::NotAdmitted)), "{cut_off:?}");
}

#[tokio::test]
async fn what_only_the_ktm_can_do_is_done_by_its_process() {
    let realm = Realm::new().await;
    let nos = realm.nos("nos-1").await;
    let enrolment = Enrolment {
        request: "jws".into(),
        from: [127, 0, 0, 1].into(),
        server_url: "http://nos-1".into(),
        mqtt_url: "mqtt://broker".into(),
        ca: Some("PEM".into()),
    };
    let enrolled = nos.ktm.enrol(enrolment.clone()).await.unwrap();
    assert_eq!((enrolled.status, &*enrolled.content_type, &*enrolled.body), (201, "application/jose", &b"jws"[..]));
    assert_eq!(*realm.host.enrolments.lock().unwrap(), [("nos-1".parse().unwrap(), enrolment)]);
    let used = |n: usize| TopicUse {
        topic: format!("data/s{n}/temperature").parse().unwrap(),
        scope: n.is_multiple_of(2).then(|| realm.spec(0).id),
        registered: n.is_multiple_of(3),
    };
    let uses: Vec<_> = (0..USES_REPORTED_MAX + 3).map(used).collect();
    nos.ktm.report_uses(uses.clone()).await.unwrap();
    let noted: Vec<_> = realm.host.uses.lock().unwrap().iter().map(|(_, used)| used.clone()).collect();
    assert_eq!(noted, uses);
}
