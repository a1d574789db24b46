use super::*;

#[test]
fn sha256_is_that_of_fips_180_4_and_joins_its_parts() {
    let abc = [
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03,
        0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
    ];
    assert_eq!(sha256(&[b"abc"]), abc);
    assert_eq!(sha256(&[b"a", b"", b"bc"]), abc);
}

#[test]
fn comparison_sees_content_and_length() {
    assert!(constant_time_eq(b"", b""));
    assert!(constant_time_eq(b"abc", b"abc"));
    assert!(!constant_time_eq(b"abc", b"abd"));
    assert!(!constant_time_eq(b"abc", b"ab"));
}

#[test]
fn random_bytes_differ() {
    assert_ne!(random::<16>(), random::<16>());
}
