use super::*;
use crate::fixture::entry;

const DATA: &str = r#"{"NodeId":"s1","name":"position","value":{"lat":46.1500,"lon":11.10,"fix":[1.50,"x",3]},"unit":"deg",
    "time":"2026-11-22T10:00:00Z","owner":{"name":"Ada","a/b":1},"n":1.230e2}"#;

/// The item's `data` as a text.
fn data(redactions: &[&str]) -> String {
    let redactions = redactions.iter().map(|text| text.parse().unwrap()).collect();
    let json = redacted(&entry(DATA).item, &redactions).unwrap();
    let text = String::from_utf8(json).unwrap();
    let (_, data) = text.split_once(r#""data":"#).unwrap();
    data.split_once(r#","security""#).unwrap().0.to_owned()
}

#[test]
fn what_is_redacted_is_gone_and_the_rest_is_as_it_was_written() {
    let whole = data(&[]);
    for redaction in [
        "/data/none",
        "/data/none/x",
        "/data/value/none",
        "/data/value/lat/x",
        "/data/value/fix/7",
        "/data/value/fix/x",
    ] {
        assert_eq!(data(&[redaction]), whole, "{redaction}");
    }
    let part = |text: &str| whole.contains(text);
    assert!(part(r#""lat":46.1500"#) && part(r#""n":1.230e2"#) && part(r#""fix":[1.50,"x",3]"#), "{whole}");
    let cases = [
        ("/data/unit", r#","unit":"deg""#, ""),
        ("/data/time", r#","time":"2026-11-22T10:00:00Z""#, ""),
        ("/data/n", r#","n":1.230e2"#, ""),
        ("/data/owner", r#","owner":{"name":"Ada","a/b":1}"#, ""),
        ("/data/owner/name", r#""name":"Ada","#, ""),
        ("/data/owner/a~1b", r#","a/b":1"#, ""),
        ("/data/value/lat", r#""lat":46.1500,"#, ""),
        ("/data/value/fix/0", "[1.50,", "[null,"),
        ("/data/value/fix/2", ",3]", ",null]"),
    ];
    for (redaction, was, becomes) in cases {
        assert!(part(was), "{was}");
        assert_eq!(data(&[redaction]), whole.replacen(was, becomes, 1), "{redaction}");
    }
}

#[test]
fn several_redactions_do_not_disturb_each_other() {
    let text = data(&["/data/value/fix/0", "/data/value/fix/1", "/data/value/lon", "/data/owner", "/data/unit"]);
    assert_eq!(
        text,
        r#"{"name":"position","value":{"lat":46.1500,"fix":[null,null,3]},"time":"2026-11-22T10:00:00Z","n":1.230e2}"#
    );
}
