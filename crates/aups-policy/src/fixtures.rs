//! Items, readers and policy sets for the tests of this crate.

use crate::{Pdp, PolicySet, Resource, Schema};
use aups_core::{AttributeValue, Attributes, Item, Marks, Principal, ReaderKind, RealmId, Score, Topic};
use serde_json::value::RawValue;

/// An item on its way to a topic.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) item: Item,
    pub(crate) topic: Topic,
    pub(crate) marks: Marks,
}

const FIGURE_2: &str = r#"{"id":"01981a4b-7c3d-7e5f-8a6b-9c0d1e2f3a4b","source":{"nodeId":"s1","nodeType":"sensor",
"communicationMode":"discrete","registered":true},"schema":"default","receivedAt":"2026-11-22T13:27:31.000Z",
"data":{"name":"temperature","value":10.0},"security":{"confidentiality":0.0,"integrity":0.7,"privacy":0.5,
"authentication":0.9},"quality":{"accuracy":0.93,"precision":0.8,"timeliness":1.0,"completeness":1.0}}"#;

impl Sample {
    /// The item of the paper's figure 2.
    pub(crate) fn new(topic: &str) -> Self {
        Self { item: serde_json::from_str(FIGURE_2).unwrap(), topic: topic.parse().unwrap(), marks: Marks::default() }
    }

    pub(crate) fn resource(&self) -> Resource<'_> {
        Resource { item: &self.item, topic: &self.topic, marks: &self.marks }
    }

    pub(crate) fn topic(mut self, topic: &str) -> Self {
        self.topic = topic.parse().unwrap();
        self
    }

    pub(crate) fn value(mut self, json: &str) -> Self {
        self.item.data.value = RawValue::from_string(json.to_owned()).unwrap();
        self
    }

    pub(crate) fn name(mut self, name: &str) -> Self {
        self.item.data.name = name.into();
        self
    }

    pub(crate) fn node(mut self, node_id: &str) -> Self {
        self.item.source.node_id = node_id.into();
        self
    }

    pub(crate) fn kind(mut self, node_type: &str) -> Self {
        self.item.source.node_type = node_type.into();
        self
    }

    pub(crate) fn registered(mut self, registered: bool) -> Self {
        self.item.source.registered = registered;
        self
    }

    /// A member of `data`.
    pub(crate) fn member(mut self, name: &str, json: &str) -> Self {
        let value = RawValue::from_string(json.to_owned()).unwrap();
        self.item.data.further.push((name.into(), value));
        self
    }

    pub(crate) fn label(mut self, label: &str) -> Self {
        self.marks.labels.insert(label.to_owned());
        self
    }

    pub(crate) fn tag(mut self, name: &str, text: &str) -> Self {
        self.marks.tags.insert(name.to_owned(), text.to_owned());
        self
    }

    pub(crate) fn accuracy(mut self, fraction: f64) -> Self {
        self.item.quality.accuracy = Score::from_fraction(fraction);
        self
    }

    pub(crate) fn integrity(mut self, fraction: f64) -> Self {
        self.item.security.integrity = Score::from_fraction(fraction);
        self
    }
}

/// A reader without attributes: `user("alice")`, `app("panel").role("meteo")`.
pub(crate) fn user(sub: &str) -> Principal {
    reader(ReaderKind::User, sub)
}

pub(crate) fn app(sub: &str) -> Principal {
    reader(ReaderKind::App, sub)
}

fn reader(kind: ReaderKind, sub: &str) -> Principal {
    Principal {
        kind,
        sub: sub.parse().unwrap(),
        attributes: Attributes::default(),
        groups: std::collections::BTreeSet::new(),
        app: None,
    }
}

/// Attributes, one after the other.
pub(crate) trait With {
    fn role(self, role: &str) -> Self;
    fn org(self, org: &str) -> Self;
    fn clearance(self, clearance: i64) -> Self;
    fn purpose(self, purpose: &str) -> Self;
    fn group(self, group: &str) -> Self;
    fn tag(self, name: &str, text: &str) -> Self;
    fn attribute(self, name: &str, value: AttributeValue) -> Self;
}

impl With for Principal {
    fn role(mut self, role: &str) -> Self {
        self.attributes.roles.insert(role.to_owned());
        self
    }
    fn org(mut self, org: &str) -> Self {
        org.clone_into(&mut self.attributes.org);
        self
    }
    fn clearance(mut self, clearance: i64) -> Self {
        self.attributes.clearance = clearance;
        self
    }
    fn purpose(mut self, purpose: &str) -> Self {
        self.attributes.purposes.insert(purpose.to_owned());
        self
    }
    fn group(mut self, group: &str) -> Self {
        self.groups.insert(group.parse().unwrap());
        self
    }
    fn tag(mut self, name: &str, text: &str) -> Self {
        self.attributes.tags.insert(name.to_owned(), text.to_owned());
        self
    }
    fn attribute(mut self, name: &str, value: AttributeValue) -> Self {
        self.attributes.further.insert(name.to_owned(), value);
        self
    }
}

pub(crate) const REALM: RealmId = RealmId::from_bytes([7; 32]);

pub(crate) fn set(source: &str) -> PolicySet {
    PolicySet::parse(source, "policies").unwrap_or_else(|errors| panic!("{source}\n{errors:#?}"))
}

pub(crate) fn pdp(source: &str) -> Pdp {
    Pdp::new(REALM, set(source))
}

/// A schema with attributes of both: readers have `site`, `floor`, `active` and `rooms`; items have `room`, `floor`, `indoor`,
/// `kinds`, `height`, `unit`.
pub(crate) fn extended_schema() -> Schema {
    let json = r#"{"reader":{"site":"String","floor":"Long","active":"Bool","rooms":"Set<String>"},
        "item":{"room":"String","floor":"Long","indoor":"Bool","kinds":"Set<String>","height":"decimal","unit":"String"}}"#;
    Schema::extended(&serde_json::from_str(json).unwrap()).unwrap()
}

/// A decision point under [`extended_schema`].
pub(crate) fn extended_pdp(source: &str) -> Pdp {
    let set = PolicySet::parse_in(&extended_schema(), source, "policies");
    Pdp::new(REALM, set.unwrap_or_else(|errors| panic!("{source}\n{errors:#?}")))
}
