//! Scores in [0, 1], kept in hundredths: what the item says is what the policy sees.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

/// A score in [0, 1], rounded down to 0.01.
///
/// Hundredths keep the number of scopes bounded (a policy may compare a score with an attribute of the reader) and make
/// boundary cases such as 0.79 and 0.80 exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(u8);

impl Score {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// All.
    pub const ONE: Self = Self(100);

    /// From hundredths; what lies above 100 is 1.
    pub const fn from_hundredths(hundredths: u8) -> Self {
        Self(if hundredths > 100 { 100 } else { hundredths })
    }

    /// From a fraction, rounded down to 0.01 and clamped to [0, 1]; not-a-number is 0.
    pub fn from_fraction(fraction: f64) -> Self {
        // A billionth makes up for binary fractions: 0.29 is stored as 0.28999….
        let hundredths = (fraction * 100.0 + 1e-9).floor().clamp(0.0, 100.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0..=100; NaN casts to 0"
        )]
        Self(hundredths as u8)
    }

    /// As hundredths, 0 to 100.
    pub const fn hundredths(self) -> u8 {
        self.0
    }

    /// As a fraction.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

/// Two decimals, as Cedar's `decimal` takes it: `0.93`.
impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.fraction())
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fraction = f64::deserialize(deserializer)?;
        if (0.0..=1.0).contains(&fraction) {
            Ok(Self::from_fraction(fraction))
        } else {
            Err(D::Error::custom("a score lies in [0, 1]"))
        }
    }
}

/// How well a reading was protected on its way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Security {
    /// Could others read it on the way?
    pub confidentiality: Score,
    /// Could others change it on the way?
    pub integrity: Score,
    /// Does it keep persons out of sight?
    pub privacy: Score,
    /// Is it known who sent it?
    pub authentication: Score,
}

/// How good a reading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// Is the value plausible and certain?
    pub accuracy: Score,
    /// How fine is its resolution?
    pub precision: Score,
    /// How old was it when it came?
    pub timeliness: Score,
    /// Are all expected members there?
    pub completeness: Score,
}

/// One of the eight scores, named as in an item's JSON: `quality.accuracy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ScoreName {
    /// [`Quality::accuracy`].
    #[serde(rename = "quality.accuracy")]
    Accuracy,
    /// [`Quality::precision`].
    #[serde(rename = "quality.precision")]
    Precision,
    /// [`Quality::timeliness`].
    #[serde(rename = "quality.timeliness")]
    Timeliness,
    /// [`Quality::completeness`].
    #[serde(rename = "quality.completeness")]
    Completeness,
    /// [`Security::confidentiality`].
    #[serde(rename = "security.confidentiality")]
    Confidentiality,
    /// [`Security::integrity`].
    #[serde(rename = "security.integrity")]
    Integrity,
    /// [`Security::privacy`].
    #[serde(rename = "security.privacy")]
    Privacy,
    /// [`Security::authentication`].
    #[serde(rename = "security.authentication")]
    Authentication,
}

impl ScoreName {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Accuracy,
        Self::Precision,
        Self::Timeliness,
        Self::Completeness,
        Self::Confidentiality,
        Self::Integrity,
        Self::Privacy,
        Self::Authentication,
    ];
    /// All of them, for a person to read.
    pub const LIST: &str = "quality.accuracy, quality.precision, quality.timeliness, quality.completeness, \
                            security.confidentiality, security.integrity, security.privacy, security.authentication";

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accuracy => "quality.accuracy",
            Self::Precision => "quality.precision",
            Self::Timeliness => "quality.timeliness",
            Self::Completeness => "quality.completeness",
            Self::Confidentiality => "security.confidentiality",
            Self::Integrity => "security.integrity",
            Self::Privacy => "security.privacy",
            Self::Authentication => "security.authentication",
        }
    }

    /// This score of an item that has these.
    pub const fn of(self, security: &Security, quality: &Quality) -> Score {
        match self {
            Self::Accuracy => quality.accuracy,
            Self::Precision => quality.precision,
            Self::Timeliness => quality.timeliness,
            Self::Completeness => quality.completeness,
            Self::Confidentiality => security.confidentiality,
            Self::Integrity => security.integrity,
            Self::Privacy => security.privacy,
            Self::Authentication => security.authentication,
        }
    }

    /// Where this score stands among them.
    pub const fn of_mut<'a>(self, security: &'a mut Security, quality: &'a mut Quality) -> &'a mut Score {
        match self {
            Self::Accuracy => &mut quality.accuracy,
            Self::Precision => &mut quality.precision,
            Self::Timeliness => &mut quality.timeliness,
            Self::Completeness => &mut quality.completeness,
            Self::Confidentiality => &mut security.confidentiality,
            Self::Integrity => &mut security.integrity,
            Self::Privacy => &mut security.privacy,
            Self::Authentication => &mut security.authentication,
        }
    }
}

impl fmt::Display for ScoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
