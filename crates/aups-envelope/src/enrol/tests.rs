use super::*;

fn request(key: &SigningKey) -> EnrolRequest {
    EnrolRequest {
        token: Secret::from_bytes([5; 32]),
        signing_key: key.public(),
        kem: Kem::X25519.generate().public(),
        iat: UnixMillis(1_700_000_000_000),
    }
}

fn enrolled(request: &str, realm: &SigningKey) -> Enrolled {
    Enrolled {
        rh: sha256(&[request.as_bytes()]),
        kind: ReaderKind::User,
        sub: "alice".parse().unwrap(),
        realm: realm_id(&realm.public()),
        realm_key: realm.public(),
        server: "http://127.0.0.1:8080".into(),
        mqtt: MqttAccess { url: "mqtt://127.0.0.1:1883".into(), username: "alice".into(), password: "secret".into() },
        ca: None,
    }
}

#[test]
fn a_token_is_two_texts_with_a_dot_between() {
    let realm = SigningKey::generate().public();
    let token = EnrolmentToken::new(Secret::from_bytes([5; 32]), &realm);
    let text = token.to_string();
    assert_eq!(text, format!("{}.{}", b64::encode(&[5; 32]), realm_id(&realm)));
    let again: EnrolmentToken = text.parse().unwrap();
    assert_eq!((again.secret().expose(), again.realm()), (&[5; 32], realm_id(&realm)));
    let (secret, realm) = text.split_once('.').unwrap();
    for bad in ["", ".", secret, &format!("{secret}.{secret}A"), &format!("{secret}.{realm}.x"), &format!(" {text}")] {
        assert_eq!(bad.parse::<EnrolmentToken>().unwrap_err(), EnrolmentTokenError, "{bad}");
    }
    assert!(!format!("{token:?}").contains(secret));
}

#[test]
fn a_request_proves_that_its_sender_holds_the_new_key() {
    let key = SigningKey::generate();
    let sent = request(&key);
    let taken = EnrolRequest::verify(sent.sign(&key).as_bytes()).unwrap();
    assert_eq!((taken.token(), taken.signing_key, taken.iat), (&[5; 32], key.public(), sent.iat));
    assert_eq!(taken.kem, sent.kem);
    let stolen = sent.sign(&SigningKey::generate());
    assert!(matches!(EnrolRequest::verify(stolen.as_bytes()), Err(EnrolError::BadSignature(_))));
    assert!(matches!(EnrolRequest::verify(&vec![b'a'; ENROL_BYTES_MAX + 1]), Err(EnrolError::TooLong(_))));
}

#[test]
fn a_kem_key_of_the_wrong_kind_is_refused() {
    let key = SigningKey::generate();
    let claims = RequestClaims {
        token: Secret::from_bytes([5; 32]),
        signing_key: key.public(),
        kem: Kem::XWing,
        kem_key: b64::encode(&[9; 32]),
        iat: UnixMillis(0),
    };
    let request = jws::sign(REQUEST_TYPE, None, &jws::to_json(&claims), &key);
    assert!(matches!(EnrolRequest::verify(request.as_bytes()), Err(EnrolError::Kem(KemError::PublicKey(Kem::XWing)))));
}

#[test]
fn an_answer_is_taken_from_the_realm_that_the_token_names_only() {
    let realm = SigningKey::generate();
    let token = EnrolmentToken::new(Secret::from_bytes([5; 32]), &realm.public());
    let request = request(&SigningKey::generate()).sign(&SigningKey::generate());
    let enrolled = enrolled(&request, &realm);
    let verify = |answer: &str, request: &str| Enrolled::verify(answer.as_bytes(), request.as_bytes(), &token);

    assert_eq!(verify(&enrolled.sign(&realm), &request).unwrap(), enrolled);
    assert!(matches!(verify(&enrolled.sign(&realm), "another"), Err(EnrolError::OtherRequest)));
    let other = SigningKey::generate();
    assert!(matches!(verify(&enrolled.sign(&other), &request), Err(EnrolError::BadSignature(_))));
    let other_realm = Enrolled { realm_key: other.public(), realm: realm_id(&other.public()), ..enrolled.clone() };
    assert!(matches!(verify(&other_realm.sign(&other), &request), Err(EnrolError::OtherRealm)));
    let mixed = Enrolled { realm: realm_id(&other.public()), ..enrolled };
    assert!(matches!(verify(&mixed.sign(&realm), &request), Err(EnrolError::OtherRealm)));
}

#[test]
fn an_answer_of_another_version_is_refused() {
    let realm = SigningKey::generate();
    let token = EnrolmentToken::new(Secret::from_bytes([5; 32]), &realm.public());
    let enrolled = enrolled("request", &realm);
    let claims = EnrolledClaims {
        rh: enrolled.rh,
        version: 2,
        kind: enrolled.kind,
        sub: enrolled.sub,
        realm: enrolled.realm,
        realm_key: enrolled.realm_key,
        server: enrolled.server,
        mqtt: Object(enrolled.mqtt),
        ca: None,
    };
    let answer = jws::sign(ENROLLED_TYPE, None, &jws::to_json(&claims), &realm);
    assert!(matches!(Enrolled::verify(answer.as_bytes(), b"request", &token), Err(EnrolError::Version(2))));
}

#[test]
fn the_password_does_not_show() {
    let enrolled = enrolled("request", &SigningKey::generate());
    assert!(!format!("{enrolled:?}").contains("secret"));
}
