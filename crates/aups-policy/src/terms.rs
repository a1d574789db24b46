//! What a policy's annotations demand of the messages that it lets somebody read.

use aups_core::{
    Obligations, Suite,
    limits::{KEY_LIFE_DEFAULT, KEY_LIFE_MIN, ROOT_PERIOD_DEFAULT},
};
use std::time::Duration;

/// Blocks to which a plaintext may be padded, in bytes.
const PAD_BYTES: std::ops::RangeInclusive<u16> = 2..=4_096;
/// Annotations that only describe.
const DESCRIPTIVE: [&str; 4] = ["title", "description", "author", "reason"];
/// Longest name of a policy, in characters.
pub(crate) const POLICY_NAME_CHARS_MAX: usize = 128;

/// What the annotations of one policy, or of all that apply to an item, demand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) obligations: Obligations,
    suite: Option<Suite>,
    life: Option<Duration>,
}

/// An annotation that is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnnotationFault {
    pub(crate) annotation: String,
    pub(crate) message: String,
    pub(crate) help: String,
}

impl Terms {
    /// Reads a policy's annotations. Whatever this version does not know is a fault: an obligation that nobody heeds
    /// would be worse than none.
    pub(crate) fn read<'a>(
        annotations: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Vec<AnnotationFault>> {
        let (mut terms, mut faults) = (Self::default(), Vec::new());
        for (annotation, value) in annotations {
            if let Err((message, help)) = terms.read_one(annotation, value) {
                faults.push(AnnotationFault { annotation: annotation.to_owned(), message, help });
            }
        }
        if faults.is_empty() { Ok(terms) } else { Err(faults) }
    }

    fn read_one(&mut self, annotation: &str, value: &str) -> Result<(), (String, String)> {
        match annotation {
            "id" => read_name(value)?,
            "keylife" => self.life = Some(read_life(value)?),
            "suite" => {
                let suite = value.parse().map_err(|_| {
                    let help = "the suites are `aes-256-gcm` (default) and `chacha20-poly1305`";
                    (format!("`{value}` is not a suite"), help.to_owned())
                })?;
                self.suite = Some(suite);
            }
            "obligation" => {
                for obligation in value.split(',') {
                    self.obligations = union(self.obligations, read_obligation(obligation.trim())?);
                }
            }
            _ if DESCRIPTIVE.contains(&annotation) => {}
            _ => {
                let help = format!(
                    "the annotations are @id, @keylife, @obligation and @suite, and the descriptive ones @{}",
                    DESCRIPTIVE.join(", @")
                );
                return Err((format!("unknown annotation `@{annotation}`"), help));
            }
        }
        Ok(())
    }

    /// What both demand: each obligation of either, the larger block, the shorter of the lives that are stated.
    #[must_use]
    pub(crate) fn union(self, other: Self) -> Self {
        Self {
            obligations: union(self.obligations, other.obligations),
            // ChaCha20-Poly1305 is asked for on account of readers without AES instructions; AES-256-GCM is no more than
            // the default. So the former wins, whatever the order.
            suite: self.suite.max(other.suite),
            life: match (self.life, other.life) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            },
        }
    }

    pub(crate) fn suite(&self) -> Suite {
        self.suite.unwrap_or_default()
    }

    /// In milliseconds.
    pub(crate) fn life_ms(&self) -> u64 {
        // At most ROOT_PERIOD_DEFAULT.
        u64::try_from(self.life.unwrap_or(KEY_LIFE_DEFAULT).as_millis()).unwrap_or(u64::MAX)
    }
}

fn union(one: Obligations, other: Obligations) -> Obligations {
    Obligations { sign: one.sign || other.sign, pad_bytes: one.pad_bytes.max(other.pad_bytes) }
}

fn read_name(value: &str) -> Result<(), (String, String)> {
    let length = value.chars().count();
    if (1..=POLICY_NAME_CHARS_MAX).contains(&length) && !value.chars().any(char::is_control) {
        Ok(())
    } else {
        let help = format!(
            "write `@id(\"name\")` with 1 to {POLICY_NAME_CHARS_MAX} characters, none of them a control character"
        );
        Err(("a policy's name is too long, empty or not printable".to_owned(), help))
    }
}

fn read_life(value: &str) -> Result<Duration, (String, String)> {
    let help = || {
        let (least, most) = (KEY_LIFE_MIN.as_secs(), ROOT_PERIOD_DEFAULT.as_secs() / 3_600);
        format!("write a whole number and a unit (ms, s, m, h, d), from {least}s to {most}h: `@keylife(\"5m\")`")
    };
    let (number, unit) =
        value.split_at_checked(value.bytes().take_while(u8::is_ascii_digit).count()).unwrap_or_default();
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err((format!("`{value}` is not the life of a key"), help())),
    };
    let life = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms)).map(Duration::from_millis);
    match life {
        Some(life) if (KEY_LIFE_MIN..=ROOT_PERIOD_DEFAULT).contains(&life) => Ok(life),
        _ => Err((format!("a key cannot live for `{value}`"), help())),
    }
}

fn read_obligation(value: &str) -> Result<Obligations, (String, String)> {
    let (least, most) = (PAD_BYTES.start(), PAD_BYTES.end());
    let pad = value.strip_prefix("pad:").map(str::parse::<u16>);
    match pad {
        None if value == "sign" => Ok(Obligations { sign: true, pad_bytes: 0 }),
        Some(Ok(pad_bytes)) if PAD_BYTES.contains(&pad_bytes) => Ok(Obligations { sign: false, pad_bytes }),
        Some(_) => {
            let help = format!("a block has {least} to {most} bytes: `@obligation(\"pad:256\")`");
            Err((format!("`{value}` does not name a block"), help))
        }
        None => {
            let help =
                "the obligations are `sign` and `pad:<block>`, separated by commas: `@obligation(\"sign, pad:256\")`";
            Err((format!("unknown obligation `{value}`"), help.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests;
