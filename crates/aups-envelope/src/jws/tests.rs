use super::*;
use serde_json::json;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    a: u8,
}

const PAYLOAD: &str = r#"{"a":1}"#;

/// A JWS with this header and payload, signed.
fn jws(header: &str, payload: &str, key: &SigningKey) -> String {
    let input = format!("{}.{}", b64::encode(header.as_bytes()), b64::encode(payload.as_bytes()));
    format!("{input}.{}", b64::encode(&key.sign(input.as_bytes())))
}

fn with_header(header: &str) -> JwsError {
    Jws::parse(jws(header, PAYLOAD, &SigningKey::generate()).as_bytes(), "t", Kid::Present).unwrap_err()
}

#[test]
fn what_was_signed_verifies() {
    let key = SigningKey::generate();
    for (kid, rule) in [(None, Kid::Absent), (Some("alice"), Kid::Present)] {
        let text = sign("t", kid, PAYLOAD.as_bytes(), &key);
        let parsed = Jws::parse(text.as_bytes(), "t", rule).unwrap();
        assert_eq!(parsed.kid(), kid.unwrap_or_default());
        assert_eq!(parsed.verify(&key.public()), Ok(()));
        assert_eq!(parsed.claims::<Claims>().unwrap(), Claims { a: 1 });
        assert_eq!(parsed.verify(&SigningKey::generate().public()), Err(BadSignature));
    }
    let text = sign("t", Some("alice"), PAYLOAD.as_bytes(), &key);
    assert_eq!(text, jws(r#"{"alg":"EdDSA","typ":"t","kid":"alice"}"#, PAYLOAD, &key));
}

#[test]
fn a_header_has_exactly_its_members() {
    let header = |value: serde_json::Value| with_header(&value.to_string());
    assert!(matches!(header(json!({"alg":"none","typ":"t","kid":"k"})), JwsError::Algorithm(_)));
    assert!(matches!(header(json!({"alg":"Ed25519","typ":"t","kid":"k"})), JwsError::Algorithm(_)));
    assert!(matches!(header(json!({"alg":"HS256","typ":"t","kid":"k"})), JwsError::Algorithm(_)));
    assert!(matches!(header(json!({"alg":"eddsa","typ":"t","kid":"k"})), JwsError::Algorithm(_)));
    assert!(matches!(header(json!({"alg":"EdDSA","typ":"T","kid":"k"})), JwsError::Type { .. }));
    assert!(matches!(header(json!({"alg":"EdDSA","typ":"t"})), JwsError::Kid));
    for bad in [
        json!({"typ":"t","kid":"k"}),
        json!({"alg":"EdDSA","kid":"k"}),
        json!({"alg":"EdDSA","typ":"t","kid":null}),
        json!({"alg":"EdDSA","typ":"t","kid":"k","crit":[]}),
        json!({"alg":"EdDSA","typ":"t","kid":"k","jwk":{}}),
        json!({"alg":["EdDSA"],"typ":"t","kid":"k"}),
        json!(["EdDSA", "t", "k"]),
        json!("EdDSA"),
    ] {
        assert!(matches!(header(bad.clone()), JwsError::Header(_)), "{bad}");
    }
    let key = SigningKey::generate();
    let absent = jws(r#"{"alg":"EdDSA","typ":"t","kid":"k"}"#, PAYLOAD, &key);
    assert!(matches!(Jws::parse(absent.as_bytes(), "t", Kid::Absent), Err(JwsError::Kid)));
}

#[test]
fn members_do_not_come_twice() {
    for header in [
        r#"{"alg":"EdDSA","alg":"EdDSA","typ":"t","kid":"k"}"#,
        r#"{"alg":"none","typ":"t","kid":"k","alg":"EdDSA"}"#,
        r#"{"alg":"EdDSA","typ":"t","kid":"k","\u006bid":"k"}"#,
        r#"{"alg":"EdDSA","typ":"t","kid":"k"} {}"#,
    ] {
        assert!(matches!(with_header(header), JwsError::Header(_)), "{header}");
    }
    let key = SigningKey::generate();
    for payload in [r#"{"a":1,"a":1}"#, r#"{"a":1,"b":2}"#, "{}", "[1]", r#"{"a":1}x"#, "", r#"{"a":256}"#] {
        let text = sign("t", None, payload.as_bytes(), &key);
        let parsed = Jws::parse(text.as_bytes(), "t", Kid::Absent).unwrap();
        assert!(matches!(parsed.claims::<Claims>(), Err(JwsError::Payload(_))), "{payload}");
    }
}

#[test]
fn three_canonical_parts_make_a_jws() {
    let key = SigningKey::generate();
    let good = sign("t", None, PAYLOAD.as_bytes(), &key);
    let fault = |text: &str| Jws::parse(text.as_bytes(), "t", Kid::Absent).unwrap_err();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { unreachable!() };
    assert!(matches!(fault(""), JwsError::Parts));
    assert!(matches!(fault(&format!("{header}.{payload}")), JwsError::Parts));
    assert!(matches!(fault(&format!("{good}.")), JwsError::Parts));
    assert!(matches!(fault(&format!("{header}=.{payload}.{signature}")), JwsError::Encoding("header")));
    assert!(matches!(fault(&format!("{header}.{payload}=.{signature}")), JwsError::Encoding("payload")));
    assert!(matches!(fault(&format!("{good}=")), JwsError::Encoding("signature")));
    assert!(matches!(fault(&format!("{good}\n")), JwsError::Encoding("signature")));
    assert!(matches!(fault(&format!("{header}.{payload}.")), JwsError::SignatureLength));
    assert!(matches!(fault(&format!("{good}AAAA")), JwsError::Encoding(_) | JwsError::SignatureLength));
    assert!(matches!(fault(&format!(".{payload}.{signature}")), JwsError::Header(_)));
}

#[test]
fn every_changed_character_is_found_out() {
    let key = SigningKey::generate();
    let good = sign("t", Some("k"), PAYLOAD.as_bytes(), &key);
    for at in 0..good.len() {
        let mut changed = good.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let taken = Jws::parse(&changed, "t", Kid::Present).is_ok_and(|jws| jws.verify(&key.public()).is_ok());
        assert!(!taken, "character {at}");
    }
}
