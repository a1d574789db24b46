//! What a policy's annotations demand of the messages that it lets somebody read.

use aups_core::{
    Obligations, Redaction, Suite, Topic,
    limits::{KEY_LIFE_DEFAULT, KEY_LIFE_MIN, ROOT_PERIOD_DEFAULT},
    time::parse_duration,
    topic::TopicError,
};
use std::{fmt, time::Duration};

/// Blocks to which a plaintext may be padded, in bytes.
const PAD_BYTES: std::ops::RangeInclusive<u16> = 2..=4_096;
/// Annotations that only describe.
const DESCRIPTIVE: [&str; 4] = ["title", "description", "author", "reason"];
/// Most redactions of one policy, and most topics that it notifies.
pub(crate) const OBLIGATIONS_MAX: usize = 16;
/// Longest name of a policy, in characters.
pub(crate) const POLICY_NAME_CHARS_MAX: usize = 128;

/// What the annotations of one policy, or of all that apply to an item, demand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
                let suite = value.parse().ok().filter(|suite: &Suite| suite.is_for_readers()).ok_or_else(|| {
                    let help = "the suites are `aes-256-gcm` (default), `chacha20-poly1305` and `ascon-aead128`";
                    (format!("`{value}` is not a suite"), help.to_owned())
                })?;
                self.suite = Some(suite);
            }
            "obligation" => {
                for obligation in value.split(',') {
                    self.read_obligation(obligation.trim())?;
                }
                let Obligations { redact, notify, .. } = &self.obligations;
                if redact.len().max(notify.len()) > OBLIGATIONS_MAX {
                    let message = format!("a policy redacts and notifies at most {OBLIGATIONS_MAX} places each");
                    return Err((
                        message,
                        "redact what holds these members, or split the policy in several".to_owned(),
                    ));
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

    fn read_obligation(&mut self, value: &str) -> Result<(), (String, String)> {
        let obligations = &mut self.obligations;
        match value.split_once(':') {
            None if value == "sign" => obligations.sign = true,
            Some(("pad", block)) => obligations.pad_bytes = obligations.pad_bytes.max(read_block(block)?),
            Some(("redact", pointer)) => drop(obligations.redact.insert(read_redaction(pointer)?)),
            Some(("notify", topic)) => drop(obligations.notify.insert(read_notified(topic)?)),
            _ => {
                let help = "the obligations are `sign`, `pad:<block>`, `redact:<JSON pointer>` and `notify:<topic>`, \
                            separated by commas: `@obligation(\"sign, redact:/data/gps\")`";
                return Err((format!("unknown obligation `{value}`"), help.to_owned()));
            }
        }
        Ok(())
    }

    /// Adds what another policy demands: each obligation of either, the larger block, the shorter of the lives that are
    /// stated.
    pub(crate) fn add(&mut self, other: &Self) {
        let Obligations { sign, pad_bytes, redact, notify } = &other.obligations;
        let obligations = &mut self.obligations;
        obligations.sign |= sign;
        obligations.pad_bytes = obligations.pad_bytes.max(*pad_bytes);
        obligations.redact.extend(redact.iter().cloned());
        obligations.notify.extend(notify.iter().cloned());
        self.suite = self.suite.into_iter().chain(other.suite).max_by_key(|suite| precedence(*suite));
        self.life = match (self.life, other.life) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
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

/// Which suite it is where several policies state one: nobody gets a key of 128 bits where another policy asks for 256,
/// and ChaCha20-Poly1305 is asked for on account of readers without AES instructions, which are no better off for the default.
fn precedence(suite: Suite) -> u8 {
    match suite {
        // No policy states AES-128-GCM.
        Suite::AsconAead128 | Suite::Aes128Gcm => 0,
        Suite::Aes256Gcm => 1,
        Suite::ChaCha20Poly1305 => 2,
    }
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
    let life = parse_duration(value).map_err(|_| (format!("`{value}` is not the life of a key"), help()))?;
    if (KEY_LIFE_MIN..=ROOT_PERIOD_DEFAULT).contains(&life) {
        Ok(life)
    } else {
        Err((format!("a key cannot live for `{value}`"), help()))
    }
}

fn read_block(block: &str) -> Result<u16, (String, String)> {
    let (least, most) = (PAD_BYTES.start(), PAD_BYTES.end());
    block.parse().ok().filter(|bytes| PAD_BYTES.contains(bytes)).ok_or_else(|| {
        let help = format!("a block has {least} to {most} bytes: `@obligation(\"pad:256\")`");
        (format!("`{block}` does not name a block"), help)
    })
}

fn read_redaction(pointer: &str) -> Result<Redaction, (String, String)> {
    let message = format!("`{pointer}` cannot be redacted");
    pointer.parse().map_err(|error| (message, format!("{error}: `@obligation(\"redact:/data/gps\")`")))
}

fn read_notified(topic: &str) -> Result<Topic, (String, String)> {
    let refused = |why: &dyn fmt::Display| {
        (format!("`{topic}` cannot be notified"), format!("{why}: `@obligation(\"notify:alerts/hot\")`"))
    };
    let parsed: Topic = topic.parse().map_err(|error: TopicError| refused(&error))?;
    let first = parsed.levels().next().unwrap_or_default();
    if first.starts_with('$') {
        return Err(refused(&"topics that start with $ belong to the broker"));
    }
    if first == "aups" {
        return Err(refused(&"topics below aups/ belong to the system"));
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests;
