//! What a source sends.

use aups_core::UnixMillis;
use aups_nos::{
    ActiveConfig,
    json::{Document, Value},
    normalise::{Normalised, Origin, normalise, senml::resolve},
};
use std::sync::LazyLock;

/// Mappings that ask for what the seeds hold, in every way there is.
static MAPPED: LazyLock<ActiveConfig> = LazyLock::new(|| {
    let config = serde_json::from_str(
        r#"{"drop":["/x/0","/a/b"],"mappings":[
            {"name":"each","each":"/x","items":[{"name":"{key}-{/name}","value":{"pointer":"."},"keep":"all","drop":["./y"]}]},
            {"name":"scaled","when":{"present":["/unit"]},"items":[{"name":{"pointer":"/name"},"value":{"pointer":"/value","scale":0.1,
             "offset":-40},"unit":"{/unit}","time":{"pointer":"/time","format":"utc"},"nodeId":{"pointer":"/a"},"keep":["/x/0"]}]},
            {"name":"times","items":[{"name":"t","value":{"pointer":""},"time":{"pointer":"/t","format":"unix"},"optional":true}]}]}"#,
    );
    let config = config.map(|config| ActiveConfig::new(1, config));
    assert!(matches!(config, Ok(Ok(_))), "these mappings are sound");
    config.map(Result::unwrap_or_default).unwrap_or_default()
});

/// What is taken is JSON to others as well, and becomes readings or is refused with a place within the text.
pub(crate) fn run(data: &[u8]) {
    match Document::read(data) {
        Err(error) => assert!(error.place.line >= 1 && error.place.column >= 1),
        Ok(document) => {
            assert!(serde_json::from_slice::<serde_json::Value>(data).is_ok(), "it is no JSON to others");
            let root = document.root();
            for value in root.elements().unwrap_or_else(|| vec![root]) {
                for registered in [true, false] {
                    one(&document, value, registered);
                }
            }
            match resolve(root, UnixMillis(1_780_000_000_000)) {
                Ok(all) => all.iter().for_each(is_a_reading),
                Err(error) => assert!(document.place_of(error.value).line >= 1),
            }
        }
    }
}

fn one(document: &Document<'_>, value: Value<'_>, registered: bool) {
    let origin = Origin { registered, node_id: registered.then_some("s1"), node_type: "sensor" };
    if let Ok(Some(all)) = MAPPED.mappings.apply(value, origin) {
        all.iter().for_each(is_a_reading);
    }
    match normalise(value, registered) {
        Ok(normalised) => is_a_reading(&normalised),
        Err(error) => assert!(document.place_of(error.value).line >= 1),
    }
}

/// What was made can be written and read again.
fn is_a_reading(normalised: &Normalised<'_>) {
    let text = serde_json::to_string(&normalised.reading).unwrap_or_default();
    let again = serde_json::from_str::<aups_core::Reading>(&text);
    assert!(again.is_ok_and(|again| again.name == normalised.reading.name), "{text}");
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        r#"{"value":10.5,"name":"temperature","unit":"Cel","time":"2026-01-01T00:00:00.000Z","x":[1,{"y":null}]}"#,
        r#"[{"NodeId":"n","value":1},2,"three",[4],{"a":{"a":1}}]"#,
        r#"{"a":1,"a":2}"#,
        "[[[[[[[[1e400]]]]]]]]",
        r#""\ud83d\ude00\u0000""#,
        "-0.0e-1",
        r#"[{"bn":"urn:dev:x:","bt":1.780000000e9,"bu":"V","bv":10,"n":"a","v":0.5,"ut":60},{"n":"b","t":-5,"s":1},{"n":"c","vd":"aGk"}]"#,
        r#"{"name":"n","value":213,"unit":"K","time":"2026-01-01T00:00:00","a":7,"t":1780000000}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
