use super::*;

#[test]
fn one_text_per_byte_string() {
    assert_eq!(encode(&[0xff, 0xee]), "_-4");
    assert_eq!(decode("_-4").unwrap(), [0xff, 0xee]);
    for bad in ["_-4=", "_-5", "_-6", "_-7", "/+4", "_-", "_-4 ", "_", " ", "_\n-4"] {
        // `_-` itself decodes to one byte only if its trailing bits are zero, which they are not.
        assert_eq!(decode(bad), Err(B64Error), "{bad:?} was taken");
    }
}

#[test]
fn an_array_has_one_length() {
    assert_eq!(decode_array::<2>("_-4").unwrap(), [0xff, 0xee]);
    assert_eq!(decode_array::<1>("_-4"), Err(B64Error));
    assert_eq!(decode_array::<3>("_-4"), Err(B64Error));
}

#[test]
fn the_length_of_the_text_is_known_ahead() {
    for len in 0..100 {
        let bytes = vec![0xa5; len];
        let text = encode(&bytes);
        assert_eq!(text.len(), text_len(len));
        let mut out = b"before".to_vec();
        append(&bytes, &mut out);
        assert_eq!(out, ["before", &text].concat().as_bytes());
        assert_eq!(decode_ascii(text.as_bytes()).unwrap(), bytes);
    }
}
