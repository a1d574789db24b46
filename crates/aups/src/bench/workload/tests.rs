use super::*;
use std::collections::BTreeSet;

fn shape() -> Shape {
    Shape { sources: 3, topics: 8, policies: 5, scopes: 2, key_life: Duration::from_mins(5), payload_bytes: 0, seed: 1 }
}

fn texts(shape: Shape) -> Vec<String> {
    let workload = Workload::new(shape).unwrap();
    let text = |number| {
        let mut text = Vec::new();
        workload.write(number, workload.source_of(number), &mut text);
        String::from_utf8(text).unwrap()
    };
    (0..500).map(text).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
    assert_eq!(texts(shape()), texts(shape()));
    assert_ne!(texts(shape()), texts(Shape { seed: 2, ..shape() }));
}

#[test]
fn all_sources_send_under_all_topics_and_every_reading_has_its_number() {
    let mut topics = BTreeSet::new();
    for (number, text) in texts(shape()).iter().enumerate() {
        let reading: Value = serde_json::from_str(text).unwrap();
        assert_eq!(reading["number"], number);
        assert!(reading["value"].is_f64());
        topics.insert((reading["nodeId"].to_string(), reading["name"].to_string()));
    }
    assert_eq!(topics.len(), 8, "{topics:?}");
}

#[test]
fn a_reading_is_padded_to_the_length_that_is_asked_for() {
    for payload_bytes in [180, 1_000] {
        for text in texts(Shape { payload_bytes, ..shape() }) {
            assert_eq!(text.len(), payload_bytes, "{text}");
            assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
        }
    }
}

#[test]
fn a_shape_that_contradicts_itself_is_refused() {
    let refused = |shape: Shape| Workload::new(shape).unwrap_err().to_string();
    assert_eq!(refused(Shape { topics: 2, ..shape() }), "3 sources need as many topics, not 2");
    assert_eq!(refused(Shape { scopes: 4, ..shape() }), "4 scopes need as many sources, not 3");
    assert_eq!(refused(Shape { policies: 3, ..shape() }), "3 sources need 4 policies, not 3");
    assert!(refused(Shape { sources: 0, ..shape() }).contains("at least one source"));
}

#[test]
fn there_are_as_many_policies_as_asked_for() {
    let policies = Workload::new(shape()).unwrap().policies();
    assert_eq!(policies.lines().count(), 5);
    assert!(policies.contains(r#"resource in Topic::"data/s3") when { principal.roles.contains("reader-1") }"#));
}
