//! What a change of readers takes away: the scopes that lost one of them.

use aups_core::{Bump, Principal, ScopeId, ScopeSpec, Sub};
use aups_policy::{Residuals, Schema};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// A reader that a change concerns.
#[derive(Debug)]
pub(crate) struct Affected {
    pub(crate) before: Principal,
    /// `None`: it is gone, or what it holds is in other hands.
    pub(crate) after: Option<Principal>,
}

/// What a change took away.
#[derive(Debug, Default)]
pub(crate) struct Revoked {
    /// The scopes that lost a reader, with their new bumps.
    pub(crate) bumps: BTreeMap<ScopeId, Bump>,
    /// Readers that lost a scope, or everything: their sessions are to be ended.
    pub(crate) readers: BTreeSet<Sub>,
}

/// What would be taken away.
#[derive(Debug, Default)]
pub(super) struct Lost {
    pub(super) scopes: BTreeSet<ScopeId>,
    pub(super) readers: BTreeSet<Sub>,
}

/// Looks through the scopes. Readers of whom policies know nothing but the same are asked about once, unless a residual
/// calls readers by their names.
///
/// Cost: some 10 µs for each scope and kind of reader; 100 µs per line of a scope for which nobody asked a key before.
pub(super) fn lost(residuals: &Residuals, schema: &Schema, scopes: &[Arc<ScopeSpec>], affected: &[Affected]) -> Lost {
    let mut alike: HashMap<Likeness, Vec<&Affected>> = HashMap::new();
    for affected in affected {
        alike.entry(Likeness::of(affected)).or_default().push(affected);
    }
    // Whoever is gone, or whose keys are in other hands, has its sessions ended whether or not there is a scope to lose.
    let gone = affected.iter().filter(|affected| affected.after.is_none());
    let mut lost = Lost { readers: gone.map(|affected| affected.before.sub.clone()).collect(), ..Lost::default() };
    for spec in scopes {
        let names_readers = names_readers(spec);
        for group in alike.values() {
            let loses = |affected: &Affected| residuals.loses(spec, &affected.before, affected.after.as_ref(), schema);
            let losing: Vec<&Affected> = if names_readers {
                group.iter().copied().filter(|affected| loses(affected)).collect()
            } else if group.first().is_some_and(|first| loses(first)) {
                group.clone()
            } else {
                Vec::new()
            };
            if !losing.is_empty() {
                lost.scopes.insert(spec.id);
                lost.readers.extend(losing.into_iter().map(|affected| affected.before.sub.clone()));
            }
        }
    }
    lost
}

/// All that a residual can know of a reader before and after, but its name.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Likeness(String);

impl Likeness {
    fn of(affected: &Affected) -> Self {
        let Affected { before, after } = affected;
        let nameless = |who: &Principal| format!("{:?} {:?} {:?}", who.kind, who.attributes, who.groups);
        let whole = |who: &Principal| (nameless(who), who.app.as_deref().map(nameless));
        Self(format!("{:?}", (whole(before), after.as_ref().map(whole))))
    }
}

fn names_readers(spec: &ScopeSpec) -> bool {
    [&spec.user, &spec.app].iter().any(|text| text.contains("User::\"") || text.contains("App::\""))
}

#[cfg(test)]
mod tests;
