use super::*;

#[test]
fn a_redaction_points_below_data() {
    for (text, path) in [
        ("/data/gps", &["gps"][..]),
        ("/data/gps/lat", &["gps", "lat"]),
        ("/data/value/0", &["value", "0"]),
        ("/data/value/~0~1a~01", &["value", "~/a~1"]),
        ("/data/", &[""]),
        ("/data/names", &["names"]),
    ] {
        let redaction: Redaction = text.parse().unwrap();
        assert_eq!(
            (redaction.as_str(), redaction.path().collect::<Vec<_>>()),
            (text, path.iter().map(ToString::to_string).collect())
        );
    }
}

#[test]
fn other_pointers_are_refused() {
    let parse = |text: &str| text.parse::<Redaction>().unwrap_err();
    for text in ["", "data/gps", "/data", "/", "/source/nodeId", "/dat/a", "#/data/gps", "/Data/gps"] {
        assert_eq!(parse(text), RedactionError::NotBelowData, "{text}");
    }
    assert_eq!(parse("/data/name"), RedactionError::Essential);
    assert_eq!(parse("/data/value"), RedactionError::Essential);
    for text in ["/data/a~", "/data/~2", "/data/~/b", "/data/a~~0"] {
        assert_eq!(parse(text), RedactionError::Escape, "{text}");
    }
}

#[test]
fn a_redaction_is_of_bounded_length_and_depth() {
    let of_bytes = |bytes: usize| format!("/data/{}", "x".repeat(bytes - "/data/".len())).parse::<Redaction>();
    assert!(of_bytes(REDACTION_BYTES_MAX).is_ok());
    assert_eq!(of_bytes(REDACTION_BYTES_MAX + 1), Err(RedactionError::TooLong));
    let of_levels = |levels: usize| format!("/data{}", "/x".repeat(levels - 1)).parse::<Redaction>();
    assert!(of_levels(REDACTION_LEVELS_MAX).is_ok());
    assert_eq!(of_levels(REDACTION_LEVELS_MAX + 1), Err(RedactionError::TooLong));
}

#[test]
fn obligations_without_redactions_and_notifications_read_as_before() {
    let json = r#"{"sign":true,"pad_bytes":32}"#;
    let obligations: Obligations = serde_json::from_str(json).unwrap();
    assert_eq!(obligations, Obligations { sign: true, pad_bytes: 32, ..Obligations::default() });
    assert_eq!(serde_json::to_string(&obligations).unwrap(), json);

    let json = r#"{"sign":false,"pad_bytes":0,"redact":["/data/a","/data/b"],"notify":["alerts/hot"]}"#;
    let obligations: Obligations = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&obligations).unwrap(), json);
    assert_eq!(obligations.flags(), Flags::NONE);
    for json in [
        r#"{"sign":false,"pad_bytes":0,"redact":["/data/name"]}"#,
        r#"{"sign":false,"pad_bytes":0,"notify":["alerts/#"]}"#,
        r#"{"sign":false,"pad_bytes":0,"log":[]}"#,
    ] {
        assert!(serde_json::from_str::<Obligations>(json).is_err(), "{json}");
    }
}
