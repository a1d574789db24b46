use super::*;

#[test]
fn a_name_is_one_to_64_characters_of_the_alphabet() {
    for good in ["a", "sensor1", "A.b_c~d-9", &"x".repeat(64)] {
        assert_eq!(good.parse::<NodeId>().unwrap().as_str(), good);
    }
    for bad in ["", "a b", "a/b", "ü", "a+", "#", &"x".repeat(65)] {
        assert!(bad.parse::<NodeId>().is_err(), "{bad:?} was taken");
    }
    assert!("a/b".parse::<Sub>().unwrap_err().to_string().starts_with("`a/b` is not a reader name (sub)"));
}

#[test]
fn a_key_id_gives_back_its_parts() {
    let id = KeyId::new(ScopeTag::from_bytes([1, 2, 3, 4, 5, 6, 7, 8]), Epoch(0x0102_0304), Bump(0x0506), [9; 10]);
    assert_eq!(id.scope_tag(), ScopeTag::from_bytes([1, 2, 3, 4, 5, 6, 7, 8]));
    assert_eq!((id.epoch(), id.bump()), (Epoch(0x0102_0304), Bump(0x0506)));
    assert_eq!(id.to_string().len(), 32);
    assert_eq!(id.to_string().parse::<KeyId>().unwrap(), id);
}

#[test]
fn base64url_is_canonical_unpadded_and_of_one_length() {
    let text = ScopeTag::from_bytes([0xff; 8]).to_string();
    assert_eq!(text, "__________8");
    for bad in ["__________8=", "__________9", "_________", "//////////8", "", &"_".repeat(12), &"_".repeat(400)] {
        assert!(bad.parse::<ScopeTag>().is_err(), "{bad:?} was taken");
    }
}

#[test]
fn a_session_keeps_its_incarnation_on_top() {
    let session = Session::new(7, 9);
    assert_eq!((session.0, session.incarnation()), (0x0000_0007_0000_0009, 7));
    assert!(Session::new(8, 0) > session);
}
