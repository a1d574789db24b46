use super::*;
use crate::{
    Config,
    config::ActiveConfig,
    json::Document,
    normalise::{ITEMS_MAX, normalise},
};
use proptest::prelude::*;
use serde_json::json;
use std::fmt::Write as _;

const SENSOR: Origin<'_> = Origin { registered: true, node_id: Some("s1"), node_type: "sensor" };
const STRANGER: Origin<'_> = Origin { registered: false, node_id: None, node_type: "unknown" };

fn active(mappings: serde_json::Value) -> ActiveConfig {
    let mappings = serde_json::from_value(mappings).unwrap();
    ActiveConfig::new(1, Config { mappings, ..Config::default() }).unwrap()
}

/// What a payload becomes: each reading's JSON, and who sent it; `None` if no mapping fits.
fn mapped(config: &ActiveConfig, payload: &str, origin: Origin<'_>) -> Option<Vec<String>> {
    let document = Document::read(payload.as_bytes()).unwrap();
    let made = config.mappings.apply(document.root(), origin).unwrap()?;
    let shown = |one: Normalised<'_>| {
        let mut shown = serde_json::to_string(&one.reading).unwrap();
        if let Some(node_id) = one.node_id {
            write!(shown, " of {node_id}").unwrap();
        }
        shown
    };
    Some(made.into_iter().map(shown).collect())
}

fn made(config: &ActiveConfig, payload: &str) -> Vec<String> {
    mapped(config, payload, SENSOR).unwrap_or_else(|| panic!("no mapping fits {payload}"))
}

/// The pointers of all that is wrong with a mapping.
fn wrong(mapping: serde_json::Value) -> Vec<String> {
    let mappings = vec![serde_json::from_value(mapping).unwrap()];
    ActiveConfig::new(1, Config { mappings, ..Config::default() })
        .unwrap_err()
        .into_iter()
        .map(|error| error.pointer)
        .collect()
}

