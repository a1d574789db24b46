use super::*;

fn bearer() -> Bearer {
    let (aud, sub) = (RealmId::from_bytes([1; 32]), "alice".parse().unwrap());
    Bearer { aud, sub, iat: UnixMillis(1_700_000_000_000), jti: [2; 16] }
}

#[test]
fn a_token_says_who_asks_and_verifies() {
    let key = SigningKey::generate();
    let token = bearer().sign(&key);
    assert_eq!(Bearer::peek_sub(token.as_bytes()).unwrap().as_str(), "alice");
    assert_eq!(Bearer::verify(token.as_bytes(), &key.public()).unwrap(), bearer());
    let other = Bearer::verify(token.as_bytes(), &SigningKey::generate().public());
    assert!(matches!(other, Err(BearerError::BadSignature(_))));
}

#[test]
fn kid_and_sub_are_the_same_reader() {
    let key = SigningKey::generate();
    let token = jws::sign(TYPE, Some("bob"), &jws::to_json(&bearer()), &key);
    assert!(matches!(Bearer::verify(token.as_bytes(), &key.public()), Err(BearerError::OtherSubject)));
    assert!(matches!(Bearer::peek_sub(token.as_bytes()), Err(BearerError::OtherSubject)));
}

#[test]
fn a_token_is_short() {
    let long = vec![b'A'; BEARER_BYTES_MAX + 1];
    assert!(matches!(Bearer::peek_sub(&long), Err(BearerError::TooLong(2_049))));
}
