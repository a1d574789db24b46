pub(crate) mod rfc8259;

use super::*;
use proptest::prelude::*;

fn fault(text: &str) -> Fault {
    Document::read(text.as_bytes()).unwrap_err().fault
}

fn place(bytes: &[u8]) -> (usize, usize) {
    let place = Document::read(bytes).unwrap_err().place;
    (place.line, place.column)
}

/// RFC 8259, section by section.
#[test]
fn what_rfc_8259_allows_is_taken() {
    for good in [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "-1.5",
        "1e2",
        "1E+2",
        "1e-2",
        "0.10",
        "123456789012345678901234567890",
        "\"\"",
        "\"a\"",
        r#""\"\\\/\b\f\n\r\t""#,
        r#""\u0000\u00e9""#,
        r#""\ud83d\ude00""#,
        "\"é\u{7f}\u{2028}\"",
        "[]",
        "[1]",
        "[ 1 , [ ] , { } ]",
        "{}",
        r#"{"":0}"#,
        r#"{"a":{"a":1},"b":[{"a":1},{"a":2}]}"#,
        " \t\r\n1 \t\r\n",
        "1e308",
        "-1.7976931348623157e308",
        "1e-400",
    ] {
        Document::read(good.as_bytes()).unwrap_or_else(|error| panic!("{good}: {error}"));
    }
}

#[test]
fn what_rfc_8259_forbids_is_refused() {
    for bad in [
        "nul",
        "True",
        "NaN",
        "Infinity",
        "-Infinity",
        "+1",
        "01",
        "-01",
        "-",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x1",
        "1 2",
        "'a'",
        "\"a",
        "\"a\nb\"",
        "\"\t\"",
        "\"\u{1}\"",
        r#""\x""#,
        r#""\u12""#,
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        "[",
        "]",
        "[1",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{",
        "}",
        "{a:1}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{"a":1 "b":2}"#,
        "{1:2}",
        "// comment\n1",
        "/**/1",
        "\u{feff}1",
        "\u{a0}1",
        "1\0",
        "{}{}",
        "[1}",
        "1e400",
        "-1e309",
        "[1e999]",
        "{\"a\":1e9999}",
    ] {
        assert!(matches!(fault(bad), Fault::Syntax(_)), "{bad}");
    }
    for empty in ["", " ", "\r\n\t "] {
        assert_eq!(fault(empty), Fault::Empty, "{empty:?}");
    }
}

#[test]
fn a_member_that_comes_twice_is_refused_at_any_depth() {
    for (text, name) in [
        (r#"{"a":1,"a":1}"#, "a"),
        (r#"[[{"b":[{"x":1,"y":2,"x":3}]}]]"#, "x"),
        (r#"{"a":1,"\u0061":2}"#, "a"),
        (r#"{"":1,"":2}"#, ""),
    ] {
        assert_eq!(fault(text), Fault::DuplicateMember(name.into()), "{text}");
    }
    let many: Vec<_> = (0..100_000).map(|n| format!("\"{n}\":0")).collect();
    let object = |twice: &str| format!("{{{},\"{twice}\":1}}", many.join(","));
    for twice in ["0", "15", "16", "99999"] {
        assert_eq!(fault(&object(twice)), Fault::DuplicateMember(twice.into()));
    }
    assert!(Document::read(object("new").as_bytes()).is_ok());
}

#[test]
fn sixty_four_levels_are_taken_and_one_more_is_not() {
    let arrays = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    for nested in [arrays, objects] {
        assert!(Document::read(nested(64).as_bytes()).is_ok());
        assert_eq!(fault(&nested(65)), Fault::TooDeep);
    }
    assert_eq!(fault(&"[".repeat(1 << 20)), Fault::TooDeep);
}

#[test]
fn the_place_of_the_fault_is_told() {
    assert_eq!(place(b"{\n  \"a\": 1,\n  \"b\": x\n}"), (3, 8));
    assert_eq!(place(b"{\"a\":1,\"a\":2}"), (1, 10));
    assert_eq!(place(b"{\n\"a\":\"\xff\"}"), (2, 6));
    assert_eq!(place(b"\n\n[1e400]"), (3, 6));
    assert_eq!(place(b""), (1, 1));
    assert_eq!(place(b"[1,\n2"), (2, 1));
    let document = Document::read(b"[1,\n {\"value\": 2}]").unwrap();
    let second = document.root().elements().unwrap()[1];
    assert_eq!(document.place_of(second), Place { line: 2, column: 2 });
    assert_eq!(document.place_of(second.members().unwrap()[0].1), Place { line: 2, column: 12 });
}

#[test]
fn values_are_kept_as_written() {
    let document = Document::read(br#" {"a": 10.00, "b\n": [ 1,2 ], "c":"\u0041b", "d":"plain"} "#).unwrap();
    let members = document.root().members().unwrap();
    let texts: Vec<_> = members.iter().map(|(name, value)| (&**name, value.text())).collect();
    assert_eq!(texts, [("a", "10.00"), ("b\n", "[ 1,2 ]"), ("c", r#""\u0041b""#), ("d", "\"plain\"")]);
    assert_eq!(members[2].1.string().unwrap(), "Ab");
    assert!(matches!(members[3].1.string(), Some(Cow::Borrowed("plain"))));
    assert!(members[0].1.string().is_none() && members[0].1.members().is_none() && members[0].1.elements().is_none());
    assert_eq!(members[0].1.to_raw().get(), "10.00");
}

proptest! {
    /// Nothing gets through that serde_json, an independent reader of the same grammar, would not take.
    #[test]
    fn no_bytes_make_it_panic_or_take_more_than_json(bytes in prop::collection::vec(
        prop_oneof![Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b'"'), Just(b':'), Just(b','), Just(b'1'),
                    Just(b'e'), Just(b'-'), Just(b'\\'), Just(b'u'), Just(b'a'), Just(b' '), Just(b'\n'), any::<u8>()], 0..40)) {
        let ours = Document::read(&bytes);
        let theirs = serde_json::from_slice::<serde_json::Value>(&bytes);
        match (&ours, &theirs) {
            (Ok(document), Ok(value)) => {
                prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(document.root().text()).unwrap(), value);
            }
            (Err(error), Ok(_)) => prop_assert!(matches!(error.fault, Fault::DuplicateMember(_))),
            (Ok(_), Err(error)) => prop_assert!(false, "{}", error),
            (Err(_), Err(_)) => {}
        }
    }
}
