use super::*;

#[test]
fn quotas_that_allow_nothing_are_refused_with_their_place() {
    let document = r#"{"quotas":{"unregistered":null,"registered":{"items":{"perSecond":0,"burst":1}},
        "nodeTypes":{"a/b~c":{"bytes":{"perSecond":1,"burst":0}},"ok":null},"nodes":{"s1":{"items":null}},
        "total":{"items":{"perSecond":1,"burst":1}}}}"#;
    let config: Config = serde_json::from_str(document).unwrap();
    let errors = ActiveConfig::new(1, config).unwrap_err();
    let pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(pointers, ["/quotas/registered/items", "/quotas/nodeTypes/a~1b~0c/bytes"]);
    assert!(serde_json::from_str::<Config>(r#"{"quotas":{"nodes":{"a/b":null}}}"#).is_err(), "no NodeId");
    assert!(serde_json::from_str::<Config>(r#"{"quotas":{"total":{"requests":1}}}"#).is_err());
}

#[test]
fn more_types_and_nodes_than_are_taken_are_refused() {
    let nodes = (0..=QUOTAS_MAX).map(|number| (format!("n{number}").parse().unwrap(), None)).collect();
    let config = Config { quotas: Quotas { nodes, ..Quotas::default() }, ..Config::default() };
    assert_eq!(ActiveConfig::new(1, config).unwrap_err()[0].pointer, "/quotas");
}
