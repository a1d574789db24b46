use super::*;

#[test]
fn a_line_of_the_whole_finds_back_to_its_file() {
    let text = of_parts(&[("a.cedar", "one\ntwo"), ("b.cedar", "three\n"), ("c.cedar", "four\n")]);
    assert_eq!(text.source(), "one\ntwo\nthree\nfour\n");
    for (line, place, content) in [
        (1, ("a.cedar", 1), "one"),
        (2, ("a.cedar", 2), "two"),
        (3, ("b.cedar", 1), "three"),
        (4, ("c.cedar", 1), "four"),
    ] {
        assert_eq!(text.place(line), place);
        assert_eq!(text.line(line), Some(content));
    }
    assert_eq!(text.line(0), None);
    assert_eq!(text.line(5), None);
}

#[test]
fn an_empty_file_takes_no_lines() {
    let text = of_parts(&[("empty.cedar", ""), ("b.cedar", "one\n")]);
    assert_eq!(text.place(1), ("b.cedar", 1));
}

#[test]
fn a_file_that_is_not_there_or_not_utf8_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("latin1.cedar");
    let told = |file: &Path| match PolicyText::read(&[file.to_owned()]) {
        Err(Failure::Told { error, .. }) => error,
        other => panic!("{other:?}"),
    };
    assert!(told(&file).contains("latin1.cedar"));
    fs::write(&file, b"// caf\xe9").unwrap();
    assert!(told(&file).ends_with("latin1.cedar: byte 6 is not UTF-8"));
}
