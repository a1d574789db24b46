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

fn refused(text: &str) -> Vec<ConfigError> {
    match Config::from_json(text.as_bytes()) {
        Err(error) => vec![error],
        Ok(config) => ActiveConfig::new(1, config).unwrap_err(),
    }
}

fn place(text: &str) -> String {
    let errors = refused(text);
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.into_iter().next().unwrap().pointer
}

#[test]
fn what_a_document_leaves_out_is_as_by_default_and_it_is_written_in_full() {
    let config = Config::from_json(br#"{"retain":["data/#"]}"#).unwrap();
    assert_eq!(config, Config { retain: vec!["data/#".parse().unwrap()], ..Config::default() });
    let text = config.to_json();
    assert!(text.contains(r#""registered":"data/{nodeId}/{name}""#), "{text}");
    assert_eq!(Config::from_json(text.as_bytes()).unwrap(), config);
    ActiveConfig::new(0, Config::default()).unwrap();
}

#[test]
fn an_error_names_its_place() {
    assert_eq!(place(r#"{"retain":["data/#","a/#/b"]}"#), "/retain/1");
    assert_eq!(place(r#"{"topics":{"registred":"data/{nodeId}"}}"#), "/topics/registred");
    assert_eq!(place(r#"{"quotas":{"total":{"items":{"perSecond":-1,"burst":1}}}}"#), "/quotas/total/items/perSecond");
    assert_eq!(place(r#"{"topic/s~":1}"#), "/topic~1s~0");
    assert_eq!(place("[]"), "");
    assert_eq!(place("{} {}"), "");
    assert_eq!(place(r#"{"topics":{"registered":"{nodeId}/{name}"}}"#), "/topics");
}

#[test]
fn a_will_has_a_topic_of_its_own_for_each_nos() {
    let document = |topic: &str| format!(r#"{{"will":{{"topic":"{topic}"}}}}"#);
    for topic in [
        "status/nos",
        "{nosId}/status",
        "aups/{nosId}",
        "$SYS/{nosId}",
        "data/{nosId}",
        "unregistered/{nosId}/x",
        "status/{nosId}/{name}",
        "status/{nosId}/#",
        "/{nosId}",
    ] {
        assert_eq!(place(&document(topic)), "/will/topic", "{topic}");
    }
    let will = Config::from_json(document("status/{nosId}").as_bytes()).unwrap().will.unwrap();
    let online = will.online(&"roof".parse().unwrap()).unwrap();
    assert_eq!((online.topic.as_str(), &*online.payload, online.retain), ("status/roof", &b"online"[..], true));
    assert!(will.cleared(&"roof".parse().unwrap()).unwrap().payload.is_empty());
    let fleeting = Will { retain: false, ..will };
    assert!(fleeting.cleared(&"roof".parse().unwrap()).is_none(), "nothing is kept of it");
    assert_eq!(place(r#"{"will":{"topic":"status/{nosId}","qos":2}}"#), "/will/qos");
    assert_eq!(place(r#"{"qos":[{"filter":"data/#","qos":2}]}"#), "/qos/0/qos");
    assert_eq!(place(r#"{"limits":{"backlogItemsMax":0}}"#), "/limits/backlogItemsMax");
}
