//! The parameters of the scores, as an administrator writes them: section `scores` of the Config.

use super::expression::{EXPRESSION_BYTES_MAX, ExpressionError};
use crate::config::ConfigError;
use aups_core::{ScoreName, parse_duration};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

/// Most quantities that have rules of their own.
pub const QUANTITIES_MAX: usize = 256;
/// Most members in any list of names of these rules: expected members, units, personal members, labels.
pub const NAMES_MAX: usize = 64;
/// Most expressions.
pub const OVERRIDES_MAX: usize = 32;
/// Fewest readings that a window may hold.
pub const WINDOW_READINGS_MIN: u8 = 5;
/// Most readings that a window may hold.
pub const WINDOW_READINGS_MAX: u8 = 63;

/// The section `scores`. What it leaves out is as by default; all fractions lie in [0, 1].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ScoringRules {
    /// Could others read it on the way?
    pub confidentiality: ConfidentialityRules,
    /// Could others change it on the way?
    pub integrity: IntegrityRules,
    /// Is it known who sent it?
    pub authentication: AuthenticationRules,
    /// Does it keep persons out of sight?
    pub privacy: PrivacyRules,
    /// Is the value plausible and certain?
    pub accuracy: AccuracyRules,
    /// How fine is it?
    pub precision: PrecisionRules,
    /// How old is it?
    pub timeliness: TimelinessRules,
    /// Is everything there?
    pub completeness: CompletenessRules,
    /// Most that accuracy, precision, timeliness and completeness of what fitted no mapping (schema `raw`) come to.
    pub raw_max: f64,
    /// What is known of single quantities; the first that fits a reading's name and unit counts.
    pub quantities: Vec<QuantityRules>,
    /// Expressions in place of the formulas; of one score the first whose `when` holds counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<OverrideRule>,
}

/// How well others were kept from reading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfidentialityRules {
    /// The source sealed it.
    pub sealed: f64,
    /// It came over TLS, or from this machine.
    pub protected: f64,
    /// It came in clear over a network.
    pub clear: f64,
}

/// How well others were kept from changing it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct IntegrityRules {
    /// The source sealed it, with a counter that rose.
    pub sealed: f64,
    /// It came over TLS, or from this machine.
    pub protected: f64,
    /// It came in clear over a network, where a checksum is all there is.
    pub clear: f64,
}

/// How well it is known who sent it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthenticationRules {
    /// The source sealed it, with a counter that rose.
    pub sealed: f64,
    /// A credential that nobody could overhear.
    pub protected: f64,
    /// A credential that went in clear over a network.
    pub clear: f64,
    /// No credential.
    pub unregistered: f64,
}

/// What is personal, and what that costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct PrivacyRules {
    /// The score while nothing below is declared: nothing is known about persons behind a reading.
    pub undeclared: f64,
    /// JSON Pointers (RFC 6901) into an item's `data` to what says something about a person, such as `/patient/name`.
    pub members: Vec<String>,
    /// Labels of sources all of whose readings say something about a person.
    pub labels: Vec<String>,
    /// Labels of sources whose NodeId nobody can trace to a person without further knowledge.
    pub pseudonyms: Vec<String>,
    /// What each personal member, and a personal label, leaves of the score.
    pub personal: f64,
    /// What a NodeId that is no pseudonym leaves of the score.
    pub identified: f64,
}

/// How a value is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct AccuracyRules {
    /// Plausibility of a value for which no range is known.
    pub plausibility_unknown: f64,
    /// Certainty of a value that comes without an uncertainty.
    pub certainty_undeclared: f64,
    /// How a source declares its uncertainty.
    pub uncertainty: Uncertainty,
    /// Modified z-score beyond which a value does not fit the node's recent ones (Iglewicz and Hoaglin: 3.5).
    pub deviation: f64,
    /// How many of the node's recent values a value is compared with.
    pub window: u8,
    /// How many there must be before it is.
    pub count_min: u8,
}

/// How a source declares how sure it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Uncertainty {
    /// The member that says it, as a number from 0.
    pub member: String,
    /// The uncertainty at which a value is worth nothing: 100 if it is declared in percent, so many of the reading's unit
    /// if it is declared in that.
    pub max: f64,
}

/// How fine values are to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct PrecisionRules {
    /// The resolution that is fully precise, in the reading's unit.
    pub resolution: f64,
    /// Precision of what is not a number.
    pub unknown: f64,
    /// Readings that were taken so close together repeat a measurement: how far they differ is the sensor's noise.
    pub repeated_within: Span,
}

