//! The paper's KTM table (keyId, keyT, val, atb), for people: without keyT.

use crate::{
    root::Roots,
    scope::Scope,
    service::{KeyRow, KeyState},
};
use aups_core::{Bump, Epoch, KeyId, ScopeSpec, ScopeTag, UnixMillis};
use aups_envelope::{KeyEntry, KeyTerms};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Most keys that are listed of one scope: the next, the current, and the newest of those that still open.
pub const KEYS_LISTED_PER_SCOPE: usize = 16;

/// Most keys that are listed altogether, as long as that leaves two per scope: the next and the current.
pub const KEYS_LISTED_MAX: usize = 65_536;

/// Longest `atb`, in characters.
pub const ATB_CHARS_MAX: usize = 512;

/// The rows of scopes that exist: by `atb`, the newest keys first. Derives every key: some microseconds per row.
pub(crate) fn rows(mut scopes: Vec<Arc<Scope>>, roots: &Roots, now: UnixMillis) -> Vec<KeyRow> {
    let per_scope = (KEYS_LISTED_MAX / scopes.len().max(1)).clamp(2, KEYS_LISTED_PER_SCOPE);
    scopes.sort_by_cached_key(|scope| (atb(&scope.spec), scope.tag));
    scopes.iter().flat_map(|scope| scope_rows(scope, roots, now, per_scope)).collect()
}

fn scope_rows(scope: &Scope, roots: &Roots, now: UnixMillis, most: usize) -> Vec<KeyRow> {
    let atb = atb(&scope.spec);
    let keys = scope.newest_keys(roots, now, most).into_iter();
    keys.map(|(key, state)| KeyRow { key_id: key.key_id, val: key.terms.exp, atb: atb.clone(), state }).collect()
}

/// Everything about a scope but its secrets, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScopeView {
    /// What it says: who may read, and how it is sealed.
    pub spec: Arc<ScopeSpec>,
    /// Who may read, in words.
    pub atb: String,
    /// Its tag, in every keyId.
    pub tag: ScopeTag,
    /// When it was last sealed under.
    pub used: UnixMillis,
    /// Its bumps as far as their times are remembered, the oldest first.
    pub bumps: Vec<BumpTime>,
    /// Its newest keys, the newest first; with [`Ktm::show_key`](crate::Ktm::show_key) the key in question.
    pub keys: Vec<KeyView>,
}

/// A bump and since when it held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BumpTime {
    /// Which.
    pub bump: Bump,
    /// Since when.
    pub at: UnixMillis,
}

/// Everything about a key but the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyView {
    /// Its name.
    pub key_id: KeyId,
    /// Which epoch of the scope.
    pub epoch: Epoch,
    /// Under which bump.
    pub bump: Bump,
    /// From when it is sealed with.
    pub nbf: UnixMillis,
    /// Until when: the paper's `val`.
    pub exp: UnixMillis,
    /// Until when it opens.
    pub dec: UnixMillis,
    /// Where it is in its life.
    pub state: KeyState,
}

impl KeyView {
    pub(crate) fn of(key: &KeyEntry, state: KeyState) -> Self {
        let KeyTerms { epoch, bump, nbf, exp, dec, .. } = key.terms;
        Self { key_id: key.key_id, epoch, bump, nbf, exp, dec, state }
    }
}

/// What stays of a destroyed scope: the names of its newest keys, for people. None of them can be derived again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shredded {
    /// When it was destroyed.
    at: UnixMillis,
    /// When nobody could open with its keys any more anyway: then this record goes too.
    pub(crate) until: UnixMillis,
    atb: String,
    keys: Vec<ShreddedKey>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ShreddedKey {
    key_id: KeyId,
    val: UnixMillis,
}

impl Shredded {
    pub(crate) fn of(scope: &Scope, roots: &Roots, now: UnixMillis) -> Self {
        let keys = scope.newest_keys(roots, now, KEYS_LISTED_PER_SCOPE);
        let until = keys.iter().map(|(key, _)| key.terms.dec).max().unwrap_or(now);
        let keys = keys.iter().map(|(key, _)| ShreddedKey { key_id: key.key_id, val: key.terms.exp }).collect();
        Self { at: now, until, atb: atb(&scope.spec), keys }
    }

    pub(crate) fn rows(self) -> impl Iterator<Item = KeyRow> {
        let Self { atb, keys, .. } = self;
        keys.into_iter().map(move |key| KeyRow {
            key_id: key.key_id,
            val: key.val,
            atb: atb.clone(),
            state: KeyState::Destroyed,
        })
    }
}

/// Who may read, in words: the residuals without the Cedar that is the same in every line. The paper's `atb`.
pub fn atb(spec: &ScopeSpec) -> String {
    let (app, user) = (audience(&spec.app), audience(&spec.user));
    let text = match (app, user) {
        (None, None) => "nobody".to_owned(),
        (Some(app), None) => format!("apps: {app}"),
        (None, Some(user)) => format!("users: {user}"),
        (Some(app), Some(user)) if app == user => format!("users and apps: {user}"),
        (Some(app), Some(user)) => format!("users: {user}; apps: {app}"),
    };
    match text.char_indices().nth(ATB_CHARS_MAX) {
        None => text,
        Some((cut, _)) => text.chars().take(cut.min(ATB_CHARS_MAX - 1)).chain(['…']).collect(),
    }
}

/// `any`, or the conditions of the permits, and what the forbids take away. `None`: nobody.
fn audience(residual: &str) -> Option<String> {
    let conditions = |effect: &str| {
        let head = format!("{effect}(principal, action, resource)");
        let lines = residual.lines().filter_map(move |line| line.strip_prefix(&head));
        let bare = lines.map(|rest| match rest.strip_prefix(" when { ").and_then(|rest| rest.strip_suffix(" };")) {
            Some(condition) => condition,
            None if rest == ";" => "any",
            None => rest,
        });
        bare.collect::<Vec<_>>()
    };
    let (permits, forbids) = (conditions("permit"), conditions("forbid"));
    match (permits.as_slice(), forbids.as_slice()) {
        ([], _) => None,
        (permits, []) => Some(permits.join(" or ")),
        (permits, forbids) => Some(format!("{}, unless {}", permits.join(" or "), forbids.join(" or "))),
    }
}

#[cfg(test)]
mod tests;
