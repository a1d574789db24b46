//! Mappings are checked as a whole, and turned into what is quick to apply.

use super::{
    evaluate::{Compiled, Condition, Expected, FieldSource, ItemRule, Kept, Part, Place, Side, TimeRule, ValueRule},
    glob::Glob,
    mapping::{Field, ItemTemplate, Keep, Mapping, Taken, TimeFormat},
    pointer::Pointer,
};
use crate::config::{ConfigError, escaped};
use serde_json::value::to_raw_value;
use std::{collections::HashSet, fmt};

/// Most items that one mapping makes of one element.
const ITEM_TEMPLATES_MAX: usize = 64;
/// Most conditions of a kind in one mapping.
const CONDITIONS_MAX: usize = 16;
/// Most pointers in one `keep` or `drop`.
const KEPT_MAX: usize = 64;
/// Longest template of a text, in bytes.
const TEMPLATE_BYTES_MAX: usize = 1_024;
/// Longest name of a mapping, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Schemas that no mapping may take for its own.
const RESERVED: [&str; 4] = ["default", "raw", "senml", "notification"];
/// What a reading has already, so that nothing that is kept may be called so.
const OWN: [&str; 4] = ["name", "value", "unit", "time"];

/// Compiles one mapping; tells all that is wrong with it, each at its own pointer below `at`.
pub(super) fn compile(mapping: &Mapping, at: &str, errors: &mut Vec<ConfigError>) -> Option<Compiled> {
    let mut compiler =
        Compiler { errors, absolute: Vec::new(), has_each: mapping.each.is_some(), used: HashSet::new() };
    let before = compiler.errors.len();
    compiler.name(&mapping.name, &format!("{at}/name"));
    let conditions = compiler.conditions(mapping, &format!("{at}/when"));
    let each = mapping.each.as_deref().and_then(|each| compiler.each(each, &format!("{at}/each")));
    let items = compiler.items(&mapping.items, &format!("{at}/items"));
    let Compiler { errors, absolute, used, .. } = compiler;
    let whole = errors.len() == before;
    whole.then(|| Compiled { name: mapping.name.as_str().into(), conditions, each, items, absolute, used })
}

struct Compiler<'e> {
    errors: &'e mut Vec<ConfigError>,
    /// Pointers into the payload, each once.
    absolute: Vec<Pointer>,
    has_each: bool,
    /// The members of the element that some item is made of.
    used: HashSet<Box<str>>,
}

