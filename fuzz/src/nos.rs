//! What a source sends.

use aups_nos::{json::Document, normalise::normalise};

/// What is taken is JSON to others as well, and can be mapped or is refused with a place within the text.
pub(crate) fn run(data: &[u8]) {
    match Document::read(data) {
        Err(error) => assert!(error.place.line >= 1 && error.place.column >= 1),
        Ok(document) => {
            assert!(serde_json::from_slice::<serde_json::Value>(data).is_ok(), "it is no JSON to others");
            let root = document.root();
            for value in root.elements().unwrap_or_else(|| vec![root]) {
                for registered in [true, false] {
                    match normalise(value, registered) {
                        Ok(normalised) => assert!(!normalised.reading.name.is_empty() || value.members().is_some()),
                        Err(error) => assert!(document.place_of(error.value).line >= 1),
                    }
                }
            }
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        r#"{"value":10.5,"name":"temperature","unit":"Cel","time":"2026-01-01T00:00:00.000Z","x":[1,{"y":null}]}"#,
        r#"[{"NodeId":"n","value":1},2,"three",[4],{"a":{"a":1}}]"#,
        r#"{"a":1,"a":2}"#,
        "[[[[[[[[1e400]]]]]]]]",
        r#""\ud83d\ude00\u0000""#,
        "-0.0e-1",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
