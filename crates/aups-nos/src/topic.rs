//! Under which topic an item is published.

use aups_core::{
    Item, Topic,
    topic::{TopicError, TopicTemplate},
};
use thiserror::Error;

/// The templates of topics, for registered and unregistered sources.
///
/// INVARIANT: both start with a fixed level, and not with the same one, so that an unregistered source can never appear
/// under a registered node's topics, whatever it calls itself.
#[derive(Debug, Clone)]
pub struct Topics {
    registered: TopicTemplate,
    unregistered: TopicTemplate,
}

/// Templates that do not go together: fault of whoever configured them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TopicsError {
    /// Not a template.
    #[error("`{template}` makes no topics")]
    Template {
        /// The text.
        template: String,
        /// Why.
        source: TopicError,
    },
    /// The first level is not fixed, empty or reserved.
    #[error("`{0}` must start with a fixed level such as `data/`, other than `aups` and what starts with `$`")]
    FirstLevel(String),
    /// Unregistered sources could pose as registered ones.
    #[error("the topics of registered and unregistered sources must not start with the same level `{0}`")]
    SameLevel(String),
}

impl Topics {
    /// Checks a pair of templates such as `data/{nodeId}/{name}` and `unregistered/{nodeId}/{name}`.
    pub fn new(registered: &str, unregistered: &str) -> Result<Self, TopicsError> {
        let level = fixed_level(registered)?;
        if level == fixed_level(unregistered)? {
            return Err(TopicsError::SameLevel(level.into()));
        }
        Ok(Self { registered: template(registered)?, unregistered: template(unregistered)? })
    }

    /// The first levels of both templates: where something may be published.
    pub(crate) fn first_levels(&self) -> Vec<String> {
        let first = |template: &TopicTemplate| template.to_string().split('/').take(1).collect();
        vec![first(&self.registered), first(&self.unregistered)]
    }

    /// The topic of an item. Fails only if the source's names make it longer than a topic may be.
    pub(crate) fn of(&self, item: &Item) -> Result<Topic, TopicError> {
        let template = if item.source.registered { &self.registered } else { &self.unregistered };
        template.fill(&item.source.node_id, &item.data.name)
    }
}

/// `data/{nodeId}/{name}` and `unregistered/{nodeId}/{name}`.
impl Default for Topics {
    #[expect(clippy::expect_used, reason = "two constants, checked by a test")]
    fn default() -> Self {
        Self::new("data/{nodeId}/{name}", "unregistered/{nodeId}/{name}").expect("the default templates are sound")
    }
}

fn template(text: &str) -> Result<TopicTemplate, TopicsError> {
    text.parse().map_err(|source| TopicsError::Template { template: text.into(), source })
}

fn fixed_level(text: &str) -> Result<&str, TopicsError> {
    match text.split_once('/') {
        Some((level, _)) if !level.is_empty() && level != "aups" && !level.starts_with('$') && !level.contains('{') => {
            Ok(level)
        }
        _ => Err(TopicsError::FirstLevel(text.into())),
    }
}

#[cfg(test)]
mod tests;
