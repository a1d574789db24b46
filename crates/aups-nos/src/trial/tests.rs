use super::*;
use crate::{Config, config::fixed, fixture::source_record};
use aups_core::{ManualClock, UnixMillis};
use serde_json::{Value, json};

const NOW: UnixMillis = UnixMillis(1_780_000_000_000);

fn trial(mappings: Value, registered: bool) -> Trial {
    let config = Config { mappings: serde_json::from_value(mappings).unwrap(), ..Config::default() };
    let source = if registered {
        TrialSource::Registered(Arc::new(source_record("s1")))
    } else {
        TrialSource::Unregistered([192, 0, 2, 1].into())
    };
    Trial::new(fixed(config).unwrap(), source, Arc::new(ManualClock::at(NOW)))
}

fn shown(tried: &[Tried]) -> Vec<String> {
    let items = tried.iter().flat_map(|tried| &tried.items);
    items.map(|(topic, item)| format!("{topic} {}", serde_json::to_string(&item.data).unwrap())).collect()
}

/// The blocks of the guide, each with what its fence says of it.
fn blocks(guide: &str) -> Vec<(&str, &str)> {
    let fenced = guide.split("\n```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).collect()
}

#[test]
fn the_examples_of_the_guide_become_what_it_says() {
    let guide = include_str!("../../../../docs/guide/mappings.md");
    let (mut mapping, mut payload, mut content, mut run) = (json!([]), "", Content::Json, 0);
    for (kind, text) in blocks(guide) {
        match kind {
            "json mapping" => mapping = json!([serde_json::from_str::<Value>(text).unwrap()]),
            "json payload" => (payload, content) = (text, Content::Json),
            "json senml" => (payload, content) = (text, Content::Senml),
            "text items" => {
                let tried = trial(mapping.clone(), true).text(payload.as_bytes(), content).unwrap();
                assert_eq!(shown(&tried), text.lines().collect::<Vec<_>>(), "{payload}");
                run += 1;
            }
            _ => {}
        }
    }
    assert_eq!(run, 5, "the guide's examples were found");
}

#[test]
fn a_trial_tells_of_each_value_what_becomes_of_it() {
    let mappings = json!([
        { "name": "a", "items": [{ "name": "a", "value": { "pointer": "/a" } }] },
        { "name": "b", "items": [{ "name": "b", "value": { "pointer": "/b" }, "nodeId": "x" }] } ]);
    let registered = trial(mappings.clone(), true);
    let tried = registered.text(br#"[{"b":1},{"a":1},{"value":2},{}]"#, Content::Json).unwrap();
    let fits: Vec<_> =
        tried.iter().map(|tried| (tried.mappings.len(), tried.mappings.last().unwrap().1.is_none())).collect();
    assert_eq!(fits, [(2, true), (1, true), (2, false), (2, false)]);
    let schemas: Vec<_> = tried.iter().map(|tried| &*tried.items[0].1.schema).collect();
    assert_eq!(schemas, ["b", "a", "default", "raw"]);
    let unregistered = trial(mappings, false).text(br#"{"b":1}"#, Content::Json).unwrap();
    assert_eq!(shown(&unregistered), [r#"unregistered/x/b {"name":"b","value":1}"#]);
}

#[test]
fn a_trial_refuses_what_the_source_would_be_refused() {
    let trial = trial(json!([]), true);
    let refused = |text: &str, content| trial.text(text.as_bytes(), content).unwrap_err().status;
    assert_eq!(refused("[1,{", Content::Json), 400);
    assert_eq!(refused(r#"[1,{"value":1,"time":5}]"#, Content::Json), 400);
    assert_eq!(refused(r#"[{"n":"x"}]"#, Content::Senml), 400);
    assert_eq!(refused(&format!("[{}]", vec!["0"; 10_001].join(",")), Content::Json), 413);
}
