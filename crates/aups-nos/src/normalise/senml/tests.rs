use super::*;
use crate::json::Document;

/// 2026-05-28T20:26:40Z.
const NOW: UnixMillis = UnixMillis(1_780_000_000_000);

fn resolved(pack: &str) -> Vec<String> {
    let document = Document::read(pack.as_bytes()).unwrap();
    let readings = resolve(document.root(), NOW).unwrap();
    readings.iter().map(|one| serde_json::to_string(&one.reading).unwrap()).collect()
}

fn fault(pack: &str) -> (SenmlFault, Option<String>) {
    let document = Document::read(pack.as_bytes()).unwrap();
    let error = resolve(document.root(), NOW).unwrap_err();
    (error.fault, error.field.map(Into::into))
}

/// RFC 8428 section 5.1.1.
#[test]
fn a_single_data_point() {
    assert_eq!(
        resolved(r#"[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]"#),
        [r#"{"name":"urn:dev:ow:10e2073a01080063","value":23.1,"unit":"Cel","time":"2026-05-28T20:26:40.000Z"}"#]
    );
}

/// RFC 8428 section 5.1.2.
#[test]
fn multiple_data_points() {
    assert_eq!(
        resolved(
            r#"[{"bn":"urn:dev:ow:10e2073a01080063:","n":"voltage","u":"V","v":120.1},
                {"n":"current","u":"A","v":1.2}]"#
        ),
        [
            r#"{"name":"urn:dev:ow:10e2073a01080063:voltage","value":120.1,"unit":"V","time":"2026-05-28T20:26:40.000Z"}"#,
            r#"{"name":"urn:dev:ow:10e2073a01080063:current","value":1.2,"unit":"A","time":"2026-05-28T20:26:40.000Z"}"#
        ]
    );
    let pack = r#"[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},
        {"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.3},{"n":"current","t":-3,"v":1.4},
        {"n":"current","t":-2,"v":1.5},{"n":"current","t":-1,"v":1.6},{"n":"current","v":1.7}]"#;
    let resolved = resolved(pack);
    assert_eq!(
        resolved[0],
        r#"{"name":"urn:dev:ow:10e2073a0108006:voltage","value":120.1,"unit":"V","time":"2010-06-08T18:01:16.001Z"}"#
    );
    for (number, (second, value)) in [
        ("11.001", "1.2"),
        ("12.001", "1.3"),
        ("13.001", "1.4"),
        ("14.001", "1.5"),
        ("15.001", "1.6"),
        ("16.001", "1.7"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(
            resolved[number + 1],
            format!(
                r#"{{"name":"urn:dev:ow:10e2073a0108006:current","value":{value},"unit":"A","time":"2010-06-08T18:01:{second}Z"}}"#
            )
        );
    }
}

/// RFC 8428 section 5.1.3: several measurements of a moving device.
#[test]
fn base_units_and_positions() {
    let pack = r#"[{"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09,"bu":"%RH","v":20},
        {"u":"lon","v":24.30621},{"u":"lat","v":60.07965},{"t":60,"v":20.3},{"u":"lon","t":60,"v":24.30622}]"#;
    let resolved = resolved(pack);
    assert_eq!(
        resolved[0],
        r#"{"name":"urn:dev:ow:10e2073a01080063","value":20,"unit":"%RH","time":"2011-10-31T13:24:24.000Z"}"#
    );
    assert!(resolved[2].contains(r#""value":60.07965,"unit":"lat""#));
    assert!(resolved[3].contains(r#""value":20.3,"unit":"%RH","time":"2011-10-31T13:25:24.000Z""#));
}

/// RFC 8428 section 5.1.5, and data.
#[test]
fn values_of_other_types() {
    let pack = r#"[{"bn":"urn:dev:ow:10e2073a01080063:","n":"temp","u":"Cel","v":23.1},
        {"n":"label","vs":"Machine Room"},{"n":"open","vb":false},{"n":"nfc-reader","vd":"aGkgCg"}]"#;
    let resolved = resolved(pack);
    assert!(resolved[1].contains(r#""value":"Machine Room","#));
    assert!(resolved[2].contains(r#""value":false,"#));
    assert!(resolved[3].ends_with(r#""value":"aGkgCg","time":"2026-05-28T20:26:40.000Z","encoding":"base64url"}"#));
}

/// RFC 8428 section 5.1.7: a sum without a value.
#[test]
fn sums_and_base_values() {
    let time = r#""time":"2026-05-28T20:26:40.000Z""#;
    assert_eq!(
        resolved(r#"[{"n":"energy","u":"J","s":1000.5}]"#),
        [format!(r#"{{"name":"energy","value":null,"unit":"J",{time},"sum":1000.5}}"#)]
    );
    assert_eq!(
        resolved(r#"[{"bn":"x","bv":100,"bs":0.25,"ut":60},{"n":"a","v":-0.5,"s":0.5},{"n":"b"},{"n":"c","vb":true}]"#),
        [
            format!(r#"{{"name":"x","value":100,{time},"sum":0.25,"updateTime":60}}"#),
            format!(r#"{{"name":"xa","value":99.5,{time},"sum":0.75}}"#),
            format!(r#"{{"name":"xb","value":100,{time},"sum":0.25}}"#),
            format!(r#"{{"name":"xc","value":true,{time},"sum":0.25}}"#),
        ]
    );
    let bases_alone = r#"[{"bn":"x:","bu":"V"},{"n":"a","v":1.50},{"bu":"A"},{"n":"b","v":2}]"#;
    let resolved = resolved(bases_alone);
    assert_eq!(resolved.len(), 2, "a record that only sets base fields makes none");
    assert!(resolved[0].starts_with(r#"{"name":"x:a","value":1.50,"unit":"V""#), "{resolved:?}");
    assert!(resolved[1].starts_with(r#"{"name":"x:b","value":2,"unit":"A""#), "{resolved:?}");
}

/// RFC 8428 section 4.5.3.
#[test]
fn times_below_2_to_the_28_are_relative_to_now() {
    let time = |fields: &str| {
        let resolved = resolved(&format!(r#"[{{"n":"x","v":1,{fields}}}]"#)).remove(0);
        let resolved: serde_json::Value = serde_json::from_str(&resolved).unwrap();
        resolved["time"].as_str().unwrap().to_owned()
    };
    assert_eq!(time(r#""t":0"#), "2026-05-28T20:26:40.000Z");
    assert_eq!(time(r#""t":-0.25"#), "2026-05-28T20:26:39.750Z");
    assert_eq!(time(r#""bt":-10,"t":20"#), "2026-05-28T20:26:50.000Z");
    assert_eq!(time(r#""t":268435455"#), "2034-11-29T17:50:55.000Z");
    assert_eq!(time(r#""t":268435456"#), "1978-07-04T21:24:16.000Z");
    assert_eq!(time(r#""bt":268435456,"t":-1"#), "2034-11-29T17:50:55.000Z", "it is the sum that counts");
    assert_eq!(fault(r#"[{"n":"x","v":1,"t":-2e9}]"#), (SenmlFault::Time, Some("t".into())));
    assert_eq!(fault(r#"[{"n":"x","v":1,"t":1e300}]"#).0, SenmlFault::Time);
}

#[test]
fn what_is_not_understood_is_refused_where_it_must_be() {
    let record = |fields: &str| format!(r#"[{{"n":"x","v":1,{fields}}}]"#);
    assert_eq!(fault(&record(r#""big_":1"#)), (SenmlFault::MustUnderstand, Some("big_".into())));
    assert_eq!(resolved(&record(r#""big":1,"_x":2"#)).len(), 1);
    assert_eq!(fault(&record(r#""bver":11"#)), (SenmlFault::Version, Some("bver".into())));
    assert_eq!(fault(&record(r#""bver":0"#)).0, SenmlFault::Version);
    assert_eq!(fault(r#"[{"n":"x","v":1,"bver":5},{"v":1,"bver":6}]"#).0, SenmlFault::Version, "two versions");
    assert_eq!(resolved(&record(r#""bver":10"#)).len(), 1);
}

#[test]
fn what_is_no_pack_is_refused_whole() {
    for (pack, expected, field) in [
        ("[]", SenmlFault::NoPack, None),
        ("{}", SenmlFault::NoPack, None),
        ("[1]", SenmlFault::NoPack, None),
        (r#"[{"n":"x"}]"#, SenmlFault::NoValue, None),
        (r#"[{"n":"x","v":1,"vs":"a"}]"#, SenmlFault::TwoValues, Some("vs")),
        (r#"[{"v":1}]"#, SenmlFault::Name, Some("n")),
        (r#"[{"n":"-x","v":1}]"#, SenmlFault::Name, Some("n")),
        (r#"[{"n":"a b","v":1}]"#, SenmlFault::Name, Some("n")),
        (r#"[{"n":"é","v":1}]"#, SenmlFault::Name, Some("n")),
        (r#"[{"n":"x","v":"1"}]"#, SenmlFault::Wanted("a number"), Some("v")),
        (r#"[{"n":"x","vs":1}]"#, SenmlFault::Wanted("a text"), Some("vs")),
        (r#"[{"n":"x","vb":1}]"#, SenmlFault::Wanted("true or false"), Some("vb")),
        (r#"[{"n":"x","vd":"aGkgCg=="}]"#, SenmlFault::Wanted("base64url without padding"), Some("vd")),
        (r#"[{"n":7,"v":1}]"#, SenmlFault::Wanted("a text of at most 512 bytes"), Some("n")),
        (r#"[{"n":"x","v":1,"t":"now"}]"#, SenmlFault::Wanted("a number"), Some("t")),
        (r#"[{"n":"x","v":1,"bver":1.5}]"#, SenmlFault::Wanted("a positive whole number"), Some("bver")),
        (r#"[{"n":"x","bv":1e308,"v":1e308}]"#, SenmlFault::Overflow, Some("v")),
    ] {
        assert_eq!(fault(pack), (expected, field.map(Into::into)), "{pack}");
    }
    let pack = format!("[{}]", vec![r#"{"n":"x","v":1}"#; RECORDS_MAX + 1].join(","));
    assert_eq!(fault(&pack).0, SenmlFault::TooManyRecords);
    let long = format!(r#"[{{"bn":"{}","n":"{}","v":1}}]"#, "a".repeat(400), "b".repeat(400));
    assert_eq!(fault(&long).0, SenmlFault::Name);
}
