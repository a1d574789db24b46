//! What RFC 8259 allows and forbids, and what we decide where it leaves it open: over `Document::read` here, over HTTP in the
//! southbound's tests.

use crate::json::{Document, Fault};

/// What the grammar allows.
pub(crate) const ALLOWED: &[&[u8]] = &[
    // Section 2: white space and any value at the top.
    b" \t\n\r[ \t\n\r] \t\n\r",
    b"[1\n,1\n,1]",
    b"null",
    b"false",
    b"42",
    b"-0.1",
    b"\"asd\"",
    b"[null, 1, \"1\", {}]",
    b"[[] ]",
    b"[1,null,null,null,2]",
    b"[2] ",
    // Section 4.
    b"{}",
    b"{\"\":0}",
    b"{\"asd\":\"sdf\", \"dfg\":\"fgh\"}",
    b"{\"foo\\u0000bar\": 42}",
    b"{ \"min\": -1.0e+28, \"max\": 1.0e+28 }",
    b"{\n\"a\": \"b\"\n}",
    b"{\"a\":{\"a\":{\"a\":0}}}",
    // Section 6.
    b"[123e65]",
    b"[0e+1]",
    b"[0e1]",
    b"[ 4]",
    b"[-0.000000000000000000000000000000000000000000000000000000000000000000000000000001]",
    b"[20e1]",
    b"[-0]",
    b"[-0.0]",
    b"[-123]",
    b"[-1]",
    b"[1E22]",
    b"[1E-2]",
    b"[1E+2]",
    b"[123.456e78]",
    b"[1.7976931348623157e308]",
    b"[5e-324]",
    b"[9007199254740993]",
    b"[18446744073709551616]",
    // Section 7.
    b"[\"\\u0060\\u012a\\u12AB\"]",
    b"[\"\\uD801\\udc37\"]",
    b"[\"\\ud83d\\ude39\\ud83d\\udc8d\"]",
    b"[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]",
    b"[\"\\\\u0000\"]",
    b"[\"\\\"\"]",
    b"[\"a/*b*/c/*d//e\"]",
    b"[\"\\\\a\"]",
    b"[\"\\u0012\"]",
    b"[\"\\uFFFF\"]",
    b"[\"\\uDBFF\\uDFFF\"]",
    b"[\"new\\u00A0line\"]",
    b"[\"\xef\xbf\xbf\"]",
    b"[\"\xf4\x8f\xbf\xbf\"]",
    b"[\"\xf0\x9b\xbf\xbf\"]",
    b"[\"\\u0000\"]",
    b"[\"\xe2\x80\xa8\xe2\x80\xa9\"]",
    b"[\"\x7f\"]",
    b"\" \"",
    b"[\"\xe2\x8d\x82\xe3\x88\xb4\xe2\x8d\x82\"]",
    b"[\"\\uD834\\uDD1E\"]",
    b"[\"\\u200B\\u2064\\uFEFF\"]",
];

