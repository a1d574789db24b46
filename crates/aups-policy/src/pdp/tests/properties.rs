//! Whatever the policies, items and readers: the scope says exactly what Cedar says.

use super::*;
use crate::{
    Residuals,
    generated::{contexts, policy, readers, samples},
};
use proptest::prelude::*;

/// The scope with every policy asked and nothing kept.
fn plain_scope(pdp: &Pdp, sample: &Sample) -> Result<Arc<ScopeSpec>, Withheld> {
    pdp.evaluate(&sample.resource(), pdp.set.rules.iter())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    /// Full evaluation, with and without context, against the residual. So equal scopes have equal audiences.
    #[test]
    fn a_reader_satisfies_the_scope_exactly_if_cedar_authorises_it(policies in prop::collection::vec(policy(), 1..=6)) {
        let pdp = pdp(&policies.concat());
        let residuals = Residuals::new(64);
        let mut audiences: HashMap<Option<ScopeId>, Vec<bool>> = HashMap::new();
        for sample in samples() {
            let spec = scope(&pdp, &sample);
            prop_assert!(!matches!(&spec, Err(Withheld { reason: WithheldReason::Failed(_) })), "{:?}", spec);
            let mut audience = Vec::new();
            for who in readers() {
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
    fn a_scope_depends_on_the_policies_and_the_item_alone(mut policies in prop::collection::vec(policy(), 1..=6)) {
        let forwards = pdp(&policies.concat());
        policies.reverse();
        let backwards = pdp(&policies.concat());
        for sample in samples() {
            let id = |scope: Result<Arc<ScopeSpec>, Withheld>| scope.map(|spec| spec.id);
            let kept = id(scope(&forwards, &sample));
            prop_assert_eq!(&kept, &id(scope(&forwards, &sample)), "found ready");
            prop_assert_eq!(&kept, &id(plain_scope(&forwards, &sample)), "every policy asked");
            prop_assert_eq!(&kept, &id(scope(&backwards, &sample)), "in another order");
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
