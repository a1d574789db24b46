use super::*;

fn texts(source: &str) -> Vec<(&str, usize)> {
    statements(source).map(|statement| (statement.text, statement.offset)).collect()
}

#[test]
fn statements_end_at_semicolons_outside_texts_and_comments() {
    let source = "// one; not a statement\npermit(a == \"x;\\\";\"); // ; \n\n forbid(b);";
    assert_eq!(texts(source), [("permit(a == \"x;\\\";\");", 24), ("forbid(b);", 54)]);
}

#[test]
fn what_follows_the_last_semicolon_is_a_statement_unless_it_is_comment() {
    assert_eq!(texts("a; b"), [("a;", 0), ("b", 3)]);
    assert_eq!(texts("a; // b"), [("a;", 0)]);
    assert_eq!(texts("a;;"), [("a;", 0), (";", 2)]);
    assert_eq!(texts(" \n// nothing"), []);
    assert_eq!(texts("a \"never closed; b;"), [("a \"never closed; b;", 0)]);
}

#[test]
fn characters_of_several_bytes_are_cut_at_their_edges() {
    assert_eq!(texts("é; \u{a0}ü\"ö;\";"), [("é;", 0), ("ü\"ö;\";", 6)]);
}

#[test]
fn limits_are_named_with_their_place() {
    let limit = |source: &str| statements(source).next().unwrap().beyond_limits();
    let nested = |depth: usize| format!("x{}1{};", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(limit(&nested(POLICY_NESTING_MAX)), None);
    assert_eq!(limit(&nested(POLICY_NESTING_MAX + 1)).unwrap().0, 1 + POLICY_NESTING_MAX);
    assert_eq!(limit(&format!("1{};", " + 1".repeat(POLICY_OPERATORS_MAX))), None);
    assert!(limit(&format!("1{};", " + 1".repeat(POLICY_OPERATORS_MAX + 1))).unwrap().1.contains("operators"));
    assert!(limit(&format!("1{};", " if 1 then 1 else 1".repeat(POLICY_OPERATORS_MAX + 1))).is_some());
    assert!(limit(&format!("\"{}\";", "x".repeat(POLICY_BYTES_MAX))).unwrap().1.contains("bytes"));
    assert_eq!(limit(&format!("[{}];", "\"a.b\", Group::\"x\", ".repeat(1_000))), None, "a long list is not deep");
}

#[test]
fn tokens_are_found_by_their_texts() {
    let statement = statements("  @id(\"x\") permit(resource);").next().unwrap();
    assert_eq!(statement.find(&["@", "id"]), 2);
    assert_eq!(statement.find(&["\"x\""]), 6);
    assert_eq!(statement.find(&["@", "suite"]), 2, "else the start");
}