impl Compiler<'_> {
    fn wrong(&mut self, at: &str, message: impl fmt::Display) {
        self.errors.push(ConfigError { pointer: at.into(), message: message.to_string() });
    }

    fn at_most(&mut self, count: usize, max: usize, at: &str, what: &str) {
        if count > max {
            self.wrong(at, format!("at most {max} {what}; there are {count}"));
        }
    }

    fn name(&mut self, name: &str, at: &str) {
        if RESERVED.contains(&name) {
            self.wrong(at, format!("`{name}` is a schema of its own; choose another name"));
        } else if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(aups_core::id::is_name_byte) {
            self.wrong(at, format!("a mapping's name is 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 . _ ~ -"));
        }
    }

    fn conditions(&mut self, mapping: &Mapping, at: &str) -> Vec<Condition> {
        let when = &mapping.when;
        self.at_most(when.present.len(), CONDITIONS_MAX, &format!("{at}/present"), "pointers");
        self.at_most(when.equals.len(), CONDITIONS_MAX, &format!("{at}/equals"), "pointers");
        let mut conditions = Vec::new();
        if let Some(pattern) = &when.node_id {
            conditions.extend(self.glob(pattern, &format!("{at}/nodeId")).map(Condition::NodeId));
        }
        if let Some(pattern) = &when.node_type {
            conditions.extend(self.glob(pattern, &format!("{at}/nodeType")).map(Condition::NodeType));
        }
        for (number, (pointer, expected)) in when.equals.iter().enumerate() {
            let at = format!("{at}/equals/{}", escaped(pointer));
            let place = self.in_payload(pointer, &at);
            let expected = Expected::of(expected);
            if expected.is_none() {
                self.wrong(&at, "only a text, a number, a boolean or null can be compared with");
            }
            conditions.extend(place.zip(expected).map(|(place, is)| Condition::Equals(number, place, is)));
        }
        for (number, pointer) in when.present.iter().enumerate() {
            let place = self.in_payload(pointer, &format!("{at}/present/{number}"));
            conditions.extend(place.map(|place| Condition::Present(number, place)));
        }
        conditions
    }

    fn glob(&mut self, pattern: &str, at: &str) -> Option<Glob> {
        let glob = pattern.parse::<Glob>().map_err(|error| self.wrong(at, error));
        glob.ok()
    }

    fn each(&mut self, pointer: &str, at: &str) -> Option<Place> {
        self.in_payload(pointer, at)
    }

    fn items(&mut self, templates: &[ItemTemplate], at: &str) -> Vec<ItemRule> {
        if templates.is_empty() {
            self.wrong(at, "a mapping makes at least one item");
        }
        self.at_most(templates.len(), ITEM_TEMPLATES_MAX, at, "items");
        templates.iter().enumerate().filter_map(|(number, one)| self.item(one, &format!("{at}/{number}"))).collect()
    }

    fn item(&mut self, template: &ItemTemplate, at: &str) -> Option<ItemRule> {
        let name = self.text(&template.name, &format!("{at}/name"));
        let value = self.value(&template.value, &format!("{at}/value"));
        let unit = template.unit.as_ref().map(|field| self.text(field, &format!("{at}/unit")));
        let time = template.time.as_ref().map(|field| self.time(field, &format!("{at}/time")));
        let node_id = template.node_id.as_ref().map(|field| self.text(field, &format!("{at}/nodeId")));
        let keep = self.keep(&template.keep, &format!("{at}/keep"));
        let drop = self.dropped(&template.drop, &format!("{at}/drop"));
        Some(ItemRule {
            name: name?,
            value: value?,
            unit: unit.flatten(),
            time: time.flatten(),
            node_id: node_id.flatten(),
            keep,
            drop,
            optional: template.optional,
        })
    }

    /// A field that is a text: `scale`, `offset` and `format` mean nothing to it.
    fn text(&mut self, field: &Field, at: &str) -> Option<FieldSource> {
        if let Field::Taken(Taken { scale, offset, format, .. }) = field {
            self.out_of_place(scale.is_some(), at, "scale", "value");
            self.out_of_place(offset.is_some(), at, "offset", "value");
            self.out_of_place(format.is_some(), at, "format", "time");
        }
        let source = self.source(field, at)?;
        if let FieldSource::Constant(constant) = &source
            && Expected::text_of(constant).is_none()
        {
            self.wrong(at, "must be a text, a number or a boolean");
        }
        Some(source)
    }

    fn value(&mut self, field: &Field, at: &str) -> Option<ValueRule> {
        let linear = match field {
            Field::Taken(Taken { scale: None, offset: None, .. }) | Field::Template(_) => None,
            Field::Taken(Taken { scale, offset, constant, .. }) => {
                self.out_of_place(constant.is_some(), at, "scale or offset", "pointer");
                let (scale, offset) = (scale.unwrap_or(1.0), offset.unwrap_or(0.0));
                // JSON has no others, but a document may come another way.
                if !scale.is_finite() || !offset.is_finite() {
                    self.wrong(at, "`scale` and `offset` are finite numbers");
                }
                Some((scale, offset))
            }
        };
        if let Field::Taken(Taken { format, .. }) = field {
            self.out_of_place(format.is_some(), at, "format", "time");
        }
        Some(ValueRule { source: self.source(field, at)?, linear })
    }

    fn time(&mut self, field: &Field, at: &str) -> Option<TimeRule> {
        let mut format = TimeFormat::default();
        if let Field::Taken(taken) = field {
            self.out_of_place(taken.scale.is_some(), at, "scale", "value");
            self.out_of_place(taken.offset.is_some(), at, "offset", "value");
            format = taken.format.unwrap_or_default();
        }
        let source = self.source(field, at)?;
        if matches!(source, FieldSource::Constant(_)) {
            self.wrong(at, "a time that is always the same says nothing; take it from a pointer or a template");
        }
        Some(TimeRule { source, format })
    }

    fn out_of_place(&mut self, is_there: bool, at: &str, member: &str, belongs_to: &str) {
        if is_there {
            self.wrong(at, format!("`{member}` goes with a `{belongs_to}` only; leave it out"));
        }
    }

    fn source(&mut self, field: &Field, at: &str) -> Option<FieldSource> {
        match field {
            Field::Template(text) => self.template(text, at).map(FieldSource::Template),
            Field::Taken(Taken { pointer: Some(pointer), constant: None, .. }) => {
                self.place(pointer, &format!("{at}/pointer")).map(FieldSource::Place)
            }
            Field::Taken(Taken { pointer: None, constant: Some(constant), .. }) => {
                let constant = to_raw_value(constant).map_err(|error| self.wrong(at, error)).ok()?;
                Some(FieldSource::Constant(constant))
            }
            Field::Taken(_) => {
                self.wrong(at, "has either a `pointer` or a `const`");
                None
            }
        }
    }

    /// Text with `{/pointer}`, `{./pointer}` and `{key}` in it; `{{` and `}}` are the braces themselves.
    fn template(&mut self, text: &str, at: &str) -> Option<Vec<Part>> {
        self.at_most(text.len(), TEMPLATE_BYTES_MAX, at, "bytes");
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(brace) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at_checked(brace)?;
            push_text(&mut parts, before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                push_text(&mut parts, if from.starts_with('{') { "{" } else { "}" });
                rest = after;
                continue;
            }
            let Some((inside, after)) = from.strip_prefix('{').and_then(|from| from.split_once('}')) else {
                self.wrong(at, "a brace is not closed or not opened; write `{{` and `}}` for braces as such");
                return None;
            };
            parts.push(self.part(inside, at)?);
            rest = after;
        }
        push_text(&mut parts, rest);
        Some(parts)
    }

    fn part(&mut self, inside: &str, at: &str) -> Option<Part> {
        if inside == "key" {
            if !self.has_each {
                self.wrong(at, "`{key}` is the name of an element of `each`, and there is no `each`");
            }
            return Some(Part::Key);
        }
        if inside.starts_with(['/', '.']) {
            return self.place(inside, at).map(Part::Place);
        }
        self.wrong(at, format!("`{{{inside}}}` is neither `{{key}}` nor a pointer such as `{{/a/b}}` or `{{./a}}`"));
        None
    }

    /// A pointer into the payload, or, with a point before it, into the element of `each`.
    fn place(&mut self, text: &str, at: &str) -> Option<Place> {
        let Some(relative) = text.strip_prefix('.') else { return self.in_payload_used(text, at) };
        if !self.has_each {
            self.wrong(at, "a pointer that starts with `.` points into an element of `each`, and there is no `each`");
        }
        let pointer = self.pointer(relative, at)?;
        self.used.extend(pointer.path().first().map(|name| name.as_str().into()));
        Some(Place { text: text.into(), side: Side::Element(pointer) })
    }

    fn in_payload_used(&mut self, text: &str, at: &str) -> Option<Place> {
        let place = self.in_payload(text, at)?;
        if !self.has_each
            && let Side::Payload(slot) = place.side
        {
            let first = self.absolute.get(slot).and_then(|pointer| pointer.path().first());
            self.used.extend(first.map(|name| name.as_str().into()));
        }
        Some(place)
    }

    fn in_payload(&mut self, text: &str, at: &str) -> Option<Place> {
        let pointer = self.pointer(text, at)?;
        let slot = self.absolute.iter().position(|known| *known == pointer).unwrap_or_else(|| {
            self.absolute.push(pointer);
            self.absolute.len() - 1
        });
        Some(Place { text: text.into(), side: Side::Payload(slot) })
    }

    fn pointer(&mut self, text: &str, at: &str) -> Option<Pointer> {
        text.parse().map_err(|error| self.wrong(at, error)).ok()
    }

    fn keep(&mut self, keep: &Keep, at: &str) -> Kept {
        match keep {
            Keep::None => Kept::Only(Vec::new()),
            Keep::All => Kept::All,
            Keep::Only(pointers) => {
                self.at_most(pointers.len(), KEPT_MAX, at, "pointers");
                let mut names = HashSet::new();
                let mut kept = Vec::new();
                for (number, text) in pointers.iter().enumerate() {
                    kept.extend(self.kept(text, &format!("{at}/{number}"), &mut names));
                }
                Kept::Only(kept)
            }
        }
    }

    /// What is kept is called by the last name of its pointer.
    fn kept(&mut self, text: &str, at: &str, names: &mut HashSet<Box<str>>) -> Option<(Box<str>, Place)> {
        let (side_text, is_relative) = text.strip_prefix('.').map_or((text, false), |relative| (relative, true));
        if is_relative && !self.has_each {
            self.wrong(at, "a pointer that starts with `.` points into an element of `each`, and there is no `each`");
        }
        let pointer = self.pointer(side_text, at)?;
        let Some(name) = pointer.path().last().map(|name| Box::<str>::from(name.as_str())) else {
            self.wrong(at, "points to everything; write \"keep\": \"all\"");
            return None;
        };
        if OWN.contains(&&*name) {
            self.wrong(at, format!("would be kept as `{name}`, which the reading has already"));
        } else if !names.insert(name.clone()) {
            self.wrong(at, format!("would be kept as `{name}`, as another is"));
        }
        let place = if is_relative {
            Place { text: text.into(), side: Side::Element(pointer) }
        } else {
            self.in_payload(text, at)?
        };
        Some((name, place))
    }

    fn dropped(&mut self, pointers: &[String], at: &str) -> Vec<(bool, Pointer)> {
        self.at_most(pointers.len(), KEPT_MAX, at, "pointers");
        let mut dropped = Vec::new();
        for (number, text) in pointers.iter().enumerate() {
            let at = format!("{at}/{number}");
            let (text, is_relative) = text.strip_prefix('.').map_or((text.as_str(), false), |text| (text, true));
            if is_relative && !self.has_each {
                self.wrong(
                    &at,
                    "a pointer that starts with `.` points into an element of `each`, and there is no `each`",
                );
            }
            let Some(pointer) = self.pointer(text, &at) else { continue };
            if pointer.path().is_empty() {
                self.wrong(&at, "points to everything; write \"keep\": \"none\"");
            }
            dropped.push((is_relative, pointer));
        }
        dropped
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        _ if text.is_empty() => {}
        Some(Part::Text(before)) => before.push_str(text),
        _ => parts.push(Part::Text(text.into())),
    }
}

/// Compiles what is dropped of readings that no mapping made.
pub(super) fn compile_drop(drop: &[String], errors: &mut Vec<ConfigError>) -> Vec<Pointer> {
    if drop.len() > KEPT_MAX {
        let message = format!("at most {KEPT_MAX} pointers; there are {}", drop.len());
        errors.push(ConfigError { pointer: "/drop".into(), message });
    }
    let mut pointers = Vec::new();
    for (number, text) in drop.iter().enumerate() {
        let message = match text.parse::<Pointer>() {
            Ok(pointer) if pointer.path().is_empty() => "points to everything".to_owned(),
            Ok(pointer) if matches!(pointer.path(), [only] if only == "value") => {
                "a reading without `value` is none; drop what lies below it".to_owned()
            }
            Ok(pointer) => {
                pointers.push(pointer);
                continue;
            }
            Err(error) => error.to_string(),
        };
        errors.push(ConfigError { pointer: format!("/drop/{number}"), message });
    }
    pointers
}