/// How fast readings lose worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct TimelinessRules {
    /// Age at which a reading is worth nothing any more (Ballou's and Wang's volatility).
    pub volatility: Span,
    /// The exponent s: below 1 it keeps its worth for longer, above 1 it loses it sooner.
    pub sensitivity: f64,
    /// Timeliness of a reading that does not say when it was taken.
    pub unknown: f64,
}

/// What a complete reading has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct CompletenessRules {
    /// Members of `data`.
    pub expected: Vec<String>,
    /// The same for single schemas.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub schemas: BTreeMap<String, Vec<String>>,
}

/// What is known of one quantity; what is left out is as for all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuantityRules {
    /// The name of the reading.
    pub name: String,
    /// Units in which this is meant, or how they are spelt. A reading with another unit is not this quantity; one without a
    /// unit is taken to be in this one. None: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
    /// Least and greatest plausible value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
    /// The usual difference from the median of the recent values, in the reading's unit: what is steadier than that is no
    /// reason to doubt a change. None: only what the window shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<f64>,
    /// How many recent values a value is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u8>,
    /// How a source declares its uncertainty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertainty: Option<Uncertainty>,
    /// The resolution that is fully precise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<f64>,
    /// Age at which a reading is worth nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volatility: Option<Span>,
    /// The exponent s of timeliness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<f64>,
    /// Members that a complete reading has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Vec<String>>,
}

/// An expression in place of a formula.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OverrideRule {
    /// Of which score.
    pub score: ScoreName,
    /// When it counts, in CEL; always, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The score, in CEL: a number in [0, 1].
    pub value: String,
}

/// A span of time: written `"5m"` (a whole number with ms, s, m, h or d), read also as a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = self.0.as_millis();
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
        let fits = |(unit, _): &&(u128, _)| millis > 0 && millis.is_multiple_of(*unit);
        let (unit, name) = units.iter().find(fits).copied().unwrap_or((1, "ms"));
        serializer.collect_str(&format_args!("{}{name}", millis / unit))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a span such as \"5m\", or a number of seconds")]
        enum Written {
            Seconds(f64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Text(text) => parse_duration(&text).map(Self).map_err(D::Error::custom),
            // Milliseconds are what is kept and shown.
            Written::Seconds(seconds) => Duration::try_from_secs_f64((seconds * 1_000.0).round() / 1_000.0)
                .map(Self)
                .map_err(|_| D::Error::custom("not a number of seconds from 0")),
        }
    }
}

impl Default for ConfidentialityRules {
    fn default() -> Self {
        Self { sealed: 1.0, protected: 0.9, clear: 0.0 }
    }
}

impl Default for IntegrityRules {
    fn default() -> Self {
        Self { sealed: 1.0, protected: 0.9, clear: 0.2 }
    }
}

impl Default for AuthenticationRules {
    fn default() -> Self {
        Self { sealed: 1.0, protected: 0.9, clear: 0.4, unregistered: 0.1 }
    }
}

impl Default for PrivacyRules {
    fn default() -> Self {
        Self {
            undeclared: 0.5,
            members: Vec::new(),
            labels: Vec::new(),
            pseudonyms: Vec::new(),
            personal: 0.5,
            identified: 0.8,
        }
    }
}

impl Default for AccuracyRules {
    fn default() -> Self {
        Self {
            plausibility_unknown: 0.9,
            certainty_undeclared: 0.9,
            uncertainty: Uncertainty { member: "uncertainty".into(), max: 100.0 },
            deviation: 3.5,
            window: 31,
            count_min: 10,
        }
    }
}

impl Default for PrecisionRules {
    fn default() -> Self {
        Self { resolution: 0.1, unknown: 0.5, repeated_within: Span(Duration::from_secs(10)) }
    }
}

impl Default for TimelinessRules {
    fn default() -> Self {
        Self { volatility: Span(Duration::from_mins(5)), sensitivity: 1.0, unknown: 0.5 }
    }
}

impl Default for CompletenessRules {
    fn default() -> Self {
        Self { expected: ["value", "name", "unit", "time"].map(Into::into).into(), schemas: BTreeMap::new() }
    }
}

