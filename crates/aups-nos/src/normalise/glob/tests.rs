use super::*;

#[test]
fn stars_and_question_marks() {
    let matches = |pattern: &str, name: &str| pattern.parse::<Glob>().unwrap().matches(name);
    for (pattern, name) in [
        ("*", ""),
        ("*", "anything"),
        ("shelly*", "shelly-plus"),
        ("*-co2", "room-1-co2"),
        ("a*b*c", "a-b-b-c"),
        ("a*bc", "abcbc"),
        ("??", "é1"),
        ("*a?", "banana2"),
        ("**", "x"),
        ("exact", "exact"),
    ] {
        assert!(matches(pattern, name), "{pattern} {name}");
    }
    for (pattern, name) in [
        ("?", ""),
        ("shelly*", "my-shelly"),
        ("a*b*c", "a-c-b"),
        ("??", "x"),
        ("??", "xyz"),
        ("exact", "exactly"),
        ("exact", "exac"),
        ("*a?", "banana"),
    ] {
        assert!(!matches(pattern, name), "{pattern} {name}");
    }
    assert_eq!("exact".parse::<Glob>().unwrap().exact(), Some("exact"));
    assert_eq!("*".parse::<Glob>().unwrap().exact(), None);
    assert_eq!("".parse::<Glob>(), Err(GlobError));
    assert_eq!("x".repeat(GLOB_BYTES_MAX + 1).parse::<Glob>(), Err(GlobError));
}

/// One that tries every star for every letter would not come back from this.
#[test]
fn many_stars_take_no_time() {
    let pattern: Glob = "a*".repeat(60).parse().unwrap();
    assert!(!pattern.matches(&format!("{}b", "b".repeat(10_000))));
    assert!(!format!("{}c", "*a".repeat(60)).parse::<Glob>().unwrap().matches(&"a".repeat(1_000)));
}
