use super::*;
use aups_core::RealmId;
use aups_policy::PolicySet;

const POLICIES: &str = r#"
@id("meteo") permit(principal, action, resource in Topic::"data")
when { principal.roles.contains("meteorologist") && resource.quality.accuracy.greaterThanOrEqual(decimal("0.80")) };
@id("day") permit(principal == User::"bob", action, resource in Topic::"data/s1")
when { context has at && context.at >= datetime("2026-01-01") && context has address && context.address.isLoopback() };
"#;

const READERS: &str = r#"
[[reader]]
sub = "alice"
roles = ["meteorologist"]
[[reader]]
sub = "bob"
"#;

fn parse(text: &str) -> Result<Expectations, String> {
    Expectations::parse(Path::new("x.toml"), text).map_err(|failure| format!("{failure:?}"))
}

fn pdp() -> Pdp {
    Pdp::new(RealmId::from_bytes([0; 32]), PolicySet::parse(POLICIES, "policies").unwrap())
}

/// What came instead of each outcome, with its line.
fn unmet(expected: &str) -> Vec<(usize, Answer)> {
    let expectations = parse(&format!("{READERS}{expected}")).unwrap();
    let failed = expectations.unmet(&pdp(), &HashMap::new()).unwrap();
    failed.into_iter().map(|failed| (failed.line, failed.explanation.answer)).collect()
}

#[test]
fn boundaries_and_context_are_told_apart() {
    let met = r#"
[[expect]]
reader = "alice"
topic = "data/s1/temperature"
item = { quality = { accuracy = 0.80 } }
outcome = "allow"
[[expect]]
reader = "alice"
topic = "data/s1/temperature"
item = { quality = { accuracy = 0.79 } }
outcome = "deny"
[[expect]]
reader = "alice"
topic = "data/s1/temperature"
outcome = "depends"
[[expect]]
reader = "bob"
topic = "data/s1/temperature"
item = {}
at = "2026-01-01T00:00:00Z"
address = "127.0.0.1"
outcome = "allow"
[[expect]]
reader = "bob"
topic = "data/s1/temperature"
item = {}
at = "2025-12-31T23:59:59Z"
address = "127.0.0.1"
outcome = "deny"
"#;
    assert_eq!(unmet(met), []);
    let turned = met.replace("\"allow\"", "\"depends\"").replace("\"deny\"", "\"allow\"");
    let came: Vec<_> = unmet(&turned).into_iter().map(|(_, came)| came).collect();
    assert_eq!(came, [Answer::Allow, Answer::Deny, Answer::Allow, Answer::Deny]);
}

#[test]
fn a_user_of_an_app_reads_no_more_than_the_app() {
    let text = "[[reader]]\nsub = \"board\"\nkind = \"app\"\n[[reader]]\nsub = \"eve\"\napp = \"board\"\nroles = [\"meteorologist\"]\n\
                [[expect]]\nreader = \"eve\"\ntopic = \"data/s1\"\nitem = {}\noutcome = \"deny\"\n";
    assert_eq!(unmet(text), []);
    assert_eq!(unmet(&text.replace("kind = \"app\"", "kind = \"app\"\nroles = [\"meteorologist\"]")).len(), 1);
}

#[test]
fn a_failure_names_its_line() {
    let text = "\n[[expect]]\nreader = \"bob\"\ntopic = \"data/s2\"\noutcome = \"deny\"\n\n[[expect]]\nreader = \"bob\"\ntopic = \"data/s2\"\noutcome = \"allow\"\n";
    let line = READERS.lines().count() + 7;
    assert_eq!(unmet(text), [(line, Answer::Deny)]);
}

#[test]
fn what_is_not_said_of_an_item_is_as_good_as_can_be() {
    let written: WrittenItem = toml::from_str("").unwrap();
    let (item, marks) = written.complete(&"data/s1/temperature".parse().unwrap()).unwrap();
    assert_eq!((&*item.data.name, item.data.value.get(), &*item.source.node_id), ("temperature", "0", "s1"));
    assert!(item.source.registered && item.quality.accuracy == Score::ONE && marks == Marks::default());
    let written: WrittenItem = toml::from_str(
        r#"
name = "t"
value = 0.57
labels = ["x"]
tags = { owner = "cnr" }
data = { room = "hall" }
source = { nodeId = "n", registered = false }
security = { privacy = 0.5 }
"#,
    )
    .unwrap();
    let (item, marks) = written.complete(&"data".parse().unwrap()).unwrap();
    assert_eq!((&*item.data.name, item.data.value.get(), &*item.source.node_id), ("t", "0.57", "n"));
    assert_eq!((item.security.privacy.hundredths(), item.data.further("room").unwrap().get()), (50, "\"hall\""));
    assert!(!item.source.registered && marks.labels.contains("x") && marks.tags["owner"] == "cnr");
}

#[test]
fn what_is_wrong_is_refused_at_its_line() {
    let expect = "[[expect]]\nreader = \"alice\"\ntopic = \"data/s1\"\noutcome = \"allow\"\n";
    for (text, line, said) in [
        ("", 1, "no [[expect]]"),
        ("[[expect]]\nreader = \"alice\"\ntopic = \"data/s1\"\noutcome = \"alow\"\n", 4, "alow"),
        ("[[expect]]\nreader = \"alice\"\ntopic = \"data/#\"\noutcome = \"allow\"\n", 3, "topic"),
        ("[[expect]]\nreader = \"alice\"\ntopic = \"data\"\n", 1, "outcome"),
        ("[[exepct]]\n", 1, "exepct"),
        (&format!("{expect}at = \"yesterday\"\n"), 1, "RFC 3339"),
        (&format!("{expect}address = \"home\"\n"), 5, "address"),
        (&format!("{expect}item = {{ quality = {{ accurcy = 1 }} }}\n"), 5, "accuracy"),
        (&format!("{expect}item = {{ quality = {{ accuracy = 1.5 }} }}\n"), 5, "[0, 1]"),
        (&format!("{expect}item = {{ vlaue = 1 }}\n"), 5, "vlaue"),
        (&format!("{READERS}[[reader]]\nsub = \"bob\"\n{expect}"), 7, "a second reader"),
        (&format!("[[reader]]\nsub = \"bob\"\nclearance = \"high\"\n{expect}"), 1, "clearance"),
        (&format!("[[reader]]\nsub = \"bob\"\napp = \"eve\"\n{expect}"), 1, "no app above"),
        ("not toml", 1, ""),
    ] {
        let refused = parse(text).unwrap_err();
        assert!(refused.contains(&format!("x.toml:{line}:")) && refused.contains(said), "{text}\n{refused}");
        assert!(refused.contains("InputRefused"), "{refused}");
    }
}

#[test]
fn a_reader_that_nobody_knows_is_named() {
    let expectations = parse("[[expect]]\nreader = \"carol\"\ntopic = \"data/s1\"\noutcome = \"deny\"\n").unwrap();
    assert_eq!(expectations.others().into_iter().map(Sub::as_str).collect::<Vec<_>>(), ["carol"]);
    let failure = expectations.unmet(&pdp(), &HashMap::new()).unwrap_err();
    assert!(format!("{failure:?}").contains("x.toml:1: no reader is called `carol`"), "{failure:?}");
    let carol = Principal {
        kind: ReaderKind::User,
        sub: "carol".parse().unwrap(),
        attributes: Attributes::default(),
        groups: BTreeSet::new(),
        app: None,
    };
    let registered = HashMap::from([(carol.sub.clone(), carol)]);
    assert!(expectations.unmet(&pdp(), &registered).unwrap().is_empty());
}