/// What the weather on Earth can be like, hour by hour.
impl Default for ScoringRules {
    fn default() -> Self {
        let quantity = |name: &str, units: &[&str], range, spread, resolution| QuantityRules {
            units: units.iter().map(ToString::to_string).collect(),
            range: Some(range),
            spread: Some(spread),
            resolution: Some(resolution),
            ..QuantityRules::named(name)
        };
        Self {
            confidentiality: ConfidentialityRules::default(),
            integrity: IntegrityRules::default(),
            authentication: AuthenticationRules::default(),
            privacy: PrivacyRules::default(),
            accuracy: AccuracyRules::default(),
            precision: PrecisionRules::default(),
            timeliness: TimelinessRules::default(),
            completeness: CompletenessRules::default(),
            raw_max: 0.2,
            quantities: vec![
                quantity("temperature", &["Cel", "°C", "C"], [-90.0, 60.0], 4.0, 0.1),
                quantity("humidity", &["%RH", "%"], [0.0, 100.0], 20.0, 1.0),
                quantity("pressure", &["hPa", "mbar"], [500.0, 1_100.0], 4.0, 0.1),
                quantity("wind", &["m/s"], [0.0, 115.0], 3.0, 0.5),
                quantity("irradiance", &["W/m2", "W/m²"], [0.0, 1_500.0], 300.0, 1.0),
                quantity("rain", &["mm"], [0.0, 100.0], 10.0, 0.1),
            ],
            overrides: Vec::new(),
        }
    }
}

impl QuantityRules {
    /// A quantity of which nothing is known but the name.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            units: Vec::new(),
            range: None,
            spread: None,
            window: None,
            uncertainty: None,
            resolution: None,
            volatility: None,
            sensitivity: None,
            expected: None,
        }
    }

    /// Whether a reading with this unit can be one of this quantity.
    pub(super) fn has_unit(&self, unit: Option<&str>) -> bool {
        self.units.is_empty() || unit.is_none_or(|unit| self.units.iter().any(|known| known == unit))
    }
}

/// Looks for everything that is wrong with the rules.
#[derive(Debug, Default)]
pub(super) struct Check {
    pub(super) errors: Vec<ConfigError>,
}

impl Check {
    pub(super) fn rules(&mut self, rules: &ScoringRules) {
        let ScoringRules { confidentiality, integrity, authentication, privacy, accuracy, precision, .. } = rules;
        for (at, fraction) in [
            ("/confidentiality/sealed", confidentiality.sealed),
            ("/confidentiality/protected", confidentiality.protected),
            ("/confidentiality/clear", confidentiality.clear),
            ("/integrity/sealed", integrity.sealed),
            ("/integrity/protected", integrity.protected),
            ("/integrity/clear", integrity.clear),
            ("/authentication/sealed", authentication.sealed),
            ("/authentication/protected", authentication.protected),
            ("/authentication/clear", authentication.clear),
            ("/authentication/unregistered", authentication.unregistered),
            ("/privacy/undeclared", privacy.undeclared),
            ("/privacy/personal", privacy.personal),
            ("/privacy/identified", privacy.identified),
            ("/accuracy/plausibilityUnknown", accuracy.plausibility_unknown),
            ("/accuracy/certaintyUndeclared", accuracy.certainty_undeclared),
            ("/precision/unknown", precision.unknown),
            ("/timeliness/unknown", rules.timeliness.unknown),
            ("/rawMax", rules.raw_max),
        ] {
            self.fraction(at, fraction);
        }
        self.names("/privacy/members", &privacy.members);
        for (number, pointer) in privacy.members.iter().enumerate() {
            if !is_pointer(pointer) {
                self.wrong(
                    format!("/privacy/members/{number}"),
                    "must be a JSON Pointer into data, such as \"/patient\"",
                );
            }
        }
        self.names("/privacy/labels", &privacy.labels);
        self.names("/privacy/pseudonyms", &privacy.pseudonyms);
        self.uncertainty("/accuracy/uncertainty", &accuracy.uncertainty);
        self.above_zero("/accuracy/deviation", accuracy.deviation);
        self.window("/accuracy/window", accuracy.window);
        if !(3..=accuracy.window).contains(&accuracy.count_min) {
            self.wrong("/accuracy/countMin", "must be at least 3, and at most what the window holds");
        }
        self.above_zero("/precision/resolution", precision.resolution);
        self.span("/timeliness/volatility", rules.timeliness.volatility);
        self.not_negative("/timeliness/sensitivity", rules.timeliness.sensitivity);
        self.names("/completeness/expected", &rules.completeness.expected);
        self.at_most("/completeness/schemas", rules.completeness.schemas.len(), NAMES_MAX);
        for (schema, expected) in &rules.completeness.schemas {
            self.names(&format!("/completeness/schemas/{}", escaped(schema)), expected);
        }
        self.quantities(&rules.quantities, accuracy.count_min);
        self.at_most("/overrides", rules.overrides.len(), OVERRIDES_MAX);
    }

