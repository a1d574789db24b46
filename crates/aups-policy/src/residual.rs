//! Residuals: what is left of the policies for an item when the reader is unknown, as a canonical text, and what that
//! text says of a reader.
//!
//! The text is Cedar, one policy a line: `permit(principal, action, resource) when { principal.clearance > 3 };`. It has
//! no names and no annotations, and says nothing of the item but the values that policies compare with the reader's.

use crate::{
    cache::Cache,
    decision::Decision,
    outcome::{Outcomes, children, holds_failure},
    reader::{self, Failure, RequestContext},
    vocabulary::{ITEM, is_named},
};
use aups_core::{Principal, ReaderKind, ScopeId, ScopeSpec};
use cedar_policy::{
    Authorizer, Effect, Policy, PolicyId, PolicySet,
    pst::{Clause, Expr, Literal, Var},
};
use std::{collections::BTreeSet, sync::Arc};
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
        // To put the context into Cedar's terms takes longer than to evaluate most residuals, and few ask for it.
        let context = if text(spec, who.kind).contains("context") { *context } else { RequestContext::default() };
        let (request, entities) = (reader::request(who, &context, None)?, reader::entities(who, None)?);
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

fn text(spec: &ScopeSpec, kind: ReaderKind) -> &str {
    match kind {
        ReaderKind::User => &spec.user,
        ReaderKind::App => &spec.app,
    }
}

/// Each line a policy, named as it reads.
fn parse(spec: &ScopeSpec, kind: ReaderKind) -> Result<PolicySet, Failure> {
    let mut policies = PolicySet::new();
    for line in text(spec, kind).lines() {
        policies.add(Policy::parse(Some(PolicyId::new(line)), line)?)?;
    }
    Ok(policies)
}

/// What is left of one policy for one kind of reader, once the item is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Nothing: the policy has no say about this item.
    Nothing,
    /// A permit that everybody satisfies.
    Everybody,
    /// A forbid that everybody satisfies.
    Nobody,
    /// What depends on the reader or the request: a line of the residual.
    Permit(Arc<str>),
    /// The same of a forbid.
    Forbid(Arc<str>),
}

impl Part {
    /// Of a policy whose condition partial evaluation has brought to this.
    ///
    /// What can never be true falls away. That is sound for a permit even if it may fail, for a failing permit permits
    /// nothing; a forbid that may fail stays, for a failing forbid forbids.
    pub(crate) fn of(effect: Effect, condition: &Expr) -> Result<Self, ResidualError> {
        let outcomes = Outcomes::of(condition);
        Ok(match effect {
            Effect::Permit if outcomes.is_never_true() => Self::Nothing,
            Effect::Permit if outcomes.is_always_true() => Self::Everybody,
            Effect::Permit => Self::Permit(line(effect, condition)?),
            Effect::Forbid if outcomes.is_never_true() && !outcomes.failure => Self::Nothing,
            // True or failing, whoever asks; or with a part that fails when reached, for which there is no text: Cedar
            // would pass such a forbid over, and we cannot tell for whom. Nobody reads is the safe side.
            Effect::Forbid if !outcomes.falsity || holds_failure(condition) => Self::Nobody,
            Effect::Forbid => Self::Forbid(line(effect, condition)?),
        })
    }

    /// How much memory its text takes, in bytes.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::Permit(line) | Self::Forbid(line) => line.len(),
            Self::Nothing | Self::Everybody | Self::Nobody => 0,
        }
    }
}

/// Collects what is left of the policies for one kind of reader.
#[derive(Debug, Default)]
pub(crate) struct Residual {
    permits: BTreeSet<Arc<str>>,
    forbids: BTreeSet<Arc<str>>,
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
    #[error("a residual asks for the item, which nobody has any more: {0}")]
    AsksForItem(String),
}

impl Residual {
    /// Adds what is left of one policy. False if nothing is.
    pub(crate) fn add(&mut self, part: &Part) -> bool {
        match part {
            Part::Nothing => return false,
            Part::Everybody => self.everybody = true,
            Part::Nobody => self.nobody = true,
            Part::Permit(line) => drop(self.permits.insert(Arc::clone(line))),
            Part::Forbid(line) => drop(self.forbids.insert(Arc::clone(line))),
        }
        true
    }

    /// The canonical text: lines sorted, none twice. Empty if nobody of this kind may read. Drops what no longer matters:
    /// all if nobody can read, residual permits if everybody is permitted.
    pub(crate) fn finish(&self) -> Result<Box<str>, ResidualError> {
        if self.nobody || (!self.everybody && self.permits.is_empty()) {
            return Ok("".into());
        }
        let mut lines: Vec<&str> = self.forbids.iter().map(|line| &**line).collect();
        if self.everybody {
            lines.push(EVERYBODY);
        } else {
            lines.extend(self.permits.iter().map(|line| &**line));
        }
        let text = lines.join("\n");
        if text.len() > RESIDUAL_BYTES_MAX { Err(ResidualError::TooLong) } else { Ok(text.into()) }
    }
}

/// A line of a residual. Refuses one that would be read as something else than it was written from, a check on Cedar's
/// printer, and one that could not be evaluated without the item, a check on admission.
fn line(effect: Effect, condition: &Expr) -> Result<Arc<str>, ResidualError> {
    let line = format!("{effect}(principal, action, resource) when {{ {condition} }};");
    if asks_for_item(condition) {
        return Err(ResidualError::AsksForItem(line));
    }
    if reads_as(&line, condition) { Ok(line.into()) } else { Err(ResidualError::ReadsDifferently(line)) }
}

fn asks_for_item(expr: &Expr) -> bool {
    match expr {
        Expr::Var(Var::Resource) => true,
        Expr::Literal(Literal::EntityUID(name)) => is_named(&name.ty, ITEM),
        _ => children(expr).any(asks_for_item),
    }
}

/// Whether a policy of this text has this condition and no other.
pub(crate) fn reads_as(line: &str, condition: &Expr) -> bool {
    let parsed = Policy::parse(None, line).ok().and_then(|policy| policy.to_pst().ok());
    parsed.is_some_and(|parsed| match parsed.body().clauses().as_slice() {
        [Clause::When(read)] => **read == *condition,
        _ => false,
    })
}

#[cfg(test)]
mod tests;
