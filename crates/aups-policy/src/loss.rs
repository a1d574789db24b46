//! What a change of a reader takes away from it.

use crate::{
    partial::Known,
    reader::{Failure, RequestContext},
    residual::{EVERYBODY, Part, Residual, Residuals},
    schema::Schema,
};
use aups_core::{Principal, ScopeSpec};

impl Residuals {
    /// Whether somebody could have got the key of a scope as the reader that it was and no longer as the one that it is;
    /// `None`: it is nobody any more. What cannot be decided counts as lost.
    ///
    /// A scope that asks for time or address is lost if the answer can differ for any of them.
    ///
    /// Cost: twice that of [`satisfies`](Self::satisfies); for a scope that asks for time or address some 50 µs per line.
    pub fn loses(&self, spec: &ScopeSpec, before: &Principal, after: Option<&Principal>, schema: &Schema) -> bool {
        if ![&spec.app, &spec.user].iter().any(|text| text.contains("context")) {
            let may = |who: &Principal| self.satisfies(spec, who, &RequestContext::default()).allow;
            return may(before) && !after.is_some_and(may);
        }
        let kept = after.is_some_and(|after| {
            let apps = match (&before.app, &after.app) {
                (None, None) => true,
                (Some(before), Some(after)) => self.keeps_in_every_context(spec, before, after, schema),
                _ => false,
            };
            apps && self.keeps_in_every_context(spec, before, after, schema)
        });
        !kept && self.holds_in_some_context(spec, before, schema)
    }

    fn keeps_in_every_context(&self, spec: &ScopeSpec, before: &Principal, after: &Principal, schema: &Schema) -> bool {
        match (self.left_of_context(spec, before, schema), self.left_of_context(spec, after, schema)) {
            (Ok(before), Ok(after)) => before == after || before.is_empty() || *after == *EVERYBODY,
            _ => false,
        }
    }

    fn holds_in_some_context(&self, spec: &ScopeSpec, who: &Principal, schema: &Schema) -> bool {
        self.left_of_context(spec, who, schema).map_or(true, |left| !left.is_empty())
            && who.app.as_deref().is_none_or(|app| self.holds_in_some_context(spec, app, schema))
    }

    /// What is left of a residual when the reader is known and the context is not.
    fn left_of_context(&self, spec: &ScopeSpec, who: &Principal, schema: &Schema) -> Result<Box<str>, Failure> {
        let policies = self.parsed(spec, who.kind)?;
        let mut left = Residual::default();
        for (line, condition) in Known::reader(who, schema).evaluate(policies.policies().cloned())? {
            let policy = policies.policy(&line).ok_or("a residual of a line that was not asked")?;
            left.add(&Part::of(policy.effect(), &condition)?);
        }
        Ok(left.finish()?)
    }
}

#[cfg(test)]
mod tests;