    fn quantities(&mut self, quantities: &[QuantityRules], count_min: u8) {
        self.at_most("/quantities", quantities.len(), QUANTITIES_MAX);
        let mut known = HashSet::new();
        for (number, quantity) in quantities.iter().enumerate() {
            let at = |member: &str| format!("/quantities/{number}/{member}");
            if quantity.name.is_empty() {
                self.wrong(at("name"), "must not be empty");
            }
            self.names(&at("units"), &quantity.units);
            let units =
                if quantity.units.is_empty() { vec![""] } else { quantity.units.iter().map(|u| &**u).collect() };
            for unit in units {
                if known.contains(&(&*quantity.name, "")) || !known.insert((&*quantity.name, unit)) {
                    self.wrong(
                        at("units"),
                        "this quantity is there already in this unit, and the first that fits counts",
                    );
                }
            }
            if quantity.range.is_some_and(|[low, high]| !(low.is_finite() && high.is_finite() && low < high)) {
                self.wrong(at("range"), "must be [least, greatest], the first below the second");
            }
            if let Some(spread) = quantity.spread {
                self.not_negative(&at("spread"), spread);
            }
            if let Some(window) = quantity.window {
                self.window(&at("window"), window);
                if window < count_min {
                    self.wrong(at("window"), "must hold at least as many readings as accuracy.countMin says");
                }
            }
            if let Some(uncertainty) = &quantity.uncertainty {
                self.uncertainty(&at("uncertainty"), uncertainty);
            }
            if let Some(resolution) = quantity.resolution {
                self.above_zero(&at("resolution"), resolution);
            }
            if let Some(volatility) = quantity.volatility {
                self.span(&at("volatility"), volatility);
            }
            if let Some(sensitivity) = quantity.sensitivity {
                self.not_negative(&at("sensitivity"), sensitivity);
            }
            if let Some(expected) = &quantity.expected {
                self.names(&at("expected"), expected);
            }
        }
    }

    /// An expression that is none.
    pub(super) fn expression(&mut self, number: usize, member: &str, error: &ExpressionError) {
        self.wrong(format!("/overrides/{number}/{member}"), error.to_string());
    }

    fn fraction(&mut self, at: &str, fraction: f64) {
        if !(0.0..=1.0).contains(&fraction) {
            self.wrong(at, "must be a number from 0 to 1");
        }
    }

    fn above_zero(&mut self, at: &str, number: f64) {
        if !(number.is_finite() && number > 0.0) {
            self.wrong(at, "must be a number above 0");
        }
    }

    fn not_negative(&mut self, at: &str, number: f64) {
        if !(number.is_finite() && number >= 0.0) {
            self.wrong(at, "must be a number from 0");
        }
    }

    fn span(&mut self, at: &str, Span(span): Span) {
        if span < Duration::from_millis(1) {
            self.wrong(at, "must be at least 1ms");
        }
    }

    fn window(&mut self, at: &str, window: u8) {
        if !(WINDOW_READINGS_MIN..=WINDOW_READINGS_MAX).contains(&window) {
            self.wrong(at, format!("must be from {WINDOW_READINGS_MIN} to {WINDOW_READINGS_MAX} readings"));
        }
    }

    fn uncertainty(&mut self, at: &str, uncertainty: &Uncertainty) {
        if uncertainty.member.is_empty() {
            self.wrong(format!("{at}/member"), "must not be empty");
        }
        self.above_zero(&format!("{at}/max"), uncertainty.max);
    }

    fn names(&mut self, at: &str, names: &[String]) {
        self.at_most(at, names.len(), NAMES_MAX);
        for (number, name) in names.iter().enumerate() {
            if name.is_empty() {
                self.wrong(format!("{at}/{number}"), "must not be empty");
            }
        }
    }

    fn at_most(&mut self, at: &str, count: usize, max: usize) {
        if count > max {
            self.wrong(at, format!("must have at most {max} members, not {count}"));
        }
    }

    fn wrong(&mut self, at: impl AsRef<str>, message: impl Into<String>) {
        let (pointer, message) = (format!("/scores{}", at.as_ref()), message.into());
        self.errors.push(ConfigError { pointer, message });
    }
}

/// Whether a text is a JSON Pointer below the root (RFC 6901, section 3).
fn is_pointer(text: &str) -> bool {
    let escapes_end = |part: &str| part.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    text.len() > 1 && text.len() <= EXPRESSION_BYTES_MAX && text.starts_with('/') && escapes_end(text)
}

/// A name as a part of a JSON Pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
