//! The year through the real analysers: the figures in `docs/guide/scores.md`. `cargo xtask figures` writes them again.

use super::{QUANTITIES, SENSORS, hours};
use crate::demo::station::node_id;
use aups_core::{Quality, Reading, Score, Source, UnixMillis};
use aups_nos::{
    Transport,
    analyse::{Arrival, History, Scored, Scoring, Subject, analyse},
};
use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::Path, time::Duration};

const GUIDE: &str = "docs/guide/scores.md";
const BEGIN: &str = "<!-- figures: written by `cargo xtask figures` -->\n";
const END: &str = "<!-- end of figures -->\n";

/// One reading of the year and its scores.
struct Rated {
    value: f64,
    /// The declared percentage.
    uncertainty: Option<f64>,
    quality: Quality,
}

/// Every reading of each sensor, each sent at its hour over a loopback listener with a credential.
fn year() -> [Vec<Rated>; SENSORS] {
    let (scoring, history) = (Scoring::default(), History::default());
    let mut now = UnixMillis::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
    let mut year = [const { Vec::new() }; SENSORS];
    for hour in hours().unwrap() {
        now = now.plus(Duration::from_hours(1));
        for (sensor, rated) in year.iter_mut().enumerate() {
            let source = Source {
                node_id: node_id(sensor).into(),
                node_type: "sensor".into(),
                communication_mode: "discrete".into(),
                registered: true,
            };
            let reading: Reading = serde_json::from_str(&hour.line(sensor, now).unwrap()).unwrap();
            let arrival = Arrival { transport: Transport::Loopback, registered: true, sealed: None, received_at: now };
            let subject = Subject { reading: &reading, schema: "default", source: &source };
            let Scored { quality, .. } = analyse(&subject, None, arrival, &scoring, &history);
            let uncertainty = reading.further("uncertainty").map(|percent| percent.get().parse().unwrap());
            rated.push(Rated { value: reading.number().unwrap(), uncertainty, quality });
        }
    }
    year
}

impl Rated {
    fn accuracy(&self) -> f64 {
        self.quality.accuracy.fraction()
    }

    /// Whether it can be, and yet was doubted for those before it.
    fn is_doubted(&self, [low, high]: [f64; 2]) -> bool {
        let certain = self.uncertainty.map_or(0.9, |percent| 1.0 - percent / 100.0);
        (low..=high).contains(&self.value) && self.quality.accuracy < Score::from_fraction(certain)
    }
}

fn range(sensor: usize) -> [f64; 2] {
    Scoring::default()
        .rules()
        .quantities
        .iter()
        .find(|rules| rules.name == QUANTITIES[sensor].name)
        .unwrap()
        .range
        .unwrap()
}

fn mean(scores: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = u32::try_from(scores.len()).unwrap();
    scores.sum::<f64>() / f64::from(count)
}

fn doubted(sensor: usize, rated: &[Rated]) -> usize {
    rated.iter().filter(|one| one.is_doubted(range(sensor))).count()
}

fn figures(year: &[Vec<Rated>; SENSORS]) -> String {
    let mut text = String::from(
        "Accuracy of the 8,760 readings of each sensor; *doubted* are those in range that the recent ones made less credible.\n\n\
         | | quantity | least | 1 % below | median | mean | below 0.80 | doubted | precision, mean | timeliness | completeness |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for (sensor, rated) in year.iter().enumerate() {
        let mut sorted: Vec<Score> = rated.iter().map(|one| one.quality.accuracy).collect();
        sorted.sort_unstable();
        let below = rated.iter().filter(|one| one.accuracy() < 0.8).count();
        let [precision, timeliness, completeness] = [
            |quality: &Quality| quality.precision,
            |quality: &Quality| quality.timeliness,
            |quality: &Quality| quality.completeness,
        ]
        .map(|of| mean(rated.iter().map(|one| of(&one.quality).fraction())));
        writeln!(
            text,
            "| {} | `{}` | {} | {} | {} | {:.3} | {below} | {} | {precision:.2} | {timeliness:.2} | {completeness:.2} |",
            node_id(sensor),
            QUANTITIES[sensor].name,
            sorted[0],
            sorted[rated.len() / 100],
            sorted[rated.len() / 2],
            mean(rated.iter().map(Rated::accuracy)),
            doubted(sensor, rated),
        )
        .unwrap();
    }
    text += "\nIrradiance, by the uncertainty that it declares:\n\n| % of the value | hours | mean accuracy | least |\n| --- | --- | --- | --- |\n";
    for (percent, of) in &by_uncertainty(&year[4]) {
        let least = of.iter().copied().fold(1.0, f64::min);
        let mean = mean(of.iter().copied());
        writeln!(text, "| {} | {} | {mean:.3} | {least:.2} |", percent.trim(), of.len()).unwrap();
    }
    text += "\nHours with more than 100 mm of rain:\n\n| mm | hours | accuracy |\n| --- | --- | --- |\n";
    let mut beyond: BTreeMap<(u32, Score), u32> = BTreeMap::new();
    for one in year[5].iter().filter(|one| one.value > 100.0) {
        *beyond.entry((format!("{}", one.value).parse().unwrap(), one.quality.accuracy)).or_default() += 1;
    }
    for ((mm, accuracy), hours) in beyond {
        writeln!(text, "| {mm} | {hours} | {accuracy} |").unwrap();
    }
    text
}

/// Accuracies by declared percentage.
fn by_uncertainty(rated: &[Rated]) -> BTreeMap<String, Vec<f64>> {
    let mut classes: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for one in rated {
        classes.entry(format!("{:>3}", one.uncertainty.unwrap())).or_default().push(one.accuracy());
    }
    classes
}

#[test]
fn the_year_is_rated_as_a_person_would() {
    let year = year();
    for impossible in year[5].iter().filter(|one| one.value >= 200.0) {
        assert!(impossible.accuracy() < 0.1, "{} mm", impossible.value);
    }
    assert!(year[5].iter().any(|one| one.value >= 500.0));
    let means: Vec<f64> = by_uncertainty(&year[4]).values().map(|of| mean(of.iter().copied())).collect();
    assert!(means.len() > 2 && means.is_sorted_by(|one, next| one > next), "less certain, less accurate: {means:?}");
    for (sensor, rated) in year.iter().enumerate() {
        let doubted = doubted(sensor, rated);
        assert!(
            doubted <= rated.len() / 100,
            "{}: {doubted} readings of weather are false alarms",
            QUANTITIES[sensor].name
        );
    }
}

#[test]
fn the_figures_in_the_guide_are_those_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(GUIDE);
    let guide = fs::read_to_string(&path).unwrap();
    let (before, rest) = guide.split_once(BEGIN).expect("the guide has a place for figures");
    let (held, after) = rest.split_once(END).expect("figures end");
    let computed = format!("\n{}\n", figures(&year()));
    if env::var_os("AUPS_WRITE_FIGURES").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{computed}{END}{after}")).unwrap();
    } else {
        assert_eq!(held, computed, "{GUIDE} tells other figures than the code comes to: cargo xtask figures");
    }
}
