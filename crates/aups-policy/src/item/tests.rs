use super::*;
use crate::fixtures::{Sample, extended_schema};
use std::collections::BTreeSet;

#[test]
fn numbers_are_cut_off_after_the_fourth_decimal() {
    for (json, expected) in [
        ("0", Some(0)),
        ("-0.0", Some(0)),
        ("10.00", Some(100_000)),
        ("0.57", Some(5_700)),
        ("50.00009", Some(500_000)),
        ("-50.00009", Some(-500_000)),
        ("1e3", Some(10_000_000)),
        ("1.25E-2", Some(125)),
        ("12.5e+1", Some(1_250_000)),
        ("99999e-9", Some(0)),
        ("1e-99999999999999999999", Some(0)),
        ("0e99999999999999999999", Some(0)),
        ("0.000e400", Some(0)),
        ("1e99999999999999999999", None),
        ("1e15", None),
        ("922337203685477.58079", Some(i64::MAX)),
        ("922337203685477.5808", None),
        ("-922337203685477.5808", Some(i64::MIN)),
        ("-922337203685477.5809", None),
        ("123456789012345678901234567890", None),
        ("\"1\"", None),
        ("null", None),
        ("[1]", None),
        ("{}", None),
        ("true", None),
    ] {
        assert_eq!(ten_thousandths(json), expected, "{json}");
    }
    assert_eq!(ten_thousandths(&format!("0.{}1", "0".repeat(60_000))), Some(0));
}

#[test]
fn decimals_are_written_as_cedar_reads_them() {
    for (number, text) in [
        (0, "0.0000"),
        (9_300, "0.9300"),
        (-500, "-0.0500"),
        (i64::MAX, "922337203685477.5807"),
        (i64::MIN, "-922337203685477.5808"),
    ] {
        assert_eq!(decimal(number), text);
        assert!(
            cedar_policy::eval_expression(
                &cedar_policy::Request::new(
                    "User::\"a\"".parse().unwrap(),
                    "Action::\"receive\"".parse().unwrap(),
                    "Item::\"item\"".parse().unwrap(),
                    cedar_policy::Context::empty(),
                    None,
                )
                .unwrap(),
                &cedar_policy::Entities::empty(),
                &format!("decimal(\"{text}\")").parse().unwrap(),
            )
            .is_ok()
        );
    }
}

#[test]
fn attributes_have_the_names_of_the_schema() {
    let sample = Sample::new("a/b/c/d/e/f/g/h");
    let entity = Entity::new(
        Vocabulary::get().item.clone(),
        attributes(&sample.resource(), &Schema::shipped()),
        ancestors(&sample.topic),
    )
    .unwrap();
    let mut names = BTreeSet::new();
    let json = entity.to_json_value().unwrap();
    for (name, value) in json["attrs"].as_object().unwrap() {
        match value.as_object().filter(|record| !record.contains_key("__extn")) {
            Some(record) => names.extend(record.keys().map(|member| format!("{name}.{member}"))),
            None => drop(names.insert(name.clone())),
        }
    }
    assert_eq!(names, ATTRIBUTES.iter().map(|(path, _)| path.join(".")).collect());
    cedar_policy::Entities::from_entities([entity], Some(Schema::shipped().cedar())).expect("as the schema demands");
}

#[test]
fn absent_levels_and_values_are_absent() {
    let sample = Sample::new("a/b").value("\"text\"");
    let attributes = attributes(&sample.resource(), &Schema::shipped());
    assert!(
        attributes.contains_key("level1") && !attributes.contains_key("level2") && !attributes.contains_key("value")
    );
}

#[test]
fn an_access_reads_the_attributes_below_its_path() {
    let read = |path: &[&str]| Attribute::read_by(path, &extended_schema());
    assert_eq!(read(&["source", "nodeId"]), [Attribute::NodeId]);
    assert_eq!(read(&["value"]), [Attribute::Value]);
    assert_eq!(read(&["quality"]).len(), 4, "a record compared as a whole");
    assert_eq!(read(&["room"]), [Attribute::Further("room".into(), AttributeType::String)]);
    assert_eq!(read(&["unheard-of"]), []);
}

