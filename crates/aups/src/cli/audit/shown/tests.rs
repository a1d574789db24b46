use super::*;
use serde_json::json;

fn shown(lines: &[Value]) -> Vec<String> {
    let lines = lines.iter().map(|line| serde_json::from_value(line.clone()).unwrap()).collect();
    rows(lines).into_iter().map(|[_, _, actor, _, what]| format!("{actor}: {what}")).collect()
}

#[test]
fn lines_are_shown_for_a_person() {
    let call = |number, event: &str| {
        json!({"number": number, "prev": "x", "at": 1, "event": event, "actor": "ops", "address": "::1", "method": "DELETE",
            "path": "/v1/users/alice"})
    };
    let begun = call(1, "begun");
    let mut ended = call(2, "call");
    ended["begun"] = 1.into();
    ended["status"] = 204.into();
    ended["changed"] = json!({"sub": "alice"});
    assert_eq!(
        shown(&[begun.clone(), ended]),
        [r#"ops: DELETE /v1/users/alice 204 changed={"sub":"alice"}"#],
        "one row for what began and ended"
    );
    assert_eq!(shown(&[begun]), ["ops: begun DELETE /v1/users/alice"], "the server was killed");
}

#[test]
fn events_that_are_not_known_are_shown_as_they_are() {
    let line = json!({"number": 1, "prev": "x", "at": 1, "event": "eclipse", "of": "the\u{1b}[2Jmoon"});
    assert_eq!(shown(&[line]), [": eclipse of=\"the\\u001b[2Jmoon\""]);
}
