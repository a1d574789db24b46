//! Who could read a topic, and when: what was registered and in force, played again from the lines of a trail.

use super::Event;
use crate::server::registry::closure;
use aups_core::{Attributes, GroupName, Principal, ReaderKind, RealmId, Sub, Topic, UnixMillis};
use aups_policy::{Pdp, PolicySet, Schema, SchemaExtension, Standing};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use thiserror::Error;

/// The events that are played again, as a search names them.
pub(crate) const EVENTS: &str =
    "state,reader,reader-removed,group,group-removed,schema,policy-text,policies-in-force,enrolled";
/// Most stretches of time that are told.
const STRETCHES_MAX: usize = 100_000;

/// Why it cannot be said who could read.
#[derive(Debug, Error)]
pub(crate) enum ReplayError {
    /// The trail does not tell it.
    #[error(
        "the trail does not tell who was registered: it is of an earlier program, or its oldest files are elsewhere"
    )]
    Untold,
    /// It was told for the first time later.
    #[error("what was registered is told from {0} on only")]
    Later(UnixMillis),
    /// What it tells makes no sense to this program.
    #[error("version {0} of the policies, as the trail tells it, cannot be read by this program")]
    Policies(u64),
    /// More than can be shown.
    #[error("more than {STRETCHES_MAX} changes: ask about a shorter time")]
    TooMuch,
}

/// What a reader could read of the topic for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Stretch {
    pub(crate) sub: Sub,
    pub(crate) kind: ReaderKind,
    pub(crate) from: UnixMillis,
    /// Up to here, not with it.
    pub(crate) to: UnixMillis,
    /// In words: every item, or under which conditions.
    pub(crate) may: String,
}

/// A reader as the trail tells it.
#[derive(Debug, Clone)]
struct Told {
    kind: ReaderKind,
    attrs: Attributes,
    groups: BTreeSet<GroupName>,
    app: Option<Sub>,
    enrolled: bool,
}

/// Plays a trail again and watches one topic for a while.
#[derive(Debug)]
pub(crate) struct Replay {
    topic: Topic,
    from: UnixMillis,
    to: UnixMillis,
    readers: BTreeMap<Sub, Told>,
    groups: BTreeMap<GroupName, BTreeSet<GroupName>>,
    extension: SchemaExtension,
    /// The text that is being told, and of which version.
    text: (u64, String),
    decides: Option<Pdp>,
    /// When all of it was first told.
    known_since: Option<UnixMillis>,
    /// Lines of it that are still to come.
    awaited: usize,
    /// The times at which all of it was told anew, for the server had been killed.
    told_anew: Vec<UnixMillis>,
    began: bool,
    now: BTreeMap<Sub, (UnixMillis, ReaderKind, String)>,
    stretches: Vec<Stretch>,
}

/// What came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Readable {
    pub(crate) topic: Topic,
    pub(crate) from: UnixMillis,
    pub(crate) to: UnixMillis,
    /// Above `from`: before it, nothing is known.
    pub(crate) known_since: UnixMillis,
    /// When the server started after a kill: what changed just before may be told as of then.
    pub(crate) told_anew: Vec<UnixMillis>,
    pub(crate) readers: Vec<Stretch>,
}

impl Replay {
    /// Before the first line.
    pub(crate) fn new(topic: Topic, from: UnixMillis, to: UnixMillis) -> Self {
        Self {
            topic,
            from,
            to,
            readers: BTreeMap::new(),
            groups: BTreeMap::new(),
            extension: SchemaExtension::default(),
            text: (0, String::new()),
            decides: None,
            known_since: None,
            awaited: 0,
            told_anew: Vec::new(),
            began: false,
            now: BTreeMap::new(),
            stretches: Vec::new(),
        }
    }

    /// Takes the next line.
    pub(crate) fn take(&mut self, at: UnixMillis, event: Event) -> Result<(), ReplayError> {
        if at >= self.from && !self.began && self.is_known() {
            self.began = true;
            self.look(self.from)?;
        }
        let is_state = matches!(event, Event::State { .. });
        if self.known_since.is_none() && self.awaited == 0 && !is_state {
            // What is told before all of it was told once is not enough to say anything.
            return Ok(());
        }
        if is_state && self.is_known() && at >= self.from {
            self.told_anew.push(at);
        }
        self.apply(event)?;
        if self.awaited > 0 && !is_state {
            self.awaited -= 1;
        }
        if self.awaited > 0 {
            return Ok(());
        }
        self.known_since.get_or_insert(at);
        if at >= self.from {
            self.began = true;
            self.look(at)?;
        }
        Ok(())
    }

