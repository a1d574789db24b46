use super::*;
use crate::source::Rate;

fn report() -> Report {
    let plan = Plan { revocations: 2, rate: Rate::Max, topics: 4, scopes: 2, readers: 3, broker: None, seed: 1 };
    let mut report = Report::new(&plan);
    report.ways = BTreeMap::from([(Way::Attribute, 1), (Way::Removal, 1)]);
    report.answered.extend([Duration::from_millis(3), Duration::from_millis(4)]);
    report.shut_out.extend([Duration::from_millis(20), Duration::from_millis(999)]);
    report.finish(10, 10, Findings { bumps: 2, tried_after: 7, ..Findings::default() });
    report
}

#[test]
fn times_and_counts_are_told_to_people_and_machines() {
    let text = report().text();
    for part in ["shut out", "20.0 ms", "999 ms", "2 revocations", "10 items", "tried 7 messages"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let json = report().json();
    assert_eq!((&json["revocations"], &json["shutOutMillis"]["max"]), (&2.into(), &999.0.into()));
    assert_eq!((&json["ways"]["removal"], &json["faults"]), (&1.into(), &json!([])));
}

#[test]
fn each_thing_that_must_not_be_is_a_fault() {
    assert!(report().faults().is_empty());
    let faulty: [fn(&mut Report); 6] = [
        |report| report.shut_out.extend([Duration::from_secs(1)]),
        |report| report.shut_out = Latencies::default(),
        |report| report.findings.opened_after = 1,
        |report| report.findings.given_after = 1,
        |report| report.findings.bumps_for_nothing = 1,
        |report| report.opened = 9,
    ];
    for spoil in faulty {
        let mut report = report();
        spoil(&mut report);
        assert_eq!(report.faults().len(), 1);
    }
}
