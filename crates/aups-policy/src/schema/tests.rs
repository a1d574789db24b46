use super::*;
use crate::{
    PolicySet, RequestContext, Residuals,
    fixtures::{Sample, With, app, extended_pdp, extended_schema, pdp, user},
};

fn extension(json: &str) -> SchemaExtension {
    serde_json::from_str(json).unwrap()
}

fn refused(json: &str) -> SchemaError {
    Schema::extended(&extension(json)).unwrap_err()
}

fn text(of: &str) -> AttributeValue {
    AttributeValue::Text(of.to_owned())
}

#[test]
fn the_text_is_the_schema() {
    let shipped = Schema::shipped();
    assert!(!shipped.text().contains("Added by"), "{}", shipped.text());
    assert_eq!(shipped.text().matches("} tags String;").count(), 3);
    let extended = extended_schema();
    assert_eq!(extended.text().matches("  site?: String,\n").count(), 2, "of users and of apps");
    assert_eq!(extended.text().matches("  kinds?: Set<String>,\n").count(), 1);
    assert!(cedar_policy::Schema::from_cedarschema_str(extended.text()).is_ok());
    assert_eq!(Schema::extended(&SchemaExtension::default()).unwrap().text(), shipped.text());
}

#[test]
fn names_that_cannot_be_added_are_refused_with_place_and_remedy() {
    for (json, place, told) in [
        (r#"{"reader":{"":"Long"}}"#, "reader.", "not a name"),
        (r#"{"reader":{"a-b":"Long"}}"#, "reader.a-b", "letters, digits and _"),
        (r#"{"item":{"1a":"Long"}}"#, "item.1a", "not a name"),
        (r#"{"item":{"höhe":"Long"}}"#, "item.höhe", "not a name"),
        (r#"{"item":{"in":"Long"}}"#, "item.in", "a word of the policy language"),
        (r#"{"reader":{"__cedar":"Long"}}"#, "reader.__cedar", "a word of the policy language"),
        (r#"{"reader":{"roles":"Long"}}"#, "reader.roles", "ships"),
        (r#"{"reader":{"tags":"Long"}}"#, "reader.tags", "ships"),
        (r#"{"item":{"value":"Long"}}"#, "item.value", "ships"),
        (r#"{"item":{"level7":"Long"}}"#, "item.level7", "ships"),
        (r#"{"reader":{"height":"decimal"}}"#, "reader.height", "`Long`"),
    ] {
        let error = refused(json);
        assert_eq!(error.place, place);
        assert!(error.to_string().contains(told), "{error}");
    }
    let named = |length: usize| extension(&format!(r#"{{"item":{{"{}":"Long"}}}}"#, "a".repeat(length)));
    assert!(Schema::extended(&named(ATTRIBUTE_NAME_CHARS_MAX)).is_ok());
    assert!(Schema::extended(&named(ATTRIBUTE_NAME_CHARS_MAX + 1)).is_err());
    let ok = r#"{"reader":{"level8":"Long","value":"Long","Set":"Set<String>"},"item":{"roles":"Long","level8":"Bool","level":"Bool"}}"#;
    assert!(Schema::extended(&extension(ok)).is_ok());
}

#[test]
fn so_many_attributes_can_be_added_and_no_more() {
    let many = |count: usize| SchemaExtension {
        reader: (1..count).map(|n| (format!("r{n}"), AttributeType::Long)).collect(),
        item: [("i".to_owned(), AttributeType::Decimal)].into(),
    };
    assert!(Schema::extended(&many(FURTHER_ATTRIBUTES_MAX)).is_ok());
    assert!(Schema::extended(&many(FURTHER_ATTRIBUTES_MAX + 1)).unwrap_err().message.contains("65 attributes"));
}

#[test]
fn an_extension_is_json_with_the_types_of_cedar() {
    let json = r#"{"reader":{"rooms":"Set<String>"},"item":{"height":"decimal"}}"#;
    assert_eq!(serde_json::to_string(&extension(json)).unwrap(), json);
    for json in [r#"{"readers":{}}"#, r#"{"item":{"a":"Number"}}"#, r#"{"item":{"a":"Set<Long>"}}"#] {
        assert!(serde_json::from_str::<SchemaExtension>(json).is_err(), "{json}");
    }
}

#[test]
fn attributes_are_checked_against_the_schema() {
    let check = |who: aups_core::Principal| {
        extended_schema().check_attributes(&who.attributes).map_err(|error| error.to_string())
    };
    let alice = || user("alice").role("meteo").tag("owner", "acme");
    let all = alice()
        .attribute("site", text("north"))
        .attribute("floor", AttributeValue::Number(3))
        .attribute("active", AttributeValue::Truth(true))
        .attribute("rooms", AttributeValue::Texts(["a".to_owned()].into()));
    assert_eq!(check(all), Ok(()));
    for (who, told) in [
        (alice().attribute("site", AttributeValue::Number(1)), "attribute `site` must be a text (String)"),
        (alice().attribute("floor", text("3")), "attribute `floor` must be a whole number (Long)"),
        (alice().attribute("active", text("true")), "attribute `active` must be true or false (Bool)"),
        (alice().attribute("rooms", text("a")), "attribute `rooms` must be a list of texts (Set<String>)"),
        (alice().attribute("sites", text("a")), "attribute `sites` is not known: did you mean `site`?"),
        (alice().attribute("Roles", text("a")), "attribute `Roles` is not known: did you mean `roles`?"),
        (
            alice().attribute("manufacturer", text("a")),
            "attribute `manufacturer` is not known: known are roles, org, clearance, purposes, tags, active, floor, rooms, site",
        ),
    ] {
        assert_eq!(check(who), Err(told.to_owned()));
    }
}

#[test]
fn attributes_are_of_bounded_size() {
    let check = |who: aups_core::Principal| extended_schema().check_attributes(&who.attributes).is_ok();
    let long = |bytes: usize| "x".repeat(bytes);
    let (most, more) = (long(ATTRIBUTE_TEXT_BYTES_MAX), long(ATTRIBUTE_TEXT_BYTES_MAX + 1));
    assert!(check(user("a").org(&most).role(&most).tag("t", &most).attribute("site", text(&most))));
    for who in [
        user("a").org(&more),
        user("a").role(&more),
        user("a").purpose(&more),
        user("a").tag("t", &more),
        user("a").tag("", "t"),
        user("a").tag(&long(ATTRIBUTE_NAME_CHARS_MAX + 1), "t"),
        user("a").attribute("site", text(&more)),
        user("a").attribute("rooms", AttributeValue::Texts([more.clone()].into())),
        user("a")
            .attribute("rooms", AttributeValue::Texts((0..=ATTRIBUTE_MEMBERS_MAX).map(|n| n.to_string()).collect())),
        (0..=ATTRIBUTE_MEMBERS_MAX).fold(user("a"), |who, n| who.role(&n.to_string())),
        (0..=READER_TAGS_MAX).fold(user("a"), |who, n| who.tag(&n.to_string(), "t")),
    ] {
        assert!(!check(who));
    }
}

#[test]
fn policies_ask_for_what_was_added_and_for_nothing_else() {
    let policy = |condition: &str| format!("permit(principal, action, resource) when {{ {condition} }};");
    let extended = |condition: &str| PolicySet::parse_in(&extended_schema(), &policy(condition), "p");
    assert!(extended("principal has site && principal.site == \"north\"").is_ok());
    assert!(extended("resource has room && resource.room like \"lab*\"").is_ok());
    let unguarded = extended("principal.site == \"north\"").unwrap_err();
    assert!(unguarded[0].help.contains("has"), "{unguarded:?}");
    assert!(extended("principal has site && principal.site > 3").is_err());
    assert!(PolicySet::parse(&policy("principal.site == \"north\""), "p").is_err());
}

/// Who may read, by Cedar's own evaluation and by the scope.
fn reads(pdp: &crate::Pdp, who: &aups_core::Principal, sample: &Sample) -> bool {
    let context = RequestContext::default();
    let decision = pdp.decide(who, &sample.resource(), &context);
    assert_eq!(decision.errors, Vec::<String>::new());
    let spec = pdp.scope(&sample.resource());
    let by_scope = spec.is_ok_and(|spec| Residuals::new(1).satisfies(&spec, who, &context).allow);
    assert_eq!(by_scope, decision.allow, "{who:?} {sample:?}");
    decision.allow
}

#[test]
fn added_attributes_of_readers_and_items_decide() {
    let pdp = extended_pdp(
        r#"permit(principal, action, resource)
           when { principal has rooms && resource has room && principal.rooms.contains(resource.room) };
           permit(principal, action, resource) when { principal has site && principal.site == "north" }
           unless { resource has height && resource.height.greaterThan(decimal("3.5")) };"#,
    );
    let sample = || Sample::new("a");
    let (north, lab) = (
        user("n").attribute("site", text("north")),
        app("l").attribute("rooms", AttributeValue::Texts(["lab".to_owned()].into())),
    );
    assert!(!reads(&pdp, &user("u"), &sample()));
    assert!(!reads(&pdp, &lab, &sample()) && !reads(&pdp, &lab, &sample().member("room", "\"hall\"")));
    assert!(reads(&pdp, &lab, &sample().member("room", "\"lab\"")));
    assert!(!reads(&pdp, &lab, &sample().member("room", "[\"lab\"]")), "of another type is absent");
    for (height, allow) in [("3.5", true), ("3.5000", true), ("3.50009", true), ("3.5001", false), ("\"9\"", true)] {
        assert_eq!(reads(&pdp, &north, &sample().member("height", height)), allow, "{height}");
    }
}

#[test]
fn tags_and_labels_decide() {
    let pdp = pdp(r#"permit(principal, action, resource)
           when { resource.hasTag("owner") && resource.getTag("owner") == principal.org };
           permit(principal, action, resource)
           when { resource.labels.contains("open") && principal.hasTag("badge") && principal.getTag("badge") like "B*" };
           permit(principal, action, resource) when { principal.roles.containsAny(resource.labels) };"#);
    let sample = || Sample::new("a");
    let acme = user("a").org("acme");
    assert!(!reads(&pdp, &acme, &sample()));
    assert!(reads(&pdp, &acme, &sample().tag("owner", "acme")));
    assert!(!reads(&pdp, &acme, &sample().tag("owner", "cnr")));
    assert!(!reads(&pdp, &acme, &sample().tag("owners", "acme")));
    let badge = |text: &str| app("b").tag("badge", text);
    assert!(reads(&pdp, &badge("B7"), &sample().label("open")));
    assert!(!reads(&pdp, &badge("C7"), &sample().label("open")));
    assert!(!reads(&pdp, &badge("B7"), &sample()));
    assert!(!reads(&pdp, &app("b"), &sample().label("open")));
    assert!(reads(&pdp, &user("u").role("indoor"), &sample().label("indoor").label("open")));
}

#[test]
fn only_what_policies_ask_of_the_marks_makes_a_scope_another() {
    let pdp = pdp(
        r#"permit(principal, action, resource) when { resource.hasTag("owner") && resource.getTag("owner") == principal.org };"#,
    );
    let id = |sample: Sample| pdp.scope(&sample.resource()).unwrap().id;
    let owned = Sample::new("a").tag("owner", "acme");
    let first = id(owned.clone());
    assert_eq!(id(owned.clone().tag("floor", "3").label("open")), first);
    assert_eq!(pdp.scope_counts().misses, 1, "found ready");
    assert_ne!(id(owned.tag("owner", "cnr")), first);
}

#[test]
fn readers_under_another_schema_are_judged_by_what_the_residual_asks() {
    let north = user("n").attribute("site", text("north"));
    let spec = extended_pdp(
        r#"permit(principal, action, resource) when { principal has site && principal.site == "north" };"#,
    )
    .scope(&Sample::new("a").resource())
    .unwrap();
    let satisfies =
        |who: &aups_core::Principal| Residuals::new(1).satisfies(&spec, who, &RequestContext::default()).allow;
    assert!(satisfies(&north) && !satisfies(&user("n")));
    assert!(!satisfies(&user("n").attribute("site", AttributeValue::Number(3))), "of another type by now");

    let unextended = pdp("permit(principal, action, resource) when { principal.clearance == 0 };");
    assert!(reads(&unextended, &north, &Sample::new("a")), "the attribute is nothing that a policy asks for");
    assert!(unextended.filter(&north, &"a/#".parse().unwrap()).is_accepted());
}

#[test]
fn an_attribute_of_the_wrong_type_denies() {
    let pdp = extended_pdp(
        r#"permit(principal, action, resource); forbid(principal, action, resource) when { principal has site && principal.site == "north" };"#,
    );
    let wrong = user("n").attribute("site", AttributeValue::Number(3));
    let decision = pdp.decide(&wrong, &Sample::new("a").resource(), &RequestContext::default());
    assert!(!decision.allow && decision.errors.len() == 1, "{decision:?}");
    assert!(!pdp.filter(&wrong, &"a/#".parse().unwrap()).is_accepted());
}

#[test]
fn the_nearest_name_is_told_if_it_is_near() {
    let known = || ["roles", "org", "clearance"].into_iter();
    for (mistyped, near) in [
        ("role", Some("roles")),
        ("ogr", Some("org")),
        ("Clearence", Some("clearance")),
        ("x", None),
        ("organisation", None),
    ] {
        assert_eq!(nearest(mistyped, known()), near, "{mistyped}");
    }
}
