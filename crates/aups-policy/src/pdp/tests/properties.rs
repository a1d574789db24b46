//! Whatever the policies, items and readers: the scope says exactly what Cedar says.

use super::*;
use crate::{
    Residuals,
    generated::{contexts, policy, readers, samples},
    remains::partially_evaluate,
};
use proptest::{option, prelude::*, sample::select};

/// What asks for tags and labels.
const MARKED: &[&str] = &[
    r#"resource.hasTag("owner") && resource.getTag("owner") == principal.org"#,
    r#"resource.hasTag("acme") || principal.org == "acme""#,
    "principal.hasTag(resource.name)",
    r#"principal.hasTag("site") && principal.getTag("site") == "north""#,
    r#"resource.labels.contains("secret")"#,
];

/// A policy, perhaps with a further clause about tags or labels.
fn marked_policy() -> impl Strategy<Value = String> {
    let clause = option::weighted(0.4, (select(&["when", "unless"][..]), select(MARKED)));
    (policy(), clause).prop_map(|(policy, clause)| match clause {
        None => policy,
        Some((word, condition)) => policy.replace(";\n", &format!(" {word} {{ {condition} }};\n")),
    })
}

fn marked_samples() -> impl Iterator<Item = Sample> {
    let good = || Sample::new("a/b");
    let marked = [good().label("secret"), good().label("ops").tag("owner", "acme"), good().tag("acme", "")];
    samples().into_iter().chain(marked)
}

fn tagged_readers() -> impl Iterator<Item = Principal> {
    let tagged = [user("u6").org("acme").tag("site", "north"), app("a4").tag("temperature", "").role("meteo")];
    readers().into_iter().chain(tagged)
}

/// The scope with every policy asked as it stands, one by one, and nothing kept.
fn plain_scope(pdp: &Pdp, sample: &Sample) -> Result<Arc<ScopeSpec>, Withheld> {
    let evaluate = |rule: &Rule| {
        let remains = partially_evaluate(std::iter::once(&rule.policy), &sample.resource(), &pdp.set.schema).unwrap();
        remains.into_iter().next().unwrap()
    };
    let remains: Vec<_> = pdp.set.rules.iter().map(|rule| (rule, evaluate(rule))).collect();
    Pdp::new(REALM, pdp.set.clone()).assemble(&remains)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    /// Full evaluation, with and without context, against the residual. So equal scopes have equal audiences.
    #[test]
    fn a_reader_satisfies_the_scope_exactly_if_cedar_authorises_it(policies in prop::collection::vec(marked_policy(), 1..=6)) {
        let pdp = pdp(&policies.concat());
        let residuals = Residuals::new(64);
        let mut audiences: HashMap<Option<ScopeId>, Vec<bool>> = HashMap::new();
        for sample in marked_samples() {
            let spec = scope(&pdp, &sample);
            prop_assert!(!matches!(&spec, Err(Withheld { reason: WithheldReason::Failed(_) })), "{:?}", spec);
            let mut audience = Vec::new();
            for who in tagged_readers() {
                for context in contexts() {
                    let by_cedar = pdp.decide(&who, &sample.resource(), &context);
                    let by_scope = spec.as_ref().map(|spec| residuals.satisfies(spec, &who, &context)).unwrap_or_default();
                    prop_assert_eq!(by_cedar.allow, by_scope.allow, "{:?}\n{:?}\n{:?}\n{:?} {:?}", who, sample, spec, by_cedar, by_scope);
                    audience.push(by_cedar.allow);
                }
            }
            let id = spec.ok().map(|spec| spec.id);
            prop_assert_eq!(audiences.entry(id).or_insert_with(|| audience.clone()), &audience);
        }
    }

    /// Neither the order of the policies, nor the index, nor what was kept from other items changes a scope.
    #[test]
    fn a_scope_depends_on_the_policies_and_the_item_alone(mut policies in prop::collection::vec(marked_policy(), 1..=6)) {
        let source = policies.concat();
        let forwards = pdp(&source);
        policies.reverse();
        let backwards = pdp(&policies.concat());
        for sample in marked_samples() {
            let id = |scope: Result<Arc<ScopeSpec>, Withheld>| scope.map(|spec| spec.id);
            let kept = id(scope(&forwards, &sample));
            prop_assert_eq!(&kept, &id(scope(&forwards, &sample)), "found ready");
            prop_assert_eq!(&kept, &id(plain_scope(&forwards, &sample)), "every policy asked");
            prop_assert_eq!(&kept, &id(scope(&backwards, &sample)), "in another order");
            prop_assert_eq!(&kept, &id(scope(&pdp(&source), &sample)), "by a decision point that keeps nothing yet");
        }
    }

    /// A filter that is refused although the reader may read would be a nuisance; one that is accepted although nothing
    /// permits the topic to anybody like the reader would be a leak of ciphertext. Neither may be.
    #[test]
    fn who_may_read_an_item_may_subscribe_to_its_topic_unless_forbidden(policies in prop::collection::vec(policy(), 1..=6)) {
        let pdp = pdp(&policies.concat());
        for who in readers() {
            let filters = pdp.readable(&who);
            for filter in &filters {
                prop_assert!(pdp.filter(&who, filter).is_accepted(), "{filter}");
            }
            for sample in samples() {
                let verdict = pdp.filter(&who, &sample.topic.as_str().parse().unwrap());
                for context in contexts() {
                    let decision = pdp.decide(&who, &sample.resource(), &context);
                    prop_assert!(!decision.allow || verdict.is_accepted(), "{:?} {} {:?}", who, sample.topic, verdict);
                }
            }
        }
    }
}