#[test]
fn one_payload_makes_several_items() {
    let config = active(json!([{ "name": "climate", "items": [
        { "name": "temperature", "value": { "pointer": "/t" }, "unit": { "const": "Cel" } },
        { "name": "humidity", "value": { "pointer": "/h" }, "unit": "%RH" } ] }]));
    assert_eq!(
        made(&config, r#"{"t":21.50,"h":40,"fw":"1.2"}"#),
        [r#"{"name":"temperature","value":21.50,"unit":"Cel"}"#, r#"{"name":"humidity","value":40,"unit":"%RH"}"#]
    );
    for unfit in [r#"{"t":21}"#, r#"{"t":21,"h":null}"#, "21", "[1,2]", "{}"] {
        assert_eq!(mapped(&config, unfit, SENSOR), None, "{unfit}");
    }
}

#[test]
fn an_item_that_need_not_be_there_is_left_out() {
    let config = active(json!([{ "name": "m", "items": [
        { "name": "a", "value": { "pointer": "/a" }, "optional": true },
        { "name": "{/n}", "value": { "pointer": "/b" }, "optional": true } ] }]));
    assert_eq!(made(&config, r#"{"a":1,"b":2,"n":"c"}"#).len(), 2);
    assert_eq!(made(&config, r#"{"a":1,"b":2}"#), [r#"{"name":"a","value":1}"#], "the other has no name");
    assert_eq!(mapped(&config, r#"{"a":null}"#, SENSOR), None, "a mapping makes at least one item");
}

#[test]
fn each_element_of_an_array_or_object_makes_items() {
    let config = active(json!([
        { "name": "channels", "each": "/channels", "items": [
            { "name": "{/device}-{./id}", "value": { "pointer": "./v" }, "unit": { "pointer": "./u" } } ] },
        { "name": "members", "each": "/energy", "items": [
            { "name": "{key}", "value": { "pointer": "." }, "time": { "pointer": "/at", "format": "unix" } } ] } ]));
    assert_eq!(
        made(&config, r#"{"device":"d","channels":[{"id":1,"v":5,"u":"V"},{"id":2,"v":6}]}"#),
        [r#"{"name":"d-1","value":5,"unit":"V"}"#, r#"{"name":"d-2","value":6}"#]
    );
    assert_eq!(
        made(&config, r#"{"at":1780000000.5,"energy":{"power":5e1,"x\u0079":[1, 2]}}"#),
        [
            r#"{"name":"power","value":5e1,"time":"2026-05-28T20:26:40.500Z"}"#,
            r#"{"name":"xy","value":[1, 2],"time":"2026-05-28T20:26:40.500Z"}"#
        ]
    );
    for unfit in [r#"{"device":"d","channels":[]}"#, r#"{"energy":5}"#, r#"{"device":"d","channels":[{"id":1}]}"#] {
        assert_eq!(mapped(&config, unfit, SENSOR), None, "{unfit}");
    }
}

#[test]
fn the_first_mapping_whose_conditions_hold_wins() {
    let item = |name: &str| json!([{ "name": name, "value": { "pointer": "/v" } }]);
    let config = active(json!([
        { "name": "one-node", "when": { "nodeId": "s1", "equals": { "/kind": 1 } }, "items": item("one-node") },
        { "name": "shelly", "when": { "nodeType": "shelly*" }, "items": item("shelly") },
        { "name": "meter", "when": { "nodeType": "meter" }, "items": item("meter") },
        { "name": "kind", "when": { "equals": { "/kind": "a", "/deep/ok": true } }, "items": item("kind") },
        { "name": "there", "when": { "present": ["/x/0", "/y~1z"] }, "items": item("there") },
        { "name": "any", "items": [{ "name": "any", "value": { "pointer": "" } }] } ]));
    let origin = |node_id, node_type| Origin { registered: true, node_id: Some(node_id), node_type };
    for (origin, payload, expected) in [
        (SENSOR, r#"{"v":1,"kind":1.0}"#, "one-node"),
        (SENSOR, r#"{"v":1,"kind":"1"}"#, "any"),
        (origin("s2", "sensor"), r#"{"v":1,"kind":1}"#, "any"),
        (STRANGER, r#"{"v":1,"kind":1,"NodeId":"s1"}"#, "any"),
        (origin("x", "shelly-plus"), r#"{"v":1}"#, "shelly"),
        (origin("x", "meter"), r#"{"v":1}"#, "meter"),
        (origin("x", "meters"), r#"{"v":1}"#, "any"),
        (origin("x", "meter"), r#"{"w":1}"#, "any"),
        (SENSOR, r#"{"v":1,"kind":"a","deep":{"ok":true}}"#, "kind"),
        (SENSOR, r#"{"v":1,"kind":"a","deep":{"ok":false}}"#, "any"),
        (SENSOR, r#"{"v":1,"x":[null],"y/z":0}"#, "there"),
        (SENSOR, r#"{"v":1,"x":[],"y/z":0}"#, "any"),
        (SENSOR, "[1]", "any"),
        (SENSOR, "7", "any"),
    ] {
        let made = mapped(&config, payload, origin).unwrap();
        assert!(made[0].contains(&format!(r#""name":"{expected}""#)), "{payload} {origin:?}: {made:?}");
    }
}

#[test]
fn a_mapping_of_an_array_within_a_batch_is_found() {
    let config = active(json!([{ "name": "pair", "items": [{ "name": "second", "value": { "pointer": "/1" } }] }]));
    assert_eq!(made(&config, "[5,6]"), [r#"{"name":"second","value":6}"#]);
    assert_eq!(mapped(&config, "[5]", SENSOR), None);
}

#[test]
fn further_members_are_kept_or_dropped_by_rule() {
    let payload = r#"{"t":1,"h":2,"fw":"1.2","rx":[{"rssi":-70,"key":"k"}],"gps":{"lat":46.0,"lon":11},"unit":"x"}"#;
    let keep = |keep: serde_json::Value, drop: serde_json::Value| {
        let items = json!([
            { "name": "t", "value": { "pointer": "/t" }, "keep": keep, "drop": drop },
            { "name": "h", "value": { "pointer": "/h" } } ]);
        let made = made(&active(json!([{ "name": "m", "items": items }])), payload);
        assert_eq!(made[1], r#"{"name":"h","value":2}"#);
        made[0].strip_prefix(r#"{"name":"t","value":1"#).unwrap().to_owned()
    };
    assert_eq!(keep(json!("none"), json!([])), "}");
    assert_eq!(
        keep(json!("all"), json!([])),
        r#","fw":"1.2","rx":[{"rssi":-70,"key":"k"}],"gps":{"lat":46.0,"lon":11}}"#,
        "what other items are made of is not kept, nor what a reading has of its own"
    );
    assert_eq!(
        keep(json!("all"), json!(["/fw", "/rx/0/key", "/gps/lat"])),
        r#","rx":[{"rssi":-70}],"gps":{"lon":11}}"#
    );
    assert_eq!(
        keep(json!(["/rx/0/rssi", "/gps", "/nothing"]), json!(["/gps/lon"])),
        r#","rssi":-70,"gps":{"lat":46.0}}"#
    );
    assert_eq!(keep(json!(["/gps/lat"]), json!(["/gps"])), "}");

    let config = active(json!([{ "name": "m", "each": "/c", "items": [
        { "name": "{key}", "value": { "pointer": "./v" }, "keep": "all", "drop": ["./b"] } ] }]));
    assert_eq!(made(&config, r#"{"x":1,"c":[{"v":5,"a":1,"b":2,"name":"n"}]}"#), [r#"{"name":"0","value":5,"a":1}"#]);
}

#[test]
fn numbers_can_be_scaled_and_stay_as_written_otherwise() {
    let config = active(json!([{ "name": "m", "items": [
        { "name": "raw", "value": { "pointer": "/t" } },
        { "name": "scaled", "value": { "pointer": "/t", "scale": 0.1, "offset": -40 } },
        { "name": "text", "value": "{/t} tenths" } ] }]));
    let values = |payload: &str| {
        let made = mapped(&config, payload, SENSOR)?;
        let value = |one: &String| serde_json::from_str::<serde_json::Value>(one).unwrap()["value"].to_string();
        Some(made.iter().map(value).collect::<Vec<_>>())
    };
    assert_eq!(values(r#"{"t":613}"#).unwrap(), ["613", "21.3", "\"613 tenths\""]);
    assert_eq!(values(r#"{"t":"613"}"#), None, "a text is no number");
    assert!(made(&config, r#"{"t":6130e-1}"#)[0].contains("6130e-1"));
}

#[test]
fn times_are_read_in_the_format_that_is_given() {
    let time = |format: &str, time: &str| {
        let config = active(json!([{ "name": "m", "items": [
            { "name": "x", "value": { "pointer": "/v" }, "time": { "pointer": "/t", "format": format } } ] }]));
        let made = mapped(&config, &format!(r#"{{"v":1,"t":{time}}}"#), SENSOR)?.remove(0);
        let made: serde_json::Value = serde_json::from_str(&made).unwrap();
        Some(made["time"].as_str().unwrap_or("none").to_owned())
    };
    for (format, text, expected) in [
        ("rfc3339", "\"2026-01-31T12:00:00.123456789+01:00\"", "2026-01-31T12:00:00.123456789+01:00"),
        ("utc", "\"2026-01-31T12:00:00\"", "2026-01-31T12:00:00Z"),
        ("unix", "1780000000", "2026-05-28T20:26:40.000Z"),
        ("unix", "\"1780000000.25\"", "2026-05-28T20:26:40.250Z"),
        ("unixMs", "1780000000250", "2026-05-28T20:26:40.250Z"),
        ("unix", "null", "none"),
    ] {
        assert_eq!(time(format, text).as_deref(), Some(expected), "{format} {text}");
    }
    for (format, unread) in [
        ("rfc3339", "\"2026-01-31T12:00:00\""),
        ("rfc3339", "1780000000"),
        ("utc", "\"2026-01-31T12:00:00+01:00\""),
        ("unix", "\"yesterday\""),
        ("unix", "-1"),
        ("unix", "1e300"),
        ("unix", "\"NaN\""),
        ("unixMs", "[]"),
    ] {
        assert_eq!(time(format, unread), None, "{format} {unread}");
    }
}

#[test]
fn an_unregistered_source_is_named_by_the_mapping_or_by_itself() {
    let items = |node_id: serde_json::Value| {
        json!([{ "name": "m", "items": [
            { "name": "x", "value": { "pointer": "/v" }, "nodeId": node_id, "keep": "all" } ] }])
    };
    let config = active(items(json!("{/dev}")));
    assert_eq!(mapped(&config, r#"{"v":1,"dev":7}"#, STRANGER).unwrap(), [r#"{"name":"x","value":1} of 7"#]);
    assert_eq!(mapped(&config, r#"{"v":1,"dev":7}"#, SENSOR).unwrap(), [r#"{"name":"x","value":1}"#]);
    let own = r#"{"v":1,"NodeId":"me"}"#;
    assert_eq!(mapped(&config, own, STRANGER).unwrap(), [r#"{"name":"x","value":1} of me"#]);
    assert_eq!(mapped(&config, own, SENSOR).unwrap(), [r#"{"name":"x","value":1,"NodeId":"me"}"#]);
    assert_eq!(mapped(&config, r#"{"v":1,"NodeId":7}"#, STRANGER), None, "as everywhere, it is refused then");
    assert_eq!(mapped(&config, r#"{"v":1,"dev":""}"#, STRANGER), None);
    assert_eq!(mapped(&config, r#"{"v":1}"#, STRANGER).unwrap(), [r#"{"name":"x","value":1}"#]);
}

#[test]
fn what_is_wrong_is_told_with_its_pointer() {
    let good = json!({ "name": "x", "value": { "pointer": "/v" } });
    let item = |change: serde_json::Value| {
        let mut item = good.clone();
        item.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({ "name": "m", "items": [good, item] })
    };
    for (mapping, pointer) in [
        (json!({ "name": "raw", "items": [good] }), "/name"),
        (json!({ "name": "a b", "items": [good] }), "/name"),
        (json!({ "name": "m", "items": [] }), "/items"),
        (json!({ "name": "m", "items": vec![&good; 65] }), "/items"),
        (json!({ "name": "m", "each": "v", "items": [good] }), "/each"),
        (json!({ "name": "m", "when": { "nodeId": "" }, "items": [good] }), "/when/nodeId"),
        (json!({ "name": "m", "when": { "nodeType": "x".repeat(129) }, "items": [good] }), "/when/nodeType"),
        (json!({ "name": "m", "when": { "present": ["/a", "./b"] }, "items": [good] }), "/when/present/1"),
        (json!({ "name": "m", "when": { "present": vec!["/a"; 17] }, "items": [good] }), "/when/present"),
        (json!({ "name": "m", "when": { "equals": { "/a~1b": [] } }, "items": [good] }), "/when/equals/~1a~01b"),
        (item(json!({ "value": { "pointer": "a" } })), "/items/1/value/pointer"),
        (item(json!({ "value": { "pointer": "/~" } })), "/items/1/value/pointer"),
        (item(json!({ "value": { "pointer": "./a" } })), "/items/1/value/pointer"),
        (item(json!({ "value": {} })), "/items/1/value"),
        (item(json!({ "value": { "pointer": "/a", "const": 1 } })), "/items/1/value"),
        (item(json!({ "value": { "const": 1, "scale": 2 } })), "/items/1/value"),
        (item(json!({ "value": { "pointer": "/a", "format": "unix" } })), "/items/1/value"),
        (item(json!({ "name": { "pointer": "/a", "scale": 2 } })), "/items/1/name"),
        (item(json!({ "name": { "const": [1] } })), "/items/1/name"),
        (item(json!({ "name": "{key}" })), "/items/1/name"),
        (item(json!({ "name": "{a}" })), "/items/1/name"),
        (item(json!({ "name": "{/a" })), "/items/1/name"),
        (item(json!({ "name": "a}" })), "/items/1/name"),
        (item(json!({ "name": "x".repeat(1_025) })), "/items/1/name"),
        (item(json!({ "unit": "{./a}" })), "/items/1/unit"),
        (item(json!({ "time": { "const": "2026-01-31T12:00:00Z" } })), "/items/1/time"),
        (item(json!({ "nodeId": { "pointer": "/a", "format": "utc" } })), "/items/1/nodeId"),
        (item(json!({ "keep": ["/a", "/b/unit"] })), "/items/1/keep/1"),
        (item(json!({ "keep": ["/a", "/b/a"] })), "/items/1/keep/1"),
        (item(json!({ "keep": [""] })), "/items/1/keep/0"),
        (item(json!({ "keep": ["./a"] })), "/items/1/keep/0"),
        (item(json!({ "keep": (0..65).map(|n| format!("/{n}")).collect::<Vec<_>>() })), "/items/1/keep"),
        (item(json!({ "drop": ["./a"] })), "/items/1/drop/0"),
        (item(json!({ "drop": [""] })), "/items/1/drop/0"),
    ] {
        assert_eq!(wrong(mapping.clone()), [format!("/mappings/0{pointer}")], "{mapping}");
    }
    let several = json!({ "name": "raw", "items": [{ "name": "{", "value": {}, "unit": "{x}" }] });
    assert_eq!(wrong(several).len(), 4, "all of it at once");
    let twice: Config = serde_json::from_value(
        json!({ "mappings": [{ "name": "m", "items": [good] }, { "name": "m", "items": [good] }] }),
    )
    .unwrap();
    assert_eq!(ActiveConfig::new(1, twice).unwrap_err()[0].pointer, "/mappings/1/name");
    let many: Vec<_> = (0..257).map(|n| json!({ "name": format!("m{n}"), "items": [good] })).collect();
    let many: Config = serde_json::from_value(json!({ "mappings": many })).unwrap();
    assert_eq!(ActiveConfig::new(1, many).unwrap_err()[0].pointer, "/mappings");
    for (drop, pointer) in [("", "/drop/0"), ("/value", "/drop/0"), ("x", "/drop/0")] {
        let config = Config { drop: vec![drop.into()], ..Config::default() };
        assert_eq!(ActiveConfig::new(1, config).unwrap_err()[0].pointer, pointer, "{drop}");
    }
}

#[test]
fn the_document_comes_out_as_it_went_in() {
    let document = json!({ "mappings": [{
        "name": "m",
        "when": { "nodeId": "a", "nodeType": "b*", "present": ["/c"], "equals": { "/d": 1 } },
        "each": "/e",
        "items": [{
            "name": "{key}",
            "value": { "pointer": ".", "scale": 0.1, "offset": 1.0 },
            "unit": { "const": "V" },
            "time": { "pointer": "/t", "format": "unixMs" },
            "nodeId": { "pointer": "/n" },
            "keep": ["/k"],
            "drop": ["/k/l"],
            "optional": true
        }, { "name": "x", "value": { "pointer": "./v" }, "keep": "all" }]
    }]});
    let config: Config = serde_json::from_value(document.clone()).unwrap();
    assert_eq!(serde_json::to_value(&config).unwrap()["mappings"], document["mappings"]);
    for unknown in [
        json!({ "name": "m", "items": [], "colour": 1 }),
        json!({ "name": "m", "items": [{ "name": 5, "value": "x" }] }),
        json!({ "name": "m", "items": [{ "name": "x", "value": { "ponter": "/v" } }] }),
        json!({ "name": "m", "items": [{ "name": "x", "value": "x", "keep": "some" }] }),
        json!({ "name": "m", "when": { "nodeName": "x" }, "items": [] }),
    ] {
        assert!(serde_json::from_value::<Mapping>(unknown.clone()).is_err(), "{unknown}");
    }
}

#[test]
fn a_payload_makes_no_more_than_so_many_items_and_bytes() {
    let config = active(json!([{ "name": "m", "each": "/c", "items": [
        { "name": "{key}", "value": { "pointer": "." }, "keep": ["/big"] } ] }]));
    let payload =
        |count: usize, big: usize| format!(r#"{{"big":"{}","c":[{}]}}"#, "x".repeat(big), vec!["0"; count].join(","));
    let excess = |text: String| {
        let document = Document::read(text.as_bytes()).unwrap();
        config.mappings.apply(document.root(), SENSOR).map(|made| made.map(|made| made.len()))
    };
    assert_eq!(excess(payload(ITEMS_MAX, 0)), Ok(Some(ITEMS_MAX)));
    assert_eq!(excess(payload(ITEMS_MAX + 1, 0)), Err(Excess::Items));
    assert_eq!(excess(payload(1_000, 4_000)), Ok(Some(1_000)));
    assert_eq!(excess(payload(1_000, 5_000)), Err(Excess::Bytes), "five megabytes of one copy each");
}

#[test]
fn members_are_dropped_of_readings_that_no_mapping_made() {
    let config = Config { drop: ["/fw", "/gps/lat", "/unit"].map(Into::into).into(), ..Config::default() };
    let config = ActiveConfig::new(1, config).unwrap();
    let trimmed = |json: &str| {
        let document = Document::read(json.as_bytes()).unwrap();
        let mut normalised = normalise(document.root(), true).unwrap();
        config.mappings.trim(&mut normalised).unwrap();
        serde_json::to_string(&normalised.reading).unwrap()
    };
    let reading = r#"{"value":1.50,"unit":"V","fw":"x","gps":{"lat":46.10,"lon":11.0},"gpsx":1}"#;
    assert_eq!(trimmed(reading), r#"{"name":"value","value":1.50,"gps":{"lon":11.0},"gpsx":1}"#);
    assert_eq!(trimmed(r#"{"fw":1,"a":{"fw":2}}"#), r#"{"name":"value","value":{"a":{"fw":2}}}"#, "of raw ones, too");
    assert_eq!(trimmed("7"), r#"{"name":"value","value":7}"#);
}

#[test]
fn people_are_told_why_a_mapping_does_not_fit() {
    let config = active(json!([
        { "name": "node", "when": { "nodeId": "x" }, "items": [{ "name": "a", "value": "b" }] },
        { "name": "type", "when": { "nodeType": "m*" }, "items": [{ "name": "a", "value": "b" }] },
        { "name": "there", "when": { "present": ["/a"] }, "items": [{ "name": "a", "value": "b" }] },
        { "name": "equal", "when": { "equals": { "/v": 2 } }, "items": [{ "name": "a", "value": "b" }] },
        { "name": "each", "each": "/v", "items": [{ "name": "a", "value": "b" }] },
        { "name": "name", "items": [{ "name": { "pointer": "/o" }, "value": "b" }] },
        { "name": "number", "items": [{ "name": "a", "value": { "pointer": "/o", "scale": 2 } }] },
        { "name": "time", "items": [{ "name": "a", "value": "b", "time": { "pointer": "/v" } }] },
        { "name": "fits", "items": [{ "name": "a", "value": "b" }] },
        { "name": "later", "items": [{ "name": "a", "value": "b" }] } ]));
    let document = Document::read(br#"{"v":1,"o":{}}"#).unwrap();
    let told: Vec<_> = config
        .mappings
        .explain(document.root(), SENSOR)
        .into_iter()
        .map(|(name, why)| format!("{name} - {}", why.map_or("fits".into(), |why| why.to_string())))
        .collect();
    assert_eq!(
        told,
        [
            "node - when/nodeId: the source's is not `x`",
            "type - when/nodeType: the source's is not `m*`",
            "there - when/present/0: there is nothing at `/a`",
            "equal - when/equals: `/v` is something else",
            "each - each: `/v` is neither an array nor an object",
            "name - items/0/name: neither a text of at most 4096 bytes nor a number nor a boolean",
            "number - items/0/value: not a number",
            "time - items/0/time: not a time in the format that is given",
            "fits - fits",
        ]
    );
}

#[test]
fn sets_of_mappings_keep_their_order() {
    let mut numbers = Numbers::default();
    for number in [255, 0, 63, 64, 130] {
        numbers.insert(number);
    }
    assert_eq!(numbers.numbers().collect::<Vec<_>>(), [0, 63, 64, 130, 255]);
}

/// Any JSON, with members that the mappings below ask for.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let scalar = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1e9..1e9).prop_map(|number: f64| number.into()),
        "[a-z/~{}.]{0,6}".prop_map(Into::into),
        Just("2026-01-31T12:00:00Z".into()),
    ];
    let name = prop_oneof![Just("a"), Just("b"), Just("c"), Just("NodeId"), Just("value"), Just("name")];
    scalar.prop_recursive(4, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

/// Any mapping over the same members; some of them are refused.
fn any_mapping() -> impl Strategy<Value = serde_json::Value> {
    let pointer = || "\\.?(/[abc0]){0,3}";
    let template = prop_oneof!["[a-z]{1,3}", "\\{\\.?(/[abc]){1,2}\\}x?", Just("{key}".to_owned())];
    let field = move || {
        prop_oneof![
            template.clone().prop_map(Into::into),
            pointer().prop_map(|pointer| json!({ "pointer": pointer })),
            (-5i32..5).prop_map(|constant| json!({ "const": constant })),
        ]
    };
    let keep = prop_oneof![Just(json!("all")), Just(json!("none")), pointer().prop_map(|pointer| json!([pointer])),];
    (
        prop::option::of("(/[abc]){0,2}"),
        (field(), field(), field(), field()),
        keep,
        prop::collection::vec(pointer(), 0..2),
        any::<bool>(),
    )
        .prop_map(|(each, (name, value, unit, node_id), keep, drop, optional)| {
            let mut mapping = json!({ "name": "m", "items": [
                { "name": name, "value": value, "unit": unit, "nodeId": node_id, "keep": keep, "drop": drop, "optional": optional } ] });
            if let Some(each) = each {
                mapping["each"] = each.into();
            }
            mapping
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever a mapping makes can be written and read again as a reading; nothing panics.
    #[test]
    fn any_mapping_of_any_json_makes_readings_or_nothing(mapping in any_mapping(), json in any_json(), registered: bool) {
        let config: Config = serde_json::from_value(json!({ "mappings": [mapping] })).unwrap();
        if let Ok(config) = ActiveConfig::new(1, config) {
            let text = json.to_string();
            let document = Document::read(text.as_bytes()).unwrap();
            let origin = if registered { SENSOR } else { STRANGER };
            for one in config.mappings.apply(document.root(), origin).unwrap().unwrap_or_default() {
                let text = serde_json::to_string(&one.reading).unwrap();
                let again: aups_core::item::Reading = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(serde_json::to_string(&again).unwrap(), text);
                prop_assert!(one.node_id.is_none() || !registered);
            }
        }
    }

    /// Numbers come out as they were written, whatever way they take.
    #[test]
    fn numbers_come_out_as_written(number in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?") {
        let config = active(json!([{ "name": "m", "each": "/a", "items": [
            { "name": "{./v}", "value": { "pointer": "./v" }, "unit": { "pointer": "./v" }, "keep": "all" } ] }]));
        let made = made(&config, &format!(r#"{{"a":[{{"v":{number},"w":[{number}]}}]}}"#));
        let expected = format!(r#"{{"name":"{number}","value":{number},"unit":"{number}","w":[{number}]}}"#);
        prop_assert_eq!(&made[0], &expected);
    }

    /// A candidate that the index leaves out would not have fitted.
    #[test]
    fn the_index_leaves_out_only_what_does_not_fit(mapping in any_mapping(), json in any_json()) {
        let config: Config = serde_json::from_value(json!({ "mappings": [mapping] })).unwrap();
        if let Ok(config) = ActiveConfig::new(1, config) {
            let text = json.to_string();
            let document = Document::read(text.as_bytes()).unwrap();
            let fits = config.mappings.explain(document.root(), SENSOR).iter().any(|(_, misfit)| misfit.is_none());
            prop_assert_eq!(config.mappings.apply(document.root(), SENSOR).unwrap().is_some(), fits);
        }
    }
}
