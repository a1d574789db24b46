//! All mappings of a configuration: which of them a payload is tried with, in which order.

use super::{
    Normalised, Origin, Schema,
    compile::{compile, compile_drop},
    evaluate::{Compiled, Condition, Excess, FieldSource, Misfit, Payload, Place, Side, Unfit},
    mapping::Mapping,
    pointer::Pointer,
};
use crate::{
    config::ConfigError,
    json::Value,
    redact::{remove, without},
};
use std::{collections::HashMap, iter};

/// Most mappings.
pub const MAPPINGS_MAX: usize = 256;

/// The mappings in force, ready to be applied, and what is dropped of readings that none of them made.
#[derive(Debug, Default)]
pub struct Mappings {
    all: Vec<Compiled>,
    index: Index,
    drop: Vec<Pointer>,
}

impl Mappings {
    /// Checks mappings; what is wrong is told with its pointer into the document.
    pub(crate) fn compile(mappings: &[Mapping], drop: &[String], errors: &mut Vec<ConfigError>) -> Self {
        if mappings.len() > MAPPINGS_MAX {
            let message = format!("at most {MAPPINGS_MAX} mappings; there are {}", mappings.len());
            errors.push(ConfigError { pointer: "/mappings".into(), message });
            return Self::default();
        }
        let mut all = Vec::with_capacity(mappings.len());
        for (number, mapping) in mappings.iter().enumerate() {
            let at = format!("/mappings/{number}");
            if mappings.iter().take(number).any(|earlier| earlier.name == mapping.name) {
                let message = format!("another mapping is called `{}`", mapping.name);
                errors.push(ConfigError { pointer: format!("{at}/name"), message });
            }
            all.extend(compile(mapping, &at, errors));
        }
        let index = Index::of(&all);
        Self { all, index, drop: compile_drop(drop, errors) }
    }

    /// The readings that the first mapping that fits makes of a value; `None` if none fits. Cost: a branch where there are
    /// no mappings.
    pub fn apply<'m>(&'m self, value: Value<'_>, origin: Origin<'_>) -> Result<Option<Vec<Normalised<'m>>>, Excess> {
        if self.all.is_empty() {
            return Ok(None);
        }
        let payload = Payload::new(value, origin);
        for number in self.index.candidates(&payload).numbers() {
            let Some(mapping) = self.all.get(number) else { continue };
            match mapping.apply(&payload) {
                Ok(made) => return Ok(Some(made)),
                Err(Unfit::Excess(excess)) => return Err(excess),
                Err(Unfit::Misfit(misfit)) if misfit.is_time() => {
                    metrics::counter!("aups_mapping_times_unread_total", "mapping" => mapping.name.to_string())
                        .increment(1);
                }
                Err(Unfit::Misfit(_)) => {}
            }
        }
        Ok(None)
    }

    /// Takes away what is dropped of a reading that no mapping made. Fails only if it cannot be written any more.
    pub(crate) fn trim(&self, normalised: &mut Normalised<'_>) -> Result<(), serde_json::Error> {
        for pointer in &self.drop {
            if normalised.schema == Schema::Raw {
                let value = &mut normalised.reading.value;
                *value = without(value, pointer.path())?;
            } else {
                remove(&mut normalised.reading, pointer.path())?;
            }
        }
        Ok(())
    }

    /// Which mapping fits a value, and why those before it do not, in their order. For people: all of them are tried.
    pub fn explain<'m>(&'m self, value: Value<'_>, origin: Origin<'_>) -> Vec<(&'m str, Option<Misfit<'m>>)> {
        let payload = Payload::new(value, origin);
        let mut explained = Vec::new();
        for mapping in &self.all {
            match mapping.apply(&payload) {
                Err(Unfit::Misfit(misfit)) => explained.push((&*mapping.name, Some(misfit))),
                Ok(_) | Err(Unfit::Excess(_)) => {
                    explained.push((&*mapping.name, None));
                    break;
                }
            }
        }
        explained
    }
}

