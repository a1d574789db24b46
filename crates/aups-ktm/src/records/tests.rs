use super::*;
use crate::fixture::kek;

#[derive(Serialize, Deserialize)]
struct Record {
    first: Wrapped,
    nested: Vec<Wrapped>,
    count: u64,
}

const KEY: &str = "ktm/some";

fn record(keyring: &Keyring) -> Vec<u8> {
    let wrap = |byte: u8| Wrapped::wrap(keyring, KEY, &[&[byte]], &Secret::from_bytes([byte; 32]));
    serde_json::to_vec(&Record { first: wrap(1), nested: vec![wrap(2), wrap(3)], count: u64::MAX }).unwrap()
}

#[tokio::test]
async fn everything_wrapped_in_a_record_is_wrapped_anew_and_the_rest_stays() {
    let keyring = kek();
    let before = record(&keyring);
    assert!(rewrapped(&keyring, 1, KEY, &before).unwrap().is_none());
    keyring.begin_version().await.unwrap();
    let after = rewrapped(&keyring, 2, KEY, &before).unwrap().unwrap();
    assert!(rewrapped(&keyring, 2, KEY, &after).unwrap().is_none(), "nothing is left");
    keyring.retire_before(2).await.unwrap();

    let Record { first, nested, count } = serde_json::from_slice(&after).unwrap();
    assert_eq!(count, u64::MAX);
    for (wrapped, byte) in [&first].into_iter().chain(&nested).zip(1_u8..) {
        assert_eq!(Kek::version_of(&wrapped.0), Some(2));
        assert_eq!(wrapped.unwrap(&keyring, KEY, &[&[byte]]).unwrap().expose(), &[byte; 32]);
    }
    let Record { first, .. } = serde_json::from_slice(&before).unwrap();
    assert!(first.unwrap(&keyring, KEY, &[&[1]]).is_err(), "the old bytes open no more");
}

#[test]
fn a_secret_belongs_to_its_record_and_to_what_is_bound() {
    let keyring = kek();
    let wrapped = Wrapped::wrap(&keyring, KEY, &[b"a", b"bc"], &Secret::from_bytes([1; 32]));
    assert_eq!(wrapped.unwrap(&keyring, KEY, &[b"a", b"bc"]).unwrap().expose(), &[1; 32]);
    for (key, bound) in [
        ("ktm/other", &[&b"a"[..], b"bc"][..]),
        (KEY, &[b"ab", b"c"]),
        (KEY, &[b"a"]),
        (KEY, &[b"a", b"bd"]),
        (KEY, &[]),
    ] {
        assert!(matches!(wrapped.unwrap(&keyring, key, bound), Err(KtmError::Altered { .. })), "{key} {bound:?}");
    }
}

#[test]
fn what_others_keep_in_the_store_is_left_alone() {
    let keyring = kek();
    for foreign in
        [&b"\xff\x00 wrapped"[..], b"not JSON: wrapped", br#"{"wrapped":7}"#, br#"{"wrapped":"","and":"more"}"#]
    {
        assert!(rewrapped(&keyring, 9, KEY, foreign).unwrap().is_none());
    }
    // What claims to be ours and is not stops the wrapping, before anything is thrown away.
    let forged = format!(r#"{{"salt":{{"wrapped":"{}"}}}}"#, b64::encode(&[0; 96]));
    assert!(matches!(rewrapped(&keyring, 9, KEY, forged.as_bytes()), Err(KtmError::Altered { .. })));
}
