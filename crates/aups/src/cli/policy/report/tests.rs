use super::{super::text::of_parts, *};

#[test]
fn a_fault_is_shown_below_its_line() {
    let text =
        of_parts(&[("a.cedar", "permit(principal, action, resource);\n"), ("b.cedar", "\n\twhen { qualty };\n")]);
    let fault = PolicyError { line: 3, column: 9, message: "no such thing".into(), help: "try `quality`".into() };
    assert_eq!(
        render(&fault, &text, Paint::plain()),
        "error: no such thing\n --> b.cedar:2:9\n  |\n2 | \twhen { qualty };\n  | \t       ^\n  = help: try `quality`"
    );
}

#[test]
fn a_fault_beyond_the_text_is_shown_without_a_line() {
    let text = of_parts(&[("a.cedar", "permit(")]);
    let fault = PolicyError { line: 9, column: 1, message: "unexpected end".into(), help: "end it".into() };
    assert_eq!(render(&fault, &text, Paint::plain()), "error: unexpected end\n --> a.cedar:9:1\n  = help: end it");
}
