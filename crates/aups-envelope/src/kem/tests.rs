use super::*;

const BOTH: [Kem; 2] = [Kem::XWing, Kem::X25519];

#[test]
fn what_is_sealed_opens_for_its_owner_under_the_same_info_only() {
    for kem in BOTH {
        let key = kem.generate();
        let public = key.public();
        assert_eq!(public.as_bytes().len(), kem.public_key_bytes());
        let sealed = public.seal(b"info", b"text").unwrap();
        assert_eq!(key.open(b"info", &sealed.enc, &sealed.ct).unwrap().expose(), b"text");
        assert_eq!(key.open(b"other", &sealed.enc, &sealed.ct).unwrap_err(), KemError::DoesNotOpen);
        assert_eq!(kem.generate().open(b"info", &sealed.enc, &sealed.ct).unwrap_err(), KemError::DoesNotOpen);
        assert_eq!(key.open(b"info", &sealed.enc[1..], &sealed.ct).unwrap_err(), KemError::DoesNotOpen);
        assert_eq!(key.open(b"info", &sealed.enc, b"").unwrap_err(), KemError::DoesNotOpen);
        for at in [0, sealed.ct.len() - 1] {
            let mut ct = sealed.ct.clone();
            ct[at] ^= 1;
            assert_eq!(key.open(b"info", &sealed.enc, &ct).unwrap_err(), KemError::DoesNotOpen);
        }
        assert_ne!(public.seal(b"info", b"text").unwrap(), sealed, "each seal has a key of its own");
    }
}

#[test]
fn a_secret_key_survives_its_bytes() {
    for kem in BOTH {
        let key = kem.generate();
        let again = KemSecretKey::from_bytes(kem, key.bytes().duplicate());
        assert_eq!(again.public(), key.public());
        let sealed = key.public().seal(b"", b"text").unwrap();
        assert_eq!(again.open(b"", &sealed.enc, &sealed.ct).unwrap().expose(), b"text");
    }
}

#[test]
fn public_keys_are_checked() {
    for kem in BOTH {
        let public = kem.generate().public();
        assert_eq!(KemPublicKey::from_bytes(kem, public.as_bytes()), Ok(public.clone()));
        assert_eq!(KemPublicKey::from_bytes(kem, &public.as_bytes()[1..]), Err(KemError::PublicKey(kem)));
        assert_eq!(KemPublicKey::from_bytes(kem, b""), Err(KemError::PublicKey(kem)));
    }
    // FIPS 203 section 7.2: coefficients are below q = 3,329.
    assert_eq!(KemPublicKey::from_bytes(Kem::XWing, &[0xff; 1_216]), Err(KemError::PublicKey(Kem::XWing)));
}

#[test]
fn nothing_is_sealed_to_a_point_of_small_order() {
    let zero = KemPublicKey::from_bytes(Kem::X25519, &[0; 32]).unwrap();
    assert_eq!(zero.seal(b"", b"text"), Err(KemError::PublicKey(Kem::X25519)));
}

#[test]
fn a_public_key_is_written_as_two_members() {
    for kem in BOTH {
        let public = kem.generate().public();
        let value = serde_json::to_value(&public).unwrap();
        assert_eq!(value, serde_json::json!({"kem": kem.to_string(), "kemKey": b64::encode(public.as_bytes())}));
        assert_eq!(serde_json::from_value::<KemPublicKey>(value).unwrap(), public);
        assert_eq!(kem.to_string().parse(), Ok(kem));
    }
    assert!("rsa".parse::<Kem>().is_err());
    let other = serde_json::json!({"kem": "x-wing", "kemKey": b64::encode(&[9; 32])});
    assert!(serde_json::from_value::<KemPublicKey>(other).is_err());
}

/// RFC 9180 appendix A.1 has the KEM and the KDF with AES-128; this is the pair of keys of section A.1.1: `skRm` and `pkRm`.
#[test]
fn an_x25519_key_pair_of_rfc_9180() {
    let hex = |text: &str| -> Vec<u8> {
        (0..32).map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2).unwrap(), 16).unwrap()).collect()
    };
    let secret = hex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8");
    let public = hex("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d");
    let key = KemSecretKey::from_bytes(Kem::X25519, Secret::from_slice(&secret).unwrap());
    assert_eq!(key.public().as_bytes(), public);
}
