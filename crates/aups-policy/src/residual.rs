//! Residuals: what is left of the policies for an item when the reader is unknown, as a canonical text, and what that
//! text says of a reader.
//!
//! The text is Cedar, one policy a line: `permit(principal, action, resource) when { principal.clearance > 3 };`. It has
//! no names and no annotations, and says nothing of the item but the values that policies compare with the reader's.

use crate::{
    cache::Cache,
    decision::Decision,
    outcome::{Outcomes, holds_failure},
    reader::{self, Failure, RequestContext},
};
use aups_core::{Principal, ReaderKind, ScopeId, ScopeSpec};
use cedar_policy::{
    Authorizer, Effect, Policy, PolicyId, PolicySet,
    pst::{Clause, Expr},
};
use std::{collections::BTreeMap, sync::Arc};
use thiserror::Error;

/// Longest residual of an item for one kind of reader, in bytes. The KTM keeps residuals.
pub const RESIDUAL_BYTES_MAX: usize = 256 << 10;

/// What is left of a permit that everybody satisfies.
pub(crate) const EVERYBODY: &str = "permit(principal, action, resource);";

/// Evaluates residuals for the readers who ask for keys, and keeps those that it has parsed.
#[derive(Debug)]
pub struct Residuals {
    parsed: Cache<(ScopeId, ReaderKind), Arc<PolicySet>>,
    authorizer: Authorizer,
}

impl Residuals {
    /// Keeps at most about so many parsed residuals.
    pub fn new(entries_max: usize) -> Self {
        Self { parsed: Cache::new(entries_max), authorizer: Authorizer::new() }
    }

    /// Whether a reader satisfies the residual of its kind, and the app that registered it, if one did, that of apps. Reasons are the lines that decided. Any failure is a no.
    ///
    /// A residual is known by the id of its scope, which is a hash of it: whoever hands in a spec vouches for its id.
    ///
    /// Cost: a few µs per line, and about 100 µs per line when the scope is seen for the first time.
    pub fn satisfies(&self, spec: &ScopeSpec, who: &Principal, context: &RequestContext) -> Decision {
        let own = self.evaluate(spec, who, context).unwrap_or_else(|error| Decision::failed(&*error));
        match &who.app {
            Some(app) if own.allow => self.satisfies(spec, app, context),
            _ => own,
        }
    }

    fn evaluate(&self, spec: &ScopeSpec, who: &Principal, context: &RequestContext) -> Result<Decision, Failure> {
        let policies = self.parsed(spec, who.kind)?;
        let (request, entities) = (reader::request(who, context, None)?, reader::entities(who, None)?);
        let response = self.authorizer.is_authorized(&request, &policies, &entities);
        let forbids = |line: &PolicyId| policies.policy(line).is_none_or(|policy| policy.effect() == Effect::Forbid);
        Ok(Decision::of(&response, forbids))
    }

    /// The residual for a kind of readers, parsed.
    pub(crate) fn parsed(&self, spec: &ScopeSpec, kind: ReaderKind) -> Result<Arc<PolicySet>, Failure> {
        let key = (spec.id, kind);
        let kept = self.parsed.get(&key).map(Ok);
        kept.unwrap_or_else(|| parse(spec, kind).map(|parsed| self.parsed.keep(key, parsed.into())))
    }
}

/// Each line a policy, named as it reads.
fn parse(spec: &ScopeSpec, kind: ReaderKind) -> Result<PolicySet, Failure> {
    let text = match kind {
        ReaderKind::User => &spec.user,
        ReaderKind::App => &spec.app,
    };
    let mut policies = PolicySet::new();
    for line in text.lines() {
        policies.add(Policy::parse(Some(PolicyId::new(line)), line)?)?;
    }
    Ok(policies)
}

/// Collects what is left of the policies for one kind of reader.
#[derive(Debug, Default)]
pub(crate) struct Residual {
    lines: BTreeMap<String, Expr>,
    permits: bool,
    everybody: bool,
    nobody: bool,
}

/// A residual that cannot be kept: the item is withheld.
#[derive(Debug, Error)]
pub(crate) enum ResidualError {
    #[error(
        "what is left of the policies takes more than {RESIDUAL_BYTES_MAX} bytes: let fewer policies apply to one topic"
    )]
    TooLong,
    #[error("a residual does not read back as what it was: {0}")]
    ReadsDifferently(String),
}

impl Residual {
    /// Adds what is left of one policy. False if nothing is: the policy has no say about this item.
    ///
    /// What can never be true falls away. That is sound for a permit even if it may fail, for a failing permit permits
    /// nothing; a forbid that may fail stays, for a failing forbid forbids.
    pub(crate) fn add(&mut self, effect: Effect, condition: &Expr) -> bool {
        let outcomes = Outcomes::of(condition);
        match effect {
            Effect::Permit if outcomes.is_never_true() => return false,
            Effect::Permit if outcomes.is_always_true() => self.everybody = true,
            Effect::Forbid if outcomes.is_never_true() && !outcomes.failure => return false,
            // True or failing, whoever asks; or with a part that fails when reached, for which there is no text: Cedar
            // would pass such a forbid over, and we cannot tell for whom. Nobody reads is the safe side.
            Effect::Forbid if !outcomes.falsity || holds_failure(condition) => self.nobody = true,
            _ => {
                self.permits |= effect == Effect::Permit;
                self.lines.insert(line(effect, condition), condition.clone());
            }
        }
        true
    }

    /// Drops what no longer matters: all if nobody can read, residual permits if everybody is permitted.
    pub(crate) fn finish(mut self) -> Result<FinishedResidual, ResidualError> {
        if self.nobody || !(self.everybody || self.permits) {
            return Ok(FinishedResidual { text: "".into(), lines: BTreeMap::new() });
        }
        if self.everybody {
            self.lines.retain(|line, _| line.starts_with("forbid"));
        }
        let mut lines: Vec<&str> = self.lines.keys().map(String::as_str).collect();
        if self.everybody {
            lines.push(EVERYBODY);
        }
        let text = lines.join("\n");
        if text.len() > RESIDUAL_BYTES_MAX {
            return Err(ResidualError::TooLong);
        }
        Ok(FinishedResidual { text: text.into(), lines: self.lines })
    }
}

/// A residual as its canonical text: lines sorted, none twice. Empty if nobody of this kind may read.
#[derive(Debug)]
pub(crate) struct FinishedResidual {
    pub(crate) text: Box<str>,
    lines: BTreeMap<String, Expr>,
}

impl FinishedResidual {
    /// Refuses a text that would be read as something else than it was written from: a check on Cedar's printer.
    pub(crate) fn check(&self) -> Result<(), ResidualError> {
        for (line, condition) in &self.lines {
            let refuse = |error: &dyn ToString| ResidualError::ReadsDifferently(error.to_string());
            let parsed = Policy::parse(None, line).map_err(|error| refuse(&error))?;
            let parsed = parsed.to_pst().map_err(|error| refuse(&error))?;
            match parsed.body().clauses().as_slice() {
                [Clause::When(read)] if **read == *condition => {}
                _ => return Err(refuse(line)),
            }
        }
        Ok(())
    }
}

fn line(effect: Effect, condition: &Expr) -> String {
    format!("{effect}(principal, action, resource) when {{ {condition} }};")
}

#[cfg(test)]
mod tests;
