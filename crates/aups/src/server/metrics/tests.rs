use super::*;

const GUIDE: &str = include_str!("../../../../../docs/guide/metrics.md");

/// The rows of the guide's table without the labels: name, type, unit, meaning.
fn documented() -> Vec<[String; 4]> {
    let rows = GUIDE.lines().filter(|line| line.starts_with("| `aups_"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect();
        let [name, kind, unit, _, meaning] = cells.try_into().unwrap_or_else(|_| panic!("five columns: {row}"));
        [name, kind, unit, meaning]
    })
    .collect()
}

#[test]
fn the_guide_says_of_every_metric_what_it_is() {
    let described: Vec<_> = METRICS
        .iter()
        .map(|Metric { name, kind, unit, meaning }| {
            let unit = if *unit == Unit::Count { "" } else { unit.as_str() };
            [*name, &format!("{kind:?}").to_lowercase(), unit, meaning].map(ToOwned::to_owned)
        })
        .collect();
    assert_eq!(documented(), described);
}

/// <https://prometheus.io/docs/practices/naming/>
#[test]
fn names_follow_the_conventions() {
    for Metric { name, kind, unit, .. } in METRICS {
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        assert_eq!(name.ends_with("_seconds"), *unit == Unit::Seconds, "{name}");
        assert_eq!(name.ends_with("_bytes"), *unit == Unit::Bytes, "{name}");
    }
    assert!(METRICS.is_sorted_by_key(|metric| metric.name), "by name, each once");
    assert!(METRICS.windows(2).all(|pair| pair[0].name != pair[1].name));
}
