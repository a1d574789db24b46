use super::*;

fn extension() -> SchemaExtension {
    serde_json::from_str(r#"{"reader":{"site":"String","floor":"Long","night":"Bool","skills":"Set<String>"}}"#)
        .unwrap()
}

fn collect(texts: &[&str], tags: &[&str]) -> Result<String, Failure> {
    let given = Given {
        attributes: texts.iter().map(|text| parse(text).unwrap()).collect(),
        tags: tags.iter().map(|text| tag(text).unwrap()).collect(),
    };
    given.collect_in(&extension()).map(|attributes| serde_json::to_string(&attributes).unwrap())
}

fn collected(texts: &[&str]) -> String {
    collect(texts, &[]).unwrap()
}

#[test]
fn sets_are_split_at_commas_and_grow() {
    assert_eq!(
        collected(&["roles=b,a", "roles=c, a", "org=CNR, Pisa", "clearance=-2"]),
        r#"{"roles":["a","b","c"],"org":"CNR, Pisa","clearance":-2}"#
    );
}

#[test]
fn an_empty_value_empties() {
    assert_eq!(collected(&["roles=", "org="]), r#"{"roles":[],"org":""}"#);
    assert_eq!(collected(&[]), "{}");
}

#[test]
fn attributes_that_were_added_have_the_types_of_the_schema() {
    assert_eq!(
        collected(&["site=5", "floor=5", "night=true", "skills=b", "skills=a,b"]),
        r#"{"floor":5,"night":true,"site":"5","skills":["a","b"]}"#
    );
    assert_eq!(collected(&["unheard=5"]), r#"{"unheard":"5"}"#, "the server refuses it");
    for wrong in ["floor=high", "night=yes"] {
        let refused = format!("{:?}", collect(&[wrong], &[]).unwrap_err());
        assert!(refused.contains("InputRefused") && refused.contains("must be"), "{refused}");
    }
}

#[test]
fn tags_are_texts() {
    assert_eq!(collect(&[], &["flat=7", "wing=a=b", "flat=8"]).unwrap(), r#"{"tags":{"flat":"8","wing":"a=b"}}"#);
    for wrong in ["flat", "=7"] {
        assert!(tag(wrong).unwrap_err().contains("NAME=VALUE"));
    }
}

#[test]
fn a_wrong_attribute_is_refused_with_what_would_do() {
    for (text, told) in [
        ("clearance=high", "clearance is a whole number, as in clearance=2, not `high`"),
        ("roles", "write it as NAME=VALUE, as in roles=meteorologist"),
        ("=x", "write it as NAME=VALUE, as in roles=meteorologist"),
        ("tags=x", "tags have a flag of their own: --tag NAME=VALUE"),
    ] {
        assert_eq!(parse(text).unwrap_err(), told);
    }
}