/// Which mappings a payload can fit at all, found by one look-up for its source and one for each of its members.
#[derive(Debug, Default)]
struct Index {
    /// Those meant for one source.
    by_node_id: HashMap<Box<str>, Numbers>,
    /// Those meant for one type of source.
    by_node_type: HashMap<Box<str>, Numbers>,
    /// Those that need a certain member, or element.
    by_member: HashMap<Box<str>, Numbers>,
    /// All others.
    always: Numbers,
    /// All that need a member or an element.
    with_member: Numbers,
}

impl Index {
    fn of(all: &[Compiled]) -> Self {
        let mut index = Self::default();
        for (number, mapping) in all.iter().enumerate() {
            let exact = mapping.conditions.iter().find_map(|condition| match condition {
                Condition::NodeId(glob) => glob.exact().map(|name| (true, name)),
                Condition::NodeType(glob) => glob.exact().map(|name| (false, name)),
                Condition::Present(..) | Condition::Equals(..) => None,
            });
            match (exact, mapping.needed_member()) {
                (Some((true, node_id)), _) => index.by_node_id.entry(node_id.into()).or_default().insert(number),
                (Some((false, kind)), _) => index.by_node_type.entry(kind.into()).or_default().insert(number),
                (None, Some(member)) => {
                    index.by_member.entry(member.into()).or_default().insert(number);
                    index.with_member.insert(number);
                }
                (None, None) => index.always.insert(number),
            }
        }
        index
    }

    fn candidates(&self, payload: &Payload<'_>) -> Numbers {
        let mut candidates = self.always;
        if let Some(node_id) = payload.origin.node_id
            && let Some(numbers) = self.by_node_id.get(node_id)
        {
            candidates.add(numbers);
        }
        if let Some(numbers) = self.by_node_type.get(payload.origin.node_type) {
            candidates.add(numbers);
        }
        match &payload.members {
            // The look-up costs nothing where there is nothing to be found.
            Some(members) if !self.by_member.is_empty() => {
                for numbers in members.iter().filter_map(|(name, _)| self.by_member.get(&**name)) {
                    candidates.add(numbers);
                }
            }
            None if payload.value.is_array() => candidates.add(&self.with_member),
            _ => {}
        }
        candidates
    }
}

impl Compiled {
    /// A member of the payload without which the mapping cannot fit.
    fn needed_member(&self) -> Option<&str> {
        let conditions = self.conditions.iter().filter_map(|condition| match condition {
            Condition::Present(_, place) | Condition::Equals(_, place, _) => Some(place),
            Condition::NodeId(_) | Condition::NodeType(_) => None,
        });
        let values = self.items.iter().filter(|item| !item.optional).filter_map(|item| match &item.value.source {
            FieldSource::Place(place) => Some(place),
            FieldSource::Constant(_) | FieldSource::Template(_) => None,
        });
        conditions.chain(&self.each).chain(values).find_map(|place| self.first_member(place))
    }

    fn first_member(&self, place: &Place) -> Option<&str> {
        let Side::Payload(slot) = place.side else { return None };
        self.absolute.get(slot)?.path().first().map(String::as_str)
    }
}

/// A set of mappings, by their numbers.
#[derive(Debug, Clone, Copy, Default)]
struct Numbers([u64; MAPPINGS_MAX / WORD_BITS]);

const WORD_BITS: usize = 64;

impl Numbers {
    fn insert(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / WORD_BITS) {
            *word |= 1 << (number % WORD_BITS);
        }
    }

    fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
    }

    /// From the smallest.
    fn numbers(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(at, mut word)| {
            iter::from_fn(move || {
                let lowest = (word != 0).then(|| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(at * WORD_BITS + lowest)
            })
        })
    }
}

#[cfg(test)]
mod tests;
