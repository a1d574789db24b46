use super::*;

const DAY_MS: u64 = 86_400_000;
const IAT: UnixMillis = UnixMillis(1_700_000_000_000);

fn certificate() -> Certificate {
    let (nos, publisher) = ("nos-1".parse().unwrap(), PublisherSlot(7));
    Certificate {
        nos,
        publisher,
        signing_key: SigningKey::generate().public(),
        iat: IAT,
        exp: UnixMillis(IAT.0 + DAY_MS),
    }
}

#[test]
fn a_certificate_verifies_under_the_realm_key_only() {
    let (realm, certificate) = (SigningKey::generate(), certificate());
    let jws = certificate.issue(&realm);
    assert_eq!(Certificate::verify(&jws, &realm.public(), IAT).unwrap(), certificate);
    let other = Certificate::verify(&jws, &SigningKey::generate().public(), IAT);
    assert!(matches!(other, Err(CertificateError::Jws(JwsError::BadSignature(_)))));
}

#[test]
fn a_certificate_holds_for_its_time_give_or_take_the_skew() {
    let (realm, certificate) = (SigningKey::generate(), certificate());
    let jws = certificate.issue(&realm);
    let at = |ms| Certificate::verify(&jws, &realm.public(), UnixMillis(ms));
    assert!(at(IAT.0 - 30_000).is_ok());
    assert!(matches!(at(IAT.0 - 30_001), Err(CertificateError::Time { .. })));
    assert!(at(IAT.0 + DAY_MS + 30_000).is_ok());
    assert!(matches!(at(IAT.0 + DAY_MS + 30_001), Err(CertificateError::Time { .. })));
}

#[test]
fn slot_zero_is_no_nos() {
    let realm = SigningKey::generate();
    let jws = Certificate { publisher: PublisherSlot(0), ..certificate() }.issue(&realm);
    assert!(matches!(Certificate::verify(&jws, &realm.public(), IAT), Err(CertificateError::NoPublisher)));
}

#[test]
fn a_certificate_has_the_members_of_the_contract() {
    let certificate = certificate();
    assert_eq!(
        serde_json::to_value(&certificate).unwrap(),
        serde_json::json!({"nos": "nos-1", "publisher": 7, "signingKey": certificate.signing_key.to_string(),
            "iat": IAT.0, "exp": IAT.0 + DAY_MS})
    );
}

#[test]
fn another_object_of_the_realm_is_no_certificate() {
    let realm = SigningKey::generate();
    let jws = jws::sign("aups-enrolled", None, &jws::to_json(&certificate()), &realm);
    let verdict = Certificate::verify(&jws, &realm.public(), IAT);
    assert!(matches!(verdict, Err(CertificateError::Jws(JwsError::Type { .. }))));
}
