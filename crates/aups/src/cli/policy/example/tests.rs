use super::*;
use crate::cli::policy::expectations::Expectations;
use aups_core::RealmId;
use aups_policy::{Pdp, PolicySet};
use std::{collections::HashMap, path::Path};

#[test]
fn every_starter_is_admitted_and_meets_its_expectations() {
    for starter in &STARTERS {
        let set = PolicySet::parse(starter.policies, "policies").unwrap_or_else(|e| panic!("{}: {e:#?}", starter.name));
        let pdp = Pdp::new(RealmId::from_bytes([0; 32]), set);
        let file = format!("{}.toml", starter.name);
        let expectations = Expectations::parse(Path::new(&file), starter.expectations).unwrap();
        expectations.check_readers(pdp.set().schema()).unwrap();
        let unmet = expectations.unmet(&pdp, &HashMap::new()).unwrap();
        let told: Vec<_> = unmet.iter().map(|f| format!("{file}:{}: {}", f.line, f.explanation)).collect();
        assert!(told.is_empty(), "{}", told.join("\n"));
    }
}

#[test]
fn every_policy_of_a_starter_matters_to_its_expectations() {
    for starter in &STARTERS {
        let set = PolicySet::parse(starter.policies, "policies").unwrap();
        let file = format!("{}.toml", starter.name);
        let expectations = Expectations::parse(Path::new(&file), starter.expectations).unwrap();
        for name in set.names().map(str::to_owned).collect::<Vec<_>>() {
            let others: String = starter
                .policies
                .split("@id(\"")
                .enumerate()
                .filter(|(_, part)| !part.starts_with(&format!("{name}\"")))
                .map(|(n, part)| if n == 0 { part.to_owned() } else { format!("@id(\"{part}") })
                .collect();
            let without = PolicySet::parse(&others, "policies").unwrap();
            assert_eq!(without.len(), set.len() - 1, "{}: {name}", starter.name);
            let unmet = expectations.unmet(&Pdp::new(RealmId::from_bytes([0; 32]), without), &HashMap::new()).unwrap();
            assert!(!unmet.is_empty(), "{}: nothing is expected of {name}", starter.name);
        }
    }
}

#[test]
fn every_starter_says_for_whom_it_is_in_a_line() {
    for starter in &STARTERS {
        let line = format!("{:16}  {}", starter.name, starter.summary());
        assert!(starter.policies.starts_with("// ") && starter.summary().len() > 30, "{line}");
        for line in starter.policies.lines().chain(starter.expectations.lines()) {
            assert!(line.chars().count() <= 120, "{}: {line}", starter.name);
        }
    }
}
