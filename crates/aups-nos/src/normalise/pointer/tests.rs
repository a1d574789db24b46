use super::*;
use crate::{config::escaped, json::Document};

/// RFC 6901 section 5.
#[test]
fn the_pointers_of_the_rfc() {
    let text = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;
    let document = Document::read(text.as_bytes()).unwrap();
    let at = |pointer: &str| find(document.root(), pointer.parse::<Pointer>().unwrap().path()).map(Value::text);
    assert_eq!(at(""), Some(text));
    for (pointer, expected) in [
        ("/foo", r#"["bar","baz"]"#),
        ("/foo/0", "\"bar\""),
        ("/", "0"),
        ("/a~1b", "1"),
        ("/c%d", "2"),
        ("/e^f", "3"),
        ("/g|h", "4"),
        ("/i\\j", "5"),
        ("/k\"l", "6"),
        ("/ ", "7"),
        ("/m~0n", "8"),
    ] {
        assert_eq!(at(pointer), Some(expected), "{pointer}");
    }
    for nothing in ["/nix", "/foo/2", "/foo/-", "/foo/00", "/foo/+1", "/foo/bar", "/foo/0/0", "/ /x"] {
        assert_eq!(at(nothing), None, "{nothing}");
    }
}

#[test]
fn what_is_no_pointer_is_told() {
    assert_eq!("a".parse::<Pointer>(), Err(PointerError::Start));
    assert_eq!("/~".parse::<Pointer>(), Err(PointerError::Escape));
    assert_eq!("/~2".parse::<Pointer>(), Err(PointerError::Escape));
    assert!("/a".repeat(POINTER_LEVELS_MAX).parse::<Pointer>().is_ok());
    assert_eq!("/a".repeat(POINTER_LEVELS_MAX + 1).parse::<Pointer>(), Err(PointerError::TooLong));
    assert_eq!(format!("/{}", "x".repeat(POINTER_BYTES_MAX)).parse::<Pointer>(), Err(PointerError::TooLong));
    assert_eq!(unescaped(&escaped("~/~1")), Ok("~/~1".into()));
}