#[test]
fn keys_tell_values_apart_and_not_from_their_neighbours() {
    let key = |sample: &Sample| {
        let mut key = Vec::new();
        for (_, attribute) in &ATTRIBUTES {
            attribute.write(&sample.resource(), &mut key);
        }
        key
    };
    let sample = Sample::new("a/b");
    assert_eq!(key(&sample), key(&sample.clone()));
    assert_eq!(key(&sample), key(&sample.clone().value("10.00000001")), "the same decimal is the same to a policy");
    for other in [
        sample.clone().value("11"),
        sample.clone().value("null"),
        sample.clone().node("s2"),
        sample.clone().name("humidity"),
        sample.clone().accuracy(0.79),
        sample.clone().registered(false),
        sample.clone().topic("a/b/"),
        sample.clone().topic("a"),
        sample.clone().label("calibrated"),
    ] {
        assert_ne!(key(&sample), key(&other), "{other:?}");
    }
    assert_ne!(key(&sample.clone().node("ab").kind("c")), key(&sample.node("a").kind("bc")));
}

#[test]
fn a_member_of_the_data_is_an_attribute_if_it_has_the_declared_type() {
    let value = |sample: Sample, name: &str, of_type| {
        Attribute::Further(name.into(), of_type).of(&sample.resource()).map(|value| format!("{:?}", value.expression()))
    };
    let member = |json: &str| Sample::new("a").member("m", json);
    for (of_type, taken, refused) in [
        (AttributeType::String, "\"a\\u00e9\"", &["1", "null", "[\"a\"]"][..]),
        (AttributeType::Long, "-3", &["3.5", "9223372036854775808", "\"3\"", "true"]),
        (AttributeType::Bool, "true", &["1", "\"true\"", "null"]),
        (AttributeType::StringSet, "[\"b\",\"a\",\"b\"]", &["\"a\"", "[1]", "{}"]),
        (AttributeType::Decimal, "3.5", &["\"3.5\"", "true", "1e99"]),
    ] {
        assert!(value(member(taken), "m", of_type).is_some(), "{taken}");
        for json in refused {
            assert_eq!(value(member(json), "m", of_type), None, "{of_type}: {json}");
        }
        assert_eq!(value(Sample::new("a"), "m", of_type), None, "absent");
    }
    let mut sample = Sample::new("a");
    sample.item.data.unit = Some("Cel".into());
    assert!(value(sample.clone(), "unit", AttributeType::String).is_some());
    assert_eq!(value(sample, "unit", AttributeType::Long), None);
}

#[test]
fn keys_tell_declared_members_and_tags_apart() {
    let key = |attribute: Attribute, sample: &Sample| {
        let mut key = Vec::new();
        attribute.write(&sample.resource(), &mut key);
        key
    };
    let member = |json: &str| Sample::new("a").member("m", json);
    let kinds = |sample: &Sample| key(Attribute::Further("m".into(), AttributeType::StringSet), sample);
    assert_eq!(kinds(&member(r#"["a","b"]"#)), kinds(&member(r#"["b","a","a"]"#)), "a set has no order");
    assert_ne!(kinds(&member(r#"["a","b"]"#)), kinds(&member(r#"["ab"]"#)));
    assert_ne!(kinds(&member("[]")), kinds(&Sample::new("a")));

    let (one, other) = (Sample::new("a").tag("x", "1").tag("y", "2"), Sample::new("a").tag("x", "1").tag("y", "3"));
    let tag = |name: &str| Attribute::Tag(name.into());
    assert_eq!(key(tag("x"), &one), key(tag("x"), &other));
    assert_ne!(key(tag("y"), &one), key(tag("y"), &other));
    assert_ne!(key(tag("z"), &one), key(tag("z"), &one.clone().tag("z", "")));
}
