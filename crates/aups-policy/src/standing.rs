//! What a reader may read on a topic, when neither the item nor the request is known.

use crate::{Pdp, outcome::Outcomes, partial::Known, reader::Failure, settle::settle, words};
use aups_core::{Principal, Topic};
use cedar_policy::{Effect, pst::Expr};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// What a reader may read of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Never,
    /// Every item.
    Always,
    /// The items and requests that satisfy conditions.
    When(Conditions),
}

/// What is left of the policies for one reader and one topic. Equal if the texts are.
#[derive(Debug, Clone)]
pub struct Conditions {
    text: Arc<str>,
    /// For the reader, and for the app that registered it: all of these must let it.
    pub(crate) all: Vec<Left>,
}

/// What is left of the policies for one reader; no permits are a permit without conditions.
#[derive(Debug, Clone)]
pub(crate) struct Left {
    pub(crate) permits: Vec<Expr>,
    pub(crate) forbids: Vec<Expr>,
}

impl Pdp {
    /// What a reader may read of a topic, whatever the items; a failure is [`Standing::Never`].
    ///
    /// Conditions that no item satisfies (`0.8` at least, and below `0.5`) are conditions all the same.
    ///
    /// Cost: some 20 µs for each policy whose head names this reader and a topic above this one.
    pub fn standing(&self, who: &Principal, topic: &Topic) -> Standing {
        self.standing_of(&Known::reader(who, &self.set().schema), topic).unwrap_or(Standing::Never)
    }

    /// As [`Pdp::standing`], where more may be known. A user that an app registered may not read what the app may not.
    pub(crate) fn standing_of(&self, known: &Known<'_>, topic: &Topic) -> Result<Standing, Failure> {
        let own = self.own_standing(known, topic)?;
        match known.who.app.as_deref() {
            Some(app) if own != Standing::Never => Ok(own.and(self.standing_of(&Known { who: app, ..*known }, topic)?)),
            _ => Ok(own),
        }
    }

    fn own_standing(&self, known: &Known<'_>, topic: &Topic) -> Result<Standing, Failure> {
        let left = known.conditions(self.rules_for(topic))?;
        let settled: Vec<_> = left.iter().map(|(rule, condition)| (rule.effect(), settle(condition, topic))).collect();
        Ok(Standing::of(settled.iter().map(|(effect, condition)| (*effect, condition))))
    }
}

impl Conditions {
    /// By their texts. No permits are those of every item.
    fn new(permits: BTreeMap<String, Expr>, forbids: BTreeMap<String, Expr>) -> Self {
        let line = |effect: &str, text: &str| format!("{effect}(principal, action, resource){text};");
        let when = |effect: &'static str| move |condition: &String| line(effect, &format!(" when {{ {condition} }}"));
        let everything = permits.is_empty().then(|| line("permit", ""));
        let lines = forbids.keys().map(when("forbid")).chain(permits.keys().map(when("permit"))).chain(everything);
        let text = lines.collect::<Vec<_>>().join("\n").into();
        let left = Left { permits: permits.into_values().collect(), forbids: forbids.into_values().collect() };
        Self { text, all: vec![left] }
    }

    /// The conditions in Cedar, a policy a line; for a user that an app registered, an empty line between its own and the
    /// app's.
    pub fn cedar(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Conditions {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Conditions {}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("nothing"),
            Self::Always => f.write_str("every item"),
            Self::When(conditions) => conditions.fmt(f),
        }
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.all.iter().map(ToString::to_string).collect();
        f.write_str(&all.join("; and as the app that registered it, "))
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |conditions: &[Expr]| match conditions {
            [one] => words::words(one),
            several => several.iter().map(|one| format!("({})", words::words(one))).collect::<Vec<_>>().join(" or "),
        };
        match (self.permits.as_slice(), self.forbids.as_slice()) {
            ([], forbids) => write!(f, "every item unless {}", said(forbids)),
            (permits, []) => write!(f, "if {}", said(permits)),
            (permits, forbids) => write!(f, "if {}, unless {}", said(permits), said(forbids)),
        }
    }
}

impl Standing {
    /// What both let read.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, _) | (_, Self::Never) => Self::Never,
            (Self::Always, other) => other,
            (own, Self::Always) => own,
            (Self::When(own), Self::When(other)) if own == other => Self::When(own),
            (Self::When(own), Self::When(other)) => {
                let text = format!("{}\n\n{}", own.text, other.text).into();
                Self::When(Conditions { text, all: [own.all, other.all].concat() })
            }
        }
    }

    /// What policies with these effects come to, of which these conditions are left.
    pub(crate) fn of<'e>(conditions: impl IntoIterator<Item = (Effect, &'e Expr)>) -> Self {
        let (mut permits, mut forbids) = (BTreeMap::new(), BTreeMap::new());
        let mut everything = false;
        for (effect, condition) in conditions {
            let outcomes = Outcomes::of(condition);
            match effect {
                Effect::Permit if outcomes.is_never_true() => {}
                Effect::Permit if outcomes.is_always_true() => everything = true,
                Effect::Permit => drop(permits.insert(condition.to_string(), condition.clone())),
                Effect::Forbid if outcomes.is_never_true() && !outcomes.failure => {}
                // True or failing, whatever the item: a failing forbid forbids.
                Effect::Forbid if !outcomes.falsity => return Self::Never,
                Effect::Forbid => drop(forbids.insert(condition.to_string(), condition.clone())),
            }
        }
        if everything {
            permits.clear();
        }
        match (everything, permits.is_empty(), forbids.is_empty()) {
            (false, true, _) => Self::Never,
            (true, _, true) => Self::Always,
            _ => Self::When(Conditions::new(permits, forbids)),
        }
    }
}

#[cfg(test)]
mod tests;