    /// What came of it.
    pub(crate) fn finish(mut self) -> Result<Readable, ReplayError> {
        let known_since = self.known_since.ok_or(ReplayError::Untold)?;
        if known_since >= self.to {
            return Err(ReplayError::Later(known_since));
        }
        if !self.began {
            self.look(self.from)?;
        }
        for (sub, (from, kind, may)) in std::mem::take(&mut self.now) {
            self.stretches.push(Stretch { sub, kind, from, to: self.to, may });
        }
        self.stretches.sort_by(|one, other| (&one.sub, one.from).cmp(&(&other.sub, other.from)));
        let Self { topic, from, to, told_anew, stretches, .. } = self;
        Ok(Readable { topic, from, to, known_since, told_anew, readers: stretches })
    }

    fn is_known(&self) -> bool {
        self.known_since.is_some() && self.awaited == 0
    }

    fn apply(&mut self, event: Event) -> Result<(), ReplayError> {
        match event {
            Event::State { lines } => {
                self.readers.clear();
                self.groups.clear();
                self.awaited = lines;
            }
            Event::Reader { kind, sub, attrs, groups, app, enrolled } => {
                self.readers.insert(sub, Told { kind, attrs, groups, app, enrolled });
            }
            Event::ReaderRemoved { sub } => {
                self.readers.retain(|reader, told| *reader != sub && told.app.as_ref() != Some(&sub));
            }
            Event::Enrolled { sub, .. } => {
                self.readers.entry(sub).and_modify(|told| told.enrolled = true);
            }
            Event::Group { group, groups } => drop(self.groups.insert(group, groups)),
            Event::GroupRemoved { group } => drop(self.groups.remove(&group)),
            Event::Schema { extension, .. } => self.extension = extension,
            Event::PolicyText { version, part, text } => {
                if part == 0 {
                    self.text = (version, String::new());
                }
                self.text.1.push_str(&text);
            }
            Event::PoliciesInForce { version, parts } => {
                let text = if parts == 0 { "" } else { self.text.1.as_str() };
                let is_whole = parts == 0 || self.text.0 == version;
                let schema = Schema::extended(&self.extension).ok().filter(|_| is_whole);
                let set = schema.and_then(|schema| PolicySet::parse_in(&schema, text, "policies").ok());
                let set = set.ok_or(ReplayError::Policies(version))?;
                self.decides = Some(Pdp::new(RealmId::from_bytes([0; 32]), set));
            }
            _ => {}
        }
        Ok(())
    }

    /// Looks who may read what from a time on.
    fn look(&mut self, at: UnixMillis) -> Result<(), ReplayError> {
        let mut may = BTreeMap::new();
        if let Some(decides) = &self.decides {
            for (sub, told) in self.readers.iter().filter(|(_, told)| told.enrolled) {
                match decides.standing(&self.principal(sub, told), &self.topic) {
                    Standing::Never => {}
                    standing => drop(may.insert(sub.clone(), (told.kind, standing.to_string()))),
                }
            }
        }
        let ended = |sub: &Sub, kind: ReaderKind, words: &String| may.get(sub) != Some(&(kind, words.clone()));
        let over: Vec<Sub> = self
            .now
            .iter()
            .filter(|(sub, (_, kind, words))| ended(sub, *kind, words))
            .map(|(sub, _)| sub.clone())
            .collect();
        for sub in over {
            if let Some((from, kind, may)) = self.now.remove(&sub).filter(|(from, ..)| *from < at) {
                self.stretches.push(Stretch { sub, kind, from, to: at, may });
            }
        }
        for (sub, (kind, words)) in may {
            self.now.entry(sub).or_insert((at, kind, words));
        }
        if self.stretches.len() > STRETCHES_MAX { Err(ReplayError::TooMuch) } else { Ok(()) }
    }

    fn principal(&self, sub: &Sub, told: &Told) -> Principal {
        let app = told.app.as_ref().and_then(|app| Some((app, self.readers.get(app)?)));
        Principal {
            kind: told.kind,
            sub: sub.clone(),
            attributes: told.attrs.clone(),
            groups: closure(&self.groups, &told.groups),
            app: app.map(|(sub, told)| Arc::new(self.principal(sub, told))),
        }
    }
}

#[cfg(test)]
mod tests;
