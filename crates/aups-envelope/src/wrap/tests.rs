use super::*;

fn kek(version: u32) -> Kek {
    Kek::new(version, Secret::from_bytes([7; 32]))
}

#[test]
fn what_is_wrapped_unwraps_for_the_same_record() {
    let wrapped = kek(3).wrap(b"root/1", &[9; 32]);
    assert_eq!(Kek::version_of(&wrapped), Some(3));
    assert_eq!(kek(3).unwrap(b"root/1", &wrapped).unwrap().expose(), [9; 32]);
    assert_eq!(kek(3).unwrap_array::<32>(b"root/1", &wrapped).unwrap().expose(), &[9; 32]);
}

#[test]
fn two_wraps_of_one_secret_differ() {
    assert_ne!(kek(3).wrap(b"root/1", &[9; 32]), kek(3).wrap(b"root/1", &[9; 32]));
}

#[test]
fn no_byte_and_no_record_can_be_changed() {
    let wrapped = kek(3).wrap(b"root/1", &[9; 32]);
    assert_eq!(kek(3).unwrap(b"root/2", &wrapped).unwrap_err(), WrapError::Altered);
    for at in 4..wrapped.len() {
        let mut altered = wrapped.clone();
        altered[at] ^= 1;
        assert_eq!(kek(3).unwrap(b"root/1", &altered).unwrap_err(), WrapError::Altered, "byte {at}");
    }
    let other = Kek::new(3, Secret::from_bytes([8; 32]));
    assert_eq!(other.unwrap(b"root/1", &wrapped).unwrap_err(), WrapError::Altered);
}

#[test]
fn the_version_is_bound_and_named() {
    let mut wrapped = kek(3).wrap(b"root/1", &[9; 32]);
    assert_eq!(kek(4).unwrap(b"root/1", &wrapped).unwrap_err(), WrapError::Version { wrapped: 3, held: 4 });
    wrapped[3] = 4;
    assert_eq!(kek(4).unwrap(b"root/1", &wrapped).unwrap_err(), WrapError::Altered);
}

#[test]
fn lengths_are_checked() {
    let wrapped = kek(3).wrap(b"r", b"");
    assert_eq!(kek(3).unwrap(b"r", &wrapped).unwrap().expose(), b"");
    for len in 0..wrapped.len() {
        assert_eq!(kek(3).unwrap(b"r", &wrapped[..len]).unwrap_err(), WrapError::TooShort(len));
    }
    assert_eq!(kek(3).unwrap_array::<32>(b"r", &wrapped).unwrap_err(), WrapError::Length { found: 0, wanted: 32 });
}
