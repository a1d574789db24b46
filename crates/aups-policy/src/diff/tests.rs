use super::*;
use crate::{
    fixtures::pdp,
    generated::{grid, policy, readers, requests},
};
use proptest::{prelude::*, sample::subsequence};

/// Whether there is an item that only the second set lets the reader read, and one that only the first does.
fn by_brute_force(sides: [&Pdp; 2], source: &str, who: &Principal, topic: &str) -> (bool, bool) {
    let (mut gains, mut loses) = (false, false);
    for sample in grid(source, topic) {
        for context in requests(source) {
            let [before, after] = sides.map(|pdp| pdp.decide(who, &sample.resource(), &context).allow);
            gains |= after && !before;
            loses |= before && !after;
            if gains && loses {
                return (true, true);
            }
        }
    }
    (gains, loses)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 500, ..ProptestConfig::default() })]

    /// Forms whose points are all known are decided; what is decided is what a comparison item by item finds.
    #[test]
    fn a_difference_is_what_a_comparison_item_by_item_finds(
        before in prop::collection::vec(policy(), 0..=3),
        after in prop::collection::vec(policy(), 0..=3),
        common in prop::collection::vec(policy(), 0..=2),
        readers in subsequence(readers(), 3),
        topics in subsequence(vec!["a", "a/b", "a/b/c/d", "ab/c", "x/y"], 2),
    ) {
        let [before, after] = [before, after].map(|own| own.concat() + &common.concat());
        let source = format!("{before}{after}");
        let (before, after) = (pdp(&before), pdp(&after));
        let known: Vec<Topic> = topics.iter().map(|topic| topic.parse().unwrap()).collect();
        let found = diff(&before, &after, &readers, &known);
        for who in &readers {
            for topic in &known {
                let entries: Vec<_> = found
                    .entries
                    .iter()
                    .filter(|entry| entry.reader == who.sub && entry.kind == who.kind && entry.topics.contains(topic))
                    .collect();
                prop_assert!(entries.len() <= 1);
                let certain = entries.iter().all(|entry| entry.certain);
                let told = entries.first().map_or((false, false), |entry| (entry.change != Change::Loses, entry.change != Change::Gains));
                let by_items = by_brute_force([&before, &after], &source, who, topic.as_str());
                if certain {
                    prop_assert_eq!(told, by_items, "{:?} {} {:?}\n{}", who, topic, entries, source);
                } else {
                    prop_assert!((told.0 || !by_items.0) && (told.1 || !by_items.1), "{:?} {} {:?}\n{}", who, topic, entries, source);
                }
            }
        }
    }
}
