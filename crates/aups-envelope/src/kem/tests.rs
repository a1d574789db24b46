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

/// What others publish, in `testvectors/others/`.
mod vectors {
    use super::*;
    use crate::aead::AeadKey;
    use aups_core::Suite;
    use aws_lc_rs::hmac::{self, HMAC_SHA256};
    use serde::de::DeserializeOwned;

    #[derive(Deserialize)]
    struct File<C> {
        cases: Vec<C>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct HpkeCase {
        name: String,
        kem_id: u16,
        aead_id: u16,
        info: String,
        sk_rm: String,
        pk_rm: String,
        enc: String,
        shared_secret: String,
        key: String,
        base_nonce: String,
        aad: String,
        pt: String,
        ct: String,
    }

    #[derive(Deserialize)]
    struct XWingCase {
        name: String,
        seed: String,
        pk: String,
        ct: String,
        ss: String,
    }

    const X25519_ID: u16 = 0x0020;
    const X_WING_ID: u16 = 0x647a;
    const AES_256_GCM_ID: u16 = 2;
    const CHACHA20_POLY1305_ID: u16 = 3;

    fn cases<C: DeserializeOwned>(file: &str) -> Vec<C> {
        serde_json::from_str::<File<C>>(file).unwrap().cases
    }

    fn unhex(text: &str) -> Vec<u8> {
        text.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// HMAC, which is both HKDF-Extract and, for up to 32 bytes, HKDF-Expand.
    fn hmac(key: &[u8], message: &[&[u8]]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(HMAC_SHA256, key), &message.concat()).as_ref().to_vec()
    }

    /// RFC 9180 section 5.1 in base mode, from its text: key and base nonce.
    fn key_schedule(kem_id: u16, aead_id: u16, shared_secret: &[u8], info: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let suite_id = [b"HPKE", &kem_id.to_be_bytes()[..], &1_u16.to_be_bytes(), &aead_id.to_be_bytes()].concat();
        let extract = |salt: &[u8], label: &[u8], ikm: &[u8]| hmac(salt, &[b"HPKE-v1", &suite_id, label, ikm]);
        let expand = |secret: &[u8], label: &[u8], context: &[u8], length: u8| {
            let mut okm = hmac(secret, &[&[0, length], b"HPKE-v1", &suite_id, label, context, &[1]]);
            okm.truncate(length.into());
            okm
        };
        let context = [&[0][..], &extract(b"", b"psk_id_hash", b""), &extract(b"", b"info_hash", info)].concat();
        let secret = extract(shared_secret, b"secret", b"");
        (expand(&secret, b"key", &context, 32), expand(&secret, b"base_nonce", &context, 12))
    }

    /// Opens through the wrapper what was sealed by hand from a shared secret: only the right decapsulation gets that.
    fn decapsulates(key: &KemSecretKey, kem_id: u16, enc: &[u8], shared_secret: &[u8]) -> bool {
        let (aead_key, base_nonce) = key_schedule(kem_id, AES_256_GCM_ID, shared_secret, b"info");
        let mut sealed = b"text".to_vec();
        let tag = AeadKey::new(Suite::Aes256Gcm, &aead_key, &base_nonce).unwrap().seal([0; 12], b"", &mut sealed);
        sealed.extend(tag);
        key.open(b"info", enc, &sealed).is_ok_and(|opened| opened.expose() == b"text")
    }

    fn secret_key(kem: Kem, text: &str) -> KemSecretKey {
        KemSecretKey::from_bytes(kem, Secret::from_slice(&unhex(text)).unwrap())
    }

    #[test]
    fn hpke_is_that_of_rfc_9180_and_of_its_post_quantum_draft() {
        let cases: Vec<HpkeCase> = cases(include_str!("../../../../testvectors/others/hpke.json"));
        assert_eq!(cases.iter().map(|case| case.kem_id).collect::<Vec<_>>(), [X25519_ID, X_WING_ID]);
        for case in cases {
            let kem = if case.kem_id == X25519_ID { Kem::X25519 } else { Kem::XWing };
            let suite = match case.aead_id {
                AES_256_GCM_ID => Suite::Aes256Gcm,
                CHACHA20_POLY1305_ID => Suite::ChaCha20Poly1305,
                other => panic!("AEAD {other}"),
            };
            let key = secret_key(kem, &case.sk_rm);
            assert_eq!(key.public().as_bytes(), unhex(&case.pk_rm), "{}", case.name);

            let shared_secret = unhex(&case.shared_secret);
            let (aead_key, base_nonce) = key_schedule(case.kem_id, case.aead_id, &shared_secret, &unhex(&case.info));
            assert_eq!((&aead_key, &base_nonce), (&unhex(&case.key), &unhex(&case.base_nonce)), "{}", case.name);
            let aead = AeadKey::new(suite, &aead_key, &base_nonce).unwrap();
            assert_eq!(aead.open([0; 12], &unhex(&case.aad), &unhex(&case.ct)), Some(unhex(&case.pt)), "{}", case.name);

            assert!(decapsulates(&key, case.kem_id, &unhex(&case.enc), &shared_secret), "{}", case.name);
            assert!(!decapsulates(&key, case.kem_id, &unhex(&case.enc), &[1; 32]), "{}", case.name);
        }
    }

    #[test]
    fn x_wing_is_that_of_its_draft() {
        let cases: Vec<XWingCase> = cases(include_str!("../../../../testvectors/others/x-wing.json"));
        assert_eq!(cases.len(), 3);
        for case in cases {
            let key = secret_key(Kem::XWing, &case.seed);
            assert_eq!(key.public().as_bytes(), unhex(&case.pk), "{}", case.name);
            assert!(decapsulates(&key, X_WING_ID, &unhex(&case.ct), &unhex(&case.ss)), "{}", case.name);
            assert!(!decapsulates(&key, X_WING_ID, &unhex(&case.ct), &[1; 32]), "{}", case.name);
        }
    }
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
