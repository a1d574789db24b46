use super::*;
use crate::fixture::{Busy, NOW, kek};
use aups_core::ManualClock;
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::UnixTime,
};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(NOW))
}

async fn open(store: &Arc<Busy>) -> Ca {
    Ca::open(store.clone(), &kek(), clock()).await.unwrap()
}

/// Whether the listener's certificate is one of this authority, at some time.
fn trusts(ca: &CertificateDer<'static>, server: &CertificateDer<'static>, at: UnixMillis) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone()).unwrap();
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), tls_provider()).build().unwrap();
    let at = UnixTime::since_unix_epoch(Duration::from_millis(at.0));
    verifier.verify_server_cert(server, &[], &KTM_NAME.try_into().unwrap(), &[], at).is_ok()
}

#[tokio::test]
async fn the_authority_is_the_same_after_a_restart() {
    let store = Arc::default();
    let first = open(&store).await;
    let again = open(&store).await;
    assert_eq!(first.certificate(), again.certificate());
    let (server, _) = again.issue_server().unwrap();
    assert!(trusts(first.certificate(), &server.certificate, NOW));
    assert!(!trusts(open(&Arc::default()).await.certificate(), &server.certificate, NOW), "another realm's");
}

#[tokio::test]
async fn a_certificate_is_good_for_its_life_and_for_what_it_is_made_for() {
    let store = Arc::default();
    let ca = open(&store).await;
    let (server, _) = ca.issue_server().unwrap();
    assert_eq!(server.expires, NOW.plus(SERVER_CERTIFICATE_LIFE));
    let second = Duration::from_secs(1);
    assert!(trusts(ca.certificate(), &server.certificate, UnixMillis(server.expires.0 - 1_000)));
    assert!(!trusts(ca.certificate(), &server.certificate, server.expires.plus(second)));
    let public_key = NosPublicKey::from_bytes(new_key().unwrap().public_key_raw()).unwrap();
    let nos = ca.issue_nos(&"nos-1".parse().unwrap(), &public_key).unwrap();
    assert!(!trusts(ca.certificate(), &nos.certificate, NOW), "a NOS is no KTM");
}

#[tokio::test]
async fn the_private_key_lies_in_the_store_wrapped() {
    let store = Arc::default();
    let ca = open(&store).await;
    let record = store.get(KEY).await.unwrap().unwrap().value;
    let key = ca.issuer.key().serialize_der();
    for form in [key.clone(), b64::encode(&key).into_bytes()] {
        assert!(!record.windows(form.len()).any(|window| window == form));
    }
    let other = Ca::open(store.clone(), &Keyring::in_memory(Secret::random()), clock()).await;
    assert!(matches!(other, Err(KtmError::Altered { .. })));
}

#[tokio::test]
async fn an_authority_whose_certificate_was_exchanged_is_refused() {
    let (store, other): (Arc<Busy>, _) = (Arc::default(), Arc::default());
    open(&store).await;
    let other = open(&other).await;
    let record = store.get(KEY).await.unwrap().unwrap().value;
    let mut record: CaRecord = serde_json::from_slice(&record).unwrap();
    other.certificate_pem().clone_into(&mut record.certificate);
    store.commit(vec![put(KEY, &record, Expect::Any).unwrap()]).await.unwrap();
    assert!(matches!(Ca::open(store, &kek(), clock()).await, Err(KtmError::Altered { .. })));
}

#[tokio::test]
async fn the_pem_form_is_the_certificate() {
    let ca = open(&Arc::default()).await;
    assert_eq!(CertificateDer::from_pem_slice(ca.certificate_pem().as_bytes()).unwrap(), *ca.certificate());
}

#[test]
fn a_public_key_is_an_uncompressed_point() {
    let key = new_key().unwrap();
    let raw = key.public_key_raw();
    assert!(NosPublicKey::from_bytes(raw).is_some());
    assert!(NosPublicKey::from_bytes(&raw[1..]).is_none());
    let mut compressed = raw.to_vec();
    compressed[0] = 2;
    assert!(NosPublicKey::from_bytes(&compressed).is_none());
}
