use super::*;

#[test]
fn a_secret_never_shows_in_debug() {
    assert_eq!(format!("{:?}", Secret::from_bytes([0x41; 4])), "Secret(***)");
    assert_eq!(format!("{:?}", SecretBytes::from_vec(b"AAAA".to_vec())), "SecretBytes(***)");
}

#[test]
fn random_secrets_differ() {
    assert_ne!(Secret::<32>::random().expose(), Secret::<32>::random().expose());
}

#[test]
fn a_duplicate_holds_the_same_bytes() {
    let secret = Secret::<32>::random();
    assert_eq!(secret.duplicate().expose(), secret.expose());
}

#[test]
fn a_slice_of_another_length_is_no_secret() {
    assert!(Secret::<4>::from_slice(&[1, 2, 3]).is_none());
    assert!(Secret::<4>::from_slice(&[1, 2, 3, 4, 5]).is_none());
    assert_eq!(Secret::<4>::from_slice(&[1, 2, 3, 4]).unwrap().expose(), &[1, 2, 3, 4]);
}
