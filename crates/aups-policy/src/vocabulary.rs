//! The names that every schema gives to things.

use aups_core::ReaderKind;
use cedar_policy::{EntityId, EntityTypeName, EntityUid, pst};
use std::sync::LazyLock;

pub(crate) const USER: &str = "User";
pub(crate) const APP: &str = "App";
pub(crate) const GROUP: &str = "Group";
pub(crate) const TOPIC: &str = "Topic";
pub(crate) const ITEM: &str = "Item";

/// The types and entities that requests name.
pub(crate) struct Vocabulary {
    user: EntityTypeName,
    app: EntityTypeName,
    group: EntityTypeName,
    topic: EntityTypeName,
    pub(crate) item_type: EntityTypeName,
    /// The only action.
    pub(crate) receive: EntityUid,
    /// Every item goes by this one name, so that a residual cannot tell one item from another.
    pub(crate) item: EntityUid,
}

impl Vocabulary {
    pub(crate) fn get() -> &'static Self {
        static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(Vocabulary::parse);
        &VOCABULARY
    }

    #[expect(clippy::expect_used, reason = "constant texts; every test of this crate parses them")]
    fn parse() -> Self {
        let named = |name: &str| -> EntityTypeName { name.parse().expect("a type of the schema") };
        Self {
            user: named(USER),
            app: named(APP),
            group: named(GROUP),
            topic: named(TOPIC),
            item_type: named(ITEM),
            receive: EntityUid::from_type_name_and_id(named("Action"), EntityId::new("receive")),
            item: EntityUid::from_type_name_and_id(named(ITEM), EntityId::new("item")),
        }
    }

    pub(crate) const fn reader_type(&self, kind: ReaderKind) -> &EntityTypeName {
        match kind {
            ReaderKind::User => &self.user,
            ReaderKind::App => &self.app,
        }
    }

    pub(crate) fn reader(&self, kind: ReaderKind, name: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(self.reader_type(kind).clone(), EntityId::new(name))
    }

    pub(crate) fn group(&self, name: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(self.group.clone(), EntityId::new(name))
    }

    pub(crate) fn topic(&self, prefix: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(self.topic.clone(), EntityId::new(prefix))
    }
}

/// Whether a type in a policy is the one of the schema that has this name.
pub(crate) fn is_named(entity_type: &pst::EntityType, name: &str) -> bool {
    entity_type.0.namespace.is_empty() && entity_type.0.id.as_str() == name
}
