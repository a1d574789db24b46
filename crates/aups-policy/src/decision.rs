//! A decision with its reasons.

use cedar_policy::{AuthorizationError, PolicyId, Response};
use std::error::Error;

/// Whether a reader may read, and why. Anything but a plain yes is a no.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may.
    pub allow: bool,
    /// The policies that decided. None for a no means that nothing permits it, or that there were errors.
    pub reasons: Vec<String>,
    /// What went wrong: a permit that fails to evaluate permits nothing, a forbid that fails to evaluate forbids.
    pub errors: Vec<String>,
}

impl Decision {
    pub(crate) fn failed(error: &dyn Error) -> Self {
        Self { allow: false, reasons: Vec::new(), errors: vec![error.to_string()] }
    }

    /// What Cedar answered, but for one thing: Cedar passes over a forbid that fails; here it forbids.
    pub(crate) fn of(response: &Response, forbids: impl Fn(&PolicyId) -> bool) -> Self {
        let diagnostics = response.diagnostics();
        let failed_forbid = diagnostics.errors().any(|error| match error {
            AuthorizationError::PolicyEvaluationError(error) => forbids(error.policy_id()),
        });
        let errors = diagnostics.errors().map(ToString::to_string).collect();
        if failed_forbid && response.decision() == cedar_policy::Decision::Allow {
            return Self { allow: false, reasons: Vec::new(), errors };
        }
        let mut reasons: Vec<_> = diagnostics.reason().map(ToString::to_string).collect();
        reasons.sort();
        Self { allow: response.decision() == cedar_policy::Decision::Allow, reasons, errors }
    }
}