/// What the grammar forbids.
pub(crate) const FORBIDDEN: &[&[u8]] = &[
    // Literals.
    b"nul",
    b"nulll",
    b"tru",
    b"TRUE",
    b"True",
    b"[fals]",
    b"undefined",
    b"[NaN]",
    b"[-NaN]",
    b"[Infinity]",
    b"[-Infinity]",
    b"[Inf]",
    // Section 2: what is no white space, and more than one value.
    b"[1]x",
    b"1]",
    b"[][]",
    b"{}}",
    b"{\"a\":\"b\"}/**/",
    b"{\"a\":\"b\"}//",
    b"{\"a\":\"b\"}#",
    b"[\x0c]",
    b"\xc2\xa0[]",
    b"\xe2\x81\xa0",
    b"[\xe2\x80\x8b]",
    b"\x0b1",
    b"1\x00",
    b"\x00",
    b"\xef\xbb\xbf{}",
    b"<null>",
    b"# 1",
    // Section 4.
    b"{",
    b"{\"a\"",
    b"{\"a\":",
    b"{\"a\" 1}",
    b"{:1}",
    b"{\"a\"::1}",
    b"{\"a\":1,}",
    b"{\"a\":1,,\"b\":2}",
    b"{,\"a\":1}",
    b"{\"a\",1}",
    b"{a: 1}",
    b"{'a':1}",
    b"{1:1}",
    b"{null:1}",
    b"{\"a\":1 \"b\":2}",
    b"{\"a\":1}}",
    b"{\"a\":1]",
    b"{[1]:1}",
    // Section 5.
    b"[",
    b"]",
    b"[1",
    b"[1,",
    b"[1,]",
    b"[,1]",
    b"[,]",
    b"[1,,2]",
    b"[1 2]",
    b"[1;2]",
    b"[1:2]",
    b"[1}",
    b"[(1)]",
    b"[1,\n1\n,1",
    // Section 6.
    b"[-]",
    b"[+1]",
    b"[++1]",
    b"[--1]",
    b"[-01]",
    b"[012]",
    b"[00]",
    b"[1.]",
    b"[.1]",
    b"[-.1]",
    b"[1.e1]",
    b"[1e]",
    b"[1e+]",
    b"[1e-]",
    b"[1eE2]",
    b"[1.1.1]",
    b"[1e1.5]",
    b"[1 000]",
    b"[1_000]",
    b"[0x1F]",
    b"[1f]",
    b"[1n]",
    b"[1+2]",
    b"[- 1]",
    b"[\xef\xbc\x91]",
    // Section 7.
    b"\"",
    b"[\"a]",
    b"['a']",
    b"[\"a\nb\"]",
    b"[\"a\tb\"]",
    b"[\"a\x00b\"]",
    b"[\"\x1f\"]",
    b"[\"\\\"]",
    b"[\"\\x00\"]",
    b"[\"\\a\"]",
    b"[\"\\'\"]",
    b"[\"\\u\"]",
    b"[\"\\u00\"]",
    b"[\"\\u00G0\"]",
    b"[\"\\u 123\"]",
    b"[\"\\U0041\"]",
    b"[\"\\\xf0\x9f\x8c\x80\"]",
    b"[\xe2\x80\x9ca\xe2\x80\x9d]",
    // Section 8.1: not UTF-8.
    b"[\"\xff\"]",
    b"[\"\xe9\"]",
    b"[\"\xc0\xaf\"]",
    b"[\"\xe0\x80\x80\"]",
    b"[\"\xed\xa0\x80\"]",
    b"[\"\xf4\xbf\xbf\xbf\"]",
    b"[\"\xfc\x83\xbf\xbf\xbf\xbf\"]",
    b"[\"\x81\"]",
    b"{\"\xb9\":0}",
    b"\xff\xfe[\x00]\x00",
    b"\x00[\x00]",
];

/// What the grammar allows and we refuse: receivers differ about it, or it does not stay what it was.
pub(crate) const REFUSED_BY_US: &[&[u8]] = &[
    // Not in the range of a 64-bit float.
    b"[1e309]",
    b"[-1e309]",
    b"[1e999]",
    b"[123123e100000]",
    b"[0.4e006699999999999999999999999999999999999999999999]",
    // Half of a surrogate pair is no character.
    b"[\"\\ud800\"]",
    b"[\"\\udc00\"]",
    b"[\"\\ud800\\ud800\"]",
    b"[\"\\ud888\\u1234\"]",
    b"[\"\\ud800abc\"]",
    b"{\"\\udfaa\":0}",
    // Which of the two is meant?
    b"{\"a\":1,\"a\":1}",
    b"{\"a\":{},\"b\":[],\"\\u0061\":2}",
];

#[test]
fn what_is_allowed_is_taken_as_it_was_written() {
    for text in ALLOWED {
        let document = Document::read(text).unwrap_or_else(|error| panic!("{}: {error}", text.escape_ascii()));
        assert_eq!(document.root().text().as_bytes(), text.trim_ascii(), "{}", text.escape_ascii());
    }
}

#[test]
fn what_is_forbidden_is_refused_with_a_place_in_the_text() {
    for text in FORBIDDEN.iter().chain(REFUSED_BY_US) {
        let error = Document::read(text).map(|_| panic!("{} is taken", text.escape_ascii())).unwrap_err();
        let lines = text.split(|byte| *byte == b'\n').count();
        assert!((1..=lines).contains(&error.place.line), "{}", text.escape_ascii());
        assert!((1..=text.len() + 1).contains(&error.place.column), "{}", text.escape_ascii());
        let is_text = std::str::from_utf8(text).is_ok();
        assert_eq!(is_text, error.fault != Fault::NotUtf8, "{}: {error}", text.escape_ascii());
    }
}

/// `serde_json`, by itself, agrees about the grammar: it takes what is allowed, and of what we refuse the members that come
/// twice alone.
#[test]
fn an_independent_reader_agrees() {
    let taken = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).is_ok();
    assert!(ALLOWED.iter().all(|text| taken(text)));
    assert!(!FORBIDDEN.iter().any(|text| taken(text)));
    assert_eq!(REFUSED_BY_US.iter().filter(|text| taken(text)).count(), 2);
}
