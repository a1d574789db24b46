//! Policy texts.

use crate::fixture::{alice, realm};
use aups_core::{Attributes, Principal, ReaderKind};
use aups_policy::{Pdp, PolicySet};
use std::collections::BTreeSet;

/// What is admitted can be decided with; what is not is refused with a place within the text.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match PolicySet::parse(text, "policies") {
        Err(errors) => {
            let lines = text.lines().count().max(1) + 1;
            assert!(!errors.is_empty() && errors.iter().all(|error| (1..=lines).contains(&error.line)));
        }
        Ok(set) => {
            assert_eq!(set.source(), text);
            let pdp = Pdp::new(realm(), set);
            let (attributes, groups) = (Attributes::default(), BTreeSet::default());
            let who = Principal { kind: ReaderKind::User, sub: alice(), attributes, groups, app: None };
            for filter in pdp.readable(&who) {
                assert!(pdp.filter(&who, &filter).is_accepted(), "{filter} is readable and refused");
            }
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        "",
        r#"@id("meteo") @keylife("5m") @obligation("sign, pad:64") @suite("ascon-aead128")
permit(principal, action == Action::"receive", resource in Topic::"greensboro")
when { principal.roles.contains("meteorologist") };"#,
        r#"permit(principal is User, action, resource) unless { resource.quality.accuracy.lessThan(decimal("0.5")) };
forbid(principal, action, resource in Topic::"secret");"#,
        r#"permit(principal, action, resource) when { if context has x then true else principal == User::"alice" };"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
