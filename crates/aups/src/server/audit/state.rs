//! What is registered and in force, as lines of the trail: so that whoever has the trail can say who could read what, and when.

use super::{AuditError, Event};
use crate::server::{
    policies::{Active, Policies},
    registry::{ReaderRecord, Registrar, Registry},
};
use aups_core::ReaderKind;
use aups_envelope::{b64, sha256};

/// Longest part of a policy set or a configuration in one line, in bytes.
const TEXT_PART_BYTES_MAX: usize = 64 << 10;
/// Most of what is told at once, in bytes of JSON.
const PART_BYTES_MAX: usize = 256 << 10;

/// A reader as it is from now on.
pub(crate) fn reader(record: &ReaderRecord) -> Event {
    Event::Reader {
        kind: record.kind,
        sub: record.sub.clone(),
        attrs: record.attrs.clone(),
        groups: record.groups.clone(),
        app: record.app.clone(),
        enrolled: record.is_enrolled(),
    }
}

/// The policies in force, and the schema that they were admitted under.
pub(crate) fn in_force(active: &Active) -> Vec<Event> {
    let version = active.version.number;
    let extension = active.schema.extension().clone();
    let mut events = vec![Event::Schema { version: active.schema_version, extension }];
    events.extend(parts_of(&active.text).map(|(part, text)| Event::PolicyText { version, part, text }));
    let parts = events.len() - 1;
    events.push(Event::PoliciesInForce { version, parts });
    events
}

/// The configuration in force.
pub(crate) fn config_in_force(version: u64, text: &str) -> Vec<Event> {
    let mut events: Vec<_> = parts_of(text).map(|(part, text)| Event::ConfigText { version, part, text }).collect();
    events.push(Event::ConfigInForce { version, parts: events.len() });
    events
}

/// A text in parts, each short enough for a line, with their numbers.
fn parts_of(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut rest = text;
    let next = move || {
        let (part, after) = rest.split_at(rest.floor_char_boundary(TEXT_PART_BYTES_MAX));
        rest = after;
        (!part.is_empty()).then(|| part.to_owned())
    };
    std::iter::from_fn(next).enumerate()
}

/// All of it, apps before their users.
pub(crate) fn whole(registry: &Registry, policies: &Policies) -> Vec<Event> {
    let groups = registry.groups().into_iter().map(|(group, groups)| Event::Group { group, groups });
    let readers =
        [ReaderKind::App, ReaderKind::User].into_iter().flat_map(|kind| registry.readers(&Registrar::Admin, kind));
    let readers = readers.collect::<Vec<_>>();
    groups.chain(readers.iter().map(reader)).chain(in_force(&policies.active())).collect()
}

/// Its hash.
pub(super) fn hash(events: &[Event]) -> String {
    let lines: Vec<Vec<u8>> = events.iter().map(|event| serde_json::to_vec(event).unwrap_or_default()).collect();
    let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
    b64::encode(&sha256(&lines))
}

impl super::Audit {
    /// Writes as many events as there are, some at a time; they are on disk when this returns.
    pub(crate) async fn record_many(&self, events: &[Event]) -> Result<(), AuditError> {
        let mut some = Vec::new();
        let mut bytes = 0;
        for event in events {
            let told = super::Told::of(event);
            bytes += told.as_str().len();
            some.push(told);
            if bytes >= PART_BYTES_MAX {
                self.enter(std::mem::take(&mut some), false).await?;
                bytes = 0;
            }
        }
        if some.is_empty() { Ok(()) } else { self.enter(some, false).await.map(drop) }
    }

    /// Sees that the trail tells what is registered and in force: all of it now, unless the newest run stopped by itself and
    /// nothing changed since; and its hash when this run stops.
    pub(crate) async fn tell_state(
        &self,
        state: impl Fn() -> Vec<Event> + Send + Sync + 'static,
    ) -> Result<(), AuditError> {
        let events = state();
        if self.stopped_with.as_ref() != Some(&hash(&events)) {
            self.record(Event::State { lines: events.len() }).await?;
            self.record_many(&events).await?;
        }
        if self.state.set(Box::new(state)).is_err() {
            tracing::warn!("the audit trail is told the state by somebody else already");
        }
        Ok(())
    }
}
